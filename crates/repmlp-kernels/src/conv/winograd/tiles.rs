//! The tiles of a map.

use std::ops::Range;

use super::TILE;
use crate::packing::PACKED_NUMBERS;
use crate::product::MOST_COLUMNS;

/// The tiles of a map, row by row; the last of a row and of a column may reach out of it.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    rows: usize,
    columns: usize,
}

/// Tiles that are neighbours in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Tiles of the same range that come before them.
    pub(super) before: usize,
    /// Row of tiles.
    pub(super) row: usize,
    /// Columns of tiles.
    pub(super) columns: Range<usize>,
}

impl Tiles {
    /// Those of a map of so many pixels.
    pub(super) fn new(height: usize, width: usize) -> Self {
        Self { rows: height.div_ceil(TILE), columns: width.div_ceil(TILE) }
    }

    /// Blocks of neighbouring tiles. What becomes of one, so many numbers for each channel and tile of so many images, stays in the
    /// second-level cache, unless a product's fewest columns do not.
    pub(super) fn blocks(self, numbers: usize, images: usize) -> Vec<Range<usize>> {
        let columns = (2 * PACKED_NUMBERS / numbers).max(MOST_COLUMNS);
        let size = columns.div_ceil(images);
        (0..self.count()).step_by(size).map(|first| first..(first + size).min(self.count())).collect()
    }

    /// How many.
    pub(super) fn count(self) -> usize {
        self.rows * self.columns
    }

    /// The runs of a range of tiles.
    pub(super) fn runs(self, tiles: Range<usize>) -> impl Iterator<Item = Run> {
        let rows = tiles.start / self.columns..tiles.end.div_ceil(self.columns);
        rows.map(move |row| {
            let first = row * self.columns;
            let (start, end) = (tiles.start.max(first), tiles.end.min(first + self.columns));
            Run { before: start - tiles.start, row, columns: start - first..end - first }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Run, Tiles};

    #[test]
    fn a_range_is_cut_where_rows_end() {
        let tiles = Tiles::new(5, 8);
        assert_eq!(tiles.count(), 12);
        let run = |before, row, columns| Run { before, row, columns };
        assert_eq!(tiles.runs(1..3).collect::<Vec<_>>(), [run(0, 0, 1..3)]);
        assert_eq!(tiles.runs(2..12).collect::<Vec<_>>(), [run(0, 0, 2..4), run(2, 1, 0..4), run(6, 2, 0..4)]);
    }
}
