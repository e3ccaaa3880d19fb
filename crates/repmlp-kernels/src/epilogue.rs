//! What an operation may do to its numbers before it writes them, so that they need not be read again.

use candle_core::{Result, Tensor, WithDType, bail};

use crate::relu::relu;

/// What is done to sums or normalised numbers before they are written.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    /// Nothing.
    None,
    /// max(·, 0).
    Relu,
    /// A tensor of the same shape is added.
    Add(&'a Tensor),
    /// A tensor of the same shape is added, then max(·, 0).
    AddRelu(&'a Tensor),
}

impl<'a> Epilogue<'a> {
    /// The same after a tensor has been added; an error where it adds one already.
    ///
    /// # Errors
    /// See above.
    pub fn plus(self, addend: &'a Tensor) -> Result<Self> {
        match self {
            Self::None => Ok(Self::Add(addend)),
            Self::Relu => Ok(Self::AddRelu(addend)),
            Self::Add(_) | Self::AddRelu(_) => bail!("two tensors to add"),
        }
    }

    /// The tensor to add.
    pub(crate) fn addend(self) -> Option<&'a Tensor> {
        match self {
            Self::None | Self::Relu => None,
            Self::Add(addend) | Self::AddRelu(addend) => Some(addend),
        }
    }

    /// The same as an operation of its own, after one that does not do it itself; `y` has any shape.
    ///
    /// # Errors
    /// When what is added has another shape.
    pub fn after(self, y: &Tensor) -> Result<Tensor> {
        match self {
            Self::None => Ok(y.clone()),
            Self::Relu => relu(y),
            Self::Add(addend) => y + addend,
            Self::AddRelu(addend) => relu(&(y + addend)?),
        }
    }

    /// What is done last.
    pub(crate) fn activation(self) -> Activation {
        match self {
            Self::None | Self::Add(_) => Activation::Identity,
            Self::Relu | Self::AddRelu(_) => Activation::Relu,
        }
    }
}

/// The sum of parts, each of which is told what follows it: what those before it come to is added, and `then` is behind the last.
///
/// # Errors
/// Those of `of`, and when there are no parts.
pub fn sum_with_epilogue<P>(
    parts: &[P],
    epilogue: Epilogue<'_>,
    mut of: impl FnMut(&P, Epilogue<'_>) -> Result<Tensor>,
) -> Result<Tensor> {
    let Some((last, others)) = parts.split_last() else { bail!("a sum of nothing") };
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

/// The last thing done to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    Identity,
    /// max(·, 0).
    Relu,
}

impl Activation {
    /// What it makes of a number. Nothing is below −∞, so one loop serves both ends, and a NaN stays one.
    pub(crate) fn of<T: WithDType>(self) -> impl Fn(T) -> T + Copy {
        let least = match self {
            Self::Identity => T::from_f64(f64::NEG_INFINITY),
            Self::Relu => T::zero(),
        };
        move |y| if y < least { least } else { y }
    }
}
