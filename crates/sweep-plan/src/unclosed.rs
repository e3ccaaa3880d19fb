//! Finds the place where an unclosed list, table or text of several lines begins.
//!
//! A parser reports it only lines later, and then again for each following line. Users need the place where it begins.
//! This module is used only for files that the parser refuses.

use crate::document::Span;

/// Something that is not closed: its position, the message and the help.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unclosed {
    pub(crate) span: Span,
    pub(crate) message: &'static str,
    pub(crate) help: &'static str,
}

/// Finds the first unclosed bracket or text. A bracket is unclosed if a line follows that can only stand outside of it,
/// or if the file ends. A text is unclosed if its closing quotes are missing.
pub(crate) fn find(text: &str) -> Option<Unclosed> {
    let mut open: Vec<(char, usize)> = Vec::new();
    let mut at = 0;
    let mut is_value = false;
    let mut is_line_start = true;
    while let Some(c) = text[at..].chars().next() {
        if is_line_start && let Some(&(bracket, place)) = open.last().filter(|_| !c.is_whitespace()) {
            let line = text[at..].lines().next().unwrap_or_default();
            if ends_bracket(bracket, line) {
                return Some(bracket_left_open(bracket, place));
            }
        }
        is_line_start = c == '\n' || (is_line_start && c.is_whitespace());
        match c {
            '\n' if open.is_empty() => is_value = false,
            '=' => is_value = true,
            '#' => {
                at += text[at..].find('\n').unwrap_or(text.len() - at);
                continue;
            }
            '"' | '\'' => match string_length(&text[at..], c) {
                Ok(length) => {
                    at += length;
                    continue;
                }
                Err(help) => return Some(Unclosed { span: at..at + 3, message: "this text is not closed", help }),
            },
            // Brackets of table headers are outside of any value and are not counted.
            '[' | '{' if is_value => open.push((c, at)),
            ']' | '}' => drop(open.pop()),
            _ => {}
        }
        at += c.len_utf8();
    }
    open.last().map(|(bracket, place)| bracket_left_open(*bracket, *place))
}

fn bracket_left_open(bracket: char, place: usize) -> Unclosed {
    let (message, help) = match bracket {
        '[' => ("this list is not closed", "write `]` where it ends"),
        _ => ("this table is not closed", "write `}` where it ends"),
    };
    Unclosed { span: place..place + 1, message, help }
}

/// Whether a line cannot be inside an open bracket. This is a key with a value inside a list, or a header inside any
/// bracket.
fn ends_bracket(bracket: char, line: &str) -> bool {
    let is_key = |text: &str| {
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '\'' | ' ');
        let word = text.trim();
        let is_value = matches!(word, "true" | "false" | "inf" | "nan");
        word.starts_with(|c: char| c.is_alphabetic() || c == '_') && word.chars().all(is_part) && !is_value
    };
    let header = line.trim_start().trim_start_matches('[').split(']').next().unwrap_or_default();
    let is_header = line.trim_start().starts_with('[') && is_key(header);
    let is_pair = line.split_once('=').is_some_and(|(key, _)| is_key(key));
    is_header || (bracket == '[' && is_pair)
}

/// Returns the length of the string at the beginning of a text, in bytes, including its quotes. A string on one line
/// ends at the end of its line at the latest: the parser reports that fault itself.
fn string_length(text: &str, quote: char) -> Result<usize, &'static str> {
    let triple: String = std::iter::repeat_n(quote, 3).collect();
    let is_long = text.starts_with(&triple);
    let start = if is_long { 3 } else { 1 };
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(start) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if quote == '"' => is_escaped = true,
            '\n' if !is_long => return Ok(at),
            // Up to two quotes may precede the closing ones.
            c if c == quote && is_long && text[at..].starts_with(&triple) => {
                let more = text[at + 3..].chars().take(2).take_while(|c| *c == quote).count();
                return Ok(at + 3 + more);
            }
            c if c == quote && !is_long => return Ok(at + 1),
            _ => {}
        }
    }
    match (is_long, quote) {
        (false, _) => Ok(text.len()),
        (true, '"') => Err("write `\"\"\"` where it ends"),
        (true, _) => Err("write `'''` where it ends"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    #[test]
    fn the_opening_is_found() {
        let cases = [
            ("seeds = [1,\n\n[[axis]]\nname = 'g'", "[1,"),
            ("seeds = [1, 2\nbaseline = 1", "[1, 2"),
            ("a = [[1, 2], [3]\n[profile.smoke] # c\n", "[[1"),
            ("a = { b = 1\n\n[[axis]]", "{ b"),
            ("a = [\n  1, # ]\n  ']', \"\\\"]\",", "[\n"),
            ("a = \"\"\"b\n\"\"\n[c]\n", "\"\"\"b"),
        ];
        for (text, opening) in cases {
            let found = find(text).unwrap();
            assert!(text[found.span.start..].starts_with(opening), "{text}: {found:?}");
        }
    }

    #[test]
    fn closed_brackets_are_accepted() {
        for text in [
            "a = [\n  [1],\n  [1, 3]\n]\n[b]\nc = { d = [1] }\n[[e]]\n",
            "a = [\n  { b = 1 },\n  \"c = 1\",\n  true,\n  [true]\n]",
            "a = 1 # é",
            "a = \"\"\"\"quoted\"\"\"\"\nb = '[' # [\nc = \"unended\nd = 1",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer_with_a_place(text in any::<String>(), toml in "[a='\"\\[\\]{}#\\\\\n é]{0,40}") {
            for text in [text, toml] {
                prop_assert!(find(&text).is_none_or(|found| text.get(found.span).is_some()));
            }
        }
    }
}
