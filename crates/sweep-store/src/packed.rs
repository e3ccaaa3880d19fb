//! All values of a run packed into one text, stored with its digest. Values are read in one piece, are exact to the
//! last bit, and damage is noticed.
//!
//! Each value is written as `metric,split,form,epoch,bits;`. Metrics are stored by name, not by number, so that old
//! texts stay valid when new metrics are added.

use std::fmt::Write;

use sweep_protocol::{Form, Measurement, Metric, Split};

/// Number of hexadecimal digits of the digest.
const DIGITS: usize = 32;

/// Packs values into a text. Returns the text and its digest.
pub(crate) fn pack<'a>(values: impl Iterator<Item = &'a Measurement>) -> (String, String) {
    let mut text = String::new();
    for Measurement { metric, split, form, epoch, value } in values {
        let (split, form) = (split.map_or("", Split::name), form.map_or("", Form::name));
        let epoch = epoch.map(|epoch| epoch.to_string()).unwrap_or_default();
        write!(text, "{},{split},{form},{epoch},{:x};", metric.name(), value.to_bits())
            .expect("writing to a `String` cannot fail");
    }
    let digest = digest(&text);
    (text, digest)
}

/// Returns the values of the `wanted` metrics in a text; `None` if the text does not match the expected digest.
pub(crate) fn unpack(text: &str, expected: &str, wanted: impl Fn(Metric) -> bool) -> Option<Vec<Measurement>> {
    if digest(text) != expected {
        return None;
    }
    // An entry with an unknown metric passes this filter, so that parsing fails for the whole text.
    let is_wanted = |value: &&str| value.split(',').next().and_then(|name| name.parse().ok()).is_none_or(&wanted);
    text.split_terminator(';').filter(is_wanted).map(value).collect()
}

pub(crate) fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..DIGITS].to_owned()
}

fn value(text: &str) -> Option<Measurement> {
    let mut fields = text.split(',');
    let mut next = || fields.next();
    let (metric, split, form, epoch, bits) = (next()?, next()?, next()?, next()?, next()?);
    Some(Measurement {
        metric: metric.parse::<Metric>().ok()?,
        split: optional::<Split>(split)?,
        form: optional::<Form>(form)?,
        epoch: optional::<u32>(epoch)?,
        value: f64::from_bits(u64::from_str_radix(bits, 16).ok()?),
    })
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
            numbers in proptest::collection::vec((any::<f64>(), any::<Option<u32>>()), 0..5),
            at in any::<u16>(),
            bit in 0..7u8,
        ) {
            let value = |(value, epoch)| {
                Measurement { metric: Metric::Loss, split: Some(Split::Test), form: None, epoch, value }
            };
            let values: Vec<Measurement> = numbers.into_iter().map(value).collect();
            let (text, digest) = pack(values.iter());
            let bits = |values: &[Measurement]| values.iter().map(|m| (m.epoch, m.value.to_bits())).collect::<Vec<_>>();
            prop_assert_eq!(bits(&unpack(&text, &digest, |_| true).unwrap()), bits(&values));
            prop_assert_eq!(unpack(&text, &digest, |metric| metric == Metric::Accuracy), Some(Vec::new()));
            let mut bytes = (text + &digest).into_bytes();
            let at = usize::from(at) % bytes.len();
            bytes[at] ^= 1 << bit;
            let damaged = std::str::from_utf8(&bytes).ok().map(|text| text.split_at(text.len() - DIGITS));
            prop_assert_eq!(damaged.and_then(|(text, digest)| unpack(text, digest, |_| true)), None);
        }
    }
}
