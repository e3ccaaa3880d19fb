//! Lookups of a window that slides over a map: all taps of all its positions in one operation, and back for the
//! gradient. Nothing is added up by colliding writes, so a result has the same bits each time.

use candle_core::{Result, Tensor};

use crate::places::{NOWHERE, table};
use crate::sliding_window::SlidingWindow;

/// A window over a map (C, H, W, N). All functions take and give three dimensions: channels, pixels, images.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowPlaces {
    pub(crate) rows: SlidingWindow,
    pub(crate) columns: SlidingWindow,
    pub(crate) outside: Outside,
}

/// What a tap reads outside the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outside {
    /// A zero.
    Zero,
    /// The nearest pixel. Padding is at most half a window, so the window reads this pixel with another tap too.
    Nearest,
}

impl Outside {
    /// Returns the positions that a tap reads along one dimension: pairs of output and input.
    fn read(self, window: &SlidingWindow, tap: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let window = *window;
        let outputs = match self {
            Self::Zero => window.inside(tap),
            Self::Nearest => 0..window.output,
        };
        let place = move |output| output * window.stride + tap * window.dilation;
        outputs.map(move |output| (output, place(output).saturating_sub(window.padding).min(window.input - 1)))
    }
}

impl WindowPlaces {
    /// Number of taps.
    pub(crate) fn taps(&self) -> usize {
        self.rows.kernel * self.columns.kernel
    }

    /// Number of pixels of the map.
    pub(crate) fn inputs(&self) -> usize {
        self.rows.input * self.columns.input
    }

    /// Number of positions of the window.
    pub(crate) fn outputs(&self) -> usize {
        self.rows.output * self.columns.output
    }

    /// Returns what each tap reads at each position: (C, H·W, N) → (C, taps·H'·W', N).
    pub(crate) fn read(&self, x_cpn: &Tensor) -> Result<Tensor> {
        let outputs = self.outputs();
        self.by_tap(x_cpn, "read", outputs, |tap, output, input| (tap * outputs + output, input))
    }

    /// Returns, for each tap and each pixel, the number at the position where the tap reads the pixel: (C, H'·W', N) →
    /// (C, taps·H·W, N). It is zero where the tap reads the pixel nowhere.
    pub(crate) fn readers(&self, y_cpn: &Tensor) -> Result<Tensor> {
        let inputs = self.inputs();
        self.by_tap(y_cpn, "readers", inputs, |tap, output, input| (tap * inputs + input, output))
    }

    /// Looks up `count` numbers for each tap. `entry` returns where a pair of position and pixel is entered, and which
    /// number is copied there.
    fn by_tap(
        &self,
        numbers: &Tensor,
        kind: &'static str,
        count: usize,
        entry: impl Fn(usize, usize, usize) -> (usize, usize),
    ) -> Result<Tensor> {
        let table = table(numbers.device(), self.key(kind), || {
            let mut places = vec![NOWHERE; self.taps() * count];
            self.each_pair(|tap, output, input| {
                let (at, place) = entry(tap, output, input);
                places[at] = place as u32;
            });
            places
        })?;
        numbers.contiguous()?.index_select(&table, 1)
    }

    /// Adds up what the taps give back to each pixel: (C, taps·H'·W', N) → (C, H·W, N). It is the adjoint of `read`.
    pub(crate) fn give_back(&self, taps_cpn: &Tensor) -> Result<Tensor> {
        // Readers of a pixel are listed one after the other. Few pixels have as many readers as there are taps.
        let most = self.most_readers();
        let table = table(taps_cpn.device(), self.key("give back"), || {
            let mut places = vec![NOWHERE; most * self.inputs()];
            let mut listed = vec![0; self.inputs()];
            self.each_pair(|tap, output, input| {
                places[listed[input] * self.inputs() + input] = (tap * self.outputs() + output) as u32;
                listed[input] += 1;
            });
            places
        })?;
        let given = taps_cpn.contiguous()?.index_select(&table, 1)?;
        if most == 1 {
            return Ok(given);
        }
        let (channels, _, images) = given.dims3()?;
        given.reshape((channels, most, self.inputs() * images))?.sum(1)?.reshape((channels, self.inputs(), images))
    }

    /// Returns the largest number of pairs of tap and position that read the same pixel, at least 1.
    fn most_readers(&self) -> usize {
        let along = |window: &SlidingWindow| {
            let mut readers = vec![0; window.input];
            for tap in 0..window.kernel {
                self.outside.read(window, tap).for_each(|(_, input)| readers[input] += 1);
            }
            readers.into_iter().max().unwrap_or(0).max(1)
        };
        along(&self.rows) * along(&self.columns)
    }

    /// Calls `f` with each tap, each position of the window, and the pixel that the tap reads there.
    fn each_pair(&self, mut f: impl FnMut(usize, usize, usize)) {
        let Self { rows, columns, .. } = self;
        for ky in 0..rows.kernel {
            for kx in 0..columns.kernel {
                for (y, input_y) in self.outside.read(rows, ky) {
                    for (x, input_x) in self.outside.read(columns, kx) {
                        let output = y * columns.output + x;
                        f(ky * columns.kernel + kx, output, input_y * columns.input + input_x);
                    }
                }
            }
        }
    }

    fn key(&self, kind: &'static str) -> (&'static str, Vec<usize>) {
        let of = |w: &SlidingWindow| [w.input, w.kernel, w.output, w.stride, w.padding, w.dilation];
        let outside = usize::from(self.outside == Outside::Nearest);
        (kind, [&of(&self.rows)[..], &of(&self.columns), &[outside]].concat())
    }
}
