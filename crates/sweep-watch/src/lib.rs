//! The screen of `repmlp-sweep watch`: drawing, keys, and a terminal that is always given back.
//!
//! Drawing is a function of a scene, the user's choice and the size of the terminal. This crate reads no results and
//! knows no scheduler.
//!
//! ```text
//! Scene (a view of sweep-progress) + Choice (panel, row) -> draw -> cells
//!                                        '-- Input (keys)
//! ```

mod choice;
mod curves;
mod draw;
mod input;
mod panels;
mod scene;
mod screen;

pub use choice::{Choice, Panel, Step};
pub use draw::draw;
pub use input::{Input, listen};
pub use scene::{Colors, Scene};
pub use screen::Screen;
