//! The operation: its tensors, what it keeps between the passes, and their order.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};

use super::passes::{NormedRows, Passed, Sum, into_gradient, moments};
use crate::backward::of_weight;
use crate::batch_norm::{Moments, RowMoments, batch_norm_with_epilogue};
use crate::conv::{self, Conv, ConvGeometry};
use crate::element::{for_dtype, has_kernel, slice, with_slices};
use crate::epilogue::{Activation, Epilogue, sum_with_epilogue};
use crate::simd::Number;

/// A linear map without a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinearMap {
    /// [`conv2d`](crate::conv2d).
    Conv2d(ConvGeometry),
    /// [`grouped_fc`](crate::grouped_fc).
    GroupedFc {
        /// Of its channels.
        groups: usize,
    },
}

impl LinearMap {
    /// What it makes of x.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn of(self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        self.conv(x, weight)?.of(x, weight)
    }

    /// Its sizes.
    pub(super) fn conv(self, x: &Tensor, weight: &Tensor) -> Result<Conv> {
        match self {
            Self::Conv2d(geometry) => Conv::on_map(x, weight, geometry),
            Self::GroupedFc { groups } => Conv::on_columns(x, weight, groups),
        }
    }
}

/// A linear map and the batch norm behind it.
#[derive(Clone, Copy, Debug)]
pub struct NormedBranch<'a> {
    /// What it does with the weight.
    pub map: LinearMap,
    /// As the map has it.
    pub weight: &'a Tensor,
    /// γ (R); the rows of the norm are the R equal parts of the map's output.
    pub gamma: &'a Tensor,
    /// β (R).
    pub beta: &'a Tensor,
    /// Keeps the variance away from zero.
    pub eps: f64,
}

/// Σ norm(map(x)) over the branches, with the statistics of the batch, and what follows; and those statistics.
///
/// The gradient treats the statistics as functions of x, as training does.
///
/// # Errors
/// When there are no branches, something does not fit, or the outputs have different shapes.
pub fn normed_sum_with_epilogue(
    x: &Tensor,
    branches: &[NormedBranch<'_>],
    epilogue: Epilogue<'_>,
) -> Result<(Tensor, Vec<Moments>)> {
    let Some(first) = branches.first() else { bail!("a sum of no branches") };
    // An operation takes three tensors: there is no place for one to add.
    if !has_kernel(x) || epilogue.addend().is_some() {
        return by_parts(x, branches, epilogue);
    }
    let op = NormedSum::new(x, branches, epilogue.activation())?;
    let kept = Arc::clone(&op.kept);
    let others = branches[1..].iter().map(|branch| branch.weight);
    let norms = branches.iter().flat_map(|branch| [branch.gamma, branch.beta]);
    let others = others.chain(norms).map(Tensor::flatten_all).collect::<Result<Vec<_>>>()?;
    let y = x.contiguous()?.apply_op3(&first.weight.contiguous()?, &Tensor::cat(&others, 0)?, op)?;
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let moments = kept.iter().flat_map(|kept| &kept.moments).map(|rows| Moments::of(rows, x.dtype()));
    Ok((y, moments.collect::<Result<_>>()?))
}

/// The same as operations of their own.
pub(crate) fn by_parts(
    x: &Tensor,
    branches: &[NormedBranch<'_>],
    epilogue: Epilogue<'_>,
) -> Result<(Tensor, Vec<Moments>)> {
    let mut moments = Vec::with_capacity(branches.len());
    let y = sum_with_epilogue(branches, epilogue, |branch, epilogue| {
        let z = branch.map.of(x, branch.weight)?;
        let (y, of_branch) = batch_norm_with_epilogue(&z, branch.gamma, branch.beta, branch.eps, epilogue)?;
        moments.push(of_branch);
        Ok(y)
    })?;
    Ok((y, moments))
}

/// A branch whose shapes fit, and where its numbers stand: the weight of the first by itself, all others one after another.
struct Branch {
    conv: Conv,
    eps: f64,
    weight: Range<usize>,
    gamma: Range<usize>,
    beta: Range<usize>,
}

impl Branch {
    /// What it is behind its map.
    fn normed<'a, T>(&self, z: &'a [T], others: &'a [T], moments: &'a [RowMoments]) -> NormedRows<'a, T> {
        NormedRows { z, gamma: &others[self.gamma.clone()], beta: &others[self.beta.clone()], moments, eps: self.eps }
    }
}

struct NormedSum {
    branches: Vec<Branch>,
    activation: Activation,
    output: Shape,
    /// From a forward pass to the next backward pass, which takes it: at that time memory is scarcest.
    kept: Arc<Mutex<Option<Mapped<CpuStorage>>>>,
}

/// What the backward pass needs, for each branch.
struct Mapped<Z> {
    /// What the maps gave.
    outputs: Vec<Z>,
    moments: Vec<Vec<RowMoments>>,
}

struct Gradients<T> {
    /// Where x has one.
    x: Option<Vec<T>>,
    first: Vec<T>,
    /// One after another.
    others: Vec<T>,
}

impl NormedSum {
    fn new(x: &Tensor, branches: &[NormedBranch<'_>], activation: Activation) -> Result<Self> {
        let mut fitting: Vec<Branch> = Vec::new();
        let mut taken = 0;
        let mut take = |count| {
            taken += count;
            taken - count..taken
        };
        for (b, branch) in branches.iter().enumerate() {
            let conv = branch.map.conv(x, branch.weight)?;
            let weight = if b == 0 { 0..branch.weight.elem_count() } else { take(branch.weight.elem_count()) };
            fitting.push(Branch { conv, eps: branch.eps, weight, gamma: 0..0, beta: 0..0 });
        }
        let output = fitting[0].conv.output.clone();
        let most_rows = branches.iter().map(|branch| branch.gamma.elem_count()).max().unwrap_or(0);
        for (branch, fitting) in branches.iter().zip(&mut fitting) {
            let rows = branch.gamma.dims1()?;
            if fitting.conv.output != output {
                bail!("a sum of {:?} and {:?}: the shapes must be equal", output, fitting.conv.output);
            }
            if branch.beta.dims() != [rows] || rows == 0 || !output.elem_count().is_multiple_of(rows) {
                bail!("batch norm of {output:?} in {rows} rows, with β {:?}", branch.beta.dims());
            }
            if !most_rows.is_multiple_of(rows) {
                bail!("batch norms of {most_rows} and of {rows} rows: one must divide the other");
            }
            (fitting.gamma, fitting.beta) = (take(rows), take(rows));
        }
        Ok(Self { branches: fitting, activation, output, kept: Arc::default() })
    }

    fn weight<'a, T>(&self, b: usize, first: &'a [T], others: &'a [T]) -> &'a [T] {
        &(if b == 0 { first } else { others })[self.branches[b].weight.clone()]
    }

    /// All branches behind their maps.
    fn sum<'a, T: Number>(&self, z: &'a [Vec<T>], others: &'a [T], moments: &'a [Vec<RowMoments>]) -> Sum<'a, T> {
        let branches = self.branches.iter().zip(z).zip(moments);
        Sum::new(branches.map(|((branch, z), moments)| branch.normed(z, others, moments)).collect(), self.activation)
    }

    /// What the maps give, and its statistics.
    fn maps<T: Number>(&self, x: &[T], first: &[T], others: &[T]) -> Result<Mapped<Vec<T>>> {
        let mut outputs = Vec::with_capacity(self.branches.len());
        let mut all_moments = Vec::with_capacity(self.branches.len());
        for (b, branch) in self.branches.iter().enumerate() {
            let z = conv::forward(x, self.weight(b, first, others), &branch.conv.sizes, None)?;
            all_moments.push(moments(&z, branch.gamma.len()));
            outputs.push(z);
        }
        Ok(Mapped { outputs, moments: all_moments })
    }

    fn forward<T: Number>(&self, x: &[T], first: &[T], others: &[T]) -> Result<Vec<T>> {
        let Mapped { outputs, moments } = self.maps(x, first, others)?;
        let y = self.sum(&outputs, others, &moments).write();
        let outputs = outputs.into_iter().map(T::to_cpu_storage_owned).collect();
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Mapped { outputs, moments });
        Ok(y)
    }

    /// What the forward pass has kept; a second backward pass computes it again.
    fn take_kept<T: Number>(&self, x: &[T], first: &[T], others: &[T]) -> Result<Mapped<Vec<T>>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Mapped { outputs, moments }) = kept else { return self.maps(x, first, others) };
        Ok(Mapped { outputs: outputs.into_iter().map(T::cpu_storage_data).collect::<Result<_>>()?, moments })
    }

    /// From the numbers of x, of the first weight, of all others, of y and dy.
    fn backward<T: Number>(&self, [x, first, others, y, dy]: [&[T]; 5], x_tensor: &Tensor) -> Result<Gradients<T>> {
        let Mapped { outputs, moments } = self.take_kept(x, first, others)?;
        let Passed { g, sums } = self.sum(&outputs, others, &moments).passed(y, dy);
        let g = g.as_deref().unwrap_or(dy);
        let mut all = Gradients { x: None, first: Vec::new(), others: vec![T::zero(); others.len()] };
        for (b, ((branch, z), sums)) in self.branches.iter().zip(outputs).zip(&sums).enumerate() {
            let of_rows = branch.normed(&z, others, &moments[b]).gradients(sums);
            for (i, of_row) in of_rows.iter().enumerate() {
                all.others[branch.gamma.start + i] = T::from_f64(of_row.gamma);
                all.others[branch.beta.start + i] = T::from_f64(of_row.beta);
            }
            let dz = into_gradient(z, g, &of_rows);
            let sizes = &branch.conv.sizes;
            let d_weight = conv::backward_weight(x, &dz, sizes)?;
            if b == 0 {
                all.first = d_weight;
            } else {
                all.others[branch.weight.clone()].copy_from_slice(&d_weight);
            }
            // The images take no part in the graph: their gradient would be thrown away.
            if x_tensor.track_op() {
                all.x = Some(conv::backward_x(&dz, self.weight(b, first, others), sizes, all.x.take())?);
            }
        }
        Ok(all)
    }
}

impl CustomOp3 for NormedSum {
    fn name(&self) -> &'static str {
        "normed_sum"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        first: &CpuStorage,
        first_layout: &Layout,
        others: &CpuStorage,
        others_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = for_dtype!(x.dtype(), T => {
            let (x, first) = (slice::<T>(x, x_layout)?, slice::<T>(first, first_layout)?);
            T::to_cpu_storage_owned(self.forward(x, first, slice::<T>(others, others_layout)?)?)
        });
        Ok((y, self.output.clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        first: &Tensor,
        others: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let device = x.device();
        for_dtype!(x.dtype(), T => {
            let of = |slices: [&[T]; 5]| self.backward(slices, x);
            let all = with_slices::<T, _, 5>([x, first, others, y, dy], of)??;
            let dx = all.x.map(|dx| Tensor::from_vec(dx, x.shape(), device)).transpose()?;
            let d_first = Tensor::from_vec(all.first, first.shape(), device)?;
            Ok((dx, of_weight(first, d_first), Some(Tensor::from_vec(all.others, others.shape(), device)?)))
        })
    }
}
