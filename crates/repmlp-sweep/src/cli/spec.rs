//! Arguments that say what is planned.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::engine::ArgValueCandidates;
use sweep_plan::Adjustments;

use super::values::parse_name;
use crate::complete;
use crate::spec::Spec;

/// What is planned: experiment files or a base file, and what this call changes.
#[derive(Debug, Args)]
pub(crate) struct SpecArgs {
    /// The experiment files, one after another.
    #[arg(value_name = "SPEC", required_unless_present = "base", value_hint = ValueHint::FilePath)]
    paths: Vec<PathBuf>,
    /// Instead of an experiment: the one configuration of a base file, with what `--set` changes.
    #[arg(long, value_name = "BASE", conflicts_with_all = ["paths", "profile"], value_hint = ValueHint::FilePath)]
    base: Option<PathBuf>,
    /// A profile of the file [default: the file without a profile].
    #[arg(long, short, value_parser = parse_name, add = ArgValueCandidates::new(complete::profiles))]
    profile: Option<String>,
    #[command(flatten)]
    adjust: AdjustArgs,
}

impl SpecArgs {
    /// Returns what is planned, in order; at least one.
    pub(crate) fn specs(&self) -> Vec<Spec> {
        let adjustments = self.adjust.adjustments();
        if let Some(base) = &self.base {
            return vec![Spec::base(base.clone(), adjustments)];
        }
        let spec = |path: &PathBuf| Spec::experiment(path.clone(), self.profile.clone(), adjustments.clone());
        self.paths.iter().map(spec).collect()
    }
}

/// What this call changes in an experiment. Its results are those of a profile with a name of its own.
#[derive(Debug, Args)]
pub(crate) struct AdjustArgs {
    /// Lay a key over the base: `training.epochs=3`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Train this number of seeds, counted from 0.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
}

impl AdjustArgs {
    pub(crate) fn adjustments(&self) -> Adjustments {
        Adjustments { set: self.set.clone(), seeds: self.seeds }
    }
}
