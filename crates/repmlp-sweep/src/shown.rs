//! The sweep that `watch` and `serve` show: the one that was asked for, or the one that was last active.
//!
//! It only reads the results folder. It does not know how a sweep is shown.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use sweep_protocol::{PlanRecord, ResultsLayout, error_chain, now_ms};
use sweep_store::Reader;
use tokio::time::Instant;

use crate::cli::ShownArgs;
use crate::follow::{Follower, last_active};
use crate::plan_file;
use crate::project::{Project, name_or_file};

/// Interval at which another sweep is looked for while one is shown.
const LOOK_AROUND: Duration = Duration::from_secs(5);
/// Interval at which a sweep is looked for while none is shown.
const LOOK_OUT: Duration = Duration::from_secs(1);

/// The sweep that the user wants to see.
pub(crate) struct Target {
    pub(crate) layout: ResultsLayout,
    pub(crate) experiment: Option<String>,
    pub(crate) profile: Option<String>,
}

/// A sweep that was found, or why there is none.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) follower: Option<Follower>,
    pub(crate) plan: Option<PlanRecord>,
    pub(crate) note: String,
}

impl Target {
    fn is_wanted(&self, plan: &PlanRecord) -> bool {
        let is = |wanted: &Option<String>, name: &String| wanted.as_ref().is_none_or(|wanted| wanted == name);
        is(&self.experiment, &plan.experiment) && is(&self.profile, &plan.profile)
    }

    /// Returns the wanted plan that was last active, and the number of plans that the user may have meant.
    fn newest(&self, results: &mut Reader) -> (Option<PlanRecord>, usize) {
        let mut plans: Vec<PlanRecord> = results.plans().into_iter().filter(|plan| self.is_wanted(plan)).collect();
        let count = plans.len();
        if count > 1 {
            plans.sort_by_cached_key(|plan| last_active(&self.layout, plan));
        }
        (plans.pop(), count)
    }

    /// Begins to follow the wanted sweep that was last active.
    async fn find(&self) -> Result<Found> {
        let mut results = Reader::open(&self.layout).await?;
        let (plan, count) = self.newest(&mut results);
        let Some(plan) = plan else {
            let note = self.nothing(&mut results);
            results.close().await?;
            return Ok(Found { note, ..Found::default() });
        };
        let follower = Follower::new(&self.layout, &mut results, &plan)?;
        let damage = results.take_damage().into_iter().next();
        results.close().await?;
        let note = match damage {
            Some(damage) => format!("note: {}", error_chain(&damage)),
            None if count > 1 => format!(
                "{} ({}) was last active of {count} sweeps here; name an experiment or a --profile for another",
                plan.experiment, plan.profile
            ),
            None => String::new(),
        };
        Ok(Found { follower: Some(follower), plan: Some(plan), note })
    }

    /// Says why there is nothing to follow.
    fn nothing(&self, results: &mut Reader) -> String {
        let root = self.layout.root().display();
        let known: Vec<String> =
            results.plans().iter().map(|plan| format!("{} ({})", plan.experiment, plan.profile)).collect();
        if let Some(damage) = results.take_damage().into_iter().next().filter(|_| known.is_empty()) {
            return error_chain(&damage);
        }
        if known.is_empty() {
            return format!("{root}: nothing has been run in this results folder");
        }
        let wanted = match (&self.experiment, &self.profile) {
            (Some(experiment), Some(profile)) => format!("`{experiment}` ({profile})"),
            (Some(experiment), None) => format!("`{experiment}`"),
            (None, profile) => format!("profile `{}`", profile.as_deref().unwrap_or_default()),
        };
        format!("{root}: no run of {wanted} was started here; known: {}", known.join(", "))
    }
}

/// A sweep that is shown for some time.
pub(crate) struct Shown {
    pub(crate) target: Target,
    pub(crate) found: Found,
    looked_around: Instant,
}

impl Shown {
    /// Finds the sweep that the user asks for, in the project of its file or of the current folder.
    pub(crate) async fn begin(arguments: &ShownArgs) -> Result<(Self, Project)> {
        let asked = arguments.experiment.as_deref().map(|asked| name_or_file(Path::new(asked))).transpose()?;
        let file = asked.as_ref().and_then(|(_, file)| *file);
        let project = file.map_or_else(Project::here, Project::of);
        let target = Target {
            layout: project.results(&arguments.results),
            experiment: asked.as_ref().map(|(name, _)| name.clone()),
            profile: arguments.profile.clone(),
        };
        let mut found = target.find().await?;
        if let Found { follower: Some(_), plan: Some(plan), .. } = &found {
            plan_file::check(&target.layout, file, plan)?;
        }
        if let Some(follower) = &mut found.follower {
            follower.look(now_ms());
        }
        Ok((Self { target, found, looked_around: Instant::now() }, project))
    }

    /// Reads what is new, and looks for another sweep from time to time.
    pub(crate) async fn look(&mut self) {
        if let Some(follower) = &mut self.found.follower {
            follower.look(now_ms());
        }
        let is_replaced = self.found.follower.as_ref().is_some_and(Follower::is_replaced);
        let every = if self.found.follower.is_some() { LOOK_AROUND } else { LOOK_OUT };
        if !is_replaced && self.looked_around.elapsed() < every {
            return;
        }
        self.looked_around = Instant::now();
        if is_replaced || self.is_other_active().await {
            match self.target.find().await {
                Ok(found) => self.found = found,
                Err(fault) => self.found.note = error_chain(fault.as_ref()),
            }
            if let Some(follower) = &mut self.found.follower {
                follower.look(now_ms());
            }
        }
    }

    /// Whether there is a sweep to be shown instead: any if none is shown yet, or one that was active later than the
    /// shown one if nothing of that runs.
    async fn is_other_active(&self) -> bool {
        let Some(follower) = &self.found.follower else { return true };
        if !follower.is_idle() || (self.target.experiment.is_some() && self.target.profile.is_some()) {
            return false;
        }
        let Ok(mut results) = Reader::open(&self.target.layout).await else { return false };
        let (newest, _) = self.target.newest(&mut results);
        newest.is_some_and(|newest| !follower.follows(&newest))
    }
}
