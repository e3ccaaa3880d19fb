//! Arguments of the commands about single runs, and of those that remove something.

use std::path::PathBuf;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::ResultsArgs;
use super::values::parse_name;
use crate::complete;

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The run's id, or the start of it.
    #[arg(add = ArgValueCandidates::new(complete::runs))]
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// The run's id, or the start of it.
    #[arg(add = ArgValueCandidates::new(complete::runs))]
    pub(crate) run: String,
    /// Tags to set: `paper` or `figure=2`.
    #[arg(value_name = "KEY[=VALUE]", required_unless_present = "remove")]
    pub(crate) tags: Vec<String>,
    /// Remove the tag with this key.
    #[arg(long, value_name = "KEY")]
    pub(crate) remove: Vec<String>,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NoteArgs {
    /// The run's id, or the start of it.
    #[arg(add = ArgValueCandidates::new(complete::runs))]
    pub(crate) run: String,
    /// The note; it replaces the former one. An empty text removes it.
    pub(crate) text: String,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// The experiment, by name or file.
    #[arg(add = ArgValueCandidates::new(complete::experiments))]
    pub(crate) experiment: PathBuf,
    /// One profile of it [default: all].
    #[arg(long, short, value_parser = parse_name, add = ArgValueCandidates::new(complete::profiles))]
    pub(crate) profile: Option<String>,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// Remove it.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CleanArgs {
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// Remove it.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The run's id, or the start of it.
    #[arg(add = ArgValueCandidates::new(complete::runs))]
    pub(crate) run: String,
    /// Number of the attempt, counted from 1 [default: the latest].
    #[arg(long)]
    pub(crate) attempt: Option<u32>,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
}
