//! Finds the network that a name on the command line stands for: one of the catalogue, or one in a file.

use std::path::Path;

use anyhow::{Context, Result};
use repmlp::catalogue::{self, CatalogueError, NamedModel};

use crate::exit::UsageError;
use crate::program::Program;

/// Returns the network with this name, or the network in this `.toml` file with the tables `task` and `model`.
pub(crate) fn find(name: &str, program: &Program) -> Result<NamedModel> {
    let path = Path::new(name);
    if path.extension().is_some_and(|extension| extension == "toml") {
        let text = sweep_protocol::read_text_file(path).with_context(|| format!("cannot read the network {name}"))?;
        return Ok(NamedModel::parse_with(name, &text, program.candle.kinds())?);
    }
    catalogue::find(name).map_err(|fault| match fault {
        CatalogueError::Unknown { .. } => {
            UsageError(format!("{fault}; or give a .toml file with the tables `task` and `model`")).into()
        }
        fault => fault.into(),
    })
}
