//! Decides on which devices runs train, how many at the same time, and with how many threads.

use anyhow::Result;
use sweep_runner::Slot;
use sweep_trainer::Trainer;

use crate::cli::RunArgs;

/// Returns the requested devices. Each is opened once, so that an unavailable device is refused before anything starts.
pub(crate) fn devices(arguments: &RunArgs, trainer: &dyn Trainer) -> Result<Vec<String>> {
    arguments.device.iter().map(|name| Ok(trainer.device(name)?)).collect()
}

/// Maximum number of parallel runs on a CPU, unless the user sets it. Each run holds a network and its gradients in
/// memory.
const CPU_SLOTS: usize = 8;

/// Returns the slots for this number of runs. Parallel runs with one thread each finish sooner than successive runs
/// with all threads, since much of a training step runs on one thread.
pub(crate) fn slots(devices: &[String], arguments: &RunArgs, work: usize) -> Vec<Slot> {
    let cores = cores();
    let on = |device: &String| match (arguments.slots, device.as_str()) {
        (Some(slots), _) => slots as usize,
        (None, "cpu") => work.clamp(1, cores.min(CPU_SLOTS)),
        (None, _) => 1,
    };
    let devices: Vec<&String> = devices.iter().flat_map(|device| std::iter::repeat_n(device, on(device))).collect();
    let threads = arguments.threads.map_or((cores / devices.len()).max(1), |threads| threads as usize);
    devices.into_iter().map(|device| Slot { device: device.clone(), threads }).collect()
}

/// Returns the resources of the process that measures throughput: the first device, and the threads of the whole
/// machine.
pub(crate) fn timing_slot(devices: &[String], arguments: &RunArgs) -> Slot {
    let device = devices.first().cloned().unwrap_or_else(|| "cpu".to_owned());
    Slot { device, threads: arguments.threads.map_or_else(cores, |threads| threads as usize) }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
