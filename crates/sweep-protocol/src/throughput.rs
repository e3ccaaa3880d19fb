//! Throughput: images per second of networks on a machine.
//!
//! Throughput is a property of a network on a machine, not of a run. So one measurement times all networks of an
//! experiment, each once per round, in one process with nothing beside it. Runs with the same network share its times.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sweep_statistics::median;

use crate::{Arithmetic, Form, Measurement, Metric};

/// Id of a network that is timed: hexadecimal digits. Networks of the same layers, shapes and batch have the same id.
pub type NetworkId = String;

/// A measurement of throughput.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "Unchecked")]
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

/// The fields of a [`ThroughputRecord`], as a file has them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    measured_at_ms: u64,
    code: String,
    machine: Machine,
    warmup_rounds: usize,
    #[serde(default)]
    clock_mhz: Vec<u32>,
    networks: BTreeMap<NetworkId, NetworkTimes>,
}

/// Times of a batch that a measurement can have: from the resolution of the clock to some eleven days.
const POSSIBLE_SECONDS: RangeInclusive<f64> = 1e-9..=1e6;
/// More images per second than any machine can read.
const MOST_IMAGES_PER_S: f64 = 1e10;

impl TryFrom<Unchecked> for ThroughputRecord {
    type Error = String;

    /// Checks what ratios and rates depend on. A file may be damaged or edited.
    fn try_from(unchecked: Unchecked) -> Result<Self, String> {
        let Unchecked { measured_at_ms, code, machine, warmup_rounds, clock_mhz, networks } = unchecked;
        let timed = || networks.iter().filter(|(_, times)| !times.seconds.is_empty());
        let rounds = timed().next().map_or(0, |(_, times)| times.seconds.len());
        for (id, NetworkTimes { batch, seconds }) in timed() {
            if *batch == 0 {
                return Err(format!("network {id} was timed without images"));
            }
            let is_possible = |time: f64| POSSIBLE_SECONDS.contains(&time) && *batch as f64 / time <= MOST_IMAGES_PER_S;
            if let Some(time) = seconds.iter().find(|time| !is_possible(**time)) {
                return Err(format!("network {id} has a round of {time} seconds for {batch} images"));
            }
            if seconds.len() != rounds {
                return Err(format!("network {id} has {} rounds, and another one has {rounds}", seconds.len()));
            }
        }
        Ok(Self { measured_at_ms, code, machine, warmup_rounds, clock_mhz, networks })
    }
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
    fn records_with_impossible_times_are_refused() {
        let times = |seconds: &[f64]| NetworkTimes { batch: 4, seconds: seconds.to_vec() };
        let record = ThroughputRecord {
            measured_at_ms: 1,
            code: String::new(),
            machine: Machine {
                host: "here".into(),
                processor: None,
                device: "cpu".into(),
                arithmetic: "cpu plain candle-0.11.1+kernels-1".parse().unwrap(),
                threads: 1,
            },
            warmup_rounds: 1,
            clock_mhz: Vec::new(),
            networks: [("a".to_owned(), times(&[1.0, 2.0])), ("b".to_owned(), times(&[]))].into(),
        };
        let read = |record: &ThroughputRecord| {
            serde_json::from_str::<ThroughputRecord>(&serde_json::to_string(record).unwrap())
        };
        assert_eq!(read(&record).unwrap(), record);
        let with = |id: &str, changed: NetworkTimes| {
            let mut record = record.clone();
            record.networks.insert(id.to_owned(), changed);
            read(&record).unwrap_err().to_string()
        };
        assert!(with("a", times(&[0.0, 1.0])).contains("network a has a round of 0 seconds for 4 images"));
        assert!(with("a", times(&[1.0, -2.0])).contains("a round of -2 seconds"));
        assert!(with("a", times(&[1.0, 1e-320])).contains("a round of 0.000000"));
        assert!(with("a", times(&[1.0, 1e308])).contains("network a"));
        assert!(with("a", NetworkTimes { batch: usize::MAX, seconds: vec![1.0, 1.0] }).contains("images"));
        assert!(with("c", times(&[1.0])).contains("network c has 1 rounds, and another one has 2"));
        assert!(with("b", NetworkTimes { batch: 0, seconds: vec![1.0, 1.0] }).contains("without images"));
        let text = serde_json::to_string(&record).unwrap();
        assert!(serde_json::from_str::<ThroughputRecord>(&text.replace("1.0,2.0", "1.0,2e999")).is_err());
        assert!(serde_json::from_str::<ThroughputRecord>(&text.replace("1.0,2.0", "1.0,null")).is_err());
    }
}
