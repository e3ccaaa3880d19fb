//! Arguments of `run` and `cancel`.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Local};
use clap::{Args, ValueEnum, ValueHint};
use clap_complete::engine::ArgValueCandidates;

use super::values::{parse_duration, parse_time};
use super::{DataArgs, ReportsArgs, ResultsArgs, SpecArgs};
use crate::complete;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    #[command(flatten)]
    pub(crate) reports: ReportsArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Device of the tensors: auto, cpu, or cuda:N. Several devices, separated by commas, get one slot each [default:
    /// `device` of [exec] in the experiment file, else auto].
    #[arg(long, value_delimiter = ',')]
    pub(crate) device: Vec<String>,
    /// Parallel runs on each device [default: one on a GPU; on the CPU one per core, at most 8 and at most as many as
    /// there are runs].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) slots: Option<u32>,
    /// Threads of each run [default: the machine's cores, divided among the slots].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
    /// Program that trains, such as a build for GPUs of the same version [default: `program` of [exec] in the
    /// experiment file, else this program].
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) worker: Option<PathBuf>,
    /// Only runs with an id that starts with one of these (`3f9c2a,771b`), or with these labels and this seed
    /// (`groups=2,kernels=1,3,seed=0`). May be repeated: then a run needs to match one of them.
    #[arg(long, value_name = "ID|AXIS=LABEL", add = ArgValueCandidates::new(complete::runs))]
    pub(crate) only: Vec<String>,
    /// Start at most N runs in this call.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Try all failed runs again, including those that would fail again (see the kinds in `repmlp-sweep --help`).
    #[arg(long)]
    pub(crate) retry_failed: bool,
    /// Stop at the first failure. The next call continues the other runs.
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Where runs go: `local` is this machine, `slurm` the cluster that this machine belongs to (see `[launcher.slurm]`
    /// in the experiment file). Ctrl-C then ends this program, not the jobs: see `cancel`.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) launcher: LauncherChoice,
    /// With `--launcher slurm`: submit and end. Any later call without this option follows the jobs.
    #[arg(long)]
    pub(crate) detach: bool,
    /// With `--launcher slurm`: print the script that would be submitted, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// If another scheduler uses the results folder, wait until it ends.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Stop at this local time, as one Ctrl-C does: `07:30` (the next time it is half past seven) or
    /// `2026-11-29T07:30`. The next call continues.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) until: Option<DateTime<Local>>,
    /// Stop runs early whose validation accuracy is poor beside that of other runs. They stay unfinished, so no report
    /// is written; a call without this option continues them.
    #[arg(long, value_enum, value_name = "RULE")]
    pub(crate) prune: Option<PruneChoice>,
    /// First epoch after which a run may be pruned.
    #[arg(long, value_name = "EPOCHS", requires = "prune", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) prune_after: u32,
    /// Time limit of one attempt, such as 90s, 45m or 8h.
    #[arg(long, value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

/// How runs are pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PruneChoice {
    /// The best value so far is below the median of at least five finished runs.
    Median,
    /// Asynchronous successive halving: one run in four goes on after N, 4 N, 16 N, … epochs (N is --prune-after).
    Asha,
}

/// Where runs go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LauncherChoice {
    /// This machine.
    #[default]
    Local,
    /// A Slurm cluster.
    Slurm,
}

/// The experiment whose jobs end.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
}
