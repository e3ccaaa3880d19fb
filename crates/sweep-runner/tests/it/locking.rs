//! A results folder allows one scheduler.

use std::fs;

use sweep_protocol::ResultsLayout;
use sweep_runner::{RunnerError, SchedulerLock};

/// Takes a lock that is no longer held. It may have to wait: a process that another test starts at this moment has a
/// copy of each open file, locks included, until its program begins.
fn taken_again(layout: &ResultsLayout) -> Result<SchedulerLock, RunnerError> {
    loop {
        match SchedulerLock::acquire(layout) {
            Err(RunnerError::InUse { .. }) => std::thread::yield_now(),
            other => return other,
        }
    }
}

#[test]
fn a_second_scheduler_is_refused_with_the_process_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path().join("results"));
    let lock = SchedulerLock::acquire(&layout).unwrap();
    let refused = SchedulerLock::acquire(&layout).unwrap_err();
    let RunnerError::InUse { holder: Some(holder), .. } = &refused else { panic!("{refused:?}") };
    assert!(holder.pid == std::process::id() && holder.host.is_some(), "{holder:?}");
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    drop(lock);
    taken_again(&layout).unwrap();
}

#[test]
fn a_folder_that_cannot_be_created_is_a_different_error_from_one_in_use() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let refused = SchedulerLock::acquire(&ResultsLayout::new(folder.path().join("file/results"))).unwrap_err();
    assert!(matches!(refused, RunnerError::Unwritable { .. }), "{refused:?}");
    assert!(refused.to_string().contains("file/results"), "{refused}");
}

#[test]
fn an_abandoned_lock_file_is_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    for left in ["99999999\n", "", "\0\0\0\0\0"] {
        fs::write(layout.lock(), left).unwrap();
        drop(taken_again(&layout).unwrap());
    }
    let _held = taken_again(&layout).unwrap();
    let text = fs::read_to_string(layout.lock()).unwrap();
    assert_eq!((text.split_whitespace().next(), text.len()), (Some(std::process::id().to_string().as_str()), 80));
}

#[test]
fn a_second_scheduler_is_refused_even_if_the_lock_file_was_removed() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    let held = SchedulerLock::acquire(&layout).unwrap();
    fs::remove_file(layout.lock()).unwrap();
    let refused = SchedulerLock::acquire(&layout).unwrap_err();
    assert!(matches!(refused, RunnerError::InUse { .. }), "{refused:?}");
    drop(held);
    taken_again(&layout).unwrap();
}

#[test]
fn a_foreign_file_with_the_name_of_the_lock_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    let thesis = folder.path().join("thesis.txt");
    fs::write(&thesis, "mine").unwrap();
    std::os::unix::fs::symlink(&thesis, layout.lock()).unwrap();
    assert!(matches!(SchedulerLock::acquire(&layout), Err(RunnerError::Unwritable { .. })));
    fs::remove_file(layout.lock()).unwrap();
    fs::rename(&thesis, layout.lock()).unwrap();
    assert!(matches!(taken_again(&layout), Err(RunnerError::Unwritable { .. })));
    assert_eq!(fs::read_to_string(layout.lock()).unwrap(), "mine");
}

#[test]
fn a_pipe_in_place_of_the_lock_file_is_refused_and_never_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    let made = std::process::Command::new("mkfifo").arg(layout.lock()).status().unwrap();
    assert!(made.success());
    let refused = SchedulerLock::acquire(&layout).unwrap_err();
    assert!(refused.to_string().contains("cannot be written"), "{refused}");
    assert!(layout.lock().exists(), "what is not ours stays");
}
