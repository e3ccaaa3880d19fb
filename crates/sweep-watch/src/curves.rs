//! Draws the learning curve of a run: loss on the left, accuracy on the right.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Paragraph, Widget};
use sweep_progress::Curve;

use crate::scene::Colors;

/// Columns that two plots side by side need.
const TWO_PLOTS: u16 = 60;
/// Smallest area of a plot.
const LEAST: (u16, u16) = (18, 5);

/// One line to be plotted.
struct Line {
    title: String,
    points: Vec<(f64, f64)>,
    color: Color,
    /// Formats a value of the vertical axis.
    value: fn(f64) -> String,
}

/// Draws a curve. In a small area, only the accuracy, or the last values.
pub(crate) fn draw(curve: &Curve, area: Rect, buffer: &mut Buffer, colors: Colors) {
    let lines = lines(curve);
    if lines.is_empty() {
        return Paragraph::new("no epoch is finished").render(area, buffer);
    }
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let last = |line: &Line| {
            line.points.last().map(|(epoch, value)| format!("epoch {epoch}: {} {}", line.title, (line.value)(*value)))
        };
        let text = lines.iter().filter_map(last).collect::<Vec<_>>().join("\n");
        return Paragraph::new(text).render(area, buffer);
    }
    if lines.len() == 1 || area.width < TWO_PLOTS {
        return lines.iter().next_back().map_or((), |line| plot(line, area, buffer, colors));
    }
    let half = area.width / 2;
    let areas = [Rect { width: half - 1, ..area }, Rect { x: area.x + half, width: area.width - half, ..area }];
    lines.iter().zip(areas).for_each(|(line, area)| plot(line, area, buffer, colors));
}

/// The lines that have points.
fn lines(curve: &Curve) -> Vec<Line> {
    let points = |values: Vec<(u32, f64)>| values.into_iter().map(|(epoch, value)| (f64::from(epoch), value)).collect();
    let (split, accuracies) = curve.accuracies();
    let loss = Line {
        title: "loss".to_owned(),
        points: points(curve.losses()),
        color: Color::Yellow,
        value: |value| format!("{value:.3}"),
    };
    let accuracy = Line {
        title: format!("{} accuracy", split.name()),
        points: points(accuracies),
        color: Color::Green,
        value: |value| format!("{:.1} %", 100.0 * value),
    };
    [loss, accuracy].into_iter().filter(|line| !line.points.is_empty()).collect()
}

fn plot(line: &Line, area: Rect, buffer: &mut Buffer, colors: Colors) {
    let style = if colors == Colors::On { Style::new().fg(line.color) } else { Style::new() };
    let epochs = bounds(line.points.iter().map(|(epoch, _)| *epoch), 1.0);
    let values = bounds(line.points.iter().map(|(_, value)| *value), 0.01);
    let last = line.points.last().map_or(String::new(), |(_, value)| (line.value)(*value));
    let dataset = Dataset::default()
        .marker(if line.points.len() == 1 { Marker::Dot } else { Marker::Braille })
        .graph_type(GraphType::Line)
        .style(style)
        .data(&line.points);
    let x_axis = Axis::default().bounds(epochs).labels([format!("{:.0}", epochs[0]), format!("{:.0}", epochs[1])]);
    let y_axis = Axis::default().bounds(values).labels(values.map(line.value));
    let title = Rect { height: 1, ..area };
    Paragraph::new(format!("{} {last}", line.title)).style(style).render(title, buffer);
    let below = Rect { y: area.y + 1, height: area.height - 1, ..area };
    Chart::new(vec![dataset]).x_axis(x_axis).y_axis(y_axis).legend_position(None).render(below, buffer);
}

/// Smallest and largest value. They differ by at least `least`, since a plot needs an extent.
fn bounds(values: impl Iterator<Item = f64>, least: f64) -> [f64; 2] {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if high - low < least { [low, low + least] } else { [low, high] }
}
