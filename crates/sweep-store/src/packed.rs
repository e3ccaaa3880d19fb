//! All values of a run in one text with a digest: read at once, exact to the last bit, and damage in it is noticed.
//!
//! `metric,split,form,epoch,bits;` for each value, then the digest of all before it. Names rather than numbers, so that a list of metrics
//! that grows keeps its meaning.

use std::fmt::Write;

use sweep_protocol::{Form, Measurement, Metric, Split};

/// Hexadecimal digits of the digest.
const DIGITS: usize = 32;

/// Packs values.
pub(crate) fn pack<'a>(values: impl Iterator<Item = &'a Measurement>) -> String {
    let mut text = String::new();
    for Measurement { metric, split, form, epoch, value } in values {
        let (split, form) = (split.map_or("", Split::name), form.map_or("", Form::name));
        let epoch = epoch.map(|epoch| epoch.to_string()).unwrap_or_default();
        write!(text, "{},{split},{form},{epoch},{:x};", metric.name(), value.to_bits())
            .expect("a text takes all that is written to it");
    }
    let digest = digest(&text);
    text + &digest
}

/// The values of a text; nothing when it is not as it was packed.
pub(crate) fn unpack(text: &str) -> Option<Vec<Measurement>> {
    let (values, found) = text.split_at_checked(text.len().checked_sub(DIGITS)?)?;
    if digest(values) != found {
        return None;
    }
    values.split_terminator(';').map(value).collect()
}

fn digest(text: &str) -> String {
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

/// `Some(None)` for an empty field, `None` for one that is not understood.
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
            numbers in proptest::collection::vec((any::<f64>(), any::<Option<u32>>()), 0..5), at in any::<u16>(), bit in 0..7u8,
        ) {
            let value = |(value, epoch)| Measurement { metric: Metric::Loss, split: Some(Split::Test), form: None, epoch, value };
            let values: Vec<Measurement> = numbers.into_iter().map(value).collect();
            let text = pack(values.iter());
            let bits = |values: &[Measurement]| values.iter().map(|m| (m.epoch, m.value.to_bits())).collect::<Vec<_>>();
            prop_assert_eq!(bits(&unpack(&text).unwrap()), bits(&values));
            let mut bytes = text.into_bytes();
            let at = usize::from(at) % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(std::str::from_utf8(&bytes).ok().and_then(unpack), None);
        }
    }
}
