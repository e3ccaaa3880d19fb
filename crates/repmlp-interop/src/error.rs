//! Why an exchange can fail: each says the file, and in it the case and the key, or the tensor.

use std::path::PathBuf;

/// An exchange that cannot take place.
#[derive(Debug, thiserror::Error)]
pub enum InteropError {
    /// A file or folder cannot be read or written.
    #[error("{} cannot be {doing}", .path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// `read` or `written`.
        doing: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A folder of reference values without a case in it.
    #[error("{} holds no cases: a `*.json` file with a list of objects that have an `id` and a `kind`", .path.display())]
    NoCases {
        /// The folder.
        path: PathBuf,
    },
    /// A folder of reference values without the case that was asked for.
    #[error("{} has no case `{id}`; it has {known}", .path.display())]
    UnknownCase {
        /// The folder.
        path: PathBuf,
        /// The case.
        id: String,
        /// The cases that are there.
        known: String,
    },
    /// A file of cases or names that is no JSON.
    #[error("{} is no JSON of the expected form", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it stops being so.
        source: serde_json::Error,
    },
    /// A case that does not say what it needs to say, or that cannot be built.
    #[error("{}, case `{case}`, key `{key}`: {message}", .file.display())]
    Case {
        /// The file that the case stands in.
        file: PathBuf,
        /// Its id.
        case: String,
        /// Dotted key in the case.
        key: String,
        /// What is wrong there.
        message: String,
    },
    /// Faults of several cases.
    #[error("{}", .0.iter().map(with_source).collect::<Vec<_>>().join("\n"))]
    Several(Vec<InteropError>),
    /// A file of tensors that cannot be understood.
    #[error("{} holds no tensors that can be read: {reason}", .path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// What was met.
        reason: String,
    },
    /// Tensors without a name where they are to go.
    #[error("{naming} has no names for {}", listed(.names))]
    Unnamed {
        /// The naming that was asked for.
        naming: &'static str,
        /// Our names of them.
        names: Vec<String>,
    },
    /// A merged network was asked for as it was before merging.
    #[error("a deployed network cannot be taken apart again: export it in its deployed form")]
    Merged,
    /// A network that cannot be built.
    #[error("configuration: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<repmlp::ConfigFault>),
    /// A computation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// A fault of several, on a line of its own, with its cause: a list has no place for causes.
fn with_source(fault: &InteropError) -> String {
    use std::error::Error;
    fault.source().map_or_else(|| fault.to_string(), |source| format!("{fault}: {source}"))
}

/// The first names of a list, and how many more there are.
pub(crate) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
