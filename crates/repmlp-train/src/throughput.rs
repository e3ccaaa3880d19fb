//! Images per second of both forms, measured in turns so that a drifting machine slows both alike.

use std::time::Instant;

use candle_core::{Result, Tensor};

use crate::config::MeasureConfig;

/// Images per second of one form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Throughput {
    /// Median over the repeats.
    pub(crate) median: f64,
    /// Median absolute deviation over the repeats.
    pub(crate) spread: f64,
}

/// A forward pass: images (N, C, H, W) → answer.
pub(crate) type Network<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;

/// Times a forward pass of each network on `images` in turns: A B A B …, after a warm-up of both.
pub(crate) fn measure<const FORMS: usize>(
    config: &MeasureConfig,
    images: &Tensor,
    networks: [Network<'_>; FORMS],
) -> Result<[Throughput; FORMS]> {
    let count = images.dim(0)? as f64;
    let once = |network: Network<'_>| -> Result<f64> {
        let start = Instant::now();
        let logits = network(images)?;
        logits.device().synchronize()?;
        Ok(count / start.elapsed().as_secs_f64())
    };
    for _ in 0..config.warmup {
        for network in networks {
            once(network)?;
        }
    }
    let mut rates = [const { Vec::new() }; FORMS];
    for _ in 0..config.repeats {
        for (rates, network) in rates.iter_mut().zip(networks) {
            rates.push(once(network)?);
        }
    }
    Ok(rates.map(|rates| {
        let centre = median(rates.clone());
        Throughput { median: centre, spread: median(rates.iter().map(|rate| (rate - centre).abs()).collect()) }
    }))
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-12);
    }
}
