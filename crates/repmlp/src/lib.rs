//! RepMLP (arXiv 2105.01883) as a library: the block in its training and deployed forms, the conversion between them,
//! the networks of the paper, and their costs.
//!
//! Symbols follow section 3.1 of the paper: N images, C input channels, O output channels, a map of H×W, partitions of
//! h×w, g groups, kernels of K×K, reductions r and ρ. Inside the library, tensors have the images last: `(C, H, W, N)`,
//! short `chwn`. In this layout a 1×1 convolution is one matrix product, partitioning is one copy, and batch norm runs
//! along contiguous rows. Whole networks take images `(N, C, H, W)` and return, for example, logits `(N, classes)`.
//!
//! Each form has its own types. A [`blocks::RepMlpBlock`] is trained; its method `reparameterize` returns a
//! [`blocks::DeployedRepMlpBlock`]. The same holds for whole networks, which are described as data (see [`network`]).
//! This crate does not know data sets, optimisers or experiments.
//!
//! # Example
//!
//! A network in both forms:
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use repmlp::Mode;
//! use repmlp::catalogue::NamedModel;
//! use repmlp::models::Model;
//! use repmlp::vars::Vars;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let network = NamedModel::parse(
//!     "small",
//!     r#"
//!     task  = { channels = 3, image = [32, 32], classes = 10 }
//!     [model]
//!     kind   = "cifar-net"
//!     widths = [2, 4, 4]
//!     hidden = 8
//!     block  = { kind = "rep-mlp", partition = [8, 8], groups = 2, local_kernels = [1, 3] }
//!     "#,
//! )?;
//! let vars = Vars::new(0, DType::F32, &Device::Cpu);
//! let model = Model::new(&network.model, network.task, &vars.root())?;
//! let deployed = model.reparameterize()?;
//!
//! let images = Tensor::ones((2, 3, 32, 32), DType::F32, &Device::Cpu)?;
//! let logits = model.forward(&images, Mode::Evaluate)?;
//! let difference = (logits - deployed.forward(&images)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
//! assert!(difference < 1e-4);
//! # Ok(())
//! # }
//! ```

pub mod blocks;
pub mod catalogue;
pub mod cost;
pub mod layers;
pub mod models;
pub mod network;
pub mod reparam;
pub mod stream;
pub mod vars;

mod fault;
mod mode;
mod own_kinds;

pub use fault::ConfigFault;
pub use mode::{Draws, Mode};
pub use own_kinds::{Own, OwnKinds, Role};
pub use repmlp_kernels as kernels;
pub use repmlp_kernels::Epilogue;
