//! `plan`: shows the runs of an experiment, their cost, and which are done. Writes nothing.

use std::collections::BTreeMap;

use anyhow::Result;
use repmlp_train::DeviceChoice;
use serde_json::json;
use sweep_plan::Plan;
use sweep_protocol::{RunId, RunRow};

use super::grid::grid;
use super::{open_results, print, print_json, say, say_damage};
use crate::arithmetic;
use crate::cli::PlanArgs;
use crate::costed_plan::CostedPlan;
use crate::exit::Exit;
use crate::plan_file;
use crate::predict::{Speed, count, duration};
use crate::project::Project;
use crate::work::{FailedRuns, Work};

pub(crate) async fn run(arguments: PlanArgs) -> Result<Exit> {
    let costed = CostedPlan::load(&arguments.spec)?;
    let project = Project::of(&arguments.spec.path);
    project.check_declaration(&costed.record())?;
    let layout = project.results(&arguments.results);
    plan_file::say_what_changed(&layout, &costed);
    let mut results = open_results(&layout).await?;
    let known = costed.known(&mut results)?;
    let devices = [DeviceChoice::Auto.decide()];
    let is_open = |run: &sweep_plan::PlannedRun| {
        Work::of(known.get(&run.id), costed.plan.kernels.as_deref()).is_open(FailedRuns::Wait)
    };
    if costed.plan.runs.iter().any(is_open)
        && let Err(refusal) = arithmetic::choose(costed.plan.kernels.as_deref(), &devices, known.values())
    {
        say(&format!("note: `run` will refuse this plan: {refusal}"));
    }
    let speed = Speed::measured(&mut results, &known, &costed.training_flops()).await?;
    say_damage(&mut results);
    let view = View { costed: &costed, known: &known, speed };
    if arguments.json {
        print_json(&view.json())?;
    } else {
        print(&view.text())?;
    }
    Ok(Exit::Done)
}

struct View<'a> {
    costed: &'a CostedPlan,
    known: &'a BTreeMap<RunId, RunRow>,
    speed: Speed,
}

impl View<'_> {
    fn work(&self, run: RunId) -> Work {
        Work::of(self.known.get(&run), self.costed.plan.kernels.as_deref())
    }

    fn seconds(&self, configuration: usize) -> Option<f64> {
        Some(self.speed.seconds(self.costed.costs[configuration].training?))
    }

    fn text(&self) -> String {
        let plan = &self.costed.plan;
        let mut rows = Vec::new();
        for run in &plan.runs {
            let cost = self.costed.costs[run.configuration];
            rows.push(vec![
                run.id.short(),
                run.coordinates.to_string(),
                run.seed.to_string(),
                count(cost.params as f64),
                count(cost.flops as f64),
                format!("{}B", count(cost.memory)),
                self.seconds(run.configuration).map_or("?".to_owned(), duration),
                self.work(run.id).to_string(),
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
        let open: Vec<_> = plan.runs.iter().filter(|run| self.work(run.id).is_open(FailedRuns::Wait)).collect();
        let time: Option<f64> = open.iter().map(|run| self.seconds(run.configuration)).sum();
        let counted = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let (runs, configurations) =
            (counted(plan.runs.len(), "run"), counted(plan.configurations.len(), "configuration"));
        let mut text = format!("{runs} of {configurations}; {} to do", open.len());
        text += &match time {
            Some(time) if !open.is_empty() => format!(", about {} if run one after another", duration(time)),
            _ => String::new(),
        };
        text += match (self.speed.measured, time) {
            _ if open.is_empty() => ".\n",
            (_, None) => ". Times are unknown: they depend on the size of the data set, which is not fixed.\n",
            (true, _) => ". Times are estimated from finished runs of this plan.\n",
            (false, _) => ". Times are estimated for a small CPU until a run of this plan is finished.\n",
        };
        text += "params and flops: deployed form, one image; time and memory: training.\n";
        if let Some(kernels) = &plan.kernels {
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
        let run = |run: &sweep_plan::PlannedRun| {
            let cost = self.costed.costs[run.configuration];
            let coordinates: serde_json::Map<_, _> =
                run.coordinates.0.iter().map(|(axis, label)| (axis.clone(), json!(label))).collect();
            json!({
                "run": run.id, "seed": run.seed, "coordinates": coordinates,
                "params": cost.params, "flops": cost.flops,
                "predicted_bytes": cost.memory, "predicted_s": self.seconds(run.configuration),
                "work": self.work(run.id).to_string(), "to_do": self.work(run.id).is_open(FailedRuns::Wait),
                "config": serde_json::from_str::<serde_json::Value>(&plan.configurations[run.configuration])
                    .unwrap_or_default(),
            })
        };
        json!({
            "experiment": plan.experiment, "profile": plan.profile, "question": plan.question,
            "scale": self.costed.record().scale, "axes": plan.axes,
            "runs": plan.runs.iter().map(run).collect::<Vec<_>>(),
            "exclusions": plan.exclusions,
            "merged": plan.merged.iter()
                .map(|m| json!({"coordinates": m.coordinates.to_string(), "into": m.into.to_string()}))
                .collect::<Vec<_>>(),
        })
    }
}
