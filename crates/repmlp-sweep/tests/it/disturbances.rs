//! What tests of disturbed sweeps have in common: a random generator, damage to files, and a limited file size.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::Bench;

/// The random generator `SplitMix64`. The rounds are the same on every machine.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())].clone())
    }
}

/// Files and folders that are damaged after the scheduler has ended.
pub(crate) const TARGETS: [&str; 14] = [
    "journal.jsonl",
    "journal.jsonl",
    "supervisor.jsonl",
    "checkpoint-",
    "checkpoint-",
    "run.json",
    "lease",
    "orders.json",
    "plan.json",
    "metrics.sqlite",
    "metrics.sqlite-wal",
    "scheduler.lock",
    "attempt folder",
    "run folder",
];

/// Returns all files and folders below a folder, sorted.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            all.extend(below(&path));
        }
        all.push(path);
    }
    all.sort();
    all
}

/// Returns the files and folders of a results folder that are such a target.
pub(crate) fn found(bench: &Bench, target: &str) -> Vec<PathBuf> {
    found_below(&bench.path("results"), target)
}

fn found_below(folder: &Path, target: &str) -> Vec<PathBuf> {
    let parent = |path: &Path| path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let matches = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        match target {
            "attempt folder" => path.is_dir() && parent(path) == "attempts",
            "run folder" => path.is_dir() && parent(path) == "runs",
            "checkpoint-" => name.starts_with(target),
            // Published plans are kept in git.
            "plan.json" => name == target && !path.components().any(|part| part.as_os_str() == "published"),
            _ => name == target,
        }
    };
    below(folder).into_iter().filter(matches).collect()
}

/// Counts the occurrences of a word in all files with a name below a folder.
pub(crate) fn found_words(folder: &Path, target: &str, word: &str) -> usize {
    let texts = found_below(folder, target).into_iter().map(|path| fs::read(path).unwrap());
    texts.map(|text| String::from_utf8_lossy(&text).matches(word).count()).sum()
}

/// Damages one file or folder. Returns a description of the damage.
pub(crate) fn damage(path: &Path, dice: &mut Dice) -> String {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
        return format!("removed {}", path.display());
    }
    let mut bytes = fs::read(path).unwrap();
    let (mut from, mut to) = (dice.below(bytes.len()), dice.below(bytes.len() + 1));
    // The first bytes of some files say whose they are, and are not damaged: the program refuses the database or the lock
    // file of another program.
    let signed = match path.file_name().and_then(|name| name.to_str()) {
        Some("metrics.sqlite") => 100,
        Some("scheduler.lock") => 16,
        _ => 0,
    };
    from = from.max(signed.min(bytes.len()));
    to = to.max(from);
    let what = match dice.below(4) {
        0 => {
            bytes.truncate(from);
            format!("cut to {from} bytes")
        }
        1 => {
            bytes[from..to].fill(0);
            format!("zeros in {from}..{to}")
        }
        2 if from < bytes.len() => {
            bytes[from] ^= 1 << dice.below(8);
            format!("a bit of byte {from} flipped")
        }
        _ => {
            fs::remove_file(path).unwrap();
            return format!("removed {}", path.display());
        }
    };
    fs::write(path, bytes).unwrap();
    format!("{}: {what}", path.display())
}

/// Returns the program with these arguments and a limit of its file sizes, in blocks of 512 bytes. While the signal is
/// ignored, a write beyond the limit fails, as on a full disk.
pub(crate) fn limited(bench: &Bench, blocks: usize, words: &str) -> Command {
    bench.through_shell(&format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""), words)
}
