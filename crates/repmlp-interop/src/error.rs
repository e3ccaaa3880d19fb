//! Errors of an exchange. An error about a file names the file, and the case and key or the tensor in it.

use std::path::PathBuf;

use crate::fc3_slice::Fc3Point;

/// Error of an import, an export or a comparison.
#[derive(Debug, thiserror::Error)]
pub enum InteropError {
    /// A file or folder cannot be read or written.
    #[error("{} cannot be {doing}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// `read` or `written`.
        doing: &'static str,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A folder of reference values contains no case.
    #[error(
        "{} holds no cases; expected a `*.json` file with a list of objects that have an `id` and a `kind`",
        .path.display()
    )]
    NoCases {
        /// The folder.
        path: PathBuf,
    },
    /// A folder of reference values does not contain the requested case.
    #[error("{} has no case `{id}`; it has {known}", .path.display())]
    UnknownCase {
        /// The folder.
        path: PathBuf,
        /// Id of the requested case.
        id: String,
        /// Ids of the cases in the folder.
        known: String,
    },
    /// A file of cases or names is not JSON of the expected form.
    #[error("{} is not JSON of the expected form", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The error of the JSON parser.
        source: serde_json::Error,
    },
    /// A key of a case is missing or wrong, or the case cannot be built.
    #[error("{}, case `{case}`, key `{key}`: {message}", .file.display())]
    Case {
        /// The file that contains the case.
        file: PathBuf,
        /// Id of the case.
        case: String,
        /// Dotted key in the case.
        key: String,
        /// Description of the problem.
        message: String,
    },
    /// Errors of several cases.
    #[error("{}", .0.iter().map(with_source).collect::<Vec<_>>().join("\n"))]
    Several(Vec<InteropError>),
    /// A file of tensors cannot be read.
    #[error("{} holds no tensors that can be read: {reason}", .path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// Reason why the file cannot be read.
        reason: String,
    },
    /// The target naming has no names for some tensors.
    #[error("{naming} has no names for {}", listed(.names))]
    Unnamed {
        /// The requested naming.
        naming: &'static str,
        /// Our names of these tensors.
        names: Vec<String>,
    },
    /// The training form of a deployed network was requested.
    #[error("a deployed network cannot be converted back to its training form; export it in its deployed form")]
    Merged,
    /// FC3 before merging was requested of a deployed network.
    #[error(
        "these weights are merged, so FC3 before merging is not in them; name a run, or a file of the training form"
    )]
    MergedFc3,
    /// The network has no RepMLP block with an FC3.
    #[error("this network has no RepMLP block with an FC3, so there is nothing to show; name a run with such a block")]
    NoFc3,
    /// The network has no RepMLP block with this name.
    #[error("there is no RepMLP block with an FC3 named `{layer}`; the network has {}", .known.join(", "))]
    UnknownFc3 {
        /// The requested name.
        layer: String,
        /// Names of the blocks that the network has.
        known: Vec<String>,
    },
    /// FC3 has no output at this point.
    #[error(
        "FC3 of `{layer}` has no output {},{},{}: choose a channel from 0 to {}, a row from 0 to {} and a column from \
         0 to {}",
        .point.channel, .point.y, .point.x, .sizes[0] - 1, .sizes[1] - 1, .sizes[2] - 1
    )]
    OutsideFc3 {
        /// Name of the block.
        layer: String,
        /// The requested point.
        point: Fc3Point,
        /// Output channels, height and width: (O, h, w).
        sizes: [usize; 3],
    },
    /// The configured network cannot be built.
    #[error("configuration: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<repmlp::ConfigFault>),
    /// The network has a block that code outside this project cannot build.
    #[error(transparent)]
    Undescribed(#[from] repmlp::network::Undescribed),
    /// The description of the network cannot be written as JSON.
    #[error("the description of the network cannot be written as JSON")]
    Description(#[source] serde_json::Error),
    /// A computation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Formats one of several errors with its cause. The variant [`InteropError::Several`] cannot return several causes as
/// its source.
fn with_source(fault: &InteropError) -> String {
    use std::error::Error;
    fault.source().map_or_else(|| fault.to_string(), |source| format!("{fault}: {source}"))
}

/// Formats the first names of a list, and the number of remaining names.
pub fn listed(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
