//! One HTML page that shows a sweep: tables, plots, claims and runs. It carries its libraries, so it needs no network.
//!
//! The page is a view. Texts and numbers come from a computed report, and scripts only sort, filter and draw them.
//!
//! ```text
//! PageReport + PageRuns + details -> JSON in a page -> the scripts in assets/
//! ```

use serde::Serialize;
use sweep_report::{PageReport, PageRuns};

/// Everything that a page shows.
#[derive(Clone, Debug, Serialize)]
pub struct Page {
    /// The report.
    pub report: PageReport,
    /// The runs, in plan order.
    pub runs: PageRuns,
    /// What else is known about each run, in the same order.
    pub details: Vec<RunDetails>,
    /// The configurations of the runs, as text, each once.
    pub configurations: Vec<String>,
    /// Name and version of the program.
    pub program: String,
}

/// What is known about a run besides its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunDetails {
    /// Position of its configuration; absent if it is not known here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<usize>,
    /// The end of the log of its last attempt; absent if there is none here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// The libraries, in the order in which they need each other.
const LIBRARIES: [&str; 3] = [
    include_str!("../vendor/d3-7.9.2.min.js"),
    include_str!("../vendor/plot-0.6.17.min.js"),
    include_str!("../vendor/table-core-8.21.3.js"),
];

/// The scripts, in the order in which they need each other.
const SCRIPTS: [&str; 6] = [
    include_str!("../assets/dom.js"),
    include_str!("../assets/table.js"),
    include_str!("../assets/chart.js"),
    include_str!("../assets/runs.js"),
    include_str!("../assets/live.js"),
    include_str!("../assets/page.js"),
];

const STYLE: &str = include_str!("../assets/page.css");
const TEMPLATE: &str = include_str!("../assets/page.html");

/// The mark of a page.
const MARK: &[u8] = br#"<meta name="generator" content="repmlp-sweep">"#;

/// What a page in a file may load: nothing.
const CLOSED: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:";

/// Returns the page as a file of its own.
///
/// # Errors
/// When a number has no JSON form.
pub fn file(page: &Page) -> Result<String, serde_json::Error> {
    let PageReport { title, question, .. } = &page.report;
    // This much is seen before the scripts have drawn the rest.
    let header = format!("<h1>{}</h1>\n<p class=\"question\">{}</p>", escaped(title), escaped(question));
    Ok(filled((title, &header), CLOSED, &embedded(page)?))
}

/// What a page from a server may load: data from this server.
pub const LIVE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                               img-src data:; connect-src 'self'";

/// Returns the page of a sweep that runs. It gets its data from the server that sent it: the report as JSON of a
/// [`Page`] from `page.json`, and events from `events`.
pub fn live() -> String {
    filled(("A sweep", ""), LIVE_POLICY, "null")
}

/// Whether a file is a page that this crate made.
pub fn is_page(file: &[u8]) -> bool {
    // The mark is near the beginning.
    file.windows(MARK.len()).take(4096).any(|window| window == MARK)
}

/// Returns a value as JSON that may stand inside a script element: no text of it can end the element.
fn embedded(value: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string(value)?.replace('<', "\\u003c"))
}

/// Returns a text that is no markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// Fills the template. The data comes last, since it may contain the name of a place.
fn filled((title, header): (&str, &str), policy: &str, data: &str) -> String {
    let title = escaped(title);
    let (libraries, scripts) = (LIBRARIES.join("\n"), SCRIPTS.join("\n"));
    let parts = [
        ("@POLICY@", policy),
        ("@TITLE@", &title),
        ("@HEADER@", header),
        ("@STYLE@", STYLE.trim_end()),
        ("@LIBRARIES@", &libraries),
        ("@SCRIPT@", scripts.trim_end()),
        ("@DATA@", data),
    ];
    let mut out = String::new();
    let mut rest = TEMPLATE;
    // Each place occurs once, so the text before it is never searched again.
    while let Some((at, (name, text))) =
        parts.iter().filter_map(|part| Some((rest.find(part.0)?, part))).min_by_key(|(at, _)| *at)
    {
        out += &rest[..at];
        out += text;
        rest = &rest[at + name.len()..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_leave_its_element_or_fill_another_place() {
        let data = embedded(&"</script><script>alert(1)</script> @TITLE@").unwrap();
        let page = filled(("a < b", ""), CLOSED, &data);
        assert!(page.contains("<title>a &lt; b</title>"));
        assert!(page.contains(r#"\u003c/script>\u003cscript>alert(1)"#) && page.contains("@TITLE@"), "{data}");
        assert_eq!(page.matches("</script>").count(), 3, "libraries, data, scripts");
    }

    #[test]
    fn nothing_is_loaded_from_a_network() {
        let page = filled(("t", ""), CLOSED, "null");
        for part in ["src=\"", "@import", "url("] {
            assert!(!STYLE.contains(part) && !TEMPLATE.contains(part), "{part}");
        }
        assert!(page.contains("default-src 'none'"));
        assert!(is_page(page.as_bytes()) && !is_page(b"<!doctype html>"));
    }
}
