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

/// What an image shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// One thing: its class or identity.
    Class(u32),
    /// Something else in every pixel.
    Mask(Mask),
}
