//! The tiles of a map.

use std::ops::Range;

use super::TILE;
use crate::packing::PACKED_NUMBERS;
use crate::product::MOST_COLUMNS;

/// The tiles of a map, row by row. The last tile of a row or a column may reach beyond the map.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    rows: usize,
    columns: usize,
}

/// Consecutive tiles of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Tiles of the same range before this run.
    pub(super) before: usize,
    /// Row of tiles.
    pub(super) row: usize,
    /// Columns of tiles.
    pub(super) columns: Range<usize>,
}

impl Tiles {
    /// Returns the tiles of a map of `height` × `width` pixels.
    pub(super) fn new(height: usize, width: usize) -> Self {
        Self { rows: height.div_ceil(TILE), columns: width.div_ceil(TILE) }
    }

    /// Splits the tiles into blocks of consecutive tiles. `numbers` is the count of packed numbers per tile and image.
    /// A block fits the second-level cache, unless the minimum number of columns for a product does not.
    pub(super) fn blocks(self, numbers: usize, images: usize) -> Vec<Range<usize>> {
        let columns = (2 * PACKED_NUMBERS / numbers).max(MOST_COLUMNS);
        let size = columns.div_ceil(images);
        (0..self.count()).step_by(size).map(|first| first..(first + size).min(self.count())).collect()
    }

    /// Number of tiles.
    pub(super) fn count(self) -> usize {
        self.rows * self.columns
    }

    /// Returns the runs of a range of tiles.
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
