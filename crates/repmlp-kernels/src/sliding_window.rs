//! One dimension of a convolution or pooling: which input position each tap of each output position reads.

use std::ops::Range;

use candle_core::{Result, bail};

/// Sizes along one dimension. Output position `y` reads input position `y·stride + tap·dilation − padding`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlidingWindow {
    /// Input positions.
    pub(crate) input: usize,
    /// Taps of the kernel.
    pub(crate) kernel: usize,
    /// Output positions.
    pub(crate) output: usize,
    /// Input positions between neighbouring output positions.
    pub(crate) stride: usize,
    /// Positions added on both sides of the input.
    pub(crate) padding: usize,
    /// Input positions between neighbouring taps.
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
    /// Returns the sizes along one dimension. Fails for an empty input or kernel, for a stride or dilation of 0, and
    /// for a kernel larger than the padded input.
    pub(crate) fn new(input: usize, kernel: usize, moves: Moves) -> Result<Self> {
        let Moves { stride, padding, dilation } = moves;
        if input == 0 || kernel == 0 || stride == 0 || dilation == 0 {
            bail!("a kernel of {kernel} on {input} positions with {moves:?}: only the padding may be 0");
        }
        let reach = (kernel - 1).checked_mul(dilation).and_then(|reach| reach.checked_add(1));
        let padded = padding.checked_mul(2).and_then(|padding| padding.checked_add(input));
        let (Some(reach), Some(padded)) = (reach, padded) else {
            bail!("a kernel of {kernel} on {input} positions with {moves:?}: the sizes are too large");
        };
        if reach > padded {
            bail!("a kernel that spans {reach} positions does not fit {padded} padded positions: choose more padding");
        }
        Ok(Self { input, kernel, output: (padded - reach) / stride + 1, stride, padding, dilation })
    }

    /// Returns the output positions where `tap` lies inside the input.
    pub(crate) fn inside(&self, tap: usize) -> Range<usize> {
        let shift = tap * self.dilation;
        let start = self.padding.saturating_sub(shift).div_ceil(self.stride);
        let end = (self.input + self.padding).saturating_sub(shift).div_ceil(self.stride).min(self.output);
        start..end.max(start)
    }

    /// Returns the input position that `tap` of an output position reads, for positions in `inside(tap)`.
    pub(crate) fn seen(&self, output: usize, tap: usize) -> usize {
        output * self.stride + tap * self.dilation - self.padding
    }

    /// Returns the range from the first to the last input position that these output positions read. Positions in
    /// between may be unread.
    pub(crate) fn seen_by(&self, outputs: &Range<usize>) -> Range<usize> {
        let seen = (0..self.kernel).flat_map(|tap| {
            let inside = self.inside(tap);
            let (start, end) = (inside.start.max(outputs.start), inside.end.min(outputs.end));
            (start..end).map(move |output| self.seen(output, tap))
        });
        let start = seen.clone().min().unwrap_or(0);
        start..seen.max().map_or(start, |last| last + 1)
    }

    /// Whether each output position reads only the same input position, through a single tap.
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
        fn inside_and_seen_match_the_definition(
            input in 1..12usize,
            kernel in 1..6usize,
            stride in 1..4usize,
            padding in 0..5usize,
            dilation in 1..4usize,
        ) {
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
    fn seen_by_spans_the_first_to_the_last_position_read() {
        let window = |dilation| SlidingWindow::new(9, 3, Moves { stride: 2, padding: 1, dilation }).unwrap();
        // Output o reads 2o − 1 to 2o + 1.
        assert_eq!(window(1).seen_by(&(0..1)), 0..2);
        assert_eq!(window(1).seen_by(&(1..3)), 1..6);
        assert_eq!(window(1).seen_by(&(2..2)), 0..0);
        // It reads −1, 2 and 5.
        assert_eq!(window(3).seen_by(&(0..1)), 2..6);
    }

    #[test]
    fn sizes_that_do_not_fit_are_errors() {
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
