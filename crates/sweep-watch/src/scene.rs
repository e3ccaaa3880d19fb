//! What is drawn.

use sweep_progress::{Curve, View};

/// Whether colours are used. Without them, marks and words say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// They are.
    On,
    /// They are not.
    Off,
}

/// What is drawn.
#[derive(Clone, Debug)]
pub struct Scene<'a> {
    /// The sweep; absent while there is none.
    pub view: Option<&'a View<'a>>,
    /// The learning curve of the selected run, if it is known.
    pub curve: Option<&'a Curve>,
    /// A sentence about the whole screen, such as why there is nothing to draw; empty if there is nothing to say.
    pub note: &'a str,
    /// Whether colours are used.
    pub colors: Colors,
}
