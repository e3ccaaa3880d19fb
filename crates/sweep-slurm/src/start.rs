//! On a node: finds the folder that a task may write to.
//!
//! Slurm starts a task again after a preemption, a lost node or a request of the task itself, and it may start it again
//! while the first copy still runs. So each start takes a folder of its own:
//!
//! 1. The first start marks the folder that the scheduler has prepared.
//! 2. A later start finds the mark. It makes the folder of the next attempt, and takes the lease of the folder before
//!    it. A copy that still writes there notices this before its next write, and ends.
//! 3. A start that finds a revoked lease ends: the scheduler has given the attempt up.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use sweep_protocol::{AttemptLayout, Lease, Orders, host_name, now_ms, sync_folder, write_atomically};

use crate::SlurmError;
use crate::error::file;

/// What a start of a task may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// It works in this folder.
    Here(PathBuf),
    /// Nothing: the scheduler has given the attempt up.
    GivenUp,
}

/// The mark of a start, for people.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    host: String,
    pid: u32,
    at_ms: u64,
}

/// Takes a folder for this process: that of the attempt `prepared`, or of a later attempt if the task was started
/// before.
///
/// # Errors
/// When a file cannot be read or written.
pub fn start(prepared: &Path) -> Result<Start, SlurmError> {
    let mark = Mark { host: host_name(), pid: std::process::id(), at_ms: now_ms() };
    let mark = serde_json::to_vec(&mark).map_err(|fault| file(prepared, "writing a mark")(fault.into()))?;
    let mut folder = prepared.to_owned();
    loop {
        let attempt = AttemptLayout::at(&folder);
        let Some(next) = next_of(&folder) else {
            let fault = io::Error::other("its name is not a number, so it is not the folder of an attempt");
            return Err(file(folder, "using it")(fault));
        };
        if Lease::was_passed_on(&attempt.lease()) {
            folder = next;
            continue;
        }
        let orders = read_orders(&attempt)?;
        let token = orders.lease.clone().unwrap_or_default();
        if !Lease::held(&attempt.lease(), &token).is_valid() {
            return Ok(Start::GivenUp);
        }
        if is_first(&attempt.start(), &mark).map_err(file(attempt.start(), "marking the folder"))? {
            return Ok(Start::Here(folder));
        }
        let is_new = publish(&folder, &next, orders, &mark).map_err(file(&next, "making the folder"))?;
        Lease::pass_on(&attempt.lease()).map_err(file(attempt.lease(), "taking the lease"))?;
        if is_new {
            return Ok(Start::Here(next));
        }
        // Another start was faster. This one comes after it.
        folder = next;
    }
}

/// Marks a folder as that of this process. Returns whether no other process has done so.
fn is_first(path: &Path, mark: &[u8]) -> io::Result<bool> {
    match File::options().write(true).create_new(true).open(path) {
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        opened => {
            let mut file = opened?;
            file.write_all(mark).and_then(|()| file.sync_all())?;
            path.parent().map_or(Ok(()), sync_folder)?;
            Ok(true)
        }
    }
}

/// Creates a folder that no other process uses. Its name is no number, so it is not yet an attempt.
fn hidden_folder(all: &Path) -> io::Result<PathBuf> {
    let name = |number| all.join(format!(".start-{}-{}-{number}", host_name(), std::process::id()));
    for folder in (0_u32..).map(name) {
        match fs::create_dir(&folder) {
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|()| folder),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Makes the folder of the next attempt with all its files at once. Returns whether it is new.
fn publish(before: &Path, next: &Path, orders: Orders, mark: &[u8]) -> io::Result<bool> {
    let Some(all) = next.parent() else { return Err(io::ErrorKind::NotFound.into()) };
    let token = format!("{}-{}-{}-{}", next.display(), host_name(), std::process::id(), now_ms());
    let hidden = hidden_folder(all)?;
    let resume_from = std::iter::once(before.to_owned()).chain(orders.resume_from.clone()).collect();
    let orders = Orders { lease: Some(token.clone()), resume_from, ..orders };
    let published = fill(&hidden, &orders, &token, mark).and_then(|()| {
        match renameat_with(CWD, &hidden, CWD, next, RenameFlags::NOREPLACE) {
            // This file system cannot check and rename in one step.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if !next.exists() => fs::rename(&hidden, next),
            renamed => renamed.map_err(Into::into),
        }
    });
    if let Err(fault) = published {
        // Another start has made the folder, or the disk is full. This program wrote everything in the hidden folder.
        let removed = fs::remove_dir_all(&hidden);
        return if next.exists() { removed.map(|()| false) } else { Err(fault) };
    }
    sync_folder(all).map(|()| true)
}

/// Writes the files of an attempt into a folder that no other process uses.
fn fill(hidden: &Path, orders: &Orders, token: &str, mark: &[u8]) -> io::Result<()> {
    let attempt = AttemptLayout::at(hidden);
    write_atomically(&attempt.orders(), &serde_json::to_vec_pretty(orders)?)?;
    write_atomically(&attempt.start(), mark)?;
    Lease::grant(&attempt.lease(), token).map(drop)
}

fn read_orders(attempt: &AttemptLayout) -> Result<Orders, SlurmError> {
    let path = attempt.orders();
    let text = fs::read(&path).map_err(file(&path, "reading"))?;
    serde_json::from_slice(&text).map_err(|fault| file(path, "reading as orders")(fault.into()))
}

/// The folder of the attempt after this one.
pub(crate) fn next_of(folder: &Path) -> Option<PathBuf> {
    let number: u32 = folder.file_name()?.to_str()?.parse().ok()?;
    Some(folder.with_file_name(number.checked_add(1)?.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes the folder of attempt 1, as a scheduler does.
    fn prepared(folder: &Path) -> PathBuf {
        let attempt = AttemptLayout::at(folder.join("attempts/1"));
        fs::create_dir_all(attempt.root()).unwrap();
        let orders = Orders {
            device: "cpu".into(),
            threads: 1,
            data: None,
            kernels: None,
            project: None,
            digests: None,
            metrics: Vec::new(),
            lease: Some("token".into()),
            resume_from: Vec::new(),
        };
        fs::write(attempt.orders(), serde_json::to_vec(&orders).unwrap()).unwrap();
        Lease::grant(&attempt.lease(), "token").unwrap();
        attempt.root().to_owned()
    }

    fn holds_its_lease(folder: &Path) -> bool {
        let attempt = AttemptLayout::at(folder);
        Lease::held(&attempt.lease(), &read_orders(&attempt).unwrap().lease.unwrap()).is_valid()
    }

    #[test]
    fn every_start_takes_a_folder_and_the_lease_of_the_start_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = prepared(folder.path());
        assert_eq!(start(&first).unwrap(), Start::Here(first.clone()));
        assert!(holds_its_lease(&first));
        let second = folder.path().join("attempts/2");
        assert_eq!(start(&first).unwrap(), Start::Here(second.clone()));
        assert!(!holds_its_lease(&first) && holds_its_lease(&second));
        let third = folder.path().join("attempts/3");
        assert_eq!(start(&first).unwrap(), Start::Here(third.clone()));
        assert!(!holds_its_lease(&second) && holds_its_lease(&third));
        assert_eq!(read_orders(&AttemptLayout::at(&third)).unwrap().resume_from, [second, first]);
    }

    #[test]
    fn a_task_that_was_given_up_does_not_start() {
        let folder = tempfile::tempdir().unwrap();
        let first = prepared(folder.path());
        Lease::revoke(&AttemptLayout::at(&first).lease()).unwrap();
        assert_eq!(start(&first).unwrap(), Start::GivenUp);
        assert!(!AttemptLayout::at(&first).start().exists());
    }

    #[test]
    fn a_task_whose_later_attempt_was_given_up_does_not_start() {
        let folder = tempfile::tempdir().unwrap();
        let first = prepared(folder.path());
        start(&first).unwrap();
        let Start::Here(second) = start(&first).unwrap() else { panic!() };
        Lease::revoke(&AttemptLayout::at(&second).lease()).unwrap();
        assert_eq!(start(&first).unwrap(), Start::GivenUp);
    }

    /// Variable that makes the next test a start of its own.
    const VARIABLE: &str = "SWEEP_SLURM_TEST_START";

    #[test]
    fn start_in_a_process_of_its_own() {
        let Some(folder) = std::env::var_os(VARIABLE) else { return };
        assert!(matches!(start(Path::new(&folder)).unwrap(), Start::Here(_)), "nobody gave it up");
    }

    #[test]
    fn starts_at_the_same_time_take_different_folders() {
        const STARTS: usize = 8;
        let folder = tempfile::tempdir().unwrap();
        let first = prepared(folder.path());
        let begin = |_| {
            let mut process = std::process::Command::new(std::env::current_exe().unwrap());
            process.args(["--exact", "start::tests::start_in_a_process_of_its_own"]).env(VARIABLE, &first);
            process.stdout(std::process::Stdio::null()).spawn().unwrap()
        };
        let processes: Vec<_> = (0..STARTS).map(begin).collect();
        assert!(processes.into_iter().all(|mut process| process.wait().unwrap().success()));
        let names = fs::read_dir(folder.path().join("attempts")).unwrap().flatten().map(|entry| entry.path());
        let folders: Vec<PathBuf> = names.collect();
        assert_eq!(folders.len(), STARTS, "{folders:?}");
        let held = folders.iter().filter(|folder| holds_its_lease(folder)).count();
        assert_eq!(held, 1, "only the last one may write");
    }
}
