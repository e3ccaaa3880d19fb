//! Attempts that fail, and sweeps that cannot go on.

use std::fs;

use sweep_protocol::{Event, FailureKind, JournalWriter, Status, SupervisorEvent};
use sweep_runner::{OnFailure, RunnerError};

use crate::bench::{Bench, counts, items, story};

/// Runs one item to its end. Returns the status and message that its first attempt was closed with.
async fn closed_as(script: &str) -> (Status, String) {
    let bench = Bench::new(script);
    let items = items(1);
    bench.run(&items).await;
    match bench.closing(items[0].run, 1) {
        SupervisorEvent::Closed { status, message, .. } => (status, message.unwrap_or_default()),
        SupervisorEvent::Launched { .. } | SupervisorEvent::Submitted { .. } => panic!("not closed"),
    }
}

#[tokio::test]
async fn a_crash_is_closed_with_its_signal_and_the_end_of_its_log() {
    let (status, message) = closed_as("echo first; echo 'thread panicked at a wall' >&2; kill -9 $$").await;
    assert_eq!(status, Status::Failed(FailureKind::Crash));
    assert_eq!(
        message,
        "died before it reported a result, signal: 9 (SIGKILL); its log ends with:\nfirst\nthread panicked at a wall"
    );
}

#[tokio::test]
async fn an_exit_without_a_reported_outcome_is_a_crash_even_with_code_0() {
    let (status, message) = closed_as("ready").await;
    assert_eq!(status, Status::Failed(FailureKind::Crash));
    assert_eq!(message, "died before it reported a result, exit status: 0");
}

#[tokio::test]
async fn exit_code_74_means_that_the_journal_could_not_be_written() {
    let (status, message) = closed_as("echo 'no space left on device' >&2; exit 74").await;
    assert_eq!(status, Status::Failed(FailureKind::Io));
    assert!(message.contains("no space left"), "{message}");
}

#[tokio::test]
async fn a_failed_allocation_counts_as_out_of_memory() {
    let (status, _) = closed_as("echo 'memory allocation of 4096 bytes failed' >&2; kill -6 $$").await;
    assert_eq!(status, Status::Failed(FailureKind::Oom));
}

#[tokio::test]
async fn the_message_of_a_reported_failure_is_kept() {
    let closed = closed_as("diverged; exit 1").await;
    assert_eq!(closed, (Status::Failed(FailureKind::Diverged), "loss is not a number".to_owned()));
}

#[tokio::test]
async fn an_unreadable_journal_ends_only_its_attempt() {
    let (status, message) = closed_as(r#"echo '{"seq":0,"nonsense":true}' >> "$folder/journal.jsonl"; hang"#).await;
    assert_eq!(status, Status::Failed(FailureKind::Io));
    assert!(message.contains("journal.jsonl, line 1") && message.contains("nonsense"), "{message}");
}

#[tokio::test]
async fn failures_of_the_machine_are_tried_again_and_others_are_not() {
    let mut bench = Bench::new(r#"case $folder in */1) kill -9 $$ ;; *) diverged ;; esac"#);
    bench.options.retries = 3;
    let items = items(1);
    let (summary, updates) = bench.run(&items).await;
    assert_eq!(counts(&summary), ["failed:diverged=1"]);
    let expected = ["0.1 launched", "0.1 failed:crash", "0.2 launched", "0.2 failed:diverged"];
    assert_eq!(story(&items, &updates), expected);

    let words = "case $folder in */1) echo 'memory allocation of 9 bytes failed'; kill -6 $$ ;; */2) exit 74 ;; *) succeeded ;; esac";
    let mut bench = Bench::new(words);
    bench.options.retries = 3;
    let (summary, updates) = bench.run(&items).await;
    assert_eq!(counts(&summary), ["succeeded=1"]);
    let told: Vec<String> = story(&items, &updates).into_iter().filter(|line| !line.ends_with("launched")).collect();
    assert_eq!(told, ["0.1 failed:oom", "0.2 failed:io", "0.3 succeeded"]);
}

#[tokio::test]
async fn runs_whose_memory_does_not_fit_together_run_one_after_another() {
    let mut bench = Bench::new("succeeded").with_slots(2);
    // What the first runs take halves the forecasts at most.
    bench.options.memory = Some(50);
    let mut items = items(4);
    items.iter_mut().for_each(|item| item.forecast.memory = 60);
    let (summary, updates) = bench.run(&items).await;
    assert_eq!(counts(&summary), ["succeeded=4"]);
    let story = story(&items, &updates);
    assert!(story.chunks(2).all(|pair| pair[0].ends_with("launched") && pair[1].ends_with("succeeded")), "{story:?}");
}

#[tokio::test]
async fn one_failure_does_not_stop_the_others_unless_asked() {
    let mut bench = Bench::new(r#"if grep -q '"seed":0' "$folder/../../run.json"; then diverged; else succeeded; fi"#);
    let items = items(3);
    let (summary, _) = bench.run(&items).await;
    assert_eq!(counts(&summary), ["succeeded=2", "failed:diverged=1"]);

    bench.options.on_failure = OnFailure::Stop;
    let (summary, _) = bench.run(&items).await;
    assert_eq!(counts(&summary), ["queued=2", "failed:diverged=1"]);
    assert!(!summary.interrupted, "nobody asked for it");
}

#[tokio::test]
async fn stopping_at_a_failure_lets_the_others_write_a_checkpoint() {
    let script = r#"if grep -q '"seed":0' "$folder/../../run.json"; then cat "$results/meet"; diverged
        else ready; echo > "$results/meet"; read word; [ "$word" = stop ] && stopped; fi"#;
    let mut bench = Bench::new(script).with_slots(2);
    let meet = bench.lock.layout().root().join("meet");
    assert!(std::process::Command::new("mkfifo").arg(meet).status().unwrap().success());
    bench.options.on_failure = OnFailure::Stop;
    let (summary, _) = bench.run(&items(3)).await;
    assert_eq!(counts(&summary), ["queued=1", "failed:diverged=1", "cancelled=1"]);
}

#[tokio::test]
async fn a_program_that_does_not_exist_ends_the_sweep() {
    let mut bench = Bench::new("");
    bench.local.program = bench.path().join("nowhere");
    let fault = bench.fault(&items(2)).await;
    assert!(matches!(fault, RunnerError::Process { .. }), "{fault:?}");
    assert!(fault.to_string().contains("nowhere"), "{fault}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_ends_the_sweep_and_is_named() {
    let bench = Bench::new("succeeded");
    fs::write(bench.lock.layout().runs(), "a file where a folder belongs").unwrap();
    let fault = bench.fault(&items(1)).await;
    assert!(matches!(fault, RunnerError::Unwritable { .. }), "{fault:?}");
    assert!(fault.to_string().contains("/runs/"), "{fault}");
}

#[tokio::test]
async fn without_a_receiver_of_updates_the_sweep_ends_and_leaves_no_process() {
    let bench = Bench::new(r#"echo $$ > "$folder/pid"; hang"#);
    let items = items(1);
    let mut sweep = bench.start(&items);
    sweep.ready(1).await;
    let folder = bench.attempt(items[0].run, 1);
    let pid = fs::read_to_string(folder.root().join("pid")).unwrap();
    // A further update, after the receiver was closed.
    sweep.updates.close();
    JournalWriter::open(&folder.journal()).unwrap().append(Event::Noticed { text: "more".to_owned() }).unwrap();
    let fault = sweep.end().await.0.unwrap_err();
    assert!(matches!(fault, RunnerError::Unheard), "{fault:?}");
    let alive = std::process::Command::new("kill").args(["-0", pid.trim()]).output().unwrap().status.success();
    assert!(!alive);
}
