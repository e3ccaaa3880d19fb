//! The format of event files: records with checksums (TFRecord), each with one event as a protocol buffer.
//!
//! A record is: length (8 bytes), its checksum (4), data, checksum of the data (4), all little-endian. An event has
//! the fields 1 `wall_time` (double), 2 `step` (integer), 3 `file_version` (text) or 5 `summary`. A summary has the
//! field 1 `value`, with 1 `tag` (text) and 2 `simple_value` (float). Source: `event.proto` and `summary.proto` of
//! TensorFlow.

use crc::{CRC_32_ISCSI, Crc};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// The keys of fields: number of the field times 8, plus the kind of its content.
const DOUBLE_1: u8 = 1 << 3 | 1;
const VARINT_2: u8 = 2 << 3;
const TEXT_3: u8 = 3 << 3 | 2;
const MESSAGE_5: u8 = 5 << 3 | 2;
const BYTES_1: u8 = 1 << 3 | 2;
const FLOAT_2: u8 = 2 << 3 | 5;

/// One value of a series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) tag: String,
    pub(crate) step: u64,
    pub(crate) value: f32,
}

impl Scalar {
    /// Returns its record. `seconds` is its time, in seconds since 1970.
    pub(crate) fn record(&self, seconds: f64) -> Vec<u8> {
        let mut value = with_length(BYTES_1, self.tag.as_bytes());
        value.push(FLOAT_2);
        value.extend(self.value.to_le_bytes());
        let summary = with_length(BYTES_1, &value);
        let mut event = time(seconds);
        event.push(VARINT_2);
        event.extend(varint(self.step));
        event.extend(with_length(MESSAGE_5, &summary));
        framed(&event)
    }

    /// Returns the scalar of an event that [`Self::record`] wrote; `None` for any other event.
    fn of(event: &[u8]) -> Option<Self> {
        let rest = event.strip_prefix(&[DOUBLE_1])?.get(8..)?;
        let (step, rest) = read_varint(rest.strip_prefix(&[VARINT_2])?)?;
        let (summary, _) = read_length(rest.strip_prefix(&[MESSAGE_5])?)?;
        let (value, _) = read_length(summary.strip_prefix(&[BYTES_1])?)?;
        let (tag, rest) = read_length(value.strip_prefix(&[BYTES_1])?)?;
        let value = f32::from_le_bytes(rest.strip_prefix(&[FLOAT_2])?.get(..4)?.try_into().ok()?);
        Some(Self { tag: std::str::from_utf8(tag).ok()?.to_owned(), step, value })
    }
}

/// Returns the first record of a file.
pub(crate) fn first_record(seconds: f64) -> Vec<u8> {
    let mut event = time(seconds);
    event.extend(with_length(TEXT_3, b"brain.Event:2"));
    framed(&event)
}

/// Returns the scalars of a file, and the length of its intact part.
pub(crate) fn read(bytes: &[u8]) -> (Vec<Scalar>, usize) {
    let (mut scalars, mut intact) = (Vec::new(), 0);
    while let Some((event, length)) = unframed(&bytes[intact..]) {
        scalars.extend(Scalar::of(event));
        intact += length;
    }
    (scalars, intact)
}

fn time(seconds: f64) -> Vec<u8> {
    let mut event = vec![DOUBLE_1];
    event.extend(seconds.to_le_bytes());
    event
}

fn with_length(key: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![key];
    field.extend(varint(bytes.len() as u64));
    field.extend(bytes);
    field
}

/// Seven bits in each byte, the lowest first. The top bit says that more follow.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)? + 1;
    let (digits, rest) = bytes.split_at(length);
    let number = digits.iter().rev().try_fold(0_u64, |sum, byte| Some(sum.checked_mul(128)? | u64::from(byte & 0x7f)));
    Some((number?, rest))
}

fn read_length(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = read_varint(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// The checksum of the format: CRC-32C, rotated and shifted, since a checksum of checksums would be weak.
fn masked(bytes: &[u8]) -> [u8; 4] {
    CRC.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn framed(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), event, &masked(event)].concat()
}

/// Returns the event of the first record and the length of the record; `None` if it is not intact.
fn unframed(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (length, rest) = bytes.split_at_checked(8)?;
    let (check, rest) = rest.split_at_checked(4)?;
    if masked(length) != check {
        return None;
    }
    let size = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
    let (event, rest) = rest.split_at_checked(size)?;
    let check = rest.get(..4)?;
    (masked(event) == check).then_some((event, 16 + size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalars() -> Vec<Scalar> {
        let scalar = |tag: &str, step, value| Scalar { tag: tag.to_owned(), step, value };
        vec![scalar("loss/train", 0, 1.5), scalar("é", 300, -0.0), scalar("", u64::MAX, f32::MIN_POSITIVE)]
    }

    fn file() -> Vec<u8> {
        let records = scalars().iter().map(|scalar| scalar.record(1e9)).collect::<Vec<_>>();
        [first_record(1e9), records.concat()].concat()
    }

    #[test]
    fn a_record_has_the_bytes_that_tensorboard_writes() {
        // python: tensorboard.compat.proto.event_pb2.Event(wall_time=1.0, file_version="brain.Event:2"), written by
        // tensorboard.summary.writer.record_writer.RecordWriter
        let expected = "1800000000000000a37f4b2209000000000000f03f1a0d627261696e2e4576656e743a3286bf577a";
        let found: String = first_record(1.0).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_file_is_read_back() {
        assert_eq!(read(&file()), (scalars(), file().len()));
    }

    #[test]
    fn a_cut_or_changed_file_is_read_up_to_the_damage() {
        let file = file();
        let ends: Vec<usize> = (0..=file.len()).filter(|length| read(&file[..*length]).1 == *length).collect();
        assert_eq!(ends.len(), 5, "{ends:?}");
        for length in 0..file.len() {
            let before = ends.iter().rev().find(|end| **end <= length).copied();
            assert_eq!(Some(read(&file[..length]).1), before);
            let mut changed = file.clone();
            changed[length] ^= 0x10;
            assert_eq!(Some(read(&changed).1), before, "byte {length}");
        }
    }
}
