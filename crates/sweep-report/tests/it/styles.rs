//! The declared look of plots, and plots as PDF. The pictures are also stored in `target/tmp`, where a person can look
//! at them.

use std::path::Path;

use sweep_protocol::Metric;
use sweep_report::{Declaration, Rendering, render};

use crate::fixture::{DECLARATION, declaration, paper, rows};

/// Adds a style to the plot with this id.
fn styled(plot: &str, style: &str) -> Declaration {
    let id = format!("id = \"{plot}\"\n");
    assert!(DECLARATION.contains(&id), "{plot}");
    toml::from_str(&DECLARATION.replace(&id, &format!("{id}style = {style}\n"))).unwrap()
}

fn rendered(declared: &Declaration) -> Vec<Rendering> {
    render(&rows(), declared, &paper()).unwrap()
}

fn text(all: &[Rendering], name: &str) -> String {
    let rendering = all.iter().find(|rendering| rendering.path.as_os_str() == name).unwrap();
    String::from_utf8_lossy(&rendering.bytes).into_owned()
}

/// Stores the pictures of a plot under another name.
fn store(all: &[Rendering], plot: &str, name: &str) {
    for rendering in all.iter().filter(|rendering| rendering.path.file_stem().is_some_and(|stem| stem == plot)) {
        let kind = rendering.path.extension().unwrap().to_string_lossy();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("styled_{plot}_{name}.{kind}"));
        std::fs::write(path, &rendering.bytes).unwrap();
    }
}

#[test]
fn the_defaults_written_out_change_nothing() {
    let defaults = "{ width = 600, height = 400, font_size = 12.0, title = true, x = {}, y = { log = false } }";
    let numbers = DECLARATION.replace("kind = ", &format!("style = {defaults}\nkind = "));
    let declared: Declaration = toml::from_str(&numbers).unwrap();
    assert_ne!(numbers, DECLARATION);
    assert_eq!(rendered(&declared), rendered(&declaration()));
}

#[test]
fn a_picture_has_its_declared_size_letters_and_title() {
    let mut declared = styled("speed", "{ width = 320, height = 240, font_size = 14, title = false }");
    let sweep_report::PlotDeclaration::Bars(plot) = &mut declared.plots[2] else { panic!("bars") };
    plot.title = Some("A declared title".to_owned());
    let all = rendered(&declared);
    let svg = text(&all, "speed.svg");
    assert!(svg.starts_with("<svg width=\"320\" height=\"240\" viewBox=\"0 0 1280 960\""), "{svg}");
    assert!(!svg.contains("A declared title") && text(&all, "report.md").contains("## A declared title\n"));
    let png = all.iter().find(|rendering| rendering.path.as_os_str() == "speed.png").unwrap();
    assert_eq!(png.bytes[16..24], [0, 0, 2, 0x80, 0, 0, 1, 0xe0], "640 x 480");
    assert!(text(&all, "speed.pdf").contains("/MediaBox [0 0 240 180]"), "three quarters: points");
    store(&all, "speed", "small");
    let large = rendered(&styled("accuracy_over_groups", "{ width = 900, height = 600, font_size = 20 }"));
    store(&large, "accuracy_over_groups", "large");
}

#[test]
fn limits_hide_values_and_the_caption_counts_them() {
    let all = rendered(&styled("accuracy_over_groups", "{ y = { min = 90.0, max = 91.0 } }"));
    let report = text(&all, "report.md");
    assert!(report.contains("1 value is outside the declared limits of the axes."), "{report}");
    store(&all, "accuracy_over_groups", "limits");
    let all = rendered(&styled("learning_curves", "{ x = { max = 2.0 }, y = { min = 50.0, max = 80.0 } }"));
    store(&all, "learning_curves", "limits");
    let all = rendered(&styled("accuracy_against_params", "{ x = { log = true, min = 1.0 } }"));
    store(&all, "accuracy_against_params", "log");
    let all = rendered(&styled("speed", "{ y = { max = 600.0 } }"));
    assert!(text(&all, "report.md").contains("outside the declared limits"));
    store(&all, "speed", "limits");
    let none = text(&rendered(&styled("accuracy_over_groups", "{ y = { min = 99.9 } }")), "report.md");
    assert!(none.contains("No value can be shown.") && none.contains("outside the declared limits"), "{none}");
}

#[test]
fn a_logarithmic_axis_leaves_out_values_without_a_place() {
    let mut rows = rows();
    let declared = styled("accuracy_over_groups", "{ y = { log = true } }");
    let run = rows.plan.runs[0].coordinates.clone();
    let of_point: Vec<_> =
        rows.plan.runs.iter().filter(|planned| planned.coordinates == run).map(|planned| planned.run).collect();
    for row in rows.measurements.iter_mut().filter(|row| row.measurement.metric == Metric::Accuracy) {
        row.measurement.value = if of_point.contains(&row.run) { 0.0 } else { row.measurement.value };
    }
    let all = render(&rows, &declared, &paper()).unwrap();
    let report = text(&all, "report.md");
    let note = "1 value of 0 or less is not shown: a logarithmic axis has no place for them.";
    assert!(report.contains(note), "{report}");
    store(&all, "accuracy_over_groups", "log");
    for row in rows.measurements.iter_mut().filter(|row| row.measurement.metric == Metric::Accuracy) {
        row.measurement.value = 0.0;
    }
    let all = render(&rows, &declared, &paper()).unwrap();
    assert!(text(&all, "report.md").contains("No value can be shown."));
    assert!(all.iter().all(|rendering| rendering.path.as_os_str() != "accuracy_over_groups.svg"));
}

#[test]
fn a_style_that_cannot_be_drawn_is_refused_with_its_place() {
    let refusal = |plot: &str, style: &str| render(&rows(), &styled(plot, style), &paper()).unwrap_err().to_string();
    let both = refusal("speed", "{ width = 5, y = { log = true } }");
    assert!(both.contains("plot `speed`: `style.width`: 5 is not from 240 to 1600"), "{both}");
    assert!(both.contains("plot `speed`: `style.y.log`: bars start at zero"), "{both}");
    let labels = refusal("accuracy_over_groups", "{ x = { min = 1.0 } }");
    assert!(labels.contains("`style.x.min`: this axis shows labels, not numbers"), "{labels}");
    let unknown = DECLARATION.replace("id = \"speed\"\n", "id = \"speed\"\nstyle = { colour = 3 }\n");
    let unknown = toml::from_str::<Declaration>(&unknown).unwrap_err().to_string();
    assert!(unknown.contains("unknown field `colour`") && unknown.contains("font_size"), "{unknown}");
}

/// A PDF can be searched: its font says which characters its letters are, also those that the font lacks.
#[test]
fn a_pdf_keeps_its_words_and_has_no_date() {
    let mut rows = rows();
    rows.plan.axes[0].labels[0] = "蜂Ω".to_owned();
    for run in rows.plan.runs.iter_mut().filter(|run| run.coordinates.get("groups") == Some("1")) {
        run.coordinates.0[0].1 = "蜂Ω".to_owned();
    }
    let all = render(&rows, &declaration(), &paper()).unwrap();
    let pdf = text(&all, "speed.pdf");
    assert!(pdf.starts_with("%PDF-1.7") && pdf.trim_end().ends_with("%%EOF"));
    for character in ["<8702>", "<03A9>", "<0070>"] {
        assert!(pdf.contains(character), "{character}");
    }
    for word in ["Date", "/ID", "/Info", "/Producer"] {
        assert!(!pdf.contains(word), "{word}");
    }
}
