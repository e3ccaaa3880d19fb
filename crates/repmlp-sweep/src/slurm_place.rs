//! A Slurm cluster as the place of a call's runs: the settings of the experiment file, and the program for its nodes.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sweep_plan::Plan;
use sweep_protocol::{ResultsLayout, printable};
use sweep_runner::{LocalMachine, Slot};
use sweep_slurm::{After, Program, Settings, Slurm, SlurmError, named_program, output_pattern, program_of, script};

use crate::cli::{LauncherChoice, RunArgs};
use crate::costed_plan::CostedPlan;
use crate::exit::UsageError;
use crate::own_program::OwnProgram;
use crate::progress::Voice;
use crate::project::Project;

/// Where runs go if they do not stay on this machine.
#[derive(Clone, Debug)]
pub(crate) struct SlurmPlace {
    pub(crate) settings: Settings,
    pub(crate) after: After,
}

impl Default for SlurmPlace {
    fn default() -> Self {
        Self { settings: Settings::default(), after: After::Follow }
    }
}

/// Reads and checks `[launcher.slurm]` of an experiment. A program that it names is looked for only when it is needed.
pub(crate) fn settings(plan: &Plan, file: &Path) -> Result<Settings> {
    let table = plan.launcher.get("slurm").cloned().unwrap_or_else(|| serde_json::json!({}));
    let settings: Result<Settings> = serde_json::from_value(table).with_context(|| invalid(file));
    let settings = settings?;
    settings.check().with_context(|| invalid(file))?;
    Ok(settings)
}

fn invalid(file: &Path) -> String {
    format!("{}: [launcher.slurm] is invalid", file.display())
}

impl SlurmPlace {
    /// Returns the place that the command line asks for; `None` for this machine.
    pub(crate) fn asked(arguments: &RunArgs, costed: &CostedPlan<'_>, project: &Project) -> Result<Option<Self>> {
        if arguments.launcher == LauncherChoice::Local {
            let only = [("--detach", arguments.detach), ("--dry-run", arguments.dry_run)];
            return match only.into_iter().find(|(_, given)| *given) {
                Some((option, _)) => Err(UsageError(format!("{option} needs --launcher slurm")).into()),
                None => Ok(None),
            };
        }
        let of_this_machine = [
            ("--timeout", "time", arguments.timeout.is_some()),
            ("--slots", "array_limit", arguments.slots.is_some()),
            ("--threads", "cpus", arguments.threads.is_some()),
            ("--device", "device", !arguments.device.is_empty()),
            ("--worker", "program", arguments.worker.is_some()),
        ];
        if let Some((option, key, _)) = of_this_machine.into_iter().find(|(_, _, is_given)| *is_given) {
            let text = format!(
                "{option} is for this machine; with --launcher slurm, name `{key}` in [launcher.slurm] of the \
                 experiment file"
            );
            return Err(UsageError(text).into());
        }
        if arguments.prune.is_some() {
            let text = "--prune stops runs of this machine only; leave it out with --launcher slurm";
            return Err(UsageError(text.to_owned()).into());
        }
        let mut settings = settings(&costed.plan, &costed.path)?;
        let of_exec = costed.plan.exec.program.as_ref().map(Into::into);
        settings.program = settings.program.or(of_exec).map(|path| project.root().join(path));
        let is_there = settings.program.iter().try_for_each(|path| named_program(path).map(drop));
        is_there.map_err(SlurmError::from).with_context(|| invalid(&costed.path))?;
        let after = if arguments.detach { After::Leave } else { After::Follow };
        Ok(Some(Self { settings, after }))
    }

    /// Returns the device and threads of a task.
    pub(crate) fn slot(&self) -> Slot {
        Slot { device: self.settings.device.clone(), threads: self.settings.cpus as usize }
    }

    /// Returns the program that tasks run.
    fn program(&self) -> Result<Program> {
        match &self.settings.program {
            Some(path) => Ok(Program::Named(path.clone())),
            None => Ok(Program::Own(OwnProgram::find()?.path)),
        }
    }

    /// Returns the launcher.
    pub(crate) fn launcher(&self, layout: &ResultsLayout, voice: Voice) -> Result<Slurm> {
        let say = Arc::new(move |line: &str| voice.say(&printable(line)));
        Ok(Slurm::new(layout, self.settings.clone(), self.program()?, self.after, say))
    }

    /// Returns the program that measures throughput: `srun`, on a node of its own, after the lines of `setup`.
    pub(crate) fn timing(&self, layout: &ResultsLayout, local: LocalMachine) -> Result<LocalMachine> {
        let program = program_of(layout, &self.program()?)?;
        let script = format!("set -e\n{}\nexec \"$0\" \"$@\"", self.settings.setup.join("\n"));
        let mut arguments: Vec<OsString> = self.settings.srun().into_iter().map(Into::into).collect();
        arguments.extend(["bash".into(), "-c".into(), script.into(), program.into(), "time".into()]);
        Ok(LocalMachine { program: "srun".into(), name: None, arguments, ..local })
    }

    /// Returns the script that would be submitted for this number of runs.
    pub(crate) fn dry_run(&self, layout: &ResultsLayout, runs: usize) -> Result<String> {
        let folder = std::path::absolute(layout.submissions())?.join("N");
        let program = match self.program()? {
            Program::Named(path) => std::path::absolute(path)?,
            Program::Own(_) => folder.with_file_name("program-COPY"),
        };
        let text = script(&self.settings, &program, &folder.join("manifest.json"))?;
        let limit = self.settings.array_limit.map_or_else(String::new, |limit| format!("%{limit}"));
        let Some(last) = runs.checked_sub(1) else {
            return Ok(text + "# Nothing is left to do, so nothing would be submitted.\n");
        };
        let output = output_pattern(&folder)?;
        let submit = format!(
            "# sbatch --parsable --array=0-{last}{limit} --output='{output}' script.sh 0\n# N and \
             COPY are chosen when it is submitted. An array is split if it is larger than the cluster's MaxArraySize.\n"
        );
        Ok(text + &submit)
    }
}
