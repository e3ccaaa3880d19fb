//! Files of the user are kept: files in report folders, folders next to them, other experiments of the same name.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::bench::{Bench, Ran};

/// Arguments that run the tiny experiment.
const ONCE: &str = "experiments/tiny.toml --threads 1";

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

fn refused(ran: &Ran, code: i32) -> String {
    assert_eq!(ran.code(), code, "{}{}", ran.stdout(), ran.stderr());
    ran.stderr()
}

#[test]
fn files_that_were_not_rendered_are_kept_and_are_no_error() {
    let bench = Bench::new();
    let folder = bench.path("reports/tiny/default");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("notes.md"), "mine").unwrap();
    fs::write(folder.join("for_slides.png"), "mine too").unwrap();
    bench.done(ONCE);
    bench.done("report --check");
    let declared = "title = 'Groups'\n[[table]]\nid = 'groups'\nrows = ['groups']\n\
                    [[table.column]]\nmetric = 'params'\n\
                    form = 'deployed'\n[[plot]]\nid = 'params'\nkind = 'bars'\naxis = 'groups'\n\
                    y = { metric = 'params', form = 'deployed' }\n";
    fs::write(bench.path("reports/tiny.toml"), declared).unwrap();
    fs::write(folder.join("results.tex"), "edited").unwrap();
    fs::write(folder.join("report.md"), "edited too").unwrap();
    fs::write(folder.join("report.md.4194304999.tmp"), "half").unwrap();
    fs::write(folder.join("groups.csv"), "my own").unwrap();
    fs::write(folder.join("data.csv.1.tmp"), "not rendered").unwrap();
    let check = bench.run("report --check");
    assert!(refused(&check, 12).is_empty());
    for (file, is_named) in [
        ("report.md", true),
        ("results.csv was rendered before", true),
        ("groups.tex is missing", true),
        ("notes.md", false),
        ("results.tex", false),
    ] {
        assert_eq!(check.stdout().contains(file), is_named, "{file}: {}", check.stdout());
    }

    let said = bench.done("report experiments/tiny.toml").stderr();
    for line in [
        "reports/tiny/default/results.tex is no longer rendered; it was edited, so it is kept",
        "report.md was not the rendered file: it is kept as reports/tiny/default/report.md.edited-1",
        "groups.csv was not the rendered file: it is kept as reports/tiny/default/groups.csv.edited-1",
    ] {
        assert!(said.contains(line), "{said}");
    }
    for (file, content) in [
        ("notes.md", "mine"),
        ("for_slides.png", "mine too"),
        ("results.tex", "edited"),
        ("report.md.edited-1", "edited too"),
        ("groups.csv.edited-1", "my own"),
        ("data.csv.1.tmp", "not rendered"),
    ] {
        assert_eq!(read(&folder.join(file)), content, "{file}");
    }
    for gone in ["results.csv", "accuracy_against_flops.svg", "learning_curves.png", "report.md.4194304999.tmp"] {
        assert!(!folder.join(gone).exists(), "{gone}");
    }
    assert!(bench.done("report experiments/tiny.toml").stderr().is_empty(), "a kept file is reported once");
    bench.done("report --check");
}

#[test]
fn links_are_not_followed_out_of_a_report_folder() {
    let bench = Bench::new();
    bench.done(ONCE);
    let folder = bench.path("reports/tiny/default");
    let target = bench.path("precious.md");
    fs::rename(folder.join("report.md"), &target).unwrap();
    symlink(&target, folder.join("report.md")).unwrap();
    let rendered = read(&target);
    edit(&folder.join("manifest.json"), "\"renderings\": {", "\"renderings\": {\n    \"../../../precious.md\": \"\",");
    bench.done("report experiments/tiny.toml");
    assert_eq!(read(&target), rendered);
    assert!(folder.join("report.md.edited-1").is_symlink() && !folder.join("report.md").is_symlink());
}

#[test]
fn a_folder_without_its_manifest_loses_nothing() {
    let bench = Bench::new();
    bench.done(ONCE);
    let folder = bench.path("reports/tiny/default");
    fs::remove_file(folder.join("manifest.json")).unwrap();
    bench.done("report --check");
    fs::write(folder.join("report.md"), "of other measurements").unwrap();
    fs::write(folder.join("old_table.csv"), "rendered once").unwrap();
    let said = bench.done("report experiments/tiny.toml").stderr();
    assert!(said.contains("report.md was not the rendered file: it is kept as"), "{said}");
    assert_eq!(read(&folder.join("old_table.csv")), "rendered once");
    assert_eq!(read(&folder.join("report.md.edited-1")), "of other measurements");
    assert!(read(&folder.join("report.md")).starts_with("# "));
    assert!(!folder.join("report.json.edited-1").exists(), "a file with the bytes of its rendering is no other file");
    bench.done("report --check");
}

#[test]
fn a_sweep_that_has_just_begun_does_not_replace_published_rows() {
    let bench = Bench::new();
    bench.done(ONCE);
    let published = bench.path("results/published/tiny/default/measurements.csv");
    let (measured, report) = (read(&published), read(&bench.path("reports/tiny/default/report.md")));
    for folder in ["results/runs", "results/experiments"] {
        fs::remove_dir_all(bench.path(folder)).unwrap();
    }
    bench.run("run experiments/tiny.toml --limit 0");
    let said = bench.done("report experiments/tiny.toml").stderr();
    assert!(said.contains("2 runs are published and 0 are finished"), "{said}");
    assert_eq!(read(&published), measured);
    assert_eq!(read(&bench.path("reports/tiny/default/report.md")), report);
    assert!(bench.done("status tiny").stdout().contains("queued"), "a status is that of the runs");
    // Without the published rows, the state of the sweep is shown.
    fs::remove_dir_all(bench.path("results/published")).unwrap();
    bench.done("report experiments/tiny.toml");
    assert_eq!(read(&published).lines().count(), 1);
}

#[test]
fn a_published_file_that_cannot_be_read_or_was_edited_is_named_and_the_others_are_checked() {
    let bench = Bench::new();
    bench.done(ONCE);
    bench.add_profile("two", 2, 1);
    bench.done(&format!("{ONCE} --profile two"));
    let measured = bench.path("results/published/tiny/default/measurements.csv");
    let text = read(&measured);
    let line = text.lines().nth(1).unwrap();
    let (before, value) = line.rsplit_once(',').unwrap();
    fs::write(&measured, text.replace(line, &format!("{before},1{value}"))).unwrap();
    fs::rename(bench.path("results/experiments"), bench.path("results/other")).unwrap();
    let said = bench.done("claims experiments/tiny.toml").stderr();
    assert!(said.contains("measurements.csv is missing, or is not what was published"), "{said}");
    for wrong in [text.replace(line, "abc"), text.replace(line, &format!("{line}\n{line}"))] {
        fs::write(&measured, wrong).unwrap();
        let checked = bench.run("report --check");
        assert_eq!(checked.code(), 12, "{}", checked.stderr());
        assert!(checked.stdout().contains("measurements.csv, line"), "{}", checked.stdout());
        assert!(checked.stdout().contains("reports/tiny/two matches"), "{}", checked.stdout());
    }
}

#[test]
fn a_configuration_of_another_run_is_not_shown() {
    let bench = Bench::new();
    bench.done(ONCE);
    let mut runs: Vec<_> =
        fs::read_dir(bench.path("results/runs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    runs.sort();
    fs::copy(runs[1].join("run.json"), runs[0].join("run.json")).unwrap();
    let id = runs[0].file_name().unwrap().to_str().unwrap();
    let shown = bench.done(&format!("show {id}"));
    assert!(shown.stderr().contains("it has a different digest"), "{}", shown.stderr());
    assert!(!shown.stdout().contains("groups = "), "{}", shown.stdout());
}

#[test]
fn a_name_that_is_a_path_is_refused() {
    let bench = Bench::new();
    for file in ["README.md", "fig.png", "package.json"] {
        fs::write(bench.path(file), "mine").unwrap();
    }
    for words in [
        "experiments/tiny.toml --profile ../..",
        "plan experiments/tiny.toml --profile /tmp",
        "report experiments/tiny.toml --profile ..",
        "report experiments/tiny.toml --check --profile a/b",
        "export experiments/tiny.toml --profile .",
        "status tiny --profile ../x",
        "status ..",
    ] {
        let said = refused(&bench.run(words), 2);
        assert!(said.contains("letters, digits"), "{words}: {said}");
    }
    edit(&bench.path("experiments/tiny.toml"), "[profile.seeds]", "[profile.\"../..\"]");
    let said = refused(&bench.run(ONCE), 3);
    assert!(said.contains("[profile.\"../..\"]") && said.contains("contains `/`"), "{said}");
    assert!(!bench.path("results").exists() && !bench.path("reports").exists());
    for file in ["README.md", "fig.png", "package.json"] {
        assert_eq!(read(&bench.path(file)), "mine");
    }
}

#[test]
fn two_files_of_the_same_name_do_not_share_a_plan() {
    let bench = Bench::new();
    for folder in ["a", "b"] {
        fs::create_dir_all(bench.path(folder)).unwrap();
        fs::create_dir_all(bench.path(folder).join("base")).unwrap();
        fs::copy(bench.path("experiments/tiny.toml"), bench.path(folder).join("study.toml")).unwrap();
        fs::copy(bench.path("experiments/base/tiny.toml"), bench.path(folder).join("base/tiny.toml")).unwrap();
    }
    edit(&bench.path("b/study.toml"), "values = [1, 2]", "values = [2, 1]");
    let run = |words: &str| {
        let mut command = bench.command(words);
        Ran(command.env("REPMLP_SWEEP_RESULTS", "r").env("REPMLP_SWEEP_REPORTS", "p").output().unwrap())
    };
    assert_eq!(run("a/study.toml --threads 1").code(), 0);
    let (plan, report) = (bench.path("r/experiments/study/default/plan.json"), bench.path("p/study/default/report.md"));
    let before = (read(&plan), read(&report));
    assert!(before.0.contains("\"../a/study.toml\""), "{}", before.0);
    assert!(!read(&bench.path("r/published/study/default/plan.json")).contains("source"));
    for words in ["b/study.toml", "report b/study.toml", "export b/study.toml", "status b/study.toml"] {
        let said = refused(&run(words), 2);
        assert!(said.contains("a/study.toml") && said.contains("b/study.toml") && said.contains("--results"), "{said}");
    }
    assert!(run("plan b/study.toml").stderr().contains("`run` will refuse this file"));
    assert_eq!(before, (read(&plan), read(&report)));
    assert!(run("a/study.toml --threads 1").stderr().contains("0 of 2 runs to do"));

    fs::remove_file(bench.path("a/study.toml")).unwrap();
    let said = run("b/study.toml --threads 1").stderr();
    assert!(said.contains("was made from a/study.toml, which no longer exists: b/study.toml replaces it"), "{said}");
    assert_eq!(run("report b/study.toml").stderr(), "");
}

#[test]
fn a_moved_project_still_works_and_an_edit_is_reported() {
    let bench = Bench::new();
    fs::create_dir(bench.path("project")).unwrap();
    fs::rename(bench.path("experiments"), bench.path("project/experiments")).unwrap();
    bench.done("project/experiments/tiny.toml --threads 1");
    fs::rename(bench.path("project"), bench.path("moved")).unwrap();
    for words in ["report moved/experiments/tiny.toml", "plan moved/experiments/tiny.toml"] {
        assert_eq!(bench.done(words).stderr(), "", "{words}");
    }
    // An edit of a base file counts as an edit of the experiment.
    edit(&bench.path("moved/experiments/base/tiny.toml"), "repeats = 3", "repeats = 4");
    for words in [
        "report moved/experiments/tiny.toml",
        "export moved/experiments/tiny.toml",
        "plan moved/experiments/tiny.toml",
        "status moved/experiments/tiny.toml",
        "status tiny --results moved/results",
        "status --results moved/results",
    ] {
        let said = bench.done(words).stderr();
        assert!(
            said.contains("moved/experiments/tiny.toml (profile default) was edited after its last run (20"),
            "{words}: {said}"
        );
    }
    bench.done("moved/experiments/tiny.toml --threads 1");
    assert_eq!(bench.done("report moved/experiments/tiny.toml").stderr(), "");
}

#[test]
fn a_link_to_an_experiment_file_stands_for_that_file() {
    let bench = Bench::new();
    symlink("experiments/tiny.toml", bench.path("latest.toml")).unwrap();
    bench.done("latest.toml --threads 1");
    assert!(bench.path("results/experiments/tiny/default/plan.json").exists());
    assert!(bench.path("reports/tiny/default/report.md").exists());
    assert_eq!(bench.done(ONCE).stdout(), bench.done("report latest.toml").stdout());
    assert!(bench.done("status latest.toml").stdout().starts_with("tiny, profile default"));
}

#[test]
fn control_characters_in_files_do_not_reach_the_terminal() {
    let bench = Bench::new();
    bench.done(ONCE);
    let runs = fs::read_dir(bench.path("results/runs")).unwrap().map(|run| run.unwrap().path());
    let log = runs.map(|run| run.join("attempts/1/log.txt")).find(|log| log.exists()).unwrap();
    fs::write(&log, "\u{1b}[2Jgone\u{9b}31m\r\nline\u{202e}\n").unwrap();
    let id = log.iter().rev().nth(3).unwrap().to_str().unwrap().to_owned();
    let logs = bench.done(&format!("logs {id} --attempt 1")).stdout();
    assert!(logs.contains("\u{fffd}[2Jgone\u{fffd}31m\nline\u{fffd}\n"), "{logs:?}");
}
