//! Runs of consecutive numbers that one tap copies from the input map to the output map, and the columns built from
//! them.

use std::ops::Range;

use candle_core::WithDType;

use crate::conv::ConvSizes;
use crate::packing::copy_few;

/// `length` numbers of an input channel. One tap maps them to as many consecutive numbers of an output channel.
pub(crate) struct Run {
    /// Index of the first number in the input channel.
    pub(crate) input: usize,
    /// Index of the first number in the output channel, counted from the start of the tile.
    pub(crate) output: usize,
    /// Number of values.
    pub(crate) length: usize,
}

impl ConvSizes {
    /// Visits all runs of a tap that end in a tile of an output channel. A run is a whole row with stride 1, and a
    /// pixel otherwise.
    pub(crate) fn each_run(&self, tap: usize, tile: &Range<usize>, mut visit: impl FnMut(Run)) {
        let (ky, kx) = self.tap(tap);
        let (rows, columns, n) = (&self.rows, &self.columns, self.images);
        let row = columns.output * n;
        let xs = columns.inside(kx);
        let pixels = if columns.stride == 1 { xs.len().max(1) } else { 1 };
        let inside = rows.inside(ky);
        for y in inside.start.max(tile.start / row)..inside.end.min(tile.end.div_ceil(row)) {
            let input_row = rows.seen(y, ky) * columns.input;
            for x in xs.clone().step_by(pixels) {
                let start = y * row + x * n;
                let (from, to) = (start.max(tile.start), (start + pixels * n).min(tile.end));
                if from < to {
                    let input = (input_row + columns.seen(x, kx)) * n + (from - start);
                    visit(Run { input, output: from - tile.start, length: to - from });
                }
            }
        }
    }

    /// Fills the rows (channel, tap) of `columns` from channels of x. Each row is as long as the tile.
    pub(crate) fn gather<T: WithDType>(&self, channels: &[T], tile: &Range<usize>, columns: &mut [T]) {
        let rows = columns.chunks_exact_mut(tile.len()).enumerate();
        for (row, columns) in rows {
            let channel = &channels[row / self.taps() * self.input_map()..][..self.input_map()];
            columns.fill(T::zero());
            self.each_run(row % self.taps(), tile, |Run { input, output, length }| {
                copy_few(&mut columns[output..output + length], &channel[input..input + length]);
            });
        }
    }

    /// Adds the rows (channel, tap) of the gradient of columns to the gradient of the channels.
    pub(crate) fn scatter<T: WithDType>(&self, columns: &[T], tile: &Range<usize>, channels: &mut [T]) {
        for (row, columns) in columns.chunks_exact(tile.len()).enumerate() {
            let channel = &mut channels[row / self.taps() * self.input_map()..][..self.input_map()];
            self.each_run(row % self.taps(), tile, |Run { input, output, length }| {
                for (x, &column) in channel[input..input + length].iter_mut().zip(&columns[output..output + length]) {
                    *x += column;
                }
            });
        }
    }
}
