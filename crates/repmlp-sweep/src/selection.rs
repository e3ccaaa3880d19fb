//! The runs that `--only` selects: by their ids, by labels of their coordinates, or by their seeds.

use std::collections::BTreeSet;

use sweep_plan::{Plan, PlannedRun};
use sweep_protocol::{Coordinates, PlannedRunRecord, RunId};

use crate::exit::UsageError;

/// Selects a seed, as in `seed=3`. New experiments have no axis of this name, since tables have such a column.
const SEED: &str = "seed";

/// A selection of runs. An empty selection selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// A run is selected if one of these applies.
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Start of an id.
    Id(String),
    /// One of the named labels on each of these axes; [`SEED`] counts as an axis.
    Labels(Vec<(String, String)>),
}

impl Selection {
    /// Reads the texts of `--only`. Each is a list of ids (`3f9c2a,771b`), or of coordinates that all must apply
    /// (`groups=2,kernels=1,3`). A part without `=` behind a coordinate continues its label. Several labels of one axis
    /// are choices (`groups=2,groups=4`).
    ///
    /// # Errors
    /// When an id is missing. It would select every run.
    pub(crate) fn read(texts: &[String]) -> Result<Self, UsageError> {
        let mut parts = Vec::new();
        for text in texts {
            let (mut ids, mut labels) = (Vec::new(), Vec::<(String, String)>::new());
            for word in text.split(',') {
                match (word.split_once('='), labels.last_mut()) {
                    (Some((axis, label)), _) => labels.push((axis.trim().to_owned(), label.to_owned())),
                    (None, Some((_, label))) => *label = format!("{label},{word}"),
                    (None, None) if word.trim().is_empty() => {
                        return Err(UsageError(format!("--only `{text}`: an id or AXIS=LABEL is missing")));
                    }
                    (None, None) => ids.push(Part::Id(word.trim().to_owned())),
                }
            }
            parts.extend(ids);
            if !labels.is_empty() {
                parts.push(Part::Labels(labels));
            }
        }
        Ok(Self { parts })
    }

    pub(crate) fn is_all(&self) -> bool {
        self.parts.is_empty()
    }

    pub(crate) fn selects(&self, run: &PlannedRun) -> bool {
        self.is_all() || self.parts.iter().any(|part| part.selects((run.id, &run.coordinates, run.seed)))
    }

    /// Whether it selects a run of a recorded plan.
    pub(crate) fn selects_record(&self, run: &PlannedRunRecord) -> bool {
        self.is_all() || self.parts.iter().any(|part| part.selects((run.run, &run.coordinates, run.seed)))
    }

    /// Refuses a part that selects no run of the plan.
    pub(crate) fn check(&self, plan: &Plan) -> Result<(), UsageError> {
        match self
            .parts
            .iter()
            .find(|part| !plan.runs.iter().any(|run| part.selects((run.id, &run.coordinates, run.seed))))
        {
            Some(part) => Err(UsageError(part.refusal(plan))),
            None => Ok(()),
        }
    }
}

impl Part {
    fn selects(&self, (id, coordinates, seed): (RunId, &Coordinates, u64)) -> bool {
        match self {
            Self::Id(prefix) => id.starts_with(prefix),
            Self::Labels(labels) => labels.iter().all(|(axis, _)| {
                let mut choices = labels.iter().filter(|(other, _)| other == axis).map(|(_, label)| label.as_str());
                match axis.as_str() {
                    SEED => choices.any(|label| seed.to_string() == label),
                    _ => choices.any(|label| coordinates.get(axis) == Some(label)),
                }
            }),
        }
    }

    fn refusal(&self, plan: &Plan) -> String {
        let labels = match self {
            Self::Id(prefix) => {
                return format!(
                    "--only: no run of this plan has an id that starts with `{prefix}`; `plan` lists the ids"
                );
            }
            Self::Labels(labels) => labels,
        };
        for (name, label) in labels {
            if name == SEED {
                let seeds: BTreeSet<u64> = plan.runs.iter().map(|run| run.seed).collect();
                if !seeds.iter().any(|seed| seed.to_string() == *label) {
                    let known: Vec<String> = seeds.iter().map(u64::to_string).collect();
                    return format!("--only: no run of this plan has the seed `{label}`; seeds: {}", known.join(", "));
                }
                continue;
            }
            let Some(axis) = plan.axes.iter().find(|axis| axis.name == *name) else {
                let axes: Vec<&str> = plan.axes.iter().map(|axis| axis.name.as_str()).collect();
                return format!("--only: there is no axis `{name}`; axes: {}, seed", axes.join(", "));
            };
            if !axis.labels.contains(label) {
                let known = axis.labels.join("; ");
                return format!("--only: axis `{name}` has no label `{label}`; labels: {known}");
            }
        }
        let all: Vec<String> = labels.iter().map(|(axis, label)| format!("{axis}={label}")).collect();
        format!("--only: no run of this plan has {}", all.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(of: &[&str]) -> Vec<String> {
        of.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn labels_of_one_axis_are_choices_and_axes_must_all_apply() {
        let run = |groups: &str, partition: &str, seed: u64| PlannedRun {
            id: RunId::of("{}", seed),
            configuration: 0,
            seed,
            coordinates: Coordinates([("groups", groups), ("partition", partition)].map(named).into()),
        };
        let selection = Selection::read(&texts(&["groups=1,groups=2,partition=8x8,seed=0,seed=3"])).unwrap();
        let selected = |groups, partition, seed| selection.selects(&run(groups, partition, seed));
        assert!(selected("1", "8x8", 0) && selected("2", "8x8", 3));
        assert!(!selected("4", "8x8", 0) && !selected("1", "4x4", 0) && !selected("1", "8x8", 1));
    }

    fn named((axis, label): (&str, &str)) -> (String, String) {
        (axis.to_owned(), label.to_owned())
    }

    #[test]
    fn a_label_may_contain_commas() {
        let read = |of: &[&str]| Selection::read(&texts(of)).unwrap().parts;
        let label = |axis, label| named((axis, label));
        assert_eq!(
            read(&["groups=2,kernels=1,3"]),
            [Part::Labels(vec![label("groups", "2"), label("kernels", "1,3")])]
        );
        assert_eq!(read(&["3f9c,771b"]), [Part::Id("3f9c".to_owned()), Part::Id("771b".to_owned())]);
        assert_eq!(read(&["a=1", "a=2"]), [Part::Labels(vec![label("a", "1")]), Part::Labels(vec![label("a", "2")])]);
        for missing in ["", ",", "3f9c,", " "] {
            assert!(Selection::read(&texts(&[missing])).is_err(), "{missing}");
        }
    }
}
