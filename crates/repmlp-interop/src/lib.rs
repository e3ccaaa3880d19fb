//! Exchange with PyTorch: tensor names, checkpoints, reference values.
//!
//! [`read_checkpoint`] reads checkpoints of PyTorch and of this project. [`Import`] assigns their tensors to one of our
//! networks; [`export`] is the other direction. A [`ParityCase`] is a computation with its results from PyTorch;
//! [`check`] repeats it with this project's code and compares.
//!
//! This crate knows configurations of networks and names of tensors. It does not know data sets, experiments or
//! trainers.
//!
//! # Example
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use candle_core::{DType, Device, Tensor};
//! use repmlp_interop::{read_checkpoint, write_safetensors};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("weights.safetensors");
//! let weight = Tensor::ones((2, 3), DType::F32, &Device::Cpu)?;
//! write_safetensors(&path, &BTreeMap::from([("linear.weight".to_owned(), weight)]))?;
//! assert_eq!(read_checkpoint(&path)?["linear.weight"].dims(), [2, 3]);
//! # Ok(())
//! # }
//! ```

mod case;
mod check;
mod checkpoint;
mod error;
mod export;
mod fc3_slice;
mod file;
pub mod filling;
mod import;
mod names;
mod pickle;
mod pytorch;
mod shape;
mod state_dict;

pub use case::{ParityCase, read_cases, read_whole_cases};
pub use check::{Check, Precision, What, check};
pub use checkpoint::read_checkpoint;
pub use error::{InteropError, listed};
pub use export::{export, write_safetensors};
pub use fc3_slice::{Fc3Point, Fc3Slice, log_ratios};
pub use file::{open_file, read_file, read_whole};
pub use import::{Import, Misshapen, StoredForm};
pub use names::{Naming, UnknownNaming};
pub use pytorch::{PythonNotes, is_python_file, python_file, without_auxiliary, write_images};
