//! Settings of a submission: the table `[launcher.slurm]` of an experiment file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::SlurmError;

/// Largest number that Slurm takes for CPUs and for the time of a signal.
const LARGEST: u32 = 65_535;

/// Options that this program sets itself, or that change what `sbatch` does.
const OWNED: [&str; 16] = [
    "--array",
    "--clusters",
    "--help",
    "--job-name",
    "--no-requeue",
    "--open-mode",
    "--output",
    "--parsable",
    "--quiet",
    "--requeue",
    "--signal",
    "--test-only",
    "--usage",
    "--version",
    "--wait",
    "--wrap",
];

/// Variables of these options, after `SBATCH_`.
const OWNED_VARIABLES: [&str; 10] = [
    "ARRAY_INX",
    "CLUSTERS",
    "CPUS_PER_TASK",
    "JOB_NAME",
    "NO_REQUEUE",
    "OPEN_MODE",
    "OUTPUT",
    "REQUEUE",
    "SIGNAL",
    "WAIT",
];

/// Whether an option is one of [`OWNED`]. Slurm also takes the beginning of a name, and short names.
fn is_owned(option: &str) -> bool {
    !option.starts_with("--") || OWNED.iter().any(|owned| owned.starts_with(option))
}

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
        // These options are for scripts only.
        let only_sbatch = ["--batch", "--export-file", "--get-user-env", "--ignore-pbs"];
        let is_known = |line: &&String| !only_sbatch.iter().any(|option| line.starts_with(option));
        let words = self.needs();
        // A line of `extra` may hold several options.
        let words = words.iter().filter(is_known).flat_map(|line| line.split_whitespace());
        let mut words: Vec<String> = words.map(str::to_owned).collect();
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
        // The same options go to `srun`, without a shell that reads quotes.
        if self.extra.iter().any(|line| line.contains(['"', '\'', '\\', '#'])) {
            return fault("extra", "quotes, backslashes and # cannot be used: write values without spaces");
        }
        if let Some(word) = self.extra_options().find(|word| is_owned(word)) {
            let why = format!("`{word}`: this program sets this option itself, or cannot work with it; remove it");
            return Err(SlurmError::Setting { key: "extra", why });
        }
        if self.setup.iter().any(|line| line.contains(['\n', '\r'])) {
            return fault("setup", "each item must be one line of shell script");
        }
        // The next line of the script would become part of this one.
        if self.setup.iter().any(|line| line.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1) {
            return fault("setup", "an item must not end with a backslash: write the whole command in one item");
        }
        let is_gpu = |device: &str| device.strip_prefix("cuda:").is_some_and(|number| number.parse::<usize>().is_ok());
        if self.device != "cpu" && !is_gpu(&self.device) {
            return fault("device", "it must be \"cpu\" or \"cuda:0\"");
        }
        if self.program.as_ref().is_some_and(|program| program.as_os_str().is_empty()) {
            return fault("program", "it must name an executable file");
        }
        if !(1..=LARGEST).contains(&self.cpus) {
            return fault("cpus", "it must be between 1 and 65535, as sbatch takes it");
        }
        if !(1..=LARGEST).contains(&self.signal_before) {
            return fault("signal_before", "it must be between 1 and 65535 seconds, as sbatch takes it");
        }
        Ok(())
    }

    /// Returns the options in the lines of `extra`, without their values.
    fn extra_options(&self) -> impl Iterator<Item = &str> {
        let words = self.extra.iter().flat_map(|line| line.split_whitespace());
        let is_option = |word: &&str| word.len() > 1 && word.starts_with('-');
        words.filter(is_option).map(|word| word.split('=').next().unwrap_or_default())
    }

    /// Whether a variable of the environment would count more than these settings. `sbatch` reads variables before the
    /// lines of a script. Variables of other options stay: they may name the account or partition of a site.
    pub(crate) fn overrides(&self, variable: &str) -> bool {
        let Some(option) = variable.strip_prefix("SBATCH_") else { return false };
        let set = [
            ("PARTITION", self.partition.is_some()),
            ("ACCOUNT", self.account.is_some()),
            ("TIMELIMIT", self.time.is_some()),
            ("GRES", self.gres.is_some()),
            ("MEM_PER_NODE", self.memory.is_some()),
            ("MEM_PER_CPU", self.memory.is_some()),
            ("MEM_PER_GPU", self.memory.is_some()),
        ];
        let name_of = |option: &str| option.trim_start_matches('-').replace('-', "_").to_ascii_uppercase();
        OWNED_VARIABLES.contains(&option)
            || set.contains(&(option, true))
            || self.extra_options().any(|extra| name_of(extra) == option)
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
        assert_eq!(with(|s| s.setup = vec!["echo a\\\\".into()]), Ok(()));
        for (set, key) in [
            ((|s| s.partition = Some("a b".into())) as fn(&mut Settings), "partition"),
            (|s| s.time = Some("1:00\n#SBATCH --uid=0".into()), "time"),
            (|s| s.gres = Some(String::new()), "gres"),
            (|s| s.extra = vec!["qos=long".into()], "extra"),
            (|s| s.extra = vec!["--qos=a\nrm -r x".into()], "extra"),
            (|s| s.extra = vec!["--array=0-3".into()], "extra"),
            (|s| s.extra = vec!["--arr=0-3".into()], "extra"),
            (|s| s.extra = vec!["--qos=long --wait".into()], "extra"),
            (|s| s.extra = vec!["--qos=long -a 0-3".into()], "extra"),
            (|s| s.extra = vec!["--clusters=other".into()], "extra"),
            (|s| s.extra = vec!["--comment=\"x y\"".into()], "extra"),
            (|s| s.extra = vec!["--comment=x #y".into()], "extra"),
            (|s| s.setup = vec!["export A=1 \\".into()], "setup"),
            (|s| s.signal_before = 70_000, "signal_before"),
            (|s| s.cpus = u32::MAX, "cpus"),
            (|s| s.device = "gpu".into(), "device"),
            (|s| s.setup = vec!["module load cuda\n".into()], "setup"),
            (|s| s.cpus = 0, "cpus"),
        ] {
            let refused = with(set).unwrap_err();
            assert!(refused.starts_with(&format!("launcher.slurm.{key}: ")), "{refused}");
        }
    }

    #[test]
    fn the_file_counts_more_than_the_environment_and_the_environment_fills_its_gaps() {
        let settings =
            Settings { partition: Some("gpu".into()), extra: vec!["--qos=long".into()], ..Settings::default() };
        for name in ["SBATCH_PARTITION", "SBATCH_QOS", "SBATCH_ARRAY_INX", "SBATCH_WAIT"] {
            assert!(settings.overrides(name), "{name}");
        }
        for name in ["SBATCH_ACCOUNT", "SBATCH_TIMELIMIT", "SBATCH_RESERVATION", "SLURM_CONF", "PATH"] {
            assert!(!settings.overrides(name), "{name}");
        }
    }
}
