//! The Python file beside exported weights, and the test images that it evaluates.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use repmlp_interop::{InteropError, PythonNotes, StoredForm, is_python_file, python_file, write_images};
use repmlp_train::data::{DataError, TestImages};
use sweep_protocol::{
    Epochs, Form, Measurement, Metric, Predictions, ResultsLayout, RunId, Split, error_chain, write_atomically,
};

use super::weights::run_file;
use super::{open_results, say};
use crate::cli::WeightsExportArgs;
use crate::exit::UsageError;
use crate::program::Program;
use crate::project::Project;

/// The data of a run is not what is here.
#[derive(Debug, thiserror::Error)]
#[error("run {run} was trained on {seen}, but here is {now}: name the folder of its data with --data")]
pub(crate) struct OtherData {
    run: String,
    seen: String,
    now: String,
}

/// What is written beside the weights.
pub(super) struct Python {
    text: String,
    file: PathBuf,
    images: Option<(PathBuf, TestImages)>,
    predicted: Option<Vec<u32>>,
}

/// Makes the Python file of a run, and reads its test images if they are asked for. Writes nothing. Without test
/// images, the weights are of use alone: if the file cannot be made, a line says why, and an older one is removed.
///
/// # Errors
/// When a file that the program did not write is in the way. With test images, also when the network has a block of
/// another crate, or the data of the run is missing or was changed.
pub(super) async fn prepare(
    arguments: &WeightsExportArgs,
    of_run: (RunId, StoredForm),
    program: &Program,
) -> Result<Option<Python>> {
    let is_optional = |fault: &anyhow::Error| {
        let undescribed = fault.downcast_ref::<InteropError>();
        fault.is::<DataError>()
            || fault.is::<OtherData>()
            || undescribed.is_some_and(|fault| matches!(fault, InteropError::Undescribed(_)))
    };
    match made(arguments, of_run, program).await {
        Err(fault) if !arguments.images && is_optional(&fault) => {
            let file = python_name(&arguments.out);
            // An older one would load these weights with the settings of another run.
            if fs::read_to_string(&file).is_ok_and(|text| is_python_file(&text)) {
                fs::remove_file(&file).with_context(|| format!("{} cannot be removed", file.display()))?;
            }
            say(&format!("note: {} is not written: {}", file.display(), error_chain(fault.as_ref())));
            Ok(None)
        }
        made => made.map(Some),
    }
}

async fn made(arguments: &WeightsExportArgs, (run, form): (RunId, StoredForm), program: &Program) -> Result<Python> {
    let layout = Project::here().results(&arguments.weights.results);
    let of_run = run_file(&layout, run)?;
    let config = program.candle.config(&of_run.config)?;
    let recorded = recorded(&layout, run).await?;
    let folder = arguments.data.data.as_deref();
    let preparing = config.data.preparing(folder, of_run.seed)?;
    if let Some(seen) = recorded.fingerprint.filter(|seen| !seen.starts_with(&preparing.fingerprint)) {
        return Err(OtherData { run: run.short(), seen, now: preparing.fingerprint }.into());
    }
    let images = if arguments.images { config.data.test_images(folder, of_run.seed)? } else { None };
    if arguments.images && images.is_none() {
        say("note: no test images are written: an image of this set has no single class");
    }
    let out = &arguments.out;
    let (file, images_file) = (python_name(out), out.with_extension("images.safetensors"));
    if file == *out {
        return Err(
            UsageError(format!("{} is the name of the Python file: choose another --out", out.display())).into()
        );
    }
    refuse_foreign(&file)?;
    let notes = PythonNotes {
        run: format!("run {}", run.short()),
        program: format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
        weights: name_of(out),
        images: images.is_some().then(|| name_of(&images_file)),
        classes: preparing.classes,
        mean: preparing.normalization.mean,
        deviation: preparing.normalization.deviation,
        accuracy: recorded.accuracy,
    };
    let text = python_file((&config.model, config.task()), form, &notes)?;
    let images = images.map(|images| (images_file, images));
    Ok(Python { text, file, images, predicted: recorded.predicted })
}

impl Python {
    /// Writes the files. Returns lines that say so.
    pub(super) fn write(self) -> Result<String> {
        let Self { text, file, images, predicted } = self;
        write_atomically(&file, text.as_bytes()).with_context(|| format!("{} cannot be written", file.display()))?;
        let mut said = format!("the network in PyTorch written to {}\n", file.display());
        if let Some((path, TestImages { shape, pixels, labels })) = images {
            let count = labels.len();
            let predicted = predicted.filter(|predicted| predicted.len() == count);
            write_images(&path, (shape, pixels), labels, predicted)?;
            let (path, file) = (path.display(), file.display());
            said += &format!("{count} test images written to {path}; `python {file}` evaluates them\n");
        }
        Ok(said)
    }
}

/// What the run recorded.
struct Recorded {
    fingerprint: Option<String>,
    accuracy: Option<f64>,
    predicted: Option<Vec<u32>>,
}

async fn recorded(layout: &ResultsLayout, run: RunId) -> Result<Recorded> {
    let mut results = open_results(layout).await?;
    let (rows, values) = results.rows_of(&[run], |_| Epochs::Last).await?;
    let predictions = results.predictions_of(&[run]).await?;
    results.close().await?;
    let of_test = (Some(Split::Test), Some(Form::Deployed));
    let is_accuracy = |m: &Measurement| m.metric == Metric::Accuracy && (m.split, m.form) == of_test;
    let accuracy = values.iter().map(|row| row.measurement).find(is_accuracy).map(|m| m.value);
    let is_of_test = |found: &Predictions| (Some(found.split()), found.form()) == of_test;
    let predicted = predictions.iter().map(|row| &row.predictions).find(|found| is_of_test(found));
    Ok(Recorded {
        fingerprint: rows.into_iter().next().and_then(|row| row.data_fingerprint),
        accuracy,
        predicted: predicted.map(|found| found.pairs().map(|(_, predicted)| predicted).collect()),
    })
}

/// Refuses to replace a file that the program did not write.
fn refuse_foreign(path: &Path) -> Result<()> {
    match fs::read_to_string(path) {
        Ok(text) if is_python_file(&text) => Ok(()),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(()),
        _ => {
            let text = format!("{} was not written by this program: move it, or choose another --out", path.display());
            Err(UsageError(text).into())
        }
    }
}

/// Returns the path of the Python file beside a file of weights. Its name can be imported: it has letters, digits and
/// `_`, and no digit at the start.
fn python_name(weights: &Path) -> PathBuf {
    let stem = weights.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = stem.chars().map(plain).collect();
    let start = if name.starts_with(|c: char| c.is_ascii_digit()) { "_" } else { "" };
    weights.with_file_name(format!("{start}{name}.py"))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
