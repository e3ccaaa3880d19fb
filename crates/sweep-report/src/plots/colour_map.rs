//! Colours of numbers: from dark blue for the smallest to yellow for the largest.

use super::palette::{Ink, TEXT, WHITE};

/// The colour map viridis (van der Walt and Smith, 2015) at nine equal steps. It is uniform to the eye, also for
/// colour-blind readers and in print without colours.
const VIRIDIS: [Ink; 9] = [
    Ink(0x44, 0x01, 0x54),
    Ink(0x47, 0x2d, 0x7b),
    Ink(0x3b, 0x52, 0x8b),
    Ink(0x2c, 0x72, 0x8e),
    Ink(0x21, 0x91, 0x8c),
    Ink(0x28, 0xae, 0x80),
    Ink(0x5e, 0xc9, 0x62),
    Ink(0xad, 0xdc, 0x30),
    Ink(0xfd, 0xe7, 0x25),
];

/// Returns the colour at a share of the scale, from 0 for the smallest number to 1 for the largest one.
pub(super) fn colour(share: f64) -> Ink {
    let last = VIRIDIS.len() - 1;
    // Written so that a share which is not a number has a colour too.
    let share = if share > 0.0 { share.min(1.0) } else { 0.0 };
    let place = share * last as f64;
    let step = (place as usize).min(last - 1);
    let (low, high, beyond) = (VIRIDIS[step], VIRIDIS[step + 1], place - step as f64);
    let mix = |low: u8, high: u8| (f64::from(low) + (f64::from(high) - f64::from(low)) * beyond).round() as u8;
    Ink(mix(low.0, high.0), mix(low.1, high.1), mix(low.2, high.2))
}

/// Returns the colour of words on an area of this colour.
pub(super) fn on(ink: Ink) -> Ink {
    // Brightness as the eye sees it (ITU-R BT.601).
    let brightness = 0.299 * f64::from(ink.0) + 0.587 * f64::from(ink.1) + 0.114 * f64::from(ink.2);
    if brightness < 128.0 { WHITE } else { TEXT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_and_steps_are_exact_and_words_stay_legible() {
        assert_eq!((colour(0.0), colour(0.125), colour(1.0)), (VIRIDIS[0], VIRIDIS[1], VIRIDIS[8]));
        assert_eq!((colour(-3.0), colour(7.0)), (VIRIDIS[0], VIRIDIS[8]));
        assert_eq!((on(colour(0.0)), on(colour(1.0))), (WHITE, TEXT));
        assert_eq!(colour(f64::NAN), VIRIDIS[0]);
    }
}
