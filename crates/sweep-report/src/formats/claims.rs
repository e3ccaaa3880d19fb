//! Writes judged claims as a section of Markdown, and as lines for a terminal.

use std::collections::BTreeSet;

use sweep_protocol::printable_line;

use super::markdown::escaped;
use super::page::{PageSection, PageSheet};
use super::sheet::{Sheet, Text};
use super::terminal::wrapped;
use crate::claims::{Basis, Judged, Registration};

/// Returns the section of a report in Markdown; empty without claims.
pub(super) fn section(claims: &[Judged], withdrawn: &[String]) -> String {
    if claims.is_empty() {
        return withdrawn_note(withdrawn)
            .map_or_else(String::new, |note| format!("## Claims\n\n{}\n\n", escaped(&note)));
    }
    let mut out =
        "## Claims\n\n| claim | source | rule | verdict | why |\n| :-- | :-- | :-- | :-- | :-- |\n".to_owned();
    for claim in claims {
        let source = claim.source.as_deref().unwrap_or("ours");
        let verdict = claim.verdict.to_string();
        let cells = [&claim.text, source, &claim.rule, &verdict, &why(claim)].map(escaped);
        out += &format!("| {} |\n", cells.join(" | "));
    }
    out.push('\n');
    for note in notes(claims).into_iter().chain(withdrawn_note(withdrawn)) {
        out += &format!("{}  \n", escaped(&note));
    }
    out.push('\n');
    out
}

/// Returns the claims as a section of a page; `None` without claims.
pub(super) fn page(claims: &[Judged], withdrawn: &[String]) -> Option<PageSection> {
    let withdrawn = withdrawn_note(withdrawn);
    if claims.is_empty() && withdrawn.is_none() {
        return None;
    }
    let line = |claim: &Judged| {
        let source = claim.source.clone().unwrap_or_else(|| "ours".to_owned());
        [claim.text.clone(), source, claim.rule.clone(), claim.verdict.to_string(), why(claim)].map(Text::from).into()
    };
    let header = ["claim", "source", "rule", "verdict", "why"].map(str::to_owned).into();
    let sheet = Sheet { header, words: 5, rows: claims.iter().map(line).collect(), row_notes: Vec::new() };
    let sheets = if claims.is_empty() { Vec::new() } else { vec![PageSheet::of(sheet, String::new())] };
    let notes = if claims.is_empty() { Vec::new() } else { notes(claims) };
    let notes = notes.into_iter().chain(withdrawn).collect();
    Some(PageSection { id: "claims".to_owned(), title: "Claims".to_owned(), sheets, notes })
}

/// Returns the claims as lines of at most `width` characters for a terminal: id, verdict, reason. Empty without claims.
pub fn lines(claims: &[Judged], withdrawn: &[String], width: usize) -> String {
    let withdrawn = withdrawn_note(withdrawn);
    let wrap = |text: &String| wrapped(&printable_line(text), width).join("\n");
    if claims.is_empty() {
        return withdrawn.map_or_else(String::new, |note| format!("Claims\n\n{}\n", wrap(&note)));
    }
    let line = |claim: &Judged| wrap(&format!("{}: {} ({})", claim.id, claim.verdict, why(claim)));
    let lines: Vec<String> = claims.iter().map(line).collect();
    let notes: Vec<String> = notes(claims).iter().chain(&withdrawn).map(wrap).collect();
    format!("Claims\n\n{}\n\n{}\n", lines.join("\n"), notes.join("\n"))
}

fn withdrawn_note(withdrawn: &[String]) -> Option<String> {
    let names = withdrawn.join(", ");
    (!withdrawn.is_empty()).then(|| format!("Registered before the runs, but no longer declared: {names}."))
}

/// Returns the reason of a verdict, with how the claim was registered.
fn why(claim: &Judged) -> String {
    let mut words = vec![claim.reason.clone()];
    if claim.basis == Basis::Counts {
        words.push("counted at the paper's scale, without training".to_owned());
    }
    words.extend(match claim.registration {
        Registration::Open => None,
        Registration::Before => Some("declared before the runs".to_owned()),
        Registration::After => Some("declared after the runs".to_owned()),
        Registration::Changed => Some("changed after the runs".to_owned()),
    });
    words.retain(|word| !word.is_empty());
    words.join("; ")
}

/// Returns the notes below the claims, each once.
fn notes(claims: &[Judged]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let own = claims.iter().flat_map(|claim| &claim.notes).filter(|note| seen.insert(note.as_str())).cloned();
    let mut notes: Vec<String> = own.collect();
    let percent = |level: &f64| format!("{}", (1e6 * level).round() / 1e4);
    let joined = |of: fn(f64) -> f64| {
        let levels: BTreeSet<String> = claims.iter().map(|claim| percent(&of(claim.level))).collect();
        levels.into_iter().collect::<Vec<_>>().join(" or ")
    };
    notes.push(format!(
        "Brackets: the {}% interval of one comparison, so it is narrower than that of a table. For a claim with \
         two bounds it is the {}% interval: two one-sided tests (TOST). Differences are paired by seed. A claim \
         holds if each comparison does. It is contradicted if the interval of one, widened for their number, \
         excludes it. Parameters and FLOPs are exact. Seeds that would decide: for a power of 80%, if mean and \
         deviation stay as they are.",
        joined(|level| level),
        joined(|level| 2.0 * level - 1.0)
    ));
    notes
}
