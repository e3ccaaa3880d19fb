//! What images undergo on their way to a network: cutting, resizing, moving, recolouring. Pure functions of an image and the
//! numbers drawn for it.
//!
//! Knows neither sets nor epochs; which transform an image undergoes is the pipeline's business. Resizing is our own: it is
//! some forty lines of plain sums in a fixed order, where `fast_image_resize` would bring processor-specific code whose
//! rounding differs from machine to machine.

mod auto_augment;
mod color;
mod crop;
mod place;
mod resize;
mod scene;
mod tiles;
mod warp;

pub(crate) use auto_augment::auto_augment;
pub(crate) use crop::{Region, random_resized_crop, short_side_crop};
pub(crate) use place::Shift;
pub(crate) use resize::resize;
pub(crate) use scene::{Placement, Scene};
pub(crate) use tiles::Tiling;
