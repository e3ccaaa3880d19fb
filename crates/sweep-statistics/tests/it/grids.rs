//! Effects in a grid against contrasts computed with NumPy and SciPy.

use sweep_statistics::{Cells, Factorial, PairedDifference};

use crate::reference::{by_seed, check, check_interval, count, number, numbers, part};

fn places(case: &serde_json::Value, name: &str) -> Vec<usize> {
    case[name].as_array().unwrap().iter().map(|place| usize::try_from(place.as_u64().unwrap()).unwrap()).collect()
}

#[test]
fn effects_match_contrasts() {
    let grid = part("/factorial");
    let cells: Cells = grid["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cell| (places(cell, "points"), by_seed(&numbers(cell, "values"))))
        .collect();
    let found = Factorial::of(&places(&grid, "points"), &cells).unwrap();
    let check_effect = |effect: &PairedDifference, case: &serde_json::Value| {
        check(effect.summary.mean, number(case, "mean"), case);
        check(effect.p.unwrap(), number(case, "p"), case);
        check_interval(effect.summary.interval.unwrap(), "interval", case);
        assert_eq!(effect.comparisons, count(&grid, "comparisons"));
    };
    let (main, both) = (grid["main"].as_array().unwrap(), grid["interactions"].as_array().unwrap());
    assert_eq!((found.main_effects.len(), found.interactions.len()), (main.len(), both.len()));
    for (effect, case) in found.main_effects.iter().zip(main) {
        assert_eq!((effect.axis, effect.point), (count(case, "axis"), count(case, "point")));
        check_effect(&effect.effect, case);
    }
    for (effect, case) in found.interactions.iter().zip(both) {
        assert_eq!((effect.axes.to_vec(), effect.points.to_vec()), (places(case, "axes"), places(case, "points")));
        check_effect(&effect.effect, case);
    }
    for (marginal, case) in found.marginal_means.iter().zip(grid["marginal"].as_array().unwrap()) {
        assert_eq!((marginal.axis, marginal.point), (count(case, "axis"), count(case, "point")));
        check(marginal.summary.mean, number(case, "mean"), case);
    }
}
