//! Every kernel against its composite: forward and gradients, random shapes, both number types.

use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assume, proptest};

use crate::add_bias::composite as composite_bias;
use crate::epilogue::Activation;
use crate::max_pool::MaxPool2d;
use crate::{
    AdamWStep, ConvGeometry, Epilogue, LinearMap, Moments, NormedBranch, PoolGeometry, SgdStep, adamw, adamw_step,
    add_bias, add_to_pixels, affine_with_epilogue, avg_pool2d, batch_norm, batch_norm_with_epilogue, conv_to_fc,
    cross_entropy, grouped_fc, max_pool, max_pool2d, mean_pixel, normed_sum_with_epilogue, pixels, rearrange,
    rearrange_plus, relu, sgd, sgd_step, softmax,
};

/// Returns distinct numbers in (−1, 1) that depend on `seed`. Without ties, every maximum has one owner.
pub(crate) fn numbers(shape: &[usize], seed: u64, dtype: DType) -> Result<Tensor> {
    let count: usize = shape.iter().product();
    let mut state = seed | 1;
    let values: Vec<f64> = (0..count)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)
}

fn largest(t: &Tensor) -> Result<f64> {
    t.abs()?.flatten_all()?.to_dtype(DType::F64)?.max(0)?.to_scalar()
}

/// Returns the largest difference, relative to the largest magnitude of the expected tensor.
pub(crate) fn difference(actual: &Tensor, expected: &Tensor) -> Result<f64> {
    difference_to(actual, expected, 1e-6)
}

/// Returns the largest difference, relative to the largest magnitude of the expected tensor or to `size`, whichever is
/// larger.
pub(crate) fn difference_to(actual: &Tensor, expected: &Tensor, size: f64) -> Result<f64> {
    assert_eq!(actual.dims(), expected.dims());
    Ok(largest(&(actual - expected)?)? / largest(expected)?.max(size))
}

/// Returns the output and the gradients of every input, for the loss Σ output · weights.
pub(crate) fn with_gradients(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<Vec<Tensor>> {
    let vars = inputs.iter().map(Var::from_tensor).collect::<Result<Vec<_>>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let output = f(&tensors)?;
    let loss = (&output * numbers(output.dims(), 99, output.dtype())?)?.sum_all()?;
    let gradients = loss.backward()?;
    let mut all = vec![output.detach()];
    for var in &vars {
        all.push(gradients.get(var).expect("every input takes part").clone());
    }
    Ok(all)
}

pub(crate) fn agree(
    inputs: &[Tensor],
    kernel: impl Fn(&[Tensor]) -> Result<Tensor>,
    composite: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<f64> {
    let (actual, expected) = (with_gradients(inputs, kernel)?, with_gradients(inputs, composite)?);
    let differences = actual.iter().zip(&expected).map(|(a, e)| difference(a, e)).collect::<Result<Vec<_>>>()?;
    Ok(differences.into_iter().fold(0.0, f64::max))
}

/// f32 has 24 bits: 1e-5 is about 170 rounding errors, more than the longest sums here accumulate.
pub(crate) fn bound(dtype: DType) -> f64 {
    if dtype == DType::F32 { 1e-5 } else { 1e-12 }
}

/// Whether all numbers are far enough from 0. Close to 0, two ways of rounding could differ in the sign, and a
/// following `ReLU` in its gradient. In f32, a mean of up to 3.5 is off by a rounding error or two, 4e-7. The factor
/// γ/σ, at most 2.5/0.58, makes this 1.7e-6. Rounding the few intermediate numbers of size 4 adds 1e-6.
pub(crate) fn clear_of_the_kink(t: &Tensor) -> Result<bool> {
    let nearest: f64 = t.abs()?.flatten_all()?.to_dtype(DType::F64)?.min(0)?.to_scalar()?;
    Ok(nearest > 5e-6)
}

/// Returns the epilogue with this number.
pub(crate) fn kind(what: usize, addend: Option<&Tensor>) -> Epilogue<'_> {
    match (what, addend) {
        (2, Some(addend)) => Epilogue::Add(addend),
        (3, Some(addend)) => Epilogue::AddRelu(addend),
        (1, _) => Epilogue::Relu,
        _ => Epilogue::None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn add_bias_equals_its_composite(
        c in 1..6usize,
        h in 1..4usize,
        n in 1..40usize,
        seed in any::<u64>(),
        double in any::<bool>(),
    ) {
        let dtype = if double { DType::F64 } else { DType::F32 };
        let inputs = [numbers(&[c, h, n], seed, dtype).unwrap(), numbers(&[c], seed ^ 1, dtype).unwrap()];
        let worst = agree(&inputs, |x| add_bias(&x[0], &x[1]), |x| composite_bias(&x[0], &x[1])).unwrap();
        prop_assert!(worst < bound(dtype), "{worst:e}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn conv_to_fc_equals_its_composite(
        o in 1..4usize,
        c in 1..4usize,
        h in 1..7usize,
        w in 1..7usize,
        half_h in 0..5usize,
        half_w in 0..5usize,
        double in any::<bool>(),
    ) {
        let dtype = if double { DType::F64 } else { DType::F32 };
        let kernel = numbers(&[o, c, 2 * half_h + 1, 2 * half_w + 1], 4, dtype).unwrap();
        let worst = agree(&[kernel], |t| conv_to_fc(&t[0], (h, w)), |t| conv_to_fc::composite(&t[0], (h, w))).unwrap();
        prop_assert!(worst < bound(dtype), "{worst}");
    }

    #[test]
    fn batch_norm_equals_its_composite(
        rows in 1..7usize,
        columns in 8..3000usize,
        offset in -3.0..3.0f64,
        what in 0..4usize,
        double in any::<bool>(),
    ) {
        let dtype = if double { DType::F64 } else { DType::F32 };
        let x = (numbers(&[rows, columns], 5, dtype).unwrap() + offset).unwrap();
        let gamma = (numbers(&[rows], 6, dtype).unwrap() + 1.5).unwrap();
        let beta = numbers(&[rows], 7, dtype).unwrap();
        let addend = numbers(&[rows, columns], 8, dtype).unwrap();
        let mut inputs = vec![x, gamma, beta];
        if what >= 2 {
            inputs.push(addend);
        }
        let fused = |t: &[Tensor]| -> Result<(Tensor, Moments)> {
            batch_norm_with_epilogue(&t[0], &t[1], &t[2], 1e-5, kind(what, t.last()))
        };
        let composite = |t: &[Tensor]| Ok(batch_norm::composite(&t[0], &t[1], &t[2], 1e-5, kind(what, t.last()))?.0);
        let without_relu = inputs.get(3).map_or(Epilogue::None, Epilogue::Add);
        let before = batch_norm::composite(&inputs[0], &inputs[1], &inputs[2], 1e-5, without_relu).unwrap().0;
        prop_assume!(kind(what, inputs.last()).activation() != Activation::Relu || clear_of_the_kink(&before).unwrap());
        let actual = with_gradients(&inputs, |t| Ok(fused(t)?.0)).unwrap();
        let expected = with_gradients(&inputs, composite).unwrap();
        for (actual, expected) in actual.iter().zip(&expected) {
            // The gradients of γ and β are sums over the columns of terms below 1. A ReLU removes half of them. Their
            // size is about 0.4·√columns, but they may come out close to 0, where only rounding errors of the terms
            // remain.
            let size = if expected.dims() == [rows] { 0.25 * (columns as f64).sqrt() } else { 1e-6 };
            let worst = difference_to(actual, expected, size).unwrap();
            // x − mean loses the digits of an offset of 3 over a deviation of 0.58, a factor of 5. dx is a difference
            // of terms of its own size, a factor of 2. (Below 8 columns, dx cancels completely: two columns always
            // normalise to ±1.)
            prop_assert!(worst < 10.0 * bound(dtype), "{worst}");
        }
        let (_, ours) = fused(&inputs).unwrap();
        let (_, theirs) = batch_norm::composite(&inputs[0], &inputs[1], &inputs[2], 1e-5, Epilogue::None).unwrap();
        prop_assert!(difference(&ours.mean, &theirs.mean).unwrap() < 10.0 * bound(dtype));
        prop_assert!(difference(&ours.variance, &theirs.variance).unwrap() < 10.0 * bound(dtype));
    }

    #[test]
    fn an_affine_map_equals_its_composite(
        rows in 1..7usize,
        columns in 1..3000usize,
        what in 0..4usize,
        double in any::<bool>(),
    ) {
        let dtype = if double { DType::F64 } else { DType::F32 };
        let x = numbers(&[rows, columns], 5, dtype).unwrap();
        let (scale, shift) = (numbers(&[rows], 6, dtype).unwrap(), numbers(&[rows], 7, dtype).unwrap());
        let addend = numbers(&[rows, columns], 8, dtype).unwrap();
        let epilogue = kind(what, Some(&addend));
        let actual = affine_with_epilogue(&x, &scale, &shift, epilogue).unwrap();
        let expected = batch_norm::composite_affine(&x, &scale, &shift, epilogue).unwrap();
        prop_assert!(difference(&actual, &expected).unwrap() < bound(dtype));
    }

    #[test]
    fn avg_pool_equals_candles(
        c in 1..4usize,
        map in (1..9usize, 1..9usize),
        n in 1..20usize,
        kernel in (1..5usize, 1..5usize),
        stride in (1..4usize, 1..4usize),
        padding in (0..3usize, 0..3usize),
        double in any::<bool>(),
    ) {
        prop_assume!(map.0 + 2 * padding.0 >= kernel.0 && map.1 + 2 * padding.1 >= kernel.1);
        let dtype = if double { DType::F64 } else { DType::F32 };
        let x = numbers(&[c, map.0, map.1, n], 9, dtype).unwrap();
        let actual = avg_pool2d(&x, PoolGeometry { kernel, stride, padding }).unwrap();
        let padded =
            x.pad_with_zeros(1, padding.0, padding.0).unwrap().pad_with_zeros(2, padding.1, padding.1).unwrap();
        let x_nchw = padded.permute((3, 0, 1, 2)).unwrap().contiguous().unwrap();
        let expected = x_nchw.avg_pool2d_with_stride(kernel, stride).unwrap().permute((1, 2, 3, 0)).unwrap();
        prop_assert!(difference(&actual, &expected).unwrap() < bound(dtype));
    }

    #[test]
    fn max_pool_equals_its_composite(
        c in 1..4usize,
        map in (1..9usize, 1..9usize),
        n in 1..20usize,
        kernel in (1..5usize, 1..5usize),
        stride in (1..4usize, 1..4usize),
        pad in any::<bool>(),
        double in any::<bool>(),
    ) {
        let dtype = if double { DType::F64 } else { DType::F32 };
        let padding = if pad { (kernel.0 / 2, kernel.1 / 2) } else { (0, 0) };
        prop_assume!(kernel.0 <= map.0 + 2 * padding.0 && kernel.1 <= map.1 + 2 * padding.1);
        let geometry = PoolGeometry { kernel, stride, padding };
        let x = numbers(&[c, map.0, map.1, n], 8, dtype).unwrap();
        let pool = MaxPool2d::new(x.dims(), geometry).unwrap();
        let worst = agree(&[x], |t| max_pool2d(&t[0], geometry), |t| max_pool::composite(&t[0], &pool)).unwrap();
        prop_assert!(worst < bound(dtype), "{worst}");
    }

    #[test]
    fn pixels_equal_their_composites(
        c in 1..5usize,
        h in 1..6usize,
        w in 1..6usize,
        m in 1..70usize,
        double in any::<bool>(),
    ) {
        let dtype = if double { DType::F64 } else { DType::F32 };
        let inputs = [numbers(&[c, h, w, m], 12, dtype).unwrap(), numbers(&[c, m], 13, dtype).unwrap()];
        let worst = agree(&inputs[..1], |t| mean_pixel(&t[0]), |t| pixels::composite_mean(&t[0])).unwrap();
        prop_assert!(worst < bound(dtype), "{worst}");
        let worst =
            agree(&inputs, |t| add_to_pixels(&t[0], &t[1]), |t| pixels::composite_add(&t[0], &t[1])).unwrap();
        prop_assert!(worst < bound(dtype), "{worst}");
    }

    #[test]
    fn a_rearrangement_equals_its_composite(
        view in (1..5usize, 1..4usize, 1..6usize, 1..40usize),
        order in Just(vec![0usize, 1, 2, 3]).prop_shuffle(),
    ) {
        let view = [view.0, view.1, view.2, view.3];
        let order: [usize; 4] = order.try_into().unwrap();
        let count: usize = view.iter().product();
        let x = numbers(&[count], 14, DType::F32).unwrap();
        let result = Shape::from((1, count));
        let worst = agree(
            &[x],
            |t| rearrange(&t[0], view, order, (1, count)),
            |t| rearrange::composite(&t[0], view, order, &result),
        ).unwrap();
        // A copy computes nothing, so results are equal.
        prop_assert!(worst <= 0.0, "{worst}");
    }

    #[test]
    fn a_rearrangement_with_an_addition_equals_its_composites(
        c in 1..4usize,
        rest in (1..4usize, 1..6usize, 1..40usize),
        turned in any::<bool>(),
        double in any::<bool>(),
    ) {
        let dtype = if double { DType::F64 } else { DType::F32 };
        let (view, m) = ([c, rest.0, rest.1, rest.2], rest.0 * rest.2);
        // Dimension 1 moves behind dimension 2, or the last dimension moves to the middle. In the second case,
        // runs do not match the numbers to add.
        let (order, m) = if turned { ([0, 3, 1, 2], rest.0 * rest.1) } else { ([0, 2, 1, 3], m) };
        let pixels = c * rest.0 * rest.1 * rest.2 / c / m;
        let inputs = [numbers(&[view.iter().product()], 14, dtype).unwrap(), numbers(&[c, m], 15, dtype).unwrap()];
        let result = Shape::from((c, pixels, m));
        let worst = agree(
            &inputs,
            |t| rearrange_plus(&t[0], view, order, (c, pixels, m), &t[1]),
            |t| pixels::composite_add(&rearrange::composite(&t[0], view, order, &result)?, &t[1]),
        ).unwrap();
        prop_assert!(worst < bound(dtype), "{worst}");
    }

    #[test]
    fn windows_that_cover_a_map_equal_candles_average(
        c in 1..4usize,
        kernel in (1..5usize, 1..5usize),
        count in (1..4usize, 1..4usize),
        n in 1..20usize,
        double in any::<bool>(),
    ) {
        let dtype = if double { DType::F64 } else { DType::F32 };
        let x = numbers(&[c, kernel.0 * count.0, kernel.1 * count.1, n], 9, dtype).unwrap();
        let ours = |t: &[Tensor]| avg_pool2d(&t[0], PoolGeometry { kernel, stride: kernel, padding: (0, 0) });
        let candles =
            |t: &[Tensor]| t[0].permute((3, 0, 1, 2))?.contiguous()?.avg_pool2d(kernel)?.permute((1, 2, 3, 0));
        let worst = agree(&[x], ours, candles).unwrap();
        prop_assert!(worst < bound(dtype), "{worst}");
    }

    #[test]
    fn relu_equals_its_composite(count in 1..40_000usize) {
        let x = numbers(&[count], 9, DType::F32).unwrap();
        let worst = agree(&[x], |t| relu(&t[0]), |t| relu::composite(&t[0])).unwrap();
        prop_assert!(worst < bound(DType::F32), "{worst}");
    }

    #[test]
    fn softmax_equals_its_composite(rows in 1..40usize, columns in 1..300usize, double in any::<bool>()) {
        let dtype = if double { DType::F64 } else { DType::F32 };
        let x = (numbers(&[rows, columns], 11, dtype).unwrap() * 10.0).unwrap();
        let worst = agree(&[x], |t| softmax(&t[0]), |t| softmax::composite(&t[0])).unwrap();
        // A single column has the constant output 1 and a gradient of exactly 0.
        prop_assert!(columns == 1 || worst < bound(dtype), "{worst}");
    }

    #[test]
    fn cross_entropy_equals_its_composite(
        rows in 1..50usize,
        classes in 2..300usize,
        smoothing in 0.0..0.9f64,
        double in any::<bool>(),
    ) {
        let dtype = if double { DType::F64 } else { DType::F32 };
        let logits = (numbers(&[rows, classes], 12, dtype).unwrap() * 10.0).unwrap();
        let labels: Vec<u32> = (0..rows).map(|row| (row * row % classes) as u32).collect();
        let labels = Tensor::from_vec(labels, rows, &Device::Cpu).unwrap();
        let worst = agree(
            &[logits],
            |t| cross_entropy(&t[0], &labels, smoothing),
            |t| cross_entropy::composite(&t[0], &labels, smoothing),
        ).unwrap();
        // x − log Σ is up to 25. Its rounding error becomes one of the power: 16 times that of a number in (1, 2).
        prop_assert!(worst < 16.0 * bound(dtype), "{worst}");
    }

    #[test]
    fn adamw_equals_its_composite(count in 1..40_000usize, weight_decay in 0.0..0.1f64, double in any::<bool>()) {
        let dtype = if double { DType::F64 } else { DType::F32 };
        let start = numbers(&[count], 10, dtype).unwrap();
        let state = || {
            let zeros = || Var::zeros(count, dtype, &Device::Cpu).unwrap();
            (Var::from_tensor(&start).unwrap(), zeros(), zeros())
        };
        let (ours, theirs) = (state(), state());
        for step in 1..4 {
            let gradient = numbers(&[count], 20 + u64::from(step), dtype).unwrap();
            let step = AdamWStep { learning_rate: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay, step };
            adamw_step(&ours.0, &ours.1, &ours.2, &gradient, step).unwrap();
            adamw::composite(&theirs.0, &theirs.1, &theirs.2, &gradient, step).unwrap();
        }
        for (ours, theirs) in [(&ours.0, &theirs.0), (&ours.1, &theirs.1), (&ours.2, &theirs.2)] {
            prop_assert!(difference(ours, theirs).unwrap() < bound(dtype));
        }
    }

    #[test]
    fn sgd_equals_its_composite(count in 1..40_000usize, nesterov in any::<bool>()) {
        let start = numbers(&[count], 10, DType::F32).unwrap();
        let step = SgdStep { learning_rate: 0.1, momentum: 0.9, weight_decay: 1e-2, nesterov };
        let pair = || (Var::from_tensor(&start).unwrap(), Var::zeros(count, DType::F32, &Device::Cpu).unwrap());
        let (ours, theirs) = (pair(), pair());
        for seed in 0..3 {
            let gradient = numbers(&[count], 20 + seed, DType::F32).unwrap();
            sgd_step(&ours.0, &ours.1, &gradient, step).unwrap();
            sgd::composite(&theirs.0, &theirs.1, &gradient, step).unwrap();
        }
        prop_assert!(difference(&ours.0, &theirs.0).unwrap() < bound(DType::F32));
        prop_assert!(difference(&ours.1, &theirs.1).unwrap() < bound(DType::F32));
    }
}

#[test]
fn no_bit_depends_on_the_threads() {
    let (c, h, w, m) = (6, 7, 9, 130);
    let x = numbers(&[c, h, w, m], 1, DType::F32).unwrap();
    let (gamma, beta) = (numbers(&[c], 2, DType::F32).unwrap(), numbers(&[c], 3, DType::F32).unwrap());
    let addend = numbers(&[c, h, w, m], 4, DType::F32).unwrap();
    let logits = numbers(&[700, 90], 5, DType::F32).unwrap();
    let labels = Tensor::from_vec((0..700).map(|i| i % 90).collect::<Vec<u32>>(), 700, &Device::Cpu).unwrap();
    let weight = numbers(&[c * h * w, c / 2 * h * w], 6, DType::F32).unwrap();
    let (of_pixel, kernel) =
        (numbers(&[c * h * w], 7, DType::F32).unwrap(), numbers(&[c, c / 2, 3, 3], 8, DType::F32).unwrap());
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let of = |inputs: &[&Tensor], f: &(dyn Fn(&[Tensor]) -> Result<Tensor> + Sync)| {
            let inputs: Vec<Tensor> = inputs.iter().map(|&t| t.clone()).collect();
            pool.install(|| with_gradients(&inputs, f)).unwrap()
        };
        [
            of(&[&x, &gamma, &beta, &addend], &|t| {
                Ok(batch_norm_with_epilogue(&t[0], &t[1], &t[2], 1e-5, Epilogue::AddRelu(&t[3]))?.0)
            }),
            of(&[&x], &|t| mean_pixel(&t[0])),
            of(&[&x, &weight], &|t| grouped_fc(&t[0], &t[1], 2)),
            of(&[&x], &|t| rearrange(&t[0], [c, h, w, m], [1, 3, 2, 0], x.shape())),
            of(&[&logits], &|t| cross_entropy(&t[0], &labels, 0.1)),
            of(&[&x, &weight, &of_pixel, &kernel, &gamma], &|t| {
                let same = ConvGeometry { stride: (1, 1), padding: (1, 1), dilation: (1, 1), groups: 2 };
                let branch = |map, weight, norm| NormedBranch { map, weight, gamma: norm, beta: norm, eps: 1e-5 };
                let fc = branch(LinearMap::GroupedFc { groups: 2 }, &t[1], &t[2]);
                Ok(normed_sum_with_epilogue(
                    &t[0],
                    &[fc, branch(LinearMap::Conv2d(same), &t[3], &t[4])],
                    Epilogue::Relu,
                )?
                .0)
            }),
        ]
    };
    let bits = |all: &[Tensor]| -> Vec<Vec<u32>> {
        let of = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
        all.iter().map(|t| of(t).unwrap().into_iter().map(f32::to_bits).collect()).collect()
    };
    for (one, three) in run(1).iter().zip(&run(3)) {
        assert!(bits(one) == bits(three));
    }
}
