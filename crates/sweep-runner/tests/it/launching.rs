//! Which attempts are launched, in which order, and with which input.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use sweep_protocol::{JournalReader, RunFile, SupervisorEvent};
use sweep_runner::{Request, TimingEnd, UpdateKind, WorkItem};
use tokio::sync::watch;

use crate::bench::{Bench, counts, items, story};

#[tokio::test]
async fn runs_start_in_the_order_given_and_one_slot_takes_one() {
    let bench = Bench::new("succeeded");
    let items = items(3);
    let (summary, updates) = bench.run(&items).await;
    assert_eq!(counts(&summary), ["succeeded=3"]);
    assert!(!summary.interrupted);
    let expected = ["0.1 launched", "0.1 succeeded", "1.1 launched", "1.1 succeeded", "2.1 launched", "2.1 succeeded"];
    assert_eq!(story(&items, &updates), expected);
}

#[tokio::test]
async fn two_slots_take_two_at_a_time() {
    // The first attempt waits for the second: with one slot this test would not end.
    let bench = Bench::new(
        r#"if mkdir "$results/first" 2>/dev/null; then cat "$results/meet"; else echo > "$results/meet"; fi
        succeeded"#,
    )
    .with_slots(2);
    let made = Command::new("mkfifo").arg(bench.lock.layout().root().join("meet")).status().unwrap();
    assert!(made.success());
    let items = items(2);
    let (summary, updates) = bench.run(&items).await;
    assert_eq!(counts(&summary), ["succeeded=2"]);
    // Attempts are followed beside each other, so either may be told first.
    let slots: BTreeSet<u32> = updates
        .iter()
        .filter_map(|update| match &update.kind {
            UpdateKind::Supervisor(lines) => Some(lines),
            UpdateKind::Events(_) | UpdateKind::Unusable(_) | UpdateKind::Removed => None,
        })
        .flatten()
        .filter_map(|line| match line.event {
            SupervisorEvent::Launched { slot, .. } => Some(slot),
            SupervisorEvent::Submitted { .. } | SupervisorEvent::Closed { .. } => None,
        })
        .collect();
    assert_eq!(slots, BTreeSet::from([0, 1]));
}

#[tokio::test]
async fn an_attempt_finds_its_configuration_orders_and_threads() {
    let mut bench = Bench::new(r#"env > "$folder/env.txt"; succeeded"#);
    bench.options.orders.data = Some("/somewhere".into());
    let items = vec![WorkItem { file: RunFile { config: r#"{"b":1,"a":2}"#.into(), seed: 0 }, ..items(1).remove(0) }];
    bench.run(&items).await;

    let run = items[0].run;
    assert_eq!(
        fs::read_to_string(bench.run_layout(run).config()).unwrap(),
        r#"{"config":{"b":1,"a":2},"seed":0}"#,
        "it is hashed, so every byte counts"
    );
    let mut orders: Value = serde_json::from_slice(&fs::read(bench.attempt(run, 1).orders()).unwrap()).unwrap();
    let token = orders.as_object_mut().unwrap().remove("lease").unwrap();
    assert_eq!(fs::read_to_string(bench.attempt(run, 1).lease()).unwrap(), token.as_str().unwrap());
    assert_eq!(
        orders,
        json!({
            "data": "/somewhere", "device": "cpu", "digests": null, "kernels": null, "project": null, "resume_from": [], "threads": 3,
        })
    );
    let environment = fs::read_to_string(bench.attempt(run, 1).root().join("env.txt")).unwrap();
    let threads: Vec<&str> = environment.lines().filter(|line| line.contains("NUM_THREADS")).collect();
    for name in ["MKL", "OMP", "OPENBLAS", "RAYON"] {
        assert!(threads.contains(&format!("{name}_NUM_THREADS=3").as_str()), "{threads:?}");
    }
}

#[tokio::test]
async fn a_later_attempt_may_resume_from_all_earlier_ones_newest_first() {
    let bench = Bench::new("diverged");
    let items = items(1);
    for _ in 0..3 {
        bench.run(&items).await;
    }
    let run = items[0].run;
    let orders: Value = serde_json::from_slice(&fs::read(bench.attempt(run, 3).orders()).unwrap()).unwrap();
    let earlier = [2, 1].map(|number| bench.attempt(run, number).root().to_owned());
    assert_eq!(orders["resume_from"], json!(earlier));
}

#[tokio::test]
async fn a_measurement_of_throughput_ends_well_or_stopped_or_with_its_log() {
    let cases = [
        (r#"test "$RAYON_NUM_THREADS" = 2 && test -e "$folder""#, TimingEnd::Done),
        ("echo why; exit 3", TimingEnd::Failed("exit status: 3; its log ends with:\nwhy".to_owned())),
        ("kill -9 $$", TimingEnd::Failed("signal: 9 (SIGKILL)".to_owned())),
    ];
    for (script, end) in cases {
        let bench = Bench::new(script);
        let (_requests, requested) = watch::channel(Request::Run);
        assert_eq!(bench.time(requested).await, end, "{script}");
    }
    let bench = Bench::new("read line; test \"$line\" = stop");
    let (_requests, requested) = watch::channel(Request::Finish);
    assert_eq!(bench.time(requested).await, TimingEnd::Stopped);
}

#[tokio::test]
async fn a_flood_of_lines_arrives_whole_and_before_the_end() {
    let bench = Bench::new(
        r#"awk 'BEGIN { for (i = 0; i < 10000; i++) {
            event = sprintf("{\"kind\":\"progressed\",\"epoch\":0,\"step\":%d,\"loss\":1}", i);
            printf "{\"seq\":%d,\"at_ms\":1,\"event\":%s}\n", i, event
        } }' > "$folder/journal.jsonl"; seq=10000; succeeded"#,
    );
    let (_, updates) = bench.run(&items(1)).await;
    let seqs = updates.iter().flat_map(|update| match &update.kind {
        UpdateKind::Events(lines) => lines.iter().map(|line| line.seq).collect(),
        UpdateKind::Supervisor(_) | UpdateKind::Unusable(_) | UpdateKind::Removed => Vec::new(),
    });
    assert!(seqs.eq(0..=10_000));
    assert!(matches!(updates.last().unwrap().kind, UpdateKind::Supervisor(_)));
}

#[tokio::test]
async fn checkpoints_are_removed_after_success_and_otherwise_the_newest_two_stay() {
    let bench = Bench::new(
        r#"n=$(basename "$folder")
        touch "$folder/checkpoint-8-0123456789abcdef.safetensors"
        touch "$folder/checkpoint-10-0123456789abcdef.safetensors"
        touch "$folder/weights.safetensors"
        if [ "$n" = 3 ]; then succeeded; else diverged; fi"#,
    );
    let items = items(1);
    let kept = || {
        let names = (1..=3).flat_map(|number| {
            let folder = fs::read_dir(bench.attempt(items[0].run, number).root());
            folder.into_iter().flatten().map(move |entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                format!("{number}/{name}")
            })
        });
        let mut names: Vec<_> = names.filter(|name| name.contains("checkpoint")).collect();
        names.sort();
        names
    };
    bench.run(&items).await;
    assert_eq!(kept(), ["1/checkpoint-10-0123456789abcdef.safetensors", "1/checkpoint-8-0123456789abcdef.safetensors"]);
    bench.run(&items).await;
    assert_eq!(kept(), ["2/checkpoint-10-0123456789abcdef.safetensors", "2/checkpoint-8-0123456789abcdef.safetensors"]);
    bench.run(&items).await;
    assert!(kept().is_empty());
    assert!(bench.attempt(items[0].run, 3).root().join("weights.safetensors").exists());
}

#[tokio::test]
async fn every_launch_is_recorded_with_its_process_id() {
    let bench = Bench::new(r#"echo $$ > "$folder/pid"; succeeded"#);
    let items = items(1);
    bench.run(&items).await;
    let folder = bench.attempt(items[0].run, 1);
    let lines = JournalReader::<SupervisorEvent>::new(&folder.supervisor()).read_new().unwrap().lines;
    let said: u32 = fs::read_to_string(folder.root().join("pid")).unwrap().trim().parse().unwrap();
    assert!(matches!(lines[0].event, SupervisorEvent::Launched { pid, slot: 0, .. } if pid == said));
}
