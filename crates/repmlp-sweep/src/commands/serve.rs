//! `serve`: shows a sweep in a browser while it runs. It only reads the results folder.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sweep_progress::{Counts, View};
use sweep_protocol::{ResultsLayout, error_chain, file_stamp, now_ms};
use sweep_serve::{Access, Bytes, Content, Server, Shell, Token};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{open_results, print};
use crate::cli::ServeArgs;
use crate::exit::Exit;
use crate::follow::Follower;
use crate::page_data;
use crate::project::Project;
use crate::recorded;
use crate::shown::Shown;
use crate::signals::Ends;

/// Shortest time between two computations of the report.
const REPORT: Duration = Duration::from_secs(2);
/// Time after which a report that could not be made is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// Number of waiting, finished and failed runs that the page is told.
const LISTED: usize = 50;
/// Number of characters of the reason of a failure.
const REASON: usize = 300;

pub(crate) async fn run(arguments: ServeArgs) -> Result<Exit> {
    let (shown, project) = Shown::begin(&arguments.shown).await?;
    let mut ends = Ends::new()?;
    let server = Server::listen(arguments.listen).await;
    let server = server.with_context(|| format!("cannot listen on {}: give another --listen", arguments.listen))?;
    let address = server.address();
    let (access, query) = match address.ip().is_loopback() {
        true => (Access::Loopback, String::new()),
        false => {
            let token = Token::new(random().context("no random numbers for a token can be had")?);
            let query = format!("?token={}", token.text());
            (Access::Token(token), query)
        }
    };
    let (states, state) = watch::channel(Arc::from("{}"));
    let (pages, page) = watch::channel(Bytes::new());
    let mut feed = Feed { project, shown, states, pages, made: None };
    feed.look().await;
    print(&format!("http://{address}/{query}\n"))?;
    let shell = Shell { html: sweep_page::live().into(), policy: sweep_page::LIVE_POLICY };
    tokio::select! {
        served = server.serve(shell, Content { state, page }, access) => served.context("the page cannot be served")?,
        () = feed.go_on(arguments.shown.interval) => {}
        () = ends.come() => {}
    }
    Ok(Exit::Done)
}

fn random() -> std::io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Tells the server what changes.
struct Feed {
    project: Project,
    shown: Shown,
    states: watch::Sender<Arc<str>>,
    pages: watch::Sender<Bytes>,
    made: Option<Made>,
}

/// A report that was computed, and what for.
struct Made {
    at: Instant,
    /// What the report was computed from, apart from the values of runs.
    stamps: [Option<String>; 2],
    place: (String, String),
    counts: Counts,
    /// Why it could not be computed.
    fault: Option<String>,
}

impl Feed {
    async fn go_on(&mut self, every: Duration) {
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.shown.look().await;
            self.look().await;
        }
    }

    /// Sends how far the sweep is, and its report if that may have changed.
    async fn look(&mut self) {
        let Some(follower) = &self.shown.found.follower else {
            self.send(&json!({ "note": self.shown.found.note }));
            return;
        };
        let view = follower.view(now_ms());
        let (place, counts) = ((view.experiment.to_owned(), view.profile.to_owned()), view.counts);
        let mut state = told(&view);
        let note = follower_note(follower, &self.shown.found.note);
        self.report(place, counts).await;
        let fault = self.made.as_ref().and_then(|made| made.fault.as_ref());
        state["note"] = fault.map_or(note, |fault| format!("the report cannot be made: {fault}")).into();
        self.send(&state);
    }

    fn send(&self, state: &Value) {
        let text: Arc<str> = state.to_string().into();
        self.states.send_if_modified(|former| {
            let is_new = *former != text;
            *former = text;
            is_new
        });
    }

    /// Computes the report again if runs have ended, or if its declaration or the plan was edited. A fault stays until
    /// a computation succeeds.
    async fn report(&mut self, place: (String, String), counts: Counts) {
        let layout = self.shown.target.layout.clone();
        let declaration = self.project.reports().join(format!("{}.toml", place.0));
        let stamps = [file_stamp(&declaration), file_stamp(&layout.plan(&place.0, &place.1))];
        let ended = |counts: &Counts| (counts.runs, counts.succeeded, counts.failed, counts.pruned);
        let is_other = self.made.as_ref().is_none_or(|made| made.place != place);
        if let Some(made) = self.made.as_ref().filter(|_| !is_other) {
            let is_same = made.stamps == stamps && ended(&made.counts) == ended(&counts);
            let pause = if made.fault.is_some() { AGAIN } else { REPORT };
            if made.at.elapsed() < pause || (is_same && made.fault.is_none()) {
                return;
            }
        }
        if is_other {
            // The report of another sweep must not stand below the progress of this one.
            self.pages.send_replace(Bytes::new());
        }
        let fault = match page(&self.project, &layout, (&place.0, &place.1)).await {
            Ok(json) => {
                self.pages.send_replace(json.into());
                None
            }
            Err(fault) => Some(error_chain(fault.as_ref())),
        };
        self.made = Some(Made { at: Instant::now(), stamps, place, counts, fault });
    }
}

/// Returns the page of an experiment as JSON.
async fn page(project: &Project, layout: &ResultsLayout, place: (&str, &str)) -> Result<String> {
    let mut results = open_results(layout).await?;
    let rows = recorded::of_report(project, &mut results, place).await?;
    results.close().await?;
    let Some(rows) = rows else { return Ok(String::new()) };
    // A large report takes seconds, in which the server must answer.
    let (project, layout) = (project.clone(), layout.clone());
    let made = move || Ok(serde_json::to_string(&page_data::collect(&project, &layout, &rows)?)?);
    tokio::task::spawn_blocking(made).await?
}

fn follower_note(follower: &Follower, note: &str) -> String {
    if follower.note().is_empty() { note.to_owned() } else { follower.note().to_owned() }
}

/// Returns a view as JSON, with the beginnings of the queue and of the failures, and the end of the finished runs.
fn told(view: &View<'_>) -> Value {
    let mut view = view.clone();
    view.queue.truncate(LISTED);
    let early = view.finished.len().saturating_sub(LISTED);
    view.finished.drain(..early);
    view.failures.truncate(LISTED);
    let mut view = serde_json::to_value(&view).unwrap_or_default();
    for failure in view["failures"].as_array_mut().into_iter().flatten() {
        let reason: Option<String> = failure["reason"].as_str().map(|reason| reason.chars().take(REASON).collect());
        failure["reason"] = reason.into();
    }
    // Nothing is sent while only the time changes.
    view.as_object_mut().map(|view| view.remove("at_ms"));
    view
}
