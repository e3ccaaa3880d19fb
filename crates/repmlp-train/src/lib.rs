//! One run, from its configuration to its final metrics: data, augmentation, optimiser, checkpoints, comparison of both
//! forms, throughput.
//!
//! It reports only to a [`sweep_protocol::Sink`]. It does not know its run id, a database, a terminal or other runs.

pub mod bench;
pub mod config;
pub mod data;

mod batch;
mod checkpoint;
mod completion;
mod decay;
mod device;
mod equivalence;
mod error;
mod evaluate;
mod learner;
mod ledger;
mod loader;
mod loss;
mod mixup;
mod objective;
mod optimizer;
mod prepare;
mod start;
mod stopwatch;
mod throughput;
mod train;
mod transform;

pub use checkpoint::CheckpointError;
pub use completion::WEIGHTS;
pub use decay::PartDecayConfig;
pub use device::{DeviceChoice, DeviceError};
pub use error::TrainError;
pub use repmlp_kernels::{
    Allocator, UnknownInstructionSet, check_environment, choose_instruction_set, instruction_set, instruction_sets,
};
pub use start::{StartConfig, StartError};
pub use train::{Orders, StopFlag, TRAINER_VERSION, ThroughputTiming, train};
