//! Obstacles in a results folder: something else lies where a run has a file or folder. An obstacle costs this run or
//! its attempt, never the other runs, and it is not removed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::bench::Bench;
use crate::processes::system;

const SWEEP: &str = "experiments/tiny.toml --profile few --slots 1 --threads 1";

/// Kinds of obstacles.
const OBSTACLES: [&str; 4] = ["file", "folder", "pipe", "link to nothing"];

/// Replaces a path by an obstacle.
fn put(obstacle: &str, path: &Path) {
    remove(path);
    match obstacle {
        "file" => fs::write(path, "mine").unwrap(),
        "folder" => fs::create_dir(path).unwrap(),
        "pipe" => system(&["mkfifo", path.to_str().unwrap()]).unwrap(),
        _ => symlink("/nowhere/at/all", path).unwrap(),
    }
}

fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// Makes a finished sweep of two runs. Returns the folder of one of them too.
fn finished() -> (Bench, std::path::PathBuf) {
    let bench = Bench::new();
    bench.add_profile("few", 2, 1);
    bench.done(SWEEP);
    let run = fs::read_dir(bench.path("results/runs")).unwrap().next().unwrap().unwrap().path();
    (bench, run)
}

#[test]
fn an_obstacle_in_the_place_of_a_run_is_named_and_the_other_runs_go_on() {
    let (bench, run) = finished();
    let all = bench.measurements("few");
    let other = fs::read_dir(bench.path("results/runs")).unwrap().map(|entry| entry.unwrap().path());
    let other = other.into_iter().find(|path| *path != run).unwrap();
    for place in [run.clone(), run.join("attempts")] {
        for obstacle in OBSTACLES.into_iter().filter(|obstacle| *obstacle != "folder") {
            remove(&other);
            remove(&run);
            fs::create_dir(&run).unwrap();
            put(obstacle, &place);
            let ran = bench.run(SWEEP);
            assert_eq!(ran.code(), 10, "{obstacle}: {}", ran.stderr());
            let why = format!("{} is not a folder; mend or remove what is named here", place.display());
            assert!(ran.stderr().contains(&why), "{obstacle}: {}", ran.stderr());
            assert_eq!(ran.stderr().matches("is given up, the other runs go on").count(), 1, "{}", ran.stderr());
            assert!(ran.stderr().contains("1 succeeded, 1 failed:io"), "{obstacle}: {}", ran.stderr());
            assert!(place.symlink_metadata().is_ok(), "the obstacle stays");
            // With --fail-fast nothing else begins.
            remove(&other);
            let ran = bench.run(&format!("{SWEEP} --fail-fast"));
            assert_eq!(ran.code(), 10, "{obstacle}: {}", ran.stderr());
        }
        remove(&place);
    }
    bench.done(SWEEP);
    assert_eq!(bench.measurements("few"), all);
}

#[test]
fn an_obstacle_in_an_attempt_costs_this_attempt_only() {
    let (bench, run) = finished();
    let all = bench.measurements("few");
    let attempt = run.join("attempts/1");
    let cases = [
        ("", ["file", "pipe", "link to nothing"].as_slice()),
        ("supervisor.jsonl", &["folder", "pipe", "link to nothing"]),
        ("journal.jsonl", &["folder", "pipe"]),
        ("lease", &["folder", "pipe"]),
        ("orders.json", &["folder"]),
        ("log.txt", &["folder"]),
    ];
    for (place, obstacle) in cases.iter().flat_map(|(place, all)| all.iter().map(move |obstacle| (*place, *obstacle))) {
        let path = if place.is_empty() { attempt.clone() } else { attempt.join(place) };
        // Without its last line, the attempt is open.
        fs::write(attempt.join("supervisor.jsonl"), "").unwrap();
        put(obstacle, &path);
        let ran = bench.done(SWEEP);
        assert!(ran.stderr().contains("2 succeeded"), "{place}, {obstacle}: {}", ran.stderr());
        assert_eq!(bench.measurements("few"), all, "{place}, {obstacle}");
        assert!(path.symlink_metadata().is_ok(), "{place}, {obstacle}: it stays");
        let ran = bench.done(SWEEP);
        assert!(ran.stderr().contains("0 of 2 runs to do, 2 done and reused"), "{place}, {obstacle}: {}", ran.stderr());
        remove(&run);
        let ran = bench.done(SWEEP);
        assert!(ran.stderr().contains("1 of 2 runs to do"), "{place}, {obstacle}: {}", ran.stderr());
    }
}

#[test]
fn an_obstacle_in_the_place_of_the_configuration_is_set_aside() {
    let (bench, run) = finished();
    let all = bench.measurements("few");
    for obstacle in ["folder", "pipe", "link to nothing"] {
        remove(&run.join("attempts"));
        put(obstacle, &run.join("run.json"));
        bench.done(SWEEP);
        assert_eq!(bench.measurements("few"), all, "{obstacle}");
    }
    let aside = fs::read_dir(run.join("damaged")).unwrap().count();
    assert_eq!(aside, 3);
}

#[test]
fn a_link_to_the_folder_of_another_run_is_not_followed() {
    let (bench, run) = finished();
    let runs = fs::read_dir(bench.path("results/runs")).unwrap().map(|entry| entry.unwrap().path());
    let other = runs.into_iter().find(|path| *path != run).unwrap();
    let config = fs::read(other.join("run.json")).unwrap();
    remove(&run);
    symlink(&other, &run).unwrap();
    let ran = bench.run(SWEEP);
    assert!(ran.stderr().contains("is not a folder"), "{}", ran.stderr());
    assert_eq!(ran.code(), 10, "{}", ran.stderr());
    assert_eq!(fs::read(other.join("run.json")).unwrap(), config);
    assert_eq!(fs::read_dir(other.join("attempts")).unwrap().count(), 1);
}

#[test]
fn an_obstacle_in_the_place_of_all_runs_ends_the_sweep() {
    let (bench, run) = finished();
    put("file", run.parent().unwrap());
    let ran = bench.run(SWEEP);
    assert_eq!(ran.code(), 21, "{}", ran.stderr());
    assert!(ran.stderr().contains("results/runs is not a folder"), "{}", ran.stderr());
}
