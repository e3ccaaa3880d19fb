//! Collects the comparisons of one case, and fills the tensors with their initial values.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor};
use repmlp::layers::BatchNormSettings;
use repmlp::vars::Vars;

use crate::case::{ParityCase, Shapes};
use crate::check::{Check, Precision, What};
use crate::error::InteropError;
use crate::filling::{fill, is_filled};
use crate::names::Naming;
use crate::shape::same_but_for_ones;

/// Collects the comparisons of a case.
pub(super) struct Rows<'a> {
    case: &'a ParityCase,
    pub(super) precision: Precision,
    /// Where the case is computed.
    pub(super) device: Device,
    pub(super) checks: Vec<Check>,
}

/// The largest difference among several tensors, with the name of the tensor.
pub(super) struct Worst {
    pub(super) difference: f64,
    name: String,
}

/// How the variables of a case get their values.
pub(super) struct Filling<'a> {
    /// Names and shapes in PyTorch, if the case contains them.
    pub(super) shapes: Option<&'a Shapes>,
    pub(super) naming: Naming,
    pub(super) weight_gain: f64,
    /// Number of elements of all parameters, if the case contains it.
    pub(super) parameter_count: Option<usize>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(case: &'a ParityCase, precision: Precision, device: &Device) -> Self {
        Self { case, precision, device: device.clone(), checks: Vec::new() }
    }

    /// Creates an empty set of variables with the number type of this check.
    pub(super) fn vars(&self, batch_norm: BatchNormSettings) -> Vars {
        // The seed does not matter: the filling rule overwrites every value.
        Vars::new(0, self.precision.dtype(), &self.device).with_batch_norm(batch_norm)
    }

    /// Returns a filled tensor that is not a variable.
    pub(super) fn filled(&self, name: &str, dims: &[usize]) -> Result<Tensor> {
        fill(name, dims, 1.0)?.to_dtype(self.precision.dtype())?.to_device(&self.device)
    }

    /// Fills every variable and adds the comparison of names. Returns `false` if names or shapes disagree; further
    /// comparisons are then useless.
    pub(super) fn fill(&mut self, vars: &Vars, filling: &Filling<'_>) -> Result<bool> {
        let Matched { values, disagreements, shown } = matched(vars, filling)?;
        let agree = disagreements.is_empty();
        if agree {
            vars.load(&values)?;
        }
        let worst = disagreements.first().cloned().unwrap_or(shown);
        self.push(What::Names, Worst { difference: disagreements.len() as f64, name: worst }, 0.0);
        Ok(agree)
    }

    pub(super) fn push(&mut self, what: What, worst: Worst, bound: f64) {
        let Worst { difference, name } = worst;
        let (case, precision) = (self.case.id().to_owned(), self.precision);
        self.checks.push(Check { case, what, precision, difference, bound, worst: name });
    }

    /// Returns the expected tensor `name`.
    pub(super) fn expected(&self, name: &str) -> std::result::Result<&Tensor, InteropError> {
        self.case.expected(name)
    }

    /// Compares a tensor with the expected tensor `name`.
    pub(super) fn compare(
        &mut self,
        what: What,
        actual: &Tensor,
        name: &str,
        bound: f64,
    ) -> std::result::Result<(), InteropError> {
        let mut worst = Worst::none();
        worst.see(name, actual, self.case.expected(name)?, 0.0)?;
        self.push(what, worst, bound);
        Ok(())
    }
}

/// Result of matching our variables with the tensors of a case.
struct Matched {
    values: BTreeMap<String, Tensor>,
    disagreements: Vec<String>,
    shown: String,
}

fn matched(vars: &Vars, filling: &Filling<'_>) -> Result<Matched> {
    let ours: BTreeMap<String, Vec<usize>> =
        vars.all().into_iter().map(|(name, var)| (name, var.dims().to_vec())).collect();
    let mut disagreements = Vec::new();
    let theirs = match filling.shapes {
        Some(shapes) => shapes.clone(),
        None => {
            let foreign = |(name, dims): (&String, &Vec<usize>)| Some((filling.naming.from_ours(name)?, dims.clone()));
            ours.iter().filter_map(foreign).collect()
        }
    };
    let mut values = BTreeMap::new();
    for (name, dims) in theirs.iter().filter(|(name, _)| is_filled(name)) {
        let our_name = filling.naming.to_ours(name).filter(|our_name| ours.contains_key(our_name));
        match our_name {
            None => disagreements.push(format!("`{name}` is only in PyTorch")),
            Some(our_name) if !same_but_for_ones(&ours[&our_name], dims) => {
                disagreements.push(format!("`{name}` is {dims:?} in PyTorch and {:?} here", ours[&our_name]));
            }
            Some(our_name) => {
                values.insert(our_name, fill(name, dims, filling.weight_gain)?);
            }
        }
    }
    let alone = ours.keys().filter(|name| !values.contains_key(*name));
    disagreements.extend(alone.map(|name| format!("`{name}` is only here")));
    let count: usize = vars.parameters().iter().map(|(_, var)| var.elem_count()).sum();
    if let Some(expected) = filling.parameter_count.filter(|expected| *expected != count) {
        disagreements.push(format!("{expected} parameters in PyTorch and {count} here"));
    }
    Ok(Matched { values, disagreements, shown: format!("{} tensors", ours.len()) })
}

impl Worst {
    pub(super) fn none() -> Self {
        Self { difference: 0.0, name: String::new() }
    }

    /// Compares a tensor and keeps its difference if it is the largest. The scale is the largest magnitude of the
    /// expected tensor, but at least `floor`.
    pub(super) fn see(&mut self, name: &str, actual: &Tensor, expected: &Tensor, floor: f64) -> Result<()> {
        let difference = relative_difference(actual, expected, floor)?;
        // Keep the first tensor even if nothing differs. NaN counts as larger than any number.
        if self.name.is_empty() || difference.is_nan() || difference > self.difference {
            *self = Self { difference, name: name.to_owned() };
        }
        Ok(())
    }
}

fn numbers(t: &Tensor) -> Result<Vec<f64>> {
    t.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

/// Returns the largest magnitude of a tensor.
pub(super) fn largest(t: &Tensor) -> Result<f64> {
    Ok(numbers(t)?.into_iter().fold(0.0, |largest, value| largest.max(value.abs())))
}

fn relative_difference(actual: &Tensor, expected: &Tensor, floor: f64) -> Result<f64> {
    if !same_but_for_ones(actual.dims(), expected.dims()) {
        return Ok(f64::INFINITY);
    }
    let scale = largest(expected)?.max(floor).max(f64::MIN_POSITIVE);
    let (actual, expected) = (numbers(actual)?, numbers(expected)?);
    let differences = actual.iter().zip(&expected).map(|(a, e)| (a - e).abs());
    Ok(differences.fold(0.0, |worst: f64, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) }) / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(actual: &[f64], expected: &[f64], floor: f64) -> f64 {
        let tensor = |values: &[f64]| Tensor::from_slice(values, values.len(), &Device::Cpu).unwrap();
        relative_difference(&tensor(actual), &tensor(expected), floor).unwrap()
    }

    #[test]
    fn differences_are_relative_to_the_largest_magnitude() {
        assert_eq!(difference(&[1.0, -4.0], &[1.5, -4.0], 0.0).to_bits(), 0.125f64.to_bits());
        assert_eq!(difference(&[1.0, -4.0], &[1.5, -4.0], 8.0).to_bits(), 0.0625f64.to_bits());
    }

    #[test]
    fn nan_infinity_and_wrong_shapes_give_an_infinite_difference() {
        for (actual, expected) in
            [(&[f64::NAN, 1.0][..], &[1.0, 1.0][..]), (&[1.0], &[1.0, 1.0]), (&[f64::INFINITY], &[1.0])]
        {
            assert!(difference(actual, expected, 1.0).is_infinite(), "{actual:?}");
        }
    }
}
