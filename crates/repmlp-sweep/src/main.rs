//! The program `repmlp-sweep`. It turns the command line into calls of the library crates, and their results into text
//! and an exit code.
//!
//! Planning, training, running, storing and reporting are separate crates. They meet only here.

mod arithmetic;
mod cli;
mod commands;
mod complete;
mod costed_plan;
mod data_check;
mod exit;
mod named_model;
mod paper;
mod plan_file;
mod predict;
mod progress;
mod project;
mod recorded;
mod reference;
mod resolve;
mod scale;
mod screen;
mod starter;
mod up_to_date;
mod work;

use std::process::ExitCode;

use clap::Parser;

/// Training allocates the same large buffers in every step. This allocator makes that cheap.
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

/// Starts the threads that plan runs and predict their costs. If the system gives no threads, the main thread does this
/// work. Otherwise the first use of the thread pool would end the program.
fn start_threads() {
    if rayon::ThreadPoolBuilder::new().build_global().is_err() {
        // If this fails too, the first use of the pool fails, as it would without this function.
        drop(rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global());
    }
}
