//! Number and digest of the values that a run measured. They prove that no value is missing.
//!
//! An attempt writes its tally in its last event. A reader computes the tally from the lines it finds and compares.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::{Form, Measurement, Split};

/// Number and chained digest of measurements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Number of values.
    pub count: u64,
    /// 32 hexadecimal digits; empty without values. Each value updates it to the BLAKE3 digest of the previous digest
    /// and the value.
    pub digest: String,
}

impl Tally {
    /// Returns the tally of these values.
    pub fn of<'a>(measurements: impl IntoIterator<Item = &'a Measurement>) -> Self {
        let mut tally = Self::default();
        measurements.into_iter().for_each(|measurement| tally.add(measurement));
        tally
    }

    /// Adds one value.
    pub fn add(&mut self, measurement: &Measurement) {
        let Measurement { metric, split, form, epoch, value } = measurement;
        let (split, form) = (split.map_or("", Split::name), form.map_or("", Form::name));
        // The text is built in the digest's own memory, since a sweep has millions of values.
        let text = &mut self.digest;
        let written = match epoch {
            Some(epoch) => write!(text, ",{},{split},{form},{epoch}", metric.name()),
            None => write!(text, ",{},{split},{form},-", metric.name()),
        };
        written.and_then(|()| write!(text, ",{:016x}", value.to_bits())).expect("writing to a string cannot fail");
        let hash = blake3::hash(text.as_bytes()).to_hex();
        text.clear();
        text.push_str(&hash[..32]);
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metric;

    fn measured(epoch: u32, value: f64) -> Measurement {
        Measurement { metric: Metric::Loss, split: Some(Split::Test), form: None, epoch: Some(epoch), value }
    }

    #[test]
    fn the_tally_depends_on_every_value_its_keys_and_the_order() {
        let (a, b) = (measured(1, 0.5), measured(2, 0.25));
        let tally = Tally::of([&a, &b]);
        assert_eq!(tally.count, 2);
        let mut stepwise = Tally::of([&a]);
        stepwise.add(&b);
        assert_eq!(stepwise, tally);
        let flipped = Measurement { value: f64::from_bits(b.value.to_bits() ^ 1), ..b };
        let others = [
            [a, flipped],
            [b, a],
            [a, Measurement { epoch: None, ..b }],
            [a, Measurement { form: Some(Form::Deployed), ..b }],
        ];
        for other in others {
            assert_ne!(Tally::of(&other), tally, "{other:?}");
        }
    }
}
