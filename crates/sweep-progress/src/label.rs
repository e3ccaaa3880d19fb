//! Short names of runs for people.

use std::collections::BTreeSet;

use sweep_protocol::{Coordinates, RunId, printable_line};

/// Returns a label for each run: its coordinates, or its short id if it has none. If the runs have several seeds, the
/// label names the seed.
pub fn labels<'a>(runs: impl IntoIterator<Item = (RunId, &'a Coordinates, u64)>) -> Vec<String> {
    let runs: Vec<_> = runs.into_iter().collect();
    let seeds: BTreeSet<u64> = runs.iter().map(|(_, _, seed)| *seed).collect();
    let label = |(run, coordinates, seed): &(RunId, &Coordinates, u64)| {
        let coordinates = printable_line(&coordinates.to_string()).into_owned();
        let name = if coordinates.is_empty() { run.short() } else { coordinates };
        if seeds.len() > 1 { format!("{name} seed {seed}") } else { name }
    };
    runs.iter().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_names_the_seed_if_there_are_several() {
        let run = RunId::of("{}", 0);
        let at = Coordinates(vec![("groups".to_owned(), "2".to_owned())]);
        let none = Coordinates::default();
        assert_eq!(labels([(run, &at, 0), (run, &none, 0)]), ["groups=2".to_owned(), run.short()]);
        assert_eq!(labels([(run, &at, 0), (run, &at, 1)]), ["groups=2 seed 0", "groups=2 seed 1"]);
    }
}
