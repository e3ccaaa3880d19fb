//! What a dead scheduler leaves behind, and how the next scheduler handles it.

use std::fs;

use sweep_protocol::{
    AttemptName, Event, JournalReader, JournalWriter, Lease, LeasedJournal, Outcome, ProcessStamp, RunId, Sink,
    SinkError, Status, SupervisorEvent, Tally,
};
use sweep_runner::{Recovered, Submitted, recover, submitted};

use crate::bench::{Bench, counts, items};

/// Writes an attempt as it looks after its scheduler and its process have died.
fn leave_open(bench: &Bench, run: RunId, number: u32, said: &[Event]) {
    let folder = bench.attempt(run, number);
    fs::create_dir_all(folder.root()).unwrap();
    let launched = SupervisorEvent::Launched { pid: 999_999_999, slot: 0, process: None, of: None };
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
    let message = Some("scheduler died".to_owned());
    assert_eq!(
        closing,
        SupervisorEvent::Closed {
            status: Status::Cancelled,
            message,
            journal_lines: Some(0),
            measured: Some(Tally::default())
        }
    );
    assert!(recover(&bench.lock, &[run]).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_reported_outcome_of_an_open_attempt_counts() {
    let bench = Bench::new("");
    let run = items(1)[0].run;
    for (number, outcome, status) in [
        (1, Outcome::Stopped, Status::Cancelled),
        (2, Outcome::AwaitsQuiet, Status::Queued),
        (3, Outcome::Succeeded, Status::Succeeded),
    ] {
        leave_open(&bench, run, number, &[Event::Ended { outcome, measured: None }]);
        let recovered = recover(&bench.lock, &[run]).await.unwrap();
        assert_eq!(recovered, [Recovered { run, attempt: number, status }]);
    }
}

#[tokio::test]
async fn a_folder_without_any_line_is_closed_too() {
    let bench = Bench::new("");
    let run = items(1)[0].run;
    fs::create_dir_all(bench.attempt(run, 1).root()).unwrap();
    assert!(recover(&bench.lock, &[run]).await.unwrap().is_empty(), "a folder that the user created");
    fs::write(bench.attempt(run, 1).orders(), "{}").unwrap();
    assert_eq!(recover(&bench.lock, &[run]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_process_that_does_not_belong_to_the_attempt_is_left_alone() {
    let bench = Bench::new("");
    let run = items(1)[0].run;
    let folder = bench.attempt(run, 1);
    fs::create_dir_all(folder.root()).unwrap();
    // The process of this test: it is alive, and it does not work on that folder.
    let launched = SupervisorEvent::Launched { pid: std::process::id(), slot: 0, process: None, of: None };
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
    assert!(!command_line().is_empty(), "it ignores the end of its input");
    let recovered = recover(&bench.lock, &[items[0].run]).await.unwrap();
    assert_eq!(recovered[0].status, Status::Cancelled);
    assert!(command_line().is_empty());
}

#[tokio::test]
async fn an_attempt_notices_that_its_scheduler_died() {
    // The script opens the fifo for writing only after it has read the end of its input.
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
async fn a_recovered_run_is_continued() {
    let bench = Bench::new(r#"grep -q '/1"' "$folder/orders.json" && succeeded"#);
    let items = items(1);
    leave_open(&bench, items[0].run, 1, &[]);
    recover(&bench.lock, &[items[0].run]).await.unwrap();
    assert_eq!(counts(&bench.run(&items).await.0), ["succeeded=1"]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_with_the_id_and_arguments_of_an_attempt_but_another_start_time_is_left_alone() {
    let bench = Bench::new("");
    let run = items(1)[0].run;
    let folder = bench.attempt(run, 1);
    fs::create_dir_all(folder.root()).unwrap();
    let mut other = std::process::Command::new("sh");
    let mut other =
        other.args(["-c", "read word"]).arg(folder.root()).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let process = Some(ProcessStamp { boot: "another".to_owned(), start_ticks: 1 });
    let launched = SupervisorEvent::Launched { pid: other.id(), slot: 0, process, of: None };
    JournalWriter::open(&folder.supervisor()).unwrap().append(launched).unwrap();
    assert_eq!(recover(&bench.lock, &[run]).await.unwrap().len(), 1);
    assert!(other.try_wait().unwrap().is_none(), "it was killed");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn what_a_given_up_process_writes_later_does_not_count() {
    let bench = Bench::new("");
    let run = items(1)[0].run;
    leave_open(&bench, run, 1, &[Event::Noticed { text: "counts".to_owned() }]);
    let folder = bench.attempt(run, 1);
    let lease = Lease::grant(&folder.lease(), "first").unwrap();
    let mut survivor = LeasedJournal { journal: JournalWriter::open(&folder.journal()).unwrap(), lease };
    recover(&bench.lock, &[run]).await.unwrap();
    let late = || Event::Noticed { text: "late".to_owned() };
    assert!(matches!(survivor.emit(late()), Err(SinkError::Revoked)));
    // The survivor checked its lease before the lease was revoked, so it still writes: this line lies behind the lines
    // that count.
    survivor.journal.append(late()).unwrap();
    let SupervisorEvent::Closed { journal_lines, .. } = bench.closing(run, 1) else { panic!("not closed") };
    let counted = JournalReader::<Event>::new(&folder.journal()).up_to(journal_lines).read_new().unwrap();
    assert_eq!(counted.lines.len(), 1);
}

#[tokio::test]
async fn garbage_in_a_supervisors_journal_costs_its_lines_and_blocks_nothing() {
    let bench = Bench::new("succeeded");
    let items = items(1);
    bench.run(&items).await;
    let path = bench.attempt(items[0].run, 1).supervisor();
    let whole = fs::read(&path).unwrap();
    for garbage in [b"".to_vec(), vec![0; 300], b"{}\n[1,2]\n\xff\n".to_vec(), whole[..whole.len() / 2].to_vec()] {
        fs::write(&path, &garbage).unwrap();
        let recovered = recover(&bench.lock, &[items[0].run]).await.unwrap();
        assert_eq!(recovered[0].status, Status::Succeeded, "by the outcome that the attempt reported");
        assert!(recover(&bench.lock, &[items[0].run]).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_damaged_configuration_is_set_aside_and_written_again() {
    let bench = Bench::new("succeeded");
    let items = items(1);
    let layout = bench.run_layout(items[0].run);
    fs::create_dir_all(layout.attempts().join("+1")).unwrap();
    for (i, damaged) in ["", "{\"config\":", "{}"].into_iter().enumerate() {
        fs::write(layout.config(), damaged).unwrap();
        assert_eq!(counts(&bench.run(&items).await.0), ["succeeded=1"]);
        assert_eq!(fs::read_to_string(layout.config()).unwrap(), r#"{"config":{},"seed":0}"#);
        let aside = layout.damaged().join(format!("run.json.{}", i + 1));
        assert_eq!(fs::read_to_string(aside).unwrap(), damaged);
    }
}

#[tokio::test]
async fn files_of_a_persons_own_and_links_are_left_alone() {
    let bench = Bench::new("diverged");
    let items = items(1);
    bench.run(&items).await;
    let layout = bench.run_layout(items[0].run);
    let mine = bench.path().join("mine");
    fs::create_dir(&mine).unwrap();
    let kept = [
        mine.join("checkpoint-0000000001-0123456789abcdef.safetensors"),
        layout.attempt(1).root().join("checkpoint-mine.safetensors"),
        layout.attempt(1).root().join("notes.7.tmp"),
    ];
    for path in &kept {
        fs::write(path, "mine").unwrap();
    }
    std::os::unix::fs::symlink(&mine, layout.attempts().join("2")).unwrap();
    fs::write(layout.attempts().join("3"), "a file").unwrap();
    recover(&bench.lock, &[items[0].run]).await.unwrap();
    fs::remove_file(layout.attempts().join("3")).unwrap();
    fs::remove_file(layout.attempts().join("2")).unwrap();
    bench.run(&items).await;
    assert!(kept.iter().all(|path| fs::read_to_string(path).unwrap() == "mine"));
    assert_eq!(fs::read_dir(&mine).unwrap().count(), 1);
}

#[test]
fn a_copied_run_folder_has_no_task_in_the_queue() {
    let bench = Bench::new("");
    let (run, copy) = (items(2)[0].run, items(2)[1].run);
    let of = AttemptName { run, attempt: 1 };
    for holder in [run, copy] {
        let folder = bench.attempt(holder, 1);
        fs::create_dir_all(folder.root()).unwrap();
        let submitted = SupervisorEvent::Submitted { of, job: "7".to_owned(), task: 3 };
        JournalWriter::open(&folder.supervisor()).unwrap().append(submitted).unwrap();
    }
    let found = submitted(bench.lock.layout(), &[run, copy]).unwrap();
    assert_eq!(found, [Submitted { of, job: "7".to_owned(), task: 3 }]);
}
