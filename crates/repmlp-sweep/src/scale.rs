//! Describes the scale of an experiment in one line: what a reader must know to compare its results with others.

use std::collections::BTreeSet;

use serde_json::Value;
use sweep_trainer::Cost;

/// Maximum number of values that are listed. More values are shown as a range.
const LISTED: usize = 3;

/// Returns number of images, image size, widths, batch and learning rate of canonical configurations, as far as they
/// have them: `4500 training images, image size 32, widths 8/16/32, batch 64, learning rate 0.05`.
pub(crate) fn of(configurations: &[String], costs: &[Cost]) -> Option<String> {
    let mut parts = Vec::new();
    let values: Vec<Value> = configurations.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
    let images: BTreeSet<Option<usize>> = costs.iter().map(|cost| cost.images).collect();
    let images: Option<Vec<String>> = images.into_iter().map(|count| Some(count?.to_string())).collect();
    if let Some(images) = images.filter(|images| !images.is_empty()) {
        parts.push(format!("{} training images", images.join(" or ")));
    }
    for (name, path) in [
        ("image size", "/data/image_size"),
        ("widths", "/model/widths"),
        ("batch", "/training/batch"),
        ("learning rate", "/training/optimizer/learning_rate"),
        ("products of", "/training/precision"),
    ] {
        let found: Vec<&Value> = values.iter().filter_map(|value| value.pointer(path)).collect();
        if let Some(text) = listed(&found) {
            parts.push(format!("{name} {text}"));
        }
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Returns the distinct values in order of appearance; many numbers as a range.
fn listed(values: &[&Value]) -> Option<String> {
    let mut texts: Vec<String> = Vec::new();
    for value in values {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().map(Value::to_string).collect::<Vec<_>>().join("/"),
            other => other.to_string(),
        };
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    if texts.len() <= LISTED {
        return (!texts.is_empty()).then(|| texts.join(" or "));
    }
    let numbers: Option<Vec<f64>> = values.iter().map(|value| value.as_f64()).collect();
    let numbers = numbers?;
    let (low, high) =
        (numbers.iter().copied().fold(f64::MAX, f64::min), numbers.iter().copied().fold(f64::MIN, f64::max));
    Some(format!("{low} to {high}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn few_values_are_listed_and_many_are_a_range() {
        let text = |values: &[Value]| listed(&values.iter().collect::<Vec<_>>());
        assert_eq!(text(&[json!(64), json!(64)]).as_deref(), Some("64"));
        assert_eq!(text(&[json!(0.05), json!(0.1)]).as_deref(), Some("0.05 or 0.1"));
        assert_eq!(text(&[json!([8, 16, 32])]).as_deref(), Some("8/16/32"));
        assert_eq!(text(&[json!(1), json!(4), json!(2), json!(3)]).as_deref(), Some("1 to 4"));
        assert_eq!(text(&[json!("a"), json!("b"), json!("c"), json!("d")]), None);
        assert_eq!(text(&[]), None);
    }
}
