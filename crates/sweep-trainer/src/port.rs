//! What a program that runs sweeps needs of a trainer: it resolves configurations, predicts their costs, reads their
//! data, and carries out attempts.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde_json::Value;
use sweep_protocol::{
    ConfigFault, Environment, FailureKind, Form, NetworkId, Orders, RunFile, Sink, ThroughputRecord, TimingOrders,
};

/// A trainer. Configurations are passed in their canonical form, which [`Trainer::resolve`] returns: JSON with sorted
/// keys.
pub trait Trainer: Send + Sync {
    /// Returns the version. It is raised by hand when a change of the trainer changes measurements. Runs that another
    /// version measured are measured again.
    fn version(&self) -> u32;

    /// Checks everything about a table that can be checked without data. Returns the canonical configuration, which
    /// holds every default. A run's identity is computed from it.
    ///
    /// # Errors
    /// When the table is invalid. The error is the first fault, with its place.
    fn resolve(&self, table: &Value) -> Result<String, ConfigFault>;

    /// Predicts the cost of each configuration.
    ///
    /// # Errors
    /// When a configuration is not canonical.
    fn costs(&self, configs: &[String]) -> Result<Vec<Cost>, TrainerError>;

    /// Times one training step of a configuration on this machine's CPU. Returns multiply-adds per second; `None` if
    /// the trainer cannot tell.
    ///
    /// # Errors
    /// When the configuration is not canonical, or the step fails.
    fn flops_per_s(&self, config: &str) -> Result<Option<f64>, TrainerError>;

    /// Returns the device that a name of the command line stands for. It is opened once, so that an unavailable device
    /// is refused before anything starts.
    ///
    /// # Errors
    /// When the name is unknown, or the device is not available.
    fn device(&self, name: &str) -> Result<String, TrainerError>;

    /// Returns a reader of the data below `folder`. It may keep digests of the files in the folder `digests`, so that
    /// attempts need not hash them again.
    fn data<'a>(&'a self, folder: Option<&'a Path>, digests: &Path) -> Box<dyn DataReader + 'a>;

    /// Carries out an attempt, until it ends or `attempt.stop` is set. All events go to `sink`; the last one is the
    /// outcome.
    ///
    /// # Errors
    /// When the attempt fails. The outcome is reported to the sink too, unless the sink itself fails.
    fn train(&self, attempt: &Attempt<'_>, sink: &mut dyn Sink) -> Result<(), TrainerError>;

    /// Times networks in turns, with nothing beside them. Returns `None` if `stop` was set.
    ///
    /// # Errors
    /// When a network cannot be timed. A trainer whose costs name no networks is never asked.
    fn time(
        &self,
        orders: &TimingOrders,
        origin: &Origin,
        stop: &AtomicBool,
    ) -> Result<Option<ThroughputRecord>, TrainerError>;
}

/// Reads the data of configurations completely, each set once.
pub trait DataReader {
    /// Whether the data of a configuration is always available, without a data folder.
    ///
    /// # Errors
    /// When the configuration is not canonical.
    fn is_carried(&self, config: &str) -> Result<bool, TrainerError>;

    /// Reads the data of a configuration. Returns names and digests of everything that a run depends on besides its
    /// configuration.
    ///
    /// # Errors
    /// When the data is missing, damaged or does not fit the configuration.
    fn fingerprint(&mut self, config: &str) -> Result<String, TrainerError>;

    /// Writes the digests that were computed, for later readers and for attempts. A failure costs only time.
    fn keep_digests(&self) {}
}

/// The predicted cost of a configuration. What is not known is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// Number of parameters of the deployed form.
    pub params: Option<usize>,
    /// Multiply-adds of the deployed form for one image.
    pub flops: Option<usize>,
    /// Multiply-adds of the whole training. A backward pass counts as two forward passes.
    pub training: Option<f64>,
    /// Peak memory of a training step, in bytes.
    pub memory: Option<f64>,
    /// Number of training images.
    pub images: Option<usize>,
    /// The network of each form whose throughput is measured.
    pub networks: BTreeMap<Form, NetworkId>,
}

/// One attempt to bring a run to its end.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// Configuration and seed of the run.
    pub run: &'a RunFile,
    /// Folder of the attempt. It belongs to this attempt alone.
    pub folder: &'a Path,
    /// Device, threads, data folder, and the folders of earlier attempts.
    pub orders: &'a Orders,
    /// The program and the machine, for the record.
    pub origin: &'a Origin,
    /// Set when the attempt must write a checkpoint and end.
    pub stop: &'a AtomicBool,
}

impl Attempt<'_> {
    /// Returns what is recorded about the circumstances of this attempt, for a trainer of this version. A trainer adds
    /// the arithmetic if it knows it.
    pub fn environment(&self, trainer_version: u32, data_fingerprint: &str) -> Environment {
        let Self { orders, origin, .. } = self;
        Environment {
            trainer_version,
            code: origin.code.clone(),
            device: orders.device.clone(),
            arithmetic: None,
            processor: origin.processor.clone(),
            threads: orders.threads,
            host: origin.host.clone(),
            pid: std::process::id(),
            data_fingerprint: data_fingerprint.to_owned(),
        }
    }
}

/// The program and the machine of an attempt. They are recorded and cannot change a result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Version and commit of the program.
    pub code: String,
    /// Name of the machine.
    pub host: String,
    /// Processor model of the machine, if known.
    pub processor: Option<String>,
}

/// A trainer failed. Its text and its causes are those of the failure itself.
#[derive(Debug)]
pub struct TrainerError {
    /// Kind of failure.
    pub kind: FailureKind,
    failure: Box<dyn Error + Send + Sync>,
}

impl TrainerError {
    /// Creates an error of this kind.
    pub fn new(kind: FailureKind, failure: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, failure: failure.into() }
    }
}

impl fmt::Display for TrainerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl Error for TrainerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failure.source()
    }
}
