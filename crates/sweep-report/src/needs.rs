//! The values that a report is made from. A sweep may have measured millions that no table and no plot shows.
//!
//! This module knows declarations, not rows.

use std::collections::BTreeSet;

use sweep_protocol::{Epochs, SeriesKey, Split};

use crate::declaration::{
    AxisPlot, ColumnDeclaration, CurvesPlot, Declaration, EpochRule, PlotDeclaration, Quantity, ScatterPlot,
};

impl Declaration {
    /// Returns which values of a series its report is made from: those of all epochs for a curve or a sum, otherwise
    /// the last one. Every series counts, since a report says what was measured.
    pub fn needs(&self) -> impl Fn(SeriesKey) -> Epochs + Sync + use<> {
        let whole = self.whole_series();
        move |series| if whole.contains(&series) { Epochs::All } else { Epochs::Last }
    }

    /// Returns the series that it needs with all epochs.
    pub fn whole_series(&self) -> BTreeSet<SeriesKey> {
        let sums = self.quantities().into_iter().filter(|quantity| quantity.epoch == EpochRule::Sum);
        let curves = self.plots.iter().filter_map(|plot| match plot {
            PlotDeclaration::Curves(CurvesPlot { y, .. }) => Some(*y),
            _ => None,
        });
        // Without Validation images, a curve shows training images.
        let curves = curves.flat_map(|y| {
            let fallback = (y.split == Some(Split::Validation)).then_some(Quantity { split: Some(Split::Train), ..y });
            fallback.into_iter().chain([y])
        });
        sums.chain(curves).map(|quantity| quantity.series()).collect()
    }

    /// The quantities that it names, apart from those of curves.
    fn quantities(&self) -> Vec<Quantity> {
        let columns = self.tables.iter().flat_map(|table| &table.columns).map(ColumnDeclaration::quantity);
        let effects = self.effects.iter().map(|effects| effects.quantity);
        let fronts = self.fronts.iter().flat_map(|front| [front.cost, front.value]);
        let plots = self.plots.iter().flat_map(|plot| match plot {
            PlotDeclaration::Line(AxisPlot { y, .. }) | PlotDeclaration::Bars(AxisPlot { y, .. }) => vec![*y],
            PlotDeclaration::Scatter(ScatterPlot { x, y, .. }) => vec![*x, *y],
            PlotDeclaration::Curves(_) => Vec::new(),
        });
        let claims = self.claims.iter().filter_map(|claim| claim.rule.quantity()).copied();
        columns.chain(effects).chain(fronts).chain(plots).chain(claims).collect()
    }
}

#[cfg(test)]
mod tests {
    use sweep_protocol::{Form, Metric};

    use super::*;

    #[test]
    fn curves_and_sums_need_every_epoch_and_everything_else_the_last_one() {
        let declaration: Declaration = toml::from_str(
            r#"
            title = "t"
            [[table]]
            id = "a"
            rows = []
            column = [
                { metric = "accuracy", split = "test", form = "deployed" },
                { metric = "train_time", form = "training", epoch = "sum" },
            ]
            [[plot]]
            kind = "curves"
            id = "c"
            series = []
            y = { metric = "loss", split = "validation", form = "training" }
            [[claim]]
            id = "k"
            text = "less waiting"
            [claim.rule]
            kind = "difference"
            row = {}
            baseline = {}
            at_most = 0
            of = { metric = "data_wait", form = "training", epoch = "sum" }
            "#,
        )
        .unwrap();
        let needs = declaration.needs();
        let training = Some(Form::Training);
        for whole in [
            (Metric::TrainTime, None, training),
            (Metric::DataWait, None, training),
            (Metric::Loss, Some(Split::Validation), training),
            (Metric::Loss, Some(Split::Train), training),
        ] {
            assert_eq!(needs(whole), Epochs::All, "{whole:?}");
        }
        for last in [
            (Metric::Accuracy, Some(Split::Test), Some(Form::Deployed)),
            (Metric::Loss, Some(Split::Test), training),
            (Metric::LearningRate, None, training),
        ] {
            assert_eq!(needs(last), Epochs::Last, "{last:?}");
        }
    }
}
