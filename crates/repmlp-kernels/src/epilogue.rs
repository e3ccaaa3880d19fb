//! Operations that a kernel applies to its results before it stores them, so that nothing reads them again.

use candle_core::{Result, Tensor, WithDType, bail};

use crate::composed::{Passed, with_gradient};
use crate::element::has_kernel;
use crate::relu::relu;

/// Operation applied to each result before it is stored.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    /// No operation.
    None,
    /// max(·, 0).
    Relu,
    /// Adds a tensor of the same shape.
    Add(&'a Tensor),
    /// Adds a tensor of the same shape, then applies max(·, 0).
    AddRelu(&'a Tensor),
}

impl<'a> Epilogue<'a> {
    /// Returns this epilogue with `addend` added before its activation.
    ///
    /// # Errors
    /// Fails when the epilogue already adds a tensor.
    pub fn plus(self, addend: &'a Tensor) -> Result<Self> {
        match self {
            Self::None => Ok(Self::Add(addend)),
            Self::Relu => Ok(Self::AddRelu(addend)),
            Self::Add(_) | Self::AddRelu(_) => bail!("an epilogue can add only one tensor"),
        }
    }

    /// Returns the tensor to add, if any.
    pub(crate) fn addend(self) -> Option<&'a Tensor> {
        match self {
            Self::None | Self::Relu => None,
            Self::Add(addend) | Self::AddRelu(addend) => Some(addend),
        }
    }

    /// Applies the epilogue to `y` of any shape as a separate operation. It serves operations that cannot apply it
    /// themselves.
    ///
    /// # Errors
    /// Fails when the tensor to add has another shape.
    pub fn after(self, y: &Tensor) -> Result<Tensor> {
        match self {
            Self::None => Ok(y.clone()),
            Self::Relu => relu(y),
            Self::Add(addend) => y + addend,
            Self::AddRelu(addend) if has_kernel(y) => relu(&(y + addend)?),
            Self::AddRelu(addend) => add_relu(y, addend),
        }
    }

    /// Returns the last step of the epilogue.
    pub(crate) fn activation(self) -> Activation {
        match self {
            Self::None | Self::Add(_) => Activation::Identity,
            Self::Relu | Self::AddRelu(_) => Activation::Relu,
        }
    }
}

/// Returns max(a + b, 0) as one operation of the graph.
fn add_relu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    with_gradient([a, b], (a.detach() + b.detach())?.elu(0.0)?, |passed: &Passed<2>| {
        let gradient = (&passed.dy * passed.y.sign()?)?;
        Ok([Some(gradient.clone()), Some(gradient)])
    })
}

/// Returns the sum of parts, computed one after another. The epilogue of each part adds the sum of the parts before it.
/// The last part also applies `epilogue`.
///
/// # Errors
/// Fails when `of` fails, or when there are no parts.
pub fn sum_with_epilogue<P>(
    parts: &[P],
    epilogue: Epilogue<'_>,
    mut of: impl FnMut(&P, Epilogue<'_>) -> Result<Tensor>,
) -> Result<Tensor> {
    let Some((last, others)) = parts.split_last() else { bail!("a sum needs at least one part") };
    let mut sum: Option<Tensor> = None;
    for part in others {
        sum = Some(of(part, sum.as_ref().map_or(Epilogue::None, Epilogue::Add))?);
    }
    match (epilogue, &sum) {
        (epilogue, None) => of(last, epilogue),
        (Epilogue::None | Epilogue::Relu, Some(sum)) => of(last, epilogue.plus(sum)?),
        (epilogue, Some(sum)) => epilogue.after(&of(last, Epilogue::Add(sum))?),
    }
}

/// The last operation on a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    Identity,
    /// max(·, 0).
    Relu,
}

impl Activation {
    /// Returns the activation as a function. Identity is max(·, −∞), so one loop serves both. NaN stays NaN.
    pub(crate) fn of<T: WithDType>(self) -> impl Fn(T) -> T + Copy {
        let least = match self {
            Self::Identity => T::from_f64(f64::NEG_INFINITY),
            Self::Relu => T::zero(),
        };
        move |y| if y < least { least } else { y }
    }
}
