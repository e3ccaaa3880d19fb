//! The table `log` of an experiment file: where measurements go besides the results folder. It changes no result.

use crate::document::Node;

/// Where measurements go while runs train: the table `log` of an experiment file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Whether event files of TensorBoard are written.
    pub tensorboard: bool,
}

impl Log {
    /// Reads the table, whose form was checked.
    pub(crate) fn of(table: &Node) -> Self {
        let is_set = |key: &str| table.get(key).and_then(|entry| entry.node.value().as_bool()) == Some(true);
        Self { tensorboard: is_set("tensorboard") }
    }
}
