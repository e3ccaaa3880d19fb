//! Convolution against its composites, against numbers worked out by hand, and against itself with more threads.

use candle_core::{DType, Device, Result, Tensor, WithDType};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_oneof, proptest};

use crate::conv::oracles::{by_candle, by_taps};
use crate::conv::{
    Conv, ConvGeometry, ConvSizes, Way, backward_x, by_columns, conv2d, conv2d_with_epilogue, direct, direct_weight,
    grouped_fc, grouped_fc_with_epilogue, subsampled, winograd,
};
use crate::conv_to_fc;
use crate::oracle_tests::{agree, bound, difference, kind, numbers, with_gradients};
use crate::simd::{InstructionSet, Number};

const PLAIN: ConvGeometry = ConvGeometry { stride: (1, 1), padding: (0, 0), dilation: (1, 1), groups: 1 };

#[derive(Clone, Debug)]
struct Case {
    x: [usize; 4],
    weight: [usize; 4],
    geometry: ConvGeometry,
    dtype: DType,
}

impl Case {
    fn inputs(&self) -> Result<[Tensor; 2]> {
        Ok([numbers(&self.x, 1, self.dtype)?, numbers(&self.weight, 2, self.dtype)?])
    }
}

/// Returns the difference between a deployed convolution with epilogue number `what` and its composite.
fn deployed_difference(case: &Case, what: usize) -> Result<f64> {
    let sizes = ConvSizes::new(&case.x, &case.weight, case.geometry)?;
    let [x, weight] = case.inputs()?;
    let bias = numbers(&case.weight[..1], 3, case.dtype)?;
    let conv = Conv { sizes, output: sizes.output_dims().into() };
    let addend = numbers(conv.output.dims(), 4, case.dtype)?;
    let epilogue = kind(what, Some(&addend));
    let actual = conv2d_with_epilogue(&x, &weight, &bias, case.geometry, epilogue)?;
    difference(&actual, &conv.composite_with_epilogue(&x, (&weight, &bias), epilogue)?)
}

/// Groups, and channels of a group (inputs, outputs): few of each, many channels of few groups, or depthwise.
fn channels() -> impl Strategy<Value = (usize, usize, usize)> {
    prop_oneof![
        (1..4usize, 1..5usize, 1..6usize),
        (1..3usize, 1..40usize, 1..20usize),
        (2..20usize, Just(1), 1..3usize)
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let pair = |range: std::ops::Range<usize>| (range.clone(), range);
    (channels(), (1..10usize, 1..10usize), 1..20usize, pair(1..10), pair(1..4), pair(1..4), pair(0..6), any::<bool>())
        .prop_filter_map("the kernel fits", |((g, c, o), map, n, k, stride, dilation, padding, double)| {
            let geometry = ConvGeometry { stride, padding, dilation, groups: g };
            let (x, weight) = ([g * c, map.0, map.1, n], [g * o, c, k.0, k.1]);
            ConvSizes::new(&x, &weight, geometry).ok()?;
            Some(Case { x, weight, geometry, dtype: if double { DType::F64 } else { DType::F32 } })
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn conv2d_equals_a_product_for_each_tap(case in cases()) {
        let sizes = ConvSizes::new(&case.x, &case.weight, case.geometry).unwrap();
        let inputs = case.inputs().unwrap();
        let worst =
            agree(&inputs, |t| conv2d(&t[0], &t[1], case.geometry), |t| by_taps(&t[0], &t[1], &sizes)).unwrap();
        prop_assert!(worst < bound(case.dtype), "{worst}");
    }

    #[test]
    fn the_form_for_gpus_equals_a_product_for_each_tap(case in cases()) {
        let sizes = ConvSizes::new(&case.x, &case.weight, case.geometry).unwrap();
        let inputs = case.inputs().unwrap();
        let conv = Conv { sizes, output: sizes.output_dims().into() };
        let worst = agree(&inputs, |t| conv.composite(&t[0], &t[1]), |t| by_taps(&t[0], &t[1], &sizes)).unwrap();
        prop_assert!(worst < bound(case.dtype), "{worst}");
    }

    #[test]
    fn a_deployed_convolution_equals_its_composite(case in cases(), what in 0..4usize) {
        prop_assert!(deployed_difference(&case, what).unwrap() < bound(case.dtype));
    }

    #[test]
    fn conv2d_equals_candles(case in cases()) {
        let square = |pair: (usize, usize)| (pair.0, pair.0);
        let geometry = ConvGeometry {
            stride: square(case.geometry.stride),
            dilation: square(case.geometry.dilation),
            ..case.geometry
        };
        let Ok(sizes) = ConvSizes::new(&case.x, &case.weight, geometry) else { return Ok(()) };
        let inputs = case.inputs().unwrap();
        let worst = agree(&inputs, |t| conv2d(&t[0], &t[1], geometry), |t| by_candle(&t[0], &t[1], &sizes)).unwrap();
        prop_assert!(worst < bound(case.dtype), "{worst}");
    }
}

/// Forward, gradient of x, the same added to x, gradient of the weight.
type Passes = [Vec<f64>; 4];

fn passes<T: Number>(case: &Case, of: impl Fn(&ConvSizes, &[T], &[T], &[T]) -> [Vec<T>; 4]) -> Passes {
    let sizes = ConvSizes::new(&case.x, &case.weight, case.geometry).unwrap();
    let numbers = |shape: &[usize], seed| -> Vec<T> {
        numbers(shape, seed, T::DTYPE).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let (o, h, w, n) = sizes.output_dims();
    of(&sizes, &numbers(&case.x, 1), &numbers(&case.weight, 2), &numbers(&[o, h, w, n], 3))
        .map(|numbers| numbers.into_iter().map(WithDType::to_f64).collect())
}

fn by_columns<T: Number>(case: &Case, set: InstructionSet) -> Passes {
    passes::<T>(case, |sizes, x, weight, dy| {
        [
            by_columns::forward(set, x, weight, sizes, None).unwrap(),
            by_columns::backward_x(set, dy, weight, sizes, None).unwrap(),
            by_columns::backward_x(set, dy, weight, sizes, Some(x.to_vec())).unwrap(),
            by_columns::backward_weight(set, x, dy, sizes).unwrap(),
        ]
    })
}

fn directly<T: Number>(case: &Case, set: InstructionSet) -> Passes {
    passes::<T>(case, |sizes, x, weight, dy| {
        [
            direct::forward(set, x, weight, sizes, None).unwrap(),
            direct::backward_x(set, dy, weight, sizes, None).unwrap(),
            direct::backward_x(set, dy, weight, sizes, Some(x.to_vec())).unwrap(),
            direct_weight::backward_weight(set, x, dy, sizes).unwrap(),
        ]
    })
}

fn by_tiles<T: Number>(case: &Case, set: InstructionSet) -> Passes {
    passes::<T>(case, |sizes, x, weight, dy| {
        [
            winograd::forward(set, x, weight, sizes, None).unwrap(),
            winograd::backward_x(set, dy, weight, sizes, None).unwrap(),
            winograd::backward_x(set, dy, weight, sizes, Some(x.to_vec())).unwrap(),
            winograd::backward_weight(set, x, dy, sizes).unwrap(),
        ]
    })
}

fn worst(actual: &Passes, expected: &Passes) -> f64 {
    let of = |(a, e): (&Vec<f64>, &Vec<f64>)| {
        assert_eq!(a.len(), e.len());
        let largest = e.iter().fold(1e-6, |most: f64, e| most.max(e.abs()));
        a.iter().zip(e).fold(0.0, |most: f64, (a, e)| most.max((a - e).abs() / largest))
    };
    actual.iter().zip(expected).map(of).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Any number of images, even where another way would be chosen.
    #[test]
    fn every_instruction_set_gives_what_columns_give(case in cases()) {
        for set in InstructionSet::all() {
            let single = worst(&directly::<f32>(&case, set), &by_columns::<f32>(&case, set));
            prop_assert!(single < bound(DType::F32), "{set:?}: {single}");
            let double = worst(&directly::<f64>(&case, set), &by_columns::<f64>(&case, set));
            prop_assert!(double < bound(DType::F64), "{set:?}: {double}");
        }
    }
}

fn subsampled<T: Number>(case: &Case, set: InstructionSet) -> Passes {
    passes::<T>(case, |sizes, x, weight, dy| {
        [
            subsampled::forward(set, x, weight, sizes, None).unwrap(),
            subsampled::backward_x(set, dy, weight, sizes, None).unwrap(),
            subsampled::backward_x(set, dy, weight, sizes, Some(x.to_vec())).unwrap(),
            subsampled::backward_weight(set, x, dy, sizes).unwrap(),
        ]
    })
}

/// 1×1 convolutions with a stride.
fn strided() -> impl Strategy<Value = Case> {
    let sizes = (channels(), (1..9usize, 1..9usize), 1..20usize, (1..4usize, 1..4usize), any::<bool>());
    sizes.prop_filter_map("pixels are left out", |((g, c, o), map, n, stride, double)| {
        let geometry = ConvGeometry { stride, groups: g, ..PLAIN };
        let (x, weight) = ([g * c, map.0, map.1, n], [g * o, c, 1, 1]);
        ConvSizes::new(&x, &weight, geometry).ok().filter(ConvSizes::is_subsampled)?;
        Some(Case { x, weight, geometry, dtype: if double { DType::F64 } else { DType::F32 } })
    })
}

proptest! {
    #[test]
    fn pixels_selected_by_a_stride_give_what_columns_give(case in strided()) {
        let set = InstructionSet::get();
        let single = worst(&subsampled::<f32>(&case, set), &by_columns::<f32>(&case, set));
        prop_assert!(single < bound(DType::F32), "{single}");
        let double = worst(&subsampled::<f64>(&case, set), &by_columns::<f64>(&case, set));
        prop_assert!(double < bound(DType::F64), "{double}");
    }

    #[test]
    fn a_deployed_convolution_with_a_stride_equals_its_composite(case in strided(), what in 0..4usize) {
        prop_assert!(deployed_difference(&case, what).unwrap() < bound(case.dtype));
    }
}

/// The channels of a tile exceed the numbers of a block.
#[test]
fn tiles_of_very_many_channels_are_taken_one_by_one() {
    let geometry = ConvGeometry { padding: (1, 1), ..PLAIN };
    let case = Case { x: [33_000, 2, 3, 1], weight: [1, 33_000, 3, 3], geometry, dtype: DType::F64 };
    let set = InstructionSet::get();
    assert!(worst(&by_tiles::<f64>(&case, set), &by_columns::<f64>(&case, set)) < bound(DType::F64));
}

/// Convolutions that can use Winograd's tiles.
fn tiled() -> impl Strategy<Value = Case> {
    let sizes = (channels(), (1..12usize, 1..12usize), 1..20usize, (0..3usize, 0..3usize));
    sizes.prop_filter_map("the kernel fits", |((g, c, o), map, n, padding)| {
        let geometry = ConvGeometry { padding, groups: g, ..PLAIN };
        let (x, weight) = ([g * c, map.0, map.1, n], [g * o, c, 3, 3]);
        ConvSizes::new(&x, &weight, geometry).ok().filter(ConvSizes::has_tiles)?;
        Some(Case { x, weight, geometry, dtype: DType::F32 })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn tiles_give_what_columns_give(case in tiled()) {
        for set in InstructionSet::all() {
            let single = worst(&by_tiles::<f32>(&case, set), &by_columns::<f32>(&case, set));
            prop_assert!(single < bound(DType::F32), "{set:?}: {single}");
            let double = worst(&by_tiles::<f64>(&case, set), &by_columns::<f64>(&case, set));
            prop_assert!(double < bound(DType::F64), "{set:?}: {double}");
        }
    }
}

/// Rows that read nothing, with more images than a tile has rows. Random cases rarely have such maps.
#[test]
fn rows_that_read_nothing_are_written() {
    let unseen_input = ConvGeometry { stride: (2, 2), ..PLAIN };
    let past_the_map = ConvGeometry { padding: (1, 0), dilation: (2, 1), ..PLAIN };
    for (x, weight, geometry) in [
        ([64, 4, 66, 17], [64, 64, 3, 3], unseen_input),
        ([16, 1, 1, 17], [16, 16, 2, 1], past_the_map),
        ([16, 1, 1, 9], [16, 16, 2, 1], past_the_map),
    ] {
        let case = Case { x, weight, geometry, dtype: DType::F32 };
        for set in InstructionSet::all() {
            assert!(worst(&directly::<f32>(&case, set), &by_columns::<f32>(&case, set)) < bound(DType::F32), "{set:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_gradient_is_added_to_an_existing_one(case in cases()) {
        let sizes = ConvSizes::new(&case.x, &case.weight, case.geometry).unwrap();
        let flat = |shape: &[usize], seed| -> Vec<f64> {
            numbers(shape, seed, DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
        };
        let (o, h, w, n) = sizes.output_dims();
        let (weight, dy, there) = (flat(&case.weight, 2), flat(&[o, h, w, n], 3), flat(&case.x, 4));
        let alone = backward_x(&dy, &weight, &sizes, None).unwrap();
        let sum = backward_x(&dy, &weight, &sizes, Some(there.clone())).unwrap();
        let largest = alone.iter().fold(1.0, |most: f64, dx| most.max(dx.abs()));
        for ((sum, alone), there) in sum.iter().zip(&alone).zip(&there) {
            prop_assert!((sum - alone - there).abs() < bound(DType::F64) * largest);
        }
        prop_assert!(backward_x(&dy, &weight, &sizes, Some(there[1..].to_vec())).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_fc_layer_with_groups_is_a_product_for_each_group(
        (g, c, o) in channels(),
        map in (1..4usize, 1..4usize),
        m in 1..40usize,
        what in 0..4usize,
        double in any::<bool>(),
    ) {
        let dtype = if double { DType::F64 } else { DType::F32 };
        let (h, w) = map;
        let inputs =
            [numbers(&[g * c, h, w, m], 1, dtype).unwrap(), numbers(&[g * o * h * w, c * h * w], 2, dtype).unwrap()];
        let products = |t: &[Tensor]| {
            let weight = t[1].reshape((g, o * h * w, c * h * w))?;
            weight.matmul(&t[0].reshape((g, c * h * w, m))?)?.reshape((g * o, h, w, m))
        };
        let worst = agree(&inputs, |t| grouped_fc(&t[0], &t[1], g), products).unwrap();
        prop_assert!(worst < bound(dtype), "{worst}");
        let bias = numbers(&[g * o * h * w], 3, dtype).unwrap();
        let addend = numbers(&[g * o, h, w, m], 4, dtype).unwrap();
        let epilogue = kind(what, Some(&addend));
        let actual = grouped_fc_with_epilogue(&inputs[0], &inputs[1], &bias, g, epilogue).unwrap();
        let y = products(&inputs).unwrap().broadcast_add(&bias.reshape((g * o, h, w, 1)).unwrap()).unwrap();
        prop_assert!(difference(&actual, &epilogue.after(&y).unwrap()).unwrap() < bound(dtype));
    }
}

#[test]
fn a_local_convolution_equals_its_fc_kernel() {
    let (c, o, g, h, w, m) = (6, 10, 2, 5, 4, 12);
    let x = numbers(&[c, h, w, m], 1, DType::F64).unwrap();
    let weight = numbers(&[o, c / g, 5, 3], 2, DType::F64).unwrap();
    let fc = |t: &[Tensor]| {
        let fc = conv_to_fc(&t[1], (h, w))?.reshape((g, o / g * h * w, c / g * h * w))?;
        fc.matmul(&t[0].reshape((g, c / g * h * w, m))?)?.reshape((o, h, w, m))
    };
    let geometry = ConvGeometry { stride: (1, 1), padding: (2, 1), dilation: (1, 1), groups: g };
    let worst = agree(&[x, weight], |t| conv2d(&t[0], &t[1], geometry), fc).unwrap();
    assert!(worst < bound(DType::F64), "{worst}");
}

/// Large enough for several tiles, chunks of channels and parts of a sum.
#[test]
fn several_tiles_give_the_same_and_no_bit_depends_on_the_threads() {
    let same = |groups, kernel: (usize, usize)| ConvGeometry { padding: (kernel.0 / 2, kernel.1 / 2), groups, ..PLAIN };
    let rows_apart = ConvGeometry { stride: (2, 1), padding: (1, 1), ..PLAIN };
    let beyond_the_map = ConvGeometry { padding: (2, 1), ..PLAIN };
    for (x, weight, geometry) in [
        ([24, 17, 19, 20], [8, 24, 3, 3], same(1, (3, 3))),
        ([48, 23, 9, 60], [20, 24, 1, 1], same(2, (1, 1))),
        ([6, 25, 27, 33], [12, 1, 5, 3], same(6, (5, 3))),
        ([30, 7, 8, 300], [26, 15, 5, 7], same(2, (5, 7))),
        ([24, 17, 19, 5], [8, 24, 3, 3], same(1, (3, 3))),
        ([6, 25, 27, 7], [12, 1, 5, 3], same(6, (5, 3))),
        // Rows too long to be summed in place: bands of one row, the last images alone, rows apart, and bands of
        // padding.
        ([30, 9, 70, 33], [26, 30, 3, 3], same(1, (3, 3))),
        ([30, 9, 70, 33], [26, 30, 3, 3], rows_apart),
        ([30, 5, 70, 33], [8, 30, 1, 3], beyond_the_map),
        // Enough channels for Winograd: several blocks of tiles, and groups.
        ([40, 9, 15, 9], [33, 40, 3, 3], same(1, (3, 3))),
        ([66, 7, 6, 21], [64, 33, 3, 3], same(2, (3, 3))),
        ([32, 5, 6, 130], [32, 32, 3, 3], ConvGeometry { padding: (2, 0), ..PLAIN }),
        // A 1×1 kernel with a stride along one axis and along both, with groups.
        ([24, 9, 8, 9], [20, 12, 1, 1], ConvGeometry { stride: (2, 3), groups: 2, ..PLAIN }),
        ([5, 6, 7, 2], [4, 5, 1, 1], ConvGeometry { stride: (1, 2), ..PLAIN }),
        // Enough channels to be split, forward and backward.
        ([520, 3, 5, 20], [600, 260, 1, 1], same(2, (1, 1))),
    ] {
        let sizes = ConvSizes::new(&x, &weight, geometry).unwrap();
        let inputs = [numbers(&x, 1, DType::F32).unwrap(), numbers(&weight, 2, DType::F32).unwrap()];
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| with_gradients(&inputs, |t| conv2d(&t[0], &t[1], geometry))).unwrap()
        };
        let bits = |all: &[Tensor]| -> Vec<Vec<u32>> {
            let of = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
            all.iter().map(|t| of(t).unwrap().into_iter().map(f32::to_bits).collect()).collect()
        };
        assert!(bits(&run(1)) == bits(&run(3)), "{x:?} {weight:?}");
        let worst = agree(&inputs, |t| conv2d(&t[0], &t[1], geometry), |t| by_taps(&t[0], &t[1], &sizes)).unwrap();
        assert!(worst < bound(DType::F32), "{x:?} {weight:?}: {worst}");
    }
}

#[test]
fn tiles_apply_the_epilogue() {
    let geometry = ConvGeometry { padding: (1, 1), ..PLAIN };
    let case = Case { x: [40, 6, 7, 9], weight: [33, 40, 3, 3], geometry, dtype: DType::F32 };
    assert_eq!(ConvSizes::new(&case.x, &case.weight, geometry).unwrap().way(), Way::Winograd);
    for what in 0..4 {
        assert!(deployed_difference(&case, what).unwrap() < bound(DType::F32), "{what}");
    }
}

#[test]
fn a_convolution_worked_out_by_hand() {
    // One channel of 2×3, one image, kernel 2×2, stride (1, 2), padding (0, 1), dilation (1, 1):
    //   0 1 2 3 0      columns start at 0 and 2 of the padded map
    //   0 4 5 6 0
    // 0·10 + 1·20 + 0·30 + 4·40 = 180;  2·10 + 3·20 + 5·30 + 6·40 = 470.
    let x = Tensor::new(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0], &Device::Cpu).unwrap().reshape((1, 2, 3, 1)).unwrap();
    let weight = Tensor::new(&[10f32, 20.0, 30.0, 40.0], &Device::Cpu).unwrap().reshape((1, 1, 2, 2)).unwrap();
    let y = conv2d(&x, &weight, ConvGeometry { stride: (1, 2), padding: (0, 1), ..PLAIN }).unwrap();
    assert_eq!(y.dims(), [1, 1, 2, 1]);
    assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [180.0, 470.0]);
    // Dilation 2 along the width: taps at 0 and 2 of 1 2 3, so 1·10 + 3·20 + 4·30 + 6·40 = 430.
    let y = conv2d(&x, &weight, ConvGeometry { dilation: (1, 2), ..PLAIN }).unwrap();
    assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [430.0]);
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    let fails = |x: &[usize], weight: &[usize], geometry| {
        conv2d(&zeros(x), &zeros(weight), geometry).err().unwrap().to_string()
    };
    let x = [4, 5, 6, 2];
    assert!(fails(&x, &[4, 4, 7, 3], PLAIN).contains("more padding"));
    assert!(fails(&x, &[4, 3, 3, 3], PLAIN).contains("a group has 4"));
    assert!(fails(&x, &[4, 1, 3, 3], ConvGeometry { groups: 3, ..PLAIN }).contains("divide"));
    assert!(fails(&x, &[3, 2, 3, 3], ConvGeometry { groups: 2, ..PLAIN }).contains("divide"));
    assert!(fails(&x, &[4, 4, 3, 3], ConvGeometry { groups: 0, ..PLAIN }).contains("divide"));
    assert!(fails(&x, &[4, 4, 3, 3], ConvGeometry { stride: (0, 1), ..PLAIN }).contains("only the padding may be 0"));
    assert!(fails(&x, &[4, 4, 3, 3], ConvGeometry { dilation: (1, 0), ..PLAIN }).contains("only the padding may be 0"));
    assert!(fails(&x, &[4, 4, 0, 3], PLAIN).contains("only the padding may be 0"));
    assert!(fails(&[4, 5, 6, 0], &[4, 4, 3, 3], PLAIN).contains("empty"));
    assert!(fails(&[4, 5, 6], &[4, 4, 3, 3], PLAIN).contains("(C, H, W, N)"));
    let double = zeros(&[4, 4, 3, 3]).to_dtype(DType::F64).unwrap();
    assert!(conv2d(&zeros(&x), &double, PLAIN).is_err());
}
