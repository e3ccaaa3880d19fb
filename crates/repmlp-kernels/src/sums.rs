//! Sums over long rows in `f64`: a batch norm's statistics and gradients must sum to what they sum to in exact arithmetic,
//! since what stands before the norm relies on it.

use candle_core::WithDType;

/// Sums that grow side by side.
const LANES: usize = 16;

/// Σ f(a, b) for each f of `K`, in lanes.
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

/// Σ f(x).
#[inline(always)]
pub(crate) fn sum<T: WithDType>(row: &[T], f: impl Fn(f64) -> f64) -> f64 {
    pair_sum(row, row, |x, _| f(x))
}

/// Σ f(a, b).
#[inline(always)]
pub(crate) fn pair_sum<T: WithDType>(a: &[T], b: &[T], f: impl Fn(f64, f64) -> f64) -> f64 {
    sums(a, b, |a, b| [f(a, b)])[0]
}

/// Σ g and Σ (x − about)·g.
#[inline(always)]
pub(crate) fn sum_and_product<T: WithDType>(x: &[T], g: &[T], about: f64) -> (f64, f64) {
    let [sum, product] = sums(x, g, |x, g| [g, (x - about) * g]);
    (sum, product)
}

/// Mean and biased variance of a row that is not empty.
#[inline(always)]
pub(crate) fn mean_and_variance<T: WithDType>(row: &[T]) -> (f64, f64) {
    let count = row.len() as f64;
    let mean = sum(row, |x| x) / count;
    // About the mean, not the mean of squares: that would cancel.
    (mean, sum(row, |x| (x - mean) * (x - mean)) / count)
}
