//! `export`: writes all measurements of an experiment as one tidy table, for other programs.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::{Context, Result};
use sweep_protocol::{ExperimentRows, Status};

use crate::cli::{ExportArgs, ExportFormat};
use crate::commands::report::recorded;
use crate::commands::{open_results, print_bytes, say, say_damage};
use crate::exit::{Exit, UsageError};
use crate::project::Project;

pub(crate) async fn run(arguments: ExportArgs) -> Result<Exit> {
    if arguments.format == ExportFormat::Safetensors {
        return Err(UsageError("weights are exported by `weights export RUN`".to_owned()).into());
    }
    let project = Project::of(&arguments.source);
    let layout = project.results(&arguments.results);
    let mut results = open_results(&layout).await?;
    let rows = recorded(&mut results, &layout, &arguments.source, arguments.profile.as_deref()).await?.rows;
    say_damage(&mut results);
    say_incomplete(&rows);
    // Only a declared report refers to numbers of the paper.
    let (declaration, paper) = project.declared(&rows.plan)?.unwrap_or_default();
    let mut frame = sweep_report::frame(&rows, &declaration, &paper)?;
    drop(rows);
    let mut write = |out: &mut dyn Write| match arguments.format {
        ExportFormat::Parquet => sweep_report::write_parquet(&mut frame, out),
        ExportFormat::Csv | ExportFormat::Safetensors => sweep_report::write_csv(&mut frame, out),
    };
    if let Some(path) = &arguments.out {
        let fault = || format!("{} cannot be written", path.display());
        let mut file = BufWriter::new(File::create(path).with_context(fault)?);
        write(&mut file).with_context(fault)?;
        file.flush().with_context(fault)?;
    } else {
        let mut bytes = Vec::new();
        write(&mut bytes)?;
        print_bytes(&bytes)?;
    }
    Ok(Exit::Done)
}

/// Prints a note for each run that lost values, since the exported table cannot show what is missing.
fn say_incomplete(rows: &ExperimentRows) {
    for row in rows.runs.iter().filter(|row| row.status == Status::Incomplete) {
        let why = row.message.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        say(&format!("note: run {} is incomplete{why}; `run` trains it again", row.run.short()));
    }
}
