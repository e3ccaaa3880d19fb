//! What the rows of a table classify right and wrong, class by class, from the predictions that their runs stored.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sweep_protocol::{Form, Metric, PlanRecord, Predictions, Split};
use sweep_statistics::{Confusion, Summary};

use super::{pruned, title};
use crate::declaration::{ClassesDeclaration, EpochRule, Quantity};
use crate::group::{Group, Grouping};
use crate::measured::Measured;

/// Largest number of classes for which there are confusion matrices. A larger one shows nothing to the eye.
const MOST_CLASSES: usize = 100;

/// Rows by class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classes {
    /// Name of its files, without extension.
    pub id: String,
    /// Heading.
    pub title: String,
    /// Axes whose labels begin each row.
    pub axes: Vec<String>,
    /// The images that were classified.
    pub split: Split,
    /// Form of the model.
    pub form: Option<Form>,
    /// Number of images of each class; empty without predictions.
    pub images: Vec<usize>,
    /// The rows, in the order of the axes' labels.
    pub rows: Vec<ClassesRow>,
    /// The reason, if no row has predictions.
    pub missing: Option<String>,
}

/// A row, as means over its runs. Shares are fractions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassesRow {
    /// Labels, one per axis.
    pub labels: Vec<String>,
    /// Number of runs with predictions.
    pub n: usize,
    /// Number of planned runs.
    pub planned: usize,
    /// Share of all images that are classified correctly.
    pub accuracy: Option<Summary>,
    /// Mean of the recalls of the classes.
    pub balanced_accuracy: Option<Summary>,
    /// Mean of the F1 scores of the classes.
    pub macro_f1: Option<Summary>,
    /// Share of the images of each class that are classified correctly; absent for a class without images.
    pub recalls: Vec<Option<Summary>>,
    /// Share of the images of each class that are taken for each class; empty without predictions, and for very many
    /// classes.
    pub confusion: Vec<Vec<Option<f64>>>,
}

impl Classes {
    pub(crate) fn of(plan: &PlanRecord, measured: &Measured<'_>, declared: &ClassesDeclaration) -> Self {
        let groups = Grouping { axes: &declared.rows, only: &declared.only }.groups(plan);
        let found: Vec<Vec<Confusion>> = groups.iter().map(|group| declared.confusions(measured, group)).collect();
        let first = found.iter().flatten().next();
        let images = first.map(|first| (0..first.counts().len()).map(|class| first.images(class)).collect());
        let images: Vec<usize> = images.unwrap_or_default();
        // Runs that were tested on other images cannot stand beside each other.
        let truths: BTreeSet<&str> = groups
            .iter()
            .flat_map(|group| declared.predictions(measured, group))
            .map(Predictions::truth_text)
            .collect();
        let missing = match first {
            _ if !measured.is_comparable() => pruned(measured),
            None => Some(declared.nothing_found(measured)),
            Some(_) if truths.len() > 1 => Some("the runs classified different images".to_owned()),
            Some(_) => None,
        };
        let row = |(group, confusions): (&Group<'_>, &Vec<Confusion>)| {
            let confusions = if missing.is_some() { &[][..] } else { confusions };
            ClassesRow::of(group, confusions, images.len())
        };
        let rows = groups.iter().zip(&found).map(row).collect();
        Self {
            id: declared.id.clone(),
            title: title(declared.title.as_ref(), &declared.id),
            axes: declared.rows.clone(),
            split: declared.split,
            form: declared.form,
            images,
            rows,
            missing,
        }
    }
}

impl ClassesDeclaration {
    /// Returns what the runs of a group have predicted.
    fn predictions<'a>(&self, measured: &Measured<'a>, group: &Group<'_>) -> Vec<&'a Predictions> {
        let accuracy =
            Quantity { metric: Metric::Accuracy, split: Some(self.split), form: self.form, epoch: EpochRule::Last };
        group.runs.iter().filter_map(|run| measured.predictions(run.run, &accuracy)).collect()
    }

    /// Says that there are no predictions, and which form has some.
    fn nothing_found(&self, measured: &Measured<'_>) -> String {
        let text = "no run that succeeded has stored its predictions of these images";
        match measured.predicted_forms(self.split).into_iter().find(|form| *form != self.form) {
            Some(Some(form)) => format!("{text}; for those of the {} form, add `form = \"{0}\"`", form.name()),
            Some(None) => format!("{text}; for those without a form, leave out `form`"),
            None => text.to_owned(),
        }
    }

    /// Returns what each run of a group confuses.
    fn confusions(&self, measured: &Measured<'_>, group: &Group<'_>) -> Vec<Confusion> {
        let of_run = |found: &Predictions| {
            Confusion::of(found.classes() as usize, found.pairs().map(|(truth, said)| (truth as usize, said as usize)))
        };
        self.predictions(measured, group).into_iter().filter_map(of_run).collect()
    }
}

impl ClassesRow {
    fn of(group: &Group<'_>, confusions: &[Confusion], classes: usize) -> Self {
        let over = |of: &dyn Fn(&Confusion) -> Option<f64>| -> Option<Summary> {
            Summary::of(&confusions.iter().map(of).collect::<Option<Vec<f64>>>()?)
        };
        let accuracy = |one: &Confusion| {
            let images: usize = (0..classes).map(|class| one.images(class)).sum();
            let right: usize = (0..classes).filter_map(|class| Some(*one.counts().get(class)?.get(class)?)).sum();
            Some(right as f64 / images as f64)
        };
        let share = |truth: usize, said: usize| {
            let of_run = |one: &Confusion| {
                let count = *one.counts().get(truth)?.get(said)?;
                (one.images(truth) > 0).then(|| count as f64 / one.images(truth) as f64)
            };
            over(&of_run).map(|found| found.mean)
        };
        Self {
            labels: group.shown_labels(),
            n: confusions.len(),
            planned: group.runs.len(),
            accuracy: over(&accuracy),
            balanced_accuracy: over(&Confusion::balanced_accuracy),
            macro_f1: over(&Confusion::macro_f1),
            recalls: (0..classes).map(|class| over(&|one| one.recall(class))).collect(),
            confusion: match confusions.is_empty() || classes > MOST_CLASSES {
                true => Vec::new(),
                false => (0..classes).map(|truth| (0..classes).map(|said| share(truth, said)).collect()).collect(),
            },
        }
    }
}
