//! Texts of many runs, as the database answers them: pieces of lines, each with a number and a text.
//!
//! This module knows neither SQL nor the meaning of a text.

use std::collections::BTreeMap;
use std::ops::Range;

/// Texts of runs. They stay in the pieces that the database answered: together they may be large.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// Lines of a number and a text.
    pieces: Vec<String>,
    /// Place of the text of a number: its piece, and its bytes there.
    places: BTreeMap<i64, (usize, Range<usize>)>,
}

impl Texts {
    /// Adds a piece: lines of a number and a text.
    pub(crate) fn add(&mut self, piece: String) {
        let mut start = 0;
        for line in piece.split('\n') {
            let end = start + line.len();
            // An invalid line is damage. Its run is then read from its folder.
            if let Some((number, text)) = line.split_once(' ')
                && let Ok(number) = number.parse()
            {
                self.places.insert(number, (self.pieces.len(), end - text.len()..end));
            }
            start = end + 1;
        }
        self.pieces.push(piece);
    }

    /// Returns the text of a number.
    pub(crate) fn get(&self, number: i64) -> Option<&str> {
        let (piece, bytes) = self.places.get(&number)?;
        self.pieces[*piece].get(bytes.clone())
    }
}
