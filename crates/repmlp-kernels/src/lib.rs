//! CPU kernels as candle custom operations, each with forward and backward, for the places where a composition of
//! candle's own operations costs many passes over memory.
//!
//! Every kernel stands beside a composite of ordinary candle operations that computes the same: it is the path on
//! other devices and the oracle of the tests. Each result element is computed by one thread in a fixed order, so
//! nothing depends on the thread count. Nothing here knows a model.
//!
//! `unsafe` stands in `simd` and `multiply_adds` (vector instructions), `product` and `scratch` (memory that tasks share) and
//! in the modules of `conv` that call them; each place says why it is sound.
//!
//! Layouts: `chwn` is channels, height, width, images, images fastest; `rm` is rows × columns.

mod add_bias;
mod axis;
mod batch_norm;
mod conv;
mod conv_to_fc;
mod element;
mod max_pool;
mod multiply_adds;
mod product;
mod relu;
mod scratch;
mod sgd;
mod simd;
mod softmax;
mod sums;

pub use add_bias::add_bias;
pub use batch_norm::{Moments, batch_norm};
pub use conv::{ConvGeometry, conv2d};
pub use conv_to_fc::conv_to_fc;
pub use max_pool::{PoolGeometry, max_pool2d};
pub use multiply_adds::multiply_adds;
pub use relu::relu;
pub use sgd::{SgdStep, sgd_step};
pub use softmax::softmax;

#[cfg(test)]
mod oracle_tests;
