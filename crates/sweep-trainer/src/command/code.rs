//! Digests of the files that decide what a command computes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sweep_protocol::read_regular_file;

/// Number of hexadecimal digits of a digest.
const DIGITS: usize = 16;

/// Folders of a project that hold what the program writes.
const WRITTEN: [&str; 2] = ["results", "reports"];
/// Maximum number of files that are searched for a pattern.
const MOST_FILES: usize = 100_000;

/// Returns the digest of each file that the patterns name, by its path relative to the project. A pattern does not look
/// into links to folders, hidden folders, and the folders `results` and `reports`.
///
/// # Errors
/// When a pattern is invalid or names no file, or a file cannot be read.
pub(super) fn digests(project: &Path, patterns: &[String]) -> Result<BTreeMap<String, String>, String> {
    let mut names = BTreeSet::new();
    for text in patterns {
        let pattern = glob::Pattern::new(text).map_err(|fault| format!("`{text}` is not a pattern: {fault}"))?;
        let is_name = glob::Pattern::escape(text) == *text;
        let mut found = if is_name { vec![text.clone()] } else { files_below(project, plain_folder(text))? };
        found.retain(|name| if is_name { project.join(name).is_file() } else { pattern.matches_with(name, MATCHING) });
        if found.is_empty() {
            let project = std::path::absolute(project).unwrap_or_else(|_| project.to_owned());
            return Err(format!("`{text}` names no file in the project folder {}", project.display()));
        }
        names.extend(found);
    }
    let digest = |name: String| {
        let path = project.join(&name);
        let bytes = read_regular_file(&path).map_err(|fault| format!("{} cannot be read: {fault}", path.display()))?;
        Ok((name, blake3::hash(&bytes).to_hex()[..DIGITS].to_owned()))
    };
    names.into_iter().map(digest).collect()
}

/// A star stands for a part of one name, two stars for any folders.
const MATCHING: glob::MatchOptions =
    glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Returns the folder that all files of a pattern lie in: `lib` for `lib/**/*.py`, nothing for `*.py`.
fn plain_folder(pattern: &str) -> &str {
    let wild = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    pattern[..wild].rfind('/').map_or("", |end| &pattern[..end])
}

/// Returns the files below a folder of a project by their paths relative to the project.
fn files_below(project: &Path, folder: &str) -> Result<Vec<String>, String> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let path = project.join(if folder.is_empty() { "." } else { &folder });
        let entries =
            std::fs::read_dir(&path).map_err(|fault| format!("{} cannot be read: {fault}", path.display()))?;
        for entry in entries.flatten() {
            // A name that is not text cannot be written in a plan.
            let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
            let is_skipped = name.starts_with('.') || (folder.is_empty() && WRITTEN.contains(&name.as_str()));
            let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if kind.is_dir() && !is_skipped {
                folders.push(name);
            } else if kind.is_file() || (kind.is_symlink() && project.join(&name).is_file()) {
                files.push(name);
            }
        }
        if files.len() + folders.len() > MOST_FILES {
            return Err(format!(
                "{} has more than {MOST_FILES} files, too many to search; name a folder in the pattern, such as \
                 `model/**/*.py`",
                project.join(folder).display()
            ));
        }
    }
    Ok(files)
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

    #[test]
    fn patterns_follow_no_links_to_folders_and_skip_what_the_program_writes() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path();
        for name in
            ["a.py", "lib/b.py", "lib/deep/c.py", "results/runs/d.py", "reports/e.py", ".venv/f.py", "lib/.g.py"]
        {
            let path = project.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        std::os::unix::fs::symlink(project, project.join("lib/loop")).unwrap();
        std::os::unix::fs::symlink("b.py", project.join("lib/h.py")).unwrap();
        let of = |pattern: &str| digests(project, &[pattern.to_owned()]).unwrap().into_keys().collect::<Vec<_>>();
        assert_eq!(of("**/*.py"), ["a.py", "lib/b.py", "lib/deep/c.py", "lib/h.py"]);
        assert_eq!(of("*/*.py"), ["lib/b.py", "lib/h.py"]);
        assert_eq!(of("lib/**/*.py"), ["lib/b.py", "lib/deep/c.py", "lib/h.py"]);
        assert_eq!(of("results/*/*.py"), ["results/runs/d.py"], "a pattern may name such a folder");
        assert_eq!(of("reports/e.py"), ["reports/e.py"], "a plain name is read wherever it is");
    }
}
