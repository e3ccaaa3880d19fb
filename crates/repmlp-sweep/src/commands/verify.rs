//! `verify parity`: repeats the computations of a folder of reference values and compares.

use anyhow::Result;
use repmlp_interop::{Check, InteropError, ParityCase, Precision, check, read_whole_cases};
use serde_json::json;

use super::device::opened;
use super::grid::grid;
use super::{print, print_json};
use crate::cli::{PrecisionChoice, VerifyParityArgs};
use crate::exit::Exit;

pub(crate) fn parity(arguments: &VerifyParityArgs) -> Result<Exit> {
    let (device, _) = opened(&arguments.device)?;
    // Unreadable cases are reported at the end, after all other cases.
    let (cases, unread) = read_whole_cases(&arguments.folder, arguments.case.as_deref())?;
    let precisions: &[Precision] = match arguments.dtype {
        PrecisionChoice::F32 => &[Precision::F32],
        PrecisionChoice::F64 => &[Precision::F64],
        PrecisionChoice::All => &[Precision::F32, Precision::F64],
    };
    let mut outcomes = Vec::new();
    for case in &cases {
        for precision in precisions {
            outcomes.push(Outcome::of(case, *precision, check(case, *precision, &device)));
        }
    }
    let all: Vec<Line> = outcomes.iter().flat_map(Outcome::lines).collect();
    let passed = all.iter().filter(|line| line.passed).count();
    if arguments.json {
        let rows: Vec<_> = all.iter().map(Line::json).collect();
        print_json(&json!({ "checks": rows, "passed": passed, "all": all.len() }))?;
    } else if !all.is_empty() {
        let rows: Vec<Vec<String>> = all.iter().map(Line::cells).collect();
        let heading = ["case", "dtype", "what", "difference", "bound", "", "worst at"];
        print(&format!("{}\n{passed} of {} checks pass\n", grid(&heading, &rows), all.len()))?;
    }
    if let Some(fault) = unread {
        return Err(fault.into());
    }
    Ok(if passed == all.len() { Exit::Done } else { Exit::Mismatch })
}

/// Result of one case. A case that cannot be computed is a failure, and the other cases are still checked.
enum Outcome {
    Checked(Vec<Check>),
    Unbuildable { case: String, precision: Precision, reason: String },
}

/// One row of the output.
struct Line {
    case: String,
    precision: Precision,
    what: String,
    numbers: Option<(f64, f64)>,
    passed: bool,
    worst: String,
}

impl Outcome {
    fn of(case: &ParityCase, precision: Precision, checks: Result<Vec<Check>, InteropError>) -> Self {
        match checks {
            Ok(checks) => Self::Checked(checks),
            Err(fault) => Self::Unbuildable { case: case.id().to_owned(), precision, reason: fault.to_string() },
        }
    }

    fn lines(&self) -> Vec<Line> {
        match self {
            Self::Checked(checks) => checks.iter().map(Line::of).collect(),
            Self::Unbuildable { case, precision, reason } => vec![Line {
                case: case.clone(),
                precision: *precision,
                what: "cannot be computed".to_owned(),
                numbers: None,
                passed: false,
                worst: reason.clone(),
            }],
        }
    }
}

impl Line {
    fn of(check: &Check) -> Self {
        Self {
            case: check.case.clone(),
            precision: check.precision,
            what: check.what.to_string(),
            numbers: Some((check.difference, check.bound)),
            passed: check.passed(),
            worst: check.worst.clone(),
        }
    }

    fn verdict(&self) -> &'static str {
        if self.passed { "pass" } else { "fail" }
    }

    fn cells(&self) -> Vec<String> {
        let [difference, bound] = match self.numbers {
            Some((difference, bound)) => [format!("{difference:.1e}"), format!("{bound:.0e}")],
            None => ["-".to_owned(), "-".to_owned()],
        };
        let verdict = self.verdict().to_owned();
        vec![
            self.case.clone(),
            self.precision.to_string(),
            self.what.clone(),
            difference,
            bound,
            verdict,
            self.worst.clone(),
        ]
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "case": self.case, "dtype": self.precision.to_string(), "what": self.what,
            "difference": self.numbers.map(|(difference, _)| difference), "bound": self.numbers.map(|(_, bound)| bound),
            "verdict": self.verdict(), "worst": self.worst,
        })
    }
}
