//! What blocks of all sorts have in common: a pass in eval mode, a pass in training, and a pass back.

use candle_core::{Result, Tensor, Var};
use repmlp::vars::Vars;
use repmlp::{Draws, Mode};
use repmlp_kernels::backward;

use crate::case::{KeyFault, ParityCase};
use crate::check::What;
use crate::check::rows::{Rows, Worst, largest};
use crate::error::InteropError;

/// (C, H, W, N) → (N, C, H, W).
pub(super) fn to_nchw(x_chwn: &Tensor) -> Result<Tensor> {
    x_chwn.permute((3, 0, 1, 2))
}

/// (N, C, H, W) → (C, H, W, N).
pub(super) fn to_chwn(x_nchw: &Tensor) -> Result<Tensor> {
    x_nchw.permute((1, 2, 3, 0))?.contiguous()
}

/// Compares what a deployed block makes of the case's input of shape `input` with the trained one's output in eval mode.
pub(super) fn check_deployed(
    rows: &mut Rows<'_>,
    input: [usize; 4],
    forward: impl Fn(&Tensor) -> Result<Tensor>,
) -> std::result::Result<(), InteropError> {
    let output = to_nchw(&forward(&to_chwn(&rows.filled("input", &input)?)?)?)?;
    rows.compare(What::Deployed, &output, "out_eval", rows.precision.bound())
}

/// Runs the passes of a block on the case's input of shape `input` and compares everything that comes out.
///
/// The running statistics move: what needs them as they were filled comes before.
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

/// Ours for every expected tensor whose name begins with `prefix`.
pub(super) fn tensors_after(
    prefix: &str,
    case: &ParityCase,
    ours: impl Fn(&str) -> Option<Result<Tensor>>,
) -> std::result::Result<Vec<(String, Tensor)>, InteropError> {
    let mut found = Vec::new();
    for name in case.expected.keys() {
        let Some(bare) = name.strip_prefix(prefix) else { continue };
        let fault = || case.fault(KeyFault::new("file", format!("it has `{name}`, and the block no `{bare}`")));
        found.push((name.clone(), ours(bare).ok_or_else(fault)??));
    }
    Ok(found)
}

/// Compares tensors with the expected ones of their names; there is no comparison where the case has none.
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
