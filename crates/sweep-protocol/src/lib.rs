//! The shared vocabulary of trainer, runner, store and report: the identity of a run, its events and its measurements.
//!
//! This crate holds data only. It does not train, schedule, store or draw. It does not know models, axes or SQL.
//!
//! ```text
//! experiment file -> PlanRecord -> attempt folders (ResultsLayout) -> Event lines (journal) -> ExperimentRows
//! ```
//!
//! # Example
//!
//! ```
//! use sweep_protocol::RunId;
//!
//! // The identity of a run is a digest of its configuration and its seed.
//! let id = RunId::of(r#"{"groups":2}"#, 0);
//! assert_ne!(id, RunId::of(r#"{"groups":2}"#, 1));
//! assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
//! assert_eq!(id.short().len(), 10);
//! ```

mod arithmetic;
mod attempts;
mod checkpoint_name;
mod columns;
mod config_fault;
mod declared_metric;
mod durable;
mod duration_text;
mod error_chain;
mod event;
mod file_stamp;
mod host;
mod journal;
mod layout;
mod lease;
mod log_tail;
mod metric;
mod name;
mod nearest;
mod orders;
mod plan_record;
mod predictions;
mod rows;
mod run_file;
mod run_id;
mod run_tags;
mod short_text;
mod sink;
mod status;
mod tally;
mod text;
mod text_file;
mod throughput;

pub use arithmetic::{Arithmetic, ArithmeticError};
pub use attempts::{attempt_number, attempt_numbers, next_attempt_number};
pub use checkpoint_name::{CheckpointName, EpochWeightsName};
pub use columns::{FRAME_COLUMNS, FRONT_COLUMNS, IMAGE_COLUMNS, TABLE_COLUMNS, axis_column, is_reserved_column};
pub use config_fault::ConfigFault;
pub use declared_metric::{DeclaredMetric, METRIC_RULE, MetricRecord};
pub use durable::{
    create_atomically, create_folders, create_new_folder, refuse_link, remove_temporaries, sync_folder,
    write_atomically,
};
pub use duration_text::duration;
pub use error_chain::{error_chain, error_texts};
pub use event::{AttemptName, Environment, Event, Outcome, ProcessStamp, SupervisorEvent};
pub use file_stamp::file_stamp;
pub use host::host_name;
pub use journal::{JournalError, JournalLine, JournalPart, JournalReader, JournalWriter, LineDamage, now_ms};
pub use layout::{AttemptLayout, ResultsLayout, RunLayout, ThroughputLayout};
pub use lease::Lease;
pub use log_tail::log_tail;
pub use metric::{Better, Form, Measurement, Metric, Split};
pub use name::{MOST_NAME_BYTES, NAME_RULE, NameError, check_name};
pub use nearest::nearest;
pub use orders::{ATTEMPT_DIR_VARIABLE, EXIT_UNWRITABLE_JOURNAL, Orders, STOP_LINE, SharedOrders, WEIGHTS_FILE};
pub use plan_record::{AxisRecord, Coordinates, ExclusionRecord, PlanRecord, PlanSource, PlannedRunRecord};
pub use predictions::{Predictions, PredictionsError};
pub use rows::{
    Epochs, ExperimentRows, MeasurementRow, PartOfValues, PredictionsRow, RunRow, SeriesKey, SharedThroughput,
};
pub use run_file::RunFile;
pub use run_id::{RunId, RunIdError};
pub use run_tags::RunTags;
pub use short_text::ShortText;
pub use sink::{LeasedJournal, MemorySink, Sink, SinkError};
pub use status::{FailureKind, Status};
pub use sweep_statistics::median;
pub use tally::Tally;
pub use text::{TextError, check_line, check_prose, printable, printable_line};
pub use text_file::{read_regular_file, read_text_file};
pub use throughput::{Machine, NetworkId, NetworkTimes, ThroughputRecord, TimedNetwork, TimingOrders};
