//! The composite, for GPUs: FC3 is one batched product, and all convolutions of the block are another. For the second
//! one, the convolutions are written as FC kernels (paper Eq. 15), as merging does. A partition is small, so the zeros
//! in these kernels cost less than a product for each convolution.

use candle_core::{D, Result, Tensor, bail};

use super::operation::{LinearMap, NormedBranch};
use crate::backward::collect;
use crate::batch_norm::{Centred, Moments, gradient};
use crate::composed::{Gradients, Passed, with_gradient};
use crate::conv::{Conv, composite};
use crate::epilogue::{Activation, Epilogue};
use crate::kernel_places::KernelPlaces;

/// Most pixels of a map on which convolutions become FC kernels.
const MOST_PIXELS: usize = 64;

/// Returns the sum of the branches, followed by the epilogue, and the statistics of each branch.
pub(super) fn normed_sum(
    x: &Tensor,
    branches: &[NormedBranch<'_>],
    epilogue: Epilogue<'_>,
) -> Result<(Tensor, Vec<Moments>)> {
    let (activation, after) = match epilogue {
        Epilogue::None | Epilogue::Relu => (epilogue.activation(), Epilogue::None),
        Epilogue::Add(_) | Epilogue::AddRelu(_) => (Activation::Identity, epilogue),
    };
    let terms = terms(x, branches)?;
    let moments = terms.iter().map(Term::moments).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    let sum = Sum { terms, activation, output: branches[0].map.conv(x, branches[0].weight)?.output.dims().to_vec() };
    let y = sum.forward()?;
    // The graph knows x and the first weight. All other parameters are collected.
    let y = with_gradient([x, branches[0].weight], y, move |passed: &Passed<2>| sum.backward(passed))?;
    Ok((after.after(&y)?, moments))
}

/// A linear map of x with its batch norms: one branch, or several with their outputs next to each other. Numbers are
/// (R, L) for one branch and (R, B, L) for B.
struct Term {
    /// Index of its first branch.
    first: usize,
    conv: Conv,
    /// Weight of the linear map, without a graph.
    weight: Tensor,
    /// How the weight is made of kernels, if it is made of several.
    merged: Option<KernelPlaces>,
    parameters: Vec<Parameters>,
    /// γ: (R, 1) or (R, B, 1).
    gamma: Tensor,
    centred: Centred,
}

/// The parameters of a branch.
#[derive(Clone)]
struct Parameters {
    weight: Tensor,
    gamma: Tensor,
    beta: Tensor,
}

impl Parameters {
    fn of(branch: &NormedBranch<'_>) -> Self {
        Self { weight: branch.weight.clone(), gamma: branch.gamma.clone(), beta: branch.beta.clone() }
    }
}

/// Splits the branches into terms. All convolutions beside an FC layer on a small map are one term.
fn terms(x: &Tensor, branches: &[NormedBranch<'_>]) -> Result<Vec<Term>> {
    let merged = places_of_all(x, branches)?;
    let mut terms = Vec::new();
    for (b, branch) in branches.iter().enumerate() {
        let is_merged = merged.is_some() && matches!(branch.map, LinearMap::Conv2d(_));
        if !is_merged {
            terms.push(Term::alone(x, b, branch)?);
        }
    }
    if let Some(places) = merged {
        let first = branches.iter().position(|branch| matches!(branch.map, LinearMap::Conv2d(_))).unwrap_or(0);
        terms.push(Term::merged(x, first, &branches[first..], places)?);
    }
    Ok(terms)
}

/// Returns the places of all convolutions in one FC kernel. Returns `None` where they stay convolutions: without an FC
/// layer, on a large map, or with other kernels than those of a block.
fn places_of_all(x: &Tensor, branches: &[NormedBranch<'_>]) -> Result<Option<KernelPlaces>> {
    let (&[_, h, w, _], Some((fc, convs))) = (x.dims(), branches.split_first()) else { return Ok(None) };
    let LinearMap::GroupedFc { groups } = fc.map else { return Ok(None) };
    let mut kernels = Vec::with_capacity(convs.len());
    for branch in convs {
        let LinearMap::Conv2d(geometry) = branch.map else { return Ok(None) };
        let (_, _, k_h, k_w) = branch.weight.dims4()?;
        let is_same = geometry.padding == (k_h / 2, k_w / 2) && k_h % 2 == 1 && k_w % 2 == 1;
        let is_dense = geometry.stride == (1, 1) && geometry.dilation == (1, 1) && geometry.groups == groups;
        if !is_same || !is_dense || branch.eps.to_bits() != fc.eps.to_bits() {
            return Ok(None);
        }
        kernels.push((k_h, k_w));
    }
    let inputs = x.dim(0)? / groups.max(1);
    Ok((!kernels.is_empty() && h * w <= MOST_PIXELS).then_some(KernelPlaces { inputs, kernels, map: (h, w) }))
}

impl Term {
    fn alone(x: &Tensor, first: usize, branch: &NormedBranch<'_>) -> Result<Self> {
        let conv = branch.map.conv(x, branch.weight)?;
        let weight = branch.weight.detach();
        let z = composite::forward(&x.detach(), &weight, &conv.sizes)?;
        let centred = Centred::of(&z.reshape((branch.gamma.dim(0)?, ()))?, branch.eps)?;
        let gamma = branch.gamma.detach().unsqueeze(1)?;
        Ok(Self { first, conv, weight, merged: None, parameters: vec![Parameters::of(branch)], gamma, centred })
    }

    fn merged(x: &Tensor, first: usize, branches: &[NormedBranch<'_>], places: KernelPlaces) -> Result<Self> {
        let output = branches[0].map.conv(x, branches[0].weight)?.output;
        for branch in branches {
            // Fails for a weight that does not fit x.
            let here = branch.map.conv(x, branch.weight)?.output;
            if here != output {
                bail!("branches with outputs {output:?} and {here:?} cannot be added: the shapes must be equal");
            }
        }
        let (outputs, pixels, count) = (branches[0].weight.dim(0)?, places.map.0 * places.map.1, branches.len());
        let flat = branches.iter().map(|branch| branch.weight.detach().flatten_from(1)).collect::<Result<Vec<_>>>()?;
        let weight = places.spread(&Tensor::cat(&flat, 1)?)?;
        let weight = weight.reshape((outputs * count * pixels, places.inputs * pixels))?;
        let conv = Conv::on_columns(x, &weight, x.dim(0)? / places.inputs)?;
        let z = composite::forward(&x.detach(), &weight, &conv.sizes)?.reshape((outputs, count, ()))?;
        let gammas: Vec<Tensor> = branches.iter().map(|branch| branch.gamma.detach()).collect();
        Ok(Self {
            first,
            conv,
            weight,
            merged: Some(places),
            parameters: branches.iter().map(Parameters::of).collect(),
            gamma: Tensor::stack(&gammas, 1)?.unsqueeze(2)?,
            centred: Centred::of(&z, branches[0].eps)?,
        })
    }

    /// Rows of each of its norms.
    fn rows(&self) -> Result<usize> {
        self.gamma.dim(0)
    }

    fn moments(&self) -> Result<Vec<Moments>> {
        let Centred { mean, variance, .. } = &self.centred;
        let (mean, variance) = (mean.flatten_from(1)?, variance.flatten_from(1)?);
        let of = |b: usize| {
            Ok(Moments { mean: mean.narrow(1, b, 1)?.squeeze(1)?, variance: variance.narrow(1, b, 1)?.squeeze(1)? })
        };
        (0..self.parameters.len()).map(of).collect()
    }

    /// Returns Σ γ·normal over its branches: (R, L).
    fn scaled(&self) -> Result<Tensor> {
        let scale = (&self.gamma * &self.centred.inverse)?;
        match self.merged {
            None => self.centred.numbers.broadcast_mul(&scale),
            Some(_) => scale.transpose(1, 2)?.matmul(&self.centred.numbers)?.squeeze(1),
        }
    }

    /// Returns the gradients of the outputs of its linear map and of γ, from dy (R, L) and the sums of its rows, (R,
    /// 1).
    fn gradients(&self, dy: &Tensor, sum: &Tensor) -> Result<(Tensor, Tensor)> {
        let Centred { numbers, inverse, .. } = &self.centred;
        if self.merged.is_none() {
            return gradient(numbers, inverse, &self.gamma, (dy, sum));
        }
        let share = 1.0 / numbers.dim(D::Minus1)? as f64;
        let dy = dy.unsqueeze(1)?;
        let d_gamma = (numbers.matmul(&dy.transpose(1, 2)?)? * inverse)?;
        let scale = (&self.gamma * inverse)?;
        let along = numbers.broadcast_mul(&((&d_gamma * inverse)? * &scale)?.affine(share, 0.0)?)?;
        let shift = (scale.broadcast_mul(&sum.unsqueeze(1)?)? * share)?;
        Ok(((scale.matmul(&dy)? - along)?.broadcast_sub(&shift)?, d_gamma))
    }

    /// Returns the gradient of each weight, given that of the weight of the linear map.
    fn of_weights(&self, d_weight: &Tensor) -> Result<Vec<Tensor>> {
        let Some(places) = &self.merged else { return Ok(vec![d_weight.reshape(self.parameters[0].weight.shape())?]) };
        let d_kernels = places.gather(&d_weight.reshape((self.rows()?, ()))?)?;
        let mut first = 0;
        let mut all = Vec::with_capacity(self.parameters.len());
        for Parameters { weight, .. } in &self.parameters {
            let count = weight.elem_count() / self.rows()?;
            all.push(d_kernels.narrow(1, first, count)?.contiguous()?.reshape(weight.shape())?);
            first += count;
        }
        Ok(all)
    }
}

struct Sum {
    terms: Vec<Term>,
    activation: Activation,
    output: Vec<usize>,
}

impl Sum {
    /// Returns the largest number of rows of a norm. Those of all others divide it.
    fn most_rows(&self) -> Result<usize> {
        let rows = self.terms.iter().map(Term::rows).collect::<Result<Vec<_>>>()?;
        let most = rows.iter().copied().max().unwrap_or(1);
        if let Some(other) = rows.iter().find(|&&other| other == 0 || !most.is_multiple_of(other)) {
            bail!("batch norms of {most} and of {other} rows: one must divide the other");
        }
        Ok(most)
    }

    fn forward(&self) -> Result<Tensor> {
        let rows = self.most_rows()?;
        let mut sum: Option<Tensor> = None;
        let mut shift: Option<Tensor> = None;
        for term in &self.terms {
            let y = term.scaled()?.reshape((rows, ()))?;
            sum = Some(match sum {
                None => y,
                Some(sum) => (sum + y)?,
            });
            for Parameters { beta, .. } in &term.parameters {
                let beta = beta.detach().reshape((term.rows()?, 1))?;
                shift = Some(match shift {
                    None => beta.broadcast_as((term.rows()?, rows / term.rows()?))?.reshape((rows, 1))?,
                    Some(shift) => shift.reshape((term.rows()?, ()))?.broadcast_add(&beta)?.reshape((rows, 1))?,
                });
            }
        }
        let (Some(sum), Some(shift)) = (sum, shift) else { bail!("a sum of no branches") };
        let y = sum.broadcast_add(&shift)?.reshape(&self.output[..])?;
        match self.activation {
            Activation::Identity => Ok(y),
            // Keeps a NaN, unlike candle's `relu`.
            Activation::Relu => y.elu(0.0),
        }
    }

    fn backward(&self, passed: &Passed<2>) -> Result<Gradients<2>> {
        let ([x, _], rows) = (&passed.inputs, self.most_rows()?);
        let dy = match self.activation {
            Activation::Identity => passed.dy.clone(),
            Activation::Relu => (&passed.dy * passed.y.sign()?)?,
        };
        let fine = dy.reshape((rows, ()))?.sum_keepdim(1)?;
        let (mut dx, mut of_first) = (None, None);
        for term in &self.terms {
            let rows_here = term.rows()?;
            let sum = if rows_here == rows { fine.clone() } else { fine.reshape((rows_here, ()))?.sum_keepdim(1)? };
            let (dz, d_gamma) = term.gradients(&dy.reshape((rows_here, ()))?, &sum)?;
            let d_weights = term.of_weights(&composite::backward_weight(x, &dz, &term.conv.sizes)?)?;
            let d_gamma = d_gamma.flatten_from(1)?;
            for (b, (parameters, d_weight)) in term.parameters.iter().zip(d_weights).enumerate() {
                collect(&parameters.gamma, || d_gamma.narrow(1, b, 1)?.flatten_all()?.contiguous())?;
                collect(&parameters.beta, || sum.flatten_all())?;
                if term.first + b == 0 {
                    of_first = Some(d_weight);
                } else {
                    collect(&parameters.weight, || Ok(d_weight))?;
                }
            }
            // Input images need no gradient.
            if passed.needed[0] {
                let here = composite::backward_x(&dz, &term.weight, &term.conv.sizes)?.reshape(x.shape())?;
                dx = Some(match dx {
                    None => here,
                    Some(dx) => (dx + here)?,
                });
            }
        }
        Ok([dx, of_first])
    }
}
