//! Arguments of `page`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::ReportsArgs;
use super::numbers::RecordedArgs;

#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// The experiment file.
    #[arg(value_name = "SPEC", value_hint = ValueHint::FilePath)]
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) recorded: RecordedArgs,
    #[command(flatten)]
    pub(crate) reports: ReportsArgs,
    /// File to write [default: `page.html` in the folder of the report].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
}
