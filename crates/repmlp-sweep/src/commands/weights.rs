//! `weights export` and `weights import`: exchange of weights with PyTorch.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use repmlp::catalogue::NamedModel;
use repmlp_interop::{Import, Naming, StoredForm, export, read_checkpoint, without_auxiliary, write_safetensors};
use sweep_protocol::{ResultsLayout, RunFile, RunId, Status, WEIGHTS_FILE};

use super::show::find_run;
use super::{open_results, print, weights_python};
use crate::cli::{FormChoice, NamingChoice, WeightsExportArgs, WeightsImportArgs, WeightsSource};
use crate::exit::{Exit, UsageError};
use crate::named_model;
use crate::program::Program;
use crate::project::Project;

pub(crate) fn import(arguments: &WeightsImportArgs, program: &Program) -> Result<Exit> {
    let model = named_model::find(&arguments.model, program)?;
    let import = read(&arguments.file, &model)?;
    print(&described(&import, &arguments.file, &model))?;
    if !import.is_complete() {
        return Ok(Exit::Data);
    }
    if let Some(out) = &arguments.out {
        write_safetensors(out, &import.values)?;
        print(&format!("written to {}\n", out.display()))?;
    }
    Ok(Exit::Done)
}

/// Writes the weights of a run, or of a file of weights, in a format that PyTorch reads. For a run, also writes a
/// Python file that builds its network.
pub(crate) async fn export_weights(arguments: WeightsExportArgs, program: &Program) -> Result<Exit> {
    let out = &arguments.out;
    let Located { file, model, run } = located(&arguments.weights, program).await?;
    let Some(import) = whole(&file, &model)? else { return Ok(Exit::Data) };
    let naming = match arguments.naming {
        NamingChoice::Official => Naming::Official,
        NamingChoice::Torchvision => Naming::Torchvision,
    };
    let form = match arguments.form {
        FormChoice::Training => StoredForm::Training,
        FormChoice::Deployed => StoredForm::Deployed,
    };
    if arguments.images && (run.is_none() || naming != Naming::Official) {
        let text = "--images belongs to the Python file: name a run, and leave the naming as it is";
        return Err(UsageError(text.to_owned()).into());
    }
    let tensors = export(&import, (&model.model, model.task), (naming, form))?;
    // The data and the names are checked before the first file is written.
    let python = match run.filter(|_| naming == Naming::Official) {
        Some(run) => weights_python::prepare(&arguments, (run, form), program).await?,
        None => None,
    };
    let tensors = match &python {
        Some(_) => without_auxiliary(tensors, (&model.model, model.task), form)?,
        None => tensors,
    };
    write_safetensors(out, &tensors)?;
    print(&format!("{} tensors of the {form} form written to {}\n", tensors.len(), out.display()))?;
    python.map_or(Ok(()), |python| print(&python.write()?))?;
    Ok(Exit::Done)
}

/// Reads all weights of a network. If some are missing, prints which and returns `None`.
pub(super) async fn complete(asked: &WeightsSource, program: &Program) -> Result<Option<(Import, NamedModel)>> {
    let Located { file, model, .. } = located(asked, program).await?;
    Ok(whole(&file, &model)?.map(|import| (import, model)))
}

/// Reads all weights of a network from a file. If some are missing, prints which and returns `None`.
fn whole(file: &Path, model: &NamedModel) -> Result<Option<Import>> {
    let import = read(file, model)?;
    if !import.is_complete() {
        print(&described(&import, file, model))?;
        return Ok(None);
    }
    Ok(Some(import))
}

/// A file of weights and its network.
struct Located {
    file: PathBuf,
    model: NamedModel,
    /// The run that they are from, if one was named.
    run: Option<RunId>,
}

/// Returns the file of the weights, and their network.
async fn located(asked: &WeightsSource, program: &Program) -> Result<Located> {
    let source = &asked.source;
    if source.is_file() {
        let Some(model) = &asked.model else {
            return Err(UsageError("name the network of these weights with --model".to_owned()).into());
        };
        return Ok(Located { file: source.clone(), model: named_model::find(model, program)?, run: None });
    }
    let layout = Project::here().results(&asked.results);
    let mut results = open_results(&layout).await?;
    let run = find_run(&mut results, &source.to_string_lossy())?;
    let config = program.candle.config(&run_file(&layout, run)?.config)?;
    let attempts = results.run(run)?.attempts;
    let folder = layout.run(run);
    let files = attempts.iter().rev().map(|attempt| folder.attempt(attempt.attempt).root().join(WEIGHTS_FILE));
    match files.into_iter().find(|file| file.is_file()) {
        Some(file) => {
            let model = NamedModel { name: run.short(), task: config.task(), model: config.model };
            Ok(Located { file, model, run: Some(run) })
        }
        None => {
            let run_id = run.short();
            let text = match results.run_rows(&[run])?.first().map(|row| row.status) {
                Some(Status::Succeeded) => format!(
                    "run {run_id} is finished, but its weights are not here: they were removed, or its bundle was \
                     written without --weights"
                ),
                _ => format!("run {run_id} has no weights yet: its training is not finished"),
            };
            Err(UsageError(text).into())
        }
    }
}

/// Returns configuration and seed of a run.
pub(super) fn run_file(layout: &ResultsLayout, run: RunId) -> Result<RunFile> {
    let bytes = std::fs::read(layout.run(run).config()).context("cannot read the run's configuration")?;
    RunFile::parse(&bytes).context("the run's configuration is damaged")
}

fn read(file: &Path, model: &NamedModel) -> Result<Import> {
    Ok(Import::of(&read_checkpoint(file)?, &model.model, model.task)?)
}

fn described(import: &Import, file: &Path, model: &NamedModel) -> String {
    let mut text = format!(
        "{}: {} form of {}, {} names, {} tensors fit\n",
        file.display(),
        import.form,
        model.name,
        import.naming.name(),
        import.values.len()
    );
    for (what, names) in [("missing", &import.missing), ("left over", &import.left_over)] {
        text += &format!("{what}: {}\n", names.len());
        text += &names.iter().map(|name| format!("  {name}\n")).collect::<String>();
    }
    for wrong in &import.misshapen {
        text += &format!("wrong shape: {} is {:?}, but the network has {:?}\n", wrong.name, wrong.found, wrong.wanted);
    }
    text
}
