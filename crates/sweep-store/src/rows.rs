//! Rows of the index in the words of the program.
//!
//! Defines those that only people ask for; what reports are made from is defined with the protocol.

use std::collections::BTreeMap;

use sweep_protocol::{Arithmetic, Status};

/// One execution of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptRow {
    /// Counted from 1.
    pub attempt: u32,
    /// How it stands; running until its supervisor closed it.
    pub status: Status,
    /// Why, when it did not succeed.
    pub message: Option<String>,
    /// Process id as the supervisor saw it.
    pub pid: Option<u32>,
    /// Slot it was given, counted from 0.
    pub slot: Option<u32>,
    /// Name of the machine; this and the next seven are absent until the attempt began.
    pub host: Option<String>,
    /// `cpu`, `cuda:0`, …
    pub device: Option<String>,
    /// Threads that tensor operations could use.
    pub threads: Option<u32>,
    /// Version and commit of the program.
    pub code: Option<String>,
    /// Trainer version of the program.
    pub trainer_version: Option<u32>,
    /// How it computes.
    pub arithmetic: Option<Arithmetic>,
    /// Model of its processor.
    pub processor: Option<String>,
    /// Digest of the data that it saw.
    pub data_fingerprint: Option<String>,
    /// When its process was started, in milliseconds since 1970, UTC.
    pub started_at_ms: Option<u64>,
    /// When it was closed, in milliseconds since 1970, UTC.
    pub ended_at_ms: Option<u64>,
    /// Steps that it took over from an earlier attempt's checkpoint.
    pub resumed_at_step: Option<u64>,
    /// Steps in its newest checkpoint.
    pub checkpoint_step: Option<u64>,
    /// Lines of its journal that carry no checksum: those of the first format.
    pub unchecked_lines: u64,
}

/// An experiment and profile, and where its runs stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExperimentCounts {
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the profile.
    pub profile: String,
    /// Runs in each status that occurs.
    pub counts: BTreeMap<Status, u32>,
}
