//! Arguments of `doctor`.

use clap::Args;

use super::ResultsArgs;

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// Also try to use this device: auto, cpu, or cuda:N. If it cannot be used, the exit code is 2.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
