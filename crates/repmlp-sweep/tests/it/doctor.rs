//! `doctor`, and a sweep whose workers are another build.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::bench::Bench;

#[test]
fn the_doctor_says_what_is_there_and_whether_a_device_can_be_used() {
    let bench = Bench::empty();
    let text = bench.done("doctor --device cpu").stdout();
    for word in
        ["program     repmlp-sweep ", "\nkernels     ", "\ngpu         none: ", "GiB free", "\ncpu can be used\n"]
    {
        assert!(text.contains(word), "{word} in {text}");
    }
    let json: Value = serde_json::from_str(&bench.done("doctor --device auto --json").stdout()).unwrap();
    assert_eq!(json["device"], "cpu");
    let refused = bench.run("doctor --device cuda:0");
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr().contains("build it with `--features cuda`"), "{}", refused.stderr());
    assert!(!refused.stdout().contains("no problem was found"), "{}", refused.stdout());
    assert!(!bench.path("results").exists(), "it only looks");
}

/// Writes a program that passes everything on to this one, and notes that it was called.
fn other_build(bench: &Bench, name: &str, script: &str) {
    let path = bench.path(name);
    let text = format!("#!/bin/sh\necho \"$1\" >> '{}'\n{script}\n", bench.path("calls").display());
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn another_build_trains_and_times_the_runs() {
    let bench = Bench::new();
    other_build(&bench, "other", &format!("exec '{}' \"$@\"", env!("CARGO_BIN_EXE_repmlp-sweep")));
    let spec = bench.path("experiments/tiny.toml");
    let text = fs::read_to_string(&spec).unwrap();
    fs::write(&spec, format!("exec = {{ program = \"other\" }}\n{text}")).unwrap();
    bench.done("experiments/tiny.toml");
    let calls = fs::read_to_string(bench.path("calls")).unwrap();
    assert_eq!(calls.lines().filter(|call| *call == "train").count(), 2, "{calls}");
    assert!(calls.starts_with("doctor\n") && calls.contains("time\n"), "{calls}");
}

#[test]
fn a_build_that_does_not_fit_is_refused_before_anything_starts() {
    let bench = Bench::new();
    let answer = r#"{"version":"0.0.1","trainer_version":1,"device":"cpu"}"#;
    other_build(&bench, "old", &format!("echo '{answer}'"));
    other_build(&bench, "silent", "true");
    other_build(&bench, "quiet", "exit 3");
    let loader = "echo 'error while loading shared libraries: libcuda.so.1' >&2; exit 127";
    other_build(&bench, "no-driver", loader);
    fs::write(bench.path("text"), "").unwrap();
    for (name, text) in [
        ("old", "old has version 0.0.1 and trainer 1, but this program has version"),
        ("silent", "silent is no build of this program"),
        ("no-driver", "cannot use the device `auto`: error while loading shared libraries: libcuda.so.1"),
        ("text", "it may not be executed"),
        ("absent", "error: --worker: "),
        ("quiet", "it ended with exit status: 3 and said nothing"),
    ] {
        let refused = bench.run(&format!("run experiments/tiny.toml --worker {name}"));
        assert_eq!(refused.code(), 2, "{}", refused.stderr());
        assert!(refused.stderr().contains(text), "{text}\n{}", refused.stderr());
        assert!(!bench.path("results/runs").exists());
    }
}
