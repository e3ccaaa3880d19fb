//! No input makes a function panic or return a number that is not finite, whatever the values are.

use std::collections::BTreeMap;

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_oneof, proptest};
use sweep_statistics::{
    Candidate, Cells, ChiSquare, EffectSize, Equivalence, Estimate, Factorial, Goal, NoncentralT, PairedDifference,
    Pairs, Pilot, Ratio, RatioBootstrap, Resampling, RoundingNoise, SignFlip, StudentT, Summary, Welch,
    compare_with_baseline, holm, least_difference, least_told, normal_cdf, normal_quantile, pairs_needed, pareto_front,
    power, superiority,
};

const RESAMPLING: Resampling = Resampling { resamples: 50, seed: 5 };

fn strange() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        -2.0..2.0f64,
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        Just(5e-324),
        Just(0.0),
        Just(1.0),
    ]
}

fn stranges() -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(strange(), 0..12)
}

fn cells() -> impl Strategy<Value = Vec<(Vec<usize>, Vec<f64>)>> {
    let cell = (proptest::collection::vec(0..3usize, 0..3), proptest::collection::vec(strange(), 0..3));
    proptest::collection::vec(cell, 0..10)
}

fn by_seed(values: &[f64]) -> BTreeMap<u64, f64> {
    (0..).zip(values.iter().copied()).collect()
}

/// Whether a result has no number that is not finite. `Debug` shows all of its numbers.
fn is_sound(result: &impl std::fmt::Debug) -> bool {
    let text = format!("{result:?}");
    !text.contains("NaN") && !text.contains("inf")
}

proptest! {
    #[test]
    fn functions_of_values(values in stranges(), others in stranges()) {
        prop_assert!(is_sound(&Summary::of(&values)), "{:?}", Summary::of(&values));
        prop_assert!(is_sound(&Estimate::of(&values, RESAMPLING)), "{:?}", Estimate::of(&values, RESAMPLING));
        prop_assert!(is_sound(&SignFlip::of(&values)));
        prop_assert!(is_sound(&Welch::of(&values, &others)), "{:?}", Welch::of(&values, &others));
        prop_assert!(is_sound(&EffectSize::of_samples(&values, &others)));
        prop_assert!(is_sound(&superiority(&values, &others)));
        prop_assert!(is_sound(&holm(&values, 20)));
        prop_assert!(is_sound(&Pilot::of(&values, 0.8)));
        prop_assert!(is_sound(&Ratio::of(&values, &others, 2)));
        prop_assert!(is_sound(&RatioBootstrap::of(&values, &others, 2, RESAMPLING)));
    }

    #[test]
    fn functions_of_pairs(values in proptest::collection::vec((strange(), strange()), 0..12), margin in strange()) {
        let (first, second): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
        let (row, baseline) = (by_seed(&first), by_seed(&second));
        prop_assert!(is_sound(&PairedDifference::of(&row, &baseline)), "{:?}", PairedDifference::of(&row, &baseline));
        let found = compare_with_baseline([(&row, &baseline)]);
        prop_assert!(is_sound(&found), "{found:?}");
        let candidates = [Candidate { cost: margin, values: row }, Candidate { cost: 1.0, values: baseline }];
        prop_assert!(is_sound(&pareto_front(&candidates)));
        let Some(pairs) = Pairs::new(first, second) else { return Ok(()) };
        let (difference, ratio) = (Equivalence::of_difference(&pairs, margin), Equivalence::of_ratio(&pairs, margin));
        prop_assert!(is_sound(&difference), "{difference:?}");
        prop_assert!(is_sound(&ratio), "{ratio:?}");
        prop_assert!(is_sound(&RoundingNoise::of(&pairs)), "{:?}", RoundingNoise::of(&pairs));
        prop_assert!(is_sound(&EffectSize::of_differences(&pairs)));
        prop_assert!(is_sound(&EffectSize::of_pairs(&pairs)));
    }

    #[test]
    fn distributions(x in strange(), p in strange(), df in strange(), shift in strange()) {
        prop_assert!(is_sound(&(normal_cdf(x), normal_quantile(p))));
        if let Some(t) = StudentT::new(df) {
            let found = (t.cdf(x), t.two_sided_p(x), t.quantile(p));
            prop_assert!(is_sound(&found), "{df} {x} {p} {found:?}");
        }
        if let Some(chi) = ChiSquare::new(df) {
            let found = (chi.cdf(x), chi.quantile(p));
            prop_assert!(is_sound(&found), "{df} {x} {p} {found:?}");
        }
        if let Some(t) = NoncentralT::new(df, shift) {
            prop_assert!(is_sound(&t.sides(x)), "{df} {shift} {x} {:?}", t.sides(x));
        }
    }

    #[test]
    fn plans(pairs in 0..6usize, comparisons in 0..4usize, effect in strange(), sd in strange(), wanted in strange()) {
        let goal = Goal { comparisons, power: wanted };
        let least = (least_told(pairs, sd, comparisons), least_difference(pairs, sd, goal));
        let found = (power(pairs, effect, comparisons), least);
        prop_assert!(is_sound(&found), "{found:?}");
        prop_assert!(pairs_needed(effect, sd, goal).is_none_or(|pairs| pairs >= 2));
    }

    #[test]
    fn grids(points in proptest::collection::vec(0..4usize, 0..3), cells in cells()) {
        let cells: Cells = cells.into_iter().map(|(at, values)| (at, by_seed(&values))).collect();
        let found = Factorial::of(&points, &cells);
        prop_assert!(is_sound(&found), "{found:?}");
    }
}
