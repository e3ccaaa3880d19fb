//! The text of the script that is submitted. Pure.

use std::path::Path;

use sweep_runner::worker_environment;

use crate::{Settings, SlurmError};

/// Writes a path for a POSIX shell.
fn quoted(path: &Path) -> Result<String, SlurmError> {
    let text = path.to_str().filter(|text| !text.contains(['\n', '\r', '\0']));
    let text = text.ok_or_else(|| SlurmError::NotText { path: path.to_owned() })?;
    Ok(format!("'{}'", text.replace('\'', "'\\''")))
}

/// Returns the script of a submission. `program` and `manifest` are absolute paths. The first argument of the script is
/// the index of its first task in the manifest.
///
/// The program replaces the shell, so that Slurm's signals reach it.
///
/// # Errors
/// When a path or a setting cannot be written into a script.
pub fn script(settings: &Settings, program: &Path, manifest: &Path) -> Result<String, SlurmError> {
    settings.check()?;
    let mut options = vec![
        "--requeue".to_owned(),
        "--open-mode=append".to_owned(),
        format!("--signal=B:USR1@{}", settings.signal_before),
    ];
    options.extend(settings.needs());

    let mut text =
        "#!/bin/bash\n# One task of this array is one attempt of one run. `manifest.json` names their folders.\n"
            .to_owned();
    options.iter().for_each(|option| text += &format!("#SBATCH {option}\n"));
    text += "set -e\n# A signal that comes before the program listens must not end the task.\ntrap '' USR1\n";
    for (name, value) in worker_environment(settings.cpus as usize) {
        text += &format!("export {name}={value}\n");
    }
    settings.setup.iter().for_each(|line| text += &format!("{line}\n"));
    let (program, manifest) = (quoted(program)?, quoted(manifest)?);
    let requeues = settings.requeues;
    text += &format!("exec {program} task {manifest} \"$((SLURM_ARRAY_TASK_ID + $1))\" --requeues {requeues}\n");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_names_everything_that_a_task_needs() {
        let settings = Settings {
            partition: Some("gpu".into()),
            account: Some("vision".into()),
            time: Some("04:00:00".into()),
            gres: Some("gpu:1".into()),
            cpus: 4,
            memory: Some("16G".into()),
            extra: vec!["--qos=long".into()],
            setup: vec!["module load cuda/13".into()],
            ..Settings::default()
        };
        let text =
            script(&settings, Path::new("/a b/it's/repmlp-sweep"), Path::new("/r/slurm/1/manifest.json")).unwrap();
        insta::assert_snapshot!(text);
    }
}
