//! What an operation may do to its numbers before it writes them, so that they need not be read again.

use candle_core::{Result, Tensor, WithDType, bail};

use crate::relu::relu;

/// What is done to sums or normalised numbers before they are written.
#[derive(Clone, Copy, Debug)]
pub enum Then<'a> {
    /// Nothing.
    Nothing,
    /// max(·, 0).
    Relu,
    /// A tensor of the same shape is added.
    Add(&'a Tensor),
    /// A tensor of the same shape is added, then max(·, 0).
    AddRelu(&'a Tensor),
}

impl<'a> Then<'a> {
    /// The same after a tensor has been added; an error where it adds one already.
    ///
    /// # Errors
    /// See above.
    pub fn plus(self, addend: &'a Tensor) -> Result<Self> {
        match self {
            Self::Nothing => Ok(Self::Add(addend)),
            Self::Relu => Ok(Self::AddRelu(addend)),
            Self::Add(_) | Self::AddRelu(_) => bail!("two tensors to add"),
        }
    }

    /// The tensor to add.
    pub(crate) fn addend(self) -> Option<&'a Tensor> {
        match self {
            Self::Nothing | Self::Relu => None,
            Self::Add(addend) | Self::AddRelu(addend) => Some(addend),
        }
    }

    /// The same as an operation of its own, after one that does not do it itself; `y` has any shape.
    ///
    /// # Errors
    /// When what is added has another shape.
    pub fn after(self, y: &Tensor) -> Result<Tensor> {
        match self {
            Self::Nothing => Ok(y.clone()),
            Self::Relu => relu(y),
            Self::Add(addend) => y + addend,
            Self::AddRelu(addend) => relu(&(y + addend)?),
        }
    }

    /// What is done last.
    pub(crate) fn end(self) -> End {
        match self {
            Self::Nothing | Self::Add(_) => End::AsIs,
            Self::Relu | Self::AddRelu(_) => End::Relu,
        }
    }
}

/// The sum of parts, each of which is told what follows it: what those before it come to is added, and `then` is behind the last.
///
/// # Errors
/// Those of `of`, and when there are no parts.
pub fn sum_then<P>(parts: &[P], then: Then<'_>, mut of: impl FnMut(&P, Then<'_>) -> Result<Tensor>) -> Result<Tensor> {
    let Some((last, others)) = parts.split_last() else { bail!("a sum of nothing") };
    let mut sum: Option<Tensor> = None;
    for part in others {
        sum = Some(of(part, sum.as_ref().map_or(Then::Nothing, Then::Add))?);
    }
    match (then, &sum) {
        (then, None) => of(last, then),
        (Then::Nothing | Then::Relu, Some(sum)) => of(last, then.plus(sum)?),
        (then, Some(sum)) => then.after(&of(last, Then::Add(sum))?),
    }
}

/// The last thing done to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    AsIs,
    /// max(·, 0).
    Relu,
}

impl End {
    /// What it makes of a number. Nothing is below −∞, so one loop serves both ends, and a NaN stays one.
    pub(crate) fn of<T: WithDType>(self) -> impl Fn(T) -> T + Copy {
        let least = match self {
            Self::AsIs => T::from_f64(f64::NEG_INFINITY),
            Self::Relu => T::zero(),
        };
        move |y| if y < least { least } else { y }
    }
}
