//! Lookups that write convolutions on an h×w map as FC kernels (paper Eq. 15), several at once, and back for their
//! gradient.

use candle_core::{Result, Tensor};

use crate::places::{Key, NOWHERE, table};

/// Convolutions with the same channels on the same map. Each has zero padding ⌊K/2⌋ and stride 1.
#[derive(Clone, Debug)]
pub(crate) struct KernelPlaces {
    /// Input channels of a group, C/g.
    pub(crate) inputs: usize,
    /// Height and width of each kernel.
    pub(crate) kernels: Vec<(usize, usize)>,
    /// Height and width of the map.
    pub(crate) map: (usize, usize),
}

impl KernelPlaces {
    /// Returns the FC kernels: the flat convolution kernels, (O, Σ C/g·K²), become (O, B·h·w·C/g·h·w) for B kernels.
    pub(crate) fn spread(&self, kernels: &Tensor) -> Result<Tensor> {
        let table = table(kernels.device(), self.key("spread"), || {
            let mut places = vec![NOWHERE; self.kernels.len() * self.pixels() * self.inputs * self.pixels()];
            self.each(|number, output, at| places[self.spread_at(at, output)] = number as u32);
            places
        })?;
        kernels.contiguous()?.index_select(&table, 1)
    }

    /// Adds up what the FC kernels have for each number of the convolution kernels: (O, B·h·w·C/g·h·w) → (O, Σ C/g·K²).
    /// It is the adjoint of `spread`.
    pub(crate) fn gather(&self, fc_kernels: &Tensor) -> Result<Tensor> {
        let (numbers, pixels) = (self.numbers(), self.pixels());
        let table = table(fc_kernels.device(), self.key("gather"), || {
            let mut places = vec![NOWHERE; numbers * pixels];
            self.each(|number, output, at| places[number * pixels + output] = self.spread_at(at, output) as u32);
            places
        })?;
        fc_kernels.contiguous()?.index_select(&table, 1)?.reshape((fc_kernels.dim(0)?, numbers, pixels))?.sum(2)
    }

    /// Numbers of all kernels for one output channel.
    fn numbers(&self) -> usize {
        self.kernels.iter().map(|(k_h, k_w)| self.inputs * k_h * k_w).sum()
    }

    fn pixels(&self) -> usize {
        self.map.0 * self.map.1
    }

    /// Returns the place of a number in the FC kernels of an output channel.
    fn spread_at(&self, (kernel, channel, input): (usize, usize, usize), output: usize) -> usize {
        ((kernel * self.pixels() + output) * self.inputs + channel) * self.pixels() + input
    }

    /// Calls `f` with each number of the kernels, each output pixel where it is inside the map, and its kernel, its
    /// channel and the input pixel that it reads there.
    fn each(&self, mut f: impl FnMut(usize, usize, (usize, usize, usize))) {
        let mut first = 0;
        for (kernel, &(k_h, k_w)) in self.kernels.iter().enumerate() {
            for channel in 0..self.inputs {
                for tap in 0..k_h * k_w {
                    for output in 0..self.pixels() {
                        if let Some(input) = seen_by(tap, output, (k_h, k_w), self.map) {
                            f(first + channel * k_h * k_w + tap, output, (kernel, channel, input));
                        }
                    }
                }
            }
            first += self.inputs * k_h * k_w;
        }
    }

    fn key(&self, kind: &'static str) -> Key {
        let kernels = self.kernels.iter().flat_map(|&(k_h, k_w)| [k_h, k_w]);
        (kind, [self.inputs, self.map.0, self.map.1].into_iter().chain(kernels).collect())
    }
}

/// Returns the input pixel that a tap reads for an output pixel, or `None` outside the map.
fn seen_by(tap: usize, pixel: usize, (k_h, k_w): (usize, usize), (h, w): (usize, usize)) -> Option<usize> {
    let inside = |at: usize, size: usize| Some(at).filter(|&at| at < size);
    let y = inside((pixel / w + tap / k_w).checked_sub(k_h / 2)?, h)?;
    Some(y * w + inside((pixel % w + tap % k_w).checked_sub(k_w / 2)?, w)?)
}
