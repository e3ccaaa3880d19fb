//! The command line. Parsing has no side effects.

mod bench;
mod bundle;
mod compare;
mod doctor;
mod numbers;
mod page;
mod run;
mod runs;
mod serve;
mod shown;
mod spec;
mod values;
mod watch;
mod weights;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use clap_complete::engine::ArgValueCandidates;

pub(crate) use bench::{BenchArgs, StepPrecision, SuiteChoice};
pub(crate) use bundle::{BundleCommand, BundleExportArgs, BundleImportArgs};
pub(crate) use compare::CompareArgs;
pub(crate) use doctor::DoctorArgs;
pub(crate) use numbers::{NoiseArgs, PilotArgs, ReportArgs, WhyArgs};
pub(crate) use page::PageArgs;
pub(crate) use run::{CancelArgs, LauncherChoice, PruneChoice, RunArgs};
pub(crate) use runs::{CleanArgs, ForgetArgs, LogsArgs, NoteArgs, ShowArgs, TagArgs};
pub(crate) use serve::ServeArgs;
pub(crate) use shown::ShownArgs;
pub(crate) use spec::{AdjustArgs, SpecArgs};
pub(crate) use watch::WatchArgs;
pub(crate) use weights::{
    NamingChoice, WeightsCommand, WeightsExportArgs, WeightsFigureArgs, WeightsImportArgs, WeightsSource,
};

use values::parse_name;

use crate::complete;
use crate::screen::ColorChoice;

/// Version, commit and the devices that this build can use.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("REPMLP_SWEEP_COMMIT"),
    ", devices: ",
    env!("REPMLP_SWEEP_DEVICES"),
    ")"
);

const EXAMPLES: &str = "\
Examples:
  repmlp-sweep experiments/gfc_groups.toml         train the missing runs, then write the report
  repmlp-sweep experiments/gfc_groups.toml --profile smoke
  repmlp-sweep plan experiments/gfc_groups.toml    the runs, their cost, and which are done
  repmlp-sweep status                              state of every experiment
  repmlp-sweep watch                               a screen that follows the running sweep
  repmlp-sweep show 3f9c2a                         one run: configuration, attempts, metrics
  repmlp-sweep count repmlp-res50 --layers         cost of a network, layer by layer

Exit codes:
    0  done                                   12  a comparison failed
    2  wrong command line                     20  results folder in use, or of another version
    3  invalid experiment or report file      21  results folder cannot be written
    4  data missing or damaged                70  internal error
    5  work remains                           71  a process or thread cannot be started
   10  some runs failed                       74  an attempt could not write its files
   11  a claim is contradicted               130  interrupted twice

Failed runs, by kind:
  io, crash, oom, data     the machine or the data failed: the next call tries these runs again
  config, diverged, equivalence, timed_out
                           the run would fail again: it is tried again only with --retry-failed";

/// Train the runs of an experiment file, store them in SQLite, and render tables and plots.
#[derive(Debug, Parser)]
#[command(name = "repmlp-sweep", version = VERSION)]
#[command(after_help = EXAMPLES, max_term_width = 120)]
pub(crate) struct Cli {
    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) color: ColorChoice,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Inserts `run` if an experiment file is given in the place of a subcommand.
pub(crate) fn with_run_implied(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_file = |word: &OsString| {
        let known = <Cli as clap::CommandFactory>::command().get_subcommands().any(|c| word == c.get_name());
        !known && (PathBuf::from(word).extension().is_some_and(|e| e == "toml") || PathBuf::from(word).is_file())
    };
    // The only global option may precede the file.
    let at = match arguments.get(1).and_then(|word| word.to_str()) {
        Some("--color") => 3,
        Some(word) if word.starts_with("--color=") => 2,
        _ => 1,
    };
    if arguments.get(at).is_some_and(is_file) {
        arguments.insert(at, "run".into());
    }
    arguments
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a first experiment, its base file and its report, fitted to a folder of images.
    Init(InitArgs),
    /// Train the missing runs of an experiment, then write its report (implied if only a file is given).
    Run(RunArgs),
    /// End the Slurm jobs of an experiment: running tasks write a checkpoint; `run` continues them later.
    Cancel(CancelArgs),
    /// Show the runs of an experiment, their cost, and which are done; writes nothing.
    Plan(PlanArgs),
    /// Show the state of experiments.
    Status(StatusArgs),
    /// Follow a sweep on a screen: running and waiting runs, failures, learning curves; writes nothing.
    Watch(WatchArgs),
    /// Show a sweep in a browser while it runs: progress, curves, and the report so far; writes nothing.
    Serve(ServeArgs),
    /// Show one run: its configuration, attempts and metrics.
    Show(ShowArgs),
    /// Show two runs, or two rows of runs, side by side: configurations, values, curves, and images on which they
    /// disagree.
    Compare(CompareArgs),
    /// Print the log of a run.
    Logs(LogsArgs),
    /// Render tables and plots from the measurements.
    Report(ReportArgs),
    /// Write one HTML page with the report and the runs: tables that sort, plots with values, configurations, logs.
    Page(PageArgs),
    /// Show how much of the deviation between seeds is rounding, from the same runs in another results folder.
    Noise(NoiseArgs),
    /// Plan the number of seeds from the seeds that are finished.
    Pilot(PilotArgs),
    /// Show where a number of a report comes from: its runs, and the lines of their journals.
    Why(WhyArgs),
    /// Judge the claims of an experiment's report by what is known so far; without an experiment, check what the paper
    /// says against its own tables. Writes nothing.
    Claims(ClaimsArgs),
    /// Write tags on a run; they are shown with it and are no part of its identity.
    Tag(TagArgs),
    /// Write a note on a run.
    Note(NoteArgs),
    /// Remove the recorded plan of an experiment; says what would go, unless --yes is given.
    Forget(ForgetArgs),
    /// Remove runs, attempts and checkpoints that nothing needs; says what would go, unless --yes is given.
    Clean(CleanArgs),
    /// Make the SQLite index again from plans and journals.
    Rebuild(ResultsArgs),
    /// Write all measurements of an experiment as one tidy table.
    Export(ExportArgs),
    /// Carry a sweep to another machine in one archive, and merge it with what is there.
    Bundle {
        /// What is done with a bundle.
        #[command(subcommand)]
        what: BundleCommand,
    },
    /// Exchange weights with PyTorch, or draw them.
    Weights {
        /// What is done with weights.
        #[command(subcommand)]
        what: WeightsCommand,
    },
    /// Former name of `weights import`.
    #[command(hide = true)]
    Import {
        /// Arguments that are not read.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Compare results of this program with reference values.
    Verify {
        /// What is compared.
        #[command(subcommand)]
        what: VerifyCommand,
    },
    /// Count parameters and multiply-adds of one network, or of every network in the paper's tables.
    Count(CountArgs),
    /// Show what this build and this machine have: devices, memory, kernels, free disk; what is wrong, and what to do.
    Doctor(DoctorArgs),
    /// Time training steps, forward passes and kernels of this program on this machine.
    Bench(BenchArgs),
    /// Print a JSON Schema for editors.
    Schema(SchemaArgs),
    /// Print a shell script that completes names of runs, experiments, profiles and networks: `source <(repmlp-sweep
    /// completions bash)`.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page: `repmlp-sweep man | man -l -`.
    Man {
        /// Write a page for each command into this folder instead.
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: Option<PathBuf>,
    },
    /// Write the generated pages of the documentation.
    #[command(hide = true)]
    Reference {
        /// Folder for the pages.
        folder: PathBuf,
    },
    /// Carry out one attempt; `run` starts this command as a separate process.
    #[command(hide = true)]
    Train {
        /// Folder of the attempt, with its orders.
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
    /// Carry out one attempt as a task of Slurm; scripts that `run` submits start this command.
    #[command(hide = true)]
    Task {
        /// File with the folders of the attempts.
        #[arg(value_hint = ValueHint::FilePath)]
        manifest: PathBuf,
        /// Index of the attempt in this file.
        index: usize,
        /// Number of times that the task may queue again.
        #[arg(long, default_value_t = 0)]
        requeues: u32,
    },
    /// Time the networks of an experiment; `run` starts this command as a separate process.
    #[command(hide = true)]
    Time {
        /// File with the orders.
        #[arg(value_hint = ValueHint::FilePath)]
        orders: PathBuf,
    },
}

/// What `init` writes, and for which images.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Project folder to write into.
    #[arg(value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
    /// Folder of one set of images: classes, masks, IDX or record files, people [default: the built-in images].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
    /// The labels are people to be verified and identified, not classes.
    #[arg(long)]
    pub(crate) people: bool,
    /// Name of the experiment [default: the name of the set].
    #[arg(long)]
    pub(crate) name: Option<String>,
}

/// The results folder.
#[derive(Debug, Args)]
pub(crate) struct ResultsArgs {
    /// Results folder [default: results beside the experiments folder, or here].
    #[arg(long, env = "REPMLP_SWEEP_RESULTS", value_hint = ValueHint::DirPath)]
    pub(crate) results: Option<PathBuf>,
}

/// The folder for renderings.
#[derive(Debug, Args)]
pub(crate) struct ReportsArgs {
    /// Folder for renderings [default: reports beside the experiments folder].
    #[arg(long, env = "REPMLP_SWEEP_REPORTS", value_hint = ValueHint::DirPath)]
    pub(crate) reports: Option<PathBuf>,
}

/// The folder of the data sets.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Folder of the data sets; the default profiles need none.
    #[arg(long, env = "REPMLP_SWEEP_DATA", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// Folder of the data sets: also read all data, as `run` does before it starts.
    #[arg(long, value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CountArgs {
    /// A network of the catalogue, or a .toml file with the tables `task` and `model` [default: every row of Tables 1
    /// to 7].
    #[arg(add = ArgValueCandidates::new(complete::networks))]
    pub(crate) model: Option<String>,
    /// Show each layer.
    #[arg(long, requires = "model")]
    pub(crate) layers: bool,
    /// The form that is counted.
    #[arg(long, value_enum, default_value_t, requires = "model")]
    pub(crate) form: FormChoice,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A form of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormChoice {
    /// With convolution branches and batch norm.
    Training,
    /// With branches and batch norm merged.
    #[default]
    Deployed,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// An experiment, by name or file [default: all].
    #[arg(add = ArgValueCandidates::new(complete::experiments))]
    pub(crate) experiment: Option<String>,
    /// One profile of the experiment.
    #[arg(long, short, value_parser = parse_name, add = ArgValueCandidates::new(complete::profiles))]
    pub(crate) profile: Option<String>,
    /// Only runs with this tag, or with this value of it.
    #[arg(long, value_name = "KEY[=VALUE]", requires = "experiment")]
    pub(crate) tag: Option<String>,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whose claims are judged.
#[derive(Debug, Args)]
pub(crate) struct ClaimsArgs {
    /// The experiment file [default: none, then the statements of the paper are checked against its printed tables].
    #[arg(value_name = "SPEC", value_hint = ValueHint::FilePath)]
    pub(crate) path: Option<PathBuf>,
    /// A profile of the file.
    #[arg(long, short, requires = "path", value_parser = parse_name, add = ArgValueCandidates::new(complete::profiles))]
    pub(crate) profile: Option<String>,
    #[command(flatten)]
    pub(crate) adjust: AdjustArgs,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Format of exported data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Comma-separated values.
    #[default]
    Csv,
    /// Apache Parquet.
    Parquet,
    /// Former way to export weights.
    #[value(hide = true)]
    Safetensors,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The experiment file.
    #[arg(value_name = "SPEC", value_hint = ValueHint::FilePath)]
    pub(crate) source: PathBuf,
    /// A profile of the experiment file.
    #[arg(long, short, value_parser = parse_name, add = ArgValueCandidates::new(complete::profiles))]
    pub(crate) profile: Option<String>,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// The format.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ExportFormat,
    /// The file to write [default: standard output].
    #[arg(long, short, value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
}

/// What is verified.
#[derive(Debug, Subcommand)]
pub(crate) enum VerifyCommand {
    /// Repeat the computations of a folder of reference values from PyTorch. Exits with code 12 if a result does not
    /// match.
    Parity(VerifyParityArgs),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyParityArgs {
    /// Folder with *.json files of cases and their .safetensors files.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
    /// Compute in this number type.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) dtype: PrecisionChoice,
    /// Device of the computation: auto, cpu or cuda:N.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// Only the case with this id.
    #[arg(long, value_name = "ID")]
    pub(crate) case: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A number type to compute in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionChoice {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
    /// Both.
    #[default]
    All,
}

/// The kind of files that a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// Experiment files.
    Experiment,
    /// Base files: complete run configurations.
    Base,
    /// Report declarations.
    Report,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// The kind of files that the schema describes.
    #[arg(value_enum)]
    pub(crate) of: SchemaOf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_file_alone_means_run() {
        let words = |line: &str| -> Vec<String> {
            let line = line.split(' ').map(OsString::from);
            with_run_implied(line).into_iter().map(|w| w.into_string().unwrap()).collect()
        };
        assert_eq!(words("p a.toml --limit 1"), ["p", "run", "a.toml", "--limit", "1"]);
        assert_eq!(words("p --color never a.toml"), ["p", "--color", "never", "run", "a.toml"]);
        assert_eq!(words("p plan a.toml"), ["p", "plan", "a.toml"]);
        assert_eq!(words("p --help"), ["p", "--help"]);
        assert_eq!(words("p"), ["p"]);
    }
}
