//! Cross-entropy with label smoothing: the loss of a classifier and its gradient, one pass each.

use std::sync::{Arc, OnceLock};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, D, DType, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::composed::{Passed, with_gradient};
use crate::element::{TASK_ELEMENTS, for_dtype, has_kernel, slice, with_slice};
use crate::places::table;

/// Returns the cross-entropy loss: the mean over the rows of −Σ target·log softmax(logits). With ε = `smoothing`, the
/// target gives 1 − ε to the label and spreads ε evenly over all classes. Logits (N, classes) and `u32` labels (N) give
/// a scalar, as in PyTorch.
///
/// # Errors
/// Fails when the shapes do not fit, when a dimension is empty, or when a label is not a class.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor> {
    let (rows, classes) = logits.dims2()?;
    if rows == 0 || classes == 0 || labels.dims() != [rows] || labels.dtype() != DType::U32 {
        bail!(
            "cross-entropy needs logits (N, classes) and N u32 labels, not {:?} and {:?} of {:?}",
            logits.dims(),
            labels.dims(),
            labels.dtype()
        );
    }
    if !has_kernel(logits) {
        return composite(logits, labels, smoothing);
    }
    let op = CrossEntropy { smoothing, log_sums: Arc::new(OnceLock::new()) };
    logits.contiguous()?.apply_op2(&labels.contiguous()?, op)
}

/// The composite: the same computation, written with candle's own operations.
pub(crate) fn composite(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor> {
    let (rows, classes) = logits.dims2()?;
    let logits_only = logits.detach();
    let centred = logits_only.broadcast_sub(&logits_only.max_keepdim(D::Minus1)?)?;
    let log_p = centred.broadcast_sub(&centred.exp()?.sum_keepdim(D::Minus1)?.log()?)?;
    let numbered = table(logits.device(), ("classes", vec![classes]), || (0..classes as u32).collect())?;
    let is_label = numbered.unsqueeze(0)?.broadcast_eq(&labels.detach().unsqueeze(1)?)?.to_dtype(log_p.dtype())?;
    let target = is_label.affine(1.0 - smoothing, smoothing / classes as f64)?;
    let share = 1.0 / rows as f64;
    let loss = ((&target * &log_p)?.sum_all()? * -share)?;
    with_gradient([logits], loss, move |passed: &Passed<1>| {
        let away = (log_p.exp()? - &target)?;
        Ok([Some(away.broadcast_mul(&(&passed.dy * share)?)?)])
    })
}

/// The operation. It carries log Σ exp(logit) of each row from the forward pass to the backward pass.
struct CrossEntropy {
    smoothing: f64,
    log_sums: Arc<OnceLock<Vec<f64>>>,
}

impl CustomOp2 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(
        &self,
        logits: &CpuStorage,
        logits_layout: &Layout,
        labels: &CpuStorage,
        labels_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, classes) = logits_layout.shape().dims2()?;
        let labels = slice::<u32>(labels, labels_layout)?;
        if let Some(label) = labels.iter().find(|&&label| label as usize >= classes) {
            bail!("label {label} is out of range: {classes} classes, numbered from 0");
        }
        let loss = for_dtype!(logits.dtype(), T => {
            let (loss, log_sums) = forward(slice::<T>(logits, logits_layout)?, labels, self.smoothing, T::exp);
            // An operation runs once. A second run would compute the same sums.
            let _same = self.log_sums.set(log_sums);
            T::to_cpu_storage_owned(vec![T::from_f64(loss)])
        });
        Ok((loss, Shape::from(())))
    }

    fn bwd(
        &self,
        logits: &Tensor,
        labels: &Tensor,
        _loss: &Tensor,
        d_loss: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(log_sums) = self.log_sums.get() else { bail!("a backward pass needs its forward pass") };
        let d_loss = d_loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        let targets = Targets { smoothing: self.smoothing, share: d_loss / log_sums.len() as f64 };
        let gradient = for_dtype!(logits.dtype(), T => {
            let gradient = with_slice::<T, _>(logits, |logits| {
                with_slice::<u32, _>(labels, |labels| backward(logits, labels, log_sums, targets, T::exp))
            })??;
            Tensor::from_vec(gradient, logits.shape(), logits.device())?
        });
        Ok((Some(gradient), None))
    }
}

fn rows_a_task(classes: usize) -> usize {
    (TASK_ELEMENTS / classes).max(1)
}

/// Returns the mean loss, and log Σ exp(logit) of each row.
fn forward<T: WithDType>(logits: &[T], labels: &[u32], smoothing: f64, exp: impl Fn(T) -> T + Sync) -> (f64, Vec<f64>) {
    let classes = logits.len() / labels.len();
    let of_row = |(row, &label): (&[T], &u32)| {
        let largest = row.iter().skip(1).fold(row[0], |largest, &x| if x > largest { x } else { largest });
        let (mut powers, mut sum) = (0.0, 0.0);
        for &x in row {
            powers += exp(x - largest).to_f64();
            sum += x.to_f64();
        }
        let log_sum = largest.to_f64() + powers.ln();
        let of_label = log_sum - row[label as usize].to_f64();
        ((1.0 - smoothing) * of_label + smoothing * (log_sum - sum / classes as f64), log_sum)
    };
    let rows = logits.par_chunks(classes).zip(labels).with_min_len(rows_a_task(classes));
    let (losses, log_sums): (Vec<f64>, Vec<f64>) = rows.map(of_row).unzip();
    // Sequential, so that the order of the sum does not depend on threads.
    (losses.iter().sum::<f64>() / labels.len() as f64, log_sums)
}

#[derive(Clone, Copy)]
struct Targets {
    smoothing: f64,
    /// Factor of each row's gradient.
    share: f64,
}

/// Returns (softmax(logits) − target)·share.
fn backward<T: WithDType>(
    logits: &[T],
    labels: &[u32],
    log_sums: &[f64],
    targets: Targets,
    exp: impl Fn(T) -> T + Sync,
) -> Vec<T> {
    let classes = logits.len() / labels.len();
    let share = T::from_f64(targets.share);
    let spread = T::from_f64(targets.smoothing / classes as f64);
    let of_label = T::from_f64((1.0 - targets.smoothing) * targets.share);
    let mut gradient = vec![T::zero(); logits.len()];
    let rows = gradient.par_chunks_mut(classes).zip(logits.par_chunks(classes)).zip(labels).zip(log_sums);
    rows.with_min_len(rows_a_task(classes)).for_each(|(((gradient, logits), &label), &log_sum)| {
        let log_sum = T::from_f64(log_sum);
        for (gradient, &x) in gradient.iter_mut().zip(logits) {
            *gradient = (exp(x - log_sum) - spread) * share;
        }
        gradient[label as usize] -= of_label;
    });
    gradient
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn a_label_that_is_no_class_is_an_error() {
        let logits = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let labels = |labels: &[u32]| Tensor::new(labels, &Device::Cpu).unwrap();
        // The loss is log 3 for any label.
        let loss = cross_entropy(&logits, &labels(&[0, 2]), 0.1).unwrap().to_scalar::<f32>().unwrap();
        assert!((loss - 3f32.ln()).abs() < 1e-6);
        assert!(cross_entropy(&logits, &labels(&[0, 3]), 0.1).is_err());
        assert!(cross_entropy(&logits, &labels(&[0]), 0.1).is_err());
    }
}
