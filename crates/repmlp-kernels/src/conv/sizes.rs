//! All sizes of a convolution, checked once. The kernels rely on them.

use candle_core::{Result, bail};

use crate::conv::ConvGeometry;
use crate::factors::Factors;
use crate::sliding_window::{Moves, SlidingWindow};

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Products with columns, or with the map itself.
    Columns,
    /// Products with the pixels that a stride selects.
    Subsampled,
    /// Shifted and scaled rows.
    Depthwise,
    /// Sums over taps. Lanes hold images or, for small batches, output channels.
    Direct,
    /// Products of transformed tiles and kernels.
    Winograd,
}

/// Minimum batch for direct convolution and Winograd.
const DIRECT_IMAGES: usize = 8;

/// Minimum channels per group for Winograd. With fewer, transforms cost more than they save.
const WINOGRAD_CHANNELS: usize = 32;

/// Sizes of one convolution, checked to fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvSizes {
    /// Input channels C.
    pub(crate) inputs: usize,
    /// Output channels O.
    pub(crate) outputs: usize,
    /// Groups, a divisor of both channel counts.
    pub(crate) groups: usize,
    /// Images N.
    pub(crate) images: usize,
    /// Sliding window along the height.
    pub(crate) rows: SlidingWindow,
    /// Sliding window along the width.
    pub(crate) columns: SlidingWindow,
    /// How exact the factors of its products are.
    pub(crate) factors: Factors,
}

impl ConvSizes {
    /// Returns the sizes. The error names the first thing that does not fit.
    pub(crate) fn new(x_chwn: &[usize], weight: &[usize], geometry: ConvGeometry) -> Result<Self> {
        let (&[inputs, h, w, images], &[outputs, group_inputs, k_h, k_w]) = (x_chwn, weight) else {
            bail!("conv2d takes x (C, H, W, N) and weight (O, C/groups, K, K), not {x_chwn:?} and {weight:?}");
        };
        let ConvGeometry { stride, padding, dilation, groups } = geometry;
        if groups == 0 || !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            bail!("conv2d: {groups} groups must divide {inputs} input channels and {outputs} output channels");
        }
        if group_inputs != inputs / groups {
            bail!("conv2d weight {weight:?} for {inputs} channels in {groups} groups: a group has {}", inputs / groups);
        }
        if inputs == 0 || outputs == 0 || images == 0 {
            bail!("conv2d of {x_chwn:?} with weight {weight:?}: no dimension may be empty");
        }
        let moves = |of: fn((usize, usize)) -> usize| Moves {
            stride: of(stride),
            padding: of(padding),
            dilation: of(dilation),
        };
        let rows = SlidingWindow::new(h, k_h, moves(|pair| pair.0))?;
        let columns = SlidingWindow::new(w, k_w, moves(|pair| pair.1))?;
        Ok(Self { inputs, outputs, groups, images, rows, columns, factors: Factors::current() })
    }

    /// Returns the dimensions of the output: (O, H', W', N).
    pub(crate) fn output_dims(&self) -> (usize, usize, usize, usize) {
        (self.outputs, self.rows.output, self.columns.output, self.images)
    }

    /// Input channels per group.
    pub(crate) fn group_inputs(&self) -> usize {
        self.inputs / self.groups
    }

    /// Output channels per group.
    pub(crate) fn group_outputs(&self) -> usize {
        self.outputs / self.groups
    }

    /// Taps of a kernel.
    pub(crate) fn taps(&self) -> usize {
        self.rows.kernel * self.columns.kernel
    }

    /// Returns the row and the column of a tap in its kernel.
    pub(crate) fn tap(&self, tap: usize) -> (usize, usize) {
        (tap / self.columns.kernel, tap % self.columns.kernel)
    }

    /// Numbers per channel of x.
    pub(crate) fn input_map(&self) -> usize {
        self.rows.input * self.columns.input * self.images
    }

    /// Numbers per channel of the output.
    pub(crate) fn output_map(&self) -> usize {
        self.rows.output * self.columns.output * self.images
    }

    /// Returns how to compute these sizes. The choice never depends on the processor or on threads.
    pub(crate) fn way(&self) -> Way {
        match () {
            () if self.is_subsampled() && !self.is_depthwise() => Way::Subsampled,
            () if self.taps() == 1 && !self.is_depthwise() => Way::Columns,
            () if self.images >= DIRECT_IMAGES && self.has_tiles() && self.fills_tiles() => Way::Winograd,
            () if self.images >= DIRECT_IMAGES => Way::Direct,
            () if self.is_depthwise() => Way::Depthwise,
            () => Way::Columns,
        }
    }

    /// Whether each of several groups has one input channel.
    fn is_depthwise(&self) -> bool {
        self.group_inputs() == 1 && self.groups > 1
    }

    /// Whether tiles of 2×2 output pixels read 4×4 input pixels, and kernels can be rotated by 180°.
    pub(crate) fn has_tiles(&self) -> bool {
        let fits = |window: &SlidingWindow| {
            window.kernel == 3 && window.stride == 1 && window.dilation == 1 && window.padding <= 2
        };
        fits(&self.rows) && fits(&self.columns)
    }

    /// Whether Winograd pays off: the products at each position are large enough for the transforms, and the saved
    /// multiplications outweigh extra ones. A direct sum skips taps on padding and pixels outside the map; tiles skip
    /// neither.
    fn fills_tiles(&self) -> bool {
        let channels = self.group_inputs().min(self.group_outputs());
        let tiles = self.rows.output.div_ceil(2) * self.columns.output.div_ceil(2);
        let inside = |window: &SlidingWindow| (0..window.kernel).map(|tap| window.inside(tap).len()).sum::<usize>();
        let direct = inside(&self.rows) * inside(&self.columns);
        channels >= WINOGRAD_CHANNELS && tiles * self.images >= channels && 16 * tiles * 4 <= direct * 3
    }

    /// Whether each output pixel reads a single input pixel, and a stride may skip others.
    pub(crate) fn is_subsampled(&self) -> bool {
        let of_one = |window: &SlidingWindow| window.kernel == 1 && window.padding == 0;
        of_one(&self.rows) && of_one(&self.columns) && !self.is_pointwise()
    }

    /// Returns the same convolution on the pixels that are read: with one tap, stride 1 and no padding.
    pub(crate) fn of_seen(&self) -> Result<Self> {
        let alone =
            |window: &SlidingWindow| SlidingWindow::new(window.output, 1, Moves { stride: 1, padding: 0, dilation: 1 });
        Ok(Self { rows: alone(&self.rows)?, columns: alone(&self.columns)?, ..*self })
    }

    /// Whether each output pixel reads only the input pixel at the same position.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.rows.is_identity() && self.columns.is_identity()
    }
}
