//! Arguments of the exchange of weights with PyTorch.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use clap_complete::engine::ArgValueCandidates;

use super::{FormChoice, ResultsArgs};
use crate::complete;

/// Direction of an exchange of weights.
#[derive(Debug, Subcommand)]
pub(crate) enum WeightsCommand {
    /// Write the weights of a run, or of a file of weights, as PyTorch reads them.
    Export(WeightsExportArgs),
    /// Read PyTorch weights and list which fit a network, which are missing and which are left over.
    Import(WeightsImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct WeightsExportArgs {
    /// A run's id or the start of it, or a file of weights.
    #[arg(value_name = "RUN|FILE", value_hint = ValueHint::FilePath)]
    pub(crate) source: PathBuf,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// The safetensors file to write.
    #[arg(long, short, value_hint = ValueHint::FilePath)]
    pub(crate) out: PathBuf,
    /// For a file of weights: its network, by name in the catalogue or as a .toml file.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Naming of the tensors.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) naming: NamingChoice,
    /// The form that is written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) form: FormChoice,
}

/// Naming of tensors in a file of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum NamingChoice {
    /// Names of the RepMLP release.
    #[default]
    Official,
    /// Names of torchvision, for networks that it has.
    Torchvision,
}

#[derive(Debug, Args)]
pub(crate) struct WeightsImportArgs {
    /// Weights: .safetensors, or .pth and .pt of PyTorch 1.6 or later.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// The network: its name in the catalogue (a wrong name lists all), or a .toml file with `task` and `model`.
    #[arg(long, add = ArgValueCandidates::new(complete::networks))]
    pub(crate) model: String,
    /// If the weights are complete, write them to this safetensors file with this program's names.
    #[arg(long, short, value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
}
