//! The operation: its tensors, what it keeps between the passes, and the order of its steps.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};

use super::composite;
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
    /// A convolution, see [`conv2d`](crate::conv2d).
    Conv2d(ConvGeometry),
    /// An FC layer with groups, see [`grouped_fc`](crate::grouped_fc).
    GroupedFc {
        /// Number of groups of channels.
        groups: usize,
    },
}

impl LinearMap {
    /// Applies the map to x.
    ///
    /// # Errors
    /// Fails when the shapes do not fit.
    pub fn of(self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        self.conv(x, weight)?.of(x, weight)
    }

    /// Returns the map as a convolution.
    pub(super) fn conv(self, x: &Tensor, weight: &Tensor) -> Result<Conv> {
        match self {
            Self::Conv2d(geometry) => Conv::on_map(x, weight, geometry),
            Self::GroupedFc { groups } => Conv::on_columns(x, weight, groups),
        }
    }
}

/// A linear map, followed by batch norm.
#[derive(Clone, Copy, Debug)]
pub struct NormedBranch<'a> {
    /// The linear map.
    pub map: LinearMap,
    /// Weight of the map.
    pub weight: &'a Tensor,
    /// γ (R). The rows of the norm are the R equal parts of the map's output.
    pub gamma: &'a Tensor,
    /// β (R).
    pub beta: &'a Tensor,
    /// Added to the variance, so that its root is never zero.
    pub eps: f64,
}

/// Returns Σ norm(map(x)) over the branches with batch statistics, followed by the epilogue, and the statistics of each
/// branch.
///
/// The gradient treats the statistics as functions of x, as training does.
///
/// # Errors
/// Fails when there are no branches, when shapes do not fit, or when the outputs have different shapes.
pub fn normed_sum_with_epilogue(
    x: &Tensor,
    branches: &[NormedBranch<'_>],
    epilogue: Epilogue<'_>,
) -> Result<(Tensor, Vec<Moments>)> {
    let Some(first) = branches.first() else { bail!("a sum of no branches") };
    if !has_kernel(x) && can_be_composed(x, branches) {
        return composite::normed_sum(x, branches, epilogue);
    }
    // A candle operation takes at most three tensors, so it cannot take a tensor to add.
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

/// Whether the gradients of all parameters except the first weight are those of variables, so that they can be
/// collected. The graph must then reach the sum through x or the first weight.
fn can_be_composed(x: &Tensor, branches: &[NormedBranch<'_>]) -> bool {
    let is_reached = x.track_op() || branches.first().is_some_and(|first| first.weight.track_op());
    let parameters = branches.iter().flat_map(|branch| [branch.weight, branch.gamma, branch.beta]);
    let mut collected = parameters.skip(1).filter(|parameter| parameter.track_op());
    collected.all(|parameter| parameter.is_variable() && is_reached)
}

/// Computes the same with separate operations.
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

/// A branch with shapes that fit, and the ranges of its numbers. The weight of the first branch is a tensor of its own.
/// All other weights, γ and β are concatenated.
struct Branch {
    conv: Conv,
    eps: f64,
    weight: Range<usize>,
    gamma: Range<usize>,
    beta: Range<usize>,
}

impl Branch {
    /// Returns the output z of the branch's map together with its batch norm.
    fn normed<'a, T>(&self, z: &'a [T], others: &'a [T], moments: &'a [RowMoments]) -> NormedRows<'a, T> {
        NormedRows { z, gamma: &others[self.gamma.clone()], beta: &others[self.beta.clone()], moments, eps: self.eps }
    }
}

struct NormedSum {
    branches: Vec<Branch>,
    activation: Activation,
    output: Shape,
    /// What a forward pass keeps for the next backward pass. That pass takes it out, because memory is scarcest then.
    kept: Arc<Mutex<Option<Mapped<CpuStorage>>>>,
}

/// What the backward pass needs of each branch.
struct Mapped<Z> {
    /// Outputs of the maps.
    outputs: Vec<Z>,
    moments: Vec<Vec<RowMoments>>,
}

struct Gradients<T> {
    /// Gradient of x, if x needs one.
    x: Option<Vec<T>>,
    first: Vec<T>,
    /// Gradients of all other weights, γ and β, concatenated.
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
                bail!(
                    "branches with outputs {:?} and {:?} cannot be added: the shapes must be equal",
                    output,
                    fitting.conv.output
                );
            }
            if branch.beta.dims() != [rows] || rows == 0 || !output.elem_count().is_multiple_of(rows) {
                bail!(
                    "batch norm cannot split {output:?} into {rows} equal rows with β of shape {:?}",
                    branch.beta.dims()
                );
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

    /// Returns the sum of all branches, given the outputs of their maps.
    fn sum<'a, T: Number>(&self, z: &'a [Vec<T>], others: &'a [T], moments: &'a [Vec<RowMoments>]) -> Sum<'a, T> {
        let branches = self.branches.iter().zip(z).zip(moments);
        Sum::new(branches.map(|((branch, z), moments)| branch.normed(z, others, moments)).collect(), self.activation)
    }

    /// Returns the outputs of the maps and their statistics.
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

    /// Takes what the forward pass has kept. A second backward pass computes it again.
    fn take_kept<T: Number>(&self, x: &[T], first: &[T], others: &[T]) -> Result<Mapped<Vec<T>>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Mapped { outputs, moments }) = kept else { return self.maps(x, first, others) };
        Ok(Mapped { outputs: outputs.into_iter().map(T::cpu_storage_data).collect::<Result<_>>()?, moments })
    }

    /// Returns all gradients, from the numbers of x, the first weight, all others, y and dy.
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
            // Input images need no gradient.
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
