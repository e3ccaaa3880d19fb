//! Runs attempts in separate folders, and writes small test images.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use repmlp_train::config::RunConfig;
use repmlp_train::{DeviceChoice, Resources, StopFlag, TrainError, train};
use sweep_protocol::{Event, Measurement, MemorySink, Outcome, Sink, SinkError};
use sweep_trainer::Origin;

/// The smallest network with every part of a RepMLP block, for images of 32x32, and the shortest throughput
/// measurement.
pub(crate) const TINY: &str = r#"
[model]
kind   = "cifar-net"
widths = [2, 2, 2]
hidden = 8
block  = { kind = "rep-mlp", partition = [8, 8], groups = 1, local_kernels = [1, 3] }

[measure]
batch   = 4
warmup  = 0
repeats = 1
"#;

/// Sink that sets the stop flag when the training reports this step.
struct StopAt<'a> {
    step: u64,
    flag: &'a StopFlag,
    heard: MemorySink,
}

impl Sink for StopAt<'_> {
    fn emit(&mut self, event: Event) -> Result<(), SinkError> {
        if matches!(event, Event::Progressed { step, .. } if step == self.step) {
            self.flag.store(true, Ordering::Relaxed);
        }
        self.heard.emit(event)
    }
}

/// Folders and resources of attempts.
pub(crate) struct Bench<'a> {
    /// Each attempt gets a folder below it.
    pub root: &'a Path,
    /// Folder with the data sets.
    pub data: Option<&'a Path>,
    /// Number of loader threads.
    pub threads: usize,
}

impl<'a> Bench<'a> {
    /// Uses the included data set and one thread.
    pub(crate) fn new(root: &'a Path) -> Self {
        Self { root, data: None, threads: 1 }
    }

    fn folder(&self, number: u32) -> PathBuf {
        self.root.join(number.to_string())
    }

    /// Returns the resources of an attempt, and makes its folder.
    pub(crate) fn resources(&self, number: u32) -> Resources {
        std::fs::create_dir_all(self.folder(number)).unwrap();
        Resources {
            device: DeviceChoice::Cpu,
            threads: self.threads,
            data: self.data.map(Path::to_owned),
            digests: None,
            folder: self.folder(number),
            resume_from: (1..number).rev().map(|n| self.folder(n)).collect(),
            origin: Origin::default(),
        }
    }

    /// Runs one attempt and stops it after `stop_at` steps. Returns its events and its outcome.
    pub(crate) fn attempt(&self, config: &str, number: u32, stop_at: u64) -> (Vec<Event>, Result<Outcome, TrainError>) {
        let config: RunConfig = toml::from_str(config).unwrap();
        let resources = self.resources(number);
        let flag = StopFlag::new(false);
        let mut sink = StopAt { step: stop_at, flag: &flag, heard: MemorySink::default() };
        let outcome = train(&config, 7, &resources, &flag, &mut sink);
        (sink.heard.events, outcome)
    }

    /// Does a whole run in one attempt, which must succeed. Returns all measurements except timings.
    pub(crate) fn run(&self, config: &str) -> Vec<Measurement> {
        let (events, outcome) = self.attempt(config, 1, u64::MAX);
        assert_eq!(outcome.unwrap(), Outcome::Succeeded);
        measured(&events)
    }

    /// Returns the weights that an attempt saved.
    pub(crate) fn weights(&self, number: u32) -> Vec<u8> {
        std::fs::read(self.folder(number).join("weights.safetensors")).unwrap()
    }
}

/// Returns all measurements except timings.
pub(crate) fn measured(events: &[Event]) -> Vec<Measurement> {
    all_measured(events).into_iter().filter(|m| !m.metric.is_timing()).collect()
}

/// Returns all measurements of this attempt and of earlier ones.
pub(crate) fn all_measured(events: &[Event]) -> Vec<Measurement> {
    let all = events.iter().filter_map(|event| match event {
        Event::Measured { measurements } | Event::Inherited { measurements } => Some(measurements),
        _ => None,
    });
    all.flatten().copied().collect()
}

/// Writes a PNG of `side` x `side` pixels with 1 or 3 channels. `value` gives each byte from its row, column and
/// channel.
pub(crate) fn write_png(path: &Path, side: u32, channels: u32, value: impl Fn(u32, u32, u32) -> u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), side, side);
    encoder.set_color(if channels == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb });
    let place = |i: u32| value(i / channels / side, i / channels % side, i % channels);
    let bytes: Vec<u8> = (0..side * side * channels).map(place).collect();
    encoder.write_header().unwrap().write_image_data(&bytes).unwrap();
}
