//! Requests to finish and to kill, and time limits.

use std::time::Duration;

use sweep_protocol::SupervisorEvent;
use sweep_runner::Request;

use crate::bench::{Bench, counts, items, story};

/// Script that waits for `stop` and then stops.
const OBEDIENT: &str = r#"ready; read word; [ "$word" = stop ] && stopped"#;

#[tokio::test]
async fn finish_asks_every_attempt_to_stop_and_starts_nothing_more() {
    let bench = Bench::new(OBEDIENT).with_slots(2);
    let mut sweep = bench.start(&items(3));
    sweep.ready(2).await;
    sweep.requests.send(Request::Finish).unwrap();
    let summary = sweep.end().await.0.unwrap();
    assert_eq!(counts(&summary), ["queued=1", "cancelled=2"]);
    assert!(summary.interrupted);
}

#[tokio::test]
async fn an_attempt_that_finishes_after_a_stop_request_has_succeeded() {
    let bench = Bench::new("ready; read word; succeeded");
    let mut sweep = bench.start(&items(2));
    sweep.ready(1).await;
    sweep.requests.send(Request::Finish).unwrap();
    assert_eq!(counts(&sweep.end().await.0.unwrap()), ["queued=1", "succeeded=1"]);
}

#[tokio::test]
async fn kill_ends_an_attempt_that_ignores_requests() {
    let bench = Bench::new("hang");
    let items = items(2);
    let mut sweep = bench.start(&items);
    sweep.ready(1).await;
    sweep.requests.send(Request::Finish).unwrap();
    sweep.requests.send(Request::Kill).unwrap();
    let (summary, updates) = sweep.end().await;
    assert_eq!(counts(&summary.unwrap()), ["queued=1", "cancelled=1"]);
    assert_eq!(story(&items, &updates), ["0.1 launched", "0.1 cancelled"]);
}

#[tokio::test]
async fn a_request_that_was_made_before_anything_started_is_obeyed() {
    let bench = Bench::new("succeeded");
    let sweep = bench.start(&items(1));
    sweep.requests.send(Request::Finish).unwrap(); // the runtime has not polled the sweep yet
    assert_eq!(counts(&sweep.end().await.0.unwrap()), ["queued=1"]);
}

#[tokio::test]
async fn at_the_time_limit_an_attempt_is_first_asked_to_stop() {
    let mut bench = Bench::new(OBEDIENT);
    bench.local.timeout = Some(Duration::from_millis(1));
    let (summary, _) = bench.run(&items(1)).await;
    assert_eq!(counts(&summary), ["timed_out=1"]);
    let SupervisorEvent::Closed { message: Some(message), .. } = bench.closing(items(1)[0].run, 1) else { panic!() };
    assert_eq!(message, "ran past its time limit, which was 0.001 s");
}

#[tokio::test]
async fn a_time_limit_that_the_clock_cannot_hold_is_none() {
    let mut bench = Bench::new("succeeded");
    bench.local.timeout = Some(Duration::MAX);
    let (summary, _) = bench.run(&items(1)).await;
    assert_eq!(counts(&summary), ["succeeded=1"]);
}

#[tokio::test]
async fn an_attempt_that_ignores_the_request_at_its_time_limit_is_killed() {
    let mut bench = Bench::new("hang");
    bench.local.timeout = Some(Duration::from_millis(1));
    bench.local.grace = Duration::from_millis(1);
    let (summary, _) = bench.run(&items(2)).await;
    assert_eq!(counts(&summary), ["timed_out=2"], "the next run starts anyway");
}

#[tokio::test]
async fn an_attempt_that_succeeds_at_its_time_limit_has_succeeded() {
    let mut bench = Bench::new("read word; succeeded");
    bench.local.timeout = Some(Duration::from_millis(1));
    assert_eq!(counts(&bench.run(&items(1)).await.0), ["succeeded=1"]);
}
