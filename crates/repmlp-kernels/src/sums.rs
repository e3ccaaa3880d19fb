//! Sums over long rows that keep the precision of short ones.

use candle_core::WithDType;

/// Sums that grow side by side.
const LANES: usize = 16;
/// Numbers that are added in their own type before `f64` takes over: 64 a lane.
const BLOCK: usize = 1024;

/// Σ f(a, b) for each f of `K`: lanes of the number type over blocks short enough for its precision, blocks in `f64`.
#[inline(always)]
fn sums<T: WithDType, const K: usize>(a: &[T], b: &[T], f: impl Fn(T, T) -> [T; K]) -> [f64; K] {
    let mut total = [0.0; K];
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut lanes = [[T::zero(); LANES]; K];
        let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        for (&a, &b) in a.remainder().iter().zip(b.remainder()) {
            let terms = f(a, b);
            for (total, term) in total.iter_mut().zip(terms) {
                *total += term.to_f64();
            }
        }
        for (a, b) in a.zip(b) {
            for lane in 0..LANES {
                let terms = f(a[lane], b[lane]);
                for k in 0..K {
                    lanes[k][lane] += terms[k];
                }
            }
        }
        for (total, lanes) in total.iter_mut().zip(lanes) {
            *total += lanes.iter().map(|lane| lane.to_f64()).sum::<f64>();
        }
    }
    total
}

/// Σ f(a, b).
#[inline(always)]
pub(crate) fn pair_sum<T: WithDType>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> f64 {
    sums(a, b, |a, b| [f(a, b)])[0]
}

/// Σ g and Σ (x − about)·g.
#[inline(always)]
pub(crate) fn sum_and_product<T: WithDType>(x: &[T], g: &[T], about: T) -> (f64, f64) {
    let [sum, product] = sums(x, g, |x, g| [g, (x - about) * g]);
    (sum, product)
}

/// Mean and biased variance of a row that is not empty.
#[inline(always)]
pub(crate) fn mean_and_variance<T: WithDType>(row: &[T]) -> (f64, f64) {
    let count = row.len() as f64;
    let mean = pair_sum(row, row, |x, _| x) / count;
    let about = T::from_f64(mean);
    // About the mean, not the mean of squares: f32 would cancel.
    (mean, pair_sum(row, row, |x, _| (x - about) * (x - about)) / count)
}
