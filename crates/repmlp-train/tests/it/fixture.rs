//! Attempts in folders of their own, and small sets of our own making.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use repmlp_train::config::RunConfig;
use repmlp_train::{DeviceChoice, Orders, StopFlag, ThroughputTiming, TrainError, train};
use sweep_protocol::{Event, Measurement, MemorySink, Outcome, Sink, SinkError};

/// The smallest network that still has every part of a RepMLP block, on images of 32x32, and the quickest measurement.
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

/// Raises the flag when the training says that it has done so many steps.
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

/// Where an attempt works and what it may use.
pub(crate) struct Bench<'a> {
    /// Attempts get a folder each below it.
    pub root: &'a Path,
    /// Folder of data sets.
    pub data: Option<&'a Path>,
    /// Threads of the loader.
    pub threads: usize,
}

impl<'a> Bench<'a> {
    /// With the carried set and one thread.
    pub(crate) fn new(root: &'a Path) -> Self {
        Self { root, data: None, threads: 1 }
    }

    fn folder(&self, number: u32) -> PathBuf {
        self.root.join(number.to_string())
    }

    /// What an attempt may use, with its folder made.
    pub(crate) fn orders(&self, number: u32) -> Orders {
        std::fs::create_dir_all(self.folder(number)).unwrap();
        Orders {
            device: DeviceChoice::Cpu,
            threads: self.threads,
            data: self.data.map(Path::to_owned),
            folder: self.folder(number),
            resume_from: (1..number).rev().map(|n| self.folder(n)).collect(),
            throughput: ThroughputTiming::Now,
            code: String::new(),
            host: String::new(),
            processor: None,
        }
    }

    /// One attempt, stopped after `stop_at` steps; what it said and how it ended.
    pub(crate) fn attempt(&self, config: &str, number: u32, stop_at: u64) -> (Vec<Event>, Result<Outcome, TrainError>) {
        let config: RunConfig = toml::from_str(config).unwrap();
        let orders = self.orders(number);
        let flag = StopFlag::new(false);
        let mut sink = StopAt { step: stop_at, flag: &flag, heard: MemorySink::default() };
        let outcome = train(&config, 7, &orders, &flag, &mut sink);
        (sink.heard.events, outcome)
    }

    /// A whole run in one attempt, which must succeed: everything that it measured but timings.
    pub(crate) fn run(&self, config: &str) -> Vec<Measurement> {
        let (events, outcome) = self.attempt(config, 1, u64::MAX);
        assert_eq!(outcome.unwrap(), Outcome::Succeeded);
        measured(&events)
    }

    /// The weights that an attempt left.
    pub(crate) fn weights(&self, number: u32) -> Vec<u8> {
        std::fs::read(self.folder(number).join("weights.safetensors")).unwrap()
    }
}

/// Everything measured that is no timing.
pub(crate) fn measured(events: &[Event]) -> Vec<Measurement> {
    all_measured(events).into_iter().filter(|m| !m.metric.is_timing()).collect()
}

/// Everything measured, by this attempt and by those before it.
pub(crate) fn all_measured(events: &[Event]) -> Vec<Measurement> {
    let all = events.iter().filter_map(|event| match event {
        Event::Measured { measurements } | Event::Inherited { measurements } => Some(measurements),
        _ => None,
    });
    all.flatten().copied().collect()
}

/// Writes a PNG of `side` x `side` with 1 or 3 channels, the value of each byte given by its place.
pub(crate) fn write_png(path: &Path, side: u32, channels: u32, value: impl Fn(u32, u32, u32) -> u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), side, side);
    encoder.set_color(if channels == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb });
    let place = |i: u32| value(i / channels / side, i / channels % side, i % channels);
    let bytes: Vec<u8> = (0..side * side * channels).map(place).collect();
    encoder.write_header().unwrap().write_image_data(&bytes).unwrap();
}
