//! One line of a journal in its stored form.

use std::time::UNIX_EPOCH;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Version of the format that is written.
pub(super) const FORMAT: u32 = 2;
/// Number of hexadecimal digits in a line's checksum.
const CHECK_DIGITS: usize = 16;
/// Separator between a line's content and its checksum.
pub(super) const CHECK_KEY: &str = ",\"check\":\"";

/// Beginnings of lines in both formats.
const STARTS: [&[u8]; 2] = [b"{\"v\":", b"{\"seq\":"];

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalLine<T> {
    /// Sequence number in its file, counted from 0. Together with run and attempt it identifies the line permanently.
    pub seq: u64,
    /// Time at which the line was written: milliseconds since 1970, UTC.
    pub at_ms: u64,
    /// The event.
    pub event: T,
}

/// A line in format 2, without its checksum.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<T> {
    v: u32,
    seq: u64,
    at_ms: u64,
    event: T,
}

/// Returns the current time in milliseconds since 1970, UTC. It is for records only: no result depends on it.
#[expect(clippy::disallowed_methods, reason = "the one place that stamps records with the wall clock")]
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn check_of(content: &[u8]) -> String {
    blake3::hash(content).to_hex()[..CHECK_DIGITS].to_owned()
}

/// Serialises a line, with its checksum and line end.
pub(super) fn written<T: Serialize>(seq: u64, event: T) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(&Stored { v: FORMAT, seq, at_ms: now_ms(), event })?;
    bytes.pop(); // the closing brace, which is added again after the checksum
    let check = check_of(&bytes);
    bytes.extend_from_slice(format!("{CHECK_KEY}{check}\"}}\n").as_bytes());
    Ok(bytes)
}

/// Whether a text may be the beginning of a line that a writer could not finish.
pub(super) fn may_begin(text: &[u8]) -> bool {
    STARTS.iter().any(|start| text.starts_with(start) || start.starts_with(text))
}

/// Result of parsing a complete line.
pub(super) enum Parsed<T> {
    Intact { line: JournalLine<T>, is_checked: bool },
    Newer(u32),
    Damaged(String),
}

pub(super) fn parsed<T: DeserializeOwned>(text: &[u8]) -> Parsed<T> {
    let Some((content, check)) = checked_parts(text) else {
        // Only lines of the first format have no checksum.
        if text.starts_with(STARTS[0]) {
            return Parsed::Damaged("its end, with the checksum, is missing".to_owned());
        }
        return match serde_json::from_slice(text) {
            Ok(line) => Parsed::Intact { line, is_checked: false },
            Err(fault) => Parsed::Damaged(format!("cannot be parsed: {fault}")),
        };
    };
    if check_of(content).as_bytes() != check {
        return Parsed::Damaged("its checksum does not match its content".to_owned());
    }
    let whole = [content, b"}"].concat();
    match serde_json::from_slice::<Stored<T>>(&whole) {
        Ok(Stored { v, .. }) if v > FORMAT => Parsed::Newer(v),
        Ok(Stored { seq, at_ms, event, .. }) => {
            Parsed::Intact { line: JournalLine { seq, at_ms, event }, is_checked: true }
        }
        Err(fault) => match serde_json::from_slice::<Version>(&whole) {
            Ok(Version { v }) if v > FORMAT => Parsed::Newer(v),
            _ => Parsed::Damaged(format!("cannot be parsed: {fault}")),
        },
    }
}

/// The one field that every format from the second on has.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// Splits a line into its content and the digits of its checksum. Returns `None` if the line does not end with a
/// checksum.
fn checked_parts(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = text.strip_suffix(b"\"}")?;
    let (rest, check) = rest.split_at_checked(rest.len().checked_sub(CHECK_DIGITS)?)?;
    Some((rest.strip_suffix(CHECK_KEY.as_bytes())?, check))
}
