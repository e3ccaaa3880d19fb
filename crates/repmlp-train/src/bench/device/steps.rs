//! Times and memory of steps. A device works on its own, so times are those of many steps until the device has done
//! all.

use std::time::Instant;

use candle_core::{Device, Result};
use repmlp_kernels::{Factors, device_memory, with_factors};

use super::super::Suite;
use super::super::subject::{SUBJECTS, Step, Subject};
use crate::stopwatch::Effort;

/// Steps of a timed round on a GPU. A CPU is done when a step returns.
const STEPS: usize = 10;

/// Times of one case.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTimes {
    /// Name of the case.
    pub case: String,
    /// Images in the batch.
    pub batch: usize,
    /// Seconds of a step, in each timed round.
    pub seconds: Vec<f64>,
    /// Names and seconds of the phases of a step, if it has several. The device is waited for after each, so they add
    /// up to more than a step.
    pub phases: Vec<(&'static str, f64)>,
    /// Necessary multiply-adds of a step.
    pub multiply_adds: f64,
    /// Memory of the device, where it can be told.
    pub memory: Option<Memory>,
}

/// Memory of a training step, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Most memory in use at a time.
    pub most: u64,
    /// What a plan predicts. For a forward pass, nothing is predicted.
    pub predicted: Option<f64>,
    /// Memory still in use after the network was dropped.
    pub left: u64,
}

/// Times the named cases on a device, with such factors in training steps. Hands each result to `tell` as soon as it is
/// measured.
///
/// # Errors
/// When candle or `tell` fails.
pub fn step_times<E: From<candle_core::Error>>(
    (device, factors): (&Device, Factors),
    suite: Suite,
    (names, effort): (&[String], Effort),
    mut tell: impl FnMut(StepTimes) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    for subject in SUBJECTS.iter().filter(|subject| names.contains(&subject.case(suite))) {
        tell(with_factors(factors, || of_subject(subject, suite, (device, effort)))?)?;
    }
    Ok(())
}

fn of_subject(subject: &Subject, suite: Suite, (device, effort): (&Device, Effort)) -> Result<StepTimes> {
    let before = device_memory::in_use(device)?;
    device_memory::forget_most(device)?;
    let step = subject.prepare(suite, device)?;
    let steps = steps_of_round(device);
    let mut seconds = Vec::with_capacity(effort.repeats);
    for round in 0..effort.warmup + effort.repeats {
        let start = Instant::now();
        for _ in 0..steps {
            step(&mut |_| Ok(()))?;
        }
        device.synchronize()?;
        if round >= effort.warmup {
            seconds.push(start.elapsed().as_secs_f64() / steps as f64);
        }
    }
    let phases = phases(&step, device)?;
    let most = device_memory::most_in_use(device)?;
    drop(step);
    device.synchronize()?;
    let left = device_memory::in_use(device)?;
    let memory = match (before, most, left) {
        (Some(before), Some(most), Some(left)) => Some(Memory {
            most: most.saturating_sub(before),
            predicted: if suite == Suite::Train { Some(subject.memory(device)?) } else { None },
            left: left.saturating_sub(before),
        }),
        _ => None,
    };
    Ok(StepTimes {
        case: subject.case(suite),
        batch: subject.batch(device),
        seconds,
        phases,
        multiply_adds: subject.multiply_adds(suite, device)?,
        memory,
    })
}

fn steps_of_round(device: &Device) -> usize {
    if device.is_cpu() { 1 } else { STEPS }
}

/// Returns the mean time of each phase.
fn phases(step: &Step, device: &Device) -> Result<Vec<(&'static str, f64)>> {
    let steps = steps_of_round(device);
    let mut all: Vec<(&'static str, f64)> = Vec::new();
    for _ in 0..steps {
        let mut last = Instant::now();
        step(&mut |phase| {
            device.synchronize()?;
            let seconds = last.elapsed().as_secs_f64() / steps as f64;
            match all.iter_mut().find(|(name, _)| *name == phase.name()) {
                Some((_, sum)) => *sum += seconds,
                None => all.push((phase.name(), seconds)),
            }
            last = Instant::now();
            Ok(())
        })?;
    }
    Ok(all)
}

/// Runs each case twice, and then once between marks for a profiler. Before its marks, it tells the name of the case,
/// and the bytes that a plan predicts for a training step.
///
/// # Errors
/// When candle fails.
#[cfg(feature = "cuda")]
pub fn mark_steps(device: &Device, suite: Suite, mut tell: impl FnMut(&str, Option<f64>)) -> Result<()> {
    for subject in &SUBJECTS {
        let step = subject.prepare(suite, device)?;
        for _ in 0..2 {
            step(&mut |_| Ok(()))?;
        }
        device.synchronize()?;
        tell(&subject.case(suite), if suite == Suite::Train { Some(subject.memory(device)?) } else { None });
        marked(|| {
            step(&mut |_| Ok(()))?;
            device.synchronize()
        })?;
    }
    Ok(())
}

/// Does some work between marks for a profiler (`cuProfilerStart`, `cuProfilerStop`).
#[cfg(feature = "cuda")]
pub fn marked<R>(work: impl FnOnce() -> R) -> R {
    use candle_core::cuda_backend::cudarc::driver;

    // Marks only name a range. Without a profiler they fail, which changes nothing.
    let _begun = driver::profiler_start();
    let result = work();
    let _ended = driver::profiler_stop();
    result
}
