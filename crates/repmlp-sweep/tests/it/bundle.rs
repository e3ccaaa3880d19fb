//! A sweep that is carried to another folder as a bundle.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sweep_bundle::{Content, pack, unpack};

use crate::bench::Bench;
use crate::own_trainer::{self, SPEC};

/// Returns all files below a folder with their bytes, except those whose path contains one of these words.
fn files(folder: &Path, except: &[&str]) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            let inner = path.strip_prefix(folder).unwrap().to_owned();
            if except.iter().any(|word| inner.to_string_lossy().contains(word)) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(inner, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Exports a bundle, and copies it into another project.
fn carry(words: &str, from: &Bench, to: &Bench) {
    from.done(&format!("bundle export {words} --out carried.tar.gz"));
    fs::copy(from.path("carried.tar.gz"), to.path("carried.tar.gz")).unwrap();
}

#[test]
fn a_bundle_in_an_empty_folder_renders_the_same_bytes() {
    let (here, there) = (Bench::new(), Bench::empty());
    here.done("experiments/tiny.toml");
    carry("experiments/tiny.toml", &here, &there);
    let told = there.done("bundle import carried.tar.gz").stdout();
    assert!(told.starts_with("`tiny` (default): 2 runs are new\nwritten by repmlp-sweep "), "{told}");
    let renderings = files(&here.path("reports"), &[]);
    assert!(renderings.len() > 3);
    assert_eq!(files(&there.path("reports"), &[]), renderings);

    // What is rendered again, from the journals, has the same bytes.
    fs::remove_dir_all(there.path("reports")).unwrap();
    fs::remove_dir_all(there.path("results/published")).unwrap();
    there.done("report experiments/tiny.toml");
    assert_eq!(files(&there.path("reports"), &[]), renderings);
    assert_eq!(files(&there.path("results/published"), &[]), files(&here.path("results/published"), &[]));
    assert_eq!(there.done("status").stdout(), here.done("status").stdout());
    let again = there.done("experiments/tiny.toml");
    assert!(again.stderr().contains("0 of 2 runs to do, 2 done and reused"), "{}", again.stderr());
    let verified = there.done("report --check").stdout();
    assert!(!verified.contains("differ"), "{verified}");

    // The same sweep gives the same bundle, and the same bundle changes nothing.
    let first = fs::read(here.path("carried.tar.gz")).unwrap();
    carry("tiny", &here, &there);
    assert_eq!(fs::read(here.path("carried.tar.gz")).unwrap(), first);
    let before = files(there.folder(), &["metrics.sqlite", "scheduler.lock"]);
    let told = there.done("bundle import carried.tar.gz").stdout();
    assert!(told.contains("0 runs are new, 2 runs were here already"), "{told}");
    assert_eq!(files(there.folder(), &["metrics.sqlite", "scheduler.lock"]), before);
}

#[test]
fn weights_are_carried_on_request() {
    let (here, there) = (Bench::new(), Bench::empty());
    here.done("experiments/tiny.toml");
    for (flag, count) in [("", 0), ("--weights", 2)] {
        carry(&format!("tiny {flag}"), &here, &there);
        let told = there.run("bundle import carried.tar.gz --results elsewhere");
        assert_eq!(told.code(), 0, "{}", told.stderr());
        let weights = files(&there.path("elsewhere/runs"), &[]);
        let weights = weights.keys().filter(|path| path.ends_with("weights.safetensors")).count();
        assert_eq!(weights, count);
        fs::remove_dir_all(there.path("elsewhere")).unwrap();
    }
    // Weights can be added later.
    carry("tiny", &here, &there);
    there.done("bundle import carried.tar.gz");
    let run = &fs::read_dir(there.path("results/runs")).unwrap().next().unwrap().unwrap().file_name();
    let export = format!("weights export {} --out w.safetensors", run.to_string_lossy());
    let without = there.run(&export);
    assert_eq!(without.code(), 2);
    assert!(without.stderr().contains("its weights are not here"), "{}", without.stderr());
    carry("tiny --weights", &here, &there);
    let told = there.done("bundle import carried.tar.gz").stdout();
    assert!(told.contains("2 runs were here already, 2 files of weights were added to them"), "{told}");
    there.done(&export);
}

#[test]
fn halves_of_a_sweep_are_merged() {
    let (here, there) = (own_trainer::project(), own_trainer::project());
    here.run(&format!("{SPEC} --only width=16"));
    there.run(&format!("{SPEC} --only width=32"));
    carry(SPEC, &here, &there);
    let told = there.done("bundle import carried.tar.gz").stdout();
    assert!(told.contains("2 runs are new"), "{told}");
    let ran = there.done(SPEC);
    assert!(ran.stderr().contains("0 of 4 runs to do, 4 done and reused"), "{}", ran.stderr());
}

#[test]
fn an_unfinished_run_gives_way_and_is_set_aside() {
    let (here, there) = (own_trainer::project(), own_trainer::project());
    here.done(SPEC);
    there.start_until(&format!("{SPEC} --slots 1"), "epoch 20/60").kill();
    // The next call closes what the killed scheduler left, and starts nothing.
    there.run(&format!("{SPEC} --limit 0"));
    carry(SPEC, &here, &there);
    let told = there.done("bundle import carried.tar.gz").stdout();
    assert!(
        told.contains("3 runs are new, 1 run replaces what was unfinished here and is now in results/replaced"),
        "{told}"
    );
    assert_eq!(fs::read_dir(there.path("results/replaced")).unwrap().count(), 1);
    assert_eq!(there.done(&format!("export {SPEC}")).stdout(), here.done(&format!("export {SPEC}")).stdout());
}

/// A trainer whose values depend on a file that is not declared.
const FICKLE: &str = "#!/bin/sh\necho \"{\\\"epochs\\\": 1, \\\"epoch\\\": 1, \\\"split\\\": \\\"test\\\", \
                      \\\"accuracy\\\": $(cat /dev/null \"$SWEEP_PROJECT_DIR/luck\"), \\\"latency\\\": 1}\"\n";

#[test]
fn a_bundle_that_contradicts_what_is_here_changes_nothing() {
    let (here, there) = (own_trainer::project(), own_trainer::project());
    for (bench, luck) in [(&here, "0.5"), (&there, "0.25")] {
        fs::write(bench.path("train.sh"), FICKLE.replace("$SWEEP_PROJECT_DIR/luck", &luck_of(bench))).unwrap();
        fs::write(luck_of(bench), luck).unwrap();
    }
    // The command is the same file on both sides, so the runs have the same ids.
    fs::write(there.path("train.sh"), fs::read(here.path("train.sh")).unwrap()).unwrap();
    here.done(SPEC);
    fs::write(luck_of(&here), "0.25").unwrap();
    there.done(SPEC);
    carry(SPEC, &here, &there);
    let before = files(there.folder(), &["scheduler.lock"]);
    let refused = there.run("bundle import carried.tar.gz");
    assert_eq!(refused.code(), 4, "{}", refused.stderr());
    assert!(
        refused.stderr().contains("test accuracy of epoch 1 is 0.25 here and 0.5 in the bundle"),
        "{}",
        refused.stderr()
    );
    assert!(refused.stderr().contains("nothing was changed"), "{}", refused.stderr());
    assert_eq!(files(there.folder(), &["scheduler.lock"]), before);

    // Another experiment file of the same name.
    let other = own_trainer::project();
    let spec = fs::read_to_string(other.path(SPEC)).unwrap();
    fs::write(other.path(SPEC), spec.replace("Which width?", "Which one?")).unwrap();
    fs::copy(here.path("carried.tar.gz"), other.path("carried.tar.gz")).unwrap();
    let refused = other.run("bundle import carried.tar.gz");
    assert_eq!(refused.code(), 4);
    assert!(refused.stderr().contains("experiments/own.toml is another file"), "{}", refused.stderr());
    assert!(!other.path("results/runs").exists());
}

/// A file outside of both projects' code.
fn luck_of(bench: &Bench) -> String {
    bench.path("luck").display().to_string()
}

#[test]
fn a_damaged_bundle_is_refused_and_leaves_nothing() {
    let (here, there) = (Bench::new(), Bench::empty());
    here.done("experiments/tiny.toml");
    carry("tiny", &here, &there);
    let bytes = fs::read(there.path("carried.tar.gz")).unwrap();
    fs::write(there.path("carried.tar.gz"), &bytes[..bytes.len() / 2]).unwrap();
    // What a killed import left behind goes too.
    fs::create_dir_all(there.path("results/.import-1/results/runs")).unwrap();
    let refused = there.run("bundle import carried.tar.gz");
    assert_eq!(refused.code(), 4, "{}", refused.stderr());
    assert!(refused.stderr().contains("carried.tar.gz is not an intact bundle"), "{}", refused.stderr());
    assert_eq!(files(&there.path("results"), &["scheduler.lock"]), BTreeMap::new());
    assert!(!there.path("results/.import-1").exists());
    for (words, code, text) in [
        ("bundle import absent.tar.gz", 4, "absent.tar.gz cannot be read"),
        ("bundle export nothing", 2, "`nothing` was not run under the profile `default`"),
    ] {
        let ran = there.run(words);
        assert_eq!(ran.code(), code, "{}", ran.stderr());
        assert!(ran.stderr().contains(text), "{}", ran.stderr());
    }
}

/// Packs the files of a bundle again, after a change, with right digests.
fn repacked(bundle: &Path, change: impl FnOnce(&mut BTreeMap<String, Content>)) {
    let folder = tempfile::tempdir().unwrap();
    let manifest = unpack(bundle, folder.path()).unwrap();
    let content = |place: &String| Content::Bytes(fs::read(folder.path().join(place)).unwrap());
    let mut files = manifest.files.keys().map(|place| (place.clone(), content(place))).collect();
    change(&mut files);
    pack(bundle, manifest.origin, &files).unwrap();
}

#[test]
fn a_bundle_writes_the_files_of_its_sweep_and_no_others() {
    let here = Bench::new();
    here.done("experiments/tiny.toml");
    let bytes = |text: &str| Content::Bytes(text.as_bytes().to_vec());
    let plan = "results/experiments/tiny/default/plan.json";
    for place in ["Makefile", "src/main.rs", "results/metrics.sqlite", "reports/other.md", "experiments/other.toml"] {
        let there = Bench::empty();
        carry("tiny", &here, &there);
        repacked(&there.path("carried.tar.gz"), |files| drop(files.insert(place.to_owned(), bytes("x"))));
        let refused = there.run("bundle import carried.tar.gz");
        assert_eq!(refused.code(), 4, "{place}: {}", refused.stderr());
        assert!(refused.stderr().contains(&format!("`{place}` is no file of its sweep")), "{}", refused.stderr());
        assert!(!there.path(place).exists());
    }
    for file in ["/etc/passwd", "../../secret.toml", "../.ssh/id"] {
        let there = Bench::empty();
        carry("tiny", &here, &there);
        repacked(&there.path("carried.tar.gz"), |files| {
            let Content::Bytes(text) = &files[plan] else { panic!() };
            let text = String::from_utf8(text.clone()).unwrap().replace("../experiments/tiny.toml", file);
            files.insert(plan.to_owned(), bytes(&text));
        });
        let refused = there.run("bundle import carried.tar.gz");
        assert_eq!(refused.code(), 4, "{}", refused.stderr());
        assert!(refused.stderr().contains("its plan names a file outside of the project"), "{}", refused.stderr());
    }
    // A link could lead anywhere.
    let (there, elsewhere) = (Bench::empty(), tempfile::tempdir().unwrap());
    carry("tiny", &here, &there);
    std::os::unix::fs::symlink(elsewhere.path(), there.path("experiments")).unwrap();
    let refused = there.run("bundle import carried.tar.gz");
    assert_eq!(refused.code(), 4, "{}", refused.stderr());
    assert!(refused.stderr().contains("experiments is a link, and an import follows none"), "{}", refused.stderr());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_sweep_whose_experiment_file_is_gone_can_still_be_carried() {
    let (here, there) = (Bench::new(), Bench::empty());
    here.done("experiments/tiny.toml");
    fs::remove_file(here.path("experiments/tiny.toml")).unwrap();
    carry("tiny", &here, &there);
    let told = there.done("bundle import carried.tar.gz").stdout();
    assert!(told.contains("2 runs are new"), "{told}");
    assert_eq!(there.done("export tiny.toml").stdout(), here.done("export tiny.toml").stdout());
}
