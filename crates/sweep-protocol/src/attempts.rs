//! Finds the attempts in a run's folder. Runner and store share this rule: the runner creates attempts, the store reads
//! them.

use std::fs;
use std::io;

use crate::RunLayout;

/// Returns the numbers of a run's attempts in order; the list is empty if the folder does not exist. Links, files, and
/// folders with another spelling of a number (`+1`, `01`) belong to somebody else and are ignored.
///
/// # Errors
/// When the folder cannot be read.
pub fn attempt_numbers(run: &RunLayout) -> io::Result<Vec<u32>> {
    let entries = match fs::read_dir(run.attempts()) {
        Err(fault) if matches!(fault.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(attempt_number);
        // This does not follow links.
        if let Some(number) = number.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            numbers.push(number);
        }
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
        for name in ["10", "9", "+1", "01", "0", "-2", "1 (copy)", "99999999999", "4294967295"] {
            fs::create_dir_all(run.attempts().join(name)).unwrap();
        }
        fs::write(run.attempts().join("3"), "mine").unwrap();
        std::os::unix::fs::symlink(folder.path(), run.attempts().join("4")).unwrap();
        assert_eq!(attempt_numbers(&run).unwrap(), [9, 10]);
    }
}
