//! Runs that a command of the user's trains.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::bench::Bench;

/// The experiment of the fixtures.
pub(crate) const SPEC: &str = "experiments/own.toml";

/// Makes a project with the trainer of the fixtures.
pub(crate) fn project() -> Bench {
    let bench = Bench::empty();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/own_trainer");
    fs::create_dir_all(bench.path("experiments/base")).unwrap();
    for file in ["train.sh", SPEC, "experiments/base/own.toml"] {
        fs::copy(from.join(file), bench.path(file)).unwrap();
    }
    bench
}

/// Makes a project whose command runs these lines.
fn project_of(script: &str) -> Bench {
    let bench = project();
    fs::write(bench.path("train.sh"), script).unwrap();
    bench
}

fn values(bench: &Bench, profile: &str) -> String {
    bench.done(&format!("export {SPEC} --profile {profile}")).stdout()
}

fn replace(bench: &Bench, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(bench.path(file)).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(bench.path(file), text.replace(from, to)).unwrap();
}

#[test]
fn a_command_is_swept_like_the_trainer_of_this_program() {
    let bench = project();
    let plan = bench.done(&format!("plan {SPEC}")).stdout();
    assert!(plan.contains("4 runs of 2 configurations; 4 to do. Times are unknown: a command"), "{plan}");
    let ran = bench.done(SPEC);
    assert!(ran.stderr().contains("width=16 seed 0 epoch 60/60: test accuracy"), "{}", ran.stderr());
    assert!(ran.stdout().contains("test latency (ms"), "{}", ran.stdout());
    let again = bench.done(SPEC);
    assert!(again.stderr().contains("0 of 4 runs to do, 4 done and reused"), "{}", again.stderr());
    assert_eq!(again.stdout(), ran.stdout());

    let csv = values(&bench, "default");
    assert_eq!(csv.lines().filter(|line| line.contains(",latency,test,")).count(), 4 * 60);
    let report = fs::read_to_string(bench.path("reports/own/default/report.md")).unwrap();
    assert!(report.contains("test latency (ms") && report.contains("test accuracy (%"), "{report}");
    // The index is made again from the journals.
    fs::remove_file(bench.path("results/metrics.sqlite")).unwrap();
    bench.done("rebuild");
    assert_eq!(values(&bench, "default"), csv);
    let id: String = plan.lines().find(|line| line.contains("width=16")).unwrap().chars().take(10).collect();
    let shown = bench.done(&format!("show {id}")).stdout();
    assert!(shown.contains("command = [") && shown.contains("latency") && shown.contains("ms"), "{shown}");
    let log = bench.done(&format!("logs {id}")).stdout();
    assert!(log.contains("device cpu, from epoch 0") && !log.contains("accuracy"), "{log}");
}

#[test]
fn a_declared_metric_stands_in_declared_tables_and_plots() {
    let bench = project();
    fs::create_dir_all(bench.path("reports")).unwrap();
    let report = r#"
        title = "Widths"
        [[table]]
        id = "t"
        rows = ["width"]
        column = [{ metric = "latency", split = "test", delta = true }, { metric = "params" }]
        [[plot]]
        id = "p"
        kind = "line"
        axis = "width"
        y = { metric = "latency", split = "test" }
    "#;
    fs::write(bench.path("reports/own.toml"), report).unwrap();
    let table = bench.done(SPEC).stdout();
    assert!(table.contains("test latency (ms"), "{table}");
    assert!(bench.path("reports/own/default/p.svg").exists());
    fs::write(bench.path("reports/own.toml"), report.replace("latency", "latancy")).unwrap();
    let refused = bench.run(SPEC);
    assert_eq!(refused.code(), 3);
    let told = "there is no metric `latancy`; did you mean `latency`?; or declare it in the base file";
    assert!(refused.stderr().contains(told), "{}", refused.stderr());
}

/// Kills scheduler, worker and command in turns. `profile` says whether the command writes checkpoints.
fn converges_after_kills(profile: &str) {
    let undisturbed = project();
    let sweep = format!("{SPEC} --profile {profile} --slots 1");
    undisturbed.done(&sweep);
    let bench = project();
    for round in 0..20 {
        let mut command = bench.command(&sweep);
        let mut child =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
        let epochs = lines.by_ref().filter(|line| line.as_ref().unwrap().contains("epoch "));
        assert_eq!(epochs.take(1 + round % 3).count(), 1 + round % 3, "the sweep is not over before round {round}");
        // The command alone, the command with its worker, or none of them dies before the scheduler.
        for pid in commands(&bench).into_iter().rev().take(round % 3) {
            // It may have ended by itself meanwhile.
            kill_process(pid, Signal::KILL).ok();
        }
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        child.wait().unwrap();
    }
    bench.done(&sweep);
    assert_eq!(values(&bench, profile), values(&undisturbed, profile));
    assert_eq!(commands(&bench), [], "nothing of the project is left running");
}

/// Returns the running commands of a project.
fn commands(bench: &Bench) -> Vec<Pid> {
    let folder = bench.folder().canonicalize().unwrap();
    let pid = |entry: std::io::Result<fs::DirEntry>| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let mark = b"SWEEP_ATTEMPT_DIR=";
        let own = environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(mark))?;
        Path::new(std::str::from_utf8(own).ok()?).starts_with(&folder).then(|| Pid::from_raw(pid))?
    };
    fs::read_dir("/proc").unwrap().filter_map(pid).collect()
}

#[test]
fn kills_of_a_command_with_checkpoints_change_nothing() {
    converges_after_kills("default");
}

#[test]
fn kills_of_a_command_without_checkpoints_change_nothing() {
    converges_after_kills("forgetful");
}

/// A script that reports its first epoch, then saves and ends when it is asked to.
const ENDS_ON_TERM: &str = r#"
trap 'echo 1 > "$SWEEP_ATTEMPT_DIR/last"; echo "{\"checkpoint\": \"last\"}"; kill $!; exit 0' TERM
for folder in $(echo "$SWEEP_RESUME_DIRS" | tr ':' ' '); do [ -f "$folder/last" ] && exit 0; done
echo '{"epoch": 1, "split": "test", "accuracy": 0.5}'
tail -f /dev/null & wait
"#;

#[test]
fn an_interrupt_asks_the_command_to_save_and_end() {
    let bench = project_of(ENDS_ON_TERM);
    let started = bench.start_until(&format!("{SPEC} --slots 1"), "epoch 1");
    kill_process(Pid::from_child(&started.child), Signal::INT).unwrap();
    let (code, rest) = started.end();
    assert_eq!(code, Some(5), "{rest}");
    let plan = bench.done(&format!("plan {SPEC}")).stdout();
    assert!(plan.contains("continues at step 1") && plan.contains("4 to do"), "{plan}");
    bench.through_shell(r#"timeout 60 "$0" "$@" --only $(ls results/runs | head -1)"#, SPEC).output().unwrap();
    let csv = values(&bench, "default");
    assert_eq!(csv.matches(",accuracy,test,").count(), 1, "the value before the checkpoint is kept: {csv}");
}

#[test]
fn failures_of_a_command_say_what_happened_and_show_the_log() {
    for (script, status, told) in [
        ("echo 'what went wrong' >&2; exit 3", "failed:crash", "exit code 3; its log ends with:\nwhat went wrong"),
        ("echo 'width must be even' >&2; exit 2", "failed:config", "refuses its configuration"),
        (
            r#"echo '{"failed": "diverged", "message": "the loss is NaN"}'; exit 1"#,
            "failed:diverged",
            "the loss is NaN",
        ),
        ("echo MemoryError; exit 1", "failed:oom", "exit code 1"),
        ("kill -9 $$", "failed:crash", "signal 9"),
    ] {
        let bench = project_of(script);
        let ran = bench.run(SPEC);
        assert_eq!(ran.code(), 10, "{script}");
        assert!(ran.stderr().contains(status) && ran.stderr().contains(told), "{script}: {}", ran.stderr());
    }
    let bench = project();
    replace(&bench, "experiments/base/own.toml", "\"sh\", ", "\"no-such-program\", ");
    let ran = bench.run(SPEC);
    assert!(ran.stderr().contains("`no-such-program` cannot be started"), "{}", ran.stderr());
}

#[test]
fn a_changed_script_is_a_new_run_and_the_plan_says_why() {
    let bench = project();
    bench.done(SPEC);
    replace(&bench, "train.sh", "set -eu", "set -e");
    let plan = bench.done(&format!("plan {SPEC}")).stdout();
    assert_eq!(plan.matches("new: train.sh changed").count(), 4, "{plan}");
    // The recorded results are those of the former script.
    for call in [
        "status",
        "status own",
        "report experiments/own.toml",
        "export experiments/own.toml",
        "claims experiments/own.toml",
    ] {
        let told = bench.done(call).stderr();
        assert!(told.contains("train.sh was edited, added or removed after the runs of"), "{call}: {told}");
    }
    // A file that a pattern matches now counts too.
    replace(&bench, "experiments/base/own.toml", "[\"train.sh\"]", "[\"train.sh\", \"lib/*.sh\"]");
    fs::create_dir(bench.path("lib")).unwrap();
    fs::write(bench.path("lib/a.sh"), "").unwrap();
    bench.done(SPEC);
    assert!(!bench.done("status own").stderr().contains("after the runs"), "nothing was edited since");
    fs::write(bench.path("lib/b.sh"), "").unwrap();
    let told = bench.done("status own").stderr();
    assert!(told.contains("lib/b.sh was edited, added or removed"), "{told}");
    replace(&bench, "experiments/base/own.toml", "[\"train.sh\", \"lib/*.sh\"]", "[\"trian.sh\"]");
    let refused = bench.run(&format!("plan {SPEC}"));
    assert_eq!(refused.code(), 3);
    let told = refused.stderr();
    assert!(told.contains("`trian.sh` names no file") && told.contains("own.toml:7:1"), "{told}");
}

#[test]
fn a_schema_gives_types_to_the_keys() {
    let bench = project();
    replace(&bench, "experiments/base/own.toml", "[trainer]", "[trainer]\nschema = \"keys.json\"");
    let schema = serde_json::json!({
        "type": "object",
        "properties": { "width": { "type": "integer" }, "epochs": { "type": "integer" }, "checkpoints": { "type": "boolean" } },
        "required": ["width"],
        "additionalProperties": false,
    });
    fs::write(bench.path("keys.json"), schema.to_string()).unwrap();
    bench.done(&format!("plan {SPEC}"));
    replace(&bench, "experiments/base/own.toml", "epochs      = 60", "epoch = 12");
    let refused = bench.run(&format!("plan {SPEC}"));
    assert_eq!(refused.code(), 3);
    let told = refused.stderr();
    assert!(told.contains("own.toml:2:1") && told.contains("did you mean `epochs`?"), "{told}");
}

#[test]
fn what_a_command_says_wrongly_is_noted_and_the_rest_counts() {
    let script = r#"
        echo '{"epoch": 1, "split": "test", "accuracy": 0.5, "latancy": 3}'
        echo '{"checkpoint": "never-written"}'
        echo '{"epoch": 2, "split": "test", "accuracy": 0.75}' >> "$SWEEP_JOURNAL"
        (tail -f /dev/null) &
    "#;
    let bench = project_of(script);
    let ran = bench.run(&format!("{SPEC} --limit 1 --slots 1"));
    assert_eq!(ran.code(), 5, "runs remain: {}", ran.stderr());
    let told = ran.stderr();
    assert!(told.contains("declare it in the base file with [metric.latancy]"), "{told}");
    assert!(told.contains("the checkpoint `never-written` does not count"), "{told}");
    assert!(told.contains("epoch 2"), "the journal file is read: {told}");
    assert_eq!(commands(&bench), [], "what the command left running is ended");
}

#[test]
fn a_new_value_replaces_one_of_an_earlier_attempt() {
    // The second attempt measures a value that belongs to no epoch before it says where it continues.
    let script = r#"
        if [ -z "$SWEEP_RESUME_DIRS" ]; then
            echo '{"params": 1}'
            echo '{"epoch": 1, "split": "test", "accuracy": 0.5}'
            exit 3
        fi
        echo '{"params": 2}'
        echo '{"epoch": 2, "split": "test", "accuracy": 0.75}'
    "#;
    let bench = project_of(script);
    bench.done(SPEC);
    let csv = values(&bench, "default");
    let params = |value: &str| csv.matches(&format!(",params,,,,{value},")).count();
    assert_eq!((params("1.0"), params("2.0")), (0, 4), "{csv}");
    assert_eq!(csv.matches(",accuracy,test,").count(), 8, "the first epoch is kept: {csv}");
}

#[test]
fn a_command_that_reports_nothing_or_a_pipe_as_checkpoint_is_told() {
    let bench = project_of("echo '{\"accuracy\": 1}' >&2");
    let told = bench.run(&format!("{SPEC} --limit 1 --slots 1")).stderr();
    assert!(told.contains("the command reported no value"), "standard error is log only: {told}");
    let script = r#"
        mkfifo "$SWEEP_ATTEMPT_DIR/pipe"
        ln -s /etc/hostname "$SWEEP_ATTEMPT_DIR/link"
        echo '{"checkpoint": "pipe"}'
        echo '{"checkpoint": "link"}'
        echo '{"epoch": 1, "split": "test", "accuracy": 0.5}'
    "#;
    let told = project_of(script).run(&format!("{SPEC} --limit 1 --slots 1")).stderr();
    for name in ["pipe", "link"] {
        assert!(told.contains(&format!("the checkpoint `{name}` does not count: it is not a regular file")), "{told}");
    }
}

#[test]
fn every_variable_of_the_contract_is_set() {
    let bench =
        project_of(r#"env | grep '^SWEEP_' > "$SWEEP_ATTEMPT_DIR/seen"; cp "$SWEEP_CONFIG" "$SWEEP_ATTEMPT_DIR/keys""#);
    fs::create_dir(bench.path("images")).unwrap();
    assert_eq!(bench.run(&format!("{SPEC} --data images --threads 3 --slots 1 --limit 1")).code(), 5, "runs remain");
    let run = fs::read_dir(bench.path("results/runs")).unwrap().next().unwrap().unwrap().path();
    let seen = fs::read_to_string(run.join("attempts/1/seen")).unwrap();
    let of =
        |name: &str| seen.lines().find_map(|line| line.strip_prefix(&format!("SWEEP_{name}="))).unwrap().to_owned();
    assert_eq!([of("DEVICE"), of("THREADS"), of("RESUME_DIRS")], ["cpu", "3", ""]);
    assert!(of("DATA").ends_with("/images") && of("ATTEMPT_DIR").ends_with("/attempts/1"), "{seen}");
    assert_eq!(run.file_name().unwrap().to_str().unwrap(), of("RUN_ID"));
    assert!(["0", "1"].contains(&of("SEED").as_str()) && of("JOURNAL").starts_with(&of("ATTEMPT_DIR")));
    let keys: Value = serde_json::from_slice(&fs::read(run.join("attempts/1/keys")).unwrap()).unwrap();
    assert_eq!(keys["epochs"], 60);
    assert!(keys.get("trainer").is_none() && keys.get("metric").is_none(), "{keys}");
}
