//! Colours: only a few, which colour-blind readers can distinguish too (Okabe and Ito, 2008).

/// A colour: red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ink(pub(super) u8, pub(super) u8, pub(super) u8);

pub(super) const TEXT: Ink = Ink(0x22, 0x22, 0x22);
pub(super) const FRAME: Ink = Ink(0x66, 0x66, 0x66);
pub(super) const GRID: Ink = Ink(0xe6, 0xe6, 0xe6);
pub(super) const PALE: Ink = Ink(0xa6, 0xa6, 0xa6);

/// A border that stands out on every colour of a heat map.
pub(super) const MARK: Ink = Ink(0xd5, 0x5e, 0x00);

/// Okabe and Ito's colours that are visible as thin lines on white (their yellow is not).
const SERIES: [Ink; 7] = [
    Ink(0x00, 0x72, 0xb2),
    Ink(0xd5, 0x5e, 0x00),
    Ink(0x00, 0x9e, 0x73),
    Ink(0xcc, 0x79, 0xa7),
    Ink(0xe6, 0x9f, 0x00),
    Ink(0x56, 0xb4, 0xe9),
    Ink(0x00, 0x00, 0x00),
];

pub(super) const WHITE: Ink = Ink(0xff, 0xff, 0xff);

/// How the marks of a series are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) ink: Ink,
    /// Whether the inside is white.
    pub(super) hollow: bool,
}

impl From<Ink> for Look {
    fn from(ink: Ink) -> Self {
        Self { ink, hollow: false }
    }
}

/// Returns the look of series `i`, counted from 0. After seven series the colours repeat with hollow marks; after
/// fourteen series the looks repeat.
pub(super) fn series(i: usize) -> Look {
    Look { ink: SERIES[i % SERIES.len()], hollow: i / SERIES.len() % 2 == 1 }
}

impl Ink {
    /// Returns the colour mixed with two thirds of white.
    pub(super) fn pale(self) -> Self {
        let mix = |part: u8| 255 - (255 - part) / 3;
        Self(mix(self.0), mix(self.1), mix(self.2))
    }
}

#[cfg(test)]
mod tests {
    use super::series;

    #[test]
    fn fourteen_series_look_different() {
        for i in 0..14 {
            assert!((0..i).all(|other| series(other) != series(i)), "{i}");
        }
    }
}
