//! One dimension of a convolution or a pooling: which input place each tap of each output place sees.

use std::ops::Range;

use candle_core::{Result, bail};

/// Sizes along one dimension; output place `y` sees input place `y·stride + tap·dilation − padding`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlidingWindow {
    /// Places of the input.
    pub(crate) input: usize,
    /// Taps.
    pub(crate) kernel: usize,
    /// Places of the output.
    pub(crate) output: usize,
    /// Input places between neighbouring output places.
    pub(crate) stride: usize,
    /// Places added on both sides of the input.
    pub(crate) padding: usize,
    /// Input places between neighbouring taps.
    pub(crate) dilation: usize,
}

/// How a kernel moves along one dimension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moves {
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) dilation: usize,
}

impl SlidingWindow {
    /// An error where nothing fits: an empty input or kernel, a stride or dilation of 0, a kernel larger than the padded
    /// input.
    pub(crate) fn new(input: usize, kernel: usize, moves: Moves) -> Result<Self> {
        let Moves { stride, padding, dilation } = moves;
        if input == 0 || kernel == 0 || stride == 0 || dilation == 0 {
            bail!("a kernel of {kernel} on {input} places with {moves:?}: none of them may be 0 but the padding");
        }
        let reach = (kernel - 1).checked_mul(dilation).and_then(|reach| reach.checked_add(1));
        let padded = padding.checked_mul(2).and_then(|padding| padding.checked_add(input));
        let (Some(reach), Some(padded)) = (reach, padded) else {
            bail!("a kernel of {kernel} on {input} places with {moves:?} is out of all proportion");
        };
        if reach > padded {
            bail!(
                "a kernel that reaches over {reach} places on {padded} places, padding included: choose more padding"
            );
        }
        Ok(Self { input, kernel, output: (padded - reach) / stride + 1, stride, padding, dilation })
    }

    /// The output places whose `tap` lies inside the input.
    pub(crate) fn inside(&self, tap: usize) -> Range<usize> {
        let shift = tap * self.dilation;
        let start = self.padding.saturating_sub(shift).div_ceil(self.stride);
        let end = (self.input + self.padding).saturating_sub(shift).div_ceil(self.stride).min(self.output);
        start..end.max(start)
    }

    /// The input place that `tap` of an output place sees, for places in `inside(tap)`.
    pub(crate) fn seen(&self, output: usize, tap: usize) -> usize {
        output * self.stride + tap * self.dilation - self.padding
    }

    /// The input places that lie between the first and the last that some output places see.
    pub(crate) fn seen_by(&self, outputs: &Range<usize>) -> Range<usize> {
        let seen = (0..self.kernel).flat_map(|tap| {
            let inside = self.inside(tap);
            let (start, end) = (inside.start.max(outputs.start), inside.end.min(outputs.end));
            (start..end).map(move |output| self.seen(output, tap))
        });
        let start = seen.clone().min().unwrap_or(0);
        start..seen.max().map_or(start, |last| last + 1)
    }

    /// Every output place sees its own input place through its only tap.
    pub(crate) fn is_identity(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.padding == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, prop_assume, proptest};

    use super::{Moves, SlidingWindow};

    proptest! {
        #[test]
        fn inside_and_seen_say_what_the_definition_says(input in 1..12usize, kernel in 1..6usize, stride in 1..4usize, padding in 0..5usize, dilation in 1..4usize) {
            prop_assume!((kernel - 1) * dilation < input + 2 * padding);
            let window = SlidingWindow::new(input, kernel, Moves { stride, padding, dilation }).unwrap();
            for tap in 0..kernel {
                for output in 0..window.output {
                    let place = (output * stride + tap * dilation).checked_sub(padding).filter(|&place| place < input);
                    prop_assert_eq!(window.inside(tap).contains(&output), place.is_some());
                    if let Some(place) = place {
                        prop_assert_eq!(window.seen(output, tap), place);
                    }
                }
            }
        }
    }

    #[test]
    fn some_places_see_what_lies_between_the_first_and_the_last() {
        let window = |dilation| SlidingWindow::new(9, 3, Moves { stride: 2, padding: 1, dilation }).unwrap();
        // Output o sees 2o − 1 to 2o + 1.
        assert_eq!(window(1).seen_by(&(0..1)), 0..2);
        assert_eq!(window(1).seen_by(&(1..3)), 1..6);
        assert_eq!(window(1).seen_by(&(2..2)), 0..0);
        // −1, 2 and 5.
        assert_eq!(window(3).seen_by(&(0..1)), 2..6);
    }

    #[test]
    fn what_cannot_fit_is_an_error() {
        let moves = |stride, padding, dilation| Moves { stride, padding, dilation };
        assert!(SlidingWindow::new(4, 5, moves(1, 0, 1)).is_err());
        assert!(SlidingWindow::new(4, 3, moves(0, 0, 1)).is_err());
        assert!(SlidingWindow::new(4, 3, moves(1, 0, 0)).is_err());
        assert!(SlidingWindow::new(0, 1, moves(1, 0, 1)).is_err());
        assert!(SlidingWindow::new(4, 0, moves(1, 0, 1)).is_err());
        assert!(SlidingWindow::new(4, 3, moves(1, usize::MAX, 1)).is_err());
        assert!(SlidingWindow::new(4, 3, moves(1, 0, usize::MAX)).is_err());
    }
}
