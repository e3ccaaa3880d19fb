//! Sums over long rows that keep the precision of short ones.

use candle_core::WithDType;

/// Σ f(x): lanes of the number type over blocks short enough for its precision, blocks in `f64`.
pub(crate) fn sum<T: WithDType>(row: &[T], f: impl Fn(T) -> T) -> f64 {
    pair_sum(row, row, |x, _| f(x))
}

/// Σ f(a, b), likewise.
pub(crate) fn pair_sum<T: WithDType>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> f64 {
    const LANES: usize = 16;
    const BLOCK: usize = 1024;
    let block = |(a, b): (&[T], &[T])| {
        let mut lanes = [T::zero(); LANES];
        let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(&a, &b)| f(a, b).to_f64()).sum();
        for (a, b) in a.zip(b) {
            for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += f(a, b);
            }
        }
        rest + lanes.iter().map(|lane| lane.to_f64()).sum::<f64>()
    };
    a.chunks(BLOCK).zip(b.chunks(BLOCK)).map(block).sum()
}
