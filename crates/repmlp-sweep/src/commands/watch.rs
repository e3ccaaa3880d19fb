//! `watch`: shows how far a sweep is, on a screen that follows it. It only reads the results folder.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use sweep_protocol::{PlanRecord, ResultsLayout, error_chain, now_ms};
use sweep_store::Reader;
use sweep_watch::{Choice, Colors, Input, Scene, Screen as Terminal, Step, listen};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{is_lost_terminal, open_results, print_json, say};
use crate::cli::WatchArgs;
use crate::exit::{Exit, UsageError};
use crate::follow::{Follower, last_active};
use crate::plan_file;
use crate::project::{Project, name_or_file};
use crate::screen::Screen;
use crate::signals::ignores_hang_up;

/// Interval at which another sweep is looked for while one is shown.
const LOOK_AROUND: Duration = Duration::from_secs(5);
/// Interval at which a sweep is looked for while none is shown.
const LOOK_OUT: Duration = Duration::from_secs(1);
/// Number of inputs that may wait.
const INPUTS: usize = 64;

pub(crate) async fn run(arguments: WatchArgs, screen: Screen) -> Result<Exit> {
    let asked = arguments.experiment.as_deref().map(|asked| name_or_file(Path::new(asked))).transpose()?;
    let file = asked.as_ref().and_then(|(_, file)| *file);
    let project = file.map_or_else(Project::here, Project::of);
    let layout = project.results(&arguments.results);
    let target =
        Target { layout, experiment: asked.as_ref().map(|(name, _)| name.clone()), profile: arguments.profile };
    let mut found = target.find().await?;
    if let Found { follower: Some(_), plan: Some(plan), .. } = &found {
        plan_file::check(&target.layout, file, plan)?;
    }
    if arguments.json {
        return print_once(found);
    }
    if !std::io::stdout().is_terminal() {
        let text = "`watch` draws on a terminal, and standard output is none; `watch --json` prints the state once";
        return Err(UsageError(text.to_owned()).into());
    }
    let colors = if screen.table_color() == sweep_report::Color::Ansi { Colors::On } else { Colors::Off };
    if let Some(follower) = &mut found.follower {
        follower.look(now_ms());
    }
    Watch { target, found, choice: Choice::default(), colors, looked_around: Instant::now() }
        .show(arguments.interval)
        .await
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

/// The sweep that the user wants to see.
struct Target {
    layout: ResultsLayout,
    experiment: Option<String>,
    profile: Option<String>,
}

/// A sweep that was found, or why there is none.
#[derive(Default)]
struct Found {
    follower: Option<Follower>,
    plan: Option<PlanRecord>,
    note: String,
}

impl Target {
    fn is_wanted(&self, plan: &PlanRecord) -> bool {
        let is = |wanted: &Option<String>, name: &String| wanted.as_ref().is_none_or(|wanted| wanted == name);
        is(&self.experiment, &plan.experiment) && is(&self.profile, &plan.profile)
    }

    /// Returns the wanted plan that was last active, and the number of plans that the user may have meant.
    fn newest(&self, results: &mut Reader) -> (Option<PlanRecord>, usize) {
        let mut plans: Vec<PlanRecord> = results.plans().into_iter().filter(|plan| self.is_wanted(plan)).collect();
        let count = plans.len();
        if count > 1 {
            plans.sort_by_cached_key(|plan| last_active(&self.layout, plan));
        }
        (plans.pop(), count)
    }

    /// Begins to follow the wanted sweep that was last active.
    async fn find(&self) -> Result<Found> {
        let mut results = open_results(&self.layout).await?;
        let (plan, count) = self.newest(&mut results);
        let Some(plan) = plan else {
            let note = self.nothing(&mut results);
            results.close().await?;
            return Ok(Found { note, ..Found::default() });
        };
        let follower = Follower::new(&self.layout, &mut results, &plan)?;
        let damage = results.take_damage().into_iter().next();
        results.close().await?;
        let note = match damage {
            Some(damage) => format!("note: {}", error_chain(&damage)),
            None if count > 1 => format!(
                "{} ({}) was last active of {count} sweeps here; name an experiment or a --profile for another",
                plan.experiment, plan.profile
            ),
            None => String::new(),
        };
        Ok(Found { follower: Some(follower), plan: Some(plan), note })
    }

    /// Says why there is nothing to follow.
    fn nothing(&self, results: &mut Reader) -> String {
        let root = self.layout.root().display();
        let known: Vec<String> =
            results.plans().iter().map(|plan| format!("{} ({})", plan.experiment, plan.profile)).collect();
        if let Some(damage) = results.take_damage().into_iter().next().filter(|_| known.is_empty()) {
            return error_chain(&damage);
        }
        if known.is_empty() {
            return format!("{root}: nothing has been run in this results folder");
        }
        let wanted = match (&self.experiment, &self.profile) {
            (Some(experiment), Some(profile)) => format!("`{experiment}` ({profile})"),
            (Some(experiment), None) => format!("`{experiment}`"),
            (None, profile) => format!("profile `{}`", profile.as_deref().unwrap_or_default()),
        };
        format!("{root}: no run of {wanted} was started here; known: {}", known.join(", "))
    }
}

/// A screen that follows a sweep.
struct Watch {
    target: Target,
    found: Found,
    choice: Choice,
    colors: Colors,
    looked_around: Instant,
}

/// The signals that end the screen.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Option<Signal>,
}

impl Ends {
    fn new() -> Result<Self> {
        let hang_up = if ignores_hang_up() { None } else { Some(signal(SignalKind::hangup())?) };
        let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        Ok(Self { interrupt: interrupt?, terminate: terminate?, hang_up })
    }

    async fn come(&mut self) {
        let hung_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = hung_up => {}
            _ = self.interrupt.recv() => {}
        }
    }
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
                    self.look().await;
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
        let view = self.found.follower.as_ref().map(|follower| follower.view(now_ms()));
        self.choice.follow(input, view.as_ref())
    }

    /// Reads what is new, and looks for another sweep from time to time.
    async fn look(&mut self) {
        if let Some(follower) = &mut self.found.follower {
            follower.look(now_ms());
        }
        let is_replaced = self.found.follower.as_ref().is_some_and(Follower::is_replaced);
        let every = if self.found.follower.is_some() { LOOK_AROUND } else { LOOK_OUT };
        if !is_replaced && self.looked_around.elapsed() < every {
            return;
        }
        self.looked_around = Instant::now();
        if is_replaced || self.is_other_active().await {
            match self.target.find().await {
                Ok(found) => self.found = found,
                Err(fault) => self.found.note = error_chain(fault.as_ref()),
            }
            if let Some(follower) = &mut self.found.follower {
                follower.look(now_ms());
            }
        }
    }

    /// Whether there is a sweep to be shown instead: any if none is shown yet, or one that was active later than the
    /// shown one if nothing of that runs.
    async fn is_other_active(&self) -> bool {
        let Some(follower) = &self.found.follower else { return true };
        if !follower.is_idle() || (self.target.experiment.is_some() && self.target.profile.is_some()) {
            return false;
        }
        let Ok(mut results) = open_results(&self.target.layout).await else { return false };
        let (newest, _) = self.target.newest(&mut results);
        newest.is_some_and(|newest| !follower.follows(&newest))
    }

    fn draw(&mut self, terminal: &mut Terminal) -> std::io::Result<()> {
        let now_ms = now_ms();
        let Found { follower, note, .. } = &mut self.found;
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
