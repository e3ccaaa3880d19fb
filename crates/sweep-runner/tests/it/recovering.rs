//! What a scheduler that died leaves behind, and what the next one makes of it.

use std::fs;

use sweep_protocol::{Event, JournalWriter, Outcome, RunId, Status, SupervisorEvent};
use sweep_runner::{Recovered, recover};

use crate::bench::{Bench, counts, items};

/// An attempt as it looks after its scheduler and its process have died.
fn leave_open(bench: &Bench, run: RunId, number: u32, said: &[Event]) {
    let folder = bench.attempt(run, number);
    fs::create_dir_all(folder.root()).unwrap();
    let launched = SupervisorEvent::Launched { pid: 999_999_999, slot: 0 };
    JournalWriter::open(&folder.supervisor()).unwrap().append(launched).unwrap();
    let mut journal = JournalWriter::open(&folder.journal()).unwrap();
    for event in said {
        journal.append(event.clone()).unwrap();
    }
}

#[tokio::test]
async fn open_attempts_are_closed_once() {
    let bench = Bench::new("");
    let run = items(1)[0].run;
    leave_open(&bench, run, 1, &[]);
    let recovered = recover(&bench.lock, &[run]).await.unwrap();
    assert_eq!(recovered, [Recovered { run, attempt: 1, status: Status::Cancelled }]);
    let closing = bench.closing(run, 1);
    assert_eq!(
        closing,
        SupervisorEvent::Closed { status: Status::Cancelled, message: Some("scheduler died".to_owned()) }
    );
    assert!(recover(&bench.lock, &[run]).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_last_word_of_an_open_attempt_counts() {
    let bench = Bench::new("");
    let run = items(1)[0].run;
    for (number, outcome, status) in [
        (1, Outcome::Stopped, Status::Cancelled),
        (2, Outcome::AwaitsQuiet, Status::Queued),
        (3, Outcome::Succeeded, Status::Succeeded),
    ] {
        leave_open(&bench, run, number, &[Event::Ended { outcome }]);
        let recovered = recover(&bench.lock, &[run]).await.unwrap();
        assert_eq!(recovered, [Recovered { run, attempt: number, status }]);
    }
}

#[tokio::test]
async fn a_folder_without_any_line_is_closed_too() {
    let bench = Bench::new("");
    let run = items(1)[0].run;
    fs::create_dir_all(bench.attempt(run, 1).root()).unwrap();
    assert_eq!(recover(&bench.lock, &[run]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_process_that_is_not_the_attempts_is_left_alone() {
    let bench = Bench::new("");
    let run = items(1)[0].run;
    let folder = bench.attempt(run, 1);
    fs::create_dir_all(folder.root()).unwrap();
    // This very test: alive, and not working on that folder.
    let launched = SupervisorEvent::Launched { pid: std::process::id(), slot: 0 };
    JournalWriter::open(&folder.supervisor()).unwrap().append(launched).unwrap();
    assert_eq!(recover(&bench.lock, &[run]).await.unwrap().len(), 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_that_outlives_its_scheduler_is_killed_before_its_attempt_is_closed() {
    let bench = Bench::new(r#"echo $$ > "$folder/pid"; hang"#);
    let items = items(1);
    let mut sweep = bench.start(&items);
    sweep.ready(1).await;
    sweep.task.abort();
    assert!(sweep.task.await.unwrap_err().is_cancelled());

    let folder = bench.attempt(items[0].run, 1);
    let pid = fs::read_to_string(folder.root().join("pid")).unwrap();
    let command_line = || fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
    assert!(!command_line().is_empty(), "it ignores that its input has ended");
    let recovered = recover(&bench.lock, &[items[0].run]).await.unwrap();
    assert_eq!(recovered[0].status, Status::Cancelled);
    assert!(command_line().is_empty());
}

#[tokio::test]
async fn an_attempt_hears_that_its_scheduler_died() {
    // The end of the fifo is opened by a script that has read the end of its input.
    let bench = Bench::new(r#"ready; read word || { stopped; echo "$word" > "$results/heard"; }"#);
    let items = items(1);
    let heard = bench.lock.layout().root().join("heard");
    assert!(std::process::Command::new("mkfifo").arg(&heard).status().unwrap().success());
    let mut sweep = bench.start(&items);
    sweep.ready(1).await;
    sweep.task.abort();
    assert!(sweep.task.await.unwrap_err().is_cancelled());
    let word = tokio::task::spawn_blocking(|| fs::read_to_string(heard)).await.unwrap().unwrap();
    assert_eq!(word, "\n");
    let recovered = recover(&bench.lock, &[items[0].run]).await.unwrap();
    assert_eq!(recovered[0].status, Status::Cancelled);
}

#[tokio::test]
async fn what_was_recovered_is_continued() {
    let bench = Bench::new(r#"grep -q '/1"' "$folder/orders.json" && succeeded"#);
    let items = items(1);
    leave_open(&bench, items[0].run, 1, &[]);
    recover(&bench.lock, &[items[0].run]).await.unwrap();
    assert_eq!(counts(&bench.run(&items).await.0), ["succeeded=1"]);
}
