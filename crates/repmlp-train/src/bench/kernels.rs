//! Benchmark cases of the kernels: each kernel is timed together with the composite that it replaces. One more case
//! measures the processor's peak.

use candle_core::{Device, Result, Tensor, Var};
use repmlp_kernels::{
    ConvGeometry, Epilogue, Heads, RelativePositions, attention, attention_on_map, backward, batch_norm_with_epilogue,
    conv_to_fc, conv2d, grouped_fc, multiply_adds, relu, softmax,
};

/// One benchmark case.
pub(super) struct Case {
    pub(super) name: String,
    /// Makes the inputs and returns the implementations to time.
    pub(super) prepare: Box<dyn Fn() -> Result<Ways>>,
}

/// Implementations of the same computation, by name.
pub(super) type Ways = Vec<(&'static str, Work)>;

pub(super) type Work = Box<dyn Fn() -> Result<()>>;

/// Returns pseudo-random numbers in [−1, 1), the same at every call.
pub(crate) fn numbers(shape: &[usize]) -> Result<Tensor> {
    let mut state = 1u64;
    let next = |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    Tensor::from_vec((0..shape.iter().product()).map(next).collect::<Vec<f32>>(), shape, &Device::Cpu)
}

/// Forward only, or forward and backward with a gradient of ones.
#[derive(Clone, Copy)]
enum Passes {
    Forward,
    Both,
}

impl Passes {
    fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Both => "both",
        }
    }

    fn work(self, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor> + 'static) -> Result<Work> {
        let inputs = inputs.to_vec();
        Ok(match self {
            Self::Forward => Box::new(move || f(&inputs).map(drop)),
            Self::Both => {
                let vars = inputs.iter().map(Var::from_tensor).collect::<Result<Vec<_>>>()?;
                let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
                Box::new(move || backward(&f(&tensors)?).map(drop))
            }
        })
    }
}

fn same(kernel: usize, stride: usize, groups: usize) -> ConvGeometry {
    let padding = (kernel / 2, kernel / 2);
    ConvGeometry { stride: (stride, stride), padding, dilation: (1, 1), groups }
}

/// The Local Perceptron with C = O = 128 channels in 8 groups on 7×7 partitions, compared with the FC kernel that it is
/// merged into.
fn local(kernel: usize, m: usize, passes: Passes) -> Case {
    let name = format!("local K={kernel} M={m} {}", passes.name());
    let prepare = move || {
        let (c, o, g, h, w) = (128, 128, 8, 7, 7);
        let inputs = [numbers(&[c, h, w, m])?, numbers(&[o, c / g, kernel, kernel])?];
        let ours = passes.work(&inputs, move |t| conv2d(&t[0], &t[1], same(kernel, 1, g)))?;
        let fc = passes.work(&inputs, move |t| {
            let fc = conv_to_fc(&t[1], (h, w))?.reshape((g, o / g * h * w, c / g * h * w))?;
            fc.matmul(&t[0].reshape((g, c / g * h * w, m))?)
        })?;
        Ok(vec![("kernel", ours), ("fc", fc)])
    };
    Case { name, prepare: Box::new(prepare) }
}

/// A convolution on a feature map, compared with candle's convolution.
fn conv(x: [usize; 4], o: usize, (kernel, stride, groups): (usize, usize, usize), passes: Passes) -> Case {
    let [c, h, w, n] = x;
    let name = format!("conv {c}x{h}x{w}x{n} {o} K={kernel} s={stride} g={groups} {}", passes.name());
    let prepare = move || {
        let inputs = [numbers(&x)?, numbers(&[o, c / groups, kernel, kernel])?];
        let ours = passes.work(&inputs, move |t| conv2d(&t[0], &t[1], same(kernel, stride, groups)))?;
        let inputs = [inputs[0].permute((3, 0, 1, 2))?.contiguous()?, inputs[1].clone()];
        let candle = passes.work(&inputs, move |t| t[0].conv2d(&t[1], kernel / 2, stride, 1, groups))?;
        Ok(vec![("kernel", ours), ("candle", candle)])
    };
    Case { name, prepare: Box::new(prepare) }
}

/// FC3 as a grouped matrix product, compared with candle's matrix product.
fn product(g: usize, (rows, terms, m): (usize, usize, usize), passes: Passes) -> Case {
    let name = format!("product {g}x{rows}x{terms}x{m} {}", passes.name());
    let prepare = move || {
        let inputs = [numbers(&[g * terms, m])?, numbers(&[g * rows, terms])?];
        let ours = passes.work(&inputs, move |t| grouped_fc(&t[0], &t[1], g))?;
        let inputs = [numbers(&[g, rows, terms])?, numbers(&[g, terms, m])?];
        let candle = passes.work(&inputs, move |t| t[0].matmul(&t[1]))?;
        Ok(vec![("kernel", ours), ("candle", candle)])
    };
    Case { name, prepare: Box::new(prepare) }
}

/// Batch norm and max(·, 0) in one operation, compared with two operations.
fn norm(rows: usize, columns: usize, passes: Passes) -> Case {
    let name = format!("norm {rows}x{columns} {}", passes.name());
    let prepare = move || {
        let inputs = [numbers(&[rows, columns])?, numbers(&[rows])?, numbers(&[rows])?];
        let fused = passes
            .work(&inputs, |t| batch_norm_with_epilogue(&t[0], &t[1], &t[2], 1e-5, Epilogue::Relu).map(|(y, _)| y))?;
        let two =
            passes.work(&inputs, |t| relu(&batch_norm_with_epilogue(&t[0], &t[1], &t[2], 1e-5, Epilogue::None)?.0))?;
        Ok(vec![("kernel", fused), ("two", two)])
    };
    Case { name, prepare: Box::new(prepare) }
}

/// Attention with d channels per head on a square map, without and with relative positions. It is compared with
/// attention that keeps all its weights in memory.
fn attend(heads: usize, d: usize, side: usize, images: usize, passes: Passes) -> Case {
    let name = format!("attention {heads}x{d} {side}x{side}x{images} {}", passes.name());
    let prepare = move || {
        let heads = Heads { count: heads, scale: 1.0 / (d as f64).sqrt() };
        let channels = heads.count * d;
        let map = |channels: usize| numbers(&[channels, side, side, images]);
        let places = [numbers(&[2 * side - 1, d])?, numbers(&[2 * side - 1, d])?];
        let [height, width] = places;
        let ours = passes
            .work(&[map(channels)?, map(channels)?, map(channels)?], move |t| attention(&t[0], &t[1], &t[2], heads))?;
        let on_map = passes.work(&[map(3 * channels)?, height, width], move |t| {
            attention_on_map(&t[0], heads, RelativePositions { height: &t[1], width: &t[2] })
        })?;
        let weights = passes.work(&[map(channels)?, map(channels)?, map(channels)?], move |t| {
            let rows = |t: &Tensor| {
                let t = t.reshape((heads.count, d, side * side, images))?;
                t.permute((3, 0, 2, 1))?.reshape((images * heads.count, side * side, d))
            };
            let (q, k, v) = (rows(&t[0])?, rows(&t[1])?, rows(&t[2])?);
            let gathered = softmax(&(q * heads.scale)?.matmul(&k.transpose(1, 2)?)?)?.matmul(&v)?;
            let gathered = gathered.reshape((images, heads.count, side * side, d))?.permute((1, 3, 2, 0))?;
            gathered.reshape((channels, side, side, images))
        })?;
        Ok(vec![("kernel", ours), ("with places", on_map), ("weights", weights)])
    };
    Case { name, prepare: Box::new(prepare) }
}

/// Iterations of the peak loop: about 50 ms on a 3 GHz processor.
const PEAK_ROUNDS: usize = 25_000_000;

/// Returns the peak case and its number of multiply-adds. The case works in registers on every thread, without memory
/// access.
pub(super) fn peak() -> (Case, usize) {
    let prepare = || {
        let work: Work = Box::new(|| {
            multiply_adds(PEAK_ROUNDS);
            Ok(())
        });
        Ok(vec![("registers", work)])
    };
    (Case { name: "peak".to_owned(), prepare: Box::new(prepare) }, multiply_adds(1) * PEAK_ROUNDS)
}

/// Returns all cases except the peak.
pub(super) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for passes in [Passes::Forward, Passes::Both] {
        for (kernel, m) in [(1, 128), (3, 128), (5, 128), (7, 128), (3, 2048)] {
            all.push(local(kernel, m, passes));
        }
        all.push(norm(64, 56 * 56 * 16, passes));
        all.push(norm(128, 49 * 128, passes));
        all.push(product(8, (784, 784, 128), passes));
        all.push(product(4, (256, 256, 2048), passes));
        all.push(product(16, (256, 256, 128), passes));
        all.push(conv([64, 56, 56, 16], 64, (3, 1, 1), passes));
        all.push(conv([64, 56, 56, 16], 256, (1, 1, 1), passes));
        all.push(conv([128, 56, 56, 16], 128, (3, 2, 1), passes));
        all.push(conv([256, 14, 14, 16], 256, (3, 1, 1), passes));
        all.push(conv([64, 14, 14, 32], 64, (3, 1, 64), passes));
        all.push(conv([64, 14, 14, 32], 64, (7, 1, 64), passes));
        all.push(conv([3, 224, 224, 8], 64, (7, 2, 1), passes));
        all.push(conv([64, 56, 56, 1], 64, (3, 1, 1), passes));
        // Attention baselines on their three maps: first the non-local block, then self-attention.
        for (heads, d, side) in [(1, 16, 32), (1, 32, 16), (1, 64, 8), (4, 8, 32), (4, 16, 16), (4, 32, 8)] {
            all.push(attend(heads, d, side, 32, passes));
        }
        // ResNet-50 convolutions, eight images.
        for (c, size, (o, kernel)) in [
            (64, 56, (64, 3)),
            (256, 56, (64, 1)),
            (64, 56, (256, 1)),
            (128, 28, (128, 3)),
            (512, 28, (128, 1)),
            (256, 14, (256, 3)),
            (1024, 14, (256, 1)),
            (512, 7, (512, 3)),
            (2048, 7, (512, 1)),
            (512, 7, (2048, 1)),
        ] {
            all.push(conv([c, size, size, 8], o, (kernel, 1, 1), passes));
        }
        all.push(conv([256, 56, 56, 8], 512, (1, 2, 1), passes));
    }
    all
}
