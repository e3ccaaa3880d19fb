//! Basic layers: convolution, FC layer, batch norm, dropout. Convolution and FC layer have one type for both forms,
//! because a layer without batch norm has nothing to merge.

mod batch_norm;
mod conv;
mod conv_bn;
mod dropout;
mod linear;
mod normed_sum;

pub use batch_norm::{BatchNorm, BatchNormSettings};
pub use conv::{Conv2d, ConvShape, Visitor};
pub use conv_bn::ConvBn;
pub use dropout::{Dropout, DropoutSpec, DropoutUnit};
pub use linear::Linear;
pub(crate) use normed_sum::{Normed, normed_sum};
