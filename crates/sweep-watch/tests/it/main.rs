//! Tests of the screen: what is drawn in terminals of several sizes, and a terminal that is given back.

#![expect(clippy::unwrap_used, reason = "tests and their helpers may panic")]

mod drawing;
mod terminal;
