//! In-place updates of a tensor, element by element, from two other tensors.

use candle_core::{CpuStorage, Layout, Result, WithDType, bail};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::element::{TASK_ELEMENTS, slice};
use crate::simd::{InstructionSet, for_each_set};

/// An update rule: computes an element from its old value and the elements of two other tensors.
pub(crate) trait Rule: Sync {
    /// Name of the candle operation.
    const NAME: &'static str;
    /// Returns the element's new value.
    fn apply<T: WithDType>(&self, target: T, a: T, b: T) -> T;
}

/// Applies a rule to all elements of contiguous tensors.
pub(crate) fn update<R: Rule>(
    rule: &R,
    (target, target_layout): (&mut CpuStorage, &Layout),
    (a, a_layout): (&CpuStorage, &Layout),
    (b, b_layout): (&CpuStorage, &Layout),
) -> Result<()> {
    for shape in [a_layout.shape(), b_layout.shape()] {
        if shape != target_layout.shape() {
            bail!("{}: a tensor of shape {shape:?} cannot update one of shape {:?}", R::NAME, target_layout.shape());
        }
    }
    let Some((start, end)) = target_layout.contiguous_offsets() else { bail!("{target_layout:?} is not contiguous") };
    match target {
        CpuStorage::F32(target) => {
            update_slice(rule, &mut target[start..end], slice(a, a_layout)?, slice(b, b_layout)?);
        }
        CpuStorage::F64(target) => {
            update_slice(rule, &mut target[start..end], slice(a, a_layout)?, slice(b, b_layout)?);
        }
        _ => bail!("kernels support f32 and f64"),
    }
    Ok(())
}

fn update_slice<T: WithDType>(rule: &impl Rule, target: &mut [T], a: &[T], b: &[T]) {
    let set = InstructionSet::get();
    target
        .par_chunks_mut(TASK_ELEMENTS)
        .zip(a.par_chunks(TASK_ELEMENTS))
        .zip(b.par_chunks(TASK_ELEMENTS))
        .for_each(|((target, a), b)| update_part(set, rule, target, a, b));
}

for_each_set! {
    fn update_part[T: WithDType, R: Rule](rule: &R, target: &mut [T], a: &[T], b: &[T]) {
        for ((target, &a), &b) in target.iter_mut().zip(a).zip(b) {
            *target = rule.apply(*target, a, b);
        }
    }
}

/// Implements candle's in-place operation for a rule.
macro_rules! inplace {
    ($rule:ty) => {
        impl candle_core::InplaceOp3 for $rule {
            fn name(&self) -> &'static str {
                <Self as $crate::update::Rule>::NAME
            }

            fn cpu_fwd(
                &self,
                target: &mut candle_core::CpuStorage,
                target_layout: &candle_core::Layout,
                a: &candle_core::CpuStorage,
                a_layout: &candle_core::Layout,
                b: &candle_core::CpuStorage,
                b_layout: &candle_core::Layout,
            ) -> candle_core::Result<()> {
                $crate::update::update(self, (target, target_layout), (a, a_layout), (b, b_layout))
            }
        }
    };
}
pub(crate) use inplace;

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use crate::{AdamWStep, SgdStep, adamw_step, sgd_step};

    #[test]
    fn an_optimiser_refuses_a_gradient_of_another_shape() {
        let of = |count: usize| Var::zeros(count, DType::F32, &Device::Cpu).unwrap();
        let sgd = SgdStep { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false };
        let adamw = AdamWStep { learning_rate: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, step: 1 };
        for wrong in [3, 5] {
            let message = sgd_step(&of(4), &of(4), &of(wrong), sgd).unwrap_err().to_string();
            assert!(message.contains("cannot update one of shape [4]"), "{message}");
            assert!(sgd_step(&of(4), &of(wrong), &of(4), sgd).is_err());
            assert!(adamw_step(&of(4), &of(4), &of(4), &of(wrong), adamw).is_err());
            assert!(adamw_step(&of(4), &of(4), &of(wrong), &of(4), adamw).is_err());
        }
    }
}
