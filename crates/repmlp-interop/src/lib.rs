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
mod file;
pub mod filling;
mod import;
mod names;
mod pickle;
mod shape;
mod state_dict;

pub use case::{ParityCase, read_cases, read_whole_cases};
pub use check::{Check, Precision, What, check};
pub use checkpoint::read_checkpoint;
pub use error::{InteropError, listed};
pub use export::{export, write_safetensors};
pub use file::{open_file, read_file, read_whole};
pub use import::{Import, Misshapen, StoredForm};
pub use names::{Naming, UnknownNaming};
