//! Scalar products of a few rows with a few others over the same places.

use crate::simd::Vector;

/// Most rows of the first kind that one tile takes; with three of the second they fill sixteen registers.
pub(crate) const DOT_OUTPUTS: usize = 4;
/// Most rows of the second kind.
pub(crate) const DOT_INPUTS: usize = 3;

/// Neighbouring places of both kinds of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DotRun {
    /// First place in a row of the first kind.
    pub(crate) output: usize,
    /// First place in a row of the second kind.
    pub(crate) input: usize,
    /// How many places.
    pub(crate) length: usize,
}

/// Rows of two kinds and the places to go through.
pub(crate) struct DotTile<'a, T> {
    /// The places.
    pub(crate) runs: &'a [DotRun],
    /// First row of the first kind.
    pub(crate) output: *const T,
    /// Numbers between neighbouring rows of it.
    pub(crate) output_step: usize,
    /// First row of the second kind.
    pub(crate) input: *const T,
    /// Numbers between neighbouring rows of it.
    pub(crate) input_step: usize,
}

/// For each pair of rows, Σ output·input over all places of the runs, in their order, a sum for each lane.
///
/// # Safety
/// The instruction set of `V`; all places of the runs lie in memory for `OUTPUTS` and `INPUTS` rows.
#[inline(always)]
pub(crate) unsafe fn dot_tile<V: Vector, const OUTPUTS: usize, const INPUTS: usize>(
    tile: &DotTile<'_, V::Number>,
) -> [[V::Number; DOT_INPUTS]; DOT_OUTPUTS] {
    // SAFETY: the caller's promise; all addresses stay in or one behind the runs.
    unsafe {
        let mut sums = [[V::zero(); INPUTS]; OUTPUTS];
        macro_rules! step {
            ($output:ident, $input:ident, $load:expr) => {
                // All of one kind first: the other order needs more registers than there are.
                let mut columns = [V::zero(); INPUTS];
                for (i, column) in columns.iter_mut().enumerate() {
                    *column = $load($input.add(i * tile.input_step));
                }
                for (o, sums) in sums.iter_mut().enumerate() {
                    let row = $load($output.add(o * tile.output_step));
                    for (sum, &column) in sums.iter_mut().zip(&columns) {
                        *sum = row.multiply_add(column, *sum);
                    }
                }
            };
        }
        for run in tile.runs {
            let (mut output, mut input) = (tile.output.add(run.output), tile.input.add(run.input));
            for _ in 0..run.length / V::LANES {
                step!(output, input, |from| V::load(from));
                output = output.add(V::LANES);
                input = input.add(V::LANES);
            }
            let rest = run.length % V::LANES;
            if rest > 0 {
                step!(output, input, |from| V::load_first(from, rest));
            }
        }
        let mut result = [[zero::<V>(); DOT_INPUTS]; DOT_OUTPUTS];
        for (result, sums) in result.iter_mut().zip(sums) {
            for (result, sum) in result.iter_mut().zip(sums) {
                *result = sum.sum();
            }
        }
        result
    }
}

fn zero<V: Vector>() -> V::Number {
    <V::Number as candle_core::WithDType>::from_f64(0.0)
}
