//! Rules of the documentation: its examples work, its links lead somewhere, its generated pages are current, and its
//! words are plain.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::bench::{Bench, repository, skipped};

/// All files below a folder with one of these endings, except in folders that hold no text of ours.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let skipped = ["target", "results", ".git"];
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !skipped.contains(&name.as_str()) {
            found.extend(files(&path, endings));
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The hand-written Markdown files of the repository.
fn pages() -> Vec<PathBuf> {
    let mut pages = files(&repository().join("docs/src"), &[".md"]);
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "reports/speed/README.md",
        "examples/own_block/README.md",
        "examples/pytorch_repmlp/README.md",
    ] {
        pages.push(repository().join(name));
    }
    pages
}

#[test]
fn generated_pages_are_current() {
    let bench = Bench::empty();
    bench.done("reference pages");
    let folder = repository().join("docs/src/reference");
    for page in files(&bench.path("pages"), &[".md"]) {
        let stored = fs::read_to_string(folder.join(page.file_name().unwrap())).unwrap_or_default();
        let name = page.file_name().unwrap().display();
        assert!(
            stored == fs::read_to_string(&page).unwrap(),
            "{name}: run `cargo run -- reference docs/src/reference`"
        );
    }
}

/// A block of code on a page, with the comments before it that say what the test does with it.
struct Block {
    directives: Vec<(String, String)>,
    text: String,
}

/// The blocks of a page that have directives: `<!-- file: PATH -->`, `<!-- base: PATH -->`, `<!-- run -->` or
/// `<!-- run with python3 -->`.
fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut directives) = (Vec::new(), Vec::new());
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let comment = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
        if let Some(comment) = comment {
            let (key, value) = comment.split_once(": ").unwrap_or((comment, ""));
            let directive = (key.to_owned(), value.to_owned());
            match key {
                // A base file is carried, so no block follows.
                "base" => blocks.push(Block { directives: vec![directive], text: String::new() }),
                _ => directives.push(directive),
            }
        } else if line.starts_with("```") {
            let text = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            blocks.push(Block { directives: std::mem::take(&mut directives), text });
        } else if !line.is_empty() {
            // A comment that is not followed by a block stands for itself.
            directives.clear();
        }
    }
    blocks
}

/// Whether a program can be started here.
fn has(program: &str) -> bool {
    std::process::Command::new(program).arg("--version").output().is_ok()
}

/// Follows a page: writes its files and runs its commands. Returns how many commands ran.
fn follow(page: &str) -> usize {
    let bench = Bench::empty();
    let mut folder = bench.folder().to_owned();
    let mut ran = 0;
    for Block { directives, text } in blocks(page) {
        for (key, value) in directives {
            match key.as_str() {
                "file" => write(&folder.join(value), &text),
                "base" => {
                    let base = fs::read_to_string(repository().join("experiments/base/pure-mlp.toml")).unwrap();
                    write(&folder.join(value), &base);
                }
                "run with python3" if !has("python3") => skipped("an example", "there is no python3"),
                "run" | "run with python3" => {
                    for line in text.lines() {
                        let words = line.split(" # ").next().unwrap().trim();
                        if let Some(inner) = words.strip_prefix("cd ") {
                            folder.push(inner);
                            continue;
                        }
                        let words = words.strip_prefix("repmlp-sweep ").expect("commands of this program only");
                        let mut command = bench.command(words);
                        let output = command.current_dir(&folder).output().unwrap();
                        let errors = String::from_utf8_lossy(&output.stderr);
                        assert!(output.status.success(), "{line}\n{errors}");
                        ran += 1;
                    }
                }
                _ => {}
            }
        }
    }
    ran
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn examples_of_the_documentation_work() {
    let mut ran = 0;
    for page in files(&repository().join("docs/src"), &[".md"]) {
        ran += follow(&fs::read_to_string(page).unwrap());
    }
    assert!(ran >= 10, "{ran} commands ran");
}

/// The anchors of a page, as its host makes them from headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| {
        let kept =
            heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
        kept.replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn links_lead_to_files_and_headings_that_exist() {
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap();
            if target.contains("://") || target.contains('\n') {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(file.exists(), "{}: no file {target}", page.display());
            if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(&file).unwrap());
                assert!(there.contains(anchor), "{}: no heading {target}", page.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked} links");
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let folder = repository().join("docs/src");
    let summary = fs::read_to_string(folder.join("SUMMARY.md")).unwrap();
    for page in files(&folder, &[".md"]) {
        let name = page.strip_prefix(&folder).unwrap().display().to_string();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "SUMMARY.md does not list {name}");
    }
}

#[test]
fn tests_that_the_architecture_names_exist() {
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let sources = files(&repository().join("crates"), &[".rs"]);
    let mut checked = 0;
    let start = text.find("## What survives what").unwrap();
    let end = text.find("## Decisions").unwrap();
    for row in text[start..end].lines().filter(|line| line.starts_with('|') && line.contains(".rs`")) {
        let tests = row.trim_end_matches('|').rsplit('|').next().unwrap();
        for part in tests.split(';').filter(|part| part.contains(".rs`")) {
            let words: Vec<&str> = part.split('`').skip(1).step_by(2).collect();
            let (names, starts): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.ends_with(".rs"));
            let named: Vec<&PathBuf> =
                sources.iter().filter(|path| names.iter().any(|name| path.ends_with(name))).collect();
            assert!(!named.is_empty(), "no file {names:?}");
            for start in starts {
                let defines = |path: &&PathBuf| fs::read_to_string(path).unwrap().contains(&format!("fn {start}"));
                assert!(named.iter().any(defines), "no test `{start}…` in {names:?}");
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked} rows");
}

/// Phrases that readers stumbled over, each with a plain one.
const STUMBLES: &[(&str, &str)] = &[
    ("whoever", "name the person or use the imperative"),
    ("but for the", "except"),
    ("that which", "what, or the noun"),
    ("as it lies", "in place"),
    ("is to be had", "is available"),
    ("so many of", "the number"),
    ("in its own words", "name the words"),
    ("takes the place of", "replaces"),
    ("what lies", "name the thing"),
    ("be told from", "differ significantly"),
    ("told apart", "distinguished"),
    ("of which", "two sentences"),
    ("the like", "name the things"),
    ("all the same", "anyway, or equal"),
    ("weights of pytorch's", "PyTorch weights"),
    ("it comes to", "name the result"),
];

#[test]
fn words_are_plain_and_lines_are_short() {
    let mut faults = Vec::new();
    let texts = files(&repository().join("crates"), &[".rs", ".sql"])
        .into_iter()
        .chain(files(&repository().join("experiments"), &[".toml"]))
        .chain(pages())
        .filter(|path| !path.ends_with("tests/it/docs.rs"));
    for path in texts {
        let text = fs::read_to_string(&path).unwrap();
        let is_generated = text.starts_with("<!-- Generated");
        let (is_toml, is_test) =
            (path.extension().is_some_and(|e| e == "toml"), path.components().any(|c| c.as_os_str() == "tests"));
        for (number, line) in text.lines().enumerate() {
            let place = || format!("{}:{}", path.strip_prefix(repository()).unwrap().display(), number + 1);
            // Tables, snapshots in tests and inline tables of TOML cannot be wrapped.
            let is_unbroken = line.starts_with('|') || is_generated || is_toml || is_test;
            if line.chars().count() > 120 && !is_unbroken {
                faults.push(format!("{}: {} columns", place(), line.chars().count()));
            }
            let lower = line.to_lowercase();
            for (phrase, plain) in STUMBLES.iter().filter(|(phrase, _)| lower.contains(phrase)) {
                faults.push(format!("{}: `{phrase}`; better: {plain}", place()));
            }
        }
    }
    assert!(faults.is_empty(), "{} places:\n{}", faults.len(), faults.join("\n"));
}
