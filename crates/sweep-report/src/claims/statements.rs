//! What the paper says in its text, checked against what its own tables print.
//!
//! A statement that disagrees is a fault of the paper, not of a measurement. This module knows printed numbers only.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::paper::{PaperTable, is_missing};
use crate::{ReportError, read_toml};

/// The statements of a paper, from `reports/paper/claims.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperStatements {
    /// The version of the paper.
    pub source: String,
    /// Files of its tables, relative to the folder of reports.
    pub tables: Vec<String>,
    /// The statements.
    #[serde(rename = "claim")]
    pub statements: Vec<Statement>,
}

/// A statement in the text of a paper.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Its id.
    pub id: String,
    /// Where the paper says it.
    pub place: String,
    /// What it says, without the numbers.
    pub text: String,
    /// What is known of a disagreement. A statement with it must disagree, and one without it must agree.
    #[serde(default)]
    pub disagrees: Option<String>,
    /// Its numbers.
    #[serde(rename = "check")]
    pub checks: Vec<Check>,
}

/// A stated number, and how it follows from printed ones.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The number as the text states it.
    pub stated: f64,
    /// Place value of its last stated digit, as in 10 for "50 %". Default: that of the last decimal.
    #[serde(default)]
    pub digit: Option<f64>,
    /// Its unit. Default: none.
    #[serde(default)]
    pub unit: String,
    /// How it is computed.
    pub compute: Compute,
}

/// How a number follows from printed ones. A printed number is named by row and column, as in `T4.g8_8/top1`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Compute {
    /// The first minus the second.
    Difference([String; 2]),
    /// The first over the second.
    Ratio([String; 2]),
    /// By how many percent the first is greater than the second.
    PercentMore([String; 2]),
    /// By how many percent the first is smaller than the second.
    PercentLess([String; 2]),
    /// The first as percent of the second.
    Percent([String; 2]),
    /// The product of whole numbers, in thousand millions.
    ProductG(Vec<u32>),
}

/// A statement with the numbers that follow from the tables.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckedStatement {
    /// Its id.
    pub id: String,
    /// Where the paper says it.
    pub place: String,
    /// What it says.
    pub text: String,
    /// Stated numbers, as text with units.
    pub stated: String,
    /// Computed numbers, as text with units.
    pub computed: String,
    /// Whether all stated numbers are the computed ones, rounded or cut off.
    pub agrees: bool,
    /// Whether that is what the file of statements says.
    pub is_expected: bool,
    /// What is known of a disagreement.
    pub note: Option<String>,
}

impl PaperStatements {
    /// Reads the statements and their tables below `reports`, and checks each statement. Files that do not exist there
    /// are taken from `carried`: pairs of file name and text.
    ///
    /// # Errors
    /// When a file cannot be read, or a statement names a number that is not printed.
    pub fn check(reports: &Path, file: &str, carried: &[(&str, &str)]) -> Result<Vec<CheckedStatement>, ReportError> {
        let path = reports.join(file);
        let statements: Self = read(reports, file, carried)?;
        let mut printed = BTreeMap::new();
        for table in &statements.tables {
            let table: PaperTable = read(reports, table, carried)?;
            for row in table.rows {
                printed.extend(row.values.into_iter().map(|(column, value)| (format!("{}/{column}", row.id), value)));
            }
        }
        let all = statements.statements.iter();
        if let Some(statement) =
            all.clone().find(|statement| statement.checks.iter().any(|check| !check.stated.is_finite()))
        {
            return Err(ReportError::NotStated { path, statement: statement.id.clone() });
        }
        let fault = |cell: String| ReportError::NotPrinted { path: path.clone(), cell };
        all.map(|statement| statement.checked(&printed).map_err(fault)).collect()
    }
}

fn read<T: serde::de::DeserializeOwned>(
    reports: &Path,
    file: &str,
    carried: &[(&str, &str)],
) -> Result<T, ReportError> {
    let path = reports.join(file);
    match (read_toml::read(&path), carried.iter().find(|(name, _)| *name == file)) {
        (Err(fault), Some((_, text))) if is_missing(&path, &fault) => read_toml::parse(&path, text),
        (read, _) => read,
    }
}

impl Statement {
    /// Checks its numbers. The error is the name of a number that is not printed.
    fn checked(&self, printed: &BTreeMap<String, f64>) -> Result<CheckedStatement, String> {
        let mut computed = Vec::new();
        for check in &self.checks {
            computed.push(check.compute.value(printed)?);
        }
        let list = |texts: Vec<String>| texts.join(", ");
        let stated = self.checks.iter().map(|check| format!("{}{}", check.stated, check.unit)).collect();
        let shown =
            self.checks.iter().zip(&computed).map(|(check, value)| format!("{value:.2}{}", check.unit)).collect();
        let agrees = self.checks.iter().zip(&computed).all(|(check, value)| check.agrees(*value));
        Ok(CheckedStatement {
            id: self.id.clone(),
            place: self.place.clone(),
            text: self.text.clone(),
            stated: list(stated),
            computed: list(shown),
            agrees,
            is_expected: agrees == self.disagrees.is_none(),
            note: self.disagrees.clone(),
        })
    }
}

impl Check {
    /// Whether the stated number is the computed one, rounded or cut off at its last digit.
    fn agrees(&self, computed: f64) -> bool {
        let decimals = self.stated.to_string().split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let digit = self.digit.unwrap_or_else(|| 0.1_f64.powf(decimals as f64));
        let (stated, exact) = ((self.stated / digit).round(), computed / digit);
        // Decimal numbers are not exact in binary.
        [exact.round(), (exact + 1e-9).floor()].iter().any(|found| (found - stated).abs() < 0.5)
    }
}

impl Compute {
    fn value(&self, printed: &BTreeMap<String, f64>) -> Result<f64, String> {
        let pair = |cells: &[String; 2]| -> Result<(f64, f64), String> {
            let [a, b] = cells.each_ref().map(|cell| printed.get(cell).copied().ok_or_else(|| cell.clone()));
            Ok((a?, b?))
        };
        Ok(match self {
            Self::Difference(cells) => pair(cells).map(|(a, b)| a - b)?,
            Self::Ratio(cells) => pair(cells).map(|(a, b)| a / b)?,
            Self::PercentMore(cells) => pair(cells).map(|(a, b)| 100.0 * (a / b - 1.0))?,
            Self::PercentLess(cells) => pair(cells).map(|(a, b)| 100.0 * (1.0 - a / b))?,
            Self::Percent(cells) => pair(cells).map(|(a, b)| 100.0 * a / b)?,
            Self::ProductG(factors) => factors.iter().map(|factor| f64::from(*factor)).product::<f64>() / 1e9,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stated_number_may_be_rounded_or_cut_off() {
        let agrees = |stated: f64, digit: Option<f64>, computed: f64| {
            Check { stated, digit, unit: String::new(), compute: Compute::ProductG(Vec::new()) }.agrees(computed)
        };
        for (stated, digit, computed, is_right) in [
            (1.8, None, 1.81, true),
            (59.0, None, 59.7, true),
            (8.5, None, 8.47, true),
            (0.7, None, 0.75, true),
            (50.0, Some(10.0), 51.1, true),
            (50.0, None, 51.1, false),
            (2.21, None, 76.58 - 74.27, false),
            (2.31, None, 76.58 - 74.27, true),
        ] {
            assert_eq!(agrees(stated, digit, computed), is_right, "{stated} for {computed}");
        }
    }
}
