//! `plan`: shows the runs of an experiment, their cost, and which are done. Writes nothing.

use std::collections::BTreeSet;

use anyhow::Result;
use repmlp_train::DeviceChoice;
use serde_json::json;
use sweep_plan::Plan;
use sweep_protocol::duration;

use super::grid::grid;
use super::{open_results, print, print_json, say, say_damage, say_left_behind};
use crate::arithmetic;
use crate::cli::PlanArgs;
use crate::costed_plan::CostedPlan;
use crate::data_check::check_data;
use crate::exit::{Exit, UsageError};
use crate::plan_file;
use crate::predict::{Speed, SpeedSource, count};
use crate::program::Program;
use crate::spec::Spec;
use crate::timing;
use crate::what_changed;
use crate::work::{FailedRuns, Work};

pub(crate) async fn run(arguments: PlanArgs, program: &Program) -> Result<Exit> {
    let specs = arguments.spec.specs();
    if arguments.json && specs.len() > 1 {
        return Err(UsageError("--json shows one plan: name one experiment file".to_owned()).into());
    }
    for (i, spec) in specs.iter().enumerate() {
        if i > 0 {
            print("\n")?;
        }
        show(spec, &arguments, program).await?;
    }
    Ok(Exit::Done)
}

async fn show(spec: &Spec, arguments: &PlanArgs, program: &Program) -> Result<()> {
    let costed = CostedPlan::load(spec, program)?;
    let project = spec.project();
    project.check_declaration(&costed.record())?;
    let layout = project.results(&arguments.results);
    plan_file::say_what_changed(&layout, &costed);
    let mut results = open_results(&layout).await?;
    let known = costed.known(&mut results)?;
    let devices = [DeviceChoice::Auto.decide()];
    if costed.has_work(&known)
        && let Err(refusal) = arithmetic::choose(costed.plan.exec.kernels.as_deref(), &devices, known.values())
    {
        say(&format!("note: `run` will refuse this plan: {refusal}"));
    }
    let speed = Speed::of(&costed, &mut results, &known).await?;
    say_damage(&mut results);
    say_left_behind(&layout, known.values())?;
    if let Some(data) = &arguments.data {
        let fingerprints: BTreeSet<String> =
            check_data(&costed, &mut costed.trainers.data(Some(data), &layout.digests()))?.into_iter().collect();
        fingerprints.iter().for_each(|fingerprint| say(&format!("data: {fingerprint}")));
    }
    let mut works = costed.works(&known);
    what_changed::explain(
        &mut works,
        &costed,
        results.plan(&costed.plan.experiment, &costed.plan.profile).as_ref(),
        &layout,
    );
    let lacks_throughput = timing::lacks_throughput(&costed.record(), &mut results);
    let view = View { costed: &costed, works, speed, lacks_throughput };
    if arguments.json {
        print_json(&view.json())?;
    } else {
        print(&view.text())?;
    }
    Ok(())
}

struct View<'a> {
    costed: &'a CostedPlan<'a>,
    /// What is left of each run, in plan order.
    works: Vec<Work>,
    speed: Speed,
    /// Whether `run` will measure the throughput of the networks.
    lacks_throughput: bool,
}

impl View<'_> {
    fn seconds(&self, configuration: usize) -> Option<f64> {
        self.speed.seconds(configuration, &self.costed.costs[configuration])
    }

    fn text(&self) -> String {
        let plan = &self.costed.plan;
        let unknown = || "?".to_owned();
        let mut rows = Vec::new();
        for (run, work) in plan.runs.iter().zip(&self.works) {
            let cost = &self.costed.costs[run.configuration];
            rows.push(vec![
                run.id.short(),
                run.coordinates.to_string(),
                run.seed.to_string(),
                cost.params.map_or_else(unknown, |params| count(params as f64)),
                cost.flops.map_or_else(unknown, |flops| count(flops as f64)),
                cost.memory.map_or_else(unknown, |bytes| format!("{}B", count(bytes))),
                self.seconds(run.configuration).map_or_else(unknown, duration),
                work.to_string(),
            ]);
        }
        let heading = ["run", "coordinates", "seed", "params", "flops", "memory", "time", "what happens"];
        format!("{}\n{}\n{}", self.head(), grid(&heading, &rows), self.foot())
    }

    fn head(&self) -> String {
        let Plan { experiment, profile, question, .. } = &self.costed.plan;
        let scale = self.costed.record().scale.map(|scale| format!("{scale}\n")).unwrap_or_default();
        format!("{experiment}, profile {profile}\n{question}\n{scale}")
    }

    fn foot(&self) -> String {
        let plan = &self.costed.plan;
        let runs = plan.runs.iter().zip(&self.works);
        let open: Vec<_> = runs.filter(|(_, work)| work.is_open(FailedRuns::Wait)).map(|(run, _)| run).collect();
        let time: Option<f64> = open.iter().map(|run| self.seconds(run.configuration)).sum();
        let counted = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let (runs, configurations) =
            (counted(plan.runs.len(), "run"), counted(plan.configurations.len(), "configuration"));
        let mut text = format!("{runs} of {configurations}; {} to do", open.len());
        text += &match time {
            Some(time) if !open.is_empty() => format!(", about {} if run one after another", duration(time)),
            _ => String::new(),
        };
        let plan_is_of_commands = self.costed.record().commands;
        text += match (self.speed.source, time) {
            _ if open.is_empty() => ".\n",
            (_, None) if plan_is_of_commands => ". Times are unknown: a command trains some of the runs.\n",
            (_, None) => {
                ". Some times are unknown until a run of their row is finished: the size of the data is not known.\n"
            }
            (SpeedSource::Runs, _) => ". Times are estimated from finished runs of this plan.\n",
            (SpeedSource::Step, _) => {
                ". Times are estimated from one training step on this machine, with all its cores.\n"
            }
            (SpeedSource::Assumed, _) => ". Times are a guess for a small CPU until a run of this plan is finished.\n",
        };
        if self.costed.costs.iter().any(|cost| cost.params.is_some()) {
            text += "params and flops: deployed form, one image; time and memory: training.\n";
        }
        if self.lacks_throughput {
            text += "throughput is measured when all runs are finished.\n";
        }
        if let Some(kernels) = &plan.exec.kernels {
            text += &format!("all runs use the instruction set {kernels}, as named in the experiment file.\n");
        }
        for exclusion in &plan.exclusions {
            text += &format!("excluded: {}: {}\n", exclusion.coordinates, exclusion.reason);
        }
        for merged in &plan.merged {
            text += &format!("merged: {} has the same configuration as {}\n", merged.coordinates, merged.into);
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let plan = &self.costed.plan;
        let run = |(run, work): (&sweep_plan::PlannedRun, &Work)| {
            let cost = &self.costed.costs[run.configuration];
            let coordinates: serde_json::Map<_, _> =
                run.coordinates.0.iter().map(|(axis, label)| (axis.clone(), json!(label))).collect();
            json!({
                "run": run.id, "seed": run.seed, "coordinates": coordinates,
                "params": cost.params, "flops": cost.flops,
                "predicted_bytes": cost.memory, "predicted_s": self.seconds(run.configuration),
                "work": work.to_string(), "to_do": work.is_open(FailedRuns::Wait),
                "config": serde_json::from_str::<serde_json::Value>(&plan.configurations[run.configuration])
                    .unwrap_or_default(),
            })
        };
        json!({
            "experiment": plan.experiment, "profile": plan.profile, "question": plan.question,
            "scale": self.costed.record().scale, "axes": plan.axes,
            "runs": plan.runs.iter().zip(&self.works).map(run).collect::<Vec<_>>(),
            "exclusions": plan.exclusions,
            "merged": plan.merged.iter()
                .map(|m| json!({"coordinates": m.coordinates.to_string(), "into": m.into.to_string()}))
                .collect::<Vec<_>>(),
        })
    }
}
