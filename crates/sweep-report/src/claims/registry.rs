//! Pre-registration: digests of the claims that a plan was written with, and what they tell later.
//!
//! This module knows claims and digests. The program writes them into the plan.

use std::collections::BTreeMap;

use serde_json::json;
use sweep_protocol::{ExperimentRows, Status};

use super::declared::ClaimDeclaration;
use super::judged::Registration;
use crate::Declaration;

/// Returns the digest of each claim of a report: the BLAKE3 digest of its canonical JSON and, for a claim of the paper,
/// of the paper's scale.
pub fn digests(declaration: &Declaration) -> BTreeMap<String, String> {
    declaration.claims.iter().map(|claim| (claim.id.clone(), digest(declaration, claim))).collect()
}

fn digest(declaration: &Declaration, claim: &ClaimDeclaration) -> String {
    let scale = claim.source.as_ref().and(declaration.paper.as_ref());
    // Maps of serde_json are sorted by key, and its floats are the shortest text of the same number.
    blake3::hash(json!({ "claim": claim, "paper": scale }).to_string().as_bytes()).to_hex().to_string()
}

/// Returns the digests that a plan is written with. `begun` says whether one of its runs has begun. From then on the
/// first digest of each claim stays, and no claim is added.
pub fn register(
    former: Option<&BTreeMap<String, String>>,
    declared: BTreeMap<String, String>,
    begun: impl FnOnce() -> bool,
) -> BTreeMap<String, String> {
    match former {
        Some(former) if *former == declared => declared,
        None if declared.is_empty() => declared,
        former if begun() => former.cloned().unwrap_or_default(),
        _ => declared,
    }
}

/// Says whether a claim was declared before the runs.
pub(crate) fn registration(rows: &ExperimentRows, declaration: &Declaration, claim: &ClaimDeclaration) -> Registration {
    let is_open = rows.runs.iter().all(|row| row.status == Status::Queued && row.attempts == 0);
    match rows.plan.claims.get(&claim.id) {
        _ if is_open => Registration::Open,
        None => Registration::After,
        Some(first) if *first == digest(declaration, claim) => Registration::Before,
        Some(_) => Registration::Changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests_of(word: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("a".to_owned(), word.to_owned())])
    }

    #[test]
    fn the_first_digest_stays_once_a_run_has_begun() {
        let (first, second) = (digests_of("1"), digests_of("2"));
        assert_eq!(register(None, first.clone(), || false), first);
        assert_eq!(register(Some(&first), second.clone(), || false), second);
        assert_eq!(register(Some(&first), second.clone(), || true), first);
        assert_eq!(register(Some(&BTreeMap::new()), second.clone(), || true), BTreeMap::new());
        assert_eq!(register(None, second, || true), BTreeMap::new());
    }
}
