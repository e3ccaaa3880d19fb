//! The program: what is typed becomes calls, what comes back becomes text and an exit code.
//!
//! Flags and glue. Planning, training, running, storing and reporting are crates of their own that meet only here.

mod arithmetic;
mod cli;
mod commands;
mod complete;
mod costed_plan;
mod data_check;
mod exit;
mod named_model;
mod plan_file;
mod predict;
mod progress;
mod project;
mod recorded;
mod resolve;
mod scale;
mod screen;
mod up_to_date;
mod work;

use std::process::ExitCode;

use clap::Parser;

/// Training asks for the same large buffers at every step.
#[global_allocator]
static ALLOCATOR: repmlp_train::Allocator = repmlp_train::Allocator::new();

fn main() -> ExitCode {
    complete::answer();
    let cli = cli::Cli::parse_from(cli::with_run_implied(std::env::args_os()));
    let screen = screen::Screen::of(cli.color);
    start_threads();
    match commands::dispatch(cli, screen) {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error, screen).into(),
    }
}

/// Starts the threads that plan and cost runs. Where the system gives none, this thread does their work: asked for later, they would end the
/// program.
fn start_threads() {
    if rayon::ThreadPoolBuilder::new().build_global().is_err() {
        // Refused again, it is the first use that fails, as without this.
        drop(rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global());
    }
}
