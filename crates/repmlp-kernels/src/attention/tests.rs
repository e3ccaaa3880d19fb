//! The operation against candle's operations (forward and all gradients), against finite differences, with every
//! instruction set, and with several numbers of threads.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, proptest};

use super::operation::{Apart, Attention, OnMap};
use super::sizes::{Heads, RelativePositions, Sizes};
use super::{attention, attention_on_map, composite};
use crate::oracle_tests::{bound, difference_to, numbers, with_gradients};
use crate::simd::InstructionSet;

/// Sizes of queries, keys and values, and the number of heads.
#[derive(Clone, Debug)]
struct Case {
    heads: usize,
    d: usize,
    e: usize,
    map: (usize, usize),
    /// Number of keys. Attention on a map ignores it: there are as many keys as queries.
    keys: usize,
    images: usize,
    scale: f64,
    dtype: DType,
}

/// One pixel and many, images that fill vectors and that do not, channels that do not fill a tile.
fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1..4usize, 1..10usize, 1..10usize, (1..10usize, 1..10usize), 1..90usize);
    let images = proptest::prop_oneof![1..5usize, 12..35usize];
    (sizes, images, any::<bool>(), any::<bool>()).prop_map(|((heads, d, e, map, keys), images, scaled, double)| Case {
        heads,
        d,
        e,
        map,
        keys,
        images,
        scale: if scaled { 1.0 / (d as f64).sqrt() } else { 1.0 },
        dtype: if double { DType::F64 } else { DType::F32 },
    })
}

impl Case {
    fn of(&self) -> Heads {
        Heads { count: self.heads, scale: self.scale }
    }

    fn apart(&self) -> Result<Vec<Tensor>> {
        let (h, w) = self.map;
        let (d, e) = (self.heads * self.d, self.heads * self.e);
        Ok(vec![
            (numbers(&[d, h, w, self.images], 1, self.dtype)? * 2.0)?,
            numbers(&[d, self.keys, self.images], 2, self.dtype)?,
            numbers(&[e, self.keys, self.images], 3, self.dtype)?,
        ])
    }

    fn on_map(&self) -> Result<Vec<Tensor>> {
        let (h, w) = self.map;
        let channels = self.heads * (2 * self.d + self.e);
        Ok(vec![
            numbers(&[channels, h, w, self.images], 1, self.dtype)?,
            numbers(&[2 * h - 1, self.d], 2, self.dtype)?,
            numbers(&[2 * w - 1, self.d], 3, self.dtype)?,
        ])
    }
}

fn places(t: &[Tensor]) -> RelativePositions<'_> {
    RelativePositions { height: &t[1], width: &t[2] }
}

fn apart(t: &[Tensor], heads: Heads, set: InstructionSet) -> Result<Tensor> {
    let sizes = Sizes::apart([&t[0], &t[1], &t[2]], heads)?;
    let mut shape = t[0].dims().to_vec();
    shape[0] = heads.count * sizes.e;
    let mut op = Attention::new(sizes, shape.into(), [&t[0], &t[1], &t[2]]);
    op.set = set;
    t[0].apply_op3(&t[1], &t[2], Apart(op))
}

fn apart_composite(t: &[Tensor], heads: Heads) -> Result<Tensor> {
    let sizes = Sizes::apart([&t[0], &t[1], &t[2]], heads)?;
    let mut shape = t[0].dims().to_vec();
    shape[0] = heads.count * sizes.e;
    composite::attention([&t[0], &t[1], &t[2]], &sizes)?.reshape(shape)
}

fn on_map(t: &[Tensor], heads: Heads, set: InstructionSet) -> Result<Tensor> {
    let sizes = Sizes::on_map(&t[0], heads, places(t))?;
    let (_, h, w, n) = t[0].dims4()?;
    let mut op = Attention::new(sizes, (heads.count * sizes.e, h, w, n).into(), [&t[0], &t[1], &t[2]]);
    op.set = set;
    t[0].apply_op3(&t[1], &t[2], OnMap(op))
}

fn on_map_composite(t: &[Tensor], heads: Heads) -> Result<Tensor> {
    composite::on_map(&t[0], places(t), &Sizes::on_map(&t[0], heads, places(t))?)
}

/// Returns the largest difference of a result and its gradients. Each is relative to its largest number or to `size`,
/// whichever is larger. Below `size`, a gradient is a remainder of numbers of size 1 that cancel: the gradients of the
/// products are weights times differences from a mean.
fn worst(actual: &[Tensor], expected: &[Tensor], size: f64) -> Result<f64> {
    let mut worst: f64 = 0.0;
    for (actual, expected) in actual.iter().zip(expected) {
        worst = worst.max(difference_to(actual, expected, size)?);
    }
    Ok(worst)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn attention_equals_its_composite_with_every_set(case in cases()) {
        let inputs = case.apart().unwrap();
        let expected = with_gradients(&inputs, |t| apart_composite(t, case.of())).unwrap();
        for set in InstructionSet::all() {
            let actual = with_gradients(&inputs, |t| apart(t, case.of(), set)).unwrap();
            let worst = worst(&actual, &expected, 0.1).unwrap();
            prop_assert!(worst < bound(case.dtype), "{set:?}: {worst:e}");
        }
    }

    #[test]
    fn attention_on_a_map_equals_its_composite_with_every_set(case in cases()) {
        let inputs = case.on_map().unwrap();
        let expected = with_gradients(&inputs, |t| on_map_composite(t, case.of())).unwrap();
        for set in InstructionSet::all() {
            let actual = with_gradients(&inputs, |t| on_map(t, case.of(), set)).unwrap();
            let worst = worst(&actual, &expected, 0.1).unwrap();
            prop_assert!(worst < bound(case.dtype), "{set:?}: {worst:e}");
        }
    }
}

/// Products up to ±80 and beyond. A single key takes nearly all of a query's weight.
#[test]
fn large_products_neither_overflow_nor_vanish() {
    for (dtype, set) in InstructionSet::all().into_iter().flat_map(|set| [(DType::F32, set), (DType::F64, set)]) {
        let case = Case { heads: 2, d: 4, e: 5, map: (5, 5), keys: 25, images: 17, scale: 1.0, dtype };
        let mut inputs = case.apart().unwrap();
        // Sums over 4 channels of numbers up to 2 times numbers up to 1, enlarged by 10: products of at most about ±80.
        inputs[0] = (&inputs[0] * 10.0).unwrap();
        let actual = with_gradients(&inputs, |t| apart(t, case.of(), set)).unwrap();
        let expected = with_gradients(&inputs, |t| apart_composite(t, case.of())).unwrap();
        // In f32, a product of 80 is rounded several times by 80 · 2⁻²⁴ = 5e-6. The relative errors of the weights are
        // as large.
        let worst = worst(&actual, &expected, 0.1).unwrap();
        assert!(worst < 20.0 * bound(dtype), "{set:?}: {worst:e}");
        // A thousand times larger: weights are exactly 0 or 1, and all gradients are finite.
        inputs[0] = (&inputs[0] * 1000.0).unwrap();
        for tensor in with_gradients(&inputs, |t| apart(t, case.of(), set)).unwrap() {
            let largest: f64 = tensor
                .abs()
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_dtype(DType::F64)
                .unwrap()
                .max(0)
                .unwrap()
                .to_scalar()
                .unwrap();
            assert!(largest.is_finite());
        }
    }
}

#[test]
fn nan_stays_nan() {
    for set in InstructionSet::all() {
        for images in [1, 16] {
            let case = Case { heads: 1, d: 2, e: 2, map: (2, 3), keys: 6, images, scale: 1.0, dtype: DType::F32 };
            let mut inputs = case.apart().unwrap();
            inputs[0] = (&inputs[0] * f64::NAN).unwrap();
            let y = apart(&inputs, case.of(), set).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(y.iter().all(|y| y.is_nan()), "{set:?}: {y:?}");
        }
    }
}

/// Central differences of the loss Σ output · weights in f64, for some numbers of every input.
#[test]
fn gradients_match_finite_differences() {
    const STEP: f64 = 1e-6;
    let case = Case { heads: 2, d: 3, e: 5, map: (3, 4), keys: 12, images: 9, scale: 0.7, dtype: DType::F64 };
    let set = InstructionSet::get();
    type Form<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;
    let (of_apart, of_map) = (|t: &[Tensor]| apart(t, case.of(), set), |t: &[Tensor]| on_map(t, case.of(), set));
    for (inputs, form) in
        [(case.apart().unwrap(), &of_apart as Form<'_>), (case.on_map().unwrap(), &of_map as Form<'_>)]
    {
        let loss = |inputs: &[Tensor]| -> f64 {
            let y = form(inputs).unwrap();
            let weights = numbers(y.dims(), 99, DType::F64).unwrap();
            (y * weights).unwrap().sum_all().unwrap().to_scalar().unwrap()
        };
        let gradients = with_gradients(&inputs, form).unwrap();
        for (i, input) in inputs.iter().enumerate() {
            let gradient = gradients[i + 1].flatten_all().unwrap().to_vec1::<f64>().unwrap();
            for place in (0..gradient.len()).step_by(gradient.len() / 13 + 1) {
                let moved = |by: f64| {
                    let mut values = input.flatten_all().unwrap().to_vec1::<f64>().unwrap();
                    values[place] += by;
                    let mut inputs = inputs.clone();
                    inputs[i] = Tensor::from_vec(values, input.shape(), input.device()).unwrap();
                    loss(&inputs)
                };
                let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
                // The loss is about 10 and is rounded by 1e-15. Division by the step makes this 1e-9. The third
                // derivative adds 1e-12.
                assert!(
                    (difference - gradient[place]).abs() < 1e-7,
                    "{i}, {place}: {difference} and {}",
                    gradient[place]
                );
            }
        }
    }
}

#[test]
fn nothing_depends_on_the_number_of_threads() {
    // Images that fill vectors and that do not; a single unit with split queries, and more units than tasks are needed.
    for (heads, map, images) in [(1, (15, 14), 16), (3, (15, 14), 2), (4, (5, 6), 40), (1, (31, 30), 1)] {
        let case = Case { heads, d: 5, e: 6, map, keys: 77, images, scale: 0.5, dtype: DType::F32 };
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let apart =
                    with_gradients(&case.apart().unwrap(), |t| attention(&t[0], &t[1], &t[2], case.of())).unwrap();
                let on_map =
                    with_gradients(&case.on_map().unwrap(), |t| attention_on_map(&t[0], case.of(), places(t))).unwrap();
                let bits = |t: &Tensor| -> Vec<u32> {
                    t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
                };
                apart.iter().chain(&on_map).map(bits).collect::<Vec<_>>()
            })
        };
        assert!(run(1) == run(3), "{case:?}");
    }
}

#[test]
fn a_second_backward_pass_gives_the_same() {
    let case = Case { heads: 2, d: 3, e: 4, map: (3, 3), keys: 9, images: 16, scale: 1.0, dtype: DType::F32 };
    let vars: Vec<Var> = case.on_map().unwrap().iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let loss = attention_on_map(&tensors[0], case.of(), places(&tensors)).unwrap().sqr().unwrap().sum_all().unwrap();
    let (first, second) = (loss.backward().unwrap(), loss.backward().unwrap());
    for t in &tensors {
        let numbers = |grads: &GradStore| grads.get(t).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(numbers(&first), numbers(&second));
    }
}

/// One head, one channel, one image, a map of one row and two columns, s = 1.
#[test]
fn attention_worked_out_by_hand() {
    // q = (0, 1), k = (0, ln 3), v = (8, 16). Query 0 weights both keys equally: (8 + 16)/2 = 12. Query 1 has weights
    // 1/4 and 3/4: 2 + 12 = 14.
    let of = |numbers: [f64; 2]| Tensor::new(&numbers, &Device::Cpu).unwrap().reshape((1, 1, 2, 1)).unwrap();
    let heads = Heads { count: 1, scale: 1.0 };
    let y = attention(&of([0.0, 1.0]), &of([0.0, 3f64.ln()]), &of([8.0, 16.0]), heads).unwrap();
    let y = y.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert!((y[0] - 12.0).abs() < 1e-14 && (y[1] - 14.0).abs() < 1e-14, "{y:?}");
    // On the map with k = 0 and q = 1, only distances count. The distances from −1 to 1 score 0, ln 3 and 0, so each
    // query gives itself 3/4: 6 + 4 = 10 and 2 + 12 = 14.
    let qkv = Tensor::new(&[1.0, 1.0, 0.0, 0.0, 8.0, 16.0], &Device::Cpu).unwrap().reshape((3, 1, 2, 1)).unwrap();
    let width = Tensor::new(&[0.0, 3f64.ln(), 0.0], &Device::Cpu).unwrap().reshape((3, 1)).unwrap();
    let height = Tensor::new(&[7.0], &Device::Cpu).unwrap().reshape((1, 1)).unwrap();
    let y = attention_on_map(&qkv, heads, RelativePositions { height: &height, width: &width }).unwrap();
    let y = y.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert!((y[0] - 10.0).abs() < 1e-14 && (y[1] - 14.0).abs() < 1e-14, "{y:?}");
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    let said = |q: &[usize], k: &[usize], v: &[usize], count| {
        attention(&zeros(q), &zeros(k), &zeros(v), Heads { count, scale: 1.0 }).unwrap_err().to_string()
    };
    assert!(said(&[4, 3, 2], &[4, 5, 2], &[6, 4, 2], 2).contains("do not fit"));
    assert!(said(&[4, 3, 2], &[2, 5, 2], &[6, 5, 2], 2).contains("do not fit"));
    assert!(said(&[4, 3, 2], &[4, 5, 3], &[6, 5, 3], 2).contains("do not fit"));
    assert!(said(&[4, 3, 2], &[4, 5, 2], &[5, 5, 2], 2).contains("2 heads do not divide 5"));
    assert!(said(&[4, 3, 2], &[4, 5, 2], &[6, 5, 2], 0).contains("0 heads"));
    assert!(said(&[4, 0, 2], &[4, 5, 2], &[6, 5, 2], 2).contains("without empty dimensions"));
    assert!(said(&[4], &[4, 5, 2], &[6, 5, 2], 2).contains("(C, …, N)"));
    let on_map = |qkv: &[usize], height: &[usize], width: &[usize]| {
        let (height, width) = (zeros(height), zeros(width));
        let positions = RelativePositions { height: &height, width: &width };
        attention_on_map(&zeros(qkv), Heads { count: 2, scale: 1.0 }, positions).unwrap_err().to_string()
    };
    assert!(on_map(&[14, 2, 3, 4], &[3, 2], &[4, 2]).contains("2×3 map"));
    assert!(on_map(&[14, 2, 3, 4], &[3, 2], &[5, 3]).contains("2×3 map"));
    assert!(on_map(&[13, 2, 3, 4], &[3, 2], &[5, 2]).contains("2 heads with 2 channels"));
    assert!(on_map(&[8, 2, 3, 4], &[3, 2], &[5, 2]).contains("2 heads with 2 channels"));
}
