//! Resampling of maps as products with small fixed matrices, one along the height and one along the width: means
//! of bins and bilinear resizing are linear, so their gradients come from the product's own.

use candle_core::{DType, Device, Result, Tensor};
use repmlp_kernels::grouped_fc;

/// Rows of weights over the pixels of a side, one row for each pixel of the result.
pub(crate) type Weights = Vec<Vec<f64>>;

/// Means of `bins` bins: bin i covers the pixels from ⌊i·size/bins⌋ to ⌈(i+1)·size/bins⌉, PyTorch's `adaptive_avg_pool`.
pub(crate) fn bins(size: usize, bins: usize) -> Weights {
    let weights = |i: usize| {
        let (first, end) = (i * size / bins, ((i + 1) * size).div_ceil(bins));
        (0..size).map(|p| if (first..end).contains(&p) { 1.0 / (end - first) as f64 } else { 0.0 }).collect()
    };
    (0..bins).map(weights).collect()
}

/// Linear interpolation with the corners of the result upon the corners of the map (`align_corners`).
pub(crate) fn bilinear(size: usize, result: usize) -> Weights {
    let weights = |i: usize| {
        let at = if result > 1 { (i * (size - 1)) as f64 / (result - 1) as f64 } else { 0.0 };
        (0..size).map(|p| (1.0 - (at - p as f64).abs()).max(0.0)).collect()
    };
    (0..result).map(weights).collect()
}

/// (C, H, W, N) → (C, H', W', N) with weights (H', H) and (W', W).
///
/// # Errors
/// When the weights do not fit the map.
pub(crate) fn resample(x_chwn: &Tensor, rows: &Weights, columns: &Weights) -> Result<Tensor> {
    let (c, h, w, n) = x_chwn.dims4()?;
    let (new_h, new_w) = (rows.len(), columns.len());
    let rows = matrix(rows, x_chwn.dtype(), x_chwn.device())?;
    let columns = matrix(columns, x_chwn.dtype(), x_chwn.device())?;
    // Each is one product, of what is resampled first and of all else behind it.
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
    fn bins_overlap_where_pixels_cannot_be_shared_out_evenly() {
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
