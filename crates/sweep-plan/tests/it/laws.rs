//! Properties of the expansion, tested with random axes.

use std::collections::BTreeSet;

use proptest::prelude::{Just, Strategy, any, prop_assert_eq, proptest};

use crate::bench::{Bench, accept};

/// Writes an axis over its own key, in one of the three forms.
fn axis(name: &str, form: u8, points: usize) -> String {
    let values = |from: usize| (from..from + points).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let head = format!("[[axis]]\nname = \"{name}\"\n");
    match form {
        0 => format!("{head}path = \"model.{name}\"\nvalues = [{}]\n", values(0)),
        1 => format!("{head}zip = {{ \"model.{name}\" = [{}], \"{name}.b\" = [{}] }}\n", values(0), values(7)),
        _ => (0..points).fold(head, |text, n| format!("{text}[axis.points.p{n}]\n{name}.deep.er = {n}\n")),
    }
}

fn axes() -> impl Strategy<Value = (Vec<(u8, usize)>, Vec<usize>)> {
    proptest::collection::vec((0..3u8, 1..5usize), 0..4).prop_flat_map(|axes| {
        let order = Just((0..axes.len()).collect::<Vec<_>>()).prop_shuffle();
        (Just(axes), order)
    })
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 64, ..Default::default() })]

    #[test]
    fn runs_are_the_product_each_once_and_ids_ignore_the_order_of_axes(
        (axes, order) in axes(), seeds in 1..4usize, is_split in any::<bool>(),
    ) {
        let bench = Bench::new();
        let ids = |order: &[usize]| {
            let axes: String = order.iter().map(|&at| axis(&format!("x{at}"), axes[at].0, axes[at].1)).collect();
            let text = format!("question = \"q\"\nbase = \"base.toml\"\nseeds = {seeds}\n{axes}");
            let plan = sweep_plan::plan(&bench.load(&text, None).unwrap(), &accept).unwrap();
            let ids: BTreeSet<_> = plan.runs.iter().map(|run| run.id).collect();
            (ids, plan.runs.len())
        };
        let declared: Vec<_> = (0..axes.len()).collect();
        let (unique, count) = ids(&declared);
        prop_assert_eq!(count, axes.iter().map(|(_, points)| points).product::<usize>() * seeds);
        prop_assert_eq!(unique.len(), count);
        prop_assert_eq!(&ids(&order).0, &unique);

        // A second grid with the same content adds nothing.
        if is_split {
            let grid = axis("x0", 0, 2).replace("[[axis]]", "[[grid.axis]]");
            let text = format!(
                "question = \"q\"\nbase = \"base.toml\"\nseeds = {seeds}\n[[grid]]\n{grid}[[grid]]\n{grid}"
            );
            let plan = sweep_plan::plan(&bench.load(&text, None).unwrap(), &accept).unwrap();
            prop_assert_eq!((plan.runs.len(), plan.merged.len()), (2 * seeds, 2));
        }
    }
}
