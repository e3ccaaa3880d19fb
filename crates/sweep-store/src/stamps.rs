//! Stamps of runs: texts of the sizes and times of their files. While a stamp is the same, the files are unchanged.
//!
//! A large sweep has tens of thousands of files, and every command compares all their stamps. So files are named
//! relative to open folders: the kernel then walks two names instead of ten.

use std::fmt::Write;
use std::io;

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sweep_protocol::{ResultsLayout, RunId, attempt_number};

/// Returns the stamp of each run; empty for a run without attempts.
///
/// # Errors
/// When the folder of all runs cannot be opened. The stamp of a run whose folder cannot be read is an error of its own.
pub(crate) fn stamps(layout: &ResultsLayout, runs: &[RunId]) -> io::Result<Vec<io::Result<String>>> {
    match folder(rustix::fs::CWD, layout.runs().as_os_str().as_encoded_bytes())? {
        None => Ok(runs.iter().map(|_| Ok(String::new())).collect()),
        Some(all) => Ok(runs.par_iter().map(|run| stamp(all.as_fd(), *run)).collect()),
    }
}

/// Opens a folder; `None` if there is none.
fn folder(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

fn stamp(all: BorrowedFd<'_>, run: RunId) -> io::Result<String> {
    let mut name = format!("{run}/attempts");
    let Some(attempts) = folder(all, name.as_bytes())? else { return Ok(String::new()) };
    let mut attempts = Dir::new(attempts)?;
    let numbers = numbers(&mut attempts)?;
    let mut stamp = String::with_capacity(128);
    if !numbers.is_empty() {
        name.truncate(name.len() - "attempts".len());
        name.push_str("run.json");
        add(&mut stamp, all, &name);
    }
    for number in numbers {
        for (before, file) in [(format!(";{number}:"), "journal.jsonl"), (":".to_owned(), "supervisor.jsonl")] {
            stamp.push_str(&before);
            add(&mut stamp, attempts.fd()?, &format!("{number}/{file}"));
        }
    }
    Ok(stamp)
}

/// Returns the numbers of the attempts in a folder, in order.
fn numbers(attempts: &mut Dir) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    while let Some(entry) = attempts.read() {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().ok().and_then(attempt_number) else { continue };
        let kind = match entry.file_type() {
            // Some file systems do not say it here. Links are not followed.
            FileType::Unknown => rustix::fs::statat(attempts.fd()?, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                .map_or(FileType::Unknown, |found| FileType::from_raw_mode(found.st_mode)),
            kind => kind,
        };
        if kind == FileType::Directory {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Adds size and modification time of a regular file, or a dash if there is no such file.
fn add(stamp: &mut String, folder: BorrowedFd<'_>, name: &str) {
    let found = rustix::fs::statat(folder, name, AtFlags::empty());
    let written = match found.ok().filter(|found| FileType::from_raw_mode(found.st_mode) == FileType::RegularFile) {
        Some(Stat { st_size, st_mtime, st_mtime_nsec, .. }) => write!(stamp, "{st_size},{st_mtime},{st_mtime_nsec}"),
        None => write!(stamp, "-"),
    };
    written.expect("writing to a `String` cannot fail");
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sweep_protocol::file_stamp;

    use super::*;

    #[test]
    fn a_stamp_names_the_attempts_and_changes_with_every_file() {
        let root = tempfile::tempdir().unwrap();
        let layout = ResultsLayout::new(root.path());
        let id = RunId::of("{}", 0);
        let now = || stamps(&layout, &[id]).unwrap().pop().unwrap().unwrap();
        assert_eq!(now(), "");
        let run = layout.run(id);
        for number in [10, 9] {
            fs::create_dir_all(run.attempt(number).root()).unwrap();
        }
        fs::create_dir(run.attempts().join("01")).unwrap();
        std::os::unix::fs::symlink(run.attempt(9).root(), run.attempts().join("4")).unwrap();
        assert_eq!(now(), "-;9:-:-;10:-:-");
        for (file, form) in [
            (run.config(), "@;9:-:-;10:-:-"),
            (run.attempt(9).journal(), "_;9:@:-;10:-:-"),
            (run.attempt(10).supervisor(), "_;9:_:-;10:-:@"),
        ] {
            let before = now();
            fs::write(&file, "{}").unwrap();
            let stamp = file_stamp(&file).unwrap();
            assert_ne!(now(), before);
            assert!(
                now().contains(&form[form.find('@').unwrap().saturating_sub(1)..].replace('@', &stamp)),
                "{} {form}",
                now()
            );
        }
        // A file in the place of a folder belongs to somebody else.
        fs::remove_dir_all(run.attempts()).unwrap();
        fs::write(run.attempts(), "mine").unwrap();
        assert_eq!(now(), "");
    }
}
