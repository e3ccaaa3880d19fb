//! One pass: its direction, and whether lanes hold images or channels.
#![expect(unsafe_code, reason = "outputs are written in full before they count as numbers")]

use candle_core::Result;

use super::{channels, images};
use crate::conv::ConvSizes;
use crate::conv::epilogue::ConvEpilogue;
use crate::conv::tap_map::{Direction, TapMap};
use crate::conv::target::Target;
use crate::fresh::{room, unwritten, written};
use crate::product::Shared;
use crate::simd::{InstructionSet, Number, Vector, fills, for_instruction_set};

/// Returns the output (O, H', W', N).
pub(crate) fn forward<T: Number>(
    set: InstructionSet,
    x: &[T],
    weight: &[T],
    sizes: &ConvSizes,
    epilogue: Option<&ConvEpilogue<'_, T>>,
) -> Result<Vec<T>> {
    let pass = Pass { epilogue, ..Pass::new(set, sizes, Direction::Forward) };
    for_instruction_set!(set, T, V => convolve::<V<T>>(&pass, x, weight, None))
}

/// Returns the gradient of x (C, H, W, N), added to `onto` if given.
pub(crate) fn backward_x<T: Number>(
    set: InstructionSet,
    dy: &[T],
    weight: &[T],
    sizes: &ConvSizes,
    onto: Option<Vec<T>>,
) -> Result<Vec<T>> {
    let pass = Pass::new(set, sizes, Direction::Backward);
    for_instruction_set!(set, T, V => convolve::<V<T>>(&pass, dy, weight, onto))
}

/// The direction and the sizes of one pass.
pub(super) struct Pass<'a, T> {
    pub(super) set: InstructionSet,
    pub(super) direction: Direction,
    pub(super) tap_map: TapMap,
    /// Channels of a group, in the source and in the target.
    pub(super) channels: (usize, usize),
    /// Numbers per channel, in the source and in the target.
    pub(super) maps: (usize, usize),
    pub(super) images: usize,
    pub(super) taps: usize,
    pub(super) sizes: &'a ConvSizes,
    pub(super) epilogue: Option<&'a ConvEpilogue<'a, T>>,
}

impl<'a, T> Pass<'a, T> {
    fn new(set: InstructionSet, sizes: &'a ConvSizes, direction: Direction) -> Self {
        let (inputs, outputs) = (sizes.group_inputs(), sizes.group_outputs());
        let (input_map, output_map) = (sizes.input_map(), sizes.output_map());
        let (channels, maps) = match direction {
            Direction::Forward => ((inputs, outputs), (input_map, output_map)),
            Direction::Backward => ((outputs, inputs), (output_map, input_map)),
        };
        let tap_map = TapMap::new(sizes, direction);
        Self {
            set,
            direction,
            tap_map,
            channels,
            maps,
            images: sizes.images,
            taps: sizes.taps(),
            sizes,
            epilogue: None,
        }
    }
}

fn convolve<V: Vector>(
    pass: &Pass<'_, V::Number>,
    source: &[V::Number],
    weight: &[V::Number],
    onto: Option<Vec<V::Number>>,
) -> Result<Vec<V::Number>> {
    let (adds, count) = (onto.is_some(), pass.sizes.groups * pass.channels.1 * pass.maps.1);
    let mut sums = onto.map_or_else(|| unwritten(count), room);
    let target = Target { shared: Shared::unwritten(&mut sums), onto: adds };
    if fills::<V>(pass.images) || pass.channels.1 < V::LANES {
        images::convolve::<V>(pass, source, weight, &target)?;
    } else {
        channels::convolve::<V>(pass, source, weight, &target)?;
    }
    // SAFETY: both variants write every pixel of all images of all channels, even a sum without terms.
    Ok(unsafe { written(sums) })
}
