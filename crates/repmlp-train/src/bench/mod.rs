//! The benchmark: named cases, each timed with the code that runs use. `benches/pytorch.py` has the same cases under
//! the same names. `benches/compare.py` prints both results in one table.
//!
//! It knows no run and no data set: images are seeded noise. It prints nothing and uses the threads of the process.

pub mod device;
mod kernels;
mod subject;

use candle_core::{Device, Result};
use sweep_protocol::median;

pub use crate::stopwatch::Effort;
use crate::stopwatch::in_turns;
pub(crate) use kernels::numbers;
use subject::{SUBJECTS, Subject};

/// A group of cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// A whole training step of a network. For a block alone: forward and backward.
    Train,
    /// A forward pass of the deployed form.
    Infer,
    /// A kernel and the composite that it replaces.
    Kernels,
}

/// Times of one case.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// Name of the case.
    pub case: String,
    /// Name of the implementation. Only cases of [`Suite::Kernels`] have several.
    pub way: Option<&'static str>,
    /// Images in the batch.
    pub batch: Option<usize>,
    /// Seconds of each timed round. There is at least one.
    pub seconds: Vec<f64>,
    /// Necessary multiply-adds, for cases where they are counted. It is the count of `repmlp::cost` without padding. A
    /// training step counts three times: forward, gradient of the input, gradient of the weight. The gradient of the
    /// images is not counted, since nothing needs it.
    pub multiply_adds: Option<f64>,
}

impl Timing {
    /// Returns the median over the rounds, in seconds.
    pub fn median_s(&self) -> f64 {
        median(self.seconds.clone()).unwrap_or_default()
    }

    /// Returns the shortest round, in seconds.
    pub fn min_s(&self) -> f64 {
        self.seconds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Returns 10⁹ floating-point operations per second in the median round. A multiply-add counts as two operations.
    pub fn gflop_per_s(&self) -> Option<f64> {
        self.multiply_adds.map(|count| 2e-9 * count / self.median_s())
    }
}

/// Returns the names of all cases.
pub fn names(suite: Suite) -> Vec<String> {
    match suite {
        Suite::Train | Suite::Infer => SUBJECTS.iter().map(|subject| subject.case(suite)).collect(),
        Suite::Kernels => kernel_cases().into_iter().map(|(case, _)| case.name).collect(),
    }
}

/// Times the named cases one after the other. Hands each result to `tell` as soon as it is measured.
///
/// # Errors
/// When candle or `tell` fails.
pub fn time<E: From<candle_core::Error> + Send>(
    suite: Suite,
    names: &[String],
    effort: Effort,
    tell: impl FnMut(Timing) -> std::result::Result<(), E> + Send,
) -> std::result::Result<(), E> {
    // Runs on a thread of the pool, as a run does.
    Device::Cpu.with_context(|| time_here(suite, names, effort, tell))
}

fn time_here<E: From<candle_core::Error>>(
    suite: Suite,
    names: &[String],
    effort: Effort,
    mut tell: impl FnMut(Timing) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    match suite {
        Suite::Train | Suite::Infer => {
            for subject in SUBJECTS.iter().filter(|subject| names.contains(&subject.case(suite))) {
                tell(time_subject(subject, suite, effort)?)?;
            }
        }
        Suite::Kernels => {
            for (case, multiply_adds) in kernel_cases().into_iter().filter(|(case, _)| names.contains(&case.name)) {
                let ways = (case.prepare)()?;
                let works: Vec<&dyn Fn() -> Result<()>> = ways.iter().map(|(_, work)| &**work).collect();
                for ((way, _), seconds) in ways.iter().zip(in_turns(effort, &works)?) {
                    tell(Timing { case: case.name.clone(), way: Some(way), batch: None, seconds, multiply_adds })?;
                }
            }
        }
    }
    Ok(())
}

fn time_subject(subject: &Subject, suite: Suite, effort: Effort) -> Result<Timing> {
    let device = &Device::Cpu;
    let step = subject.prepare(suite, device)?;
    Ok(Timing {
        case: subject.case(suite),
        way: None,
        batch: Some(subject.batch(device)),
        seconds: in_turns(effort, &[&|| step(&mut |_| Ok(()))])?.concat(),
        multiply_adds: Some(subject.multiply_adds(suite, device)?),
    })
}

/// Returns the kernel cases, with their multiply-adds where they are counted.
fn kernel_cases() -> Vec<(kernels::Case, Option<f64>)> {
    let (peak, multiply_adds) = kernels::peak();
    let others = kernels::cases().into_iter().map(|case| (case, None));
    std::iter::once((peak, Some(multiply_adds as f64))).chain(others).collect()
}
