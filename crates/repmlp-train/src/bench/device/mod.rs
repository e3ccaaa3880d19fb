//! The benchmark of one device, usually a GPU: whether its results agree with those of the CPU, and how long steps
//! take.

mod agreement;
mod steps;

pub use agreement::{Agreement, agreements};
pub use steps::{Memory, StepTimes, step_times};
#[cfg(feature = "cuda")]
pub use steps::{mark_steps, marked};
