//! Throughput: images per second of networks on a machine.
//!
//! Throughput is a property of a network on a machine, not of a run. So one measurement times all networks of an
//! experiment, each once per round, in one process with nothing beside it. Runs with the same network share its times.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Arithmetic, Form, Measurement, Metric};

/// Id of a network that is timed: hexadecimal digits. Networks of the same layers, shapes and batch have the same id.
pub type NetworkId = String;

/// A measurement of throughput.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThroughputRecord {
    /// Time at which it ended: milliseconds since 1970, UTC.
    pub measured_at_ms: u64,
    /// Version and commit of the program.
    pub code: String,
    /// The machine.
    pub machine: Machine,
    /// Number of rounds before the timed ones.
    pub warmup_rounds: usize,
    /// Clock of the processor in each timed round: the mean over its cores, in MHz. Empty if it cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clock_mhz: Vec<u32>,
    /// The networks. In each round, each network is timed once.
    pub networks: BTreeMap<NetworkId, NetworkTimes>,
}

/// A machine, and how it was used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Name of the host.
    pub host: String,
    /// Model of the processor, if known.
    pub processor: Option<String>,
    /// `cpu`, `cuda:0`, …
    pub device: String,
    /// How the numbers were computed.
    pub arithmetic: Arithmetic,
    /// Number of threads.
    pub threads: usize,
}

/// Times of one network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkTimes {
    /// Images in a batch.
    pub batch: usize,
    /// Seconds for a batch, one per round. Empty if there are no images to time the network with.
    pub seconds: Vec<f64>,
}

/// What a measurement must do: the file that its process reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimingOrders {
    /// `cpu`, `cuda:0`, …
    pub device: String,
    /// Number of threads for tensor operations.
    pub threads: usize,
    /// See [`crate::SharedOrders::data`].
    pub data: Option<PathBuf>,
    /// See [`crate::SharedOrders::kernels`].
    pub kernels: Option<String>,
    /// See [`crate::SharedOrders::digests`].
    pub digests: Option<PathBuf>,
    /// The networks.
    pub networks: Vec<TimedNetwork>,
    /// Folder that the [`ThroughputRecord`] is written into.
    pub records: PathBuf,
}

/// A network to be timed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedNetwork {
    /// Id of the network.
    pub id: NetworkId,
    /// The form that is timed.
    pub form: Form,
    /// Canonical configuration of a run with this network.
    pub config: String,
}

impl Machine {
    /// Returns the name of the file with the record of this machine. A new measurement on the same machine replaces it.
    pub fn file_name(&self) -> String {
        let Self { host, processor, device, arithmetic, threads } = self;
        let text = format!("{host}|{processor:?}|{device}|{arithmetic}|{threads}");
        format!("{}.json", &blake3::hash(text.as_bytes()).to_hex()[..16])
    }
}

impl NetworkTimes {
    /// Returns images per second in each round.
    pub fn rates(&self) -> Vec<f64> {
        self.seconds.iter().map(|seconds| self.batch as f64 / seconds).collect()
    }

    /// Returns the median of the rates, and their median absolute deviation. `None` without rounds.
    pub fn throughput(&self) -> Option<(f64, f64)> {
        let rates = self.rates();
        let centre = median(rates.clone())?;
        Some((centre, median(rates.iter().map(|rate| (rate - centre).abs()).collect())?))
    }

    /// Returns the throughput of a form of a network as measurements.
    pub fn measurements(&self, form: Form) -> Vec<Measurement> {
        let values = self.throughput().map(|(centre, spread)| {
            [(Metric::Throughput, centre), (Metric::ThroughputSpread, spread)].map(|(metric, value)| Measurement {
                metric,
                split: None,
                form: Some(form),
                epoch: None,
                value,
            })
        });
        values.into_iter().flatten().collect()
    }
}

impl ThroughputRecord {
    /// Whether every network of the list was measured.
    pub fn covers<'a>(&self, mut networks: impl Iterator<Item = &'a NetworkId>) -> bool {
        networks.all(|network| self.networks.contains_key(network))
    }
}

/// Returns the middle value, or the mean of the two middle values; `None` without values.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(values[middle - 1], upper) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_is_the_median_over_the_rounds() {
        let times = NetworkTimes { batch: 10, seconds: vec![1.0, 2.0, 5.0] };
        let (centre, spread) = times.throughput().unwrap();
        assert!((centre - 5.0).abs() < 1e-12 && (spread - 3.0).abs() < 1e-12, "{centre} {spread}");
        assert_eq!(NetworkTimes::default().throughput(), None);
        assert_eq!(NetworkTimes::default().measurements(Form::Deployed), []);
    }

    #[test]
    fn the_median_of_an_even_count_is_the_mean_of_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]).unwrap() - 2.0).abs() < 1e-12);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]).unwrap() - 2.5).abs() < 1e-12);
        assert_eq!(median(Vec::new()), None);
    }
}
