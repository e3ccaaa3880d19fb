//! Exchange with PyTorch: names, checkpoints, reference values.
//!
//! [`read_checkpoint`] takes what PyTorch or we have saved, [`Import`] fits it to a network of ours, [`export`] goes the
//! other way. [`ParityCase`] is a computation with its results as PyTorch had them; [`check`] repeats it here.
//!
//! It knows networks by their configuration and tensors by name; data sets, experiments and trainers it does not know.

mod case;
mod check;
mod checkpoint;
mod error;
mod export;
pub mod filling;
mod import;
mod names;
mod shape;

pub use case::{ParityCase, read_cases, read_whole_cases};
pub use check::{Check, Precision, What, check};
pub use checkpoint::read_checkpoint;
pub use error::InteropError;
pub use export::{export, write_safetensors};
pub use import::{Import, Misshapen, StoredForm};
pub use names::{Naming, UnknownNaming};
