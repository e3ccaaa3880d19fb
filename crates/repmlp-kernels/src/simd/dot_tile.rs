//! Dot products of a few rows of one kind with a few rows of another kind, over the same positions.
#![expect(unsafe_code, reason = "loops over addresses that the caller promises")]

use crate::simd::{Vector, VectorLoop, zero};

/// Maximum rows of the first kind in a tile, for any vector type.
const MOST_OUTPUTS: usize = 6;
/// Maximum rows of the second kind in a tile, for any vector type.
const MOST_INPUTS: usize = 4;

/// One sum for each pair of rows, one row of each kind.
pub(crate) type Dots<T> = [[T; MOST_INPUTS]; MOST_OUTPUTS];

/// Consecutive positions, in both kinds of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DotRun {
    /// First position in a row of the first kind.
    pub(crate) output: usize,
    /// First position in a row of the second kind.
    pub(crate) input: usize,
    /// Number of positions.
    pub(crate) length: usize,
}

/// Rows of two kinds, and the positions to sum over.
pub(crate) struct DotTile<'a, T> {
    /// The positions.
    pub(crate) runs: &'a [DotRun],
    /// First row of the first kind.
    pub(crate) output: *const T,
    /// Numbers between neighbouring rows of the first kind.
    pub(crate) output_step: usize,
    /// First row of the second kind.
    pub(crate) input: *const T,
    /// Numbers between neighbouring rows of the second kind.
    pub(crate) input_step: usize,
}

/// Returns Σ output·input for each pair of rows, over all positions of the runs. Each lane sums in their order. A tile
/// has at most `V::DOTS.0` rows of the first kind and `V::DOTS.1` rows of the second.
///
/// # Safety
/// The processor has the instruction set of `V`. All positions of the runs lie in memory, for every row.
pub(crate) unsafe fn dots<V: Vector>(outputs: usize, inputs: usize, tile: &DotTile<'_, V::Number>) -> Dots<V::Number> {
    macro_rules! dispatch {
        ($($outputs:literal: $($inputs:literal)*,)*) => {
            match (outputs, inputs) {
                // SAFETY: guaranteed by the caller, for these sizes.
                $($(($outputs, $inputs) => unsafe { V::compiled(Sized::<_, $outputs, $inputs>(tile)) },)*)*
                _ => unreachable!("no tile has {outputs}x{inputs} rows"),
            }
        };
    }
    dispatch!(
        1: 1 2 3 4,
        2: 1 2 3 4,
        3: 1 2 3 4,
        4: 1 2 3 4,
        5: 1 2 3 4,
        6: 1 2 3 4,
    )
}

/// A tile with sizes that are known at compile time, so that the sums stay in registers.
struct Sized<'a, T, const OUTPUTS: usize, const INPUTS: usize>(&'a DotTile<'a, T>);

impl<V: Vector, const OUTPUTS: usize, const INPUTS: usize> VectorLoop<V> for Sized<'_, V::Number, OUTPUTS, INPUTS> {
    type Result = Dots<V::Number>;

    #[inline(always)]
    unsafe fn run(self) -> Dots<V::Number> {
        let tile = self.0;
        // SAFETY: guaranteed by the caller. All addresses stay within the runs or one step past their end.
        unsafe {
            let mut sums = [[V::zero(); INPUTS]; OUTPUTS];
            macro_rules! step {
                ($output:ident, $input:ident, $load:expr) => {
                    // Load all rows of one kind first. The other order needs more registers than there are.
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
            let mut result = [[zero::<V>(); MOST_INPUTS]; MOST_OUTPUTS];
            for (result, sums) in result.iter_mut().zip(sums) {
                for (result, sum) in result.iter_mut().zip(sums) {
                    *result = sum.sum();
                }
            }
            result
        }
    }
}
