//! CPU kernels as candle custom operations, each with a forward and a backward pass. They serve the places where
//! candle's own operations would need many passes over memory.
//!
//! Every kernel has a composite: the same computation from candle's own operations. The composite runs on other
//! devices, and the tests compare the kernel with it. One thread computes each element of a result, in a fixed order,
//! so results do not depend on the number of threads. This crate knows nothing about models.
//!
//! Heavy loops use AVX-512, or AVX2 and FMA, where the processor has them (`simd`). The environment variable
//! `REPMLP_KERNELS=avx2` or `plain` selects a smaller instruction set; sums are then rounded differently. In this
//! workspace, only this crate uses `unsafe`: for vector instructions, for outputs that several tasks write or that are
//! not cleared first, for the program's allocator, and for memory of GPUs. Each use says why it is sound.
//!
//! Layouts: `chwn` is channels, height, width, images, with images as the fastest dimension. `rm` is rows × columns.
//!
//! # Example
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use repmlp_kernels::{ConvGeometry, conv2d};
//!
//! # fn main() -> candle_core::Result<()> {
//! let x_chwn = Tensor::ones((4, 8, 8, 16), DType::F32, &Device::Cpu)?;
//! let weight = Tensor::ones((6, 2, 3, 3), DType::F32, &Device::Cpu)?;
//! let geometry = ConvGeometry { stride: (1, 1), padding: (1, 1), dilation: (1, 1), groups: 2 };
//! let y_chwn = conv2d(&x_chwn, &weight, geometry)?;
//! assert_eq!(y_chwn.dims(), [6, 8, 8, 16]);
//! // Inside the map, each output is a sum of 2 channels times 9 taps.
//! assert_eq!(y_chwn.get(0)?.get(4)?.get(4)?.get(0)?.to_scalar::<f32>()?, 18.0);
//! # Ok(())
//! # }
//! ```

mod adamw;
mod add_bias;
mod allocator;
mod attention;
mod avg_pool;
mod backward;
mod batch_norm;
mod blend;
mod composed;
mod conv;
mod conv_to_fc;
mod cross_entropy;
pub mod device_memory;
mod element;
mod epilogue;
mod factors;
mod fresh;
mod kernel_places;
mod max_pool;
mod multiply_adds;
mod normed_sum;
mod packing;
mod parts;
mod pixels;
mod places;
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
mod uploads;
mod window_places;

pub use adamw::{AdamWStep, adamw_step};
pub use add_bias::add_bias;
pub use allocator::Allocator;
pub use attention::{Heads, RelativePositions, attention, attention_on_map};
pub use avg_pool::avg_pool2d;
pub use backward::backward;
pub use batch_norm::{Moments, affine_with_epilogue, batch_norm_with_epilogue};
pub use blend::blend;
pub use conv::{ConvGeometry, conv2d, conv2d_with_epilogue, grouped_fc, grouped_fc_with_epilogue};
pub use conv_to_fc::conv_to_fc;
pub use cross_entropy::cross_entropy;
pub use epilogue::{Epilogue, sum_with_epilogue};
pub use factors::{Factors, with_factors};
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
pub use uploads::Uploads;

#[cfg(test)]
mod oracle_tests;
