//! The statistics of an ablation: how sure is a mean, a difference or a ratio, and what can a number of seeds show?
//!
//! The crate is pure. It knows only numbers: no files, no runs, no metrics, no tables.
//!
//! ```text
//! values of a row         -> Summary (t-interval), Estimate (BCa from 20 values on)
//! rows by seed, baseline  -> PairedDifference, Comparison; Equivalence; RoundingNoise
//! cells of a grid by seed -> Factorial
//! cost, values by seed    -> pareto_front
//! images, right or wrong  -> McNemar, AccuracyDifference
//! seconds of rounds       -> Ratio, RatioBootstrap
//! deviation, goal         -> pairs_needed, least_difference; Pilot
//! ```
//!
//! Results without a meaning are absent: too few values, values that are not finite, or a difference that is the same
//! for each seed, which says nothing about chance. No function panics on any values. Values have the unit of the
//! caller; probabilities and shares are fractions. All that is random has a recorded seed.
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

mod accuracy_difference;
mod beta;
mod binomial;
mod bootstrap;
mod chi_square;
mod comparison;
mod confusion;
mod effect_size;
mod equivalence;
mod estimate;
mod factorial;
mod fisher_f;
mod gamma;
mod holm;
mod interval;
mod mcnemar;
mod median;
mod noncentral_t;
mod normal;
mod paired_difference;
mod pairs;
mod pareto;
mod pilot;
mod planning;
mod ratio;
mod root;
mod rounding_noise;
mod sign_flip;
mod split_mix;
mod student_t;
mod summary;
mod superiority;
mod welch;

pub use accuracy_difference::AccuracyDifference;
pub use bootstrap::Resampling;
pub use chi_square::ChiSquare;
pub use comparison::{Comparison, compare_with_baseline};
pub use confusion::Confusion;
pub use effect_size::EffectSize;
pub use equivalence::{Equivalence, EquivalenceVerdict};
pub use estimate::{Estimate, FEWEST_FOR_BOOTSTRAP, IntervalMethod};
pub use factorial::{Cells, Factorial, Interaction, MainEffect, MarginalMean, Unbalanced};
pub use holm::holm;
pub use interval::{CONFIDENCE, Interval};
pub use mcnemar::McNemar;
pub use median::median;
pub use noncentral_t::{NoncentralT, Sides};
pub use normal::{normal_cdf, normal_quantile};
pub use paired_difference::PairedDifference;
pub use pairs::Pairs;
pub use pareto::{Candidate, Certainty, Dominance, Standing, pareto_front};
pub use pilot::{PILOT_CONFIDENCE, Pilot};
pub use planning::{Goal, least_difference, least_told, pairs_needed, power};
pub use ratio::{Ratio, RatioBootstrap};
pub use rounding_noise::RoundingNoise;
pub use sign_flip::{Drawn, SignFlip, fewest_pairs};
pub use student_t::StudentT;
pub use summary::Summary;
pub use superiority::{paired_superiority, superiority};
pub use welch::Welch;
