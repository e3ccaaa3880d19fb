//! `watch`: shows a running sweep on the whole terminal. It only reads, so it can come and go at any time.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use sweep_protocol::{PlanRecord, ResultsLayout};
use sweep_runner::Holder;
use sweep_watch::{Cursor, Follower, SweepState, draw};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::{open_results, print_json};
use crate::cli::WatchArgs;
use crate::exit::{Exit, UsageError};
use crate::project::{Project, name_or_file};

/// Interval at which journals are read.
const INTERVAL: Duration = Duration::from_millis(500);

pub(crate) async fn run(arguments: WatchArgs) -> Result<Exit> {
    let asked = arguments.experiment.as_deref().map(|asked| name_or_file(Path::new(asked))).transpose()?;
    let project = asked.as_ref().and_then(|(_, file)| *file).map_or_else(Project::here, Project::of);
    let layout = project.results(&arguments.results);
    let name = asked.as_ref().map(|(name, _)| name.as_str());
    let mut results = open_results(&layout).await?;
    let plan = latest(results.plans(), name, arguments.profile.as_deref()).ok_or_else(|| {
        let text = format!(
            "{}: no such experiment was started in this results folder; see `repmlp-sweep status`",
            layout.root().display()
        );
        UsageError(text)
    })?;
    let runs: Vec<_> = plan.runs.iter().map(|run| run.run).collect();
    let rows = results.run_rows(&runs)?;
    results.close().await?;
    let mut state = SweepState::new(&plan, &rows);
    let mut follower = Follower::new(&layout);
    follower.refresh(&mut state, None);
    if arguments.json {
        print_json(&serde_json::json!({ "estimate": state.estimate(), "sweep": state }))?;
        return Ok(Exit::Done);
    }
    if !std::io::stdout().is_terminal() {
        let text = "standard output is not a terminal: use `watch --json`, or `status`";
        return Err(UsageError(text.to_owned()).into());
    }
    // `init` also restores the terminal after a panic.
    let terminal = ratatui::try_init().context("the terminal cannot be used")?;
    let ended = show(terminal, state, follower, &layout).await;
    ratatui::restore();
    ended.map(|()| Exit::Done)
}

/// Returns the plan of this name that was started last.
fn latest(plans: Vec<PlanRecord>, name: Option<&str>, profile: Option<&str>) -> Option<PlanRecord> {
    let is_asked = |plan: &PlanRecord| {
        name.is_none_or(|name| plan.experiment == name) && profile.is_none_or(|profile| plan.profile == profile)
    };
    let started = |plan: &PlanRecord| plan.source.as_ref().map(|source| source.written_at_ms);
    plans.into_iter().filter(is_asked).max_by_key(started)
}

/// Draws until the user leaves, or a signal ends the program.
async fn show(
    mut terminal: DefaultTerminal,
    mut state: SweepState,
    mut follower: Follower,
    layout: &ResultsLayout,
) -> Result<()> {
    let (sender, mut keys) = mpsc::channel(16);
    // This thread ends with the program: a read of the terminal cannot be interrupted.
    std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                break;
            }
        }
    })?;
    let (mut terminate, mut hang_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let mut cursor = Cursor::default();
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        let note = scheduler(layout);
        terminal.draw(|frame| draw(frame, &state, cursor, &note))?;
        tokio::select! {
            _ = ticks.tick() => {
                let shown = cursor.run(&state).map(|run| run.run);
                follower.refresh(&mut state, shown);
            }
            event = keys.recv() => match event {
                Some(Event::Key(key)) if key.kind == KeyEventKind::Press => match moved(key) {
                    Key::Leave => return Ok(()),
                    Key::Move(by) => cursor = cursor.moved(by, &state),
                    Key::Other => {}
                },
                Some(_) => {} // the size changed, for example: the screen is drawn again
                None => return Ok(()),
            },
            _ = terminate.recv() => return Ok(()),
            _ = hang_up.recv() => return Ok(()),
        }
    }
}

/// What a key means.
enum Key {
    Leave,
    Move(isize),
    Other,
}

fn moved(key: KeyEvent) -> Key {
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Key::Leave,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Leave,
        KeyCode::Down | KeyCode::Char('j') => Key::Move(1),
        KeyCode::Up | KeyCode::Char('k') => Key::Move(-1),
        KeyCode::PageDown => Key::Move(20),
        KeyCode::PageUp => Key::Move(-20),
        KeyCode::Home | KeyCode::Char('g') => Key::Move(isize::MIN),
        KeyCode::End | KeyCode::Char('G') => Key::Move(isize::MAX),
        _ => Key::Other,
    }
}

/// Says whether a scheduler works on the results folder.
fn scheduler(layout: &ResultsLayout) -> String {
    match Holder::last(layout) {
        Some(holder) => match holder.is_alive() {
            Some(true) => String::new(),
            Some(false) => "no scheduler runs".to_owned(),
            None => format!("scheduler: {holder}"),
        },
        None => "no scheduler runs".to_owned(),
    }
}
