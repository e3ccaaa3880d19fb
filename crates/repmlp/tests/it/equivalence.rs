//! Both forms compute the same function, for random sizes and with batch norms that differ from their initial state.

use candle_core::{DType, Device, Result, Tensor};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_oneof, proptest};
use repmlp::Mode;
use repmlp::blocks::{
    BlockConfig, ConvConfig, GlobalPerceptronConfig, NonLocalConfig, PaddingConfig, PartitionPerceptronConfig,
    RepMlpBlock, RepMlpConfig, SelfAttentionConfig,
};
use repmlp::layers::{Conv2d, ConvShape};
use repmlp::network::Site;
use repmlp::stream::{stream, uniform};
use repmlp::vars::Vars;

pub(crate) fn numbers(seed: u64, name: &str, dims: &[usize]) -> Result<Tensor> {
    let mut rng = stream(seed, name, &[]);
    let values: Vec<f32> = (0..dims.iter().product()).map(|_| 2.0 * uniform(&mut rng) - 1.0).collect();
    Tensor::from_vec(values, dims, &Device::Cpu)
}

/// Gives the batch norms random scales, shifts, means and variances.
pub(crate) fn disturb_norms(vars: &Vars, seed: u64) -> Result<()> {
    for (name, var) in vars.all() {
        let value = numbers(seed, &name, var.dims())?.to_dtype(var.dtype())?;
        let value = match name.rsplit('.').next() {
            Some("running_var") => (value * 0.7)? + 1.0,
            Some("running_mean" | "bias") => value * 0.5,
            Some("weight") if var.rank() == 1 => value + 1.5,
            _ => continue,
        };
        var.set(&value?)?;
    }
    Ok(())
}

/// Returns the largest absolute difference, divided by the largest absolute value of `a`.
pub(crate) fn difference(a: &Tensor, b: &Tensor) -> Result<f64> {
    let largest = |t: &Tensor| t.abs()?.flatten_all()?.max(0)?.to_dtype(DType::F64)?.to_scalar::<f64>();
    Ok(largest(&(a - b)?)? / largest(a)?)
}

/// Returns the allowed relative difference.
///
/// The longest sum has C·h·w + K² terms, fewer than 2^11. In f32, one rounding is at most 2^-24. A random walk of that
/// many roundings stays below 1e-5, and a few such layers below 5e-5. Rounding in f64 is 2^29 times finer, so 1e-10
/// leaves a margin of about a thousand.
fn bound(dtype: DType) -> f64 {
    if dtype == DType::F32 { 5e-5 } else { 1e-10 }
}

fn local_kernels(limit: usize) -> impl Strategy<Value = Vec<usize>> {
    let odd: Vec<usize> = (1..=limit).step_by(2).collect();
    let count = odd.len();
    proptest::sample::subsequence(odd, 0..=count)
}

#[derive(Debug, Clone)]
struct Case {
    config: RepMlpConfig,
    channels: (usize, usize),
    map: (usize, usize),
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1..7usize, 1..7usize, 1..4usize, 1..4usize, 1..4usize, 1..4usize, 1..4usize);
    sizes.prop_flat_map(|(h, w, rows, columns, groups, c, o)| {
        let partitions = rows * columns;
        let channels = (groups * c, groups * o);
        let divisors: Vec<usize> = (1..=3).filter(|r| (channels.0 * partitions) % r == 0).collect();
        // Rows and columns that the map lacks in the last partitions. Zeros fill them.
        let missing = (0..h, 0..w);
        let global = prop_oneof![
            3 => proptest::sample::select(divisors).prop_map(|reduction| GlobalPerceptronConfig::Fc { reduction }),
            1 => Just(GlobalPerceptronConfig::None {}),
        ];
        (global, local_kernels(h.min(w)), missing).prop_map(move |(global_perceptron, local_kernels, missing)| Case {
            config: RepMlpConfig {
                partition: [h, w],
                padding: if missing == (0, 0) { PaddingConfig::None } else { PaddingConfig::Zero },
                groups,
                local_kernels,
                global_perceptron,
                partition_perceptron: PartitionPerceptronConfig::Fc {},
            },
            channels,
            map: (rows * h - missing.0, columns * w - missing.1),
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_deployed_rep_mlp_block_computes_the_same(case in cases(), seed in any::<u64>(), double in any::<bool>()) {
        let dtype = if double { DType::F64 } else { DType::F32 };
        let vars = Vars::new(seed, dtype, &Device::Cpu);
        let shape = case.config.shape(case.channels.0, case.channels.1, case.map).unwrap();
        prop_assert!(case.config.faults(case.channels, case.map, "block").is_empty());
        let block = RepMlpBlock::new(&case.config, shape, &vars.root()).unwrap();
        disturb_norms(&vars, seed).unwrap();
        let x = numbers(seed, "x", &[case.channels.0, case.map.0, case.map.1, 3]).unwrap().to_dtype(dtype).unwrap();
        let trained = block.forward(&x, Mode::Evaluate).unwrap();
        let deployed = block.reparameterize().unwrap().forward(&x).unwrap();
        prop_assert!(trained.dims() == [case.channels.1, case.map.0, case.map.1, 3]);
        let worst = difference(&trained, &deployed).unwrap();
        prop_assert!(worst < bound(dtype), "{worst:e}");
    }

    #[test]
    fn every_other_deployed_block_computes_the_same(
        which in 0..4usize,
        side in 1..5usize,
        double in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let dtype = if double { DType::F64 } else { DType::F32 };
        // The largest kernel without taps that always lie on padding, at most the paper's 9.
        let kernel = (2 * side - 1).min(9);
        let config = match which {
            0 => BlockConfig::Conv(ConvConfig { kernel, groups: 2 }),
            1 => BlockConfig::NonLocal(NonLocalConfig { inner_reduction: 2, scaled: side % 2 == 0 }),
            2 => BlockConfig::SelfAttention(SelfAttentionConfig { heads: 4 }),
            _ => BlockConfig::RepMlp(RepMlpConfig {
                partition: [side, side],
                padding: PaddingConfig::None,
                groups: 2,
                local_kernels: vec![],
                global_perceptron: GlobalPerceptronConfig::default(),
                partition_perceptron: PartitionPerceptronConfig::Conv { kernel },
            }),
        };
        let site = Site { channels: 8, map: (2 * side, side) };
        prop_assert!(config.faults(site, "block").is_empty());
        let vars = Vars::new(seed, dtype, &Device::Cpu);
        let (block, output) = config.node(site, "block").build(site, &vars.root()).unwrap();
        prop_assert!(output == site);
        disturb_norms(&vars, seed).unwrap();
        let x = numbers(seed, "x", &[8, 2 * side, side, 3]).unwrap().to_dtype(dtype).unwrap();
        let trained = block.forward(&x, Mode::Evaluate).unwrap();
        let deployed = block.reparameterize().unwrap().forward(&x).unwrap();
        let worst = difference(&trained, &deployed).unwrap();
        prop_assert!(worst < bound(dtype), "{which}: {worst:e}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_convolution_matches_its_definition(
        groups in 1..3usize,
        c in 1..3usize,
        o in 1..3usize,
        half in 0..5usize,
        h in 1..7usize,
        w in 1..18usize,
    ) {
        let (k, n) = (2 * half + 1, 2);
        let shape = ConvShape::same(groups * c, groups * o, k, groups);
        let vars = Vars::new(5, DType::F64, &Device::Cpu);
        let conv = Conv2d::new(shape, &vars.root()).unwrap();
        let x = numbers(6, "x", &[shape.inputs, h, w, n]).unwrap().to_dtype(DType::F64).unwrap();
        let actual: Vec<f64> = conv.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let (x, weight, bias) = (flat(&x), flat(&conv.weight), flat(conv.bias.as_ref().unwrap()));
        for (at, value) in actual.iter().enumerate() {
            let (out, y, column, image) = (at / (h * w * n), at / (w * n) % h, at / n % w, at % n);
            let mut sum = bias[out];
            for (ci, ky, kx) in (0..c).flat_map(|ci| (0..k).flat_map(move |ky| (0..k).map(move |kx| (ci, ky, kx)))) {
                let (from_y, from_x) = ((y + ky).wrapping_sub(half), (column + kx).wrapping_sub(half));
                if from_y < h && from_x < w {
                    let channel = out / o * c + ci;
                    sum += weight[((out * c + ci) * k + ky) * k + kx]
                        * x[((channel * h + from_y) * w + from_x) * n + image];
                }
            }
            prop_assert!((value - sum).abs() < 1e-12, "{value} is not {sum}");
        }
    }
}

#[test]
fn a_merged_local_kernel_matches_the_closed_form() -> Result<()> {
    // W[(o,y,x),(c,y',x')] = F[o, c, y'-y+p, x'-x+p] inside the kernel, else 0.
    let (o, c, k, h, w) = (3usize, 2usize, 3usize, 4usize, 5usize);
    let kernel = numbers(1, "kernel", &[o, c, k, k])?;
    let fc: Vec<Vec<f32>> = repmlp::reparam::conv_to_fc(&kernel, (h, w))?.to_vec2()?;
    let kernel: Vec<f32> = kernel.flatten_all()?.to_vec1()?;
    for (row, values) in fc.iter().enumerate() {
        let (out, y, x) = (row / (h * w), row / w % h, row % w);
        for (column, value) in values.iter().enumerate() {
            let (channel, from_y, from_x) = (column / (h * w), column / w % h, column % w);
            let (ky, kx) = (from_y + k / 2, from_x + k / 2);
            let inside = ky >= y && ky - y < k && kx >= x && kx - x < k;
            let expected = if inside { kernel[((out * c + channel) * k + ky - y) * k + kx - x] } else { 0.0 };
            assert_eq!(value.to_bits(), expected.to_bits(), "row {row}, column {column}");
        }
    }
    Ok(())
}
