//! Sums over long rows in `f64`. The statistics and gradients of batch norm must match exact arithmetic: some of these
//! sums vanish, and the layer before the norm relies on that.

use candle_core::WithDType;

/// Number of partial sums that are computed in parallel.
const LANES: usize = 16;

/// Returns Σ f(a, b) for each of the `K` values of f, summed in lanes.
#[inline(always)]
fn sums<T: WithDType, const K: usize>(a: &[T], b: &[T], f: impl Fn(f64, f64) -> [f64; K]) -> [f64; K] {
    let mut lanes = [[0.0; LANES]; K];
    let mut total = [0.0; K];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (&a, &b) in a.remainder().iter().zip(b.remainder()) {
        for (total, term) in total.iter_mut().zip(f(a.to_f64(), b.to_f64())) {
            *total += term;
        }
    }
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            let terms = f(a[lane].to_f64(), b[lane].to_f64());
            for k in 0..K {
                lanes[k][lane] += terms[k];
            }
        }
    }
    for (total, lanes) in total.iter_mut().zip(lanes) {
        *total += lanes.iter().sum::<f64>();
    }
    total
}

/// Returns Σ f(x).
#[inline(always)]
pub(crate) fn sum<T: WithDType>(row: &[T], f: impl Fn(f64) -> f64) -> f64 {
    pair_sum(row, row, |x, _| f(x))
}

/// Returns Σ f(a, b).
#[inline(always)]
pub(crate) fn pair_sum<T: WithDType>(a: &[T], b: &[T], f: impl Fn(f64, f64) -> f64) -> f64 {
    sums(a, b, |a, b| [f(a, b)])[0]
}

/// Returns Σ g and Σ (x − about)·g.
#[inline(always)]
pub(crate) fn sum_and_product<T: WithDType>(x: &[T], g: &[T], about: f64) -> (f64, f64) {
    let [sum, product] = sums(x, g, |x, g| [g, (x - about) * g]);
    (sum, product)
}

/// Returns the mean and the biased variance of a non-empty row.
#[inline(always)]
pub(crate) fn mean_and_variance<T: WithDType>(row: &[T]) -> (f64, f64) {
    let count = row.len() as f64;
    let mean = sum(row, |x| x) / count;
    // Squares of deviations from the mean. The mean of squares minus the squared mean would cancel digits.
    (mean, sum(row, |x| (x - mean) * (x - mean)) / count)
}
