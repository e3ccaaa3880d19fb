//! The transforms of kernels, several at a time: G·g·Gᵀ, and Gᵀ·u·G, which turns the gradient of a transformed kernel
//! into that of the kernel.
#![expect(unsafe_code, reason = "tasks write disjoint rows of one output")]

use candle_core::{Error, Result, WithDType};
use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator, ParallelSliceMut};

use super::{KERNEL, POSITIONS, SIDE};
use crate::conv::ConvSizes;
use crate::conv::tap_map::Direction;
use crate::fresh::{unwritten, written};
use crate::product::Shared;
use crate::simd::{InstructionSet, Number, for_each_set};

/// Kernels that are transformed at a time.
const LANES: usize = 8;
/// Taps of a kernel.
const TAPS: usize = KERNEL * KERNEL;

/// Returns the transformed kernels (group, position, target channel, source channel) of a weight (O, C/groups, 3, 3).
/// In a backward pass, kernels are rotated by 180°.
pub(super) fn transformed<T: Number>(
    set: InstructionSet,
    weight: &[T],
    sizes: &ConvSizes,
    direction: Direction,
) -> Result<Vec<T>> {
    let (inputs, outputs) = (sizes.group_inputs(), sizes.group_outputs());
    let (sources, targets) = match direction {
        Direction::Forward => (inputs, outputs),
        Direction::Backward => (outputs, inputs),
    };
    let mut all = unwritten(weight.len() / TAPS * POSITIONS);
    let shared = Shared::unwritten(&mut all);
    (0..sizes.groups * targets).into_par_iter().try_for_each_init(Vec::new, |row, task| {
        let (group, target) = (task / targets, task % targets);
        let of_group = &weight[group * outputs * inputs * TAPS..][..outputs * inputs * TAPS];
        row.resize(POSITIONS * sources, T::zero());
        match direction {
            Direction::Forward => spread_kernels(set, &of_group[target * inputs * TAPS..], TAPS, direction, row),
            Direction::Backward => spread_kernels(set, &of_group[target * TAPS..], inputs * TAPS, direction, row),
        }
        let start = (group * POSITIONS * targets + target) * sources;
        // SAFETY: no other task has the rows of this target channel.
        let mut rows = unsafe { shared.block(start, (POSITIONS, sources), targets * sources)? };
        rows.copy_rows(row, sources);
        Ok::<(), Error>(())
    })?;
    // SAFETY: the tasks cover all target channels, and each has written its rows at all positions.
    Ok(unsafe { written(all) })
}

/// Returns the gradient of a weight (O, C/groups, 3, 3) from the gradient of its transformed kernels.
pub(super) fn gradient<T: Number>(set: InstructionSet, transformed: &[T], sizes: &ConvSizes) -> Vec<T> {
    let (inputs, outputs) = (sizes.group_inputs(), sizes.group_outputs());
    let mut all = vec![T::zero(); sizes.outputs * inputs * TAPS];
    all.par_chunks_mut(inputs * TAPS).enumerate().for_each(|(output, kernels)| {
        let start = (output / outputs * POSITIONS * outputs + output % outputs) * inputs;
        gather_kernels(set, &transformed[start..], outputs * inputs, kernels);
    });
    all
}

/// Applies G along one axis.
#[inline(always)]
fn spread<T: WithDType>([a, b, c]: [[T; LANES]; KERNEL]) -> [[T; LANES]; SIDE] {
    let half = T::from_f64(0.5);
    let [plus, minus] = [b, b.map(|b| T::zero() - b)].map(|b| std::array::from_fn(|l| half * (a[l] + b[l] + c[l])));
    [a, plus, minus, c]
}

/// Applies Gᵀ along one axis.
#[inline(always)]
fn gather<T: WithDType>([a, b, c, d]: [[T; LANES]; SIDE]) -> [[T; LANES]; KERNEL] {
    let half = T::from_f64(0.5);
    let plus: [T; LANES] = std::array::from_fn(|l| half * (b[l] + c[l]));
    let minus = std::array::from_fn(|l| half * (b[l] - c[l]));
    [std::array::from_fn(|l| a[l] + plus[l]), minus, std::array::from_fn(|l| plus[l] + d[l])]
}

for_each_set! {
    /// Writes transformed kernels (position, kernel). The kernels begin `step` numbers apart.
    fn spread_kernels[T: WithDType](kernels: &[T], step: usize, direction: Direction, to: &mut [T]) {
        let count = to.len() / POSITIONS;
        for first in (0..count).step_by(LANES) {
            let lanes = LANES.min(count - first);
            let mut taps = [[T::zero(); LANES]; TAPS];
            for lane in 0..lanes {
                let kernel = &kernels[(first + lane) * step..][..TAPS];
                for (i, &number) in kernel.iter().enumerate() {
                    taps[if direction == Direction::Forward { i } else { TAPS - 1 - i }][lane] = number;
                }
            }
            let row = |i: usize| [taps[KERNEL * i], taps[KERNEL * i + 1], taps[KERNEL * i + 2]];
            // First along the rows, then along the columns of the result.
            let wide = [row(0), row(1), row(2)].map(spread);
            for column in 0..SIDE {
                for (i, numbers) in spread(wide.map(|row| row[column])).iter().enumerate() {
                    let start = (SIDE * i + column) * count + first;
                    to[start..start + lanes].copy_from_slice(&numbers[..lanes]);
                }
            }
        }
    }

    /// Writes kernels one after another from (position, kernel). Positions are `step` numbers apart.
    fn gather_kernels[T: WithDType](from: &[T], step: usize, kernels: &mut [T]) {
        let count = kernels.len() / TAPS;
        for first in (0..count).step_by(LANES) {
            let lanes = LANES.min(count - first);
            let numbers = |position: usize| {
                let mut numbers = [T::zero(); LANES];
                numbers[..lanes].copy_from_slice(&from[position * step + first..][..lanes]);
                numbers
            };
            let row =
                |i: usize| [numbers(SIDE * i), numbers(SIDE * i + 1), numbers(SIDE * i + 2), numbers(SIDE * i + 3)];
            let narrow = [row(0), row(1), row(2), row(3)].map(gather);
            for column in 0..KERNEL {
                for (i, numbers) in gather(narrow.map(|row| row[column])).iter().enumerate() {
                    let kernels = kernels[first * TAPS..].chunks_exact_mut(TAPS);
                    for (kernel, &number) in kernels.zip(&numbers[..lanes]) {
                        kernel[KERNEL * i + column] = number;
                    }
                }
            }
        }
    }
}
