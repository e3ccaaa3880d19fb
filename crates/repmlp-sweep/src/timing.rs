//! Decides which networks of a plan are timed, and has them timed when nothing else runs.

use std::collections::BTreeMap;
use std::io;

use anyhow::{Context, Result};
use sweep_protocol::{
    NetworkId, PlanRecord, SharedOrders, ThroughputLayout, TimedNetwork, TimingOrders, create_folders,
    remove_temporaries, write_atomically,
};
use sweep_runner::{LocalMachine, Request, Slot, TimingEnd, device_of_process};
use sweep_slurm::After;
use sweep_store::Reader;
use tokio::sync::watch;

use crate::costed_plan::CostedPlan;
use crate::exit::Exit;
use crate::progress::Voice;
use crate::signals;
use crate::sweep::{Place, Sweep};

/// Whether networks of a plan have no throughput yet.
pub(crate) fn lacks_throughput(plan: &PlanRecord, results: &mut Reader) -> bool {
    plan.networks().next().is_some() && results.throughput(plan).is_none()
}

/// Returns each network of a plan once, in plan order.
fn networks(costed: &CostedPlan<'_>) -> Vec<TimedNetwork> {
    let mut known: BTreeMap<NetworkId, usize> = BTreeMap::new();
    let mut networks = Vec::new();
    for run in &costed.plan.runs {
        for (form, id) in &costed.costs[run.configuration].networks {
            if known.insert(id.clone(), run.configuration).is_none() {
                let config = costed.plan.configurations[run.configuration].clone();
                networks.push(TimedNetwork { id: id.clone(), form: *form, config });
            }
        }
    }
    networks
}

/// A measurement that may be needed.
pub(crate) struct Timing<'a> {
    pub(crate) costed: &'a CostedPlan<'a>,
    pub(crate) sweep: Sweep<'a>,
    pub(crate) place: Place,
    pub(crate) orders: SharedOrders,
    /// Device and threads of the process that measures.
    pub(crate) slot: Slot,
    /// Whether the data was found.
    pub(crate) has_data: bool,
}

impl Timing<'_> {
    /// Times the networks of the plan, unless they were timed before. Returns what the user asked for meanwhile, and
    /// the exit code if everything else is done.
    pub(crate) async fn measure_what_is_missing(self, results: &mut Reader, voice: &Voice) -> Result<(Request, Exit)> {
        if !lacks_throughput(&self.costed.record(), results) {
            return Ok((Request::Run, Exit::Done));
        }
        if self.place.slurm.as_ref().is_some_and(|slurm| slurm.after == After::Leave) {
            voice.say("the throughput is measured by the next call without --detach");
            return Ok((Request::Run, Exit::Done));
        }
        if !self.has_data {
            voice.say("the throughput is not measured, since it needs the data: name the folder with --data");
            return Ok((Request::Run, Exit::Done));
        }
        self.measure(voice).await
    }

    async fn measure(self, voice: &Voice) -> Result<(Request, Exit)> {
        let Self { costed, sweep: Sweep { lock, until }, place, orders, slot, .. } = self;
        let Slot { device, threads } = slot.clone();
        let layout = lock.layout().throughput(&costed.plan.experiment, &costed.plan.profile);
        let networks = networks(costed);
        let on = format!("{device} with {threads} thread{}", if threads == 1 { "" } else { "s" });
        let waits = if place.slurm.is_some() { "; `srun` waits for a free node" } else { "" };
        voice.say(&format!("timing {} networks in turns on {on}, with nothing beside them{waits}", networks.len()));
        let SharedOrders { data, kernels, digests, .. } = orders;
        let records = std::path::absolute(layout.records())?;
        let device = device_of_process(&device);
        let orders = TimingOrders { device, threads, data, kernels, digests, networks, records };
        write_orders(&layout, &orders).with_context(|| format!("{} cannot be written", layout.orders().display()))?;
        let local = match &place.slurm {
            Some(slurm) => slurm.timing(lock.layout(), place.local)?,
            None => LocalMachine { arguments: vec!["time".into()], ..place.local },
        };
        let (requests, requested) = watch::channel(Request::Run);
        let listener =
            tokio::spawn(signals::listen(requests.clone(), (voice.clone(), signals::ON_THIS_MACHINE), until));
        let end = sweep_runner::time(lock, &local, (&layout.orders(), &layout.log()), &slot, requested).await;
        listener.abort();
        let exit = match end? {
            TimingEnd::Done => Exit::Done,
            TimingEnd::Stopped => Exit::Remains,
            TimingEnd::Failed(how) => {
                let log = layout.log();
                voice.say(&format!("the throughput could not be measured: {how}\n  log: {}", log.display()));
                Exit::Failed
            }
        };
        let request = *requests.borrow();
        Ok((request, exit))
    }
}

fn write_orders(layout: &ThroughputLayout, orders: &TimingOrders) -> io::Result<()> {
    create_folders(&layout.records())?;
    remove_temporaries(layout.root(), |file| file == "orders.json")?;
    remove_temporaries(&layout.records(), |file| file.ends_with(".json"))?;
    write_atomically(&layout.orders(), &serde_json::to_vec_pretty(orders)?)
}
