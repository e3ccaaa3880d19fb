//! The progress of a sweep as a state. Journal lines change it, and drawings ask it: bars, a terminal screen, a page.
//!
//! The state is a function of the plan, the lines and the time that the caller names. This crate reads no file, no
//! clock and no terminal.
//!
//! ```text
//! planned runs, rows -> Progress <- lines of attempts and supervisors
//!                          '-> News (what to tell now), View (everything, at a time)
//! ```
//!
//! # Example
//!
//! ```
//! use sweep_progress::{PlannedRun, Progress, Setup, Standing};
//! use sweep_protocol::{ResultsLayout, RunId};
//!
//! let run = PlannedRun {
//!     run: RunId::of("{}", 0),
//!     label: "groups=2".to_owned(),
//!     configuration: 0,
//!     work: Some(1_000_000),
//!     standing: Standing::Queued,
//!     checkpoint_step: 0,
//! };
//! let setup = Setup {
//!     experiment: "groups".to_owned(),
//!     profile: "default".to_owned(),
//!     layout: ResultsLayout::new("results"),
//!     slots: Some(1),
//!     retries: 0,
//! };
//! let progress = Progress::new(setup, vec![run]);
//! assert_eq!(progress.counts().queued, 1);
//! // Nothing is measured yet, so nothing is said about the time left.
//! assert_eq!(progress.seconds_left(0), None);
//! ```

mod attempt;
mod curve;
mod estimate;
mod label;
mod news;
mod pace;
mod state;
mod view;

#[cfg(test)]
mod tests;

pub use attempt::{Place, Told};
pub use curve::{Curve, CurvePoint};
pub use label::{fitted, labels};
pub use news::{Begin, News};
pub use state::{AttemptJournals, PlannedRun, Progress, Scheduler, Setup, Standing};
pub use view::{Counts, Failed, Finished, Running, SlotView, View, Waiting};
