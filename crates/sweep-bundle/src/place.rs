//! The rule for places of files in a bundle.

use sweep_protocol::check_line;

use crate::error::BundleError;

/// Longest place, and longest name of a file: what the header of an archive holds.
const MOST_BYTES: usize = 250;
const MOST_NAME: usize = 100;

/// Checks the place of a file in a bundle: a path with `/` that stays inside any folder, without hidden parts. So an
/// archive can neither leave the folder that it is unpacked into, nor change what git, a shell or an editor reads.
///
/// # Errors
/// When the place breaks this rule.
pub fn check_place(place: &str) -> Result<(), BundleError> {
    let refuse = |reason| Err(BundleError::Place { place: place.to_owned(), reason });
    if place.is_empty() || place.len() > MOST_BYTES {
        return refuse("must have between 1 and 250 bytes");
    }
    for part in place.split('/') {
        if part.is_empty() {
            return refuse("must be a relative path without empty parts");
        }
        if part.starts_with('.') {
            return refuse("has a part that starts with a dot");
        }
        if part.len() > MOST_NAME {
            return refuse("has a part with more than 100 bytes");
        }
        if check_line(part).is_err() || part.contains(['\\', ':']) {
            return refuse("has a character that controls a terminal, a backslash or a colon");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    proptest! {
        #[test]
        fn an_allowed_place_stays_inside(place in "[a./\\\\:\u{0}]{0,12}") {
            if check_place(&place).is_ok() {
                let inside = Path::new(&place).components().all(|part| matches!(part, Component::Normal(_)));
                prop_assert!(inside && !place.is_empty());
            }
        }
    }

    #[test]
    fn ordinary_files_are_allowed() {
        for place in ["experiments/a.toml", "results/runs/3f/attempts/1/journal.jsonl", "train.py", "src/é ü/x.y"] {
            check_place(place).unwrap();
        }
        for place in ["", "/etc/x", "a//b", "../x", "a/../b", ".git/hooks/x", "a/.bashrc", "C:x", "a\\b", "a\nb"] {
            assert!(check_place(place).is_err(), "{place}");
        }
    }
}
