//! CPU kernels as candle custom operations, each with forward and backward, for the places where a composition of
//! candle's own operations costs many passes over memory.
//!
//! Every kernel stands beside a composite of ordinary candle operations that computes the same: it is the path on
//! other devices and the oracle of the tests. Each result element is computed by one thread in a fixed order, so
//! nothing depends on the thread count. Nothing here knows a model.
//!
//! Heavy loops use AVX-512, or AVX2 and FMA, where the processor has them (`simd`); `REPMLP_KERNELS=avx2` or `plain` in the
//! environment keeps to less, whose sums are rounded differently. `unsafe` stands where vectors, outputs that are shared by
//! tasks or not cleared before, and the program's allocator need it, and nowhere else in the workspace; each place says why it is
//! sound.
//!
//! Layouts: `chwn` is channels, height, width, images, images fastest; `rm` is rows × columns.

mod adamw;
mod add_bias;
mod allocator;
mod attention;
mod avg_pool;
mod backward;
mod batch_norm;
mod conv;
mod conv_to_fc;
mod cross_entropy;
mod element;
mod epilogue;
mod fresh;
mod max_pool;
mod multiply_adds;
mod normed_sum;
mod packing;
mod parts;
mod pixels;
mod product;
mod rearrange;
mod relu;
mod scratch;
mod sgd;
mod simd;
mod sliding_window;
mod softmax;
mod sums;
mod update;

pub use adamw::{AdamWStep, adamw_step};
pub use add_bias::add_bias;
pub use allocator::Allocator;
pub use attention::{Heads, RelativePositions, attention, attention_on_map};
pub use avg_pool::avg_pool2d;
pub use backward::backward;
pub use batch_norm::{Moments, affine_with_epilogue, batch_norm_with_epilogue};
pub use conv::{ConvGeometry, conv2d, conv2d_with_epilogue, grouped_fc, grouped_fc_with_epilogue};
pub use conv_to_fc::conv_to_fc;
pub use cross_entropy::cross_entropy;
pub use epilogue::{Epilogue, sum_with_epilogue};
pub use max_pool::{PoolGeometry, max_pool2d};
pub use multiply_adds::multiply_adds;
pub use normed_sum::{LinearMap, NormedBranch, normed_sum_with_epilogue};
pub use pixels::{add_to_pixels, mean_pixel};
pub use rearrange::{rearrange, rearrange_plus};
pub use relu::relu;
pub use sgd::{SgdStep, sgd_step};
pub use simd::{
    UnknownInstructionSet, VERSION, check_environment, choose_instruction_set, instruction_set, instruction_sets,
};
pub use softmax::softmax;

#[cfg(test)]
mod oracle_tests;
