//! The command line. Parsing never acts.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use clap_complete::engine::ArgValueCandidates;
use sweep_protocol::{NAME_RULE, check_name};

use crate::complete;
use crate::screen::ColorChoice;

const EXAMPLES: &str = "\
Examples:
  repmlp-sweep experiments/gfc_groups.toml         train what is missing, then report
  repmlp-sweep experiments/gfc_groups.toml --profile smoke
  repmlp-sweep plan experiments/gfc_groups.toml    the runs, their cost, what is done already
  repmlp-sweep status                              where every experiment stands
  repmlp-sweep show 3f9c2a                         one run: configuration, attempts, metrics
  repmlp-sweep count repmlp-res50 --layers         what a network costs, layer by layer

Exit codes:
    0  done                                   12  a comparison failed
    2  usage                                  20  results folder in use, or of another version
    3  invalid experiment or report file      21  results folder cannot be written
    4  data missing or damaged                70  internal fault
    5  work remains                           71  the system gives no process or thread
   10  some runs failed                       74  an attempt could not write its files
                                             130  interrupted twice

Failed runs, by kind:
  io, crash, oom, data     the machine or the data failed: the next call tries them again
  config, diverged, equivalence, timed_out
                           the run itself failed and would fail again: it waits for --retry-failed";

/// One TOML file in; trained runs, SQLite, tables and plots out.
#[derive(Debug, Parser)]
#[command(name = "repmlp-sweep", version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("REPMLP_SWEEP_COMMIT"), ")"))]
#[command(after_help = EXAMPLES, max_term_width = 120)]
pub(crate) struct Cli {
    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) color: ColorChoice,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Puts `run` before an experiment file that stands where a subcommand is expected.
pub(crate) fn with_run_implied(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_file = |word: &OsString| {
        let known = <Cli as clap::CommandFactory>::command().get_subcommands().any(|c| word == c.get_name());
        !known && (PathBuf::from(word).extension().is_some_and(|e| e == "toml") || PathBuf::from(word).is_file())
    };
    // The one global option may stand before the file.
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
    /// Train what is missing of an experiment, then report (implied when only a file is given).
    Run(RunArgs),
    /// Show the runs of an experiment, their cost, and what is done already; writes nothing.
    Plan(PlanArgs),
    /// Show where experiments stand.
    Status(StatusArgs),
    /// Show one run: its configuration, attempts and metrics.
    Show(ShowArgs),
    /// Print what a run's process wrote.
    Logs(LogsArgs),
    /// Render tables and plots from what is measured.
    Report(ReportArgs),
    /// Make the SQLite index again from plans and journals.
    Rebuild(ResultsArgs),
    /// Write every measurement of an experiment as one tidy table, or the weights of a run.
    Export(ExportArgs),
    /// Read weights of PyTorch's and say what fits a network, what is missing and what is left over.
    Import(ImportArgs),
    /// Compare what this program computes with reference values.
    Verify {
        /// With which.
        #[command(subcommand)]
        what: VerifyCommand,
    },
    /// Count parameters and multiply-adds, of every network that the paper prints or of one.
    Count(CountArgs),
    /// Time training steps, forward passes and kernels of this program on this machine.
    Bench(BenchArgs),
    /// Print a JSON Schema for editors.
    Schema(SchemaArgs),
    /// Print what makes a shell complete names of runs, experiments, profiles and networks: `source <(repmlp-sweep completions bash)`.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Carry out one attempt; `run` starts this in a process of its own.
    #[command(hide = true)]
    Train {
        /// Folder of the attempt, with its orders.
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

/// An experiment file and the profile that it is read under.
#[derive(Debug, Args)]
pub(crate) struct SpecArgs {
    /// The experiment file.
    #[arg(value_name = "SPEC", value_hint = ValueHint::FilePath)]
    pub(crate) path: PathBuf,
    /// A profile of the file; without it, the file as it stands.
    #[arg(long, short, value_parser = parse_name, add = ArgValueCandidates::new(complete::profiles))]
    pub(crate) profile: Option<String>,
}

/// Where results lie.
#[derive(Debug, Args)]
pub(crate) struct ResultsArgs {
    /// Results folder [default: results beside the experiments folder, or here].
    #[arg(long, env = "REPMLP_SWEEP_RESULTS", value_hint = ValueHint::DirPath)]
    pub(crate) results: Option<PathBuf>,
}

/// Where renderings go.
#[derive(Debug, Args)]
pub(crate) struct ReportsArgs {
    /// Folder for renderings [default: reports beside the experiments folder].
    #[arg(long, env = "REPMLP_SWEEP_REPORTS", value_hint = ValueHint::DirPath)]
    pub(crate) reports: Option<PathBuf>,
}

/// Where data sets lie.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Folder that data sets lie in; the default profiles need none.
    #[arg(long, env = "REPMLP_SWEEP_DATA", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    #[command(flatten)]
    pub(crate) reports: ReportsArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Where tensors live: auto, cpu, or cuda:N; several, separated by commas, make a slot each.
    #[arg(long, default_value = "auto", value_delimiter = ',')]
    pub(crate) device: Vec<String>,
    /// Runs at a time on each device [default: one on a GPU; on the CPU one for each core, as far as there is work].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) slots: Option<u32>,
    /// Threads of each run [default: the machine's cores, divided among the slots].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
    /// Only runs whose id starts with one of these.
    #[arg(long, value_name = "ID", value_delimiter = ',', add = ArgValueCandidates::new(complete::runs))]
    pub(crate) only: Vec<String>,
    /// Start at most so many runs now.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Try all failed runs again, also those that would fail again (see the kinds in `repmlp-sweep --help`).
    #[arg(long)]
    pub(crate) retry_failed: bool,
    /// Stop at the first failure; the others are continued by the next call.
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Longest time of one attempt, such as 90s, 45m or 8h.
    #[arg(long, value_parser = parse_duration)]
    pub(crate) timeout: Option<std::time::Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CountArgs {
    /// A network of the catalogue, or a .toml file with the tables `task` and `model` [default: every row of Tables 1 to 7].
    #[arg(add = ArgValueCandidates::new(complete::networks))]
    pub(crate) model: Option<String>,
    /// Show each layer.
    #[arg(long, requires = "model")]
    pub(crate) layers: bool,
    /// Which form is counted.
    #[arg(long, value_enum, default_value_t, requires = "model")]
    pub(crate) form: FormChoice,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What is timed.
    #[arg(value_enum)]
    pub(crate) suite: SuiteChoice,
    /// The case of this name, or all whose name contains it (a wrong word lists them). Where it selects one case, the result has
    /// that case's peak memory, preparation included (on Linux).
    pub(crate) word: Option<String>,
    /// Threads [default: the machine's cores].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
    /// Timed rounds of each case; two more come before and do not count.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) repeats: u32,
    /// Print a line of JSON for each result as soon as it is there.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SuiteChoice {
    /// Whole training steps of networks: forward, loss, backward, SGD; of blocks alone forward and backward.
    Train,
    /// Forward passes of deployed forms.
    Infer,
    /// The processor's peak, and kernels beside what they replace.
    Kernels,
}

/// A form of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormChoice {
    /// With convolution branches and batch norm.
    Training,
    /// Merged.
    #[default]
    Deployed,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// An experiment by name or file; without it, all of them.
    #[arg(add = ArgValueCandidates::new(complete::experiments))]
    pub(crate) experiment: Option<String>,
    /// One profile of the experiment.
    #[arg(long, short, value_parser = parse_name, add = ArgValueCandidates::new(complete::profiles))]
    pub(crate) profile: Option<String>,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The run's id, or its beginning.
    #[arg(add = ArgValueCandidates::new(complete::runs))]
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The run's id, or its beginning.
    #[arg(add = ArgValueCandidates::new(complete::runs))]
    pub(crate) run: String,
    /// Which attempt, counted from 1 [default: the latest].
    #[arg(long)]
    pub(crate) attempt: Option<u32>,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The experiment file; with --check it may be left out: every published report is checked then.
    #[arg(value_name = "SPEC", required_unless_present = "check", value_hint = ValueHint::FilePath)]
    pub(crate) path: Option<PathBuf>,
    /// A profile of the file.
    #[arg(long, short, value_parser = parse_name, add = ArgValueCandidates::new(complete::profiles))]
    pub(crate) profile: Option<String>,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    #[command(flatten)]
    pub(crate) reports: ReportsArgs,
    /// Render from the published measurements and compare bytes; writes nothing.
    #[arg(long)]
    pub(crate) check: bool,
    /// Print the tables as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a table is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Comma-separated values.
    #[default]
    Csv,
    /// Apache Parquet.
    Parquet,
    /// Weights, as PyTorch reads them.
    Safetensors,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The experiment file; for weights, a run's id or its beginning, or a file of weights.
    #[arg(value_name = "SPEC|RUN|FILE", value_hint = ValueHint::FilePath)]
    pub(crate) source: PathBuf,
    /// A profile of the experiment file.
    #[arg(long, short, value_parser = parse_name, add = ArgValueCandidates::new(complete::profiles))]
    pub(crate) profile: Option<String>,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// The format; safetensors is for weights.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ExportFormat,
    /// The file to write [default: standard output].
    #[arg(long, short, value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
    /// Of weights in a file: their network, by its name in the catalogue or its .toml file.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Of weights: whose names they get [default: official].
    #[arg(long, value_enum)]
    pub(crate) naming: Option<NamingChoice>,
    /// Of weights: which form is written [default: deployed].
    #[arg(long, value_enum)]
    pub(crate) form: Option<FormChoice>,
}

/// Whose names weights have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum NamingChoice {
    /// The RepMLP release's.
    #[default]
    Official,
    /// Those of torchvision, for networks that it has.
    Torchvision,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Weights: .safetensors, or .pth and .pt of PyTorch 1.6 or later.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// The network: its name in the catalogue (a wrong name lists them), or a .toml file with `task` and `model`.
    #[arg(long, add = ArgValueCandidates::new(complete::networks))]
    pub(crate) model: String,
    /// Write what fits under this program's names, as safetensors.
    #[arg(long, short, value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
}

/// What is verified.
#[derive(Debug, Subcommand)]
pub(crate) enum VerifyCommand {
    /// Repeat the computations of a folder of reference values from PyTorch; exits with 12 if one does not agree.
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
    /// Only the case of this id.
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

/// Which files a schema is for.
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
    /// Which files it is for.
    #[arg(value_enum)]
    pub(crate) of: SchemaOf,
}

fn parse_name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned()).map_err(|fault| format!("it {fault}: {NAME_RULE}"))
}

fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];
    units
        .iter()
        .find_map(|(unit, seconds)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * seconds))
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "a time is a number and a unit: 90s, 45m, 8h, 2d".to_owned())
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

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("1.5m").unwrap().as_secs(), 90);
        for bad in ["", "5", "m", "-1s", "1w"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
