//! Digests of the files that decide what a command computes.

use std::collections::BTreeMap;
use std::path::Path;

use sweep_protocol::read_regular_file;

/// Number of hexadecimal digits of a digest.
const DIGITS: usize = 16;

/// Returns the digest of each file that the patterns name, by its path relative to the project.
///
/// # Errors
/// When a pattern is invalid or names no file, or a file cannot be read.
pub(super) fn digests(project: &Path, patterns: &[String]) -> Result<BTreeMap<String, String>, String> {
    let mut digests = BTreeMap::new();
    for pattern in patterns {
        let folder = glob::Pattern::escape(&project.to_string_lossy());
        let full = if folder.is_empty() { pattern.clone() } else { format!("{folder}/{pattern}") };
        let paths = glob::glob(&full).map_err(|fault| format!("`{pattern}` is not a pattern: {fault}"))?;
        let mut found = false;
        for path in paths {
            let path = path.map_err(|fault| fault.to_string())?;
            if !path.is_file() {
                continue;
            }
            let bytes =
                read_regular_file(&path).map_err(|fault| format!("{} cannot be read: {fault}", path.display()))?;
            let name = path.strip_prefix(project).unwrap_or(&path).to_string_lossy().into_owned();
            digests.insert(name, blake3::hash(&bytes).to_hex()[..DIGITS].to_owned());
            found = true;
        }
        if !found {
            let project = std::path::absolute(project).unwrap_or_else(|_| project.to_owned());
            return Err(format!("`{pattern}` names no file in the project folder {}", project.display()));
        }
    }
    Ok(digests)
}

/// Returns the digests of the files with these names, as far as they can be read.
pub(super) fn digests_of<'a>(project: &Path, names: impl Iterator<Item = &'a String>) -> BTreeMap<String, String> {
    let digest = |name: &String| {
        let bytes = read_regular_file(&project.join(name)).ok()?;
        Some((name.clone(), blake3::hash(&bytes).to_hex()[..DIGITS].to_owned()))
    };
    names.filter_map(digest).collect()
}

/// Returns the files that differ between two lists of digests.
pub(super) fn changed<'a>(a: &'a BTreeMap<String, String>, b: &'a BTreeMap<String, String>) -> Vec<&'a str> {
    let mut names: Vec<&str> =
        a.keys().chain(b.keys()).filter(|name| a.get(*name) != b.get(*name)).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_file_counts_and_a_pattern_without_a_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("model")).unwrap();
        for (name, text) in [("train.py", "1"), ("model/a.py", "2"), ("model/b.py", "3"), ("model/c.txt", "4")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let of = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            digests(folder.path(), &patterns)
        };
        let before = of(&["train.py", "model/*.py"]).unwrap();
        assert_eq!(before.keys().collect::<Vec<_>>(), ["model/a.py", "model/b.py", "train.py"]);
        std::fs::write(folder.path().join("model/b.py"), "5").unwrap();
        assert_eq!(changed(&before, &of(&["train.py", "model/*.py"]).unwrap()), ["model/b.py"]);
        assert!(of(&["trian.py"]).unwrap_err().contains("names no file"));
        assert!(of(&["a["]).is_err() && of(&["***"]).is_err());
    }
}
