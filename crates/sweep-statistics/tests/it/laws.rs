//! Laws that hold for any values.

use std::collections::BTreeMap;

use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_assume, proptest};
use sweep_statistics::{
    AccuracyDifference, Candidate, Cells, EffectSize, Equivalence, EquivalenceVerdict, Estimate, Factorial, Goal,
    Interval, McNemar, PairedDifference, Pairs, Pilot, Ratio, RatioBootstrap, Resampling, RoundingNoise, Standing,
    StudentT, Welch, compare_with_baseline, holm, least_difference, least_told, paired_superiority, pairs_needed,
    pareto_front, power, superiority,
};

/// Few resamples, since laws hold for any number of them.
const RESAMPLING: Resampling = Resampling { resamples: 200, seed: 5 };

fn values(n: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(-1.0..1.0f64, n)
}

/// Multiples of 1/1024. Sums of them and of such shifts are exact, so ties stay ties.
fn exact_values(n: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec((-1024..1024i32).prop_map(|value| f64::from(value) / 1024.0), n)
}

fn pairs(n: std::ops::Range<usize>) -> impl Strategy<Value = Pairs> {
    proptest::collection::vec((-1.0..1.0f64, -1.0..1.0f64), n).prop_map(|pairs| {
        let (values, baseline) = pairs.into_iter().unzip();
        Pairs::new(values, baseline).unwrap()
    })
}

fn swapped(pairs: &Pairs) -> Pairs {
    Pairs::new(pairs.baseline().to_vec(), pairs.values().to_vec()).unwrap()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

fn ends_close(a: Option<Interval>, b: Option<Interval>, map: impl Fn(Interval) -> Interval) -> bool {
    match (a.map(map), b) {
        (Some(a), Some(b)) => close(a.low, b.low) && close(a.high, b.high),
        (a, b) => a.is_none() && b.is_none(),
    }
}

fn mirrored(ends: Interval) -> Interval {
    Interval { low: -ends.high, high: -ends.low }
}

fn by_seed(values: &[f64]) -> BTreeMap<u64, f64> {
    (0..).zip(values.iter().copied()).collect()
}

proptest! {
    #[test]
    fn an_estimate_follows_shift_and_scale(values in exact_values(1..14), shift in -64..64i32, scale in 1..9u32) {
        let (shift, scale) = (f64::from(shift), f64::from(scale));
        let moved: Vec<f64> = values.iter().map(|value| scale * value + shift).collect();
        let (found, moved) = (Estimate::of(&values, RESAMPLING).unwrap(), Estimate::of(&moved, RESAMPLING).unwrap());
        let map = |value: f64| scale * value + shift;
        prop_assert!(close(map(found.mean), moved.mean));
        prop_assert!(found.sd.is_none() || close(scale * found.sd.unwrap(), moved.sd.unwrap()));
        let moves = |ends: Interval| Interval { low: map(ends.low), high: map(ends.high) };
        prop_assert!(ends_close(found.interval, moved.interval, moves), "{found:?} {moved:?}");
        prop_assert_eq!(found.method, moved.method);
    }

    #[test]
    fn an_estimate_is_between_its_values_and_the_order_does_not_matter_for_t(mut values in values(2..8)) {
        let found = Estimate::of(&values, RESAMPLING).unwrap();
        values.reverse();
        let reversed = Estimate::of(&values, RESAMPLING).unwrap();
        prop_assert!(close(found.mean, reversed.mean) && ends_close(found.interval, reversed.interval, |ends| ends));
        let (low, high) = values.iter().fold((1.0_f64, -1.0_f64), |(l, h), value| (l.min(*value), h.max(*value)));
        prop_assert!(found.mean >= low - 1e-12 && found.mean <= high + 1e-12);
    }

    #[test]
    fn a_bca_interval_is_within_the_range_of_the_values(values in values(8..30)) {
        if let Some(ends) = RESAMPLING.bca_interval_of_mean(&values, 0.95) {
            let (low, high) = values.iter().fold((1.0_f64, -1.0_f64), |(l, h), value| (l.min(*value), h.max(*value)));
            prop_assert!(low - 1e-12 <= ends.low && ends.low <= ends.high && ends.high <= high + 1e-12, "{ends:?}");
        }
    }

    #[test]
    fn holm_is_between_p_and_bonferroni_and_keeps_the_order(
        p in proptest::collection::vec(0.0..=1.0f64, 0..9), more in 0..4usize,
    ) {
        let comparisons = p.len() + more;
        let adjusted = holm(&p, comparisons).unwrap();
        for (i, (own, holm)) in p.iter().zip(&adjusted).enumerate() {
            prop_assert!(own <= holm && *holm <= (comparisons as f64 * own).min(1.0) + 1e-15);
            for (other, other_holm) in p.iter().zip(&adjusted).take(i) {
                prop_assert!(own < other || holm >= other_holm);
                prop_assert!(own > other || holm <= other_holm);
            }
        }
    }

    #[test]
    fn swapping_row_and_baseline_changes_signs_only(pairs in pairs(2..9)) {
        let (row, baseline) = (by_seed(pairs.values()), by_seed(pairs.baseline()));
        let found = compare_with_baseline([(&row, &baseline)])[0].unwrap();
        let back = compare_with_baseline([(&baseline, &row)])[0].unwrap();
        prop_assert!(close(found.difference.summary.mean, -back.difference.summary.mean));
        prop_assert!(ends_close(found.difference.summary.interval, back.difference.summary.interval, mirrored));
        prop_assert!(close(found.difference.p.unwrap_or(1.0), back.difference.p.unwrap_or(1.0)));
        prop_assert!(close(found.paired_superiority, 1.0 - back.paired_superiority));
        prop_assert!(close(found.superiority.unwrap(), 1.0 - back.superiority.unwrap()));
        let (welch, other) = (found.welch.unwrap(), back.welch.unwrap());
        prop_assert!(close(welch.t, -other.t) && close(welch.df, other.df) && close(welch.p, other.p));
        for (effect, other) in [
            (found.effect_of_differences, back.effect_of_differences),
            (found.effect_of_pairs, back.effect_of_pairs),
            (found.effect_of_samples, back.effect_of_samples),
        ] {
            prop_assert!(close(effect.unwrap().d, -other.unwrap().d));
        }
    }

    #[test]
    fn p_holm_is_at_most_bonferroni(rows in proptest::collection::vec(values(4..5), 1..6), baseline in values(4..5)) {
        let rows: Vec<_> = rows.iter().map(|row| by_seed(row)).collect();
        let baseline = by_seed(&baseline);
        for found in compare_with_baseline(rows.iter().map(|row| (row, &baseline))).into_iter().flatten() {
            prop_assert_eq!(found.p_holm.is_some(), found.difference.p.is_some());
            let (p, bonferroni) = (found.difference.p, found.difference.p_adjusted);
            if let (Some(holm), Some(bonferroni), Some(p)) = (found.p_holm, bonferroni, p) {
                prop_assert!(p <= holm && holm <= bonferroni);
                prop_assert_eq!(bonferroni < 0.05, found.difference.is_told());
            }
        }
    }

    #[test]
    fn welchs_p_is_below_the_level_exactly_if_the_interval_excludes_zero(
        values in values(2..9), others in values(2..9), shift in -1.0..1.0f64,
    ) {
        let moved: Vec<f64> = values.iter().map(|value| value + shift).collect();
        let test = Welch::of(&moved, &others).unwrap();
        prop_assert_eq!(test.p < 0.05, test.interval.excludes(0.0));
        prop_assert!(test.df >= 1.0 - 1e-12 && test.df <= (values.len() + others.len() - 2) as f64 + 1e-9);
    }

    #[test]
    fn effect_sizes_and_superiority_do_not_depend_on_the_unit(pairs in pairs(3..9), scale in 0.01..100.0f64) {
        let scaled = |values: &[f64]| values.iter().map(|value| scale * value).collect::<Vec<f64>>();
        let other = Pairs::new(scaled(pairs.values()), scaled(pairs.baseline())).unwrap();
        let d = |pairs: &Pairs| EffectSize::of_pairs(pairs).unwrap().d;
        prop_assert!(close(d(&pairs), d(&other)));
        prop_assert!(close(paired_superiority(&pairs), paired_superiority(&other)));
        prop_assert_eq!(superiority(pairs.values(), pairs.baseline()), superiority(other.values(), other.baseline()));
        let effect = EffectSize::of_differences(&pairs).unwrap();
        prop_assert!(effect.g.unwrap().abs() <= effect.d.abs());
    }

    #[test]
    fn equivalence_is_told_exactly_if_the_interval_is_within_the_margin(pairs in pairs(2..9), margin in 0.01..2.0f64) {
        let found = Equivalence::of_difference(&pairs, margin).unwrap();
        prop_assume!(found.interval.is_some());
        let ends = found.interval.unwrap();
        prop_assert_eq!(found.p.unwrap() < 0.05, ends.low > -margin && ends.high < margin);
        prop_assert_eq!(found.verdict == EquivalenceVerdict::Equivalent, found.p.unwrap() < 0.05);
        let back = Equivalence::of_difference(&swapped(&pairs), margin).unwrap();
        prop_assert!(close(found.p.unwrap(), back.p.unwrap()) && found.verdict == back.verdict);
    }

    #[test]
    fn a_ratio_turned_around_is_its_inverse(pairs in pairs(2..9), margin in 1.01..3.0f64) {
        let positive = |values: &[f64]| values.iter().map(|value| value + 1.5).collect::<Vec<f64>>();
        let pairs = Pairs::new(positive(pairs.values()), positive(pairs.baseline())).unwrap();
        let (found, back) =
            (Equivalence::of_ratio(&pairs, margin).unwrap(), Equivalence::of_ratio(&swapped(&pairs), margin).unwrap());
        prop_assert!(close(found.mean, 1.0 / back.mean) && found.verdict == back.verdict);
        let inverse = |ends: Interval| Interval { low: 1.0 / ends.high, high: 1.0 / ends.low };
        prop_assert!(ends_close(found.interval, back.interval, inverse));
    }

    #[test]
    fn mcnemars_test_and_the_accuracy_are_about_the_same_images(
        images in proptest::collection::vec((proptest::bool::ANY, proptest::bool::ANY), 1..60),
    ) {
        let (first, second): (Vec<bool>, Vec<bool>) = images.into_iter().unzip();
        let test = McNemar::of(&first, &second).unwrap();
        let accuracy = AccuracyDifference::of(&first, &second, RESAMPLING).unwrap();
        prop_assert!(test.p > 0.0 && test.p <= 1.0);
        let difference = (test.only_first as f64 - test.only_second as f64) / test.images as f64;
        prop_assert!(close(accuracy.difference, difference));
        let back = AccuracyDifference::of(&second, &first, RESAMPLING).unwrap();
        prop_assert!(ends_close(accuracy.interval, back.interval, mirrored));
    }

    #[test]
    fn power_grows_with_pairs_and_difference_and_shrinks_with_the_family(
        n in 2..40usize, effect in 0.05..3.0f64, comparisons in 1..12usize,
    ) {
        let found = power(n, effect, comparisons).unwrap();
        prop_assert!((0.0..=1.0 + 1e-12).contains(&found));
        prop_assert!(power(n + 1, effect, comparisons).unwrap() >= found - 1e-12);
        prop_assert!(power(n, 1.1 * effect, comparisons).unwrap() >= found - 1e-12);
        prop_assert!(power(n, effect, comparisons + 1).unwrap() <= found + 1e-12);
        prop_assert!(close(power(n, -effect, comparisons).unwrap(), found));
    }

    #[test]
    fn the_least_difference_needs_the_pairs_it_was_planned_for(
        n in 2..60usize, comparisons in 1..9usize, sd in 1e-4..10.0f64,
    ) {
        let goal = Goal { comparisons, power: 0.8 };
        let least = least_difference(n, sd, goal).unwrap();
        prop_assert_eq!(pairs_needed(1.000_001 * least, sd, goal), Some(n));
        prop_assert_eq!(pairs_needed(0.999_999 * least, sd, goal), Some(n + 1));
        prop_assert!(close(least_difference(n, 2.0 * sd, goal).unwrap(), 2.0 * least));
    }

    #[test]
    fn what_a_comparison_could_tell_is_what_a_plan_says(pairs in pairs(2..9), comparisons in 1..9usize) {
        let found = PairedDifference::of(&by_seed(pairs.values()), &by_seed(pairs.baseline())).unwrap();
        let found = found.among(comparisons);
        let planned = least_told(pairs.values().len(), found.summary.sd.unwrap(), comparisons).unwrap();
        prop_assert!(close(found.least_told().unwrap(), planned));
    }

    #[test]
    fn a_pilots_bound_is_above_its_deviation_and_grows_with_the_confidence(values in values(2..20)) {
        let bound = |confidence| Pilot::of(&values, confidence).unwrap().sd_upper;
        prop_assert!(bound(0.8) > Pilot::of(&values, 0.8).unwrap().sd && bound(0.95) > bound(0.8));
    }

    #[test]
    fn ratios_do_not_depend_on_the_clock(
        rounds in proptest::collection::vec((0.5..2.0f64, 0.5..2.0f64), 8..30), unit in 0.1..10.0f64,
    ) {
        let (own, base): (Vec<f64>, Vec<f64>) = rounds.into_iter().unzip();
        let scaled = |seconds: &[f64]| seconds.iter().map(|value| unit * value).collect::<Vec<f64>>();
        let (found, other) =
            (Ratio::of(&own, &base, 1).unwrap(), Ratio::of(&scaled(&own), &scaled(&base), 1).unwrap());
        prop_assert!(close(found.median, other.median) && ends_close(found.interval, other.interval, |ends| ends));
        let bootstrap = RatioBootstrap::of(&own, &base, 1, RESAMPLING).unwrap();
        let ends = bootstrap.interval.unwrap();
        prop_assert_eq!(bootstrap.median.to_bits(), found.median.to_bits());
        prop_assert!(ends.low <= found.median && found.median <= ends.high, "{bootstrap:?}");
        prop_assert_eq!(RatioBootstrap::of(&own, &base, 1, RESAMPLING), Some(bootstrap));
    }

    #[test]
    fn a_two_by_two_grid_has_the_differences_of_its_cells(cells in proptest::collection::vec(values(3..4), 4..5)) {
        let at = [[0, 0], [0, 1], [1, 0], [1, 1]];
        let grid: Cells = at.iter().zip(&cells).map(|(at, values)| (at.to_vec(), by_seed(values))).collect();
        let found = Factorial::of(&[2, 2], &grid).unwrap();
        let mean = |cell: usize| cells[cell].iter().sum::<f64>() / 3.0;
        let first = (mean(2) + mean(3) - mean(0) - mean(1)) / 2.0;
        prop_assert!(close(found.main_effects[0].effect.summary.mean, first));
        let both = mean(3) - mean(1) - mean(2) + mean(0);
        prop_assert!(close(found.interactions[0].effect.summary.mean, both));
        // The name of an axis does not matter.
        let turned: Cells = grid.iter().map(|(at, values)| (vec![at[1], at[0]], values.clone())).collect();
        let turned = Factorial::of(&[2, 2], &turned).unwrap();
        prop_assert!(close(turned.interactions[0].effect.summary.mean, both));
        prop_assert!(close(turned.main_effects[1].effect.summary.mean, first));
    }

    #[test]
    fn the_front_is_what_nothing_dominates(points in proptest::collection::vec((0..4i32, values(3..4)), 1..8)) {
        let candidates: Vec<Candidate> = points
            .iter()
            .map(|(cost, values)| Candidate { cost: f64::from(*cost), values: by_seed(values) })
            .collect();
        let standings: Vec<Standing> = pareto_front(&candidates).into_iter().map(Option::unwrap).collect();
        let front = |place: &usize| matches!(standings[*place], Standing::Front { .. });
        prop_assert!((0..candidates.len()).any(|place| front(&place)));
        for standing in &standings {
            if let Standing::Dominated { by } = standing {
                // Of what dominates, something is on the front.
                prop_assert!(by.iter().any(|dominance| front(&dominance.by)));
            }
        }
    }

    #[test]
    fn shares_of_noise_are_shares(pairs in pairs(2..12), shift in -1.0..1.0f64) {
        let noise = RoundingNoise::of(&pairs).unwrap();
        prop_assert!(noise.share > 0.0 && noise.share <= 1.0 && noise.seed_sd >= 0.0);
        prop_assert!(noise.share_interval.low <= noise.share && noise.share <= noise.share_interval.high);
        let ends = noise.rounding_interval;
        prop_assert!(ends.low < noise.rounding_sd && noise.rounding_sd < ends.high);
        let total = noise.rounding_sd.powi(2) + noise.seed_sd.powi(2);
        prop_assert!(close(noise.share, noise.rounding_sd.powi(2) / total));
        // A mean difference between the arithmetics is no noise.
        let moved = pairs.values().iter().map(|value| value + shift).collect();
        let moved = RoundingNoise::of(&Pairs::new(moved, pairs.baseline().to_vec()).unwrap()).unwrap();
        prop_assert!(close(noise.share, moved.share) && close(noise.rounding_sd, moved.rounding_sd));
    }

    #[test]
    fn a_quantile_of_students_t_is_the_inverse_of_its_distribution(p in 1e-9..1.0f64, df in 0.5..500.0f64) {
        prop_assume!(p < 1.0);
        let distribution = StudentT::new(df).unwrap();
        let back = distribution.cdf(distribution.quantile(p).unwrap()).unwrap();
        prop_assert!((back - p).abs() <= 1e-12 + 1e-9 * p, "{p} {back}");
    }
}
