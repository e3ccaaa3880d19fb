//! Arguments of `compare`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::engine::ArgValueCandidates;

use super::numbers::RecordedArgs;
use crate::complete;

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// A run by the beginning of its id; with --spec also a row by its labels, as in `groups=2,partition=8x8`, or one
    /// of its runs with `seed=0`.
    #[arg(value_name = "RUN|ROW", add = ArgValueCandidates::new(complete::runs))]
    pub(crate) first: String,
    /// What it is compared with.
    #[arg(value_name = "RUN|ROW", add = ArgValueCandidates::new(complete::runs))]
    pub(crate) second: String,
    /// The experiment file of rows.
    #[arg(long, value_name = "SPEC", value_hint = ValueHint::FilePath)]
    pub(crate) spec: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) recorded: RecordedArgs,
    /// Compare the values of this epoch, for runs that are not equally far.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) at_epoch: Option<u32>,
    /// Print everything as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
