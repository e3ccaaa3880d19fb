//! Layers without variables. They are the same as data, in the training form and in the deployed form.

use candle_core::{Result, Tensor};
use repmlp_kernels::{PoolGeometry, avg_pool2d, max_pool2d, mean_pixel, relu};

use crate::network::{Site, resample};

/// A layer without variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// A function that is applied to each number.
    Activation(Activation),
    /// The maximum of each K×K window.
    MaxPool {
        /// Size K of a window.
        kernel: usize,
        /// Distance between neighbouring windows, in pixels.
        stride: usize,
        /// Width of the border around the map. Its pixels are never the maximum.
        padding: usize,
    },
    /// The mean of each K×K window. Windows do not overlap.
    AveragePool {
        /// Size K of a window.
        kernel: usize,
    },
    /// The mean of the whole map. The result is a 1×1 map.
    GlobalAverage,
    /// Means over a grid of b×b bins that cover the map as evenly as whole pixels allow (pyramid pooling in PSPNet).
    AdaptiveAverage {
        /// Number b of bins per side.
        bins: usize,
    },
    /// Bilinear resizing that maps corner pixels to corner pixels (`align_corners` in PyTorch).
    Resize {
        /// Height and width of the result.
        map: (usize, usize),
    },
    /// Turns (C, H, W) into C·H·W channels of a 1×1 map.
    Flatten,
}

/// A function that is applied to each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x·σ(x).
    Silu,
    /// x·Φ(x), computed with erf, not approximated.
    Gelu,
    /// σ(x).
    Sigmoid,
}

impl Fixed {
    /// Returns channels and map of the output; `None` if a window is larger than the padded map.
    pub(crate) fn output(self, Site { channels, map }: Site) -> Option<Site> {
        let windows = |kernel: usize, stride: usize, padding: usize| {
            let side = |size: usize| Some((size + 2 * padding).checked_sub(kernel)? / stride + 1);
            Some((side(map.0)?, side(map.1)?))
        };
        Some(match self {
            Self::Activation(_) => Site { channels, map },
            Self::MaxPool { kernel, stride, padding } => Site { channels, map: windows(kernel, stride, padding)? },
            Self::AveragePool { kernel } => Site { channels, map: windows(kernel, kernel, 0)? },
            Self::GlobalAverage => Site { channels, map: (1, 1) },
            Self::AdaptiveAverage { bins } => {
                Site { channels, map: (map.0.min(map.1) >= bins).then_some((bins, bins))? }
            }
            Self::Resize { map } => Site { channels, map },
            Self::Flatten => Site { channels: channels * map.0 * map.1, map: (1, 1) },
        })
    }

    /// Numbers that a training step keeps for the backward pass. `numbers` is the size of the output.
    pub(crate) fn kept(self, numbers: usize) -> usize {
        match self {
            Self::Flatten => 0,
            // Candle composes these from several operations. Each one keeps its result.
            Self::Activation(Activation::Silu | Activation::Gelu) => 3 * numbers,
            _ => numbers,
        }
    }

    /// Forward pass: (C, H, W, N) → (C', H', W', N).
    pub(crate) fn forward(self, x_chwn: &Tensor) -> Result<Tensor> {
        let (c, h, w, n) = x_chwn.dims4()?;
        let resampled =
            |weights: &dyn Fn(usize) -> resample::Weights| resample::resample(x_chwn, &weights(h), &weights(w));
        match self {
            Self::Activation(Activation::Relu) => relu(x_chwn),
            Self::Activation(Activation::Silu) => x_chwn.silu(),
            Self::Activation(Activation::Gelu) => x_chwn.gelu_erf(),
            Self::Activation(Activation::Sigmoid) => candle_nn::ops::sigmoid(x_chwn),
            Self::MaxPool { kernel, stride, padding } => {
                let [kernel, stride, padding] = [kernel, stride, padding].map(|size| (size, size));
                max_pool2d(x_chwn, PoolGeometry { kernel, stride, padding })
            }
            Self::AveragePool { kernel } => {
                let kernel = (kernel, kernel);
                avg_pool2d(x_chwn, PoolGeometry { kernel, stride: kernel, padding: (0, 0) })
            }
            Self::GlobalAverage => mean_pixel(x_chwn)?.reshape((c, 1, 1, n)),
            Self::AdaptiveAverage { bins } => resampled(&|size| resample::bins(size, bins)),
            Self::Resize { map: (to_h, to_w) } => {
                resample::resample(x_chwn, &resample::bilinear(h, to_h), &resample::bilinear(w, to_w))
            }
            Self::Flatten => x_chwn.reshape((c * h * w, 1, 1, n)),
        }
    }
}
