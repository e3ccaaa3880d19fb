//! A configuration that cannot be built.

/// What is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ConfigFault {
    /// Dotted key from the root of the configuration, such as `model.block.groups`.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl ConfigFault {
    /// A fault at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}
