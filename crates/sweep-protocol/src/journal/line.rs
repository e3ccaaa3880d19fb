//! One line of a journal, as it is written and read.

use std::time::UNIX_EPOCH;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Version of the format that is written.
pub(super) const FORMAT: u32 = 2;
/// Hexadecimal digits of a line's checksum.
const CHECK_DIGITS: usize = 16;
/// What stands between a line's content and its checksum.
pub(super) const CHECK_KEY: &str = ",\"check\":\"";

/// How lines of both formats start.
const STARTS: [&[u8]; 2] = [b"{\"v\":", b"{\"seq\":"];

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalLine<T> {
    /// Counted from 0 in its file; with run and attempt it names the line for good.
    pub seq: u64,
    /// When it was written: milliseconds since 1970, UTC.
    pub at_ms: u64,
    /// What it says.
    pub event: T,
}

/// A line as format 2 has it, without its checksum.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<T> {
    v: u32,
    seq: u64,
    at_ms: u64,
    event: T,
}

/// Milliseconds since 1970, UTC. For records only: no result depends on it.
#[expect(clippy::disallowed_methods, reason = "the one place that stamps records with the wall clock")]
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn check_of(content: &[u8]) -> String {
    blake3::hash(content).to_hex()[..CHECK_DIGITS].to_owned()
}

/// The bytes of a line, with its checksum and its end.
pub(super) fn written<T: Serialize>(seq: u64, event: T) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(&Stored { v: FORMAT, seq, at_ms: now_ms(), event })?;
    bytes.pop(); // the brace, which follows the checksum
    let check = check_of(&bytes);
    bytes.extend_from_slice(format!("{CHECK_KEY}{check}\"}}\n").as_bytes());
    Ok(bytes)
}

/// Whether a text may be the beginning of a line that a writer could not finish.
pub(super) fn may_begin(text: &[u8]) -> bool {
    STARTS.iter().any(|start| text.starts_with(start) || start.starts_with(text))
}

/// What a complete line turns out to be.
pub(super) enum Parsed<T> {
    Intact { line: JournalLine<T>, is_checked: bool },
    Newer(u32),
    Damaged(String),
}

pub(super) fn parsed<T: DeserializeOwned>(text: &[u8]) -> Parsed<T> {
    let Some((content, check)) = checked_parts(text) else {
        return match serde_json::from_slice(text) {
            Ok(line) => Parsed::Intact { line, is_checked: false },
            Err(fault) => Parsed::Damaged(format!("not understood: {fault}")),
        };
    };
    if check_of(content).as_bytes() != check {
        return Parsed::Damaged("its checksum is not that of its content".to_owned());
    }
    let whole = [content, b"}"].concat();
    match serde_json::from_slice::<Stored<T>>(&whole) {
        Ok(Stored { v, .. }) if v > FORMAT => Parsed::Newer(v),
        Ok(Stored { seq, at_ms, event, .. }) => {
            Parsed::Intact { line: JournalLine { seq, at_ms, event }, is_checked: true }
        }
        Err(fault) => match serde_json::from_slice::<Version>(&whole) {
            Ok(Version { v }) if v > FORMAT => Parsed::Newer(v),
            _ => Parsed::Damaged(format!("not understood: {fault}")),
        },
    }
}

/// The one part of a line that every format from the second on has.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// A line's content and its checksum's digits; nothing for a line that does not end with a checksum.
fn checked_parts(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = text.strip_suffix(b"\"}")?;
    let (rest, check) = rest.split_at_checked(rest.len().checked_sub(CHECK_DIGITS)?)?;
    Some((rest.strip_suffix(CHECK_KEY.as_bytes())?, check))
}
