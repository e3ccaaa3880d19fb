//! What the user has selected: a panel, and a row in each panel.

use sweep_progress::View;
use sweep_protocol::RunId;

use crate::input::Input;

/// A list of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Panel {
    /// The slots with their running attempts.
    #[default]
    Slots,
    /// The runs that wait.
    Queue,
    /// The runs that have succeeded.
    Finished,
    /// The runs that have failed.
    Failures,
}

impl Panel {
    /// All panels, in the order of the tab key.
    pub(crate) const ALL: [Self; 4] = [Self::Slots, Self::Queue, Self::Finished, Self::Failures];

    /// Number of rows.
    pub(crate) fn rows(self, view: &View<'_>) -> usize {
        match self {
            Self::Slots => view.slots.len(),
            Self::Queue => view.queue.len(),
            Self::Finished => view.finished.len(),
            Self::Failures => view.failures.len(),
        }
    }

    /// The run in a row. The latest finished run is in the first row.
    fn run(self, view: &View<'_>, row: usize) -> Option<RunId> {
        match self {
            Self::Slots => view.slots.get(row)?.running.as_ref().map(|running| running.run),
            Self::Queue => view.queue.get(row).map(|waiting| waiting.run),
            Self::Finished => view.finished.iter().nth_back(row).map(|finished| finished.run),
            Self::Failures => view.failures.get(row).map(|failed| failed.run),
        }
    }
}

/// What happens after an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The screen is drawn again where it changed.
    Draw,
    /// The whole screen is drawn again.
    Redraw,
    /// The screen is left.
    Leave,
}

/// What the user has selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    panel: Panel,
    rows: [usize; 4],
}

impl Choice {
    /// The active panel.
    pub fn panel(&self) -> Panel {
        self.panel
    }

    /// The selected row of a panel. It exists if the panel has rows.
    pub(crate) fn row(&self, panel: Panel, view: &View<'_>) -> usize {
        self.rows[panel as usize].min(panel.rows(view).saturating_sub(1))
    }

    /// The selected run.
    pub fn run(&self, view: &View<'_>) -> Option<RunId> {
        self.panel.run(view, self.row(self.panel, view))
    }

    /// Follows an input.
    pub fn follow(&mut self, input: Input, view: Option<&View<'_>>) -> Step {
        let panel = self.panel as usize;
        let last = view.map_or(0, |view| self.panel.rows(view).saturating_sub(1));
        let row = self.rows[panel].min(last);
        match input {
            Input::Leave => return Step::Leave,
            Input::Redraw => return Step::Redraw,
            Input::Resized => {}
            Input::NextPanel => self.panel = Panel::ALL[(panel + 1) % Panel::ALL.len()],
            Input::FormerPanel => self.panel = Panel::ALL[(panel + Panel::ALL.len() - 1) % Panel::ALL.len()],
            Input::Rows(rows) => self.rows[panel] = row.saturating_add_signed(rows).min(last),
            Input::First => self.rows[panel] = 0,
            Input::Last => self.rows[panel] = last,
        }
        Step::Draw
    }
}
