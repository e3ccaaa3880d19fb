//! Characters that are refused in texts of users when they are read, and replaced when texts are shown.
//!
//! A terminal executes control characters. An SVG file that contains one is not valid XML. Bidirectional control
//! characters make a line look different from what it says. This module knows characters, but no markup.

use std::borrow::Cow;

/// Replaces a character that cannot be shown.
const REPLACEMENT: char = '\u{fffd}';

/// Error for a character that is not allowed in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} (U+{:04X})", kind(.character), u32::from(*.character))]
pub struct TextError {
    /// The character.
    pub character: char,
    /// Byte offset of the character.
    pub at: usize,
}

/// Checks that a text is one line that looks the same everywhere: no control characters, and no characters that change
/// the direction of writing.
///
/// # Errors
/// When the text contains such a character. The error is the first one.
pub fn check_line(text: &str) -> Result<(), TextError> {
    check(text, |c| !is_shown(c))
}

/// Checks a text that may have several lines. Line breaks and tabs are allowed; otherwise the rule is that of
/// [`check_line`].
///
/// # Errors
/// When the text contains a character that is not allowed. The error is the first one.
pub fn check_prose(text: &str) -> Result<(), TextError> {
    check(text, |c| !is_shown(c) && !matches!(c, '\n' | '\r' | '\t'))
}

/// Makes a text of several lines safe for a terminal. Line breaks and tabs stay; other control characters are replaced.
pub fn printable(text: &str) -> Cow<'_, str> {
    let is_kept = |c: char| is_shown(c) || matches!(c, '\n' | '\t');
    if text.chars().all(is_kept) {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n");
    Cow::Owned(text.chars().map(|c| if is_kept(c) { c } else { REPLACEMENT }).collect())
}

/// Makes a text one line. Line breaks and tabs become spaces; other characters that cannot be shown are replaced.
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

/// Whether a character is a bidirectional mark, embedding, override or isolate. Right-to-left scripts do not need them.
fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character is a line break that is not a control character.
fn is_line_break(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

fn kind(c: &char) -> &'static str {
    match c {
        '\n' | '\r' => "a line break",
        c if is_line_break(*c) => "a line break",
        '\t' => "a tab",
        c if is_bidirectional(*c) => "a character that changes the direction of writing",
        '\u{fffe}' | '\u{ffff}' => "a code point that is not a character",
        _ => "a control character",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn control_characters_are_found_and_replaced() {
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
        fn printable_text_passes_the_check_and_stays_the_same(text in any::<String>()) {
            let (line, prose) = (printable_line(&text).into_owned(), printable(&text).into_owned());
            prop_assert!(check_line(&line).is_ok() && check_prose(&prose).is_ok());
            prop_assert_eq!(printable_line(&line), line.as_str());
            if check_line(&text).is_ok() {
                prop_assert_eq!(line, text);
            }
        }
    }
}
