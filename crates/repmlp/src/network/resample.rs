//! Resampling of maps: means of bins and bilinear resizing. Both are linear, so they are computed as products with two
//! small fixed matrices, one for the height and one for the width. Gradients come from the product.

use candle_core::{DType, Device, Result, Tensor};
use repmlp_kernels::grouped_fc;

/// Weights of the input pixels along one side: one row per output pixel.
pub(crate) type Weights = Vec<Vec<f64>>;

/// Weights for the means of `bins` bins. Bin i covers the pixels from ⌊i·size/bins⌋ to ⌈(i+1)·size/bins⌉, without the
/// last, as in PyTorch's `adaptive_avg_pool`.
pub(crate) fn bins(size: usize, bins: usize) -> Weights {
    let weights = |i: usize| {
        let (first, end) = (i * size / bins, ((i + 1) * size).div_ceil(bins));
        (0..size).map(|p| if (first..end).contains(&p) { 1.0 / (end - first) as f64 } else { 0.0 }).collect()
    };
    (0..bins).map(weights).collect()
}

/// Weights for linear interpolation. The corners of the result are the corners of the map (`align_corners` in PyTorch).
pub(crate) fn bilinear(size: usize, result: usize) -> Weights {
    let weights = |i: usize| {
        let at = if result > 1 { (i * (size - 1)) as f64 / (result - 1) as f64 } else { 0.0 };
        (0..size).map(|p| (1.0 - (at - p as f64).abs()).max(0.0)).collect()
    };
    (0..result).map(weights).collect()
}

/// Resamples (C, H, W, N) to (C, H', W', N) with weights (H', H) for rows and (W', W) for columns.
///
/// # Errors
/// When the weights do not fit the map.
pub(crate) fn resample(x_chwn: &Tensor, rows: &Weights, columns: &Weights) -> Result<Tensor> {
    let (c, h, w, n) = x_chwn.dims4()?;
    let (new_h, new_w) = (rows.len(), columns.len());
    let rows = matrix(rows, x_chwn.dtype(), x_chwn.device())?;
    let columns = matrix(columns, x_chwn.dtype(), x_chwn.device())?;
    // Each direction is one product: the resampled dimension comes first, all others are flattened after it.
    let x_hcwn = x_chwn.permute((1, 0, 2, 3))?.contiguous()?.reshape((h, c * w * n))?;
    let x_hcwn = grouped_fc(&x_hcwn, &rows, 1)?.reshape((new_h, c, w, n))?;
    let x_whcn = x_hcwn.permute((2, 0, 1, 3))?.contiguous()?.reshape((w, new_h * c * n))?;
    let x_whcn = grouped_fc(&x_whcn, &columns, 1)?.reshape((new_w, new_h, c, n))?;
    x_whcn.permute((2, 1, 0, 3))?.contiguous()
}

fn matrix(weights: &Weights, dtype: DType, device: &Device) -> Result<Tensor> {
    let columns = weights.first().map_or(0, Vec::len);
    let flat: Vec<f64> = weights.iter().flatten().copied().collect();
    Tensor::from_vec(flat, (weights.len(), columns), device)?.to_dtype(dtype)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_overlap_if_their_number_does_not_divide_the_size() {
        // torch.nn.functional.adaptive_avg_pool1d of 0..5 to 3 bins: [0.5, 2.0, 3.5]
        let means: Vec<f64> =
            bins(5, 3).iter().map(|row| row.iter().enumerate().map(|(p, w)| p as f64 * w).sum()).collect();
        assert_eq!(means, [0.5, 2.0, 3.5]);
    }

    #[test]
    fn corners_stay_and_the_middle_is_between() -> Result<()> {
        let x = Tensor::new(&[[0f64, 1.0], [2.0, 3.0]], &Device::Cpu)?.reshape((1, 2, 2, 1))?;
        let y = resample(&x, &bilinear(2, 3), &bilinear(2, 3))?.flatten_all()?.to_vec1::<f64>()?;
        assert_eq!(y, [0.0, 0.5, 1.0, 1.0, 1.5, 2.0, 2.0, 2.5, 3.0]);
        Ok(())
    }
}
