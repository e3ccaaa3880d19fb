//! A fault of a configuration, as a trainer finds it and as a plan shows it.

/// A fault that a trainer finds in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// Dotted key of the wrong value, such as `model.widths[0]`. Empty for the configuration as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it, if known.
    pub help: Option<String>,
}
