//! All values of a run packed into one text, stored with its digest. Values are read in one piece, are exact to the
//! last bit, and damage is noticed.
//!
//! The values of one metric, split and form are a series, written as `metric,split,form|epoch=bits epoch=bits;`. So a
//! reader that needs the last epoch only, or few series, parses little. Metrics are stored by name, not by number, so
//! that old texts stay valid when new metrics are added.

use std::fmt::Write;

use sweep_protocol::{Epochs, Form, Measurement, Metric, SeriesKey, Split};

/// Number of hexadecimal digits of the digest.
const DIGITS: usize = 32;

/// Packs values, sorted by metric, split, form and epoch, into a text. Returns the text and its digest.
pub(crate) fn pack(values: &[&Measurement]) -> (String, String) {
    let mut text = String::new();
    for values in values.chunk_by(|a, b| a.series() == b.series()) {
        let (metric, split, form) = values[0].series();
        let (split, form) = (split.map_or("", Split::name), form.map_or("", Form::name));
        let mut before = '|';
        write!(text, "{},{split},{form}", metric.name()).expect(INFALLIBLE);
        for value in values {
            let epoch = value.epoch.map(|epoch| epoch.to_string()).unwrap_or_default();
            write!(text, "{before}{epoch}={:x}", value.value.to_bits()).expect(INFALLIBLE);
            before = ' ';
        }
        text.push(';');
    }
    let digest = digest(&text);
    (text, digest)
}

const INFALLIBLE: &str = "writing to a `String` cannot fail";

/// Returns the `wanted` values in a text; `None` if the text does not match the expected digest.
pub(crate) fn unpack(text: &str, expected: &str, wanted: impl Fn(SeriesKey) -> Epochs) -> Option<Vec<Measurement>> {
    if digest(text) != expected {
        return None;
    }
    let mut values = Vec::new();
    for series in text.split_terminator(';') {
        let (key, points) = series.split_once('|')?;
        let key = parsed_key(key)?;
        let points = match wanted(key) {
            Epochs::None => continue,
            Epochs::Last => points.rsplit_once(' ').map_or(points, |(_, last)| last),
            Epochs::All => points,
        };
        for point in points.split(' ') {
            values.push(parsed_point(key, point)?);
        }
    }
    Some(values)
}

pub(crate) fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..DIGITS].to_owned()
}

fn parsed_key(text: &str) -> Option<SeriesKey> {
    let mut fields = text.split(',');
    let mut next = || fields.next();
    let (metric, split, form) = (next()?, next()?, next()?);
    Some((metric.parse::<Metric>().ok()?, optional::<Split>(split)?, optional::<Form>(form)?))
}

fn parsed_point((metric, split, form): SeriesKey, text: &str) -> Option<Measurement> {
    let (epoch, bits) = text.split_once('=')?;
    let value = f64::from_bits(u64::from_str_radix(bits, 16).ok()?);
    Some(Measurement { metric, split, form, epoch: optional::<u32>(epoch)?, value })
}

/// Returns `Some(None)` for an empty field and `None` for an invalid one.
fn optional<T: std::str::FromStr>(field: &str) -> Option<Option<T>> {
    if field.is_empty() { Some(None) } else { field.parse().ok().map(Some) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn values_survive_to_the_last_bit_and_damage_is_noticed(
            numbers in proptest::collection::btree_map(any::<(bool, Option<u32>)>(), any::<f64>(), 0..8),
            at in any::<u16>(),
            bit in 0..7u8,
        ) {
            let value = |((is_loss, epoch), value)| {
                let metric = if is_loss { Metric::Loss } else { Metric::Accuracy };
                Measurement { metric, split: Some(Split::Test), form: None, epoch, value }
            };
            let mut values: Vec<Measurement> = numbers.into_iter().map(value).collect();
            values.sort_by_key(|value| (value.metric, value.epoch));
            let (text, digest) = pack(&values.iter().collect::<Vec<_>>());
            let bits = |values: &[Measurement]| -> Vec<(Metric, Option<u32>, u64)> {
                values.iter().map(|m| (m.metric, m.epoch, m.value.to_bits())).collect()
            };
            prop_assert_eq!(bits(&unpack(&text, &digest, |_| Epochs::All).unwrap()), bits(&values));
            let last = |metric| {
                let of_metric = values.iter().rfind(|value| value.metric == metric);
                of_metric.map(|value| (metric, value.epoch, value.value.to_bits()))
            };
            let all_last: Vec<_> = [Metric::Loss, Metric::Accuracy].into_iter().filter_map(last).collect();
            prop_assert_eq!(bits(&unpack(&text, &digest, |_| Epochs::Last).unwrap()), all_last);
            let loss_only = |(metric, _, _)| if metric == Metric::Loss { Epochs::Last } else { Epochs::None };
            let last_loss: Vec<_> = last(Metric::Loss).into_iter().collect();
            prop_assert_eq!(bits(&unpack(&text, &digest, loss_only).unwrap()), last_loss);
            let mut bytes = (text + &digest).into_bytes();
            let at = usize::from(at) % bytes.len();
            bytes[at] ^= 1 << bit;
            let damaged = std::str::from_utf8(&bytes).ok().map(|text| text.split_at(text.len() - DIGITS));
            prop_assert_eq!(damaged.and_then(|(text, digest)| unpack(text, digest, |_| Epochs::All)), None);
        }
    }
}
