//! Pre-registration: digests of the claims that a plan was written with, and what they tell later.
//!
//! This module knows claims and digests. The program writes them into the plan.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sweep_protocol::{ExperimentRows, PlanRecord, Status};

use super::declared::{ClaimDeclaration, Rule};
use super::judged::Registration;
use crate::group::axis_of;
use crate::{Declaration, PaperNumbers};

/// What a claim is judged by, apart from the runs.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The report.
    pub declaration: &'a Declaration,
    /// The plan, which has the labels of each axis.
    pub plan: &'a PlanRecord,
    /// The printed numbers.
    pub paper: &'a PaperNumbers,
}

impl Scope<'_> {
    /// Returns the digest of each claim of the report: the BLAKE3 digest of the canonical JSON of the claim and of
    /// everything that its rule refers to.
    pub fn digests(&self) -> BTreeMap<String, String> {
        self.declaration.claims.iter().map(|claim| (claim.id.clone(), self.digest(claim))).collect()
    }

    fn digest(&self, claim: &ClaimDeclaration) -> String {
        let scale = claim.source.as_ref().and(self.declaration.paper.as_ref());
        let mut text = json!({ "claim": claim, "paper": scale });
        if let Some(terms) = self.of_rule(&claim.rule) {
            text["terms"] = terms;
        }
        // Maps of serde_json are sorted by key, and its floats are the shortest text of the same number.
        blake3::hash(text.to_string().as_bytes()).to_hex().to_string()
    }

    /// Returns what a rule takes from elsewhere; `None` if it says everything itself.
    fn of_rule(&self, rule: &Rule) -> Option<Value> {
        match rule {
            Rule::Monotone(rule) => Some(json!(axis_of(self.plan, &rule.axis)?.labels)),
            Rule::AsPrinted(rule) => {
                let table = self.declaration.tables.iter().find(|table| table.id == rule.table)?;
                let printed = self.paper.tables.get(&table.paper.as_ref()?.file);
                Some(json!({ "table": table, "printed": printed }))
            }
            Rule::Order(_) | Rule::Ratio(_) | Rule::Difference(_) | Rule::Value(_) | Rule::Equivalence(_) => None,
        }
    }
}

/// What is known of the runs of a plan when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// None of them has begun.
    Nothing,
    /// Some have begun. All of these were in the former plan.
    Own,
    /// Some that were not in the former plan had begun before.
    Foreign,
}

/// Returns the digests that a plan is written with. Once a run has begun, the first digest of each claim stays, and no
/// claim is added. A plan that gains runs which had begun before loses its digests: their results may have been known
/// when the claims were written.
pub fn register(
    former: Option<&BTreeMap<String, String>>,
    declared: BTreeMap<String, String>,
    known: Knowledge,
) -> BTreeMap<String, String> {
    match known {
        Knowledge::Nothing => declared,
        Knowledge::Own => former.cloned().unwrap_or_default(),
        Knowledge::Foreign => BTreeMap::new(),
    }
}

/// Says whether a claim was declared before the runs.
pub(crate) fn registration(rows: &ExperimentRows, scope: Scope<'_>, claim: &ClaimDeclaration) -> Registration {
    let is_open = rows.runs.iter().all(|row| row.status == Status::Queued && row.attempts == 0);
    match rows.plan.claims.get(&claim.id) {
        _ if is_open => Registration::Open,
        None => Registration::After,
        Some(first) if *first == scope.digest(claim) => Registration::Before,
        Some(_) => Registration::Changed,
    }
}

/// Returns the registered claims that a report no longer declares.
pub(crate) fn withdrawn(plan: &PlanRecord, declaration: &Declaration) -> Vec<String> {
    let is_declared = |id: &&String| declaration.claims.iter().any(|claim| claim.id == **id);
    plan.claims.keys().filter(|id| !is_declared(id)).cloned().collect()
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
        assert_eq!(register(None, first.clone(), Knowledge::Nothing), first);
        assert_eq!(register(Some(&first), second.clone(), Knowledge::Nothing), second);
        assert_eq!(register(Some(&first), second.clone(), Knowledge::Own), first);
        assert_eq!(register(Some(&BTreeMap::new()), second.clone(), Knowledge::Own), BTreeMap::new());
        assert_eq!(register(None, second, Knowledge::Own), BTreeMap::new());
        assert_eq!(register(Some(&first), first.clone(), Knowledge::Foreign), BTreeMap::new());
    }
}
