//! Arguments of the commands about bundles.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use clap_complete::engine::ArgValueCandidates;

use super::ResultsArgs;
use super::values::parse_name;
use crate::complete;

/// What is done with a bundle.
#[derive(Debug, Subcommand)]
pub(crate) enum BundleCommand {
    /// Write a sweep into one archive: experiment, runs, journals, measurements and reports, each with its digest.
    Export(BundleExportArgs),
    /// Merge a bundle into this project. A bundle that contradicts what is here changes nothing.
    Import(BundleImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BundleExportArgs {
    /// The experiment, by name or file.
    #[arg(add = ArgValueCandidates::new(complete::experiments))]
    pub(crate) experiment: PathBuf,
    /// Its profile [default: default].
    #[arg(long, short, value_parser = parse_name, add = ArgValueCandidates::new(complete::profiles))]
    pub(crate) profile: Option<String>,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// The archive to write [default: EXPERIMENT-PROFILE.tar.gz].
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
    /// Carry the weights of the runs too.
    #[arg(long)]
    pub(crate) weights: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BundleImportArgs {
    /// The archive.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) bundle: PathBuf,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
}
