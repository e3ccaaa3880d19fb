//! Makes one operation of candle's graph from several of candle's operations. Devices without our kernels use it.
//!
//! Candle would record each step of a composite, and its backward pass would clear and add a tensor for each. Here a
//! composite is one operation in the graph: its steps are not recorded, and it computes its own gradient.
#![cfg_attr(feature = "cuda", expect(unsafe_code, reason = "the place of a tensor's numbers is filled by nothing"))]

use std::sync::{Mutex, PoisonError};

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, InplaceOp1, Layout, Result, Shape, Tensor, Var, bail};

use crate::backward::of_weight;

/// What a gradient is computed from. The tensors are detached.
pub(crate) struct Passed<const N: usize> {
    pub(crate) inputs: [Tensor; N],
    /// Whether the gradient of each input is needed.
    pub(crate) needed: [bool; N],
    /// The result.
    pub(crate) y: Tensor,
    /// The gradient of the result, contiguous.
    pub(crate) dy: Tensor,
}

/// Gradients of the inputs. `None` where none is needed.
pub(crate) type Gradients<const N: usize> = [Option<Tensor>; N];

/// Returns the same tensors without their graph.
pub(crate) fn detached<const N: usize>(tensors: [&Tensor; N]) -> [Tensor; N] {
    tensors.map(Tensor::detach)
}

/// Makes `y` a function of up to three inputs with this gradient. `y` was computed from the detached inputs. Its
/// numbers are taken, so no other tensor may share them.
///
/// # Errors
/// Fails when `y` is a view of an input, or when N is 0 or larger than 3.
pub(crate) fn with_gradient<const N: usize>(
    inputs: [&Tensor; N],
    y: Tensor,
    gradient: impl Fn(&Passed<N>) -> Result<Gradients<N>> + Send + Sync + 'static,
) -> Result<Tensor> {
    let needed = inputs.map(Tensor::track_op);
    if !needed.contains(&true) {
        return Ok(y);
    }
    if !is_whole(&y) || inputs.iter().any(|input| share_numbers(input, &y)) {
        bail!("the result of a composed operation must be a new tensor");
    }
    let taken = Taken::default();
    y.inplace_op1(&taken)?;
    let gradient = move |inputs: &[&Tensor], y: &Tensor, dy: &Tensor| {
        let Ok(inputs) = <[&Tensor; N]>::try_from(inputs) else { bail!("{N} inputs became {}", inputs.len()) };
        let passed = Passed { inputs: detached(inputs), needed, y: y.detach(), dy: dy.contiguous()? };
        let gradients = inputs.into_iter().zip(gradient(&passed)?);
        Ok(gradients.map(|(input, gradient)| gradient.and_then(|gradient| of_weight(input, gradient))).collect())
    };
    let op = Composed { taken, shape: y.shape().clone(), gradient: Box::new(gradient) };
    match inputs[..] {
        [x] => x.apply_op1(op),
        [x, a] => x.apply_op2(a, op),
        [x, a, b] => x.apply_op3(a, b, op),
        _ => bail!("a composed operation has one to three inputs, not {N}"),
    }
}

/// Whether the numbers of a tensor begin where its storage begins, one after the other.
fn is_whole(tensor: &Tensor) -> bool {
    tensor.is_contiguous() && tensor.layout().start_offset() == 0
}

fn share_numbers(a: &Tensor, b: &Tensor) -> bool {
    let ((a, _), (b, _)) = (a.storage_and_layout(), b.storage_and_layout());
    std::ptr::eq(&raw const *a, &raw const *b)
}

/// Said when numbers are asked for twice, or on another device.
const TWICE: &str = "a composed operation runs once, on the device of its inputs";

/// The numbers of a tensor, on their way into another.
#[derive(Default)]
struct Taken(Mutex<Option<OnDevice>>);

enum OnDevice {
    Cpu(CpuStorage),
    #[cfg(feature = "cuda")]
    Cuda(CudaStorage),
}

impl Taken {
    fn fill(&self, storage: OnDevice) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(storage);
    }

    fn empty(&self) -> Option<OnDevice> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl InplaceOp1 for Taken {
    fn name(&self) -> &'static str {
        "take"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _layout: &Layout) -> Result<()> {
        self.fill(OnDevice::Cpu(std::mem::replace(storage, CpuStorage::U8(Vec::new()))));
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, storage: &mut CudaStorage, _layout: &Layout) -> Result<()> {
        use candle_core::backend::BackendStorage;
        use candle_core::cuda_backend::CudaStorageSlice;

        let device = storage.device().clone();
        // SAFETY: nothing reads the byte, since the tensor is dropped.
        let slice = CudaStorageSlice::U8(unsafe { device.alloc::<u8>(1) }?);
        self.fill(OnDevice::Cuda(std::mem::replace(storage, CudaStorage { slice, device })));
        Ok(())
    }
}

/// Gradients of the inputs, from the inputs, the result and its gradient.
type Gradient = dyn Fn(&[&Tensor], &Tensor, &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync;

/// Gives a variable the numbers of a new tensor, without a copy. No other tensor may share them.
///
/// # Errors
/// Fails when the shapes differ.
pub(crate) fn put(variable: &Var, numbers: &Tensor) -> Result<()> {
    if variable.shape() != numbers.shape() || variable.dtype() != numbers.dtype() || !is_whole(numbers) {
        bail!("a tensor of shape {:?} cannot replace one of shape {:?}", numbers.dims(), variable.dims());
    }
    let taken = Taken::default();
    numbers.inplace_op1(&taken)?;
    variable.inplace_op1(&Put(taken))
}

struct Put(Taken);

impl InplaceOp1 for Put {
    fn name(&self) -> &'static str {
        "put"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _layout: &Layout) -> Result<()> {
        let Some(OnDevice::Cpu(numbers)) = self.0.empty() else { bail!("{TWICE}") };
        *storage = numbers;
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, storage: &mut CudaStorage, _layout: &Layout) -> Result<()> {
        let Some(OnDevice::Cuda(numbers)) = self.0.empty() else { bail!("{TWICE}") };
        *storage = numbers;
        Ok(())
    }
}

struct Composed {
    /// The result, until the operation has run.
    taken: Taken,
    shape: Shape,
    gradient: Box<Gradient>,
}

impl Composed {
    fn cpu(&self) -> Result<(CpuStorage, Shape)> {
        let Some(OnDevice::Cpu(storage)) = self.taken.empty() else { bail!("{TWICE}") };
        Ok((storage, self.shape.clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self) -> Result<(CudaStorage, Shape)> {
        let Some(OnDevice::Cuda(storage)) = self.taken.empty() else { bail!("{TWICE}") };
        Ok((storage, self.shape.clone()))
    }
}

macro_rules! composed {
    ($op:ident, [$($storage:ident $layout:ident),*], [$($input:ident),*], $gradients:ty) => {
        impl $op for Composed {
            fn name(&self) -> &'static str {
                "composed"
            }

            fn cpu_fwd(&self, $($storage: &CpuStorage, $layout: &Layout),*) -> Result<(CpuStorage, Shape)> {
                self.cpu()
            }

            #[cfg(feature = "cuda")]
            fn cuda_fwd(&self, $($storage: &CudaStorage, $layout: &Layout),*) -> Result<(CudaStorage, Shape)> {
                self.cuda()
            }

            fn bwd(&self, $($input: &Tensor,)* y: &Tensor, dy: &Tensor) -> Result<$gradients> {
                let mut gradients = (self.gradient)(&[$($input),*], y, dy)?.into_iter();
                $(let $input = gradients.next().flatten();)*
                Ok(($($input),*))
            }
        }
    };
}

composed!(CustomOp1, [_x _x_layout], [x], Option<Tensor>);
composed!(CustomOp2, [_x _x_layout, _a _a_layout], [x, a], (Option<Tensor>, Option<Tensor>));
composed!(
    CustomOp3,
    [_x _x_layout, _a _a_layout, _b _b_layout],
    [x, a, b],
    (Option<Tensor>, Option<Tensor>, Option<Tensor>)
);

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::backward;
    use crate::oracle_tests::{difference, numbers};

    fn var(shape: &[usize], seed: u64) -> Var {
        Var::from_tensor(&numbers(shape, seed, DType::F64).unwrap()).unwrap()
    }

    /// x·a with its gradient.
    fn product(x: &Tensor, a: &Tensor) -> Result<Tensor> {
        let [x_only, a_only] = detached([x, a]);
        with_gradient([x, a], (x_only * a_only)?, |passed: &Passed<2>| {
            let [x, a] = &passed.inputs;
            let of =
                |needed: bool, other: &Tensor| if needed { Some(&passed.dy * other).transpose() } else { Ok(None) };
            Ok([of(passed.needed[0], a)?, of(passed.needed[1], x)?])
        })
    }

    #[test]
    fn gradients_equal_candles_also_where_a_tensor_is_used_twice() {
        let (x, a) = (var(&[3, 4], 1), var(&[3, 4], 2));
        let of = |multiply: &dyn Fn(&Tensor, &Tensor) -> Result<Tensor>| {
            let (x, a) = (x.as_tensor(), a.as_tensor());
            let y = multiply(&multiply(x, a).unwrap(), x).unwrap();
            let gradients = backward(&y.sum_all().unwrap()).unwrap();
            [y.detach(), gradients.get(x).unwrap().clone(), gradients.get(a).unwrap().clone()]
        };
        let (ours, candles) = (of(&product), of(&|x: &Tensor, a: &Tensor| x * a));
        for (ours, candles) in ours.iter().zip(&candles) {
            assert!(difference(ours, candles).unwrap() < 1e-15);
        }
    }

    #[test]
    fn only_needed_gradients_are_asked_for_and_without_any_there_is_no_graph() {
        let (x, frozen) = (var(&[3], 1), numbers(&[3], 2, DType::F64).unwrap());
        let y = product(x.as_tensor(), &frozen).unwrap();
        assert!(backward(&y.sum_all().unwrap()).unwrap().get(&x).is_some());
        assert!(!product(&frozen, &frozen).unwrap().track_op());
    }

    #[test]
    fn a_result_that_shares_numbers_with_an_input_is_refused() {
        let x = var(&[2, 3], 1);
        let view = x.as_detached_tensor().reshape(6).unwrap();
        let fault = with_gradient([x.as_tensor()], view, |_: &Passed<1>| Ok([None])).unwrap_err().to_string();
        assert!(fault.contains("must be a new tensor"), "{fault}");
        assert_eq!(x.to_vec2::<f64>().unwrap().len(), 2, "the input keeps its numbers");
    }

    #[test]
    fn a_variable_takes_numbers_of_its_own_shape_only() {
        let variable = var(&[2, 2], 1);
        let seen = variable.as_detached_tensor();
        for other in [Tensor::ones(4, DType::F64, &Device::Cpu), Tensor::ones((2, 2), DType::F32, &Device::Cpu)] {
            assert!(put(&variable, &other.unwrap()).is_err());
        }
        let part = Tensor::ones((3, 2), DType::F64, &Device::Cpu).unwrap().narrow(0, 1, 2).unwrap();
        assert!(put(&variable, &part).is_err(), "its numbers begin in the middle of others");
        put(&variable, &Tensor::ones((2, 2), DType::F64, &Device::Cpu).unwrap()).unwrap();
        assert_eq!(
            seen.to_vec2::<f64>().unwrap(),
            [[1.0; 2]; 2],
            "what shares the variable's numbers sees the new ones"
        );
    }
}
