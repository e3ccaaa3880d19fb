//! Settings of a submission: the table `[launcher.slurm]` of an experiment file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::SlurmError;

/// What a user says about the cluster. All of it is optional.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `--partition`.
    pub partition: Option<String>,
    /// `--account`.
    pub account: Option<String>,
    /// `--time`: time limit of one task, in Slurm's form.
    pub time: Option<String>,
    /// `--gres`, such as `gpu:1`.
    pub gres: Option<String>,
    /// `--cpus-per-task`; also the number of threads of a run.
    pub cpus: u32,
    /// `--mem`, such as `8G`.
    pub memory: Option<String>,
    /// Number of tasks of a submission that may run at the same time.
    pub array_limit: Option<u32>,
    /// Device of the tensors on the nodes: `cpu` or `cuda:0`. Slurm shows a task only its own GPUs.
    pub device: String,
    /// Seconds before the time limit at which a task is asked to write a checkpoint and to queue again.
    pub signal_before: u32,
    /// Number of times that a task may queue again.
    pub requeues: u32,
    /// Seconds between two questions to Slurm.
    pub poll: u32,
    /// More options of `sbatch`, each as one line of the script.
    pub extra: Vec<String>,
    /// Lines of shell script that run before the program.
    pub setup: Vec<String>,
    /// The program that trains, if it is not this one.
    pub program: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            partition: None,
            account: None,
            time: None,
            gres: None,
            cpus: 1,
            memory: None,
            array_limit: None,
            device: "cpu".to_owned(),
            signal_before: 120,
            requeues: 50,
            poll: 15,
            extra: Vec::new(),
            setup: Vec::new(),
            program: None,
        }
    }
}

impl Settings {
    /// Returns the options that say what a task needs.
    pub(crate) fn needs(&self) -> Vec<String> {
        let mut options = vec![
            "--job-name=repmlp-sweep".to_owned(),
            "--nodes=1".to_owned(),
            "--ntasks=1".to_owned(),
            format!("--cpus-per-task={}", self.cpus),
        ];
        let named = [
            ("partition", &self.partition),
            ("account", &self.account),
            ("time", &self.time),
            ("gres", &self.gres),
            ("mem", &self.memory),
        ];
        options.extend(named.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value.as_ref()?))));
        options.extend(self.extra.iter().cloned());
        options
    }

    /// Returns the arguments of `srun` for a process that has a node for itself.
    pub fn srun(&self) -> Vec<String> {
        let words = self.needs();
        // A line of `extra` may hold several options.
        let mut words: Vec<String> = words.iter().flat_map(|line| line.split_whitespace().map(str::to_owned)).collect();
        words.extend(["--exclusive".to_owned(), "--quiet".to_owned()]);
        words
    }

    /// Checks what a script cannot hold.
    ///
    /// # Errors
    /// When a value has more than one line, is empty where it must not be, or contradicts what the program itself sets.
    pub fn check(&self) -> Result<(), SlurmError> {
        let fault = |key: &'static str, why: &str| Err(SlurmError::Setting { key, why: why.to_owned() });
        let words = [
            ("partition", &self.partition),
            ("account", &self.account),
            ("time", &self.time),
            ("gres", &self.gres),
            ("memory", &self.memory),
        ];
        for (key, value) in words {
            if value.as_ref().is_some_and(|value| value.is_empty() || value.contains(|c: char| c.is_whitespace())) {
                return fault(key, "the value must be one word, as sbatch takes it");
            }
        }
        if self.extra.iter().any(|line| !line.starts_with("--") || line.contains(['\n', '\r'])) {
            return fault("extra", "each line must be one option of sbatch, such as \"--qos=long\"");
        }
        let owned = ["--array", "--output", "--signal", "--open-mode", "--requeue", "--no-requeue", "--parsable"];
        let option = |line: &String| line.split(['=', ' ']).next().unwrap_or_default().to_owned();
        if let Some(line) = self.extra.iter().find(|line| owned.contains(&option(line).as_str())) {
            let why = format!("`{line}`: this program sets this option itself; remove the line");
            return Err(SlurmError::Setting { key: "extra", why });
        }
        if self.setup.iter().any(|line| line.contains(['\n', '\r'])) {
            return fault("setup", "each item must be one line of shell script");
        }
        if self.cpus == 0 {
            return fault("cpus", "a task needs at least 1");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_would_break_the_script_are_refused() {
        let with = |set: fn(&mut Settings)| {
            let mut settings = Settings::default();
            set(&mut settings);
            settings.check().map_err(|fault| fault.to_string())
        };
        assert_eq!(with(|_| {}), Ok(()));
        assert_eq!(with(|s| s.extra = vec!["--qos=long".into(), "--nodes=1 --exclusive".into()]), Ok(()));
        for (set, key) in [
            ((|s| s.partition = Some("a b".into())) as fn(&mut Settings), "partition"),
            (|s| s.time = Some("1:00\n#SBATCH --uid=0".into()), "time"),
            (|s| s.gres = Some(String::new()), "gres"),
            (|s| s.extra = vec!["qos=long".into()], "extra"),
            (|s| s.extra = vec!["--qos=a\nrm -r x".into()], "extra"),
            (|s| s.extra = vec!["--array=0-3".into()], "extra"),
            (|s| s.setup = vec!["module load cuda\n".into()], "setup"),
            (|s| s.cpus = 0, "cpus"),
        ] {
            let refused = with(set).unwrap_err();
            assert!(refused.starts_with(&format!("launcher.slurm.{key}: ")), "{refused}");
        }
    }
}
