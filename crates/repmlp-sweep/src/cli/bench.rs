//! Arguments of `bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What is timed.
    #[arg(value_enum)]
    pub(crate) suite: SuiteChoice,
    /// Only the case of this name, or all cases with names that contain it (a wrong name lists all). If this selects a
    /// single case, the result includes its peak memory, with preparation (Linux only).
    pub(crate) word: Option<String>,
    /// Threads [default: the machine's cores].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
    /// Timed rounds of each case, after two rounds that do not count. A round on a GPU is ten steps.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) repeats: u32,
    /// Print each result as a line of JSON as soon as it is measured.
    #[arg(long)]
    pub(crate) json: bool,
    /// For `gpu`: the device, auto, cpu or cuda:N [default: cuda:0]. On a CPU it is a rehearsal.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// For `gpu`: number type of the products [default: f32].
    #[arg(long, value_enum)]
    pub(crate) precision: Option<StepPrecision>,
    /// Folder of the measurements. For `gpu`: the file is `gpu.jsonl` [default: no file]. For `orchestration`: the file
    /// is `orchestration.jsonl`, and a scratch project lies beside it [default: orchestration]. It must be on the disk
    /// in question, since journals are synced.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) out: Option<PathBuf>,
    /// For `orchestration`: number of runs [default: 10000]. The goals are for this number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) runs: Option<u32>,
}

/// Number type of the products of a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StepPrecision {
    /// 32 bits.
    F32,
    /// 16 bits, 8 of them significant.
    Bf16,
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SuiteChoice {
    /// Training steps of networks (forward, loss, backward, SGD); forward and backward passes of blocks.
    Train,
    /// Forward passes of deployed forms.
    Infer,
    /// The processor's peak performance, and kernels compared with what they replace.
    Kernels,
    /// A GPU: whether it agrees with the CPU, then steps of training and forward passes with their memory.
    Gpu,
    /// What sweeps cost besides training: runs that train nothing, `status`, `plan`, the index.
    Orchestration,
}
