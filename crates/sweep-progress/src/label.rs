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

/// The part of a label before its seed.
const SEED: &str = " seed ";

/// Returns a label that is at most `width` columns wide. The names of the axes are left out first, since all runs share
/// them. Then the word `seed` is shortened, and then the middle is cut.
pub fn fitted(label: &str, width: usize) -> String {
    let is_wide = |text: &str| text.chars().count() > width;
    if !is_wide(label) {
        return label.to_owned();
    }
    let value = |word: &str| word.split_once('=').map_or(word, |(_, value)| value).to_owned();
    let mut short = label.split(' ').map(value).collect::<Vec<String>>().join(" ");
    if is_wide(&short)
        && let Some((name, seed)) = short.rsplit_once(SEED)
    {
        short = format!("{name} s{seed}");
    }
    if is_wide(&short) { without_middle(&short, width) } else { short }
}

/// Cuts a text to a width. Its end says more than its middle.
fn without_middle(text: &str, width: usize) -> String {
    if width < 4 {
        return text.chars().take(width).collect();
    }
    let end = (width - 1) / 2;
    let start: String = text.chars().take(width - 1 - end).collect();
    let end: String = text.chars().skip(text.chars().count() - end).collect();
    format!("{start}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_is_too_wide_keeps_its_values_and_then_its_ends() {
        let label = "groups=16 kernels=1-3-5 seed 12";
        let at = |width| fitted(label, width);
        assert_eq!(at(31), label);
        assert_eq!(at(30), "16 1-3-5 seed 12");
        assert_eq!(at(15), "16 1-3-5 s12");
        assert_eq!(at(11), "16 1-…5 s12");
        assert_eq!(at(3), "16 ");
        assert_eq!(fitted("0123456789ab", 7), "012…9ab");
        // The labels of one sweep stay different as long as its values fit.
        assert_ne!(fitted("variant=fc3-as-conv9 seed 1", 16), fitted("variant=fc3-as-conv9 seed 2", 16));
    }

    #[test]
    fn a_label_names_the_seed_if_there_are_several() {
        let run = RunId::of("{}", 0);
        let at = Coordinates(vec![("groups".to_owned(), "2".to_owned())]);
        let none = Coordinates::default();
        assert_eq!(labels([(run, &at, 0), (run, &none, 0)]), ["groups=2".to_owned(), run.short()]);
        assert_eq!(labels([(run, &at, 0), (run, &at, 1)]), ["groups=2 seed 0", "groups=2 seed 1"]);
    }
}
