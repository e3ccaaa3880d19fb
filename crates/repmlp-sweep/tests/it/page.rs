//! The page of a sweep in a real browser. Without a browser the tests are skipped, except in CI.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::bench::{Bench, repository, skipped};

/// Returns the browser and the folder of node modules; `None` if something is missing here.
fn browser() -> Option<(PathBuf, PathBuf)> {
    let is_there = |program: &&str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let program = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(is_there);
    let which = |program: &str| {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().ok()?;
        Some(PathBuf::from(String::from_utf8(found.stdout).ok()?.trim()))
    };
    let modules = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let modules = modules.join("tools/browser/node_modules");
    let missing = match (program, ["node"].iter().any(is_there), modules.is_dir()) {
        (None, ..) => "Chromium is not installed",
        (_, false, _) => "`node` is not installed",
        (.., false) => "`.ci/tools` was not run",
        (Some(program), true, true) => return Some((which(program)?, modules.canonicalize().ok()?)),
    };
    assert!(std::env::var_os("CI").is_none(), "pages must be tested in CI: {missing}");
    skipped("the page in a browser", missing);
    None
}

/// Visits a page. Returns what the browser saw.
fn visited((browser, modules): &(PathBuf, PathBuf), url: &str) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/browser/page.mjs");
    let ran = Command::new("node").arg(script).arg(modules).arg(browser).arg(url).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap()
}

fn list(seen: &Value) -> Vec<&str> {
    seen.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// Checks what every page must be: without errors, and usable by everyone.
fn check(seen: &Value) {
    assert_eq!(list(&seen["errors"]), Vec::<&str>::new());
    assert_eq!(list(&seen["serious"]), Vec::<&str>::new(), "axe-core finds nothing serious");
    assert!(seen["overflow"].as_i64().unwrap() <= 0, "a phone scrolls in one direction only: {}", seen["overflow"]);
    let ascending = list(&seen["sorted"][0]["values"]);
    let mut descending = list(&seen["sorted"][1]["values"]);
    assert_eq!(seen["order"], "descending");
    descending.reverse();
    let number = |text: &&str| text.parse::<f64>().unwrap_or(f64::INFINITY);
    assert!(ascending.iter().map(number).is_sorted() && ascending.len() > 1, "{ascending:?}");
    assert!(descending.iter().map(number).is_sorted(), "{descending:?}");
    assert_eq!(seen["filtered"], 0);
}

#[test]
fn a_page_sorts_filters_and_shows_values_without_a_network() {
    let bench = Bench::new();
    bench.add_profile("more", 3, 4);
    bench.done("experiments/tiny.toml --profile more --threads 1");
    let told = bench.done("page experiments/tiny.toml --profile more").stderr();
    assert!(told.contains("wrote reports/tiny/more/page.html"), "{told}");
    let file = bench.path("reports/tiny/more/page.html");
    let page = std::fs::read_to_string(&file).unwrap();
    // Whoever renders the report keeps the page, and a page replaces only a page.
    bench.done("report experiments/tiny.toml --profile more");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), page);
    bench.done("page experiments/tiny.toml --profile more");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), page, "the same rows give the same bytes");
    let refused = bench.run("page experiments/tiny.toml --profile more --out reports/tiny/more/report.md");
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr().contains("is not a page of this program"), "{}", refused.stderr());

    let Some(browser) = browser() else { return };
    let url = format!("file://{}", file.display());
    let seen = visited(&browser, &url);
    check(&seen);
    assert!(list(&seen["requests"]).iter().all(|request| *request == url || request.starts_with("data:")), "{seen}");
    assert!(seen["tip"].as_str().unwrap().contains('%'), "{seen}");
    let dialog = seen["dialog"].as_str().unwrap();
    for part in ["seed 0", "succeeded", "Curves", "Values", "Configuration", "[training]"] {
        assert!(dialog.contains(part), "{part}: {dialog}");
    }
}
