//! Access of kernels to the numbers of a tensor: contiguous slices of `f32` or `f64`.

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, WithDType, bail};

/// Number of elements per task. For fewer, another thread is not worth waking.
pub(crate) const TASK_ELEMENTS: usize = 1 << 14;

/// Returns the elements that a contiguous layout covers.
pub(crate) fn slice<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<T>()?[start..end]),
        None => bail!("a kernel needs a contiguous tensor, not {layout:?}"),
    }
}

/// Calls `work` with the elements of a CPU tensor. A tensor that is not contiguous is copied first.
pub(crate) fn with_slice<T: WithDType, R>(tensor: &Tensor, work: impl FnOnce(&[T]) -> R) -> Result<R> {
    with_slices([tensor], |[slice]| work(slice))
}

/// Calls `work` with the elements of several CPU tensors. Tensors that are not contiguous are copied first.
pub(crate) fn with_slices<T: WithDType, R, const COUNT: usize>(
    tensors: [&Tensor; COUNT],
    work: impl FnOnce([&[T]; COUNT]) -> R,
) -> Result<R> {
    let tensors = tensors.iter().map(|tensor| tensor.contiguous()).collect::<Result<Vec<_>>>()?;
    let stored: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let mut slices: [&[T]; COUNT] = [&[]; COUNT];
    for (to, (storage, layout)) in slices.iter_mut().zip(&stored) {
        *to = match &**storage {
            Storage::Cpu(storage) => slice(storage, layout)?,
            Storage::Cuda(_) | Storage::Metal(_) => bail!("a CPU kernel needs a tensor on the CPU, not on a GPU"),
        };
    }
    Ok(work(slices))
}

/// Whether a kernel supports this tensor: on the CPU, `f32` or `f64`.
pub(crate) fn has_kernel(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && matches!(tensor.dtype(), DType::F32 | DType::F64)
}

/// Runs a generic kernel body for the tensor's number type.
macro_rules! for_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            other => candle_core::bail!("kernels support f32 and f64, not {other:?}"),
        }
    };
}
pub(crate) use for_dtype;
