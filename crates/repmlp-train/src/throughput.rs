//! Times the networks of an experiment: each once per round, all in this process. So a change in the speed of the
//! machine affects all of them, and rounds can be compared with each other.
//!
//! A network is timed with initial weights, since only its layers and shapes matter, and with real images, since
//! networks can be faster on noise.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Result, Tensor};
use repmlp::Mode;
use repmlp::models::Model;
use repmlp::vars::Vars;
use sweep_protocol::{Form, NetworkId, NetworkTimes};

use crate::config::RunConfig;
use crate::data::DigestCache;
use crate::error::TrainError;
use crate::evaluate::EvaluationSplit;

/// Warm-up ends when no network is slower than this multiple of its fastest time so far.
const SETTLED: f64 = 1.05;
/// Warm-up ends at the latest after this number of rounds, unless a configuration asks for more.
const MOST_WARMUP: usize = 20;
/// Warm-up of slow networks ends at the latest after this time, and after the rounds that the configurations ask for.
const LONGEST_WARMUP: Duration = Duration::from_secs(30);

/// A network to be timed.
pub(crate) struct Subject {
    pub(crate) id: NetworkId,
    pub(crate) form: Form,
    pub(crate) config: RunConfig,
}

/// Where the networks are timed.
pub(crate) struct Place<'a> {
    pub(crate) device: &'a Device,
    pub(crate) threads: usize,
    pub(crate) data: Option<&'a Path>,
    pub(crate) digests: Option<&'a Path>,
}

/// The result of a measurement.
pub(crate) struct Timing {
    pub(crate) warmup_rounds: usize,
    pub(crate) clock_mhz: Vec<u32>,
    pub(crate) networks: BTreeMap<NetworkId, NetworkTimes>,
}

/// A forward pass: images (N, C, H, W) → output.
type Forward = Box<dyn Fn(&Tensor) -> Result<Tensor>>;

/// A network with the images that it is timed with.
struct Work {
    id: NetworkId,
    images_nchw: Tensor,
    forward: Forward,
}

impl Work {
    /// Returns the seconds of one forward pass.
    fn time(&self) -> Result<f64> {
        let start = Instant::now();
        (self.forward)(&self.images_nchw)?.device().synchronize()?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// Times the networks. Returns `None` if `stop` was set.
pub(crate) fn measure(
    subjects: &[Subject],
    place: &Place<'_>,
    stop: &AtomicBool,
) -> std::result::Result<Option<Timing>, TrainError> {
    let works = works(subjects, place)?;
    let most = |of: fn(&RunConfig) -> usize| subjects.iter().map(|subject| of(&subject.config)).max().unwrap_or(0);
    let (warmup, rounds) = (most(|config| config.measure.warmup), most(|config| config.measure.repeats));
    let Some(warmup_rounds) = warm_up(&works, warmup, stop)? else { return Ok(None) };
    let (mut seconds, mut clock_mhz) = (vec![Vec::new(); works.len()], Vec::new());
    for _ in 0..rounds {
        let Some(times) = round(&works, stop)? else { return Ok(None) };
        seconds.iter_mut().zip(times).for_each(|(seconds, time)| seconds.push(time));
        clock_mhz.extend(clock());
    }
    // Networks without images are part of the result, with no times.
    let mut networks: BTreeMap<NetworkId, NetworkTimes> = subjects
        .iter()
        .map(|subject| (subject.id.clone(), NetworkTimes { batch: subject.config.measure.batch, seconds: Vec::new() }))
        .collect();
    for (work, seconds) in works.iter().zip(seconds) {
        networks.entry(work.id.clone()).or_default().seconds = seconds;
    }
    Ok(Some(Timing { warmup_rounds, clock_mhz, networks }))
}

/// Runs rounds until the times have settled. Returns their number; `None` if `stop` was set.
fn warm_up(works: &[Work], fewest: usize, stop: &AtomicBool) -> Result<Option<usize>> {
    let (begun, mut fastest, mut rounds) = (Instant::now(), vec![f64::INFINITY; works.len()], 0);
    let mut is_settled = false;
    while fewest > 0 && (rounds < fewest || !is_settled && rounds < MOST_WARMUP && begun.elapsed() < LONGEST_WARMUP) {
        let Some(times) = round(works, stop)? else { return Ok(None) };
        is_settled = times.iter().zip(&fastest).all(|(time, fastest)| *time <= SETTLED * fastest) && rounds > 0;
        fastest.iter_mut().zip(times).for_each(|(fastest, time)| *fastest = fastest.min(time));
        rounds += 1;
    }
    Ok(Some(rounds))
}

/// Times each network once. Returns the seconds; `None` if `stop` was set.
fn round(works: &[Work], stop: &AtomicBool) -> Result<Option<Vec<f64>>> {
    let mut seconds = Vec::with_capacity(works.len());
    for work in works {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        seconds.push(work.time()?);
    }
    Ok(Some(seconds))
}

/// Builds the networks and loads their images. A set without test images gives no work.
fn works(subjects: &[Subject], place: &Place<'_>) -> std::result::Result<Vec<Work>, TrainError> {
    // Most networks of an experiment have the same images.
    let mut loaded: Vec<(&RunConfig, Option<Tensor>)> = Vec::new();
    let mut works = Vec::new();
    for Subject { id, form, config } in subjects {
        let is_same = |known: &RunConfig| known.data == config.data && known.measure.batch == config.measure.batch;
        let images = match loaded.iter().find(|(known, _)| is_same(known)) {
            Some((_, images)) => images.clone(),
            None => {
                let images = images(config, place)?;
                loaded.push((config, images.clone()));
                images
            }
        };
        if let Some(images_nchw) = images {
            works.push(Work { id: id.clone(), images_nchw, forward: forward(config, *form, place.device)? });
        }
    }
    Ok(works)
}

/// Returns a batch of test images: (N, C, H, W).
fn images(config: &RunConfig, place: &Place<'_>) -> std::result::Result<Option<Tensor>, TrainError> {
    let data = match place.digests {
        Some(digests) => config.data.load_known(place.data, 0, &DigestCache::new(digests))?,
        None => config.data.load(place.data, 0)?,
    };
    let (device, threads) = (place.device, place.threads);
    let split = EvaluationSplit { subset: &data.test, preparation: &data.preparation, device, threads };
    Ok(split.sample(config.measure.batch)?.map(|batch| batch.images_nchw))
}

fn forward(config: &RunConfig, form: Form, device: &Device) -> Result<Forward> {
    let vars = Vars::new(0, DType::F32, device);
    let model = Model::new(&config.model, config.task(), &vars.root())?;
    Ok(match form {
        Form::Training => Box::new(move |x| Ok(model.forward(x, Mode::Evaluate)?.detach())),
        Form::Deployed => {
            let deployed = model.reparameterize()?;
            Box::new(move |x| deployed.forward(x))
        }
    })
}

/// Returns the clock of the processor, the mean over its cores, in MHz; `None` if it cannot be read.
fn clock() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let of_core = |line: &str| line.strip_prefix("cpu MHz")?.trim_start_matches([' ', '\t', ':']).parse::<f64>().ok();
    let cores: Vec<f64> = text.lines().filter_map(of_core).collect();
    (!cores.is_empty()).then(|| (cores.iter().sum::<f64>() / cores.len() as f64).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        data = { source = { kind = "fashion-mnist-5k" }, image_size = 32, test_limit = 8 }
        measure = { batch = 4, warmup = 1, repeats = 3 }
        [model]
        kind = "cifar-net"
        widths = [2, 2, 2]
        hidden = 8
        block = { kind = "rep-mlp", partition = [8, 8], groups = 2, local_kernels = [1, 3] }
        [training]
        epochs = 1
        batch = 4
        optimizer = { kind = "sgd", learning_rate = 0.1, momentum = 0.0, nesterov = false, weight_decay = 0.0 }
        schedule = { kind = "constant", warmup_epochs = 0.0 }
    "#;

    fn subjects() -> Vec<Subject> {
        let config: RunConfig = toml::from_str(CONFIG).unwrap();
        let subject = |form, id: &str| Subject { id: id.to_owned(), form, config: config.clone() };
        vec![subject(Form::Training, "a"), subject(Form::Deployed, "b")]
    }

    fn timed(subjects: &[Subject], stop: &AtomicBool) -> Option<Timing> {
        let place = Place { device: &Device::Cpu, threads: 1, data: None, digests: None };
        measure(subjects, &place, stop).unwrap()
    }

    #[test]
    fn every_network_has_a_time_for_each_round() {
        let timing = timed(&subjects(), &AtomicBool::new(false)).unwrap();
        assert!((1..=MOST_WARMUP).contains(&timing.warmup_rounds));
        assert_eq!(timing.networks.keys().collect::<Vec<_>>(), ["a", "b"]);
        for times in timing.networks.values() {
            assert!(
                times.batch == 4 && times.seconds.len() == 3 && times.seconds.iter().all(|s| *s > 0.0),
                "{times:?}"
            );
        }
        assert!(timed(&subjects(), &AtomicBool::new(true)).is_none(), "it stops on request");
    }
}
