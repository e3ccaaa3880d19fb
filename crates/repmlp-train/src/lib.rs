//! One run, from its configuration to its final metrics: data, augmentation, optimiser, checkpoints, comparison of both
//! forms, throughput.
//!
//! It reports only to a [`sweep_protocol::Sink`]. It does not know its run id, a database, a terminal or other runs.
//!
//! # Example
//!
//! ```
//! use repmlp_train::config::RunConfig;
//! use repmlp_train::{DeviceChoice, Resources, StopFlag, train};
//! use sweep_protocol::{MemorySink, Outcome};
//! use sweep_trainer::Origin;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config: RunConfig = toml::from_str(
//!     r#"
//!     data     = { source = { kind = "fashion-mnist-5k" }, image_size = 32, train_limit = 8, test_limit = 4 }
//!     measure  = { batch = 4, warmup = 0, repeats = 1 }
//!
//!     [model]
//!     kind   = "cifar-net"
//!     widths = [2, 2, 2]
//!     hidden = 8
//!     block  = { kind = "rep-mlp", partition = [8, 8], groups = 1, local_kernels = [1, 3] }
//!
//!     [training]
//!     epochs    = 1
//!     batch     = 8
//!     optimizer = { kind = "sgd", learning_rate = 0.1, momentum = 0.9, nesterov = false, weight_decay = 1e-4 }
//!     schedule  = { kind = "cosine", warmup_epochs = 0.0 }
//!     "#,
//! )?;
//! let folder = tempfile::tempdir()?;
//! let resources = Resources {
//!     device: DeviceChoice::Cpu,
//!     threads: 1,
//!     data: None,
//!     digests: None,
//!     folder: folder.path().to_owned(),
//!     resume_from: Vec::new(),
//!     origin: Origin::default(),
//! };
//! let mut events = MemorySink::default();
//! let outcome = train(&config, 0, &resources, &StopFlag::new(false), &mut events)?;
//! assert!(matches!(outcome, Outcome::Succeeded { .. }));
//! # Ok(())
//! # }
//! ```

pub mod bench;
pub mod config;
pub mod data;

mod batch;
mod checkpoint;
mod completion;
mod data_reader;
mod decay;
mod device;
mod equivalence;
mod error;
mod evaluate;
mod gpus;
mod kept;
mod learner;
mod ledger;
mod loader;
mod loss;
mod mixup;
mod objective;
mod optimizer;
mod predict;
mod prepare;
mod resolve;
mod speed;
mod start;
mod stopwatch;
mod throughput;
mod train;
mod trainer;
mod transform;
mod watched;

pub use candle_core::Device;
pub use checkpoint::CheckpointError;
pub use decay::PartDecayConfig;
pub use device::{DeviceChoice, DeviceError};
pub use error::TrainError;
pub use gpus::{Gpu, NoGpu, gpus};
pub use start::{StartConfig, StartError};
pub use train::{Resources, StopFlag, TRAINER_VERSION, train};
pub use trainer::CandleTrainer;
