//! What a shell offers at the tab key: names of runs, experiments, profiles and networks, as they are at that moment.
//!
//! Looks only; what cannot be read is not offered.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};
use sweep_protocol::{PlanRecord, ResultsLayout, read_regular_file};

use crate::cli::{Cli, RunArgs};
use crate::recorded::folders;

/// The variable by which a shell asks for candidates.
const VARIABLE: &str = "REPMLP_SWEEP_COMPLETE";

/// Answers a shell that asks for candidates, and ends the program then.
pub(crate) fn answer() {
    // A file alone means `run`: what `run` takes is offered beside the commands.
    let command = || RunArgs::augment_args(Cli::command()).subcommand_required(false);
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// The script by which a shell learns to ask.
pub(crate) fn script(shell: Shell) -> std::io::Result<Vec<u8>> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let Some(completer) = shells.completer(&shell.to_string()) else { return Ok(script) };
    completer.write_registration(VARIABLE, NAME, NAME, NAME, &mut script)?;
    Ok(script)
}

const NAME: &str = env!("CARGO_PKG_NAME");

/// Ids of the runs of the results folder, with where each sits.
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

/// Names of the experiments of the results folder.
pub(crate) fn experiments() -> Vec<CompletionCandidate> {
    candidates(plans().into_iter().map(|plan| (plan.experiment, plan.question)).collect())
}

/// Words with what is said of each.
fn candidates(words: BTreeMap<String, String>) -> Vec<CompletionCandidate> {
    words.into_iter().map(|(word, help)| CompletionCandidate::new(word).help(Some(help.into()))).collect()
}

/// Profiles of the experiment file that the command line names.
pub(crate) fn profiles() -> Vec<CompletionCandidate> {
    let is_file = |word: &PathBuf| word.extension().is_some_and(|extension| extension == "toml");
    let file = std::env::args_os().map(PathBuf::from).find(is_file);
    let experiment = file.and_then(|file| sweep_plan::load(&file, None).ok());
    let names = experiment.map(|experiment| experiment.profiles().to_vec()).unwrap_or_default();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// Names of the networks of the catalogue.
pub(crate) fn networks() -> Vec<CompletionCandidate> {
    let all = repmlp::catalogue::all().unwrap_or_default();
    all.into_iter().map(|network| CompletionCandidate::new(network.name)).collect()
}

/// Every plan of the results folder, which is the one beside the current folder's experiments unless the environment names another.
fn plans() -> Vec<PlanRecord> {
    let root = std::env::var_os("REPMLP_SWEEP_RESULTS").map_or_else(|| PathBuf::from("results"), PathBuf::from);
    let experiments = folders(&ResultsLayout::new(root).plans()).unwrap_or_default();
    let profiles = experiments.iter().flat_map(|experiment| folders(experiment).unwrap_or_default());
    profiles.filter_map(|profile| read(&profile.join("plan.json"))).collect()
}

fn read(plan: &Path) -> Option<PlanRecord> {
    serde_json::from_slice(&read_regular_file(plan).ok()?).ok()
}
