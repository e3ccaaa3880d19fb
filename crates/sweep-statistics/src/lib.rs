//! The statistics of an ablation: how sure is a mean, a difference or a ratio, and what can a number of seeds show?
//!
//! The crate is pure. It knows only numbers: no files, no runs, no metrics, no tables.
//!
//! ```text
//! values by seed -> Summary, PairedDifference
//! seconds of rounds -> Ratio
//! ```
//!
//! # Example
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use sweep_statistics::PairedDifference;
//!
//! let baseline = BTreeMap::from([(0, 0.910), (1, 0.909), (2, 0.911)]);
//! let row = BTreeMap::from([(0, 0.921), (1, 0.919), (2, 0.923)]);
//! let difference = PairedDifference::of(&row, &baseline).ok_or("the rows share no seed")?;
//! assert!(difference.is_told());
//! # Ok::<(), &str>(())
//! ```

#![forbid(unsafe_code)]

mod median;
mod paired_difference;
mod ratio;
mod sign_flip;
mod student_t;

pub use median::median;
pub use paired_difference::{CONFIDENCE, Interval, PairedDifference, Summary};
pub use ratio::Ratio;
pub use sign_flip::{Drawn, SignFlip, fewest_pairs};
pub use student_t::{t_quantile, two_sided_p};
