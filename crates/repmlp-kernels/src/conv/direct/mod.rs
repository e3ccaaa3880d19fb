//! Convolution without columns: for each target pixel the sum over the taps that lie inside the map.
//!
//! What the forward pass does from the input to the output, the gradient of the input does from the output to the input. Lanes of
//! a vector are images, or target channels where images would leave much of it empty.

mod channels;
mod images;
mod pass;

pub(crate) use pass::{backward_x, forward};
