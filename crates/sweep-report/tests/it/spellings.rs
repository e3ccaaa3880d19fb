//! The output formats, byte for byte. The pictures are also stored in `target/tmp`, where a person can look at them.

use std::path::Path;

use sweep_protocol::Split;
use sweep_report::{
    Color, ColumnDeclaration, Declaration, Document, Rendering, TableDeclaration, render, tables, terminal,
};

use crate::fixture::{crowded_rows, declaration, paper, rows, timed_rows};

fn renderings() -> Vec<Rendering> {
    render(&rows(), &declaration(), &paper()).unwrap()
}

fn text(name: &str) -> String {
    let rendering = renderings().into_iter().find(|rendering| rendering.path.as_os_str() == name).unwrap();
    String::from_utf8(rendering.bytes).unwrap()
}

#[test]
fn a_report_consists_of_these_files() {
    let names: Vec<String> = renderings().iter().map(|rendering| rendering.path.display().to_string()).collect();
    insta::assert_snapshot!(names.join("\n"));
}

#[test]
fn markdown() {
    insta::assert_snapshot!(text("report.md"));
}

#[test]
fn latex() {
    insta::assert_snapshot!(text("groups.tex"));
}

#[test]
fn csv() {
    insta::assert_snapshot!(text("groups.csv"));
}

#[test]
fn json() {
    insta::assert_snapshot!(text("report.json"));
}

#[test]
fn throughput_of_the_same_rounds_is_a_ratio() {
    let rows = timed_rows();
    let declaration: Declaration = toml::from_str(
        r#"
        title = "Kernels"
        [[table]]
        id = "kernels"
        rows = ["kernels"]
        column = [{ metric = "throughput", form = "deployed", delta = true }]
        "#,
    )
    .unwrap();
    let table = tables(&rows, &declaration, &paper()).unwrap().remove(0);
    insta::assert_snapshot!(terminal(&table, 160, Color::Plain));
    let all = render(&rows, &declaration, &paper()).unwrap();
    let csv = all.iter().find(|rendering| rendering.path.as_os_str() == "kernels.csv").unwrap();
    insta::assert_snapshot!(String::from_utf8_lossy(&csv.bytes));
}

#[test]
fn a_wide_terminal() {
    let table = tables(&rows(), &declaration(), &paper()).unwrap().remove(0);
    insta::assert_snapshot!(terminal(&table, 120, Color::Plain));
}

#[test]
fn a_narrow_terminal_has_a_block_for_each_row() {
    let table = tables(&rows(), &declaration(), &paper()).unwrap().remove(0);
    insta::assert_snapshot!(terminal(&table, 50, Color::Plain));
}

#[test]
fn a_coloured_terminal() {
    let table = tables(&rows(), &declaration(), &paper()).unwrap().remove(0);
    insta::assert_snapshot!(terminal(&table, 120, Color::Ansi).replace('\x1b', "ESC"));
}

#[test]
fn a_line_plot() {
    insta::assert_snapshot!(text("accuracy_over_groups.svg"));
}

#[test]
fn same_rows_same_bytes() {
    assert_eq!(renderings(), renderings());
}

#[test]
fn pictures_have_their_size() {
    let png = |rendering: &&Rendering| rendering.path.extension().is_some_and(|kind| kind == "png");
    for picture in renderings().iter().filter(png) {
        assert_eq!(picture.bytes[16..24], [0, 0, 4, 0xb0, 0, 0, 3, 0x20], "1200 x 800");
    }
    assert!(text("speed.svg").starts_with("<svg width=\"600\" height=\"400\" viewBox=\"0 0 2400 1600\""));
}

#[test]
fn a_default_report_and_a_report_without_results_are_rendered() {
    let crowded = crowded_rows();
    let default = Declaration::default_for(&crowded);
    let all = render(&crowded, &default, &paper()).unwrap();
    assert!(all.iter().any(|rendering| rendering.path.as_os_str() == "accuracy_against_flops.svg"));

    let mut nothing = rows();
    nothing.runs.clear();
    nothing.measurements.clear();
    let report = render(&nothing, &declaration(), &paper()).unwrap().remove(0);
    let report = String::from_utf8(report.bytes).unwrap();
    assert!(report.contains("not run yet") && report.contains("There is no data to plot yet"), "{report}");
}

#[test]
fn a_default_report_shows_the_metrics_of_its_task() {
    use sweep_protocol::{Metric, Split};
    let renamed = |found: &[Metric]| {
        let mut rows = crowded_rows();
        let mut more = Vec::new();
        for row in &mut rows.measurements {
            if row.measurement.metric == Metric::Accuracy {
                more.extend(found[1..].iter().map(|&metric| {
                    let mut other = *row;
                    other.measurement.metric = metric;
                    other
                }));
                row.measurement.metric = found[0];
            }
        }
        rows.measurements.extend(more);
        rows
    };
    for found in
        [vec![Metric::VerificationAccuracy, Metric::IdentificationAccuracy], vec![Metric::MeanIou, Metric::Accuracy]]
    {
        let rows = renamed(&found);
        let default = Declaration::default_for(&rows);
        let judged: Vec<Metric> = default.tables[0].columns[..2].iter().map(|column| column.metric).collect();
        assert_eq!(judged, found);
        assert!(default.tables[0].columns[..2].iter().all(|column| column.split == Some(Split::Test) && column.delta));
        let report = render(&rows, &default, &paper()).unwrap().remove(0);
        assert!(!String::from_utf8(report.bytes).unwrap().contains("not measured"));
    }

    // The report has a curve for each row of the table. If there are too many, the title names the runs that are shown.
    let report = |rows: &sweep_protocol::ExperimentRows| {
        let report = render(rows, &Declaration::default_for(rows), &paper()).unwrap().remove(0);
        String::from_utf8(report.bytes).unwrap()
    };
    let mut rows = crowded_rows();
    assert!(report(&rows).contains("## Validation accuracy by epoch (training form)\n"));
    for i in 0..3 {
        let label = format!("other-{i}");
        rows.plan.axes[1].labels.push(label.clone());
        for run in rows.plan.runs.clone().into_iter().filter(|run| run.coordinates.get("perceptrons") == Some("full")) {
            let mut coordinates = run.coordinates.clone();
            coordinates.0[1].1.clone_from(&label);
            let id = sweep_protocol::RunId::of(&coordinates.to_string(), run.seed);
            rows.plan.runs.push(sweep_protocol::PlannedRunRecord { run: id, coordinates, ..run });
        }
    }
    let many = report(&rows);
    assert!(many.contains("by epoch (training form) (perceptrons = full)\n"), "{many}");
}

#[test]
fn series_and_many_seeds() {
    let declared = r#"
        title = "Two axes"
        [[table]]
        id = "all"
        rows = ["groups", "perceptrons"]
        [[table.column]]
        metric = "accuracy"
        split = "test"
        form = "deployed"
        delta = true
        [[table.column]]
        metric = "params"
        form = "deployed"
        delta = true
        [[plot]]
        id = "lines"
        kind = "line"
        axis = "groups"
        series = ["perceptrons"]
        y = { metric = "accuracy", split = "test", form = "deployed" }
        [[plot]]
        id = "bars"
        kind = "bars"
        axis = "groups"
        series = ["perceptrons"]
        y = { metric = "throughput", form = "deployed" }
        [[plot]]
        id = "dots"
        kind = "scatter"
        label = ["groups", "perceptrons"]
        x = { metric = "flops", form = "deployed" }
        y = { metric = "accuracy", split = "test", form = "deployed" }
        [[plot]]
        id = "curves"
        kind = "curves"
        series = ["perceptrons"]
        where = { groups = "2" }
        y = { metric = "accuracy", split = "validation", form = "training" }
    "#;
    let all = render(&crowded_rows(), &toml::from_str(declared).unwrap(), &paper()).unwrap();
    insta::assert_snapshot!(String::from_utf8(all[0].bytes.clone()).unwrap());
    for rendering in all.into_iter().chain(renderings()) {
        std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(rendering.path), rendering.bytes).unwrap();
    }
}

#[test]
fn one_seed_has_no_deviation_and_no_interval() {
    let mut rows = rows();
    rows.plan.runs.retain(|run| run.seed == 0);
    let report = render(&rows, &declaration(), &paper()).unwrap().remove(0);
    let report = String::from_utf8(report.bytes).unwrap();
    let table: Vec<&str> = report.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(table[3], "| 2 | 1 | *90.09* | 12.5 | baseline | 10.00 | *674* |");
    assert!(!table.concat().contains(['±', '[']) && !report.contains("sign-flip"), "{report}");
}

#[test]
fn labels_that_would_overlap_are_turned() {
    let mut rows = rows();
    let long = |label: &str| format!("a rather long label for {label}");
    for label in rows.plan.axes.iter_mut().flat_map(|axis| &mut axis.labels) {
        *label = long(label);
    }
    for (_, label) in rows.plan.runs.iter_mut().flat_map(|run| &mut run.coordinates.0) {
        *label = long(label);
    }
    rows.plan.baseline.0[0].1 = long("2");
    let unlinked = TableDeclaration { paper: None, ..declaration().tables.remove(0) };
    let columns = unlinked.columns.iter().cloned().map(|column| ColumnDeclaration { reference: None, ..column });
    let unlinked = TableDeclaration { columns: columns.collect(), ..unlinked };
    let declared = Declaration { tables: vec![unlinked], ..declaration() };
    for rendering in render(&rows, &declared, &paper()).unwrap() {
        if rendering.path.as_os_str() == "speed.svg" {
            let turned = String::from_utf8_lossy(&rendering.bytes).matches("rotate(270").count();
            assert_eq!(turned, 5, "four labels and the vertical axis");
        }
        let name = format!("turned_{}", rendering.path.display());
        std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), rendering.bytes).unwrap();
    }
}

#[test]
fn long_labels_leave_enough_room_for_the_panel() {
    let mut rows = crowded_rows();
    let long = |label: &str| {
        format!("a label as somebody writes it who explains the whole method in it, with commas, {label}")
    };
    for label in rows.plan.axes.iter_mut().flat_map(|axis| &mut axis.labels) {
        *label = long(label);
    }
    for (_, label) in rows.plan.runs.iter_mut().flat_map(|run| &mut run.coordinates.0) {
        *label = long(label);
    }
    rows.plan.baseline.0[0].1 = long("full");
    let mut declared = Declaration { tables: Vec::new(), ..Declaration::default_for(&rows) };
    let bars = r#"
        title = "t"
        [[plot]]
        id = "bars"
        kind = "bars"
        axis = "groups"
        series = ["perceptrons"]
        y = { metric = "throughput", form = "deployed" }
    "#;
    declared.plots.extend(toml::from_str::<Declaration>(bars).unwrap().plots);
    for rendering in render(&rows, &declared, &paper()).unwrap() {
        if rendering.path.extension().is_some_and(|extension| extension == "svg") {
            let svg = String::from_utf8_lossy(&rendering.bytes);
            // The horizontal axis is the widest line of the frame. Four drawn pixels are one pixel of the picture.
            let widths = svg.lines().filter(|line| line.starts_with("<polyline")).filter_map(|line| {
                let points = line.split("points=\"").nth(1)?.split('"').next()?;
                let xs: Vec<i32> =
                    points.split(' ').filter_map(|point| point.split(',').next()?.parse().ok()).collect();
                Some(xs.iter().max()? - xs.iter().min()?)
            });
            assert!(widths.max().unwrap() > 4 * 300, "{}", rendering.path.display());
        }
        let name = format!("long_{}", rendering.path.display());
        std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), rendering.bytes).unwrap();
    }
}

#[test]
fn characters_that_the_font_lacks_are_reported() {
    let mut rows = rows();
    rows.plan.axes[0].labels[0] = "蜂Ω".to_owned();
    for run in rows.plan.runs.iter_mut().filter(|run| run.coordinates.get("groups") == Some("1")) {
        run.coordinates.0[0].1 = "蜂Ω".to_owned();
    }
    let document = Document::of(&rows, &declaration(), &paper()).unwrap();
    assert_eq!(document.missing_glyphs().into_iter().collect::<String>(), "蜂");
    assert!(
        Document::of(&crowded_rows(), &Declaration::default_for(&crowded_rows()), &paper())
            .unwrap()
            .missing_glyphs()
            .is_empty()
    );
    for rendering in document.files().unwrap() {
        let name = format!("glyphs_{}", rendering.path.display());
        std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), rendering.bytes).unwrap();
    }
}

#[test]
fn a_row_with_missing_seeds_is_marked_and_compared_with_nothing() {
    // Groups 1 and 4 have two of three seeds. Group 1 has a better accuracy than group 2; group 4 has fewer parameters.
    let circles = |svg: &str, ink: &str| {
        svg.lines().filter(|line| line.starts_with("<circle") && line.contains(&format!("fill=\"{ink}\""))).count()
    };
    let scatter = text("accuracy_against_params.svg");
    assert_eq!((circles(&scatter, "#0072B2"), circles(&scatter, "#A6A6A6")), (1, 2), "{scatter}");
    for name in ["accuracy_against_params.svg", "accuracy_over_groups.svg", "speed.svg", "learning_curves.svg"] {
        let svg = text(name);
        assert_eq!(svg.matches("2 of 3").count(), 2, "{name}: {svg}");
        assert!(!svg.contains("3 of 3"), "{name}: {svg}");
    }
    let report = text("report.md");
    assert_eq!(report.matches("Hollow marks are means over fewer seeds than planned").count(), 3, "{report}");

    // A good mean over the seeds that did not diverge must not make complete rows look worse.
    let mut rows = crowded_rows();
    let before = render(&rows, &Declaration::default_for(&rows), &paper()).unwrap();
    let blue = |all: &[Rendering]| {
        let scatter = all.iter().find(|r| r.path.as_os_str() == "accuracy_against_flops.svg").unwrap();
        circles(&String::from_utf8_lossy(&scatter.bytes), "#0072B2")
    };
    let best = rows.plan.runs.iter().filter(|run| run.coordinates.get("groups") == Some("8")).map(|run| run.run);
    let best: Vec<_> = best.collect();
    for row in rows.runs.iter_mut().filter(|row| best.contains(&row.run)).skip(1).step_by(2) {
        row.status = sweep_protocol::Status::TimedOut;
    }
    let after = render(&rows, &Declaration::default_for(&rows), &paper()).unwrap();
    assert!(blue(&after) > 0 && blue(&before) > 0);
    assert!(String::from_utf8_lossy(&after[0].bytes).contains("Hollow marks"));
    assert!(!String::from_utf8_lossy(&before[0].bytes).contains("Hollow marks"));
}

/// If no run has Validation images, a note replaces the Validation column. A curve shows training images, with a
/// matching title.
#[test]
fn declared_validation_is_replaced_if_no_run_has_it() {
    let declared: Declaration = toml::from_str(
        r#"
        title = "T"
        [[table]]
        id = "t"
        rows = ["groups"]
        [[table.column]]
        metric = "accuracy"
        split = "validation"
        form = "training"
        [[table.column]]
        metric = "params"
        form = "deployed"
        [[plot]]
        id = "curves"
        kind = "curves"
        title = "Accuracy on Validation images"
        series = ["groups"]
        y = { metric = "accuracy", split = "validation", form = "training" }
        "#,
    )
    .unwrap();
    let mut rows = rows();
    for row in &mut rows.measurements {
        if row.measurement.split == Some(Split::Validation) {
            row.measurement.split = Some(Split::Train);
        }
    }
    let report = String::from_utf8(render(&rows, &declared, &paper()).unwrap().remove(0).bytes).unwrap();
    assert!(report.contains("the declared columns of Validation are left out"), "{report}");
    assert!(!report.contains("Accuracy on Validation images") && report.contains("train"), "{report}");
}

/// If runs used two instruction sets, each table has a warning, also in the terminal.
#[test]
fn a_mixture_of_arithmetics_is_noted_below_each_table() {
    let mut rows = rows();
    rows.runs[0].arithmetic = Some("cpu plain candle-1+kernels-1".parse().unwrap());
    let tables = tables(&rows, &declaration(), &paper()).unwrap();
    for table in &tables {
        assert!(terminal(table, 200, Color::Plain).contains("different arithmetics"), "{}", table.id);
    }
}
