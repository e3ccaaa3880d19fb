//! Which sweep `watch` and `serve` show, and how often they look at it.

use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::ResultsArgs;
use super::values::{parse_interval, parse_name};
use crate::complete;

#[derive(Debug, Args)]
pub(crate) struct ShownArgs {
    /// An experiment, by name or file [default: the one that was last active].
    #[arg(add = ArgValueCandidates::new(complete::experiments))]
    pub(crate) experiment: Option<String>,
    /// One profile of the experiment [default: the one that was last active].
    #[arg(long, short, value_parser = parse_name, add = ArgValueCandidates::new(complete::profiles))]
    pub(crate) profile: Option<String>,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// Time between two looks at the results folder, such as 500ms or 10s.
    #[arg(long, value_name = "TIME", value_parser = parse_interval, default_value = "1s")]
    pub(crate) interval: Duration,
}
