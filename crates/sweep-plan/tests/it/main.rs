//! Tests of valid experiment files (the plan) and of faulty ones (the messages that users read).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod broken_forms;
mod broken_names;
mod broken_text;
mod golden;
mod laws;
mod resolver_faults;
mod schema;
