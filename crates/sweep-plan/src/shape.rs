//! Checks that a file has the keys and forms that the key tables demand.
//!
//! Later readers of the file rely on this check. Names of axes, labels and profiles are checked elsewhere.

use serde_json::Value;
use sweep_protocol::{NAME_RULE, TextError, check_line, check_name, check_prose};

use crate::document::{Item, Node, Span};
use crate::error::Faults;
use crate::keys::{Block, Kind, Need};
use crate::nearest::suggest;

/// Checks a table and everything below it.
pub(crate) fn check(block: &Block, table: &Node, faults: &mut Faults) {
    for entry in table.entries() {
        match block.keys.iter().find(|key| key.name == entry.key) {
            Some(key) => check_kind(&key.kind, &format!("`{}`", key.name), &entry.node, faults),
            None => {
                let help = suggest(&entry.key, "known keys", block.keys.iter().map(|key| key.name));
                faults.add(&entry.key_span, format!("unknown key `{}` in {}", entry.key, place(block)), help);
            }
        }
    }
    for key in block.keys.iter().filter(|key| key.need == Need::Required && table.get(key.name).is_none()) {
        faults.add(&table.span, format!("`{}` is missing in {}", key.name, place(block)), key.doc.to_owned());
    }
}

fn place(block: &Block) -> String {
    match block.name {
        "experiment" => "the experiment file".to_owned(),
        name => format!("this {name}"),
    }
}

fn check_kind(kind: &Kind, what: &str, node: &Node, faults: &mut Faults) {
    if !fits(kind, &node.item) {
        let message = format!("{what} must be {}, not {}", describe(kind), found(&node.item));
        return faults.add(&node.span, message, remedy(kind, what, &node.item));
    }
    match (kind, &node.item) {
        (Kind::Text | Kind::Prose, Item::Scalar(Value::String(text))) if text.trim().is_empty() => {
            faults.add(&node.span, format!("{what} must not be empty"), None);
        }
        (Kind::Text, Item::Scalar(Value::String(text))) => check_text(check_line(text), what, &node.span, faults),
        (Kind::Prose, Item::Scalar(Value::String(text))) => check_text(check_prose(text), what, &node.span, faults),
        (Kind::Name, Item::Scalar(Value::String(text))) => name(text, what, &node.span, faults),
        (Kind::Word(words), Item::Scalar(Value::String(text))) if !words.contains(&text.as_str()) => {
            let message = format!("{what} must be {}, not `{}`", described(words), text.escape_debug());
            faults.add(&node.span, message, None);
        }
        (Kind::List(_), Item::List(items)) if items.is_empty() => {
            faults.add(&node.span, format!("{what} must not be empty"), "give at least one item".to_owned());
        }
        (Kind::List(of), Item::List(items)) => {
            items.iter().for_each(|item| check_kind(of, &format!("an item of {what}"), item, faults));
        }
        (Kind::Map(of), Item::Table(entries)) => {
            for e in entries {
                check_text(check_line(&e.key), &format!("a key of {what}"), &e.key_span, faults);
                check_kind(of, &format!("`{}` in {what}", e.key.escape_debug()), &e.node, faults);
            }
        }
        (Kind::Named(of), Item::Table(entries)) => {
            for e in entries {
                name(&e.key, &format!("the name of a {}", what.trim_matches('`')), &e.key_span, faults);
                check_kind(of, &format!("`{}` in {what}", e.key.escape_debug()), &e.node, faults);
            }
        }
        (Kind::OneOf(kinds), item) => {
            kinds.iter().filter(|kind| fits(kind, item)).for_each(|kind| check_kind(kind, what, node, faults));
        }
        (Kind::Block(block), Item::Table(_)) => check(block, node, faults),
        _ => {}
    }
}

/// Adds a fault if a text contains a forbidden character. It also checks axis labels that are made from values.
pub(crate) fn check_text(found: Result<(), TextError>, what: &str, span: &Span, faults: &mut Faults) {
    if let Err(fault) = found {
        let help = "remove it: it could control a terminal or change what readers see".to_owned();
        faults.add(span, format!("{what} contains {fault}"), help);
    }
}

fn name(text: &str, what: &str, span: &Span, faults: &mut Faults) {
    if let Err(fault) = check_name(text) {
        faults.add(span, format!("{what} {fault}"), NAME_RULE.to_owned());
    }
}

/// Whether the outermost form of a value matches.
fn fits(kind: &Kind, item: &Item) -> bool {
    match (kind, item) {
        (Kind::Any, _)
        | (Kind::Text | Kind::Prose | Kind::Name | Kind::Word(_), Item::Scalar(Value::String(_)))
        | (Kind::Flag, Item::Scalar(Value::Bool(_)))
        | (Kind::List(_), Item::List(_))
        | (Kind::Map(_) | Kind::Named(_) | Kind::Overlay | Kind::Block(_), Item::Table(_)) => true,
        (Kind::Whole(from, to), Item::Scalar(value)) => {
            value.as_u64().is_some_and(|number| (*from..=*to).contains(&number))
        }
        (Kind::OneOf(kinds), item) => kinds.iter().any(|kind| fits(kind, item)),
        _ => false,
    }
}

fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Any => "a value".to_owned(),
        Kind::Text | Kind::Prose | Kind::Name => "a text in quotes".to_owned(),
        Kind::Word(words) => described(words),
        Kind::Whole(from, u64::MAX) => format!("a whole number (at least {from})"),
        Kind::Whole(from, to) => format!("a whole number (from {from} to {to})"),
        Kind::Flag => "`true` or `false`".to_owned(),
        Kind::List(_) => "a list".to_owned(),
        Kind::Map(_) | Kind::Named(_) | Kind::Overlay | Kind::Block(_) => "a table".to_owned(),
        Kind::OneOf(kinds) => kinds.iter().map(describe).collect::<Vec<_>>().join(" or "),
    }
}

fn described(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}

fn found(item: &Item) -> String {
    match item {
        Item::Scalar(Value::String(_)) => "a text".to_owned(),
        Item::Scalar(value) => format!("{value}"),
        Item::List(_) => "a list".to_owned(),
        Item::Table(_) => "a table".to_owned(),
    }
}

fn remedy(kind: &Kind, what: &str, item: &Item) -> Option<String> {
    match (kind, item) {
        (Kind::Text | Kind::Prose | Kind::Name | Kind::OneOf([Kind::Text, ..]), Item::Scalar(value)) => {
            Some(format!("write \"{value}\""))
        }
        (Kind::List(Kind::Block(_)), Item::Table(_)) => {
            Some(format!("write `[[{}]]` with two brackets", what.trim_matches('`')))
        }
        (Kind::List(_), Item::Table(_)) => Some("put a dotted key in quotes: `\"a.b\" = [1, 2]`".to_owned()),
        _ => None,
    }
}
