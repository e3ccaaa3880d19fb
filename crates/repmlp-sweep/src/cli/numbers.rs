//! Arguments of the commands that show the numbers of a report, explain them, and plan them.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::engine::ArgValueCandidates;
use sweep_plan::DEFAULT_PROFILE;

use super::values::{parse_name, parse_positive, parse_power};
use super::{AdjustArgs, ReportsArgs, ResultsArgs};
use crate::complete;

/// Which recorded runs of an experiment a command reads.
#[derive(Debug, Args)]
pub(crate) struct RecordedArgs {
    /// A profile of the file.
    #[arg(long, short, value_parser = parse_name, add = ArgValueCandidates::new(complete::profiles))]
    pub(crate) profile: Option<String>,
    #[command(flatten)]
    pub(crate) adjust: AdjustArgs,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
}

impl RecordedArgs {
    /// Returns the name of the profile under which the runs were recorded.
    pub(crate) fn profile(&self) -> String {
        self.adjust.adjustments().profile(self.profile.as_deref().unwrap_or(DEFAULT_PROFILE))
    }
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The experiment file. With --check it may be omitted: then every published report is checked.
    #[arg(value_name = "SPEC", required_unless_present = "check", value_hint = ValueHint::FilePath)]
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) recorded: RecordedArgs,
    #[command(flatten)]
    pub(crate) reports: ReportsArgs,
    /// Render from the published measurements and compare with the files in the reports folder, byte by byte; writes
    /// nothing.
    #[arg(long)]
    pub(crate) check: bool,
    /// Print the tables as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NoiseArgs {
    /// The experiment file.
    #[arg(value_name = "SPEC", value_hint = ValueHint::FilePath)]
    pub(crate) path: PathBuf,
    /// Results folder with the same runs, computed with another arithmetic.
    #[arg(value_name = "OTHER", value_hint = ValueHint::DirPath)]
    pub(crate) other: PathBuf,
    /// Id of the table whose rows are compared [default: the first one with a loss, an accuracy or mIoU].
    #[arg(long)]
    pub(crate) table: Option<String>,
    #[command(flatten)]
    pub(crate) recorded: RecordedArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PilotArgs {
    /// The experiment file.
    #[arg(value_name = "SPEC", value_hint = ValueHint::FilePath)]
    pub(crate) path: PathBuf,
    /// The difference that must be told, in the unit that tables show: 1.0 is a point of accuracy [default: the
    /// observed one].
    #[arg(long, value_parser = parse_positive)]
    pub(crate) difference: Option<f64>,
    /// Probability that a true difference of this size is told.
    #[arg(long, default_value_t = 0.8, value_parser = parse_power)]
    pub(crate) power: f64,
    /// Show the smallest difference that this number of seeds tells [default: the present number].
    #[arg(long, value_name = "SEEDS", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub(crate) at: Option<u32>,
    /// Id of the table [default: the first one with differences].
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// Beginning of the column's heading, or name of its metric [default: the first one with differences].
    #[arg(long)]
    pub(crate) column: Option<String>,
    #[command(flatten)]
    pub(crate) recorded: RecordedArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// The experiment file.
    #[arg(value_name = "SPEC", value_hint = ValueHint::FilePath)]
    pub(crate) path: PathBuf,
    /// Id of the table or front.
    pub(crate) table: String,
    /// Labels of the row, joined by `/`.
    pub(crate) row: String,
    /// Beginning of the column's heading, or name of its metric.
    pub(crate) column: String,
    #[command(flatten)]
    pub(crate) recorded: RecordedArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
