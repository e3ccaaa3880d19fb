//! Convolution without columns: each target pixel is the sum over the taps that lie inside the map.
//!
//! The forward pass goes from the input to the output. In the same way, the gradient of the input goes from the output
//! to the input. Lanes of a vector hold images or, for small batches, target channels.

mod channels;
mod images;
mod pass;

pub(crate) use pass::{backward_x, forward};
