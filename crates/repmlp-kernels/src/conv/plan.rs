//! Which source pixels and taps make up each target pixel, forward or backward: exactly those inside the map.

use std::ops::Range;

use crate::axis::Axis;
use crate::conv::ConvSizes;
use crate::simd::Segment;

/// From the input to the output, or from the gradient of the output to that of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// `count` neighbouring sources of a target place, seen through as many neighbouring taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    source: usize,
    tap: usize,
    count: usize,
}

/// The sums of all target pixels. Backward, taps are counted from the last: sources and taps then grow together.
pub(crate) struct Plan {
    /// Source rows of each target row.
    rows: Vec<Vec<Stretch>>,
    /// Source columns of each target column.
    columns: Vec<Vec<Stretch>>,
    /// Columns of the source map.
    source_columns: usize,
    /// Taps in a row of the kernel.
    kernel_columns: usize,
}

impl Plan {
    pub(crate) fn new(sizes: &ConvSizes, direction: Direction) -> Self {
        let source_columns = match direction {
            Direction::Forward => sizes.columns.input,
            Direction::Backward => sizes.columns.output,
        };
        Self {
            rows: stretches(&sizes.rows, direction),
            columns: stretches(&sizes.columns, direction),
            source_columns,
            kernel_columns: sizes.columns.kernel,
        }
    }

    /// Rows and columns of the target map.
    pub(crate) fn target(&self) -> (usize, usize) {
        (self.rows.len(), self.columns.len())
    }

    /// Columns of the source map.
    pub(crate) fn source_columns(&self) -> usize {
        self.source_columns
    }

    /// The source rows that some target rows need.
    pub(crate) fn source_rows(&self, target: Range<usize>) -> Range<usize> {
        let seen = self.rows[target].iter().flatten();
        let start = seen.clone().map(|s| s.source).min().unwrap_or(0);
        start..seen.map(|s| s.source + s.count).max().unwrap_or(start)
    }

    /// The sum of one target pixel over source pixels packed as (pixel, channel) from row `first_row` on, with weights
    /// packed as (tap, channel).
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

/// The sources of each target place.
fn stretches(axis: &Axis, direction: Direction) -> Vec<Vec<Stretch>> {
    let places = match direction {
        Direction::Forward => axis.output,
        Direction::Backward => axis.input,
    };
    let mut all: Vec<Vec<Stretch>> = vec![Vec::new(); places];
    for tap in 0..axis.kernel {
        let real_tap = match direction {
            Direction::Forward => tap,
            Direction::Backward => axis.kernel - 1 - tap,
        };
        for output in axis.inside(real_tap) {
            let input = axis.seen(output, real_tap);
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
    use super::{Direction, Stretch, stretches};
    use crate::axis::{Axis, Moves};

    #[test]
    fn padding_is_left_out_and_neighbours_are_joined() {
        let same = Axis::new(4, 3, Moves { stride: 1, padding: 1, dilation: 1 }).unwrap();
        let of = |axis: &Axis, direction, target: usize| stretches(axis, direction)[target].clone();
        let stretch = |source, tap, count| Stretch { source, tap, count };
        assert_eq!(of(&same, Direction::Forward, 0), [stretch(0, 1, 2)]);
        assert_eq!(of(&same, Direction::Forward, 1), [stretch(0, 0, 3)]);
        assert_eq!(of(&same, Direction::Backward, 3), [stretch(2, 0, 2)]);
        // Stride 2 on 5 places, padding 1: outputs 0..3 see −1..2, 1..4, 3..6.
        let strided = Axis::new(5, 3, Moves { stride: 2, padding: 1, dilation: 1 }).unwrap();
        // Input 1 is tap 2 of output 0 and tap 0 of output 1: counted from the last, 0 and 2.
        assert_eq!(of(&strided, Direction::Backward, 1), [stretch(0, 0, 1), stretch(1, 2, 1)]);
        // A dilation parts them.
        let dilated = Axis::new(4, 2, Moves { stride: 1, padding: 0, dilation: 2 }).unwrap();
        assert_eq!(of(&dilated, Direction::Forward, 1), [stretch(1, 0, 1), stretch(3, 1, 1)]);
    }
}
