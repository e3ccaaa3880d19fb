//! Faults of a configuration.

/// One fault of a configuration: its key and a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ConfigFault {
    /// Dotted key from the root of the configuration, such as `model.block.groups`.
    pub path: String,
    /// The problem, and the values that are allowed.
    pub message: String,
}

impl ConfigFault {
    /// Creates a fault at the key `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}
