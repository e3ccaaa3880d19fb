//! The one rule for names that become files or folders: experiments, profiles, axes, tables, plots, data sets.
//!
//! Knows one name at a time, not what it names. Labels, titles and sentences are no names: see `text.rs`.

/// Most bytes of a name: file systems take 255 for a file, and renderings add endings.
pub const MOST_NAME_BYTES: usize = 100;

/// What a name is made of, as a help text says it.
pub const NAME_RULE: &str =
    "a name is made of letters, digits, `.`, `-`, `_` and inner spaces, starts with no dot, and has at most 100 bytes";

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left to call a file by.
    #[error("is empty")]
    Empty,
    /// File systems refuse it.
    #[error("has {0} bytes, more than the {MOST_NAME_BYTES} of a name")]
    Long(usize),
    /// `.`, `..` and hidden files.
    #[error("starts with a dot")]
    LeadingDot,
    /// Easily overlooked, and dropped by some file systems.
    #[error("starts or ends with a space")]
    OuterSpace,
    /// A slash, a control character, punctuation.
    #[error("contains `{}`, which is no part of a name", .0.escape_debug())]
    Character(char),
}

/// Whether a text can be a name: letters of any script, digits, `.`, `-`, `_` and inner spaces; no dot at its start, not empty,
/// and at most [`MOST_NAME_BYTES`] bytes. Such a name is one part of a path, never several and never the folder above.
///
/// # Errors
/// With the first reason why it cannot.
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

/// Signs that spell a letter together with the one before and are no letters by themselves: accents that macOS writes apart in
/// names of files, vowel killers, tone marks.
fn is_mark(c: char) -> bool {
    match c {
        '\u{300}'..='\u{36f}' | '\u{5b0}'..='\u{5bd}' | '\u{64b}'..='\u{65f}' | '\u{3099}' | '\u{309a}' => true,
        '\u{e47}'..='\u{e4e}' => true,
        // The Indic scripts have their vowel killer and their dot below in the same place of each block.
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
    fn names_of_every_script_are_names() {
        for name in
            ["a", "gfc_groups", "v1.2-b", "two words", "方法", "größe", "gro\u{308}ße", "हिन्दी", "ชื่อ", &"x".repeat(100)]
        {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_could_lead_elsewhere_or_nowhere_is_refused() {
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
        assert_eq!(NameError::Character('\n').to_string(), "contains `\\n`, which is no part of a name");
    }

    proptest! {
        #[test]
        fn a_name_is_one_part_of_a_path(name in any::<String>()) {
            if check_name(&name).is_ok() {
                let path = Path::new("folder").join(&name);
                prop_assert_eq!(path.components().count(), 2);
                prop_assert!(matches!(path.components().next_back(), Some(Component::Normal(last)) if last == name.as_str()));
            }
        }
    }
}
