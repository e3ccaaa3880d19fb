//! Convolution with one input channel per group: rows of x, shifted by a tap and scaled by its weight.

use candle_core::WithDType;
use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator, ParallelSliceMut};

use crate::conv::ConvSizes;
use crate::conv::columns::Run;
use crate::conv::epilogue::ConvEpilogue;
use crate::element::TASK_ELEMENTS;
use crate::sums::pair_sum;

/// Computes each row of each output channel from the rows of its input channel.
pub(crate) fn forward<T: WithDType>(
    x: &[T],
    weight: &[T],
    sizes: &ConvSizes,
    epilogue: Option<&ConvEpilogue<'_, T>>,
) -> Vec<T> {
    let (map, taps) = (sizes.input_map(), sizes.taps());
    let (height, row) = (sizes.rows.output, sizes.columns.output * sizes.images);
    let mut y = vec![T::zero(); sizes.outputs * height * row];
    y.par_chunks_mut(row).enumerate().with_min_len(rows_a_task(row * taps)).for_each(|(i, y)| {
        let (o, tile) = (i / height, i % height * row..(i % height + 1) * row);
        let x = &x[o / sizes.group_outputs() * map..][..map];
        for (tap, &weight) in weight[o * taps..][..taps].iter().enumerate() {
            sizes.each_run(tap, &tile, |Run { input, output, length }| {
                add_scaled(&mut y[output..output + length], weight, &x[input..input + length]);
            });
        }
        if let Some(epilogue) = epilogue {
            epilogue.row(y, i * row);
        }
    });
    y
}

fn rows_a_task(elements: usize) -> usize {
    (TASK_ELEMENTS / elements).max(1)
}

fn add_scaled<T: WithDType>(y: &mut [T], scale: T, x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += scale * x;
    }
}

/// Computes the gradient of each input channel from the rows of its output channels, and adds it to `dx`.
pub(crate) fn backward_x<T: WithDType>(dy: &[T], weight: &[T], sizes: &ConvSizes, mut dx: Vec<T>) -> Vec<T> {
    let (outputs, taps, output_map) = (sizes.group_outputs(), sizes.taps(), sizes.output_map());
    let whole = 0..output_map;
    dx.par_chunks_mut(sizes.input_map()).enumerate().for_each(|(c, dx)| {
        for o in c * outputs..(c + 1) * outputs {
            let dy = &dy[o * output_map..][..output_map];
            for (tap, &weight) in weight[o * taps..][..taps].iter().enumerate() {
                sizes.each_run(tap, &whole, |Run { input, output, length }| {
                    add_scaled(&mut dx[input..input + length], weight, &dy[output..output + length]);
                });
            }
        }
    });
    dx
}

/// Computes the gradient of each tap from all pairs of numbers that it connects.
pub(crate) fn backward_weight<T: WithDType>(x: &[T], dy: &[T], sizes: &ConvSizes) -> Vec<T> {
    let (taps, map, output_map) = (sizes.taps(), sizes.input_map(), sizes.output_map());
    let whole = 0..output_map;
    let of_tap = |i: usize| {
        let o = i / taps;
        let x = &x[o / sizes.group_outputs() * map..][..map];
        let dy = &dy[o * output_map..][..output_map];
        let mut sum = 0.0;
        sizes.each_run(i % taps, &whole, |Run { input, output, length }| {
            sum += pair_sum(&x[input..input + length], &dy[output..output + length], |x, dy| x * dy);
        });
        T::from_f64(sum)
    };
    (0..sizes.outputs * taps).into_par_iter().with_min_len(rows_a_task(output_map)).map(of_tap).collect()
}
