//! How many values a run has measured, and a digest of them in their order: the proof that none is missing.
//!
//! An attempt writes its tally with its last word; a reader adds up the same tally and compares.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::{Form, Measurement, Split};

/// Number and chained digest of measurements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// How many values.
    pub count: u64,
    /// 32 hexadecimal digits of BLAKE3 over the digest before the last value, and that value; empty for none.
    pub digest: String,
}

impl Tally {
    /// The tally of these values.
    pub fn of<'a>(measurements: impl IntoIterator<Item = &'a Measurement>) -> Self {
        let mut tally = Self::default();
        measurements.into_iter().for_each(|measurement| tally.add(measurement));
        tally
    }

    /// Adds one value.
    pub fn add(&mut self, measurement: &Measurement) {
        let Measurement { metric, split, form, epoch, value } = measurement;
        let mut text = std::mem::take(&mut self.digest);
        let (split, form) = (split.map_or("", Split::name), form.map_or("", Form::name));
        let epoch = epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string());
        write!(text, ",{},{split},{form},{epoch},{:016x}", metric.name(), value.to_bits())
            .expect("a text takes all that is written to it");
        self.digest = blake3::hash(text.as_bytes()).to_hex()[..32].to_owned();
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
    fn every_value_its_keys_and_the_order_count() {
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
