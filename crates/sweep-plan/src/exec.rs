//! The table `exec` of an experiment file: how runs are executed. It changes no result.

use crate::document::Node;

/// How runs are executed: the table `exec` of an experiment file. The command line counts more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exec {
    /// Instruction set that all runs compute with.
    pub kernels: Option<String>,
    /// Names of devices; empty if the file names none.
    pub devices: Vec<String>,
    /// Number of runs at the same time on each device.
    pub slots: Option<u32>,
    /// Number of threads of each run.
    pub threads: Option<u32>,
    /// Path of the program that trains, relative to the project folder.
    pub program: Option<String>,
}

impl Exec {
    /// Reads the table, whose form was checked.
    pub(crate) fn of(table: &Node) -> Self {
        let number = |key: &str| table.get(key).and_then(|entry| u32::try_from(entry.node.value().as_u64()?).ok());
        let devices = table.get("device").map(|entry| &entry.node);
        let one = devices.and_then(Node::text).map(str::to_owned);
        let several = devices.into_iter().flat_map(Node::items).filter_map(|node| node.text().map(str::to_owned));
        Self {
            kernels: table.text_of("kernels").map(str::to_owned),
            devices: one.into_iter().chain(several).collect(),
            slots: number("slots"),
            threads: number("threads"),
            program: table.text_of("program").map(str::to_owned),
        }
    }
}
