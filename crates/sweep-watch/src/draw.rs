//! Draws the state of a sweep into an area of a terminal. Any size is allowed; a small one shows less.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph, Row, Table, TableState, Wrap};
use sweep_protocol::{Status, printable_line};

use crate::{Estimate, RunState, SweepState};

/// Width from which the curve stands beside the runs.
const WIDE: u16 = 70;

/// The run that is selected, as a place in the list on the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    place: usize,
}

impl Cursor {
    /// Moves by a number of runs; the cursor stays on the list.
    pub fn moved(self, by: isize, state: &SweepState) -> Self {
        let last = state.runs.len().saturating_sub(1);
        Self { place: self.place.saturating_add_signed(by).min(last) }
    }

    /// Returns the selected run.
    pub fn run(self, state: &SweepState) -> Option<&RunState> {
        listed(state).get(self.place).copied()
    }
}

/// Returns the runs as they are listed: running ones, failed ones, those that wait, finished ones.
fn listed(state: &SweepState) -> Vec<&RunState> {
    let rank = |run: &&RunState| match run.status {
        Status::Running => 0,
        Status::Failed(_) | Status::TimedOut => 1,
        Status::Succeeded => 3,
        _ => 2,
    };
    let mut runs: Vec<&RunState> = state.runs.iter().collect();
    runs.sort_by_key(rank);
    runs
}

/// Draws the whole screen. `note` says what else the user must know, such as that no scheduler runs.
pub fn draw(frame: &mut Frame<'_>, state: &SweepState, cursor: Cursor, note: &str) {
    let area = frame.area();
    let rows = [Constraint::Length(1), Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)];
    let [title, gauge, main, foot] = Layout::vertical(rows).areas(area);
    let estimate = state.estimate();
    frame.render_widget(head(state, &estimate, note), title);
    frame.render_widget(bar(&estimate), gauge);
    let help = "↑ ↓ choose a run   q leave; the sweep goes on";
    frame.render_widget(Paragraph::new(help).style(Style::new().add_modifier(Modifier::DIM)), foot);
    if area.width < WIDE {
        return runs(frame, state, cursor, main);
    }
    let [left, right] = Layout::horizontal([Constraint::Percentage(58), Constraint::Min(0)]).areas(main);
    runs(frame, state, cursor, left);
    let [upper, lower] = Layout::vertical([Constraint::Min(0), Constraint::Length(6)]).areas(right);
    if let Some(run) = cursor.run(state) {
        curve(frame, run, upper);
        frame.render_widget(details(state, run), lower);
    }
}

fn head<'a>(state: &SweepState, estimate: &Estimate, note: &'a str) -> Paragraph<'a> {
    let Estimate { done, failed, running, queued, .. } = estimate;
    let name = printable_line(&state.experiment).into_owned();
    let mut spans = vec![
        Span::styled(format!("{name} ({})", state.profile), Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!("  {done} done  {running} running  {queued} waiting")),
    ];
    if *failed > 0 {
        spans.push(Span::styled(format!("  {failed} failed"), Style::new().fg(Color::Red)));
    }
    if !note.is_empty() {
        spans.push(Span::styled(format!("  {note}"), Style::new().fg(Color::Yellow)));
    }
    Paragraph::new(Line::from(spans))
}

fn bar(estimate: &Estimate) -> Gauge<'static> {
    let left = match estimate.seconds_left {
        Some(seconds) if seconds > 0.0 => format!(", {} left", duration(seconds)),
        _ => String::new(),
    };
    let label = format!("{:.0} %{left}", (100.0 * estimate.share).floor());
    Gauge::default().ratio(estimate.share.clamp(0.0, 1.0)).label(label).gauge_style(Style::new().fg(Color::Blue))
}

/// Formats a duration: `43 s`, `12 min`, `3.4 h`.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 99.5 => format!("{s:.0} s"),
        s if s < 99.5 * 60.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

fn runs(frame: &mut Frame<'_>, state: &SweepState, cursor: Cursor, area: Rect) {
    let row = |run: &RunState| {
        let (word, color) = match run.status {
            Status::Running if state.is_slow(run) => ("slow", Color::Yellow),
            Status::Running if run.begun_at_ms.is_none() => ("waits", Color::Cyan),
            Status::Running => ("runs", Color::Cyan),
            Status::Succeeded => ("done", Color::Green),
            Status::Failed(_) | Status::TimedOut => ("failed", Color::Red),
            Status::Cancelled => ("stopped", Color::Yellow),
            _ => ("queued", Color::Reset),
        };
        let epochs = if run.epochs > 0 { format!("{}/{}", run.epoch(), run.epochs) } else { String::new() };
        let accuracy = run.accuracy().map_or_else(String::new, |value| format!("{:.1} %", 100.0 * value));
        let label = printable_line(&run.label).into_owned();
        Row::new([word.to_owned(), label, epochs, accuracy]).style(Style::new().fg(color))
    };
    let widths = [Constraint::Length(7), Constraint::Min(8), Constraint::Length(9), Constraint::Length(8)];
    let heading = Row::new(["", "run", "epoch", "accuracy"]).style(Style::new().add_modifier(Modifier::DIM));
    let listed = listed(state);
    let table = Table::new(listed.into_iter().map(row), widths)
        .header(heading)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut selected = TableState::default().with_selected(Some(cursor.place));
    frame.render_stateful_widget(table, area, &mut selected);
}

/// Draws the accuracy after each epoch; the loss of a run without accuracy.
fn curve(frame: &mut Frame<'_>, run: &RunState, area: Rect) {
    let of = |value: fn(&crate::CurvePoint) -> Option<f64>| -> Vec<(f64, f64)> {
        let points = run.curve.iter().filter_map(|point| Some((f64::from(point.epoch), value(point)?)));
        points.filter(|(_, value)| value.is_finite()).collect()
    };
    let accuracy = of(|point| point.accuracy.map(|value| 100.0 * value));
    let (points, title) =
        if accuracy.is_empty() { (of(|point| point.loss), "loss") } else { (accuracy, "accuracy, %") };
    let block = Block::bordered().title(title);
    if points.is_empty() {
        return frame.render_widget(Paragraph::new("no epoch is finished yet").block(block), area);
    }
    let low = points.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = if high > low { (low, high) } else { (low - 1.0, high + 1.0) };
    let last = points.last().map_or(1.0, |(epoch, _)| *epoch).max(f64::from(run.epochs));
    let line = Dataset::default()
        .marker(Marker::Braille)
        .graph_type(GraphType::Line)
        .style(Style::new().fg(Color::Cyan))
        .data(&points);
    let epochs = Axis::default().bounds([0.0, last]).labels(["0".to_owned(), format!("{last:.0}")]);
    let values = Axis::default().bounds([low, high]).labels([format!("{low:.1}"), format!("{high:.1}")]);
    frame.render_widget(Chart::new(vec![line]).block(block).x_axis(epochs).y_axis(values), area);
}

fn details<'a>(state: &SweepState, run: &RunState) -> Paragraph<'a> {
    let mut lines = vec![format!("{} attempt {}", run.run.short(), run.attempt)];
    let place = [&run.place, &run.device, &run.host].into_iter().flatten().cloned().collect::<Vec<_>>().join(", ");
    if !place.is_empty() {
        lines.push(place);
    }
    lines.extend(run.loss.map(|loss| format!("loss {loss:.4}, step {} of {}", run.step, run.steps)));
    if state.is_slow(run) {
        lines.push("a step takes more than twice as long as in other runs".to_owned());
    }
    lines.extend(run.message.iter().flat_map(|message| message.lines()).map(str::to_owned));
    let lines: Vec<Line<'_>> = lines.iter().map(|line| Line::from(printable_line(line).into_owned())).collect();
    Paragraph::new(lines).block(Block::bordered()).wrap(Wrap { trim: true })
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::state::tests::{plan, sweep};

    fn screen(state: &SweepState, cursor: Cursor, (width, height): (u16, u16)) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state, cursor, "no scheduler runs")).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_terminal_of_80_by_24_shows_runs_curve_and_details() {
        let state = sweep();
        insta::assert_snapshot!(screen(&state, Cursor::default(), (80, 24)));
        let failed = Cursor::default().moved(3, &state);
        assert!(screen(&state, failed, (80, 24)).contains("loss is not a number"));
    }

    #[test]
    fn every_size_is_drawn() {
        let state = sweep();
        for size in [(1, 1), (5, 2), (20, 5), (69, 10), (70, 3), (200, 60)] {
            screen(&state, Cursor::default().moved(isize::MAX, &state), size);
            screen(&SweepState::new(&plan(0), &[]), Cursor::default(), size);
        }
    }
}
