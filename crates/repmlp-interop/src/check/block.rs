//! Checks cases of the RepMLP block, in both forms.

use std::collections::BTreeMap;

use candle_core::Tensor;
use repmlp::blocks::RepMlpBlock;

use crate::case::{ParityCase, RepMlpBlockCase, batch_norm};
use crate::check::What;
use crate::check::passes::{self, compare_all, tensors_after};
use crate::check::rows::{Filling, Rows};
use crate::error::InteropError;
use crate::names::Naming;

pub(super) fn check(case: &ParityCase, keys: &RepMlpBlockCase, rows: &mut Rows<'_>) -> Result<(), InteropError> {
    let (config, shape) = keys.config().map_err(|fault| case.fault(fault))?;
    let vars = rows.vars(batch_norm(keys.bn_eps, keys.bn_momentum));
    let block = RepMlpBlock::new(&config, shape, &vars.root())?;
    let filling = Filling {
        shapes: keys.params.as_ref(),
        naming: Naming::Official,
        weight_gain: keys.weight_gain,
        parameter_count: None,
    };
    if !rows.fill(&vars, &filling)? {
        return Ok(());
    }
    let mut deployed = block.reparameterize()?;
    passes::check_deployed(rows, keys.input, |x| deployed.forward(x))?;
    let mut merged = BTreeMap::new();
    deployed.visit("", &mut |name, tensor| {
        merged.insert(name.to_owned(), tensor.clone());
        Ok(())
    })?;
    let merged = tensors_after("deploy.", case, |name| merged_layer(&merged, name).cloned().map(Ok))?;
    compare_all(case, rows, What::MergedLayers, &merged, 0.0)?;
    passes::check(case, rows, &vars, keys.input, |x, mode| block.forward(x, mode))
}

/// Returns a merged layer by its name in the case. The official conversion names FC1 and FC2 without the prefix
/// `fc1_fc2`, which state dicts have.
fn merged_layer<'a>(merged: &'a BTreeMap<String, Tensor>, name: &str) -> Option<&'a Tensor> {
    merged.get(name).or_else(|| merged.get(&format!("fc1_fc2.{name}")))
}
