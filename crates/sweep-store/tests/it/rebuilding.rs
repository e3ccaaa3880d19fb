//! An index that is made again from the folder equals the index that was updated during the sweep.

use std::fs;

use proptest::prelude::{Just, Strategy, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::Config;
use sweep_protocol::{Event, Form, JournalReader, Metric, ResultsLayout, Split, Status, SupervisorEvent};
use sweep_store::{Damage, Reader, Store};

use crate::fixture::{Said, dump, ids, lay_out, measured, of_images, plan, predicted, started, whole, write_attempt};

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (1..4_u32, 0..20_u64).prop_map(|(version, step)| started(version, step)),
        (1..5_u32, 0.0..1.0_f64).prop_map(|(epoch, value)| {
            measured(vec![of_images(Metric::Accuracy, Split::Test, Form::Training, epoch, value)])
        }),
        (0..50_u64).prop_map(|step| Event::Checkpointed { step, file: "f".into() }),
        (0..10_u32).prop_map(|class| predicted(&[class, 1])),
        Just(Event::Noticed { text: "mind".into() }),
    ]
}

fn attempts() -> impl Strategy<Value = Vec<Said>> {
    let status = prop_oneof![
        Just(None),
        Just(Some(Status::Succeeded)),
        Just(Some(Status::Queued)),
        Just(Some(Status::Cancelled))
    ];
    let tail = prop_oneof![Just(""), Just(r#"{"seq":99,"at_m"#)];
    let said = (0..2_usize, proptest::collection::vec(event(), 0..8), tail, status);
    proptest::collection::vec(said, 0..6).prop_map(|all| {
        let mut numbers = [0; 2];
        let number = |(which, events, tail, closed): (usize, _, _, _)| {
            numbers[which] += 1;
            Said { run: ids()[which], attempt: numbers[which], events, tail, closed }
        };
        all.into_iter().map(number).collect()
    })
}

/// Records the first lines of the journals, some of them twice. The rest is not read, as when a scheduler dies.
async fn follow(store: &mut Store, layout: &ResultsLayout, said: &Said, share: usize) {
    let folder = layout.run(said.run).attempt(said.attempt);
    let journal = JournalReader::<Event>::new(&folder.journal()).read_new().unwrap().lines;
    let supervisor = JournalReader::<SupervisorEvent>::new(&folder.supervisor()).read_new().unwrap().lines;
    let read = journal.len() * share / 4;
    store.apply_supervisor(said.run, said.attempt, &supervisor[..1]).await.unwrap();
    store.apply_journal(said.run, said.attempt, &journal[..read / 2]).await.unwrap();
    store.apply_journal(said.run, said.attempt, &journal[..read]).await.unwrap();
}

proptest! {
    #![proptest_config(Config::with_cases(24))]
    #[test]
    fn an_index_that_grew_equals_one_that_is_made_again(said in attempts(), share in 0..=4_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let layout = ResultsLayout::new(folder.path());
            lay_out(&layout);
            let (mut store, _) = Store::open(&layout).await.unwrap();
            for said in &said {
                write_attempt(&layout, said);
                follow(&mut store, &layout, said, share).await;
            }
            let unsettled = store.unsettled().await.unwrap();
            prop_assert_eq!(store.refresh(&unsettled).await.unwrap().len(), 0);
            store.close().await.unwrap();
            let grown = dump(&layout.database()).await;

            prop_assert_eq!(Store::rebuild(&layout).await.unwrap().len(), 0);
            prop_assert_eq!(dump(&layout.database()).await, grown);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn damage_is_listed_and_affects_only_the_damaged_parts() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    lay_out(&layout);
    let [first, second] = ids();
    write_attempt(&layout, &whole(first));
    write_attempt(&layout, &whole(second));
    let journal = layout.run(first).attempt(1).journal();
    fs::write(&journal, fs::read_to_string(&journal).unwrap().replacen("\"progressed\"", "\"pr\0gressed\"", 1))
        .unwrap();
    fs::write(layout.run(second).config(), r#"{"config":{"groups":3},"seed":0}"#).unwrap();
    let other = layout.plan("other", "default");
    fs::create_dir_all(other.parent().unwrap()).unwrap();
    fs::write(&other, "{").unwrap();

    let damage = Store::rebuild(&layout).await.unwrap();
    assert!(matches!(&damage[0], Damage::Plan { path, .. } if *path == other), "{damage:?}");
    let listed: Vec<_> = damage.iter().map(ToString::to_string).collect();
    assert!(listed.iter().any(|text| text.contains("journal.jsonl, line 2")), "{listed:?}");
    assert!(listed.iter().any(|text| text.contains("run.json")), "{listed:?}");
    assert_eq!(listed.len(), 3);
    let rows = Reader::open(&layout).await.unwrap().run_rows(&[first, second]).unwrap();
    assert!(rows.iter().all(|row| row.status == Status::Succeeded), "{rows:?}");
}

#[tokio::test]
async fn a_rebuild_replaces_an_index_of_another_version_and_its_write_ahead_log() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    lay_out(&layout);
    write_attempt(&layout, &whole(ids()[0]));
    for name in ["metrics.sqlite", "metrics.sqlite-wal", "metrics.sqlite-shm", "metrics.sqlite-rebuild"] {
        fs::write(layout.root().join(name), "of another age").unwrap();
    }
    assert!(Store::rebuild(&layout).await.unwrap().is_empty());
    assert_eq!(Reader::open(&layout).await.unwrap().run_rows(&ids()).unwrap()[0].status, Status::Succeeded);
    assert!(!layout.root().join("metrics.sqlite-rebuild").exists());
}

#[tokio::test]
async fn an_empty_folder_gives_an_empty_index() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    assert!(Store::rebuild(&layout).await.unwrap().is_empty());
    assert!(Reader::open(&layout).await.unwrap().experiments().unwrap().is_empty());
}

#[tokio::test]
async fn a_plan_in_the_folder_of_another_plan_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    lay_out(&layout);
    // A copy of an older plan that the user kept.
    let mut older = plan("groups");
    older.runs.truncate(1);
    for (experiment, profile) in [("groups-old", "default"), ("groups", "before")] {
        let path = layout.plan(experiment, profile);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, serde_json::to_vec(&older).unwrap()).unwrap();
    }
    let damages = Store::rebuild(&layout).await.unwrap();
    assert!(matches!(damages.as_slice(), [Damage::Misplaced { .. }, Damage::Misplaced { .. }]), "{damages:?}");
    let rows = Reader::open(&layout).await.unwrap().experiment_rows("groups", "default").await.unwrap();
    assert_eq!(rows.unwrap().plan.runs.len(), 2);
}
