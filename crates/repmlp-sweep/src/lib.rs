//! The program `repmlp-sweep`. It turns the command line into calls of the library crates, and their results into text
//! and an exit code.
//!
//! Planning, training, running, storing and reporting are separate crates. They meet only here.

mod arithmetic;
mod base_schema;
mod bundle;
mod cli;
mod commands;
mod complete;
mod costed_plan;
mod data_check;
mod event_files;
mod exit;
mod follow;
mod idle;
mod named_model;
mod own_program;
mod page_data;
mod paper;
mod plan_file;
mod predict;
mod program;
mod progress;
mod project;
mod pruning;
mod recorded;
mod reference;
mod scale;
mod screen;
mod selection;
mod shown;
mod signals;
mod slots;
mod slurm_place;
mod spec;
mod starter;
mod sweep;
mod timing;
mod unneeded;
mod up_to_date;
mod what_changed;
mod work;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use program::Program;

/// Training allocates the same large buffers in every step. This allocator makes that cheap.
#[global_allocator]
static ALLOCATOR: repmlp_kernels::Allocator = repmlp_kernels::Allocator::new();

pub use repmlp::OwnKinds;

/// Runs the program with the arguments of the command line. Configurations may name `kinds` besides the built-in blocks
/// and networks.
///
/// # Example
///
/// The `main` function of a program with the built-in kinds alone:
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     repmlp_sweep::run(repmlp_sweep::OwnKinds::new())
/// }
/// ```
pub fn run(kinds: OwnKinds) -> ExitCode {
    complete::answer();
    let cli = cli::Cli::parse_from(cli::with_run_implied(std::env::args_os()));
    let screen = screen::Screen::of(cli.color);
    // An attempt starts them only if it computes.
    if !matches!(cli.command, cli::Command::Train { .. } | cli::Command::Task { .. }) {
        start_threads();
    }
    let program = Program::new(kinds);
    // A panic prints where it happened. It is a fault of this program, and has the exit code of one.
    match catch_unwind(AssertUnwindSafe(|| commands::dispatch(cli, screen, &program))) {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(error)) => exit::report(&error, screen).into(),
        Err(_) => {
            screen::say("this is a fault of the program; nothing that was stored is lost");
            exit::Exit::Internal.into()
        }
    }
}

/// Starts the threads that plan runs and predict their costs. If the system gives no threads, the main thread does this
/// work. Otherwise the first use of the thread pool would end the program.
fn start_threads() {
    if rayon::ThreadPoolBuilder::new().build_global().is_err() {
        // If this fails too, the first use of the pool fails, as it would without this function.
        drop(rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global());
    }
}
