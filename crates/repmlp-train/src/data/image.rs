//! An image as bytes, and its target.
//!
//! This module knows neither files nor transforms.

/// An image: channel by channel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixels: Vec<u8>,
}

impl Image {
    /// Returns its channels, each row by row.
    pub(crate) fn planes(&self) -> impl Iterator<Item = &[u8]> {
        self.pixels.chunks_exact(self.height * self.width)
    }

    /// Returns an image of the given size. `f` makes each channel from the same channel of this image.
    pub(crate) fn map_planes(&self, (height, width): (usize, usize), f: impl Fn(&[u8], &mut Vec<u8>)) -> Self {
        let mut pixels = Vec::with_capacity(self.channels * height * width);
        for plane in self.planes() {
            f(plane, &mut pixels);
        }
        Self { channels: self.channels, height, width, pixels }
    }
}

/// Class ids of the pixels of an image, row by row. Pixels that do not count are [`Mask::IGNORED`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mask {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) ids: Vec<u8>,
}

impl Mask {
    /// The id of pixels that count neither in the loss nor in a metric.
    pub(crate) const IGNORED: u8 = 255;
}

/// The set of ids that occur in masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids([u64; 4]);

impl Ids {
    /// Returns the ids that occur in these pixels.
    pub(crate) fn of(pixels: &[u8]) -> Self {
        let mut seen = [false; 256];
        pixels.iter().for_each(|&id| seen[usize::from(id)] = true);
        let mut ids = Self::default();
        (0..256).filter(|&id| seen[id]).for_each(|id| ids.0[id / 64] |= 1 << (id % 64));
        ids
    }

    /// Writes the set as hexadecimal digits.
    pub(crate) fn to_hex(self) -> String {
        self.0.iter().map(|word| format!("{word:016x}")).collect()
    }

    /// Reads what [`Self::to_hex`] writes.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut ids = Self::default();
        if text.len() != 16 * ids.0.len() || !text.is_ascii() {
            return None;
        }
        for (i, word) in ids.0.iter_mut().enumerate() {
            *word = u64::from_str_radix(&text[16 * i..16 * (i + 1)], 16).ok()?;
        }
        Some(ids)
    }

    /// Returns the union of both sets.
    pub(crate) fn with(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own |= other);
        self
    }

    /// Returns the ids that are classes.
    pub(crate) fn classes(self) -> impl Iterator<Item = u32> {
        (0..u32::from(Mask::IGNORED)).filter(move |&id| self.has(id))
    }

    /// Returns whether ignored pixels occur.
    pub(crate) fn has_ignored(self) -> bool {
        self.has(u32::from(Mask::IGNORED))
    }

    fn has(self, id: u32) -> bool {
        self.0[id as usize / 64] >> (id % 64) & 1 == 1
    }
}

/// The target of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Class or identity of the whole image.
    Class(u32),
    /// A class for each pixel.
    Mask(Mask),
}
