//! The rule for names that become files or folders: experiments, profiles, axes, tables, plots and data sets.
//!
//! This module checks one name at a time and does not know what it names. For labels, titles and sentences see
//! `text.rs`.

/// Maximum number of bytes in a name. File systems allow 255 bytes for a file name, and renderings append endings.
pub const MOST_NAME_BYTES: usize = 100;

/// The rule for names, as help texts state it.
pub const NAME_RULE: &str =
    "use letters, digits, `.`, `-`, `_` and inner spaces, no dot at the start, and at most 100 bytes";

/// Reason why a text is not a valid name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// The text is longer than [`MOST_NAME_BYTES`].
    #[error("has {0} bytes; a name has at most {MOST_NAME_BYTES}")]
    Long(usize),
    /// The text starts with a dot. This also covers `.`, `..` and hidden files.
    #[error("starts with a dot")]
    LeadingDot,
    /// The text starts or ends with a space. Such a space is easily overlooked, and some file systems drop it.
    #[error("starts or ends with a space")]
    OuterSpace,
    /// The text contains a character that is not allowed, such as a slash, a control character or punctuation.
    #[error("contains `{}`, which is not allowed in a name", .0.escape_debug())]
    Character(char),
}

/// Checks that a text is a valid name.
///
/// A name consists of letters of any script, digits, `.`, `-`, `_` and inner spaces. It is not empty, does not start
/// with a dot and has at most [`MOST_NAME_BYTES`] bytes. Such a name is exactly one part of a path, and never the
/// parent folder.
///
/// # Errors
/// When the text breaks this rule. The error is the first reason found.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ') || is_mark(c);
    if let Some(other) = name.chars().find(|c| !is_part(*c)) {
        return Err(NameError::Character(other));
    }
    if name.starts_with('.') {
        return Err(NameError::LeadingDot);
    }
    if name.starts_with(' ') || name.ends_with(' ') {
        return Err(NameError::OuterSpace);
    }
    if name.len() > MOST_NAME_BYTES { Err(NameError::Long(name.len())) } else { Ok(()) }
}

/// Whether a character is a combining sign: it forms a letter with the character before it and is not a letter by
/// itself. Examples are accents that macOS stores separately in file names, viramas and tone marks.
fn is_mark(c: char) -> bool {
    match c {
        '\u{300}'..='\u{36f}' | '\u{5b0}'..='\u{5bd}' | '\u{64b}'..='\u{65f}' | '\u{3099}' | '\u{309a}' => true,
        '\u{e47}'..='\u{e4e}' => true,
        // In the block of each Indic script, the virama and the nukta (a dot below) have the same position.
        '\u{900}'..='\u{d7f}' => matches!(u32::from(c) % 0x80, 0x4d | 0x3c),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn names_in_every_script_are_valid() {
        let long = "x".repeat(100);
        for name in
            ["a", "gfc_groups", "v1.2-b", "two words", "方法", "größe", "gro\u{308}ße", "हिन्दी", "ชื่อ", long.as_str()]
        {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn texts_that_are_not_names_are_refused() {
        let cases = [
            ("", NameError::Empty),
            ("..", NameError::LeadingDot),
            (".hidden", NameError::LeadingDot),
            ("../..", NameError::Character('/')),
            ("/tmp", NameError::Character('/')),
            ("a\\b", NameError::Character('\\')),
            ("C:", NameError::Character(':')),
            ("a\0", NameError::Character('\0')),
            ("a\u{202e}b", NameError::Character('\u{202e}')),
            ("a\u{1b}[31m", NameError::Character('\u{1b}')),
            ("a\u{fffd}", NameError::Character('\u{fffd}')),
            (" a", NameError::OuterSpace),
            ("a ", NameError::OuterSpace),
            ("  ", NameError::OuterSpace),
        ];
        for (name, fault) in cases {
            assert_eq!(check_name(name), Err(fault), "{name:?}");
        }
        assert_eq!(check_name(&"é".repeat(51)), Err(NameError::Long(102)));
        assert_eq!(NameError::Character('\n').to_string(), "contains `\\n`, which is not allowed in a name");
    }

    proptest! {
        #[test]
        fn a_name_is_one_part_of_a_path(name in any::<String>()) {
            if check_name(&name).is_ok() {
                let path = Path::new("folder").join(&name);
                prop_assert_eq!(path.components().count(), 2);
                prop_assert!(
                    matches!(path.components().next_back(), Some(Component::Normal(last)) if last == name.as_str())
                );
            }
        }
    }
}
