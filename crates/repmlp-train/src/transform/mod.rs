//! Transforms of images before they reach a network: cropping, resizing, moving, recolouring. They are pure functions
//! of an image and of random numbers.
//!
//! This module knows neither data sets nor epochs, and does not choose the transforms. Resizing is implemented here, in
//! about forty lines of sums in a fixed order. `fast_image_resize` has processor-specific code that rounds differently
//! between machines.

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
