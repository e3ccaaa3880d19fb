//! Whether a device computes what the CPU computes: every operation of `repmlp_kernels`, with its gradients, in f32.

use candle_core::{DType, Device, Tensor, Var};
use repmlp_kernels::{
    AdamWStep, ConvGeometry, Epilogue, Factors, Heads, LinearMap, NormedBranch, PoolGeometry, RelativePositions,
    SgdStep, adamw_step, add_bias, add_to_pixels, affine_with_epilogue, attention, attention_on_map, avg_pool2d,
    backward, batch_norm_with_epilogue, blend, conv_to_fc, conv2d, conv2d_with_epilogue, cross_entropy, grouped_fc,
    grouped_fc_with_epilogue, max_pool2d, mean_pixel, normed_sum_with_epilogue, rearrange, rearrange_plus, relu,
    sgd_step, softmax, with_factors,
};

use super::super::kernels::numbers;

/// Largest difference that agrees, relative to the largest number of a tensor. f32 has 24 bits, and the sums here have
/// up to 5,000 terms: 1e-4 is 1,700 roundings. With 11 bits, as in TF32, a product alone differs by 5e-4.
const BOUND: f64 = 1e-4;

/// Largest difference with products of bf16. A GPU rounds the product too, by up to 2⁻⁹, and the gradient of FC3 and
/// its branches passes through three such products.
const BF16_BOUND: f64 = 1e-2;

/// Comparison of an operation on a device with the same on the CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// Name of the operation.
    pub operation: &'static str,
    /// Largest difference of the result and of all gradients, or why the device could not compute them.
    pub difference: Result<f64, String>,
    /// Largest difference that agrees.
    pub bound: f64,
}

impl Agreement {
    /// Whether the device agrees with the CPU.
    pub fn agrees(&self) -> bool {
        self.difference.as_ref().is_ok_and(|difference| *difference <= self.bound)
    }
}

/// Compares all operations. An operation that fails on the device is a disagreement.
///
/// # Errors
/// When an operation fails on the CPU.
pub fn agreements(device: &Device) -> candle_core::Result<Vec<Agreement>> {
    let of = |operation: &Operation| {
        let expected = (operation.run)(&Device::Cpu)?;
        let difference = (operation.run)(device).and_then(|found| difference_of_all(&found, &expected));
        // The rest of the text is a backtrace.
        let short = |fault: candle_core::Error| fault.to_string().lines().next().unwrap_or_default().to_owned();
        Ok(Agreement { operation: operation.name, difference: difference.map_err(short), bound: operation.bound })
    };
    operations().iter().map(of).collect()
}

/// Results and gradients of an operation. A gradient may be missing.
type Computed = Vec<Option<Tensor>>;

fn difference_of_all(found: &Computed, expected: &Computed) -> candle_core::Result<f64> {
    let mut worst: f64 = if found.len() == expected.len() { 0.0 } else { f64::INFINITY };
    for pair in found.iter().zip(expected) {
        worst = worst.max(match pair {
            (None, None) => 0.0,
            (Some(found), Some(expected)) if found.shape() == expected.shape() => difference_of(found, expected)?,
            _ => f64::INFINITY,
        });
    }
    Ok(worst)
}

fn difference_of(found: &Tensor, expected: &Tensor) -> candle_core::Result<f64> {
    let numbers = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (found, expected) = (numbers(found)?, numbers(expected)?);
    let largest = expected.iter().fold(1e-3, |largest: f64, number| largest.max(number.abs()));
    let differences = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
    // A NaN is no agreement.
    let worst = differences.fold(0.0, |worst: f64, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) });
    Ok(worst / largest)
}

/// An operation that can be run on any device.
struct Operation {
    name: &'static str,
    bound: f64,
    run: Box<Run>,
}

impl Operation {
    /// The same operation with products of bf16.
    fn in_bf16(self, name: &'static str) -> Self {
        let run = move |device: &Device| with_factors(Factors::Bf16, || (self.run)(device));
        Self { name, bound: BF16_BOUND, run: Box::new(run) }
    }
}

/// Runs an operation on a device. Returns its results, then its gradients.
type Run = dyn Fn(&Device) -> candle_core::Result<Computed>;

/// An operation with gradients.
fn differentiable(
    name: &'static str,
    shapes: &'static [&'static [usize]],
    f: impl Fn(&[Tensor]) -> candle_core::Result<Tensor> + 'static,
) -> Operation {
    let run = move |device: &Device| {
        let of = |shape: &&[usize]| Var::from_tensor(&numbers(shape)?.to_device(device)?);
        let vars = shapes.iter().map(of).collect::<candle_core::Result<Vec<_>>>()?;
        let inputs: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let y = f(&inputs)?;
        let weights = (numbers(y.dims())?.to_device(device)? + 0.5)?;
        let gradients = backward(&(&y * weights)?.sum_all()?)?;
        let gradients = inputs.iter().map(|input| gradients.get(input).cloned());
        Ok(std::iter::once(Some(y.detach())).chain(gradients).collect())
    };
    Operation { name, bound: BOUND, run: Box::new(run) }
}

/// An operation without gradients.
fn plain(
    name: &'static str,
    shapes: &'static [&'static [usize]],
    f: impl Fn(&[Tensor]) -> candle_core::Result<Vec<Tensor>> + 'static,
) -> Operation {
    let run = move |device: &Device| {
        let inputs: Vec<Tensor> =
            shapes.iter().map(|shape| numbers(shape)?.to_device(device)).collect::<candle_core::Result<_>>()?;
        Ok(f(&inputs)?.into_iter().map(Some).collect())
    };
    Operation { name, bound: BOUND, run: Box::new(run) }
}

fn geometry(stride: usize, padding: usize, dilation: usize, groups: usize) -> ConvGeometry {
    let twice = |number| (number, number);
    ConvGeometry { stride: twice(stride), padding: twice(padding), dilation: twice(dilation), groups }
}

fn operations() -> Vec<Operation> {
    [convolutions(), norms(), maps(), updates()].into_iter().flatten().collect()
}

fn convolutions() -> Vec<Operation> {
    vec![
        differentiable("conv2d 3x3", &[&[6, 9, 8, 10], &[10, 6, 3, 3]], |t| conv2d(&t[0], &t[1], geometry(1, 1, 1, 1))),
        differentiable("conv2d 1x1", &[&[6, 9, 8, 10], &[10, 6, 1, 1]], |t| conv2d(&t[0], &t[1], geometry(1, 0, 1, 1))),
        differentiable("conv2d 1x1, stride 2", &[&[6, 9, 8, 10], &[10, 6, 1, 1]], |t| {
            conv2d(&t[0], &t[1], geometry(2, 0, 1, 1))
        }),
        differentiable("conv2d 7x7, stride 2", &[&[3, 21, 20, 4], &[8, 3, 7, 7]], |t| {
            conv2d(&t[0], &t[1], geometry(2, 3, 1, 1))
        }),
        differentiable("conv2d 3x3, groups", &[&[12, 7, 7, 9], &[8, 3, 3, 3]], |t| {
            conv2d(&t[0], &t[1], geometry(1, 1, 1, 4))
        }),
        differentiable("conv2d 3x3, depthwise", &[&[12, 7, 7, 9], &[12, 1, 3, 3]], |t| {
            conv2d(&t[0], &t[1], geometry(1, 1, 1, 12))
        }),
        differentiable("conv2d 3x3, dilation 2", &[&[4, 9, 9, 5], &[6, 4, 3, 3]], |t| {
            conv2d(&t[0], &t[1], geometry(1, 2, 2, 1))
        }),
        plain("conv2d with an epilogue", &[&[6, 9, 8, 10], &[10, 6, 3, 3], &[10]], |t| {
            Ok(vec![conv2d_with_epilogue(&t[0], &t[1], &t[2], geometry(1, 1, 1, 1), Epilogue::Relu)?])
        }),
        differentiable("grouped_fc", &[&[8, 49, 30], &[392, 98]], |t| grouped_fc(&t[0], &t[1], 4)),
        plain("grouped_fc with an epilogue", &[&[8, 49, 30], &[392, 98], &[392]], |t| {
            Ok(vec![grouped_fc_with_epilogue(&t[0], &t[1], &t[2], 4, Epilogue::Relu)?])
        }),
        differentiable("conv_to_fc", &[&[6, 3, 5, 5]], |t| conv_to_fc(&t[0], (7, 7))),
        differentiable("FC3 and local branches", &BLOCK, block),
        differentiable("", &BLOCK, block).in_bf16("FC3 and local branches, bf16"),
        differentiable("", &[&[6, 9, 8, 10], &[10, 6, 3, 3]], |t| conv2d(&t[0], &t[1], geometry(1, 1, 1, 1)))
            .in_bf16("conv2d 3x3, bf16"),
    ]
}

/// Partitions, then weight, γ and β of FC3 and of two convolutions.
const BLOCK: [&[usize]; 10] =
    [&[8, 7, 7, 40], &[392, 98], &[392], &[392], &[8, 2, 1, 1], &[8], &[8], &[8, 2, 3, 3], &[8], &[8]];

fn block(t: &[Tensor]) -> candle_core::Result<Tensor> {
    let maps = [
        LinearMap::GroupedFc { groups: 4 },
        LinearMap::Conv2d(geometry(1, 0, 1, 4)),
        LinearMap::Conv2d(geometry(1, 1, 1, 4)),
    ];
    let branch = |(map, t): (LinearMap, &'_ [Tensor])| -> (LinearMap, [Tensor; 3]) {
        (map, [t[0].clone(), t[1].clone(), t[2].clone()])
    };
    let parts: Vec<_> = maps.into_iter().zip(t[1..].chunks(3)).map(branch).collect();
    let branches: Vec<_> = parts
        .iter()
        .map(|(map, [weight, gamma, beta])| NormedBranch { map: *map, weight, gamma, beta, eps: 1e-5 })
        .collect();
    Ok(normed_sum_with_epilogue(&t[0], &branches, Epilogue::None)?.0)
}

fn norms() -> Vec<Operation> {
    vec![
        differentiable("batch norm", &[&[5, 700], &[5], &[5]], |t| {
            Ok(batch_norm_with_epilogue(&t[0], &t[1], &t[2], 1e-5, Epilogue::None)?.0)
        }),
        differentiable("batch norm, addition, ReLU", &[&[5, 700], &[5], &[5], &[5, 700]], |t| {
            Ok(batch_norm_with_epilogue(&t[0], &t[1], &t[2], 1e-5, Epilogue::AddRelu(&t[3]))?.0)
        }),
        plain("statistics of batch norm", &[&[5, 700], &[5], &[5]], |t| {
            let moments = batch_norm_with_epilogue(&t[0], &t[1], &t[2], 1e-5, Epilogue::None)?.1;
            Ok(vec![moments.mean, moments.variance])
        }),
        plain("affine map", &[&[5, 700], &[5], &[5]], |t| {
            Ok(vec![affine_with_epilogue(&t[0], &t[1], &t[2], Epilogue::Relu)?])
        }),
        plain("running mean", &[&[5], &[5]], |t| {
            let running = Var::from_tensor(&t[0])?;
            blend(&running, &t[1], 0.1)?;
            Ok(vec![running.as_detached_tensor()])
        }),
    ]
}

fn maps() -> Vec<Operation> {
    let whole = |kernel| PoolGeometry { kernel: (kernel, kernel), stride: (kernel, kernel), padding: (0, 0) };
    let heads = Heads { count: 2, scale: 0.5 };
    vec![
        differentiable("relu", &[&[3000]], |t| relu(&t[0])),
        differentiable("add_bias", &[&[6, 5, 20], &[6]], |t| add_bias(&t[0], &t[1])),
        differentiable("softmax", &[&[30, 40]], |t| softmax(&(&t[0] * 8.0)?)),
        differentiable("cross_entropy", &[&[30, 12]], |t| {
            let labels = Tensor::from_vec((0..30).map(|i| i * i % 12).collect::<Vec<u32>>(), 30, t[0].device())?;
            cross_entropy(&(&t[0] * 8.0)?, &labels, 0.1)
        }),
        differentiable("max_pool2d", &[&[4, 9, 9, 6]], |t| {
            max_pool2d(&t[0], PoolGeometry { kernel: (3, 3), stride: (2, 2), padding: (1, 1) })
        }),
        differentiable("avg_pool2d, whole windows", &[&[4, 8, 8, 6]], move |t| avg_pool2d(&t[0], whole(4))),
        differentiable("avg_pool2d, padding", &[&[4, 8, 8, 6]], |t| {
            avg_pool2d(&t[0], PoolGeometry { kernel: (3, 3), stride: (2, 2), padding: (1, 1) })
        }),
        differentiable("mean_pixel", &[&[6, 5, 4, 20]], |t| mean_pixel(&t[0])),
        differentiable("add_to_pixels", &[&[6, 5, 4, 20], &[6, 20]], |t| add_to_pixels(&t[0], &t[1])),
        differentiable("rearrange", &[&[6, 4, 5, 7]], |t| rearrange(&t[0], [6, 4, 5, 7], [2, 0, 3, 1], (5, 6, 28))),
        differentiable("rearrange_plus", &[&[6, 4, 5, 7], &[6, 35]], |t| {
            rearrange_plus(&t[0], [6, 4, 5, 7], [0, 1, 2, 3], (6, 4, 35), &t[1])
        }),
        differentiable("attention", &[&[8, 6, 5], &[8, 6, 5], &[10, 6, 5]], move |t| {
            attention(&t[0], &t[1], &t[2], heads)
        }),
        differentiable("attention_on_map", &[&[26, 4, 3, 5], &[7, 4], &[5, 4]], move |t| {
            attention_on_map(&t[0], heads, RelativePositions { height: &t[1], width: &t[2] })
        }),
    ]
}

fn updates() -> Vec<Operation> {
    vec![
        plain("sgd_step", &[&[900], &[900], &[900]], |t| {
            let (parameter, velocity) = (Var::from_tensor(&t[0])?, Var::from_tensor(&(&t[1] * 0.1)?)?);
            let step = SgdStep { learning_rate: 0.1, momentum: 0.9, weight_decay: 1e-2, nesterov: true };
            sgd_step(&parameter, &velocity, &t[2], step)?;
            Ok(vec![parameter.as_detached_tensor(), velocity.as_detached_tensor()])
        }),
        plain("adamw_step", &[&[900], &[900], &[900]], |t| {
            let (parameter, mean) = (Var::from_tensor(&t[0])?, Var::from_tensor(&(&t[1] * 0.1)?)?);
            let square = Var::from_tensor(&t[1].sqr()?)?;
            let step = AdamWStep { learning_rate: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step: 3 };
            adamw_step(&parameter, &mean, &square, &t[2], step)?;
            Ok(vec![parameter.as_detached_tensor(), mean.as_detached_tensor(), square.as_detached_tensor()])
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_operations_run_and_the_cpu_agrees_with_itself() -> candle_core::Result<()> {
        let all = agreements(&Device::Cpu)?;
        assert!(all.len() > 30 && all.iter().all(Agreement::agrees), "{all:?}");
        Ok(())
    }

    #[test]
    fn other_numbers_and_a_nan_disagree() -> candle_core::Result<()> {
        let of = |numbers: &[f32; 2]| Tensor::new(numbers, &Device::Cpu);
        assert!(difference_of(&of(&[1.0, 2.0])?, &of(&[1.0, 2.001])?)? > BOUND);
        assert!(difference_of(&of(&[f32::NAN, 2.0])?, &of(&[1.0, 2.0])?)? > BOUND);
        let (two, one) = (Some(of(&[1.0, 2.0])?), Some(Tensor::new(&[1f32], &Device::Cpu)?));
        for other in [vec![one], vec![None], vec![], vec![two.clone(), None]] {
            assert!(difference_of_all(&other, &vec![two.clone()])? > BOUND, "{other:?}");
        }
        let failed = Agreement { operation: "x", difference: Err("no kernel".to_owned()), bound: BOUND };
        assert!(!failed.agrees());
        Ok(())
    }
}
