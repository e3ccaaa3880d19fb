//! Rules of the source tree: dependencies between crates, headers of files, schemas, experiments, reports.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::bench::{Bench, repository};

/// The dependencies that each crate may have. Listed are our own crates, and libraries that only some crates may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("repmlp", &["repmlp-kernels", "candle-core", "candle-nn"]),
    ("repmlp-interop", &["repmlp", "repmlp-kernels", "candle-core", "candle-nn"]),
    ("repmlp-kernels", &["candle-core"]),
    (
        "repmlp-sweep",
        &[
            "repmlp",
            "repmlp-interop",
            "repmlp-kernels",
            "repmlp-train",
            "sweep-bundle",
            "sweep-page",
            "sweep-plan",
            "sweep-progress",
            "sweep-protocol",
            "sweep-report",
            "sweep-runner",
            "sweep-serve",
            "sweep-slurm",
            "sweep-store",
            "sweep-tensorboard",
            "sweep-trainer",
            "sweep-watch",
            "tokio",
            "indicatif",
            "clap",
            "anyhow",
        ],
    ),
    (
        "repmlp-train",
        &["repmlp", "repmlp-interop", "repmlp-kernels", "sweep-protocol", "sweep-trainer", "candle-core", "candle-nn"],
    ),
    ("sweep-bundle", &["sweep-protocol"]),
    ("sweep-page", &["sweep-report"]),
    ("sweep-plan", &["sweep-protocol"]),
    ("sweep-progress", &["sweep-protocol"]),
    ("sweep-protocol", &["sweep-statistics"]),
    ("sweep-report", &["sweep-protocol", "sweep-statistics", "polars", "plotters"]),
    ("sweep-runner", &["sweep-protocol", "tokio"]),
    ("sweep-serve", &["axum", "tokio"]),
    ("sweep-slurm", &["sweep-protocol", "sweep-runner", "tokio"]),
    ("sweep-statistics", &[]),
    ("sweep-store", &["sweep-protocol", "sqlx"]),
    ("sweep-tensorboard", &["sweep-protocol"]),
    ("sweep-trainer", &["sweep-protocol"]),
    ("sweep-watch", &["sweep-progress", "sweep-protocol", "ratatui"]),
];

/// Libraries that only some crates may use.
const BORDERS: &[&str] = &[
    "candle-core",
    "candle-nn",
    "polars",
    "plotters",
    "sqlx",
    "tokio",
    "indicatif",
    "ratatui",
    "clap",
    "anyhow",
    "axum",
];

#[test]
fn crates_depend_only_on_allowed_crates() {
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for (name, allowed) in ARROWS {
        let path = repository().join("crates").join(name).join("Cargo.toml");
        let manifest: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
        for dependency in manifest["dependencies"].as_table().unwrap().keys() {
            let marked = ours.contains(dependency.as_str()) || BORDERS.contains(&dependency.as_str());
            assert!(
                !marked || allowed.contains(&dependency.as_str()),
                "{name} -> {dependency} is not an arrow in ARCHITECTURE.md"
            );
        }
    }
    let crates = std::fs::read_dir(repository().join("crates")).unwrap().count();
    assert_eq!(crates, ARROWS.len(), "every crate is in the list");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let nested = entries.map(|path| match path.is_dir() {
        true => rust_files(&path),
        false if path.extension().is_some_and(|e| e == "rs") => vec![path],
        false => vec![],
    });
    nested.flatten().collect()
}

#[test]
fn every_file_has_a_header_and_a_specific_name() {
    let vague = ["utils", "helpers", "common", "misc", "types", "core"];
    for path in rust_files(&repository().join("crates")) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} has no header", path.display());
        assert!(text.lines().count() <= 600, "{} is too long", path.display());
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(!vague.contains(&stem.as_str()), "{} is a vague name", path.display());
        assert!(!text.contains(concat!("#[", "ignore")), "{} ignores a test", path.display());
    }
}

/// A new block must not touch the layers of networks: these know blocks only by their traits.
#[test]
fn layers_of_networks_know_no_block_by_name() {
    let blocks = ["RepMlp", "ShareSet", "NonLocal", "GlobalContext", "SelfAttention"];
    for path in rust_files(&repository().join("crates/repmlp/src/network")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let named = blocks.iter().find(|block| text.contains(*block));
        assert_eq!(named, None, "{}", path.display());
    }
}

fn experiments() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository().join("experiments")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect()
}

#[test]
fn every_shipped_experiment_plans_under_every_profile() {
    let bench = Bench::new();
    assert_eq!(experiments().len(), 14);
    for path in experiments() {
        let table: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        let named = table["profile"].as_table().unwrap().keys().map(String::as_str);
        for profile in named.chain(["default"]) {
            bench.done(&format!("plan {} --profile {profile} --results none", path.display()));
        }
    }
}

#[test]
fn identities_of_shipped_experiments_are_frozen() {
    let bench = Bench::new();
    let mut ids = String::new();
    for path in experiments().into_iter().collect::<BTreeSet<_>>() {
        let text = std::fs::read_to_string(&path).unwrap();
        for profile in
            ["default", "paper"].into_iter().filter(|name| *name == "default" || text.contains("[profile.paper"))
        {
            let words = format!("plan {} --profile {profile} --results none --json", path.display());
            let plan: serde_json::Value = serde_json::from_str(&bench.done(&words).stdout()).unwrap();
            for run in plan["runs"].as_array().unwrap() {
                let (name, id) = (plan["experiment"].as_str().unwrap(), run["run"].as_str().unwrap());
                ids += &format!("{name} {profile} {} {} {}\n", run["coordinates"], run["seed"], &id[..16]);
            }
        }
    }
    // A change of this list makes published results unreachable. CHANGELOG.md must give the reason.
    insta::assert_snapshot!("identities", ids);
}

#[test]
fn every_training_of_the_paper_is_planned_once() {
    let bench = Bench::new();
    let mut trainings = BTreeSet::new();
    for table in ["perceptrons", "table2_", "table3_", "table4_", "table5_", "table6_", "table7_"] {
        let path =
            experiments().into_iter().find(|path| path.file_stem().unwrap().to_str().unwrap().starts_with(table));
        let words = format!("plan {} --profile paper --results none --json", path.unwrap().display());
        let plan: serde_json::Value = serde_json::from_str(&bench.done(&words).stdout()).unwrap();
        for run in plan["runs"].as_array().unwrap() {
            assert!(run["predicted_s"].is_f64() && run["predicted_bytes"].is_f64(), "{table}: {}", run["coordinates"]);
            trainings.insert(run["config"].to_string());
        }
    }
    // Six in Table 1, 22 on ImageNet (Tables 2, 3, 4 and 7 share some), three on faces, two on Cityscapes.
    assert_eq!(trainings.len(), 33);
}

#[test]
fn schemas_are_current() {
    let bench = Bench::new();
    for of in ["experiment", "base", "report"] {
        let path = repository().join(format!("experiments/schema/{of}.schema.json"));
        let current = bench.done(&format!("schema {of}")).stdout();
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == current, "run: repmlp-sweep schema {of} > experiments/schema/{of}.schema.json");
    }
}

#[test]
fn committed_reports_match_their_measurements() {
    let mut command = Bench::new().command("report --check");
    let ran = command.current_dir(repository()).output().unwrap();
    assert!(
        repository().join("results/published/gfc_groups/default").exists(),
        "the report of the main experiment is published"
    );
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}

#[test]
fn help_texts_are_unchanged() {
    let bench = Bench::new();
    insta::assert_snapshot!("help", bench.done("--help").stdout());
    insta::assert_snapshot!("help_bench", bench.done("bench --help").stdout());
    insta::assert_snapshot!("help_run", bench.done("run --help").stdout());
}
