//! One file per subcommand. Each gets its data from the library crates and prints it.

mod bench;
mod bench_gpu;
mod bundle;
pub(crate) mod cancel;
mod claims;
mod clean;
mod compare;
mod count;
mod device;
mod doctor;
mod export;
mod grid;
mod init;
mod json_lines;
mod logs;
mod man;
mod noise;
mod orchestration;
mod page;
mod pilot;
mod plan;
mod rebuild;
mod reference;
mod report;
mod run;
mod schema;
mod serve;
mod show;
mod status;
mod tag;
mod task;
mod time;
mod train;
mod verify;
mod watch;
mod weights;
mod weights_figure;
mod weights_python;
mod why;

pub(crate) use run::RETRIES;
pub(crate) use weights_python::OtherData;

use std::fs::File;

use anyhow::{Context, Result};
use sweep_protocol::{ResultsLayout, RunId, RunRow, Status, check_prose, error_chain, printable};
use sweep_runner::{Presence, presence, submitted};
use sweep_store::Reader;

use crate::cli::{BundleCommand, Cli, Command, VerifyCommand, WeightsCommand};
use crate::complete;
use crate::exit::{Exit, UsageError};
use crate::program::Program;
use crate::screen::Screen;

/// Carries out a command.
pub(crate) fn dispatch(cli: Cli, screen: Screen, program: &Program) -> Result<Exit> {
    // An invalid environment is reported once here, not by each run.
    repmlp_kernels::check_environment()?;
    match cli.command {
        Command::Run(arguments) => asynchronous(run::run(arguments, screen, program)),
        Command::Plan(arguments) => asynchronous(plan::run(arguments, program)),
        Command::Status(arguments) => asynchronous(status::run(arguments)),
        Command::Watch(arguments) => asynchronous(watch::run(arguments, screen)),
        Command::Serve(arguments) => asynchronous(serve::run(arguments)),
        Command::Show(arguments) => asynchronous(show::run(arguments)),
        Command::Compare(arguments) => asynchronous(compare::run(arguments)),
        Command::Logs(arguments) => asynchronous(logs::run(arguments)),
        Command::Report(arguments) => asynchronous(report::run(arguments, screen)),
        Command::Page(arguments) => asynchronous(page::run(arguments)),
        Command::Noise(arguments) => asynchronous(noise::run(arguments)),
        Command::Pilot(arguments) => asynchronous(pilot::run(arguments)),
        Command::Why(arguments) => asynchronous(why::run(arguments)),
        Command::Claims(arguments) => asynchronous(claims::run(arguments, screen, program)),
        Command::Bundle { what: BundleCommand::Export(arguments) } => asynchronous(bundle::export(arguments)),
        Command::Bundle { what: BundleCommand::Import(arguments) } => asynchronous(bundle::import(arguments)),
        Command::Tag(arguments) => asynchronous(tag::tag(arguments)),
        Command::Note(arguments) => asynchronous(tag::note(arguments)),
        Command::Forget(arguments) => asynchronous(clean::forget(arguments)),
        Command::Clean(arguments) => asynchronous(clean::clean(arguments)),
        Command::Rebuild(arguments) => asynchronous(rebuild::run(arguments)),
        Command::Export(arguments) => asynchronous(export::run(arguments)),
        Command::Import { .. } => Err(UsageError("`import` is now `weights import FILE`".to_owned()).into()),
        Command::Weights { what: WeightsCommand::Export(arguments) } => {
            asynchronous(weights::export_weights(arguments, program))
        }
        Command::Weights { what: WeightsCommand::Figure(arguments) } => {
            asynchronous(weights_figure::run(arguments, program))
        }
        Command::Weights { what: WeightsCommand::Import(arguments) } => weights::import(&arguments, program),
        Command::Verify { what: VerifyCommand::Parity(arguments) } => verify::parity(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments, program),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Count(arguments) => count::run(&arguments, program),
        Command::Man { out } => man::run(out.as_deref()),
        Command::Reference { folder } => reference::run(&folder, program),
        Command::Init(arguments) => init::run(&arguments, program),
        Command::Schema(arguments) => schema::run(&arguments, program),
        Command::Completions { shell } => {
            print_bytes(&complete::script(shell)?)?;
            Ok(Exit::Done)
        }
        Command::Train { folder } => train::run(&folder, program),
        Command::Cancel(arguments) => asynchronous(cancel::run(arguments, program)),
        Command::Task { manifest, index, requeues } => task::run(&manifest, index, requeues, program),
        Command::Time { orders } => time::run(&orders, program),
    }
}

/// Number of files that the runtime opens, with a margin.
const FILES_OF_RUNTIME: usize = 12;

/// Runs a command that waits for processes or for the index, on this thread. A runtime with its own threads panics if
/// the system gives no threads.
fn asynchronous(command: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    // The runtime also panics if it cannot open files for its pipes, so this opens the same number of files first.
    let spare: std::io::Result<Vec<File>> = (0..FILES_OF_RUNTIME).map(|_| File::open("/dev/null")).collect();
    drop(spare.context("cannot open enough files; raise the limit (`ulimit -n`)")?);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// Opens a results folder for reading. The folder need not exist.
async fn open_results(layout: &ResultsLayout) -> Result<Reader> {
    Ok(Reader::open(layout).await?)
}

/// Prints the damage that was found while a results folder was read. It goes to standard error, since the result goes
/// to standard output.
fn say_damage(results: &mut Reader) {
    for damage in results.take_damage() {
        say(&format!("note: {}", error_chain(&damage)));
    }
}

/// Says so if runs are recorded as running although no scheduler and no cluster works on them.
fn say_left_behind<'a>(layout: &ResultsLayout, rows: impl Iterator<Item = &'a RunRow>) -> Result<()> {
    let running: Vec<RunId> = rows.filter(|row| row.status == Status::Running).map(|row| row.run).collect();
    if running.is_empty() || presence(layout) != Presence::Absent {
        return Ok(());
    }
    let submitted = submitted(layout, &running)?.len();
    let left = running.len().saturating_sub(submitted);
    if left > 0 {
        let (runs, verb) = if left == 1 { ("run", "was") } else { ("runs", "were") };
        say(&format!(
            "note: no scheduler works in this results folder, so {left} running {runs} {verb} interrupted; `run` \
             continues them"
        ));
    }
    Ok(())
}

/// Writes text to standard output. Names, labels and messages come from files, so characters that control a terminal
/// are replaced. A closed pipe (`| head`) is not an error.
fn print(text: &str) -> Result<()> {
    print_bytes(printable(text).as_bytes())
}

/// Prints a line on standard error, next to the requested output.
pub(crate) fn say(line: &str) {
    crate::screen::say(&printable(line));
}

/// Writes bytes to standard output. A closed pipe or terminal is not an error.
fn print_bytes(bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    match std::io::stdout().write_all(bytes) {
        // Writing to a closed terminal gives an input/output error.
        Err(fault) if fault.kind() == std::io::ErrorKind::BrokenPipe || is_lost_terminal(&fault) => Ok(()),
        written => Ok(written?),
    }
}

fn is_lost_terminal(fault: &std::io::Error) -> bool {
    fault.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// Escapes all characters of a JSON text that control a terminal. They occur only inside strings.
fn json_text(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match check_prose(c.encode_utf8(&mut [0; 4])) {
            Ok(()) => out.push(c),
            Err(_) => out += &format!("\\u{:04x}", u32::from(c)),
        }
    }
    out
}

/// Prints a value as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print_bytes(json_text(&format!("{}\n", serde_json::to_string_pretty(value)?)).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_escapes_characters_that_control_a_terminal() {
        let text = "a\u{9b}2J \u{202e}\n\u{1b}é";
        let json = json_text(&serde_json::to_string(text).unwrap());
        assert_eq!(json, "\"a\\u009b2J \\u202e\\n\\u001bé\"");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
