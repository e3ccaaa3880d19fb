//! Which source pixels and taps contribute to each target pixel: exactly those inside the map.
//!
//! In a forward pass, the source is the input and the target is the output. In a backward pass, the source is the
//! gradient of the output and the target is the gradient of the input.

use std::ops::Range;

use crate::conv::ConvSizes;
use crate::simd::Segment;
use crate::sliding_window::SlidingWindow;

/// Direction of a pass: from the input to the output, or from the gradient of the output to that of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// `count` consecutive sources of a target position, read through as many consecutive taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    source: usize,
    tap: usize,
    count: usize,
}

/// Target pixels of a row, `TapMap::target_step` apart. Their sources have the same pattern, `TapMap::source_step`
/// apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alike {
    /// Column of the first pixel.
    pub(crate) first: usize,
    /// Number of pixels, a power of two.
    pub(crate) count: usize,
}

/// The terms of the sums of all target pixels. In a backward pass, taps are counted from the last, so that sources and
/// taps grow together.
pub(crate) struct TapMap {
    /// Source rows of each target row.
    rows: Vec<Vec<Stretch>>,
    /// Source columns of each target column.
    columns: Vec<Vec<Stretch>>,
    /// Columns of the source map.
    source_columns: usize,
    /// Taps in a row of the kernel.
    kernel_columns: usize,
    /// Columns between neighbouring target pixels that are alike.
    pub(crate) target_step: usize,
    /// Columns between the sources of such pixels.
    pub(crate) source_step: usize,
}

impl TapMap {
    pub(crate) fn new(sizes: &ConvSizes, direction: Direction) -> Self {
        let stride = sizes.columns.stride;
        let (source_columns, target_step, source_step) = match direction {
            Direction::Forward => (sizes.columns.input, 1, stride),
            Direction::Backward => (sizes.columns.output, stride, 1),
        };
        Self {
            rows: stretches(&sizes.rows, direction),
            columns: stretches(&sizes.columns, direction),
            source_columns,
            kernel_columns: sizes.columns.kernel,
            target_step,
            source_step,
        }
    }

    /// Groups all target columns that are alike, at most `most` together. `most` is a power of two.
    pub(crate) fn alike(&self, most: usize) -> Vec<Alike> {
        let mut all = Vec::new();
        for residue in 0..self.target_step.min(self.columns.len()) {
            let mut first = residue;
            while first < self.columns.len() {
                let mut count = 1;
                while 2 * count <= most && (1..2 * count).all(|i| self.is_alike(first, i)) {
                    count *= 2;
                }
                all.push(Alike { first, count });
                first += count * self.target_step;
            }
        }
        all
    }

    /// Whether the sources of the i-th column after `first` have the same pattern as its own.
    fn is_alike(&self, first: usize, i: usize) -> bool {
        let Some(other) = self.columns.get(first + i * self.target_step) else { return false };
        let shift = i * self.source_step;
        let first = &self.columns[first];
        let moved = |s: &Stretch| Stretch { source: s.source + shift, ..*s };
        first.len() == other.len() && first.iter().zip(other).all(|(first, other)| moved(first) == *other)
    }

    /// Rows and columns of the target map.
    pub(crate) fn target(&self) -> (usize, usize) {
        (self.rows.len(), self.columns.len())
    }

    /// Columns of the source map.
    pub(crate) fn source_columns(&self) -> usize {
        self.source_columns
    }

    /// Returns the source rows that these target rows read.
    pub(crate) fn source_rows(&self, target: Range<usize>) -> Range<usize> {
        let seen = self.rows[target].iter().flatten();
        let start = seen.clone().map(|s| s.source).min().unwrap_or(0);
        start..seen.map(|s| s.source + s.count).max().unwrap_or(start)
    }

    /// Appends the terms of one target pixel to `into`. Source pixels are packed as (pixel, channel) from row
    /// `first_row` on, and weights as (tap, channel).
    pub(crate) fn segments(&self, pixel: (usize, usize), first_row: usize, channels: usize, into: &mut Vec<Segment>) {
        let rows = self.rows[pixel.0].iter().flat_map(|s| (0..s.count).map(|i| (s.source + i, s.tap + i)));
        for (row, tap_row) in rows {
            for stretch in &self.columns[pixel.1] {
                into.push(Segment {
                    source: ((row - first_row) * self.source_columns + stretch.source) * channels,
                    weight: (tap_row * self.kernel_columns + stretch.tap) * channels,
                    count: stretch.count * channels,
                });
            }
        }
    }
}

/// Returns the sources of each target position.
fn stretches(window: &SlidingWindow, direction: Direction) -> Vec<Vec<Stretch>> {
    let places = match direction {
        Direction::Forward => window.output,
        Direction::Backward => window.input,
    };
    let mut all: Vec<Vec<Stretch>> = vec![Vec::new(); places];
    for tap in 0..window.kernel {
        let real_tap = match direction {
            Direction::Forward => tap,
            Direction::Backward => window.kernel - 1 - tap,
        };
        for output in window.inside(real_tap) {
            let input = window.seen(output, real_tap);
            let (target, source) = match direction {
                Direction::Forward => (output, input),
                Direction::Backward => (input, output),
            };
            match all[target].last_mut() {
                Some(last) if last.source + last.count == source && last.tap + last.count == tap => last.count += 1,
                _ => all[target].push(Stretch { source, tap, count: 1 }),
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{Direction, Stretch, TapMap, stretches};
    use crate::conv::{ConvGeometry, ConvSizes};
    use crate::sliding_window::{Moves, SlidingWindow};

    #[test]
    fn padding_is_left_out_and_neighbours_are_joined() {
        let same = SlidingWindow::new(4, 3, Moves { stride: 1, padding: 1, dilation: 1 }).unwrap();
        let of = |window: &SlidingWindow, direction, target: usize| stretches(window, direction)[target].clone();
        let stretch = |source, tap, count| Stretch { source, tap, count };
        assert_eq!(of(&same, Direction::Forward, 0), [stretch(0, 1, 2)]);
        assert_eq!(of(&same, Direction::Forward, 1), [stretch(0, 0, 3)]);
        assert_eq!(of(&same, Direction::Backward, 3), [stretch(2, 0, 2)]);
        // Stride 2 on 5 positions, padding 1: outputs 0, 1 and 2 read −1..2, 1..4 and 3..6.
        let strided = SlidingWindow::new(5, 3, Moves { stride: 2, padding: 1, dilation: 1 }).unwrap();
        // Input 1 is tap 2 of output 0 and tap 0 of output 1. Counted from the last tap, these are 0 and 2.
        assert_eq!(of(&strided, Direction::Backward, 1), [stretch(0, 0, 1), stretch(1, 2, 1)]);
        let sizes = |stride| {
            let geometry = ConvGeometry { stride: (1, stride), padding: (0, 1), dilation: (1, 1), groups: 1 };
            ConvSizes::new(&[1, 1, 9, 1], &[1, 1, 1, 3], geometry).unwrap()
        };
        let alike = |stride, direction| {
            let all = TapMap::new(&sizes(stride), direction).alike(4);
            all.iter().map(|alike| (alike.first, alike.count)).collect::<Vec<_>>()
        };
        // The first and the last pixel read padding.
        assert_eq!(alike(1, Direction::Forward), [(0, 1), (1, 4), (5, 2), (7, 1), (8, 1)]);
        // Outputs lie at inputs 0, 2, 4, 6 and 8. One output reads each of these inputs; two outputs read each of
        // inputs 1, 3, 5 and 7.
        assert_eq!(alike(2, Direction::Forward), [(0, 1), (1, 2), (3, 1), (4, 1)]);
        assert_eq!(alike(2, Direction::Backward), [(0, 4), (8, 1), (1, 4)]);
        // With a dilation, the taps do not join.
        let dilated = SlidingWindow::new(4, 2, Moves { stride: 1, padding: 0, dilation: 2 }).unwrap();
        assert_eq!(of(&dilated, Direction::Forward, 1), [stretch(1, 0, 1), stretch(3, 1, 1)]);
    }
}
