//! Suggests known names for a misspelled name.

pub(crate) use sweep_protocol::nearest;

/// Maximum number of names in a list; longer lists are cut.
const LISTED: usize = 12;

/// Returns `did you mean …?` if a known name is similar, else the list of known names.
pub(crate) fn suggest<'a>(word: &str, what: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.into_iter().collect();
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => list(what, &known),
    }
}

/// Formats a list as `what: a, b, c`.
pub(crate) fn list(what: &str, known: &[&str]) -> String {
    if known.is_empty() {
        return format!("{what}: none");
    }
    let dots = if known.len() > LISTED { ", …" } else { "" };
    format!("{what}: {}{dots}", known[..known.len().min(LISTED)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_listed() {
        assert_eq!(suggest("axes", "keys", ["base", "axis"]), "did you mean `axis`?");
        assert_eq!(suggest("3", "labels", ["2", "4"]), "labels: 2, 4");
        assert_eq!(suggest("x", "profiles", []), "profiles: none");
    }
}
