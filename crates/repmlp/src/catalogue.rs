//! Networks by name: those that the paper counts (`catalogue.toml`), and the same format for a user's own.

use serde::Deserialize;

use crate::ConfigFault;
use crate::models::{ModelConfig, Task};

const CATALOGUE: &str = include_str!("catalogue.toml");

/// A network and what it looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedModel {
    /// Name in the catalogue, or what a user's own is called.
    pub name: String,
    /// What the network looks at.
    pub task: Task,
    /// The network.
    pub model: ModelConfig,
}

/// Why there is no such network.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// Neither a name of the catalogue nor a description.
    #[error("no network is called `{name}`; the catalogue has: {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// All names.
        known: Vec<String>,
    },
    /// A description that is none.
    #[error("{name} must hold the tables `task` and `model` of a network")]
    Unreadable {
        /// What was read.
        name: String,
        /// What TOML says.
        source: toml::de::Error,
    },
    /// A network that cannot be built.
    #[error("{name}: {fault}")]
    Unbuildable {
        /// What was read.
        name: String,
        /// The first fault.
        fault: ConfigFault,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    task: TaskTable,
    model: ModelConfig,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskTable {
    channels: usize,
    image: [usize; 2],
    classes: usize,
}

impl NamedModel {
    /// The network that a text with the tables `task` and `model` describes.
    ///
    /// # Errors
    /// When the text does not, or the network cannot be built.
    pub fn parse(name: &str, text: &str) -> Result<Self, CatalogueError> {
        let unreadable = |source| CatalogueError::Unreadable { name: name.to_owned(), source };
        Self::checked(name, toml::from_str(text).map_err(unreadable)?)
    }

    fn checked(
        name: &str,
        Entry { task: TaskTable { channels, image: [h, w], classes }, model }: Entry,
    ) -> Result<Self, CatalogueError> {
        let task = Task { channels, image: (h, w), classes };
        match model.faults(task).into_iter().next() {
            None => Ok(Self { name: name.to_owned(), task, model }),
            Some(fault) => Err(CatalogueError::Unbuildable { name: name.to_owned(), fault }),
        }
    }
}

/// All networks of the catalogue, in its order.
///
/// # Errors
/// None that a test of the catalogue does not see.
pub fn all() -> Result<Vec<NamedModel>, CatalogueError> {
    let unreadable = |source| CatalogueError::Unreadable { name: "the catalogue".to_owned(), source };
    let table: toml::Table = CATALOGUE.parse().map_err(unreadable)?;
    let entry = |(name, value): (String, toml::Value)| {
        NamedModel::checked(&name, Entry::deserialize(value).map_err(unreadable)?)
    };
    table.into_iter().map(entry).collect()
}

/// The network of that name.
///
/// # Errors
/// When the catalogue has none.
pub fn find(name: &str) -> Result<NamedModel, CatalogueError> {
    let all = all()?;
    let known = all.iter().map(|model| model.name.clone()).collect();
    let found = all.into_iter().find(|model| model.name == name);
    found.ok_or_else(|| CatalogueError::Unknown { name: name.to_owned(), known })
}
