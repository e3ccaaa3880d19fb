//! `time`: times the networks of an experiment, as a separate process. Its orders say which, and where the record goes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use sweep_protocol::{TimingOrders, create_folders, write_atomically};
use sweep_trainer::Trainer;

use super::train::{origin, read, stop_when_told};
use crate::exit::Exit;
use crate::program::Program;

pub(crate) fn run(path: &Path, program: &Program) -> Result<Exit> {
    let orders: TimingOrders =
        serde_json::from_slice(&read(path)?).with_context(|| format!("{} is invalid", path.display()))?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_when_told(Arc::clone(&stop)).context("cannot start the thread that reads `stop`")?;
    let Some(record) = program.candle.time(&orders, &origin(), &stop)? else { return Ok(Exit::Remains) };
    let path = orders.records.join(record.machine.file_name());
    let unwritable = || format!("{} cannot be written", path.display());
    create_folders(&orders.records).with_context(unwritable)?;
    write_atomically(&path, &serde_json::to_vec_pretty(&record)?).with_context(unwritable)?;
    Ok(Exit::Done)
}
