//! Damaged, truncated, emptied and deleted files: losses are noticed, and intact files are never reported.

use std::fs;

use sweep_protocol::{Event, ExperimentRows, JournalWriter, Outcome, ResultsLayout, Status};
use sweep_store::{Damage, Reader, RunHistory, Store};

use crate::fixture::{half_done, ids, lay_out, whole, whole_run, write_attempt};

async fn rows(layout: &ResultsLayout) -> ExperimentRows {
    Reader::open(layout).await.unwrap().experiment_rows("groups", "default").await.unwrap().unwrap()
}

/// Returns a pseudo-random number, the same on every machine.
fn drawn(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

/// Damages the bytes of a file in one of six ways.
fn mutated(bytes: &[u8], state: &mut u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = drawn(state) % bytes.len().max(1);
    match drawn(state) % 6 {
        0 => bytes.truncate(at),
        1 => bytes[at..].fill(0),
        2 => bytes[at] ^= 1 << (drawn(state) % 8),
        3 => drop(bytes.drain(at..(at + 1 + drawn(state) % 200).min(bytes.len()))),
        4 => {
            let end = (at + drawn(state) % 64).min(bytes.len());
            bytes[at..end].fill(0);
        }
        _ => {
            let again = bytes[at..(at + 150).min(bytes.len())].to_vec();
            bytes.splice(at..at, again);
        }
    }
    bytes
}

#[tokio::test]
async fn a_success_without_its_measurements_is_incomplete() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    half_done(&layout).await.close().await.unwrap();
    let [run, _] = ids();
    let journal = layout.run(run).attempt(1).journal();
    let whole = fs::read_to_string(&journal).unwrap();
    let without = |word: &str| whole.split_inclusive('\n').filter(|line| !line.contains(word)).collect::<String>();
    let spoiled = [
        Some(String::new()),
        Some(whole[..whole.len() / 2].to_owned()),
        Some("\0".repeat(whole.len())),
        Some(without("\"epoch\":2")),
        Some(without("\"ended\"")),
        Some(whole.replacen("0.25", "0.75", 1)),
        None,
    ];
    for content in spoiled {
        match &content {
            Some(content) => fs::write(&journal, content).unwrap(),
            None => fs::remove_file(&journal).unwrap(),
        }
        // First with an index that still says the run succeeded, then with an index that is made again.
        let row = rows(&layout).await.runs.remove(0);
        assert_eq!(row.status, Status::Incomplete, "{content:?}");
        assert!(row.message.unwrap().starts_with("measurements are missing or wrong"));
        Store::rebuild(&layout).await.unwrap();
        assert_eq!(rows(&layout).await.runs[0].status, Status::Incomplete, "{content:?}");
    }
}

#[tokio::test]
async fn a_folder_that_was_deleted_is_noticed_by_readers_and_once_by_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    let mut store = half_done(&layout).await;
    let [run, _] = ids();
    fs::remove_dir_all(layout.run(run).root()).unwrap();
    let found = rows(&layout).await;
    assert_eq!(
        (found.runs[0].status, found.runs[0].message.as_deref()),
        (Status::Incomplete, Some("its folder was deleted"))
    );
    assert!(found.measurements.is_empty());
    let unsettled = store.unsettled().await.unwrap();
    assert_eq!(unsettled, [run]);
    let damage = store.refresh(&unsettled).await.unwrap();
    assert!(matches!(damage[..], [Damage::Deleted { .. }]), "{damage:?}");
    assert!(store.unsettled().await.unwrap().is_empty());
    assert_eq!(rows(&layout).await.runs[0].status, Status::Queued);
}

#[tokio::test]
async fn a_copied_folder_is_read_again_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    let mut store = half_done(&layout).await;
    let before = rows(&layout).await;
    let [run, _] = ids();
    let journal = layout.run(run).attempt(1).journal();
    let bytes = fs::read(&journal).unwrap();
    fs::remove_file(&journal).unwrap();
    fs::write(&journal, bytes).unwrap();
    assert_eq!(rows(&layout).await, before);
    let unsettled = store.unsettled().await.unwrap();
    assert!(store.refresh(&unsettled).await.unwrap().is_empty());
    assert_eq!(rows(&layout).await, before);
}

#[tokio::test]
async fn a_journal_of_the_first_format_is_believed_while_its_epochs_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    lay_out(&layout);
    let [run, _] = ids();
    let attempt = layout.run(run).attempt(1);
    fs::create_dir_all(attempt.root()).unwrap();
    let mut journal = String::new();
    for (seq, mut event) in whole_run().into_iter().enumerate() {
        if matches!(event, Event::Ended { .. }) {
            event = Event::Ended { outcome: Outcome::Succeeded, measured: None };
        }
        journal += &format!("{{\"seq\":{seq},\"at_ms\":1,\"event\":{}}}\n", serde_json::to_string(&event).unwrap());
    }
    fs::write(attempt.journal(), &journal).unwrap();
    let supervisor = "{\"seq\":0,\"at_ms\":1,\"event\":{\"kind\":\"launched\",\"pid\":7,\"slot\":1}}\n\
                      {\"seq\":1,\"at_ms\":2,\"event\":{\"kind\":\"closed\",\"status\":\"succeeded\"}}\n";
    fs::write(attempt.supervisor(), supervisor).unwrap();
    let RunHistory { row, attempts, measurements: values, .. } = Reader::open(&layout).await.unwrap().run(run).unwrap();
    assert_eq!((row.status, attempts[0].unchecked_lines), (Status::Succeeded, 8));
    assert_eq!(values.len(), 20);
    for word in ["\"epoch\":1,", "params"] {
        fs::write(
            attempt.journal(),
            journal.split_inclusive('\n').filter(|line| !line.contains(word)).collect::<String>(),
        )
        .unwrap();
        assert_eq!(rows(&layout).await.runs[0].status, Status::Incomplete, "{word}");
    }
}

/// Every mutation of an attempt's journals is noticed or changes no value that is used.
#[tokio::test]
async fn mutated_journals_are_noticed_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    half_done(&layout).await.close().await.unwrap();
    let before = rows(&layout).await;
    let attempt = layout.run(ids()[0]).attempt(1);
    let mut state = 2105;
    for path in [attempt.journal(), attempt.supervisor()] {
        let whole = fs::read(&path).unwrap();
        for round in 0..600 {
            fs::write(&path, mutated(&whole, &mut state)).unwrap();
            fs::remove_file(layout.database()).unwrap_or_default();
            let found = rows(&layout).await;
            if found.runs[0].status == Status::Succeeded {
                assert_eq!(found.measurements, before.measurements, "round {round} of {}", path.display());
            }
            // A run may lose its predictions and still be done, but they never change.
            let is_as_before = found.predictions.is_empty() || found.predictions == before.predictions;
            assert!(is_as_before, "round {round} of {}", path.display());
        }
        fs::write(&path, whole).unwrap();
    }
}

/// Every mutation of plans and run files is noticed or harmless. No mutation makes a rebuild fail.
#[tokio::test]
async fn mutated_plans_and_configurations_are_noticed_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    half_done(&layout).await.close().await.unwrap();
    let before = rows(&layout).await;
    let mut state = 1883;
    for path in [layout.plan("groups", "default"), layout.run(ids()[0]).config()] {
        let whole = fs::read(&path).unwrap();
        for round in 0..500 {
            let bytes = mutated(&whole, &mut state);
            let is_same = bytes == whole;
            fs::write(&path, bytes).unwrap();
            let damage = Store::rebuild(&layout).await.unwrap();
            let found = Reader::open(&layout).await.unwrap().experiment_rows("groups", "default").await.unwrap();
            let is_plan = path.ends_with("plan.json");
            // A plan has no digest. A mutated plan that is still valid and has the same name counts as another plan.
            let is_harmless = is_same || is_plan && found.is_some();
            assert!(!damage.is_empty() || is_harmless, "round {round} of {}", path.display());
            if !is_plan {
                assert_eq!(found.unwrap().measurements, before.measurements, "the journals are intact");
            }
        }
        fs::write(&path, whole).unwrap();
    }
}

/// No mutation of the index changes the answers of a reader, and the writer makes the index again.
#[tokio::test]
async fn a_mutated_index_does_not_change_the_answers_of_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    lay_out(&layout);
    for run in ids() {
        write_attempt(&layout, &whole(run));
    }
    let (store, _) = Store::open(&layout).await.unwrap();
    store.close().await.unwrap();
    let before = rows(&layout).await;
    let whole = fs::read(layout.database()).unwrap();
    let mut state = 11;
    for round in 0..600 {
        fs::write(layout.database(), mutated(&whole, &mut state)).unwrap();
        match Reader::open(&layout).await {
            Ok(mut reader) => {
                let found = reader.experiment_rows("groups", "default").await.unwrap().unwrap();
                assert_eq!(found, before, "round {round}");
            }
            // A mutated header can make the file look like another program's.
            Err(fault) => assert!(fault.to_string().contains("metrics.sqlite"), "{fault}"),
        }
        if let Ok((store, _)) = Store::open(&layout).await {
            store.close().await.unwrap();
            assert_eq!(rows(&layout).await, before, "round {round}, after the writer");
        }
    }
}

/// A line whose checksum is right may still say what cannot be. It costs itself only.
#[tokio::test]
async fn impossible_predictions_are_damage_and_cost_no_training() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    half_done(&layout).await.close().await.unwrap();
    let before = rows(&layout).await;
    assert_eq!(before.predictions.len(), 1);
    let journal = layout.run(ids()[0]).attempt(1).journal();
    let whole = fs::read_to_string(&journal).unwrap();
    let said = r#""classes":10,"truth":"01","predicted":"03""#;
    for (impossible, why) in [
        (r#""classes":10,"truth":"01","predicted":"030""#, "2 true and 3 predicted classes"),
        (r#""classes":3,"truth":"01","predicted":"03""#, "image 1 has class 3"),
        (r#""classes":4000000000,"truth":"01","predicted":"03""#, "4000000000 classes"),
        (r#""classes":10,"truth":"0=","predicted":"0=""#, "no text of digits"),
    ] {
        let changed = |line: &str| match line.contains(said) {
            true => checked(&line.replace(said, impossible)),
            false => line.to_owned(),
        };
        fs::write(&journal, whole.lines().map(|line| changed(line) + "\n").collect::<String>()).unwrap();
        let mut reader = Reader::open(&layout).await.unwrap();
        let found = reader.experiment_rows("groups", "default").await.unwrap().unwrap();
        assert_eq!((&found.runs, &found.measurements), (&before.runs, &before.measurements));
        assert_eq!(found.predictions, []);
        let damage: Vec<String> = reader.take_damage().iter().map(ToString::to_string).collect();
        assert!(damage.iter().any(|damage| damage.contains(why)), "{damage:?}");
    }
}

/// Returns a line of a journal with the checksum of its content.
fn checked(line: &str) -> String {
    let content = line.split(",\"check\":").next().unwrap();
    format!("{content},\"check\":\"{}\"}}", &blake3::hash(content.as_bytes()).to_hex()[..16])
}

#[tokio::test]
async fn lines_after_the_closing_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    half_done(&layout).await.close().await.unwrap();
    let before = rows(&layout).await;
    let journal = layout.run(ids()[0]).attempt(1).journal();
    JournalWriter::open(&journal).unwrap().append(Event::Noticed { text: "late".to_owned() }).unwrap();
    assert_eq!(rows(&layout).await, before);
}

#[tokio::test]
async fn an_attempt_of_another_run_does_not_count_as_an_attempt_of_this_run() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    lay_out(&layout);
    for run in ids() {
        write_attempt(&layout, &whole(run));
    }
    let [first, second] = ids();
    assert!(rows(&layout).await.runs.iter().all(|row| row.status == Status::Succeeded));
    let (a, b, aside) = (layout.run(first).attempts(), layout.run(second).attempts(), folder.path().join("aside"));
    fs::rename(&a, &aside).unwrap();
    fs::rename(&b, &a).unwrap();
    fs::rename(&aside, &b).unwrap();
    for row in rows(&layout).await.runs {
        assert_eq!(row.status, Status::Incomplete);
        assert!(row.message.unwrap().contains("the folder belongs to attempt 1 of run"));
    }
}

#[tokio::test]
async fn a_folder_that_the_user_created_is_not_an_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    half_done(&layout).await.close().await.unwrap();
    let before = rows(&layout).await;
    fs::create_dir(layout.run(ids()[0]).attempts().join("2")).unwrap();
    fs::write(layout.run(ids()[0]).attempts().join("3"), "mine").unwrap();
    std::os::unix::fs::symlink(folder.path(), layout.run(ids()[0]).attempts().join("4")).unwrap();
    assert_eq!(rows(&layout).await, before);
}
