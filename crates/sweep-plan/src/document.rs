//! A TOML file as a tree that remembers the position of each value and the order of the keys.
//!
//! This module knows TOML and JSON values. It does not know what a key means.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeInteger, DeString, DeTable, DeValue};

use crate::error::Faults;
use crate::link::file_behind;
use crate::unclosed;

/// A range of bytes in a file.
pub(crate) type Span = Range<usize>;

/// The span that stands for the whole file.
pub(crate) const WHOLE_FILE: Span = 0..0;

/// A file's text, and the path that is shown for it. If the file was reached by a link, this is the link's target.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl SourceFile {
    pub(crate) fn read(path: &Path) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { path: file_behind(path), text: sweep_protocol::read_text_file(path)? }))
    }

    /// Returns the folder that the file's relative paths start from.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// A value with its position in the file.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) item: Item,
}

/// Content of a node.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// A text, a number or a boolean.
    Scalar(Value),
    List(Vec<Node>),
    /// The entries, in the order of the file.
    Table(Vec<Entry>),
}

/// A key of a table with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

impl Node {
    /// Returns the entry of a table under `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Returns the entries of a table; empty for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.item {
            Item::Table(entries) => entries,
            _ => &[],
        }
    }

    /// Returns the items of a list; empty for anything else.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.item {
            Item::List(items) => items,
            _ => &[],
        }
    }

    /// Returns the entries of the table under `key`.
    pub(crate) fn entries_of(&self, key: &str) -> &[Entry] {
        self.get(key).map_or(&[], |entry| entry.node.entries())
    }

    /// Returns the items of the list under `key`.
    pub(crate) fn items_of(&self, key: &str) -> &[Node] {
        self.get(key).map_or(&[], |entry| entry.node.items())
    }

    /// Returns the text under `key`.
    pub(crate) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(|entry| entry.node.text())
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.item {
            Item::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the value without positions.
    pub(crate) fn value(&self) -> Value {
        match &self.item {
            Item::Scalar(value) => value.clone(),
            Item::List(items) => items.iter().map(Self::value).collect(),
            Item::Table(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.clone(), e.node.value())).collect::<Map<_, _>>())
            }
        }
    }

    /// Merges two tables into one. Keys that both tables have are merged recursively. If that is not possible, the left
    /// value stays.
    pub(crate) fn join(&self, right: &Self) -> Self {
        let mut joined = self.clone();
        let Item::Table(entries) = &mut joined.item else { return joined };
        for entry in right.entries() {
            match entries.iter_mut().find(|own| own.key == entry.key) {
                Some(own) => own.node = own.node.join(&entry.node),
                None => entries.push(entry.clone()),
            }
        }
        joined
    }

    /// Finds the position of the value at `path`. The path consists of keys, and of list indices as digits.
    pub(crate) fn find(&self, path: &[&str]) -> Option<Span> {
        let (first, rest) = path.split_first()?;
        match &self.item {
            Item::Scalar(_) => None,
            Item::List(items) => {
                let item = items.get(first.parse::<usize>().ok()?)?;
                if rest.is_empty() { Some(item.span.clone()) } else { item.find(rest) }
            }
            Item::Table(entries) => {
                let entry = entries.iter().find(|entry| entry.key == *first)?;
                if rest.is_empty() { Some(entry.span()) } else { entry.node.find(rest) }
            }
        }
    }
}

impl Entry {
    /// Returns the span of key and value for a scalar, and the span of the key for anything longer.
    fn span(&self) -> Span {
        match self.node.item {
            Item::Scalar(_) => self.key_span.start.min(self.node.span.start)..self.node.span.end,
            _ => self.key_span.clone(),
        }
    }
}

/// Parses a file. Fails with all of its syntax faults.
pub(crate) fn parse(source: &Arc<SourceFile>) -> Result<Node, Faults> {
    let (root, errors) = DeTable::parse_recoverable(&source.text);
    let mut faults = Faults::new(source);
    let mut errors: Vec<_> = errors.iter().map(|e| (e.span().unwrap_or(WHOLE_FILE), e.message())).collect();
    errors.sort_by_key(|(span, _)| span.start);
    if let Some(unclosed) = unclosed::find(&source.text).filter(|_| !errors.is_empty()) {
        // All faults after this place are consequences.
        errors.retain(|(span, _)| span.end <= unclosed.span.start);
        faults.add(&unclosed.span, unclosed.message, unclosed.help.to_owned());
    }
    // On one line, faults after the first one are mostly consequences.
    errors.dedup_by_key(|(span, _)| source.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
    errors.iter().for_each(|(span, message)| faults.add(span, *message, None));
    if !faults.is_empty() {
        return Err(faults);
    }
    let item = Item::Table(entries(root.get_ref(), &mut faults));
    if faults.is_empty() { Ok(Node { span: WHOLE_FILE, item }) } else { Err(faults) }
}

fn entries(table: &DeTable<'_>, faults: &mut Faults) -> Vec<Entry> {
    let entry = |(key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| Entry {
        key: key.get_ref().to_string(),
        key_span: key.span(),
        node: node(value, faults),
    };
    let mut entries: Vec<_> = table.iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.key_span.start);
    entries
}

fn node(value: &Spanned<DeValue<'_>>, faults: &mut Faults) -> Node {
    let span = value.span();
    let item = match value.get_ref() {
        DeValue::String(text) => Item::Scalar(text.as_ref().into()),
        DeValue::Boolean(truth) => Item::Scalar((*truth).into()),
        DeValue::Integer(digits) => Item::Scalar(integer(digits).map_or_else(
            || {
                faults.add(&span, "this integer does not fit into 64 bits", None);
                Value::Null
            },
            Value::Number,
        )),
        DeValue::Float(digits) => {
            let float = digits.as_str().parse().ok().and_then(Number::from_f64);
            if float.is_none() {
                let help = "leave the key out, or write a finite number".to_owned();
                faults.add(&span, "infinite numbers and NaN are not allowed", help);
            }
            Item::Scalar(float.map_or(Value::Null, Value::Number))
        }
        DeValue::Datetime(_) => {
            faults.add(&span, "dates and times are not allowed", "write a text in quotes".to_owned());
            Item::Scalar(Value::Null)
        }
        DeValue::Array(items) => Item::List(items.iter().map(|item| node(item, faults)).collect()),
        DeValue::Table(table) => Item::Table(entries(table, faults)),
    };
    Node { span, item }
}

fn integer(digits: &DeInteger<'_>) -> Option<Number> {
    let signed = i64::from_str_radix(digits.as_str(), digits.radix()).map(Number::from);
    signed.or_else(|_| u64::from_str_radix(digits.as_str(), digits.radix()).map(Number::from)).ok()
}
