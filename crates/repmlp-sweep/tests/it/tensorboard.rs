//! Event files, read by TensorBoard's own reader. Without it the tests are skipped, except in CI.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::{Bench, repository, skipped};
use crate::own_trainer;

/// Values by run, tag and step.
type Values = BTreeMap<String, BTreeMap<String, BTreeMap<u64, f32>>>;

/// Returns the Python that has TensorBoard; `None` if it is not installed.
fn python() -> Option<PathBuf> {
    let python = repository().join("target/tools/tensorboard/bin/python");
    if python.exists() {
        return Some(python);
    }
    assert!(std::env::var_os("CI").is_none(), "event files must be tested in CI: `.ci/tools` was not run");
    skipped("the reader of TensorBoard", "`.ci/tools` was not run");
    None
}

fn read(python: &Path, folder: &Path) -> Values {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python/read_events.py");
    let ran = Command::new(python).arg(script).arg(folder).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let found: BTreeMap<String, BTreeMap<String, Vec<(u64, f32)>>> = serde_json::from_slice(&ran.stdout).unwrap();
    let series = |(tag, values): (String, Vec<(u64, f32)>)| {
        let count = values.len();
        let values: BTreeMap<u64, f32> = values.into_iter().collect();
        assert_eq!(values.len(), count, "{tag}: a step occurs twice");
        (tag, values)
    };
    found.into_iter().map(|(run, tags)| (run, tags.into_iter().map(series).collect())).collect()
}

/// Returns what `export` writes, in the form of event files. `name` gives the name of a run's folder.
fn exported(csv: &str, name: impl Fn(&BTreeMap<&str, &str>) -> String) -> Values {
    let mut lines = csv.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let mut values = Values::new();
    for line in lines {
        let cells: BTreeMap<&str, &str> = columns.iter().copied().zip(line.split(',')).collect();
        let parts = ["metric", "split", "form"].map(|column| cells[column]);
        let tag = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        let of_run = values.entry(name(&cells)).or_default();
        let step = cells["epoch"].parse().unwrap_or(0);
        let value = cells["value"].parse::<f64>().unwrap() as f32;
        assert_eq!(of_run.entry(tag).or_default().insert(step, value), None);
    }
    values
}

fn with_log(bench: &Bench, file: &str) {
    let path = bench.path(file);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("log = {{ tensorboard = true }}\n{text}")).unwrap();
}

#[test]
fn the_reader_of_tensorboard_finds_every_value_of_the_built_in_trainer() {
    let Some(python) = python() else { return };
    let bench = Bench::new();
    with_log(&bench, "experiments/tiny.toml");
    bench.done("experiments/tiny.toml");
    let folder = bench.path("results/experiments/tiny/default/tensorboard");
    let found = read(&python, &folder);
    let csv = bench.done("export experiments/tiny.toml").stdout();
    let expected = exported(&csv, |cells| format!("groups={}_seed_{}", cells["groups"], cells["seed"]));
    assert_eq!(found, expected);
    assert!(found.values().all(|tags| tags.contains_key("accuracy/test/deployed")), "{found:?}");
    // What is derived may be removed: the next call writes it again, though nothing is left to train.
    fs::remove_dir_all(&folder).unwrap();
    bench.done("experiments/tiny.toml");
    assert_eq!(read(&python, &folder), expected);
}

#[test]
fn event_files_of_an_interrupted_sweep_have_each_value_once() {
    let Some(python) = python() else { return };
    let bench = own_trainer::project();
    let spec = own_trainer::SPEC;
    // The first runs know nothing of event files.
    bench.run(&format!("{spec} --limit 1"));
    with_log(&bench, spec);
    bench.start_until(&format!("{spec} --slots 1"), "epoch 20/60").kill();
    let folder = bench.path("results/experiments/own/default/tensorboard");
    let partial = read(&python, &folder);
    assert!(!partial.is_empty(), "files are written while runs train");
    bench.done(spec);
    let csv = bench.done(&format!("export {spec}")).stdout();
    let expected = exported(&csv, |cells| format!("width={}_seed_{}", cells["width"], cells["seed"]));
    assert_eq!(read(&python, &folder), expected);
}

#[test]
fn event_files_that_cannot_be_written_stop_nothing() {
    let bench = own_trainer::project();
    let spec = own_trainer::SPEC;
    with_log(&bench, spec);
    let folder = bench.path("results/experiments/own/default");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("tensorboard"), "mine").unwrap();
    let ran = bench.done(spec);
    let notes: Vec<String> =
        ran.stderr().lines().filter(|line| line.contains("TensorBoard")).map(str::to_owned).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(fs::read_to_string(folder.join("tensorboard")).unwrap(), "mine");
}
