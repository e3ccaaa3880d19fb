//! Decides on which devices runs train, how many at the same time, and with how many threads.

use anyhow::Result;
use sweep_plan::Exec;
use sweep_runner::Slot;
use sweep_trainer::Trainer;

use crate::cli::RunArgs;
use crate::own_program::Worker;
use crate::project::Project;

/// What the command line and the experiment file ask for. The command line counts more.
#[derive(Debug)]
pub(crate) struct Asked {
    devices: Vec<String>,
    slots: Option<u32>,
    threads: Option<u32>,
    worker: Option<Worker>,
}

impl Asked {
    pub(crate) fn of(arguments: &RunArgs, exec: &Exec, project: &Project) -> Result<Self> {
        let named = [&arguments.device, &exec.devices].into_iter().find(|devices| !devices.is_empty());
        let of_file = exec.program.as_ref().map(|path| (project.root().join(path), "exec.program"));
        let named_worker = arguments.worker.clone().map(|path| (path, "--worker")).or(of_file);
        let worker = named_worker.map(|(path, place)| Worker::named(&path, place)).transpose()?;
        Ok(Self {
            devices: named.cloned().unwrap_or_else(|| vec!["auto".to_owned()]),
            slots: arguments.slots.or(exec.slots),
            threads: arguments.threads.or(exec.threads),
            worker,
        })
    }

    /// Returns the devices. Each is opened once, by the program that trains, so that an unavailable device is refused
    /// before anything starts.
    pub(crate) fn devices(&self, trainer: &dyn Trainer) -> Result<Vec<String>> {
        match &self.worker {
            Some(worker) => self.devices.iter().map(|name| worker.device(name)).collect(),
            None => self.devices.iter().map(|name| Ok(trainer.device(name)?)).collect(),
        }
    }

    /// Returns the program that trains, if it is not this one.
    pub(crate) fn worker(&self) -> Option<&Worker> {
        self.worker.as_ref()
    }

    /// Returns the slots for this number of runs. Parallel runs with one thread each finish sooner than successive runs
    /// with all threads, since much of a training step runs on one thread.
    pub(crate) fn slots(&self, devices: &[String], work: usize) -> Vec<Slot> {
        let cores = cores();
        let on = |device: &String| match (self.slots, device.as_str()) {
            (Some(slots), _) => slots as usize,
            (None, "cpu") => work.clamp(1, cores.min(CPU_SLOTS)),
            (None, _) => 1,
        };
        let devices: Vec<&String> = devices.iter().flat_map(|device| std::iter::repeat_n(device, on(device))).collect();
        let threads = self.threads.map_or((cores / devices.len().max(1)).max(1), |threads| threads as usize);
        devices.into_iter().map(|device| Slot { device: device.clone(), threads }).collect()
    }

    /// Returns the resources of the process that measures throughput: the first device, and the threads of the whole
    /// machine.
    pub(crate) fn timing_slot(&self, devices: &[String]) -> Slot {
        let device = devices.first().cloned().unwrap_or_else(|| "cpu".to_owned());
        Slot { device, threads: self.threads.map_or_else(cores, |threads| threads as usize) }
    }
}

/// Maximum number of parallel runs on a CPU, unless the user sets it. Each run holds a network and its gradients in
/// memory.
const CPU_SLOTS: usize = 8;

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
