//! Texts with special characters, in every output format.

use std::path::Path;

use sweep_protocol::{ExperimentRows, Status};
use sweep_report::{Color, Declaration, ReportError, TableDeclaration, render, tables, terminal};

use crate::fixture::{DECLARATION, declaration, paper, rows};

/// The fixture's rows with other labels, and a declaration without links to the paper.
fn relabelled(relabel: impl Fn(&str) -> String) -> (ExperimentRows, Declaration) {
    let mut rows = rows();
    for label in rows.plan.axes.iter_mut().flat_map(|axis| &mut axis.labels) {
        *label = relabel(label);
    }
    for (_, label) in rows.plan.runs.iter_mut().flat_map(|run| &mut run.coordinates.0) {
        *label = relabel(label);
    }
    for (_, label) in &mut rows.plan.baseline.0 {
        *label = relabel(label);
    }
    let table = declaration().tables.remove(0);
    let columns =
        table.columns.iter().cloned().map(|column| sweep_report::ColumnDeclaration { reference: None, ..column });
    let table = TableDeclaration { paper: None, columns: columns.collect(), ..table };
    (rows, Declaration { tables: vec![table], ..declaration() })
}

fn rendered(rows: &ExperimentRows, declaration: &Declaration, name: &str) -> String {
    let all = render(rows, declaration, &paper()).unwrap();
    let rendering = all.into_iter().find(|rendering| rendering.path.as_os_str() == name).unwrap();
    String::from_utf8(rendering.bytes).unwrap()
}

/// Removes backslash escapes and the characters that they escape. What remains is what Markdown would interpret.
fn without_escapes(markdown: &str) -> String {
    let mut is_escaped = false;
    let mut is_kept = |c: char| {
        let is_dropped = is_escaped || c == '\\';
        is_escaped = !is_escaped && c == '\\';
        !is_dropped
    };
    markdown.chars().filter(|c| is_kept(*c)).collect()
}

#[test]
fn links_images_html_and_formulas_of_labels_are_inert() {
    for hostile in ["![p](http://a.b/c.png)", "[1](2)", "<img src=x>", "&lt;", "$x$", "~~y~~", "`z`", "a|b", "[a]: b"] {
        let (mut rows, mut declaration) = relabelled(|label| format!("{hostile}{label}"));
        rows.plan.question = hostile.to_owned();
        declaration.title = hostile.to_owned();
        declaration.tables[0].title = Some(hostile.to_owned());
        let failed = rows.runs.iter_mut().find(|row| matches!(row.status, Status::Failed(_))).unwrap();
        failed.message = Some(format!("{hostile}\nsecond line \u{1b}[2J"));
        let report = rendered(&rows, &declaration, "report.md");
        let obeyed = without_escapes(&report);
        assert!(!obeyed.contains(hostile), "{hostile} in\n{report}");
        assert!(report.contains("second line \u{fffd}[2J"), "{report}");
        let linked = obeyed.lines().filter(|line| line.contains("]("));
        assert!(linked.clone().all(|line| line.starts_with("![") && line.ends_with(".svg)")), "{report}");
        assert_eq!(linked.count(), 4, "{report}");
        let columns = |line: &str| line.starts_with('|').then(|| line.matches('|').count());
        let lines: Vec<Option<usize>> = obeyed.lines().map(columns).collect();
        let changes_within_a_table = |lines: &[Option<usize>]| matches!(lines, [Some(a), Some(b)] if a != b);
        assert!(!lines.windows(2).any(changes_within_a_table), "{report}");
    }
}

#[test]
fn brackets_in_a_title_stay_inside_its_picture() {
    let (rows, mut declaration) = relabelled(str::to_owned);
    let sweep_report::PlotDeclaration::Line(plot) = &mut declaration.plots[0] else { panic!("another plot") };
    plot.title = Some("a] [b](c)".to_owned());
    plot.id = "über alles".to_owned();
    let report = rendered(&rows, &declaration, "report.md");
    assert!(report.contains(r"![a\] \[b\](c)](%C3%BCber%20alles.svg)"), "{report}");
}

#[test]
fn rows_of_latex_that_start_like_an_argument_are_protected() {
    let (rows, declaration) = relabelled(|label| if label == "2" { "*ours".into() } else { format!("[1,{label}]") });
    let table = rendered(&rows, &declaration, "groups.tex");
    for row in ["{}*ours & ", "{}[1,4] & "] {
        assert!(table.lines().any(|line| line.starts_with(row)), "{table}");
    }
}

#[test]
fn control_characters_of_older_plans_reach_no_reader() {
    let (rows, declaration) = relabelled(|label| format!("red \u{1b}[31m\u{202e}\u{b}\n{label}"));
    let is_bad = |c: char| c != '\n' && sweep_protocol::check_line(c.encode_utf8(&mut [0; 4])).is_err();
    for name in ["report.md", "groups.tex", "accuracy_over_groups.svg", "speed.svg"] {
        let text = rendered(&rows, &declaration, name);
        assert!(text.contains("red \u{fffd}[31m\u{fffd}\u{fffd} ") && !text.contains(is_bad), "{name}: {text}");
    }
    for table in tables(&rows, &declaration, &paper()).unwrap() {
        for width in [50, 200] {
            let text = terminal(&table, width, Color::Plain);
            assert!(!text.contains(is_bad), "{text}");
        }
    }
}

#[test]
fn a_text_that_cannot_be_shown_is_refused_at_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.toml");
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Declaration::load(&path)
    };
    let noted = "title = \"t\"\nnote = \"\"\"two\n\nparagraphs\"\"\"\n";
    assert_eq!(load(noted).unwrap().note.unwrap(), "two\n\nparagraphs");
    for (text, place) in [
        ("title = \"a\\u001b[31m\"", "line 1, column 9: this text contains a control character (U+001B)"),
        ("title = \"a\\nb\"", "line 1, column 9: this text contains a line break (U+000A)"),
        ("title = \"t\"\nnote = \"a\\u202eb\"", "line 2, column 8: this text contains a character that changes"),
    ] {
        let fault = load(text).unwrap_err();
        assert!(matches!(fault, ReportError::Text { .. }) && fault.to_string().contains(place), "{fault}");
    }
    let labelled = DECLARATION.replacen("delta = true", "delta = true\nlabel = \"a\\u0007\"", 1);
    assert!(load(&labelled).unwrap_err().to_string().contains("U+0007"));
}

#[test]
fn ids_must_be_valid_names() {
    let with_id = |id: &str| Declaration {
        tables: vec![TableDeclaration { id: id.to_owned(), ..relabelled(str::to_owned).1.tables.remove(0) }],
        ..Declaration::default()
    };
    let (rows, _) = relabelled(str::to_owned);
    for good in ["größe 2", "Groups.v2", "方法"] {
        let all = render(&rows, &with_id(good), &paper()).unwrap();
        assert!(all.iter().any(|rendering| rendering.path == Path::new(&format!("{good}.csv"))), "{good}");
    }
    for bad in ["", "../x", ".hidden", "a/b", "a\\b", "a\n", "Report"] {
        assert!(matches!(render(&rows, &with_id(bad), &paper()), Err(ReportError::Declaration { .. })), "{bad}");
    }
}
