//! The state of a sweep while it runs, and a terminal screen of it.
//!
//! ```text
//! plan + rows of runs -> SweepState <- Follower <- journals of open attempts
//!                             |
//!                     draw (terminal), JSON
//! ```
//!
//! [`SweepState`] is data that the lines of journals change. [`Follower`] reads journals and writes nothing. [`draw`]
//! knows the state and an area of a terminal.

mod draw;
mod follower;
mod state;

pub use draw::{Cursor, draw};
pub use follower::Follower;
pub use state::{CurvePoint, Estimate, RunState, SweepState};
