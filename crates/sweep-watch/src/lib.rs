//! The state of a sweep while it runs, and a terminal screen of it.
//!
//! ```text
//! plan + rows of runs -> SweepState <- Follower <- journals of open attempts
//!                             |
//!                     draw (terminal), JSON
//! ```
//!
//! [`SweepState`] is data: it is changed by the lines of journals and asked with a time. [`Follower`] reads journals and
//! writes nothing. [`draw`] knows the state and an area of a terminal.

mod draw;
mod follower;
mod state;

pub use draw::{Cursor, draw};
pub use follower::Follower;
pub use state::{CurvePoint, Estimate, RunState, SweepState};
