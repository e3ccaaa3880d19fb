//! Tests of differences against SciPy.

use std::collections::BTreeMap;

use sweep_statistics::{Equivalence, McNemar, Pairs, RoundingNoise, compare_with_baseline};

use crate::reference::{by_seed, cases, check, check_digits, check_interval, count, number, numbers};

#[test]
fn comparisons_with_a_baseline_match_scipy() {
    for case in cases("/comparison") {
        let (row, baseline) = (by_seed(&numbers(&case, "row")), by_seed(&numbers(&case, "baseline")));
        // A family of four. The last three are the same.
        let other: BTreeMap<u64, f64> = row.iter().map(|(seed, value)| (*seed, value + 0.1 * *seed as f64)).collect();
        let rows = [row, other.clone(), other.clone(), other];
        let found = compare_with_baseline(rows.iter().map(|row| (row, &baseline)))[0].unwrap();
        check(found.difference.p.unwrap(), number(&case, "p"), &case);
        check_interval(found.difference.summary.interval.unwrap(), "interval", &case);
        let welch = found.welch.unwrap();
        for (value, name) in [(welch.t, "t"), (welch.df, "df"), (welch.p, "p")] {
            check(value, number(&case["welch"], name), &case);
        }
        check(welch.interval.low, number(&case["welch"], "low"), &case);
        check(welch.interval.high, number(&case["welch"], "high"), &case);
        for (effect, d, g) in [
            (found.effect_of_differences.unwrap(), "d_z", "g_z"),
            (found.effect_of_pairs.unwrap(), "d_av", "g_av"),
            (found.effect_of_samples.unwrap(), "d_s", "g_s"),
        ] {
            check(effect.d, number(&case, d), &case);
            check(effect.g.unwrap(), number(&case, g), &case);
        }
        check(found.superiority.unwrap(), number(&case, "superiority"), &case);
    }
}

#[test]
fn mcnemars_test_matches_scipy() {
    for case in cases("/mcnemar") {
        let (first, second) = (count(&case, "first"), count(&case, "second"));
        // Images that both or neither classify correctly stand around those that count.
        let row = |only: bool, n: usize| std::iter::repeat_n(only, n);
        let a: Vec<bool> = row(true, first).chain(row(false, second)).chain([true, false]).collect();
        let b: Vec<bool> = row(false, first).chain(row(true, second)).chain([true, false]).collect();
        let test = McNemar::of(&a, &b).unwrap();
        assert_eq!((test.only_first, test.only_second, test.images), (first, second, first + second + 2));
        check_digits(test.p, "p", &case);
        assert_eq!(McNemar::of(&b, &a).unwrap().p.to_bits(), test.p.to_bits());
    }
}

#[test]
fn equivalence_matches_scipy() {
    for case in cases("/equivalence") {
        let pairs = Pairs::new(numbers(&case, "row"), numbers(&case, "baseline")).unwrap();
        let found = Equivalence::of_difference(&pairs, number(&case, "margin")).unwrap();
        check(found.p.unwrap(), number(&case, "p"), &case);
        check_interval(found.interval.unwrap(), "interval", &case);
        let ratio = Equivalence::of_ratio(&pairs, number(&case, "ratio_margin")).unwrap();
        check(ratio.p.unwrap(), number(&case, "ratio_p"), &case);
        check(ratio.mean, number(&case, "ratio"), &case);
        check_interval(ratio.interval.unwrap(), "ratio_interval", &case);
    }
}

#[test]
fn components_of_noise_match_the_mean_squares() {
    for case in cases("/rounding_noise") {
        let found = RoundingNoise::of(&Pairs::new(numbers(&case, "first"), numbers(&case, "second")).unwrap()).unwrap();
        // Values of 0.9 leave variances of 1e-5 to 1e-7 with twelve digits.
        check(found.rounding_sd, number(&case, "rounding_sd"), &case);
        check(found.seed_sd, number(&case, "seed_sd"), &case);
        check(found.share, number(&case, "share"), &case);
        check_interval(found.rounding_interval, "rounding_interval", &case);
        check_interval(found.share_interval, "share_interval", &case);
    }
}
