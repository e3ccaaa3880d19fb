//! Formats an error with its causes in one line, for journals and notes.

use std::error::Error;

/// Joins an error and its causes with colons. A cause whose text already occurred is left out.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::JournalError;

    #[test]
    fn causes_follow_and_repetitions_do_not() {
        let source = std::io::Error::other("no space");
        let fault = JournalError::Io { path: "j".into(), doing: "appending", source };
        assert_eq!(error_chain(&fault), "journal j: appending failed: no space");
        assert_eq!(
            error_chain(&crate::SinkError::Journal(fault)),
            "an event could not be recorded: journal j: appending failed: no space"
        );
    }
}
