//! Arguments of `watch`.

use clap::Args;

use super::shown::ShownArgs;

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) shown: ShownArgs,
    /// Print the state once, as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
