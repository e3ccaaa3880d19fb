//! A report in Markdown, in GitHub's dialect.
//!
//! This module formats a computed document; it computes nothing.

use sweep_protocol::{printable, printable_line};

use super::analysis::Section;
use super::claims;
use super::sheet::{Mark, Sheet, Text};
use super::statistics::{self, Statistics};
use crate::document::Document;
use crate::missing::status_in_words;
use crate::notes::about_marks;
use crate::overview::Overview;
use crate::plots::Plot;
use crate::table::Table;

/// Formats the whole report.
pub(super) fn report(document: &Document) -> String {
    let overview = &document.overview;
    let mut out = format!("# {}\n\n", escaped(&document.title));
    if !overview.question.is_empty() {
        out += &format!("**Question.** {}\n\n", escaped(&overview.question));
    }
    out += &format!("**Scale.** {}\n\n", escaped(&overview.scale()));
    out += &format!("**Runs.** {}\n\n", escaped(&overview.progress()));
    if let Some(note) = &document.note {
        // The note is Markdown written by the author, so it is not escaped.
        out += &format!("{}\n\n", printable(note.trim()));
    }
    for shown in &document.answers.tables {
        out += &format!("## {}\n\n{}\n", escaped(&shown.title), table(shown));
    }
    out += &document.answers.analyses.iter().map(|analysis| part(&Section::of(analysis))).collect::<String>();
    out += &claims::section(&document.answers.claims, &document.answers.withdrawn);
    out += &document.plots.iter().map(plot).collect::<String>();
    out += &closing(overview);
    out.trim_end().to_owned() + "\n"
}

/// Formats an analysis: its sheets and its notes.
fn part(part: &Section) -> String {
    let mut out = format!("## {}\n\n", escaped(&part.title));
    out += &part.sheets.iter().map(lines).collect::<String>();
    out += &part.notes.iter().map(|note| format!("{}  \n", escaped(note))).collect::<String>();
    out + "\n"
}

fn plot(plot: &Plot) -> String {
    let heading = format!("## {}\n\n", escaped(&plot.title));
    let body = match &plot.picture {
        Some(_) => format!(
            "![{}]({}.svg)\n\n{}\n\n",
            escaped_in_brackets(&plot.title),
            target(&plot.id),
            escaped(&plot.caption)
        ),
        None => format!("{}\n\n", escaped(&plot.caption)),
    };
    heading + &body
}

/// Lists what the tables do not show, with the reasons.
fn closing(overview: &Overview) -> String {
    let mut out = String::new();
    if !overview.exclusions.is_empty() {
        out += "## Left out\n\n";
        for exclusion in &overview.exclusions {
            out += &format!("- {}: {}\n", escaped(&exclusion.coordinates.to_string()), escaped(&exclusion.reason));
        }
        out.push('\n');
    }
    if !overview.failures.is_empty() {
        out += "## Failures\n\n";
        for failure in &overview.failures {
            let place = format!("{} seed={}", failure.coordinates, failure.seed);
            let message = failure.message.as_ref().map(|message| format!(" ({})", escaped(message)));
            let status = status_in_words(failure.status);
            out += &format!("- {}: {status}{}\n", escaped(place.trim_start()), message.unwrap_or_default());
        }
    }
    out
}

/// Formats the table, its row notes, its notes, and the statistics of its columns.
fn table(table: &Table) -> String {
    let sheet = Sheet::of(table);
    let mut out = lines(&sheet);
    for (letter, note) in &sheet.row_notes {
        out += &format!("<sup>{letter}</sup> {}  \n", escaped(note));
    }
    let marks = about_marks(table, "Bold", "italic");
    for note in marks.iter().chain(&table.notes) {
        out += &format!("{}  \n", escaped(note));
    }
    for Statistics { label, sheet, note } in statistics::of(table) {
        out += &format!("\n### Statistics of {}\n\n{}{}\n", escaped(&label), lines(&sheet), escaped(&note));
    }
    out
}

/// Formats header and rows.
fn lines(sheet: &Sheet) -> String {
    let mut out = line(sheet.header.iter().map(|text| escaped(text)));
    out += &line((0..sheet.header.len()).map(|i| if i < sheet.words { ":--" } else { "--:" }.to_owned()));
    out += &sheet.rows.iter().map(|row| line(row.iter().map(cell))).collect::<String>();
    out + "\n"
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

fn cell(text: &Text) -> String {
    let words = escaped(&text.text);
    let words = match text.mark {
        Mark::Best => format!("**{words}**"),
        Mark::Tied => format!("*{words}*"),
        Mark::Plain => words,
    };
    match &text.note {
        Some(letter) => format!("{words} <sup>{letter}</sup>"),
        None => words,
    }
}

/// Escapes text so that Markdown shows it literally, in one line: no links, images, HTML, formulas or control
/// characters.
pub(super) fn escaped(text: &str) -> String {
    let text = printable_line(text);
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if is_markup(c, &text[..at], &text[at + c.len_utf8()..]) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Whether GitHub's Markdown would interpret a character. Brackets are escaped only where they would form a link or an
/// image, because intervals and labels contain many brackets.
fn is_markup(c: char, before: &str, after: &str) -> bool {
    match c {
        '|' | '*' | '_' | '`' | '<' | '\\' | '~' | '$' => true,
        ']' => after.starts_with(['(', '[', ':']),
        '&' => after.starts_with(|next: char| next == '#' || next.is_ascii_alphabetic()),
        // Bare addresses become links.
        ':' => after.starts_with("//"),
        '.' => before.to_ascii_lowercase().ends_with("www") || is_number(before) && after.starts_with(' '),
        // A heading loses `#` signs at its end. A line that begins with one is a heading, or a quote.
        '#' => after.is_empty() || before.is_empty(),
        '>' => before.is_empty(),
        // These begin a list.
        '-' | '+' => before.is_empty() && after.starts_with(' '),
        ')' => is_number(before) && after.starts_with(' '),
        _ => false,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Escapes text inside the brackets of an image, where every bracket counts.
fn escaped_in_brackets(text: &str) -> String {
    let mut out = String::new();
    let escaped = escaped(text);
    let mut before = None;
    for c in escaped.chars() {
        if matches!(c, '[' | ']') && before != Some('\\') {
            out.push('\\');
        }
        out.push(c);
        // An escaped backslash does not escape the next character.
        before = if before == Some('\\') { None } else { Some(c) };
    }
    out
}

/// Encodes a file name as the target of a link.
fn target(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let spelled = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(spelled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_special_to_markdown_are_escaped() {
        let cases = [
            ("![p](http://a.b/c.png)", r"![p\](http\://a.b/c.png)"),
            ("[1](2)", r"[1\](2)"),
            ("[a][b] [c]: d", r"[a\][b] [c\]: d"),
            ("<img src=x> &lt; &#60; a & b", r"\<img src=x> \&lt; \&#60; a & b"),
            ("$x$ ~~y~~ `z` a|b \\", r"\$x\$ \~\~y\~\~ \`z\` a\|b \\"),
            ("www.a.b https://c", r"www\.a.b https\://c"),
            ("[−0.62, 0.00], p = 1 [95%]", "[−0.62, 0.00], p = 1 [95%]"),
            ("C #", r"C \#"),
            ("# wrong", r"\# wrong"),
            ("> 5 s", r"\> 5 s"),
            ("- loss", r"\- loss"),
            ("+1.00 - 2", "+1.00 - 2"),
            ("1. first", r"1\. first"),
            ("two\nlines \u{1b}[31m", "two lines \u{fffd}[31m"),
        ];
        for (text, shown) in cases {
            assert_eq!(escaped(text), shown, "{text}");
        }
        assert_eq!(escaped_in_brackets(r"a] [b](c) \] \"), r"a\] \[b\](c) \\\] \\");
        assert_eq!(target("größe 2.svg"), "gr%C3%B6%C3%9Fe%202.svg");
    }
}
