//! An image as bytes, and what a set says about it.
//!
//! Knows neither files nor what becomes of an image on its way to a network.

/// An image: channel by channel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixels: Vec<u8>,
}

impl Image {
    /// Its channels, each row by row.
    pub(crate) fn planes(&self) -> impl Iterator<Item = &[u8]> {
        self.pixels.chunks_exact(self.height * self.width)
    }

    /// The image whose channels are `f` of this one's.
    pub(crate) fn map_planes(&self, (height, width): (usize, usize), f: impl Fn(&[u8], &mut Vec<u8>)) -> Self {
        let mut pixels = Vec::with_capacity(self.channels * height * width);
        for plane in self.planes() {
            f(plane, &mut pixels);
        }
        Self { channels: self.channels, height, width, pixels }
    }
}

/// Class ids of an image's pixels, row by row; [`Mask::IGNORED`] where there is none to learn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mask {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) ids: Vec<u8>,
}

impl Mask {
    /// The id of pixels that count neither in a loss nor in a metric.
    pub(crate) const IGNORED: u8 = 255;
}

/// Which ids occur in masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids([u64; 4]);

impl Ids {
    /// Those of a mask's pixels.
    pub(crate) fn of(pixels: &[u8]) -> Self {
        let mut seen = [false; 256];
        pixels.iter().for_each(|&id| seen[usize::from(id)] = true);
        let mut ids = Self::default();
        (0..256).filter(|&id| seen[id]).for_each(|id| ids.0[id / 64] |= 1 << (id % 64));
        ids
    }

    /// These and others.
    pub(crate) fn with(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own |= other);
        self
    }

    /// Those that are classes.
    pub(crate) fn classes(self) -> impl Iterator<Item = u32> {
        (0..u32::from(Mask::IGNORED)).filter(move |&id| self.has(id))
    }

    /// Whether there are pixels that do not count.
    pub(crate) fn has_ignored(self) -> bool {
        self.has(u32::from(Mask::IGNORED))
    }

    fn has(self, id: u32) -> bool {
        self.0[id as usize / 64] >> (id % 64) & 1 == 1
    }
}

/// What an image shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// One thing: its class or identity.
    Class(u32),
    /// Something else in every pixel.
    Mask(Mask),
}
