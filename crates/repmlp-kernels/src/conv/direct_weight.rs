//! The gradient of a convolution's weight without columns: scalar products over the places that a tap carries.
#![expect(unsafe_code, reason = "vector loops take addresses")]

use std::ops::Range;

use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use crate::conv::ConvSizes;
use crate::conv::parts::{parts_for, sum_parts};
use crate::simd::{DOT_INPUTS, DOT_OUTPUTS, DotRun, DotTile, InstructionSet, Number, Vector, for_instruction_set};

/// Numbers of a channel that a tile of rows works on at once: seven such pieces fill a first-level cache.
const PIECE_NUMBERS: usize = 1024;
/// Most images that are walked together where there are more than one piece holds of a row.
const PIECE_IMAGES: usize = 64;

/// dW from x (C, H, W, N) and dy.
pub(crate) fn backward_weight<T: Number>(set: InstructionSet, x: &[T], dy: &[T], sizes: &ConvSizes) -> Vec<T> {
    for_instruction_set!(set, T, V => backward_weight_by::<V<T>>(x, dy, sizes))
}

/// Some output rows and some images: small enough to stay in cache while all taps and channels pass.
struct Piece {
    rows: Range<usize>,
    images: Range<usize>,
}

fn pieces(sizes: &ConvSizes) -> Vec<Piece> {
    let width = sizes.columns.output;
    let images = if width * sizes.images <= 2 * PIECE_NUMBERS { sizes.images } else { PIECE_IMAGES.min(sizes.images) };
    let rows = (PIECE_NUMBERS / (width * images)).clamp(1, sizes.rows.output);
    let mut all = Vec::new();
    for first in (0..sizes.images).step_by(images) {
        for row in (0..sizes.rows.output).step_by(rows) {
            let rows = row..(row + rows).min(sizes.rows.output);
            all.push(Piece { rows, images: first..(first + images).min(sizes.images) });
        }
    }
    all
}

/// The runs of each tap in a piece.
fn runs(sizes: &ConvSizes, piece: &Piece) -> Vec<Vec<DotRun>> {
    let (n, images) = (sizes.images, piece.images.len());
    let row = sizes.columns.output * n;
    let tile = piece.rows.start * row..piece.rows.end * row;
    let of_tap = |tap| {
        let mut runs = Vec::new();
        sizes.each_run(tap, &tile, |run| {
            let whole = DotRun { output: tile.start + run.output, input: run.input, length: run.length };
            if images == n {
                runs.push(whole);
                return;
            }
            for pixel in (0..run.length).step_by(n) {
                let first = pixel + piece.images.start;
                runs.push(DotRun { output: whole.output + first, input: whole.input + first, length: images });
            }
        });
        runs
    };
    (0..sizes.taps()).map(of_tap).collect()
}

fn backward_weight_by<V: Vector>(x: &[V::Number], dy: &[V::Number], sizes: &ConvSizes) -> Vec<V::Number> {
    let (outputs, row) = (sizes.group_outputs(), sizes.group_inputs() * sizes.taps());
    let pieces: Vec<Vec<Vec<DotRun>>> = pieces(sizes).iter().map(|piece| runs(sizes, piece)).collect();
    let tiles: Vec<Range<usize>> = (0..sizes.groups)
        .flat_map(|group| {
            let end = (group + 1) * outputs;
            (group * outputs..end).step_by(DOT_OUTPUTS).map(move |first| first..(first + DOT_OUTPUTS).min(end))
        })
        .collect();
    let parts = parts_for(tiles.len()).min(pieces.len());
    let mut partial = vec![zero::<V>(); parts * sizes.outputs * row];
    let mut rest = partial.as_mut_slice();
    let mut tasks = Vec::new();
    for part in 0..parts {
        for tile in &tiles {
            let (dw, after) = rest.split_at_mut(tile.len() * row);
            tasks.push((part, tile.clone(), dw));
            rest = after;
        }
    }
    tasks.into_par_iter().for_each(|(part, outputs, dw)| {
        for piece in pieces.iter().skip(part).step_by(parts) {
            add_piece::<V>((x, dy), sizes, (&outputs, piece), dw);
        }
    });
    sum_parts(partial, parts)
}

fn zero<V: Vector>() -> V::Number {
    <V::Number as candle_core::WithDType>::from_f64(0.0)
}

/// dw (outputs, C/g, taps) += what a piece adds.
fn add_piece<V: Vector>(
    (x, dy): (&[V::Number], &[V::Number]),
    sizes: &ConvSizes,
    (outputs, piece): (&Range<usize>, &[Vec<DotRun>]),
    dw: &mut [V::Number],
) {
    let (inputs, taps) = (sizes.group_inputs(), sizes.taps());
    let (map, output_map) = (sizes.input_map(), sizes.output_map());
    let first_input = outputs.start / sizes.group_outputs() * inputs;
    let dy = &dy[outputs.start * output_map..outputs.end * output_map];
    for first in (0..inputs).step_by(DOT_INPUTS) {
        let count = DOT_INPUTS.min(inputs - first);
        let x = &x[(first_input + first) * map..][..count * map];
        for (tap, runs) in piece.iter().enumerate() {
            let tile =
                DotTile { runs, output: dy.as_ptr(), output_step: output_map, input: x.as_ptr(), input_step: map };
            // SAFETY: `V` is what the processor has; runs lie inside a channel of either side, `each_run` says, and the
            // slices hold as many channels as the tile takes.
            let sums = unsafe { dots::<V>(outputs.len(), count, &tile) };
            for (o, sums) in sums.iter().enumerate().take(outputs.len()) {
                for (i, &sum) in sums.iter().enumerate().take(count) {
                    dw[(o * inputs + first + i) * taps + tap] += sum;
                }
            }
        }
    }
}

/// # Safety
/// The instruction set of `V`; `outputs` and `inputs` rows with all places of the runs.
unsafe fn dots<V: Vector>(
    outputs: usize,
    inputs: usize,
    tile: &DotTile<'_, V::Number>,
) -> [[V::Number; DOT_INPUTS]; DOT_OUTPUTS] {
    macro_rules! dispatch {
        ($(($outputs:literal, $inputs:literal)),*) => {
            match (outputs, inputs) {
                // SAFETY: the caller's promise, for these sizes.
                $(($outputs, $inputs) => unsafe { V::dot_tile::<$outputs, $inputs>(tile) },)*
                _ => unreachable!("tiles have at most {DOT_OUTPUTS}x{DOT_INPUTS} rows"),
            }
        };
    }
    dispatch!((1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3), (4, 1), (4, 2), (4, 3))
}
