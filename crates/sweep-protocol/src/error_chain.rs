//! Formats an error with its causes in one line, for journals and notes.

use std::error::Error;

/// Returns the texts of an error and its causes. A text that is part of an earlier one is left out.
pub fn error_texts(error: &dyn Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !texts.iter().any(|text| text.contains(&told)) {
            texts.push(told);
        }
        cause = error.source();
    }
    texts
}

/// Joins an error and its causes with colons. A cause whose text already occurred is left out.
pub fn error_chain(error: &dyn Error) -> String {
    error_texts(error).join(": ")
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
