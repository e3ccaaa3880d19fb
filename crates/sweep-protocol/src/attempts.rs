//! Finds the attempts in a run's folder, and the number of the next one. Runner and store share these rules: the runner
//! creates attempts, the store reads them.

use std::fs;
use std::io;

use crate::RunLayout;

/// Returns the numbers of a run's attempts in order; the list is empty if the folder does not exist. Links, files, and
/// folders with another spelling of a number (`+1`, `01`) belong to somebody else and are ignored.
///
/// # Errors
/// When the folder cannot be read.
pub fn attempt_numbers(run: &RunLayout) -> io::Result<Vec<u32>> {
    // This does not follow links.
    numbers(run, |entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

/// Returns the number of a run's next attempt: above every number that is a name in the folder, whatever has that name.
///
/// # Errors
/// When the folder cannot be read.
pub fn next_attempt_number(run: &RunLayout) -> io::Result<u32> {
    Ok(numbers(run, |_| true)?.last().map_or(1, |last| last.saturating_add(1)))
}

/// Returns the numbers among the names in the folder of a run's attempts, in order, if `counts` accepts what has the
/// name.
fn numbers(run: &RunLayout, counts: impl Fn(&fs::DirEntry) -> bool) -> io::Result<Vec<u32>> {
    let entries = match fs::read_dir(run.attempts()) {
        Err(fault) if matches!(fault.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let entry = entry?;
        numbers.extend(entry.file_name().to_str().and_then(attempt_number).filter(|_| counts(&entry)));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The largest number of an attempt. A folder with a larger one belongs to somebody else: this program counts from 1.
const MOST_ATTEMPTS: u32 = 1_000_000;

/// Returns the number of the attempt with this folder name; `None` for any other name.
pub fn attempt_number(name: &str) -> Option<u32> {
    name.parse().ok().filter(|number: &u32| (1..=MOST_ATTEMPTS).contains(number) && number.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ResultsLayout, RunId};

    #[test]
    fn only_folders_with_the_number_itself_are_attempts() {
        let folder = tempfile::tempdir().unwrap();
        let run = ResultsLayout::new(folder.path()).run(RunId::of("{}", 0));
        assert!(attempt_numbers(&run).unwrap().is_empty());
        assert_eq!(next_attempt_number(&run).unwrap(), 1);
        for name in ["10", "9", "+1", "01", "0", "-2", "1 (copy)", "99999999999", "4294967295"] {
            fs::create_dir_all(run.attempts().join(name)).unwrap();
        }
        fs::write(run.attempts().join("3"), "mine").unwrap();
        std::os::unix::fs::symlink(folder.path(), run.attempts().join("12")).unwrap();
        assert_eq!(attempt_numbers(&run).unwrap(), [9, 10]);
        assert_eq!(next_attempt_number(&run).unwrap(), 13);
    }
}
