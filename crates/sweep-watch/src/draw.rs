//! The whole screen: title, overall bar, lists, the selected run, keys.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::{Block, Paragraph, Widget, Wrap};
use sweep_progress::{Scheduler, View, fitted};
use sweep_protocol::{Status, duration};

use crate::choice::{Choice, Panel};
use crate::curves;
use crate::panels::List;
use crate::scene::{Colors, Scene};

const KEYS: &str = "q leave   tab panel   ↑ ↓ select";
/// Rows that title, bar and keys need beside a list.
const RIM: u16 = 3;
/// Rows with which all lists and the selected run are shown.
const ROOMY: u16 = 12;
/// Rows with which the active list and the selected run are shown.
const MEDIUM: u16 = 7;
/// Columns with which lists stand side by side.
const WIDE: u16 = 60;

/// Draws a scene.
pub fn draw(frame: &mut Frame<'_>, scene: &Scene<'_>, choice: &Choice) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    let Some(view) = scene.view else {
        return Paragraph::new(format!("waiting for a sweep\n{}\n\nq leave", scene.note))
            .wrap(Wrap { trim: true })
            .render(area, buffer);
    };
    let screen = Picture { scene, view, choice };
    let mut rest = area;
    screen.title(top(&mut rest, 1), buffer);
    screen.bar(top(&mut rest, 1), buffer);
    if area.height > RIM {
        screen.footer(bottom(&mut rest, 1), buffer);
    }
    if rest.height > ROOMY && !scene.note.is_empty() {
        screen.note(bottom(&mut rest, 1), buffer);
    }
    screen.body(rest, buffer);
}

/// Cuts rows off the top of an area.
fn top(area: &mut Rect, rows: u16) -> Rect {
    let rows = rows.min(area.height);
    let cut = Rect { height: rows, ..*area };
    *area = Rect { y: area.y + rows, height: area.height - rows, ..*area };
    cut
}

/// Cuts rows off the bottom of an area.
fn bottom(area: &mut Rect, rows: u16) -> Rect {
    let rows = rows.min(area.height);
    area.height -= rows;
    Rect { y: area.y + area.height, height: rows, ..*area }
}

struct Picture<'a> {
    scene: &'a Scene<'a>,
    view: &'a View<'a>,
    choice: &'a Choice,
}

impl Picture<'_> {
    fn style(&self, color: Color) -> Style {
        if self.scene.colors == Colors::On { Style::new().fg(color) } else { Style::new() }
    }

    fn title(&self, area: Rect, buffer: &mut Buffer) {
        let view = self.view;
        let (scheduler, style) = match view.scheduler {
            Scheduler::Present { pid, .. } => (format!("scheduler: process {pid}"), Style::new()),
            Scheduler::Elsewhere { pid, host } => (format!("scheduler: process {pid} on {host}"), Style::new()),
            Scheduler::Absent if view.counts.queued + view.counts.running == 0 => {
                ("finished".to_owned(), self.style(Color::Green))
            }
            Scheduler::Absent if view.is_on_cluster => {
                ("no scheduler; Slurm goes on, and `run` follows it".to_owned(), Style::new())
            }
            Scheduler::Absent => ("no scheduler; `run` continues".to_owned(), self.style(Color::Red)),
            Scheduler::Unknown => (String::new(), Style::new()),
        };
        let right = u16::try_from(scheduler.chars().count()).unwrap_or(u16::MAX);
        let name = format!("{} ({})", view.experiment, view.profile);
        let room = area.width.saturating_sub(right + 1);
        let bold = Style::new().add_modifier(Modifier::BOLD);
        if room < 8 {
            return Paragraph::new(fitted(&name, usize::from(area.width))).style(bold).render(area, buffer);
        }
        Paragraph::new(fitted(&name, usize::from(room))).style(bold).render(Rect { width: room, ..area }, buffer);
        let place = Rect { x: area.x + room + 1, width: right, ..area };
        Paragraph::new(scheduler).style(style).render(place, buffer);
    }

    /// Draws counts, a bar, the share and the time left in one row.
    fn bar(&self, area: Rect, buffer: &mut Buffer) {
        let (view, counts) = (self.view, self.view.counts);
        let also = [(counts.failed, "failed"), (counts.pruned, "pruned")].into_iter().filter(|(count, _)| *count > 0);
        let also: String = also.map(|(count, word)| format!(", {count} {word}")).collect();
        let ended = counts.runs - counts.running - counts.queued;
        let left = format!("{ended} of {} runs{also} ", counts.runs);
        let time = view.seconds_left.map(|seconds| format!("  {} left", duration(seconds)));
        let right = format!(" {:.0} %{}", (100.0 * view.share).floor(), time.unwrap_or_default());
        let room = usize::from(area.width).saturating_sub(left.chars().count() + right.chars().count());
        if room < 5 {
            let text = format!("{}{}", left.trim_end(), right);
            return Paragraph::new(text).render(area, buffer);
        }
        let full = ((room as f64 * view.share) as usize).min(room);
        let tip = if full < room && full > 0 { "╸" } else { "" };
        let line = format!("{}{tip}", "━".repeat(full.saturating_sub(usize::from(!tip.is_empty()))));
        Paragraph::new(format!("{left}{line:<room$}{right}")).render(area, buffer);
    }

    fn footer(&self, area: Rect, buffer: &mut Buffer) {
        Paragraph::new(KEYS).render(area, buffer);
    }

    fn note(&self, area: Rect, buffer: &mut Buffer) {
        Paragraph::new(self.scene.note).style(self.style(Color::Yellow)).render(area, buffer);
    }

    fn body(&self, mut rest: Rect, buffer: &mut Buffer) {
        let panel = self.choice.panel();
        if rest.height < ROOMY {
            let height = if rest.height < MEDIUM { rest.height } else { rest.height / 2 };
            // A frame would take most of the rows.
            self.list(panel).draw_rows(top(&mut rest, height), buffer);
            return self.detail(rest, buffer);
        }
        let rows = |panels: &[Panel]| {
            let most = panels.iter().map(|panel| panel.rows(self.view)).max().unwrap_or(0);
            u16::try_from(most).unwrap_or(u16::MAX).max(1).saturating_add(2)
        };
        let third = rest.height / 3;
        let slots = top(&mut rest, rows(&[Panel::Slots]).min(third));
        self.list(Panel::Slots).draw(slots, buffer);
        let others = [Panel::Queue, Panel::Finished, Panel::Failures];
        let lists = top(&mut rest, rows(&others).clamp(4, third.max(4)));
        if rest.width < WIDE {
            self.list(if panel == Panel::Slots { Panel::Queue } else { panel }).draw(lists, buffer);
        } else {
            let width = rest.width / 3;
            let place = |at: u16| Rect { x: lists.x + at * width, width, ..lists };
            let last = Rect { width: lists.width - 2 * width, ..place(2) };
            others
                .into_iter()
                .zip([place(0), place(1), last])
                .for_each(|(panel, area)| self.list(panel).draw(area, buffer));
        }
        self.detail(rest, buffer);
    }

    fn list(&self, panel: Panel) -> List<'_> {
        List { panel, view: self.view, choice: self.choice, colors: self.scene.colors }
    }

    /// Draws the selected run: what happened to it, and its learning curve.
    fn detail(&self, area: Rect, buffer: &mut Buffer) {
        if area.height < 3 {
            return;
        }
        let selected = self.choice.run(self.view);
        let (label, text) = selected.map_or_else(|| ("no run is selected", String::new()), |run| self.describe(run));
        let title = selected.map_or_else(|| format!(" {label} "), |run| format!(" {label}, run {} ", run.short()));
        let block = Block::bordered().title(fitted(&title, usize::from(area.width.saturating_sub(2))));
        let mut inside = block.inner(area);
        block.render(area, buffer);
        if !text.is_empty() {
            let lines = Paragraph::new(text.as_str()).wrap(Wrap { trim: true });
            let needed = u16::try_from(wrapped_rows(&text, usize::from(inside.width))).unwrap_or(u16::MAX);
            lines.render(top(&mut inside, needed), buffer);
        }
        match self.scene.curve {
            Some(curve) => curves::draw(curve, inside, buffer, self.scene.colors),
            None if selected.is_some() && text.is_empty() => {
                Paragraph::new("it has not been started").render(inside, buffer);
            }
            None => {}
        }
    }

    /// Label of a run, and what there is to say about it.
    fn describe(&self, run: sweep_protocol::RunId) -> (&str, String) {
        let view = self.view;
        if let Some(failed) = view.failures.iter().find(|failed| failed.run == run) {
            let reason = failed.reason.unwrap_or("no reason is recorded");
            return (failed.label, format!("{}: {reason}\nlog: {}", failed.status, failed.log));
        }
        let running = view.slots.iter().filter_map(|slot| slot.running.as_ref()).find(|running| running.run == run);
        if let Some(running) = running {
            let steps = running.steps.map_or_else(String::new, |steps| format!(" of {steps}"));
            let place = running.place.map_or_else(String::new, |place| {
                let plural = if place.threads == 1 { "" } else { "s" };
                format!(", {} with {} thread{plural}", place.device, place.threads)
            });
            let slow = running.times_slower.map(|times| {
                format!(
                    "\n{times:.1} times as slow as finished runs there: see whether other programs use the machine, \
                     and `repmlp-sweep logs {}`",
                    run.short()
                )
            });
            let job = running.job.map_or_else(String::new, |job| format!(", Slurm job {job}"));
            let (attempt, step) = (running.attempt, running.step);
            let slow = slow.unwrap_or_default();
            return (running.label, format!("step {step}{steps}, attempt {attempt}{place}{job}{slow}"));
        }
        if let Some(finished) = view.finished.iter().find(|finished| finished.run == run) {
            let time = finished.seconds.map(|seconds| format!("its last attempt took {}", duration(seconds)));
            let why = "it was stopped early, since it was poor beside others; `run` without --prune continues it";
            let why = Some(why.to_owned()).filter(|_| finished.status == Status::Pruned);
            return (finished.label, why.into_iter().chain(time).collect::<Vec<_>>().join("\n"));
        }
        let waiting = view.queue.iter().find(|waiting| waiting.run == run);
        let text = |waiting: &sweep_progress::Waiting<'_>| match (waiting.job, waiting.checkpoint_step) {
            (Some(job), 0) => format!("it waits in the queue of Slurm as job {job}"),
            (Some(job), step) => format!("it waits in the queue of Slurm as job {job}, and continues at step {step}"),
            (None, 0) => String::new(),
            (None, step) => format!("it waits and continues at step {step}"),
        };
        (waiting.map_or("", |waiting| waiting.label), waiting.map(text).unwrap_or_default())
    }
}

/// Number of rows that a text needs at most, with lines broken between words.
fn wrapped_rows(text: &str, width: usize) -> usize {
    let rows = |line: &str| {
        let (mut rows, mut used) = (1, 0);
        for word in line.split_whitespace() {
            let length = word.chars().count();
            if used > 0 && used + 1 + length > width {
                (rows, used) = (rows + 1, 0);
            }
            used += length + usize::from(used > 0);
            // A longer word is broken.
            while used > width && width > 0 {
                (rows, used) = (rows + 1, used - width);
            }
        }
        rows
    };
    text.lines().map(rows).sum()
}
