//! Shell completion of the names of runs, experiments, profiles and networks. The names are read when the user presses
//! the tab key.
//!
//! This module only reads. Files that cannot be read are left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};
use sweep_protocol::{PlanRecord, ResultsLayout, read_regular_file};

use crate::cli::{Cli, RunArgs};
use crate::recorded::folders;

/// Environment variable with which a shell asks for candidates.
const VARIABLE: &str = "REPMLP_SWEEP_COMPLETE";

/// If a shell asks for candidates, answers it and ends the program.
pub(crate) fn answer() {
    // A file alone means `run`, so the options of `run` are offered next to the commands.
    let command = || RunArgs::augment_args(Cli::command()).subcommand_required(false);
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// Returns the script that makes a shell ask for candidates.
pub(crate) fn script(shell: Shell) -> std::io::Result<Vec<u8>> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let Some(completer) = shells.completer(&shell.to_string()) else { return Ok(script) };
    completer.write_registration(VARIABLE, NAME, NAME, NAME, &mut script)?;
    Ok(script)
}

const NAME: &str = env!("CARGO_PKG_NAME");

/// Returns the ids of the runs in the results folder, each with its place in an experiment.
pub(crate) fn runs() -> Vec<CompletionCandidate> {
    let mut places = BTreeMap::new();
    for plan in plans() {
        for run in plan.runs {
            let place = format!("{} {} seed {}", plan.experiment, run.coordinates, run.seed);
            places.entry(run.run.short()).or_insert(place);
        }
    }
    candidates(places)
}

/// Returns the names of the experiments in the results folder.
pub(crate) fn experiments() -> Vec<CompletionCandidate> {
    candidates(plans().into_iter().map(|plan| (plan.experiment, plan.question)).collect())
}

/// Turns words and their help texts into candidates.
fn candidates(words: BTreeMap<String, String>) -> Vec<CompletionCandidate> {
    words.into_iter().map(|(word, help)| CompletionCandidate::new(word).help(Some(help.into()))).collect()
}

/// Returns the profiles of the experiment file on the command line.
pub(crate) fn profiles() -> Vec<CompletionCandidate> {
    let is_file = |word: &PathBuf| word.extension().is_some_and(|extension| extension == "toml");
    let file = std::env::args_os().map(PathBuf::from).find(is_file);
    let experiment = file.and_then(|file| sweep_plan::load(&file, None).ok());
    let names = experiment.map(|experiment| experiment.profiles().to_vec()).unwrap_or_default();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// Returns the names of the networks in the catalogue.
pub(crate) fn networks() -> Vec<CompletionCandidate> {
    let all = repmlp::catalogue::all().unwrap_or_default();
    all.into_iter().map(|network| CompletionCandidate::new(network.name)).collect()
}

/// Returns every plan in the results folder. This is the folder in `REPMLP_SWEEP_RESULTS`, or else `results` in the
/// current folder.
fn plans() -> Vec<PlanRecord> {
    let root = std::env::var_os("REPMLP_SWEEP_RESULTS").map_or_else(|| PathBuf::from("results"), PathBuf::from);
    let experiments = folders(&ResultsLayout::new(root).plans()).unwrap_or_default();
    let profiles = experiments.iter().flat_map(|experiment| folders(experiment).unwrap_or_default());
    profiles.filter_map(|profile| read(&profile.join("plan.json"))).collect()
}

fn read(plan: &Path) -> Option<PlanRecord> {
    serde_json::from_slice(&read_regular_file(plan).ok()?).ok()
}
