//! What a sweep needs of a trainer.
//!
//! A program that runs sweeps knows trainers only by the trait [`Trainer`]. [`CommandTrainer`] is a trainer that starts
//! a command of the user's. [`misfit`] checks untyped tables for trainers that have a JSON Schema.
//!
//! # Example
//!
//! ```
//! use serde_json::json;
//!
//! let schema = json!({
//!     "type": "object",
//!     "properties": { "width": { "type": "integer" } },
//!     "additionalProperties": false,
//! });
//! let fault = sweep_trainer::misfit(&schema, &json!({ "widht": 16 })).unwrap();
//! assert_eq!((fault.path.as_str(), fault.help.as_deref()), ("widht", Some("did you mean `width`?")));
//! assert!(sweep_trainer::misfit(&schema, &json!({ "width": 16 })).is_none());
//! ```

mod command;
mod misfit;
mod port;

pub use command::{CONFIG_FILE, CommandConfig, CommandTrainer, REPORT_WORDS};
pub use misfit::first as misfit;
pub use port::{Attempt, Cost, DataReader, Origin, Trainer, TrainerError};
