//! Sweeps on a real Slurm cluster: arrays, failures, restarts, lost nodes, and double starts.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use sweep_protocol::{Event, JournalReader, ResultsLayout, RunId, Status, SupervisorEvent, attempt_numbers};

use crate::bench::{Bench, Ran, Started};
use crate::cluster::Cluster;

pub(crate) const SWEEP: &str = "experiments/tiny.toml --launcher slurm";

/// Makes a project whose tasks are asked for every second.
pub(crate) fn project(more: &str) -> Bench {
    let bench = Bench::new();
    let path = bench.path("experiments/tiny.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("{text}\n[launcher.slurm]\npoll = 1\n{more}\n")).unwrap();
    bench
}

fn run(cluster: &Cluster, bench: &Bench, words: &str) -> Ran {
    Ran(cluster.command(bench, words).output().unwrap())
}

fn done(cluster: &Cluster, bench: &Bench, words: &str) -> Ran {
    let ran = run(cluster, bench, words);
    assert_eq!(ran.code(), 0, "{words}\n{}{}", ran.stdout(), ran.stderr());
    ran
}

/// Measurements of an undisturbed sweep on this machine.
fn undisturbed(profile: &str) -> Vec<String> {
    let bench = Bench::new();
    bench.done(&format!("experiments/tiny.toml --profile {profile}"));
    bench.measurements(profile)
}

/// Status and message with which each attempt was closed, in order.
pub(crate) fn closings(bench: &Bench) -> Vec<(Status, String)> {
    let mut closings = Vec::new();
    for (_, folder) in attempts(bench) {
        let lines = JournalReader::<SupervisorEvent>::new(&folder.join("supervisor.jsonl")).read_new().unwrap().lines;
        for line in lines {
            if let SupervisorEvent::Closed { status, message, .. } = line.event {
                closings.push((status, message.unwrap_or_default()));
            }
        }
    }
    closings
}

/// Folders of all attempts, sorted by run and number.
pub(crate) fn attempts(bench: &Bench) -> Vec<(RunId, PathBuf)> {
    let layout = ResultsLayout::new(bench.path("results"));
    let mut found = Vec::new();
    for entry in fs::read_dir(layout.runs()).into_iter().flatten() {
        let Ok(run) = entry.unwrap().file_name().to_str().unwrap().parse::<RunId>() else { continue };
        let numbers = attempt_numbers(&layout.run(run)).unwrap();
        found.extend(numbers.into_iter().map(|number| (run, layout.run(run).attempt(number).root().to_owned())));
    }
    found.sort();
    found
}

/// Whether an attempt of this number has written a checkpoint.
fn has_checkpoint(bench: &Bench, number: &str) -> bool {
    let of_number = |folder: &PathBuf| folder.file_name().unwrap() == number;
    let holds = |folder: PathBuf| {
        let names = fs::read_dir(folder).unwrap().flatten();
        names.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("checkpoint-"))
    };
    attempts(bench).into_iter().map(|(_, folder)| folder).filter(of_number).any(holds)
}

/// Number of attempts that have begun to train.
fn started(bench: &Bench) -> usize {
    let is_started = |folder: &PathBuf| {
        let lines = JournalReader::<Event>::new(&folder.join("journal.jsonl")).read_new().map(|part| part.lines);
        lines.unwrap_or_default().iter().any(|line| matches!(line.event, Event::Started { .. }))
    };
    attempts(bench).iter().filter(|(_, folder)| is_started(folder)).count()
}

/// Each run was closed as succeeded once, and measured what an undisturbed sweep measures.
fn assert_as_undisturbed(bench: &Bench, profile: &str) {
    let mut successes: BTreeMap<RunId, usize> = BTreeMap::new();
    for (run, folder) in attempts(bench) {
        let lines = JournalReader::<SupervisorEvent>::new(&folder.join("supervisor.jsonl")).read_new().unwrap().lines;
        let is_success =
            |event: &SupervisorEvent| matches!(event, SupervisorEvent::Closed { status: Status::Succeeded, .. });
        *successes.entry(run).or_default() += lines.iter().filter(|line| is_success(&line.event)).count();
    }
    assert!(successes.values().all(|number| *number == 1), "{successes:?}");
    assert_eq!(bench.measurements(profile), undisturbed(profile));
}

#[test]
fn an_array_trains_measures_and_reports_as_this_machine_does() {
    let Some(cluster) = Cluster::start(2, "") else { return };
    let bench = project("array_limit = 1");
    let swept = done(&cluster, &bench, SWEEP);
    assert!(swept.stderr().contains("submitted 2 runs to Slurm as job 1"), "{}", swept.stderr());
    assert!(bench.path("reports/tiny/default/README.md").exists() || bench.path("reports/tiny/default").is_dir());
    assert_as_undisturbed(&bench, "default");
    // One task at a time: no attempt began before the other had ended.
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for (_, folder) in attempts(&bench) {
        let lines = JournalReader::<Event>::new(&folder.join("journal.jsonl")).read_new().unwrap().lines;
        spans.push((lines.first().unwrap().at_ms, lines.last().unwrap().at_ms));
    }
    spans.sort();
    assert!(spans[0].1 <= spans[1].0, "{spans:?}");
    let again = done(&cluster, &bench, SWEEP);
    assert!(again.stderr().contains("0 of 2 runs to do"), "{}", again.stderr());
}

#[test]
fn a_failing_run_fails_alone() {
    let Some(cluster) = Cluster::start(2, "") else { return };
    let bench = project("");
    let axis = "\n[[axis]]\nname = \"rate\"\npath = \"training.optimizer.learning_rate\"\nvalues = [0.05, 1e9]\n";
    let path = bench.path("experiments/tiny.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\n[profile.diverging", &format!("{axis}\n[profile.diverging"), 1)).unwrap();
    let swept = run(&cluster, &bench, SWEEP);
    assert_eq!(swept.code(), 10, "{}", swept.stderr());
    let closings = closings(&bench);
    let succeeded = closings.iter().filter(|(status, _)| *status == Status::Succeeded).count();
    let diverged = closings.iter().filter(|(status, _)| status.to_string() == "failed:diverged").count();
    assert_eq!((succeeded, diverged, closings.len()), (2, 2, 4), "{closings:?}");
}

#[test]
fn a_submission_goes_on_without_its_scheduler_and_is_collected() {
    let Some(cluster) = Cluster::start(2, "") else { return };
    let bench = project("");
    let left = run(&cluster, &bench, &format!("{SWEEP} --detach"));
    assert_eq!(left.code(), 5, "{}", left.stderr());
    let status = bench.done("status tiny").stdout();
    assert!(status.contains("Slurm job 1_0") && status.contains("running"), "{status}");
    let local = run(&cluster, &bench, "experiments/tiny.toml");
    let is_refused = local.code() == 2 && local.stderr().contains("--launcher slurm");
    assert!(is_refused || local.code() == 0, "{}", local.stderr());
    cluster.wait("both tasks are completed", || cluster.states() == ["COMPLETED", "COMPLETED"]);
    let collected = done(&cluster, &bench, "experiments/tiny.toml");
    assert!(!collected.stderr().contains("submitted"), "{}", collected.stderr());
    assert_as_undisturbed(&bench, "default");
}

#[test]
fn a_killed_scheduler_is_followed_by_the_next_one() {
    let Some(cluster) = Cluster::start(2, "") else { return };
    let bench = project("");
    let words = format!("{SWEEP} --profile killed");
    let first = Started::until(cluster.command(&bench, &words), "started on cpu");
    first.kill();
    let second = done(&cluster, &bench, &words);
    assert!(!second.stderr().contains("submitted"), "{}", second.stderr());
    assert_as_undisturbed(&bench, "killed");
}

#[test]
fn a_cancelled_sweep_continues_from_its_checkpoints() {
    let Some(cluster) = Cluster::start(1, "") else { return };
    let bench = project("array_limit = 1");
    let words = format!("{SWEEP} --profile killed");
    assert_eq!(run(&cluster, &bench, &format!("{words} --detach")).code(), 5);
    cluster.wait("a checkpoint is written", || has_checkpoint(&bench, "1"));
    let cancelled = done(&cluster, &bench, "cancel experiments/tiny.toml --profile killed");
    assert!(cancelled.stderr().contains("asked Slurm to end 2 runs"), "{}", cancelled.stderr());
    cluster.wait("nothing runs", || {
        !cluster.states().iter().any(|state| ["RUNNING", "PENDING"].contains(&state.as_str()))
    });
    let second = done(&cluster, &bench, &words);
    assert!(second.stderr().contains("continues at step"), "{}", second.stderr());
    assert_as_undisturbed(&bench, "killed");
}

#[test]
fn a_task_near_its_time_limit_queues_again_and_continues() {
    let Some(cluster) = Cluster::start(1, "") else { return };
    let bench = project("array_limit = 1");
    let words = format!("{SWEEP} --profile killed --only groups=1");
    let sweep = Started::until(cluster.command(&bench, &words), "started on cpu");
    cluster.wait("a checkpoint is written", || has_checkpoint(&bench, "1"));
    // Slurm sends this signal before the time limit, which is at least a minute away.
    cluster.asked("scancel", &["--batch", "--signal=USR1", "1"]);
    let (code, told) = sweep.end();
    assert_eq!(code, Some(5), "one of two runs was asked for: {told}");
    assert!(told.contains("wrote a checkpoint and waits in the queue again"), "{told}");
    assert!(told.contains("continues at step"), "{told}");
    assert_eq!(
        closings(&bench).iter().map(|(status, _)| *status).collect::<Vec<_>>(),
        [Status::Cancelled, Status::Succeeded]
    );
    done(&cluster, &bench, &format!("{SWEEP} --profile killed"));
    assert_as_undisturbed(&bench, "killed");
}

#[test]
fn a_preempted_task_that_slurm_does_not_queue_again_continues() {
    let urgent = "PreemptType=preempt/partition_prio\nPreemptMode=CANCEL\n\
                  PartitionName=urgent Nodes=ALL PriorityTier=10 GraceTime=0 MaxTime=60 State=UP";
    let Some(cluster) = Cluster::start(1, urgent) else { return };
    let bench = project("array_limit = 1\ncpus = 2");
    let sweep = Started::until(cluster.command(&bench, &format!("{SWEEP} --profile killed")), "started on cpu");
    cluster.wait("a checkpoint is written", || has_checkpoint(&bench, "1"));
    let job = ["--partition=urgent", "--cpus-per-task=2", "--output=/dev/null", "--wrap=true"];
    assert!(cluster.asked("sbatch", &job).contains("Submitted"));
    let (code, told) = sweep.end();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("PREEMPTED") && told.contains("continues at step"), "{told}");
    assert_as_undisturbed(&bench, "killed");
    let closed: Vec<Status> = closings(&bench).iter().map(|(status, _)| *status).collect();
    assert!(!closed.iter().any(|status| matches!(status, Status::Failed(_))), "{closed:?}");
}

#[test]
fn lost_nodes_and_double_runs_change_no_result() {
    let Some(cluster) = Cluster::start(4, "") else { return };
    let bench = project("cpus = 2");
    let words = format!("{SWEEP} --profile long");
    let sweep = Started::until(cluster.command(&bench, &words), "submitted 2 runs");
    cluster.wait("both runs have begun", || started(&bench) == 2);
    let nodes = cluster.asked("squeue", &["--noheader", "--array", "--states=RUNNING", "--format=%N"]);
    let nodes: Vec<&str> = nodes.lines().collect();
    // One machine dies. The other one is only cut off, so its task goes on beside its second start.
    cluster.crash(nodes[0]);
    cluster.cut_off(nodes[1]);
    let (code, told) = sweep.end();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("Slurm started it again"), "{told}");
    assert_as_undisturbed(&bench, "long");
}

#[test]
fn a_lost_controller_is_no_lost_task() {
    let Some(cluster) = Cluster::start(2, "") else { return };
    let bench = project("");
    let words = format!("{SWEEP} --profile killed");
    let mut sweep = Started::until(cluster.command(&bench, &words), "started on cpu");
    cluster.kill_controller();
    sweep.read_until("asking again every 1 s");
    cluster.start_controller();
    let (code, told) = sweep.end();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("Slurm answers again"), "{told}");
    assert_as_undisturbed(&bench, "killed");
}

#[test]
fn more_runs_than_an_array_can_hold_are_several_arrays() {
    let Some(cluster) = Cluster::start(3, "MaxArraySize=5") else { return };
    let bench = project("");
    bench.add_profile("many", 2, 7);
    let swept = done(&cluster, &bench, &format!("{SWEEP} --profile many"));
    assert!(swept.stderr().contains("submitted 14 runs to Slurm as job "), "{}", swept.stderr());
    let words = swept.stderr();
    let line = words.lines().find(|line| line.starts_with("submitted")).unwrap();
    assert_eq!(line.split_once(" as job ").unwrap().1.split(", ").count(), 3, "{line}");
    let here = Bench::new();
    here.add_profile("many", 2, 7);
    here.done("experiments/tiny.toml --profile many");
    assert_eq!(bench.measurements("many"), here.measurements("many"));
    assert_eq!(closings(&bench).len(), 14);
}

#[test]
fn what_slurm_refuses_is_said_in_its_words_and_loses_nothing() {
    let Some(cluster) = Cluster::start(1, "") else { return };
    let bench = project("partition = \"nowhere\"");
    let refused = run(&cluster, &bench, SWEEP);
    assert_eq!(refused.code(), 71, "{}", refused.stderr());
    assert!(
        refused.stderr().contains("refused")
            && refused.stderr().contains("nowhere") | refused.stderr().contains("partition"),
        "{}",
        refused.stderr()
    );
    let path = bench.path("experiments/tiny.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("partition = \"nowhere\"", "")).unwrap();
    done(&cluster, &bench, SWEEP);
    assert_as_undisturbed(&bench, "default");
}

/// Puts programs of these texts before the others, and returns the variable that makes it so.
pub(crate) fn with_programs(bench: &Bench, programs: &[(&str, &str)]) -> String {
    let folder = bench.path("programs");
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in programs {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    format!("{}:/usr/bin:/bin", folder.display())
}

/// A cluster without queue: `sbatch` runs all tasks at once, and `squeue` says of them what `answer` prints.
fn without_queue(bench: &Bench, answer: &str) -> String {
    let sbatch = r#"
        for word in "$@"; do
            case $word in --array=0-*) last=${word#--array=0-}; last=${last%%%*} ;; *.sh) script=$word ;; esac
        done
        output=$(dirname "$script")/output
        for task in $(seq 0 "$last"); do
            SLURM_ARRAY_TASK_ID=$task bash "$script" 0 > "$output/7_$task.txt" 2>&1
        done
        echo "Site plug-in: thank you"; echo "7;cluster""#;
    let programs = [
        ("sbatch", sbatch),
        ("scontrol", "echo 'MaxArraySize            = 1001'"),
        ("squeue", answer),
        ("srun", "while [ \"${1#--}\" != \"$1\" ]; do shift; done; exec \"$@\""),
    ];
    with_programs(bench, &programs)
}

#[test]
fn answers_of_other_versions_and_missing_tasks_lose_nothing() {
    for answer in [
        // Jobs that have left the queue.
        "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
        "exit 0",
        "printf '7|0|COMPLETED|None|n1\\n7|1|COMPLETED+|None|n1\\n'",
        "printf '7|0|CANCELLED by 1000|None|n1\\n7|1|NODE_FAIL|NodeFail|n1\\n'",
        "printf '7|0|SOMETHING_NEW|x|n1\\n7|1|RUNNING|None|n1\\n'",
        // A controller that lost its latest state wanted to start them again.
        "printf '7|0|PENDING|launch failed requeued held||\\n7|1|PENDING|launch failed requeued held||\\n'",
    ] {
        let bench = project("");
        let path = without_queue(&bench, answer);
        let swept = Ran(bench.command(SWEEP).env("PATH", path).output().unwrap());
        assert_eq!(swept.code(), 0, "{answer}: {}", swept.stderr());
        assert_as_undisturbed(&bench, "default");
    }
}

#[test]
fn a_task_that_dies_silently_is_classified_and_tried_again_once() {
    for (state, status) in [
        ("OUT_OF_MEMORY|OutOfMemory", "failed:oom"),
        ("TIMEOUT|TimeLimit", "timed_out"),
        ("FAILED|NonZeroExitCode", "failed:crash"),
        ("NODE_FAIL|NodeFail", "failed:crash"),
        // A node refused it, and nobody releases it.
        ("PENDING|launch failed requeued held", "failed:crash"),
    ] {
        // The throughput is measured outside of the array.
        let bench = project("setup = ['[ -z \"$SLURM_ARRAY_TASK_ID\" ] || { echo no such module; exit 1; }']");
        let path = without_queue(&bench, &format!("printf '7|0|{state}|n1\\n7|1|{state}|n1\\n'"));
        let swept = Ran(bench.command(SWEEP).env("PATH", path).output().unwrap());
        assert_eq!(swept.code(), 10, "{state}: {}", swept.stderr());
        let closed: Vec<String> = closings(&bench).into_iter().map(|(status, _)| status.to_string()).collect();
        assert_eq!(closed, [status; 4], "{state}");
        assert!(swept.stderr().contains("no such module"), "{}", swept.stderr());
    }
}

#[test]
fn without_slurm_the_error_names_the_command_and_the_remedy() {
    let bench = project("");
    let path = with_programs(&bench, &[]);
    let path = path.split(':').next().unwrap();
    let swept = Ran(bench.command(SWEEP).env("PATH", path).output().unwrap());
    assert_eq!(swept.code(), 71, "{}", swept.stderr());
    assert!(swept.stderr().contains("`scontrol` cannot be started"), "{}", swept.stderr());
    assert!(swept.stderr().contains("login node"), "{}", swept.stderr());
    assert_eq!(bench.run("experiments/tiny.toml --detach").code(), 2);
    for option in ["--slots 2", "--threads 1", "--device cpu", "--timeout 1h"] {
        assert_eq!(bench.run(&format!("{SWEEP} {option}")).code(), 2, "{option}");
    }
}

#[test]
fn a_dry_run_shows_the_script_and_writes_nothing() {
    let bench = project("partition = \"gpu\"\nsetup = [\"module load cuda\"]");
    let shown = bench.done(&format!("{SWEEP} --dry-run")).stdout();
    for line in ["#SBATCH --partition=gpu", "module load cuda", "--array=0-1 "] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(!bench.path("results").exists());
    bench.done("experiments/tiny.toml");
    let shown = bench.done(&format!("{SWEEP} --dry-run")).stdout();
    assert!(shown.contains("nothing would be submitted") && !shown.contains("--array"), "{shown}");
}

#[test]
fn a_program_that_cannot_be_executed_is_refused_before_anything_is_written() {
    for program in ["no/such/file", "experiments", "experiments/tiny.toml"] {
        let bench = project(&format!("program = \"{program}\""));
        let refused = bench.run(SWEEP);
        assert_eq!(refused.code(), 3, "{}", refused.stderr());
        assert!(refused.stderr().contains("launcher.slurm.program: "), "{}", refused.stderr());
        assert!(!bench.path("results/runs").exists());
    }
}

#[test]
fn wrong_settings_are_found_by_every_command_and_a_path_that_slurm_cannot_take_before_anything_is_written() {
    for (setting, key) in [("device = \"gpu\"", "device"), ("extra = [\"--arr=0-3\"]", "extra"), ("cpus = 0", "cpus")] {
        let bench = project(setting);
        for words in ["plan experiments/tiny.toml", "experiments/tiny.toml", &format!("{SWEEP} --dry-run")] {
            let refused = bench.run(words);
            assert_eq!(refused.code(), 3, "{words}: {}", refused.stderr());
            assert!(refused.stderr().contains(key), "{}", refused.stderr());
        }
    }
    let bench = project("");
    let path = with_programs(&bench, &[("scontrol", "exit 0"), ("sbatch", "echo 7"), ("squeue", "exit 0")]);
    for words in [format!("{SWEEP} --results back\\slash --dry-run"), format!("{SWEEP} --results back\\slash")] {
        let refused = Ran(bench.command(&words).env("PATH", &path).output().unwrap());
        assert_eq!(refused.code(), 2, "{}{}", refused.stdout(), refused.stderr());
        assert!(!bench.path("back\\slash/slurm").exists());
    }
}

#[test]
fn what_slurm_refuses_leaves_no_submission() {
    let bench = project("");
    let path = with_programs(&bench, &[("scontrol", "exit 0"), ("sbatch", "echo no >&2; exit 1")]);
    let refused = Ran(bench.command(SWEEP).env("PATH", path).output().unwrap());
    assert_eq!(refused.code(), 71, "{}", refused.stderr());
    assert_eq!(fs::read_dir(bench.path("results/slurm/1")).unwrap().count(), 0);
    bench.done("experiments/tiny.toml");
    let cleaned = bench.done("clean --yes").stdout();
    assert!(cleaned.contains("a copy of the program, which no submission needs"), "{cleaned}");
    // The number is not given again: the answer may have been lost although the job was accepted.
    assert_eq!(fs::read_dir(bench.path("results/slurm")).unwrap().count(), 1);
}

#[test]
fn runs_in_a_queue_that_does_not_answer_are_left_alone() {
    let bench = project("");
    let sbatch = ("sbatch", "echo 7");
    let path = with_programs(&bench, &[("scontrol", "exit 0"), sbatch, ("squeue", "echo down >&2; exit 1")]);
    let call = |words: &str| Ran(bench.command(words).env("PATH", &path).output().unwrap());
    assert_eq!(call(&format!("{SWEEP} --detach")).code(), 5);
    let plain = call("experiments/tiny.toml");
    assert_eq!(plain.code(), 2, "{}", plain.stderr());
    assert!(plain.stderr().contains("refused: down"), "{}", plain.stderr());
    assert!(plain.stderr().contains("2 runs of this experiment are in the queue of Slurm (job 7)"));
    assert_eq!(attempts(&bench).len(), 2);
    // Nothing that a waiting task needs is removed.
    fs::remove_file(bench.path("experiments/tiny.toml")).unwrap();
    let cleaned = call("clean --yes");
    assert!(cleaned.stderr().contains("stays: it is in the queue of Slurm; `scancel 7_0` ends it"));
    assert!(!cleaned.stdout().contains("submission"), "{}", cleaned.stdout());
    assert_eq!(attempts(&bench).len(), 2);
}
