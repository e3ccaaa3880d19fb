//! The terminal while the screen is shown: its other buffer, without echo and without a cursor. It is given back as it
//! was when the screen is dropped, and before a panic is reported.

use std::io::{self, Stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

use crate::choice::Choice;
use crate::draw::draw;
use crate::scene::Scene;

/// A terminal that shows the screen.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    is_open: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal of standard output.
    ///
    /// # Errors
    /// When there is no terminal, or it cannot be changed. It is then as before.
    pub fn open() -> io::Result<Self> {
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        let is_open = Arc::new(AtomicBool::new(true));
        let screen = Self { terminal, is_open: Arc::clone(&is_open) };
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back(&is_open);
            report(panic);
        }));
        // From here on, an early return drops the screen, which gives the terminal back.
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        Ok(screen)
    }

    /// Draws a scene.
    ///
    /// # Errors
    /// When the terminal cannot be written: it may be gone.
    pub fn draw(&mut self, scene: &Scene<'_>, choice: &Choice) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, scene, choice)).map(|_| ())
    }

    /// Has the next drawing write every cell again.
    ///
    /// # Errors
    /// As [`Self::draw`].
    pub fn clear(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back(&self.is_open);
    }
}

/// Gives the terminal back, once. If it is gone, there is nothing to give back.
fn give_back(is_open: &AtomicBool) {
    if is_open.swap(false, Ordering::SeqCst) {
        drop(execute!(io::stdout(), LeaveAlternateScreen, Show));
        drop(disable_raw_mode());
    }
}
