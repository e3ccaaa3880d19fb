//! The rows of the lists, as text.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Paragraph, Widget};
use sweep_progress::{Running, Scheduler, View, fitted};
use sweep_protocol::{Status, duration};

use crate::choice::{Choice, Panel};
use crate::scene::Colors;

/// One row of a list.
struct Row {
    text: String,
    color: Option<Color>,
}

impl Row {
    fn plain(text: String) -> Self {
        Self { text, color: None }
    }
}

/// A list to be drawn.
#[derive(Clone, Copy)]
pub(crate) struct List<'a> {
    pub(crate) panel: Panel,
    pub(crate) view: &'a View<'a>,
    pub(crate) choice: &'a Choice,
    pub(crate) colors: Colors,
}

impl List<'_> {
    fn title(&self) -> String {
        let counts = self.view.counts;
        match self.panel {
            Panel::Slots
                if *self.view.scheduler == Scheduler::Absent && !self.view.is_on_cluster && counts.running > 0 =>
            {
                format!(" interrupted {} ", counts.running)
            }
            Panel::Slots => format!(" running {} ", counts.running),
            Panel::Queue => format!(" queue {} ", counts.queued),
            Panel::Finished if counts.pruned > 0 => format!(" done {}, pruned {} ", counts.succeeded, counts.pruned),
            Panel::Finished => format!(" done {} ", counts.succeeded),
            Panel::Failures => format!(" failed {} ", counts.failed),
        }
    }

    /// Draws the rows in a frame. The frame of the active panel is thick.
    pub(crate) fn draw(&self, area: Rect, buffer: &mut Buffer) {
        let border = if self.is_active() { BorderType::Thick } else { BorderType::Plain };
        let block = Block::bordered().border_type(border).title(self.title());
        let inside = block.inner(area);
        block.render(area, buffer);
        self.draw_rows(inside, buffer);
    }

    fn is_active(&self) -> bool {
        self.choice.panel() == self.panel
    }

    /// Draws the rows around the selected one.
    pub(crate) fn draw_rows(&self, inside: Rect, buffer: &mut Buffer) {
        let is_active = self.is_active();
        let selected = self.choice.row(self.panel, self.view);
        let height = usize::from(inside.height);
        let first = (selected + 1).saturating_sub(height);
        // The mark takes two columns.
        let rows = self.rows(usize::from(inside.width).saturating_sub(2), first..first.saturating_add(height));
        let line = |(at, row): (usize, Row)| {
            let is_selected = is_active && first + at == selected;
            let mark = if is_selected { "> " } else { "  " };
            let color = row.color.filter(|_| self.colors == Colors::On);
            let style = color.map_or(Style::new(), |color| Style::new().fg(color));
            let style = if is_selected { style.add_modifier(Modifier::BOLD) } else { style };
            Line::styled(format!("{mark}{}", row.text), style)
        };
        let lines: Vec<Line<'_>> = rows.into_iter().enumerate().map(line).collect();
        Paragraph::new(lines).render(inside, buffer);
    }

    /// The rows in a range, at most this wide.
    fn rows(&self, width: usize, range: std::ops::Range<usize>) -> Vec<Row> {
        let (skip, take) = (range.start, range.len());
        match self.panel {
            Panel::Slots => slots(self.view, width).into_iter().skip(skip).take(take).collect(),
            Panel::Queue => {
                let row = |waiting: &sweep_progress::Waiting<'_>| {
                    let note = match waiting {
                        waiting if waiting.is_retry => " again",
                        waiting if waiting.checkpoint_step > 0 => " continues",
                        _ => "",
                    };
                    Row::plain(format!("{}{note}", fitted(waiting.label, width.saturating_sub(note.len()))))
                };
                self.view.queue.iter().skip(skip).take(take).map(row).collect()
            }
            Panel::Finished => {
                let row = |finished: &sweep_progress::Finished<'_>| {
                    let value = finished.accuracy.map(|told| format!("{:.1} %", 100.0 * told.value));
                    let is_pruned = finished.status == Status::Pruned;
                    let word = if is_pruned { "pruned".to_owned() } else { value.unwrap_or_default() };
                    Row::plain(beside(finished.label, &word, width))
                };
                self.view.finished.iter().rev().skip(skip).take(take).map(row).collect()
            }
            Panel::Failures => {
                let row = |failed: &sweep_progress::Failed<'_>| {
                    let status = failed.status.to_string().replace("failed:", "");
                    Row { text: beside(failed.label, &status, width), color: Some(Color::Red) }
                };
                self.view.failures.iter().skip(skip).take(take).map(row).collect()
            }
        }
    }
}

/// Number of columns behind the label of a running attempt.
const COLUMNS: usize = 6;
/// The columns: share, epoch, accuracy, slowness, loss, time.
const MOST_IMPORTANT_FIRST: [usize; COLUMNS] = [0, 1, 3, 4, 2, 5];

/// The texts of a running attempt, in the order of the columns behind its label.
fn columns(running: &Running<'_>) -> [String; COLUMNS] {
    let value = running.accuracy.map(|told| format!("{} {:.2} %", told.split.name(), 100.0 * told.value));
    let epoch = match (running.place, running.epochs) {
        (None, _) => "loads".to_owned(),
        (Some(_), Some(epochs)) => format!("epoch {}/{epochs}", running.epoch),
        (Some(_), None) => format!("epoch {}", running.epoch),
    };
    let slow = running.times_slower.map(|times| format!("{times:.1}x slow"));
    [
        running.steps.map_or_else(String::new, |_| format!("{:.0} %", 100.0 * running.share)),
        epoch,
        running.loss.map_or_else(String::new, |loss| format!("loss {loss:.3}")),
        value.unwrap_or_default(),
        slow.unwrap_or_default(),
        duration(running.seconds),
    ]
}

/// The rows of the slots: number, label, and as many columns as fit.
fn slots(view: &View<'_>, width: usize) -> Vec<Row> {
    let cells: Vec<Option<[String; COLUMNS]>> =
        view.slots.iter().map(|slot| slot.running.as_ref().map(columns)).collect();
    let widths: Vec<usize> = (0..COLUMNS)
        .map(|column| cells.iter().flatten().map(|cells| cells[column].chars().count()).max().unwrap_or(0))
        .collect();
    let number_width = 3;
    let longest =
        view.slots.iter().filter_map(|slot| slot.running.as_ref()).map(|running| running.label.chars().count());
    // The label keeps at least a third. The columns that matter most take the rest.
    let mut left = width.saturating_sub(number_width + longest.max().unwrap_or(0).min(width / 3));
    let mut shown = [false; COLUMNS];
    for column in MOST_IMPORTANT_FIRST {
        let needed = widths[column] + 2;
        if widths[column] > 0 && needed <= left {
            left -= needed;
            shown[column] = true;
        }
    }
    let behind: usize = (0..COLUMNS).filter(|column| shown[*column]).map(|column| widths[column] + 2).sum();
    let label_width = width.saturating_sub(number_width + behind);
    let row = |(slot, cells): (&sweep_progress::SlotView<'_>, &Option<[String; COLUMNS]>)| {
        let number = slot.slot.map_or_else(|| "-".to_owned(), |slot| slot.to_string());
        let (Some(running), Some(cells)) = (&slot.running, cells) else {
            return Row::plain(format!("{number:<number_width$}idle"));
        };
        let mut text = format!("{number:<number_width$}{:<label_width$}", fitted(running.label, label_width));
        for column in (0..COLUMNS).filter(|column| shown[*column]) {
            text += &format!("  {:>width$}", cells[column], width = widths[column]);
        }
        Row { text, color: running.times_slower.map(|_| Color::Yellow) }
    };
    view.slots.iter().zip(&cells).map(row).collect()
}

/// A label with a word at the right end.
fn beside(label: &str, word: &str, width: usize) -> String {
    let room = width.saturating_sub(word.chars().count() + usize::from(!word.is_empty()));
    if room < 6 { fitted(label, width) } else { format!("{:<room$} {word}", fitted(label, room)).trim_end().to_owned() }
}
