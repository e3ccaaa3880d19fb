//! All sizes of a convolution, checked once; the kernels rely on them.

use candle_core::{Result, bail};

use crate::conv::ConvGeometry;
use crate::sliding_window::{Moves, SlidingWindow};

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Products with columns, or with the map as it lies.
    Columns,
    /// Products with the pixels that a stride leaves.
    Subsampled,
    /// Shifted and scaled rows.
    Depthwise,
    /// Sums over taps; lanes are images or target channels.
    Direct,
    /// Products of transformed tiles and kernels.
    Winograd,
}

/// Images from which on columns are not worth gathering.
const DIRECT_IMAGES: usize = 8;

/// Channels of a group from which on transforms cost less than they save.
const WINOGRAD_CHANNELS: usize = 32;

/// A convolution whose shapes fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvSizes {
    /// Input channels C.
    pub(crate) inputs: usize,
    /// Output channels O.
    pub(crate) outputs: usize,
    /// Groups, a divisor of both.
    pub(crate) groups: usize,
    /// Images N.
    pub(crate) images: usize,
    /// Along the height.
    pub(crate) rows: SlidingWindow,
    /// Along the width.
    pub(crate) columns: SlidingWindow,
}

impl ConvSizes {
    /// An error that names the first thing that does not fit.
    pub(crate) fn new(x_chwn: &[usize], weight: &[usize], geometry: ConvGeometry) -> Result<Self> {
        let (&[inputs, h, w, images], &[outputs, group_inputs, k_h, k_w]) = (x_chwn, weight) else {
            bail!("conv2d takes x (C, H, W, N) and weight (O, C/groups, K, K), not {x_chwn:?} and {weight:?}");
        };
        let ConvGeometry { stride, padding, dilation, groups } = geometry;
        if groups == 0 || !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            bail!("conv2d in {groups} groups: they must divide {inputs} input and {outputs} output channels");
        }
        if group_inputs != inputs / groups {
            bail!("conv2d weight {weight:?} on {inputs} channels in {groups} groups: each sees {}", inputs / groups);
        }
        if inputs == 0 || outputs == 0 || images == 0 {
            bail!("conv2d of {x_chwn:?} with weight {weight:?}: nothing may be empty");
        }
        let moves = |of: fn((usize, usize)) -> usize| Moves {
            stride: of(stride),
            padding: of(padding),
            dilation: of(dilation),
        };
        let rows = SlidingWindow::new(h, k_h, moves(|pair| pair.0))?;
        let columns = SlidingWindow::new(w, k_w, moves(|pair| pair.1))?;
        Ok(Self { inputs, outputs, groups, images, rows, columns })
    }

    /// (O, H', W', N).
    pub(crate) fn output_dims(&self) -> (usize, usize, usize, usize) {
        (self.outputs, self.rows.output, self.columns.output, self.images)
    }

    /// Input channels of a group.
    pub(crate) fn group_inputs(&self) -> usize {
        self.inputs / self.groups
    }

    /// Output channels of a group.
    pub(crate) fn group_outputs(&self) -> usize {
        self.outputs / self.groups
    }

    /// Taps of a kernel.
    pub(crate) fn taps(&self) -> usize {
        self.rows.kernel * self.columns.kernel
    }

    /// Height and width of a tap in its kernel.
    pub(crate) fn tap(&self, tap: usize) -> (usize, usize) {
        (tap / self.columns.kernel, tap % self.columns.kernel)
    }

    /// Numbers of a channel of x.
    pub(crate) fn input_map(&self) -> usize {
        self.rows.input * self.columns.input * self.images
    }

    /// Numbers of a channel of the output.
    pub(crate) fn output_map(&self) -> usize {
        self.rows.output * self.columns.output * self.images
    }

    /// The way for these sizes; never by processor or threads.
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

    /// Each group has one input channel.
    fn is_depthwise(&self) -> bool {
        self.group_inputs() == 1 && self.groups > 1
    }

    /// Tiles of 2×2 output pixels see 4×4 input pixels, and kernels can be turned round.
    pub(crate) fn has_tiles(&self) -> bool {
        let fits = |window: &SlidingWindow| {
            window.kernel == 3 && window.stride == 1 && window.dilation == 1 && window.padding <= 2
        };
        fits(&self.rows) && fits(&self.columns)
    }

    /// The products at each position are large enough to be worth the transforms, and save what they cost: a direct sum leaves
    /// out the taps on padding, tiles do not, nor what reaches out of the map.
    fn fills_tiles(&self) -> bool {
        let channels = self.group_inputs().min(self.group_outputs());
        let tiles = self.rows.output.div_ceil(2) * self.columns.output.div_ceil(2);
        let inside = |window: &SlidingWindow| (0..window.kernel).map(|tap| window.inside(tap).len()).sum::<usize>();
        let direct = inside(&self.rows) * inside(&self.columns);
        channels >= WINOGRAD_CHANNELS && tiles * self.images >= channels && 16 * tiles * 4 <= direct * 3
    }

    /// Each output pixel sees an input pixel of its own, of which a stride may leave some out.
    pub(crate) fn is_subsampled(&self) -> bool {
        let of_one = |window: &SlidingWindow| window.kernel == 1 && window.padding == 0;
        of_one(&self.rows) && of_one(&self.columns) && !self.is_pointwise()
    }

    /// The same convolution of the pixels that are seen, one tap each and no padding.
    pub(crate) fn of_seen(&self) -> Result<Self> {
        let alone =
            |window: &SlidingWindow| SlidingWindow::new(window.output, 1, Moves { stride: 1, padding: 0, dilation: 1 });
        Ok(Self { rows: alone(&self.rows)?, columns: alone(&self.columns)?, ..*self })
    }

    /// Each output pixel sees its own input pixel alone.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.rows.is_identity() && self.columns.is_identity()
    }
}
