//! What the user does at the terminal.

use std::io;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Time after which the listener looks whether somebody still wants to hear.
const PATIENCE: Duration = Duration::from_millis(200);

/// What the user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Leaves.
    Leave,
    /// Goes to the next panel.
    NextPanel,
    /// Goes to the panel before.
    FormerPanel,
    /// Moves the selection by this number of rows; negative is up.
    Rows(isize),
    /// Selects the first row.
    First,
    /// Selects the last row.
    Last,
    /// Has everything drawn again.
    Redraw,
    /// Changed the size of the terminal.
    Resized,
}

impl Input {
    /// Returns what a key means, if it means something.
    fn of(key: KeyEvent) -> Option<Self> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
        Some(match key.code {
            KeyCode::Char('c' | 'd') if with_control => Self::Leave,
            KeyCode::Char('l') if with_control => Self::Redraw,
            KeyCode::Char(_) if with_control => return None,
            KeyCode::Char('q') | KeyCode::Esc => Self::Leave,
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => Self::NextPanel,
            KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => Self::FormerPanel,
            KeyCode::Down | KeyCode::Char('j') => Self::Rows(1),
            KeyCode::Up | KeyCode::Char('k') => Self::Rows(-1),
            KeyCode::PageDown => Self::Rows(10),
            KeyCode::PageUp => Self::Rows(-10),
            KeyCode::Home | KeyCode::Char('g') => Self::First,
            KeyCode::End | KeyCode::Char('G') => Self::Last,
            _ => return None,
        })
    }
}

/// Waits for the user and passes on each input, until `hear` returns `false`. It blocks, so it needs a thread of its
/// own.
///
/// # Errors
/// When the terminal cannot be read.
pub fn listen(hear: impl Fn(Input) -> bool, is_over: impl Fn() -> bool) -> io::Result<()> {
    while !is_over() {
        if !event::poll(PATIENCE)? {
            continue;
        }
        let input = match event::read()? {
            Event::Key(key) => Input::of(key),
            Event::Resize(_, _) => Some(Input::Resized),
            _ => None,
        };
        if input.is_some_and(|input| !hear(input)) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_footer() {
        let key = |code, modifiers| Input::of(KeyEvent::new(code, modifiers));
        let plain = |code| key(code, KeyModifiers::NONE);
        assert_eq!(plain(KeyCode::Char('q')), Some(Input::Leave));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Input::Leave));
        assert_eq!(plain(KeyCode::Char('c')), None);
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::CONTROL), None);
        assert_eq!([plain(KeyCode::Down), plain(KeyCode::Char('j'))], [Some(Input::Rows(1)); 2]);
        assert_eq!(plain(KeyCode::Tab), Some(Input::NextPanel));
        assert_eq!(key(KeyCode::BackTab, KeyModifiers::SHIFT), Some(Input::FormerPanel));
        assert_eq!(key(KeyCode::Char('G'), KeyModifiers::SHIFT), Some(Input::Last));
    }
}
