//! The transforms of kernels, of many at once: G·g·Gᵀ, and Gᵀ·u·G, which makes the gradient of the first from that of the second.
#![expect(unsafe_code, reason = "tasks write disjoint rows of one output")]

use candle_core::{Result, WithDType};
use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator, ParallelSliceMut};

use super::{KERNEL, POSITIONS, SIDE};
use crate::conv::ConvSizes;
use crate::fresh::{unwritten, written};
use crate::product::Shared;
use crate::simd::{InstructionSet, Number, for_each_set};

/// Kernels that are worked on at once.
const LANES: usize = 8;
/// Taps of a kernel.
const TAPS: usize = KERNEL * KERNEL;

/// (group, position, output channel, input channel) from a weight (O, C/groups, 3, 3).
pub(super) fn transformed<T: Number>(set: InstructionSet, weight: &[T], sizes: &ConvSizes) -> Result<Vec<T>> {
    let (inputs, outputs) = (sizes.group_inputs(), sizes.group_outputs());
    let mut all = unwritten(sizes.outputs * inputs * POSITIONS);
    let shared = Shared::unwritten(&mut all);
    (0..sizes.outputs).into_par_iter().try_for_each_init(Vec::new, |row, output| {
        row.resize(POSITIONS * inputs, T::zero());
        spread_kernels(set, &weight[output * inputs * TAPS..][..inputs * TAPS], row);
        let start = (output / outputs * POSITIONS * outputs + output % outputs) * inputs;
        // SAFETY: a task has the rows of an output channel for itself.
        let mut rows = unsafe { shared.block(start, (POSITIONS, inputs), outputs * inputs)? };
        rows.copy_rows(row, inputs);
        Ok::<(), candle_core::Error>(())
    })?;
    // SAFETY: the tasks are all output channels, and each has written its rows at all positions.
    Ok(unsafe { written(all) })
}

/// The gradient of a weight (O, C/groups, 3, 3) from that of what it became.
pub(super) fn gradient<T: Number>(set: InstructionSet, transformed: &[T], sizes: &ConvSizes) -> Vec<T> {
    let (inputs, outputs) = (sizes.group_inputs(), sizes.group_outputs());
    let mut all = vec![T::zero(); sizes.outputs * inputs * TAPS];
    all.par_chunks_mut(inputs * TAPS).enumerate().for_each(|(output, kernels)| {
        let start = (output / outputs * POSITIONS * outputs + output % outputs) * inputs;
        gather_kernels(set, &transformed[start..], outputs * inputs, kernels);
    });
    all
}

/// G along one axis.
#[inline(always)]
fn spread<T: WithDType>([a, b, c]: [[T; LANES]; KERNEL]) -> [[T; LANES]; SIDE] {
    let half = T::from_f64(0.5);
    let [plus, minus] = [b, b.map(|b| T::zero() - b)].map(|b| std::array::from_fn(|l| half * (a[l] + b[l] + c[l])));
    [a, plus, minus, c]
}

/// Gᵀ along one axis.
#[inline(always)]
fn gather<T: WithDType>([a, b, c, d]: [[T; LANES]; SIDE]) -> [[T; LANES]; KERNEL] {
    let half = T::from_f64(0.5);
    let plus: [T; LANES] = std::array::from_fn(|l| half * (b[l] + c[l]));
    let minus = std::array::from_fn(|l| half * (b[l] - c[l]));
    [std::array::from_fn(|l| a[l] + plus[l]), minus, std::array::from_fn(|l| plus[l] + d[l])]
}

for_each_set! {
    /// (position, kernel) from kernels one after another.
    fn spread_kernels[T: WithDType](kernels: &[T], to: &mut [T]) {
        let count = kernels.len() / TAPS;
        for first in (0..count).step_by(LANES) {
            let lanes = LANES.min(count - first);
            let mut taps = [[T::zero(); LANES]; TAPS];
            for (lane, kernel) in kernels[first * TAPS..].chunks_exact(TAPS).take(lanes).enumerate() {
                for (tap, &number) in taps.iter_mut().zip(kernel) {
                    tap[lane] = number;
                }
            }
            let row = |i: usize| [taps[KERNEL * i], taps[KERNEL * i + 1], taps[KERNEL * i + 2]];
            // Along the rows, then along the columns of what they became.
            let wide = [row(0), row(1), row(2)].map(spread);
            for column in 0..SIDE {
                for (i, numbers) in spread(wide.map(|row| row[column])).iter().enumerate() {
                    let start = (SIDE * i + column) * count + first;
                    to[start..start + lanes].copy_from_slice(&numbers[..lanes]);
                }
            }
        }
    }

    /// Kernels one after another from (position, kernel), positions `step` apart.
    fn gather_kernels[T: WithDType](from: &[T], step: usize, kernels: &mut [T]) {
        let count = kernels.len() / TAPS;
        for first in (0..count).step_by(LANES) {
            let lanes = LANES.min(count - first);
            let numbers = |position: usize| {
                let mut numbers = [T::zero(); LANES];
                numbers[..lanes].copy_from_slice(&from[position * step + first..][..lanes]);
                numbers
            };
            let row = |i: usize| [numbers(SIDE * i), numbers(SIDE * i + 1), numbers(SIDE * i + 2), numbers(SIDE * i + 3)];
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
