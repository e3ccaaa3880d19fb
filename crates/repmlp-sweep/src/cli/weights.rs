//! Arguments of the commands about weights: exchange with PyTorch, and the picture of FC3.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use clap_complete::engine::ArgValueCandidates;
use repmlp_interop::Fc3Point;

use super::values::parse_point;
use super::{DataArgs, FormChoice, ResultsArgs};
use crate::complete;

/// What is done with weights.
#[derive(Debug, Subcommand)]
pub(crate) enum WeightsCommand {
    /// Write the weights of a run, or of a file of weights, as PyTorch reads them. For a run, also write a Python file
    /// that builds its network.
    Export(WeightsExportArgs),
    /// Read PyTorch weights and list which fit a network, which are missing and which are left over.
    Import(WeightsImportArgs),
    /// Draw FC3 of a RepMLP block before and after merging, as Figure 4 of the paper does.
    Figure(WeightsFigureArgs),
}

/// The weights that a command reads.
#[derive(Debug, Args)]
pub(crate) struct WeightsSource {
    /// A run's id or the start of it, or a file of weights.
    #[arg(value_name = "RUN|FILE", value_hint = ValueHint::FilePath)]
    pub(crate) source: PathBuf,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// For a file of weights: its network, by name in the catalogue or as a .toml file.
    #[arg(long)]
    pub(crate) model: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WeightsFigureArgs {
    #[command(flatten)]
    pub(crate) weights: WeightsSource,
    /// The block: its name in the network (a wrong name lists all) [default: the first RepMLP block].
    #[arg(long)]
    pub(crate) layer: Option<String>,
    /// The output of FC3: channel, row and column in the partition, each counted from 0 [default: channel 0, middle].
    #[arg(long, value_name = "CH,Y,X", value_parser = parse_point)]
    pub(crate) point: Option<Fc3Point>,
    /// Folder for the files `fc3.svg`, `fc3.png`, `fc3.pdf` and `fc3.csv`. Existing ones are replaced.
    #[arg(long, short, value_hint = ValueHint::DirPath)]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct WeightsExportArgs {
    #[command(flatten)]
    pub(crate) weights: WeightsSource,
    /// The safetensors file to write.
    #[arg(long, short, value_hint = ValueHint::FilePath)]
    pub(crate) out: PathBuf,
    /// Naming of the tensors.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) naming: NamingChoice,
    /// The form that is written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) form: FormChoice,
    /// For a run: also write its test images, as the network sees them before normalisation. The Python file then
    /// computes the test accuracy.
    #[arg(long)]
    pub(crate) images: bool,
    #[command(flatten)]
    pub(crate) data: DataArgs,
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
