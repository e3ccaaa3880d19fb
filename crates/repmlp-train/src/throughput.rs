//! Images per second of both forms.

use candle_core::{Result, Tensor};

use crate::config::MeasureConfig;
use crate::stopwatch::{Effort, in_turns, median};

/// Images per second of one form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Throughput {
    /// Median over the repeats.
    pub(crate) median: f64,
    /// Median absolute deviation over the repeats.
    pub(crate) spread: f64,
}

/// A forward pass: images (N, C, H, W) → output.
pub(crate) type Network<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;

/// Times the forward passes of the networks on `images` in turns (A B A B …), after a warm-up.
pub(crate) fn measure<const FORMS: usize>(
    config: &MeasureConfig,
    images: &Tensor,
    networks: [Network<'_>; FORMS],
) -> Result<[Throughput; FORMS]> {
    let count = images.dim(0)? as f64;
    let pass = |network: Network<'_>| network(images)?.device().synchronize();
    let works = networks.map(|network| move || pass(network));
    let effort = Effort { warmup: config.warmup, repeats: config.repeats };
    let times = in_turns(effort, &works.each_ref().map(|work| work as &dyn Fn() -> Result<()>))?;
    Ok(std::array::from_fn(|form| {
        let rates: Vec<f64> = times[form].iter().map(|seconds| count / seconds).collect();
        let centre = median(rates.clone());
        Throughput { median: centre, spread: median(rates.iter().map(|rate| (rate - centre).abs()).collect()) }
    }))
}
