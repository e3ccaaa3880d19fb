//! Sums over long rows in `f64`: a batch norm's statistics and gradients must sum to what they sum to in exact arithmetic,
//! since what stands before the norm relies on it.

use candle_core::WithDType;

/// Σ f(x), in lanes.
pub(crate) fn sum<T: WithDType>(row: &[T], f: impl Fn(f64) -> f64) -> f64 {
    pair_sum(row, row, |x, _| f(x))
}

/// Σ f(a, b), in lanes.
pub(crate) fn pair_sum<T: WithDType>(a: &[T], b: &[T], f: impl Fn(f64, f64) -> f64) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(&a, &b)| f(a.to_f64(), b.to_f64())).sum();
    for (a, b) in a.zip(b) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += f(a.to_f64(), b.to_f64());
        }
    }
    rest + lanes.iter().sum::<f64>()
}
