//! Checks that all kinds of blocks share: a pass in eval mode, a pass in training mode, and a backward pass.

use candle_core::{Result, Tensor, Var};
use repmlp::vars::Vars;
use repmlp::{Draws, Mode};
use repmlp_kernels::backward;

use crate::case::{KeyFault, ParityCase};
use crate::check::What;
use crate::check::rows::{Rows, Worst, largest};
use crate::error::InteropError;

/// Permutes (C, H, W, N) to (N, C, H, W).
pub(super) fn to_nchw(x_chwn: &Tensor) -> Result<Tensor> {
    x_chwn.permute((3, 0, 1, 2))
}

/// Permutes (N, C, H, W) to (C, H, W, N).
pub(super) fn to_chwn(x_nchw: &Tensor) -> Result<Tensor> {
    x_nchw.permute((1, 2, 3, 0))?.contiguous()
}

/// Compares the output of the deployed block with the expected output in eval mode. `input` is the shape of the case's
/// input.
pub(super) fn check_deployed(
    rows: &mut Rows<'_>,
    input: [usize; 4],
    forward: impl Fn(&Tensor) -> Result<Tensor>,
) -> std::result::Result<(), InteropError> {
    let output = to_nchw(&forward(&to_chwn(&rows.filled("input", &input)?)?)?)?;
    rows.compare(What::Deployed, &output, "out_eval", rows.precision.bound())
}

/// Runs the passes of a block on the case's input and compares all results. `input` is the shape of the input.
///
/// This changes the running statistics. Checks that need their filled values must run earlier.
pub(super) fn check(
    case: &ParityCase,
    rows: &mut Rows<'_>,
    vars: &Vars,
    input: [usize; 4],
    forward: impl Fn(&Tensor, Mode) -> Result<Tensor>,
) -> std::result::Result<(), InteropError> {
    let bound = rows.precision.bound();
    let input = Var::from_tensor(&to_chwn(&rows.filled("input", &input)?)?)?;
    rows.compare(What::OutEval, &to_nchw(&forward(&input, Mode::Evaluate)?)?, "out_eval", bound)?;
    let output = to_nchw(&forward(&input, Mode::Train(Draws::default()))?)?;
    rows.compare(What::OutTrain, &output, "out_train", bound)?;
    let variables = vars.all();
    let statistics = tensors_after("after.", case, |name| {
        let var = variables.iter().find(|(known, _)| known == name)?;
        Some(Ok(var.1.as_tensor().clone()))
    });
    compare_all(case, rows, What::RunningStatistics, &statistics?, 0.0)?;
    let cotangent = rows.filled("cotangent", output.dims())?;
    let gradients = backward(&(output * cotangent)?.sum_all()?)?;
    let gradient = |var: &Var| gradients.get(var).cloned().map_or_else(|| var.zeros_like(), Ok);
    let gradients = tensors_after("grad.", case, |name| match name {
        "input" => Some(gradient(&input).and_then(|gradient| to_nchw(&gradient))),
        name => Some(gradient(&variables.iter().find(|(known, _)| known == name)?.1)),
    })?;
    let references = case.expected.iter().filter(|(name, _)| name.starts_with("grad."));
    let scale = references.map(|(_, t)| largest(t)).try_fold(0f64, |most, one| one.map(|one| most.max(one)))?;
    compare_all(case, rows, What::Gradients, &gradients, rows.precision.gradient_floor() * scale)
}

/// Returns our tensor for every expected tensor with a name that starts with `prefix`.
pub(super) fn tensors_after(
    prefix: &str,
    case: &ParityCase,
    ours: impl Fn(&str) -> Option<Result<Tensor>>,
) -> std::result::Result<Vec<(String, Tensor)>, InteropError> {
    let mut found = Vec::new();
    for name in case.expected.keys() {
        let Some(bare) = name.strip_prefix(prefix) else { continue };
        let fault =
            || case.fault(KeyFault::new("file", format!("this file has `{name}`, but the block has no `{bare}`")));
        found.push((name.clone(), ours(bare).ok_or_else(fault)??));
    }
    Ok(found)
}

/// Compares tensors with the expected tensors of the same names. Adds no row if `tensors` is empty.
pub(super) fn compare_all(
    case: &ParityCase,
    rows: &mut Rows<'_>,
    what: What,
    tensors: &[(String, Tensor)],
    floor: f64,
) -> std::result::Result<(), InteropError> {
    let mut worst = Worst::none();
    for (name, tensor) in tensors {
        worst.see(name, tensor, case.expected(name)?, floor)?;
    }
    if !tensors.is_empty() {
        rows.push(what, worst, rows.precision.bound());
    }
    Ok(())
}
