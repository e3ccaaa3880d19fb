//! Text that people wrote and others are shown: which characters are refused where it is read, and replaced where it is shown.
//!
//! A terminal obeys control characters, an SVG with one of them is no XML, and bidirectional controls make a line read as
//! something else. Knows characters, no markup.

use std::borrow::Cow;

/// Stands where a character cannot be shown.
const REPLACEMENT: char = '\u{fffd}';

/// A character that a text may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} (U+{:04X})", kind(.character), u32::from(*.character))]
pub struct TextError {
    /// Which.
    pub character: char,
    /// The byte that it starts at.
    pub at: usize,
}

/// Whether a text is one line that every reader shows alike: no control character and none that changes the direction of writing.
///
/// # Errors
/// With the first character that it may not have.
pub fn check_line(text: &str) -> Result<(), TextError> {
    check(text, |c| !is_shown(c))
}

/// The same for a text of several lines: line breaks and tabs are allowed.
///
/// # Errors
/// With the first character that it may not have.
pub fn check_prose(text: &str) -> Result<(), TextError> {
    check(text, |c| !is_shown(c) && !matches!(c, '\n' | '\r' | '\t'))
}

/// A text of several lines as a terminal may be given it: line breaks and tabs stay, other characters that it would obey are
/// replaced.
pub fn printable(text: &str) -> Cow<'_, str> {
    let is_kept = |c: char| is_shown(c) || matches!(c, '\n' | '\t');
    if text.chars().all(is_kept) {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n");
    Cow::Owned(text.chars().map(|c| if is_kept(c) { c } else { REPLACEMENT }).collect())
}

/// A text as one line: line breaks and tabs become blanks, other characters that cannot be shown are replaced.
pub fn printable_line(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if is_shown(c) => c,
        _ => REPLACEMENT,
    };
    Cow::Owned(text.replace("\r\n", "\n").chars().map(shown).collect())
}

fn check(text: &str, is_refused: impl Fn(char) -> bool) -> Result<(), TextError> {
    match text.char_indices().find(|(_, c)| is_refused(*c)) {
        Some((at, character)) => Err(TextError { character, at }),
        None => Ok(()),
    }
}

fn is_shown(c: char) -> bool {
    !(c.is_control() || is_bidirectional(c) || is_line_break(c) || matches!(c, '\u{fffe}' | '\u{ffff}'))
}

/// Marks, embeddings, overrides and isolates; letters of scripts from right to left need none of them.
fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Line breaks that are no control characters.
fn is_line_break(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

fn kind(c: &char) -> &'static str {
    match c {
        '\n' | '\r' => "a line break",
        c if is_line_break(*c) => "a line break",
        '\t' => "a tab",
        c if is_bidirectional(*c) => "a character that changes the direction of writing",
        '\u{fffe}' | '\u{ffff}' => "what is no character",
        _ => "a control character",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_found_and_replaced() {
        let ink = "red \u{1b}[31mink";
        assert_eq!(check_line(ink), Err(TextError { character: '\u{1b}', at: 4 }));
        assert_eq!(check_line(ink).unwrap_err().to_string(), "a control character (U+001B)");
        assert_eq!(printable(ink), "red \u{fffd}[31mink");
        for bad in ["a\nb", "a\tb", "\u{9b}2J", "a\u{202e}b", "\u{200f}", "\u{61c}", "\u{2067}", "\u{7f}", "\u{2028}"] {
            assert!(check_line(bad).is_err(), "{bad:?}");
        }
        assert_eq!(check_prose("two\nlines,\r\n\ttabs"), Ok(()));
        assert_eq!(printable("two\r\nlines\u{0}"), "two\nlines\u{fffd}");
        assert_eq!(printable_line("two\r\nlines"), "two lines");
        for good in ["", "方法", "שלום", "a ± b", "e\u{301}", "👩\u{200d}🔬"] {
            assert_eq!((check_line(good), printable_line(good)), (Ok(()), good.into()), "{good:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printable_passes_the_check_and_stays(text in any::<String>()) {
            let (line, prose) = (printable_line(&text).into_owned(), printable(&text).into_owned());
            prop_assert!(check_line(&line).is_ok() && check_prose(&prose).is_ok());
            prop_assert_eq!(printable_line(&line), line.as_str());
            if check_line(&text).is_ok() {
                prop_assert_eq!(line, text);
            }
        }
    }
}
