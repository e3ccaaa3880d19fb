//! `watch`: shows how far a sweep is, on a screen that follows it. It only reads the results folder.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, Result};
use sweep_protocol::now_ms;
use sweep_watch::{Choice, Colors, Input, Scene, Screen as Terminal, Step, listen};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::{is_lost_terminal, print_json, say};
use crate::cli::WatchArgs;
use crate::exit::{Exit, UsageError};
use crate::screen::Screen;
use crate::shown::{Found, Shown};
use crate::signals::Ends;

/// Number of inputs that may wait.
const INPUTS: usize = 64;

pub(crate) async fn run(arguments: WatchArgs, screen: Screen) -> Result<Exit> {
    let (shown, _) = Shown::begin(&arguments.shown).await?;
    if arguments.json {
        return print_once(shown.found);
    }
    if !std::io::stdout().is_terminal() {
        let text = "`watch` draws on a terminal, and standard output is none; `watch --json` prints the state once";
        return Err(UsageError(text.to_owned()).into());
    }
    let colors = if screen.table_color() == sweep_report::Color::Ansi { Colors::On } else { Colors::Off };
    Watch { shown, choice: Choice::default(), colors }.show(arguments.shown.interval).await
}

/// Prints the state as JSON.
fn print_once(found: Found) -> Result<Exit> {
    let Some(mut follower) = found.follower else { return Err(UsageError(found.note).into()) };
    if !found.note.is_empty() {
        say(&found.note);
    }
    let now_ms = now_ms();
    follower.look(now_ms);
    if !follower.note().is_empty() {
        say(&format!("note: {}", follower.note()));
    }
    print_json(&follower.view(now_ms))?;
    Ok(Exit::Done)
}

/// A screen that follows a sweep.
struct Watch {
    shown: Shown,
    choice: Choice,
    colors: Colors,
}

impl Watch {
    /// Shows the screen until the user leaves or a signal comes. Then the terminal is as before.
    async fn show(mut self, every: Duration) -> Result<Exit> {
        // Before the terminal is changed, so that no signal leaves it changed.
        let mut ends = Ends::new()?;
        let refused = "the terminal cannot be used for a screen; `watch --json` prints the state once";
        let mut terminal = Terminal::open().context(refused)?;
        let mut inputs = inputs()?;
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let step = tokio::select! {
                _ = tick.tick() => {
                    self.shown.look().await;
                    Step::Draw
                }
                input = inputs.recv() => match input {
                    Some(input) => self.follow(input),
                    None => return Err(std::io::Error::other("the terminal cannot be read").into()),
                },
                () = ends.come() => Step::Leave,
            };
            let drawn = match step {
                Step::Leave => return Ok(Exit::Done),
                Step::Draw => Ok(()),
                Step::Redraw => terminal.clear(),
            };
            match drawn.and_then(|()| self.draw(&mut terminal)) {
                // The terminal was closed.
                Err(fault) if is_lost_terminal(&fault) || fault.kind() == std::io::ErrorKind::BrokenPipe => {
                    return Ok(Exit::Done);
                }
                drawn => drawn.context("the screen cannot be drawn")?,
            }
        }
    }

    fn follow(&mut self, input: Input) -> Step {
        let view = self.shown.found.follower.as_ref().map(|follower| follower.view(now_ms()));
        self.choice.follow(input, view.as_ref())
    }

    fn draw(&mut self, terminal: &mut Terminal) -> std::io::Result<()> {
        let now_ms = now_ms();
        let Found { follower, note, .. } = &mut self.shown.found;
        let Some(follower) = follower else {
            let scene = Scene { view: None, curve: None, note, colors: self.colors };
            return terminal.draw(&scene, &self.choice);
        };
        let selected = self.choice.run(&follower.view(now_ms));
        if let Some(run) = selected {
            follower.recall(run);
        }
        let view = follower.view(now_ms);
        let note = if follower.note().is_empty() { note.as_str() } else { follower.note() };
        let curve = selected.and_then(|run| follower.curve(run));
        terminal.draw(&Scene { view: Some(&view), curve, note, colors: self.colors }, &self.choice)
    }
}

/// Starts a thread that listens to the user.
fn inputs() -> Result<mpsc::Receiver<Input>> {
    let (sender, inputs) = mpsc::channel(INPUTS);
    let is_over = sender.clone();
    let listener = move || {
        // After an error the channel closes, which ends the screen.
        drop(listen(|input| sender.blocking_send(input).is_ok(), || is_over.is_closed()));
    };
    std::thread::Builder::new().spawn(listener).context("no thread can be started")?;
    Ok(inputs)
}
