//! The operation against candle's operations (forward and all gradients), and against its own parts.

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assume, proptest};

use super::operation::by_parts;
use super::{LinearMap, NormedBranch, composite, normed_sum_with_epilogue};
use crate::backward::backward;
use crate::batch_norm;
use crate::conv::ConvGeometry;
use crate::epilogue::Epilogue;
use crate::oracle_tests::{bound, clear_of_the_kink, difference_to, numbers, with_gradients};

const EPS: f64 = 1e-5;

/// The branches of a RepMLP block, or a single convolution. Each output reads at least two inputs. With a single
/// weight, the norm would undo the weight's effect, and its gradient would be only rounding errors.
#[derive(Clone, Debug)]
struct Case {
    x: [usize; 4],
    outputs: usize,
    groups: usize,
    fc: bool,
    kernels: Vec<usize>,
    dtype: DType,
}

fn cases() -> impl Strategy<Value = Case> {
    let channels = (1..4usize).prop_flat_map(|groups| (Just(groups), 2..5usize, 1..8usize));
    let kernels = proptest::collection::vec((0..4usize).prop_map(|half| 2 * half + 1), 0..4);
    (channels, (1..6usize, 1..6usize), 8..40usize, any::<bool>(), kernels, any::<bool>())
        .prop_filter("a branch", |(_, _, _, fc, kernels, _)| *fc || !kernels.is_empty())
        .prop_map(|((groups, c, o), map, images, fc, kernels, double)| Case {
            x: [groups * c, map.0, map.1, images],
            outputs: groups * o,
            groups,
            fc,
            kernels,
            dtype: if double { DType::F64 } else { DType::F32 },
        })
}

impl Case {
    fn pixels(&self) -> usize {
        self.x[1] * self.x[2]
    }

    fn maps(&self) -> Vec<LinearMap> {
        let fc = self.fc.then_some(LinearMap::GroupedFc { groups: self.groups });
        let conv = |&k: &usize| {
            LinearMap::Conv2d(ConvGeometry {
                stride: (1, 1),
                padding: (k / 2, k / 2),
                dilation: (1, 1),
                groups: self.groups,
            })
        };
        fc.into_iter().chain(self.kernels.iter().map(conv)).collect()
    }

    /// Returns x, then weight, γ and β of each branch.
    fn inputs(&self) -> Result<Vec<Tensor>> {
        let inputs = self.x[0] / self.groups;
        let mut all = vec![(numbers(&self.x, 1, self.dtype)? + 0.3)?];
        let (rows, columns) = (self.outputs * self.pixels(), inputs * self.pixels());
        let fc = self.fc.then(|| (vec![rows, columns], rows));
        let convs = self.kernels.iter().map(|&k| (vec![self.outputs, inputs, k, k], self.outputs));
        for (i, (weight, rows)) in fc.into_iter().chain(convs).enumerate() {
            let seed = 10 * i as u64;
            all.push(numbers(&weight, seed + 2, self.dtype)?);
            all.push((numbers(&[rows], seed + 3, self.dtype)? + 1.5)?);
            all.push(numbers(&[rows], seed + 4, self.dtype)?);
        }
        Ok(all)
    }

    fn branches<'a>(&self, inputs: &'a [Tensor]) -> Vec<NormedBranch<'a>> {
        let branch = |(map, parts): (LinearMap, &'a [Tensor])| NormedBranch {
            map,
            weight: &parts[0],
            gamma: &parts[1],
            beta: &parts[2],
            eps: EPS,
        };
        self.maps().into_iter().zip(inputs[1..].chunks(3)).map(branch).collect()
    }

    /// Computes the sum with candle's operations alone.
    fn composite(&self, inputs: &[Tensor], epilogue: Epilogue<'_>) -> Result<Tensor> {
        let x = &inputs[0];
        let mut sum: Option<Tensor> = None;
        for branch in self.branches(inputs) {
            let z = branch.map.conv(x, branch.weight)?.composite(x, branch.weight)?;
            let y = batch_norm::composite(&z, branch.gamma, branch.beta, EPS, Epilogue::None)?.0;
            sum = Some(match sum {
                Some(sum) => (sum + y)?,
                None => y,
            });
        }
        epilogue.after(&sum.expect("a branch"))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_normed_sum_equals_its_composite(case in cases(), end in any::<bool>()) {
        let epilogue = if end { Epilogue::Relu } else { Epilogue::None };
        let inputs = case.inputs().unwrap();
        prop_assume!(!end || clear_of_the_kink(&case.composite(&inputs, Epilogue::None).unwrap()).unwrap());
        let actual =
            with_gradients(&inputs, |t| Ok(normed_sum_with_epilogue(&t[0], &case.branches(t), epilogue)?.0)).unwrap();
        let expected = with_gradients(&inputs, |t| case.composite(t, epilogue)).unwrap();
        for (i, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
            // As for batch norm, the gradients of γ and β are sums that may be close to 0. The bound allows ten
            // roundings: up to five norms are added, and γ/σ may double the error of each.
            let columns = (case.outputs * case.pixels() * case.x[3]) as f64 / expected.elem_count() as f64;
            let size = if expected.rank() == 1 { 0.25 * columns.sqrt() } else { 1e-6 };
            let worst = difference_to(actual, expected, size).unwrap();
            prop_assert!(worst < 10.0 * bound(case.dtype), "{i}: {worst}");
        }
    }

    #[test]
    fn the_form_for_gpus_equals_the_operation(case in cases(), what in 0..4usize) {
        let addend = numbers(&[case.outputs, case.x[1], case.x[2], case.x[3]], 5, case.dtype).unwrap();
        let epilogue = [Epilogue::None, Epilogue::Relu, Epilogue::Add(&addend), Epilogue::AddRelu(&addend)][what];
        let inputs = case.inputs().unwrap();
        let before = if what == 3 { Epilogue::Add(&addend) } else { Epilogue::None };
        prop_assume!(what % 2 == 0 || clear_of_the_kink(&case.composite(&inputs, before).unwrap()).unwrap());
        let of = |composed: bool| {
            let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
            let t: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
            let sum = if composed { composite::normed_sum } else { normed_sum_with_epilogue };
            let (y, moments) = sum(&t[0], &case.branches(&t), epilogue).unwrap();
            let loss = (&y * numbers(y.dims(), 99, y.dtype()).unwrap()).unwrap().sum_all().unwrap();
            let gradients = backward(&loss).unwrap();
            let of_inputs = t.iter().map(|t| gradients.get(t).unwrap().clone());
            let of_moments = moments.into_iter().flat_map(|m| [m.mean, m.variance]);
            (std::iter::once(y.detach()).chain(of_moments).collect::<Vec<_>>(), of_inputs.collect::<Vec<_>>())
        };
        let ((forward, gradients), (expected_forward, expected_gradients)) = (of(true), of(false));
        for (actual, expected) in forward.iter().zip(&expected_forward) {
            prop_assert!(difference_to(actual, expected, 1e-6).unwrap() < 10.0 * bound(case.dtype));
        }
        for (i, (actual, expected)) in gradients.iter().zip(&expected_gradients).enumerate() {
            // The bounds are those of the test above.
            let columns = (case.outputs * case.pixels() * case.x[3]) as f64 / expected.elem_count() as f64;
            let size = if expected.rank() == 1 { 0.25 * columns.sqrt() } else { 1e-6 };
            let worst = difference_to(actual, expected, size).unwrap();
            prop_assert!(worst < 10.0 * bound(case.dtype), "{i}: {worst}");
        }
    }

    #[test]
    fn the_sum_equals_its_parts(case in cases(), what in 0..4usize) {
        let inputs = case.inputs().unwrap();
        let addend = numbers(&[case.outputs, case.x[1], case.x[2], case.x[3]], 5, case.dtype).unwrap();
        let epilogue = [Epilogue::None, Epilogue::Relu, Epilogue::Add(&addend), Epilogue::AddRelu(&addend)][what];
        let (actual, moments) = normed_sum_with_epilogue(&inputs[0], &case.branches(&inputs), epilogue).unwrap();
        let expected = case.composite(&inputs, epilogue).unwrap();
        prop_assert!(difference_to(&actual, &expected, 1e-6).unwrap() < 10.0 * bound(case.dtype));
        let (by_parts, of_parts) = by_parts(&inputs[0], &case.branches(&inputs), epilogue).unwrap();
        prop_assert!(difference_to(&actual, &by_parts, 1e-6).unwrap() < 10.0 * bound(case.dtype));
        for (whole, part) in moments.iter().zip(&of_parts) {
            for (whole, part) in [(&whole.mean, &part.mean), (&whole.variance, &part.variance)] {
                prop_assert!(difference_to(whole, part, 1e-6).unwrap() < bound(case.dtype));
            }
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let case = Case { x: [4, 3, 2, 8], outputs: 6, groups: 2, fc: true, kernels: vec![3], dtype: DType::F32 };
    let inputs = case.inputs().unwrap();
    let said = |x: &Tensor, branches: &[NormedBranch<'_>]| {
        normed_sum_with_epilogue(x, branches, Epilogue::None).map(|_| ()).unwrap_err().to_string()
    };
    assert!(said(&inputs[0], &[]).contains("no branches"));
    let mut branches = case.branches(&inputs);
    let uneven = numbers(&[32], 1, DType::F32).unwrap();
    (branches[1].gamma, branches[1].beta) = (&uneven, &uneven);
    let message = said(&inputs[0], &branches);
    assert!(message.contains("of 36 and of 32 rows"), "{message}");
    let mut branches = case.branches(&inputs);
    branches[1].map = LinearMap::Conv2d(ConvGeometry { stride: (1, 1), padding: (0, 0), dilation: (1, 1), groups: 2 });
    assert!(said(&inputs[0], &branches).contains("choose more padding"));
    let small = numbers(&[6, 2, 1, 1], 1, DType::F32).unwrap();
    let mut branches = case.branches(&inputs);
    branches[1].map = LinearMap::Conv2d(ConvGeometry { stride: (2, 1), padding: (0, 0), dilation: (1, 1), groups: 2 });
    branches[1].weight = &small;
    assert!(said(&inputs[0], &branches).contains("shapes must be equal"), "{}", said(&inputs[0], &branches));
}

#[test]
fn convolutions_on_a_large_map_stay_convolutions_on_a_gpu() {
    let case = Case { x: [4, 9, 8, 8], outputs: 6, groups: 2, fc: true, kernels: vec![1, 3], dtype: DType::F64 };
    let inputs = case.inputs().unwrap();
    let of = |sum: &dyn Fn(&Tensor, &[NormedBranch<'_>]) -> Result<Tensor>| {
        let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
        let t: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let y = sum(&t[0], &case.branches(&t)).unwrap();
        let gradients = backward(&(y.sqr().unwrap()).sum_all().unwrap()).unwrap();
        std::iter::once(y.detach()).chain(t.iter().map(|t| gradients.get(t).unwrap().clone())).collect::<Vec<_>>()
    };
    let ours = of(&|x, branches| Ok(composite::normed_sum(x, branches, Epilogue::None)?.0));
    let operation = of(&|x, branches| Ok(normed_sum_with_epilogue(x, branches, Epilogue::None)?.0));
    for (ours, operation) in ours.iter().zip(&operation) {
        assert!(difference_to(ours, operation, 1.0).unwrap() < 1e-11);
    }
    // On a small map they become one FC kernel, and must fit as well.
    let small = Case { x: [4, 3, 2, 8], ..case };
    let inputs = small.inputs().unwrap();
    let mut branches = small.branches(&inputs);
    let wide = numbers(&[6, 3, 3, 3], 1, DType::F64).unwrap();
    branches[2].weight = &wide;
    assert!(composite::normed_sum(&inputs[0], &branches, Epilogue::None).is_err());
}

#[test]
fn the_form_for_gpus_never_loses_a_gradient() {
    let case = Case { x: [4, 3, 2, 8], outputs: 6, groups: 2, fc: true, kernels: vec![3], dtype: DType::F64 };
    let inputs: Vec<Var> = case.inputs().unwrap().iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = inputs.iter().map(|var| var.as_tensor().clone()).collect();
    let loss = |t: &[Tensor]| {
        let (y, _) = composite::normed_sum(&t[0], &case.branches(t), Epilogue::Relu).unwrap();
        y.sqr().unwrap().sum_all().unwrap()
    };
    let fault = loss(&tensors).backward().unwrap_err().to_string();
    assert!(fault.contains("needs the backward pass of repmlp_kernels"), "{fault}");
    // A frozen tensor gets no gradient, and all others get the same as before.
    let all = backward(&loss(&tensors)).unwrap();
    for frozen in 0..tensors.len() {
        let mut some = tensors.clone();
        some[frozen] = some[frozen].detach();
        let gradients = backward(&loss(&some)).unwrap();
        for (i, t) in tensors.iter().enumerate() {
            match gradients.get(t) {
                None => assert_eq!(i, frozen),
                Some(gradient) => assert!(difference_to(gradient, all.get(t).unwrap(), 1e-6).unwrap() < 1e-12),
            }
        }
    }
}

#[test]
fn a_second_backward_pass_gives_the_same_gradients() {
    let case = Case { x: [4, 3, 2, 8], outputs: 6, groups: 2, fc: true, kernels: vec![3], dtype: DType::F32 };
    let inputs: Vec<Var> = case.inputs().unwrap().iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = inputs.iter().map(|var| var.as_tensor().clone()).collect();
    let (y, _) = normed_sum_with_epilogue(&tensors[0], &case.branches(&tensors), Epilogue::Relu).unwrap();
    let loss = (y.sqr().unwrap()).sum_all().unwrap();
    let (first, second) = (loss.backward().unwrap(), loss.backward().unwrap());
    for t in &tensors {
        let numbers = |grads: &GradStore| grads.get(t).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(numbers(&first), numbers(&second));
    }
}
