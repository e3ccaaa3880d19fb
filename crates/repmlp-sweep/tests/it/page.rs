//! The page of a sweep in a real browser. Without a browser the tests are skipped, except in CI.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

use serde_json::Value;

use crate::bench::{Bench, Started, repository, skipped};
use crate::processes::{kill, signal, workers};

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
    // Where `.ci/tools` puts them, whatever the target folder of cargo is.
    let modules = repository().join("target/tools/browser/node_modules");
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

/// Returns the call of a script that visits a page.
fn node(script: &str, (browser, modules): (&Path, &Path), url: &str) -> Command {
    let mut command = Command::new("node");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/browser").join(script);
    command.arg(script).arg(modules).arg(browser).arg(url);
    command
}

/// Visits a page. Returns what the browser saw.
fn visited((browser, modules): &(PathBuf, PathBuf), url: &str) -> Value {
    let ran = node("page.mjs", (browser, modules), url).output().unwrap();
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
    // Rendering the report keeps the page, and a page replaces only a page.
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

/// A server, which ends with the test.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(bench: &Bench, words: &str) -> Self {
        let mut child = bench.command(words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        signal(Pid::from_child(&self.child), Signal::TERM);
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "a signal ends the server in order");
    }
}

/// Asks a server. Returns the status and the head and body of the answer.
fn asked(url: &str, path: &str, host: &str) -> (u16, String) {
    use std::io::{Read, Write};
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[test]
fn a_server_answers_this_machine_or_those_who_have_its_token() {
    let bench = Bench::new();
    let local = Server::start(&bench, "serve --listen 127.0.0.1:0");
    assert_eq!(asked(&local.url, "/", "localhost").0, 200);
    assert_eq!(asked(&local.url, "/", "evil.example").0, 403);
    assert_eq!(asked(&local.url, "/page.json", "localhost").0, 404, "nothing is measured yet");
    assert_eq!(asked(&local.url, "/../etc/passwd", "localhost").0, 404);
    // Connections that say nothing keep nobody out for long.
    let address = local.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let silent: Vec<std::net::TcpStream> = (0..100).map(|_| std::net::TcpStream::connect(&address).unwrap()).collect();
    assert_eq!(asked(&local.url, "/", "localhost").0, 200);
    drop(silent);
    let open = Server::start(&bench, "serve --listen 0.0.0.0:0");
    let (address, token) = open.url.split_once("/?token=").unwrap();
    assert_eq!(asked(address, "/", "any.example").0, 403);
    assert_eq!(asked(address, &format!("/?token={}0", &token[1..]), "any.example").0, 403);
    let (status, answer) = asked(address, &format!("/?token={token}"), "any.example");
    assert!(status == 200 && answer.contains("HttpOnly; SameSite=Strict"), "{}", &answer[..400]);
    let occupied = bench.run(&format!("serve --listen {}", &local.url["http://".len()..local.url.len() - 1]));
    assert!(occupied.stderr().contains("give another --listen"), "{}", occupied.stderr());
}

#[test]
fn a_page_stays_right_while_its_sweep_is_killed_stopped_and_continued() {
    let Some((browser, modules)) = browser() else { return };
    let bench = Bench::new();
    let server = Server::start(&bench, "serve --listen 127.0.0.1:0 --interval 100ms");
    let mut command = node("live.mjs", (&browser, &modules), &server.url);
    command.arg("2 of 2 runs done");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut page = Started { child, stderr };
    page.read_until("nothing has been run in this results folder");

    let sweep = "experiments/tiny.toml --profile killed --slots 1 --threads 1";
    let mut started = bench.start_until(sweep, "groups=1 epoch 2/100");
    // The run is tried again after its worker was killed, from the checkpoint of its first epoch.
    kill(&workers(bench.folder()));
    started.read_until("groups=1 continues at step");
    page.read_until("0 of 2 runs done, 1 running, 1 waiting");
    page.read_until("scheduler: process");
    signal(Pid::from_child(&started.child), Signal::INT);
    started.end();
    page.read_until("no scheduler: nothing goes on until `run` is called");
    bench.done(sweep);
    page.read_until("2 of 2 runs done");
    let mut seen = String::new();
    std::io::Read::read_to_string(&mut page.child.stdout.take().unwrap(), &mut seen).unwrap();
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(list(&seen["errors"]), Vec::<&str>::new());
    // The columns are: run, groups, seed, status, attempts. The first run was killed and tried again. It has one more
    // attempt if the stop came before it was done.
    let attempts: Vec<&str> = seen["runs"].as_array().unwrap().iter().map(|row| row[4].as_str().unwrap()).collect();
    assert!(["2", "3"].contains(&attempts[0]), "{attempts:?}");
    assert!(page.end().0 == Some(0));
}
