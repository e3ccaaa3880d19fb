//! Status of a run, and the kinds of failure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Kind of an attempt's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The configuration cannot be trained.
    Config,
    /// Data is missing, damaged or does not match its fingerprint.
    Data,
    /// The loss became NaN or infinite.
    Diverged,
    /// Memory ran out.
    Oom,
    /// The process died without reporting a reason.
    Crash,
    /// A file could not be read or written.
    Io,
    /// The two forms of the trained model disagree.
    Equivalence,
}

impl FailureKind {
    const ALL: [Self; 7] =
        [Self::Config, Self::Data, Self::Diverged, Self::Oom, Self::Crash, Self::Io, Self::Equivalence];

    /// Whether the cause lies in the machine. Such a run may succeed at once, so the same call tries it again.
    pub fn is_of_the_machine(self) -> bool {
        matches!(self, Self::Oom | Self::Crash | Self::Io)
    }

    /// Whether the cause lies in the machine or the data, and not in the run itself. Such a run may succeed another
    /// time, so the next call tries it again. Other failures would happen again.
    pub fn is_transient(self) -> bool {
        self.is_of_the_machine() || self == Self::Data
    }

    /// Returns its name in files and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Data => "data",
            Self::Diverged => "diverged",
            Self::Oom => "oom",
            Self::Crash => "crash",
            Self::Io => "io",
            Self::Equivalence => "equivalence",
        }
    }
}

/// Status of a run: `failed: diverged` in texts for users, `failed:diverged` in files and SQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Status {
    /// Planned and not started, or waiting to be continued.
    #[default]
    Queued,
    /// An attempt is running.
    Running,
    /// All requested values are measured.
    Succeeded,
    /// The last attempt succeeded, but some of its measurements are lost. The run will be measured again.
    Incomplete,
    /// The last attempt failed.
    Failed(FailureKind),
    /// The last attempt exceeded its time limit.
    TimedOut,
    /// The last attempt was stopped on request, or its scheduler died. The run will be continued.
    Cancelled,
    /// The last attempt was stopped because the run was poor beside others. A call without pruning continues it.
    Pruned,
}

impl Status {
    /// Whether the run ended by itself, successfully or not.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed(_) | Self::TimedOut)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queued => f.write_str("queued"),
            Self::Running => f.write_str("running"),
            Self::Succeeded => f.write_str("succeeded"),
            Self::Incomplete => f.write_str("incomplete"),
            Self::Failed(kind) => write!(f, "failed:{}", kind.name()),
            Self::TimedOut => f.write_str("timed_out"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Pruned => f.write_str("pruned"),
        }
    }
}

/// Error for a text that is not a status.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a status")]
pub struct StatusError(String);

impl FromStr for Status {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let failed = FailureKind::ALL.into_iter().map(Self::Failed);
        let others = [
            Self::Queued,
            Self::Running,
            Self::Succeeded,
            Self::Incomplete,
            Self::TimedOut,
            Self::Cancelled,
            Self::Pruned,
        ];
        let found = others.into_iter().chain(failed).find(|status| status.to_string() == text);
        found.ok_or_else(|| StatusError(text.to_owned()))
    }
}

impl TryFrom<String> for Status {
    type Error = StatusError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Status> for String {
    fn from(status: Status) -> Self {
        status.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for kind in FailureKind::ALL {
            let status = Status::Failed(kind);
            assert_eq!(status.to_string().parse::<Status>().unwrap(), status);
        }
        for text in ["queued", "running", "succeeded", "incomplete", "timed_out", "cancelled", "pruned"] {
            assert_eq!(text.parse::<Status>().unwrap().to_string(), text);
        }
        assert!("done".parse::<Status>().is_err());
    }
}
