//! The composite of attention, from candle's own operations.

use candle_core::{Result, Tensor};

use super::sizes::{Heads, RelativePositions, Sizes};
use crate::{places, rearrange, softmax};

/// The composite of [`attention`](super::attention).
pub(super) fn attention([q, k, v]: [&Tensor; 3], sizes: &Sizes) -> Result<Tensor> {
    let [q, k, v] = [heads(q, sizes, sizes.d)?, heads(k, sizes, sizes.d)?, heads(v, sizes, sizes.e)?];
    let products = (q * sizes.heads.scale)?.matmul(&k.transpose(1, 2)?)?;
    gather(&products, &v, sizes)
}

/// The composite of [`attention_on_map`](super::attention_on_map).
pub(super) fn on_map(qkv: &Tensor, positions: RelativePositions<'_>, sizes: &Sizes) -> Result<Tensor> {
    let Sizes { heads: Heads { count, scale }, d, e, queries: pixels, images, .. } = *sizes;
    let (_, h, w, _) = qkv.dims4()?;
    let part = |first: usize, of_head: usize| heads(&qkv.narrow(0, first, count * of_head)?, sizes, of_head);
    let (q, k, v) = (part(0, d)?, part(count * d, d)?, part(2 * count * d, e)?);
    let scaled = (&q * scale)?;
    let (seen_from_x, seen_from_y) = seen(&q, positions, (h, w))?;
    // One product gives all three parts: content, column and row.
    let queries = Tensor::cat(&[&scaled, &seen_from_x, &seen_from_y], 2)?;
    let places = places_of_pixels((h, w), &q)?.unsqueeze(0)?.expand((images * count, w + h, pixels))?;
    // A GPU multiplies matrices, or transposed ones; a concatenation may be neither.
    let keys = Tensor::cat(&[k.transpose(1, 2)?.contiguous()?, places.contiguous()?], 1)?;
    gather(&queries.matmul(&keys)?, &v, sizes)?.reshape((count * e, h, w, images))
}

/// Separates the heads: (heads·d, …, N) → (N·heads, pixels, d).
fn heads(x: &Tensor, sizes: &Sizes, d: usize) -> Result<Tensor> {
    let (count, n) = (sizes.heads.count, sizes.images);
    let pixels = x.elem_count() / (count * d * n);
    rearrange(x, [count, d, pixels, n], [3, 0, 2, 1], (n * count, pixels, d))
}

/// Returns the values weighted by the softmax of the products: (heads·e, pixels, N).
fn gather(products: &Tensor, v: &Tensor, sizes: &Sizes) -> Result<Tensor> {
    let Sizes { heads: Heads { count, .. }, e, queries, images, .. } = *sizes;
    let gathered = softmax::composite(products)?.matmul(v)?;
    rearrange(&gathered, [images, count, queries, e], [1, 3, 2, 0], (count * e, queries, images))
}

/// Returns the position scores of each pixel for each column and each row of the map: q (B, H·W, d) → (B, H·W, W) and
/// (B, H·W, H).
fn seen(q: &Tensor, positions: RelativePositions<'_>, (h, w): (usize, usize)) -> Result<(Tensor, Tensor)> {
    let (b, pixels, d) = q.dims3()?;
    let q = q.reshape((b, h, w, d))?;
    let along_x = q.permute((2, 0, 1, 3))?.reshape((w, b * h, d))?.matmul(&relative(positions.width, w)?)?;
    let along_y = q.permute((1, 0, 2, 3))?.reshape((h, b * w, d))?.matmul(&relative(positions.height, h)?)?;
    Ok((
        along_x.reshape((w, b, h, w))?.permute((1, 2, 0, 3))?.reshape((b, pixels, w))?,
        along_y.reshape((h, b, w, h))?.permute((1, 0, 2, 3))?.reshape((b, pixels, h))?,
    ))
}

/// Returns the column and the row of each pixel of the map as ones and zeros, (W + H, H·W), with the type and the
/// device of `like`.
fn places_of_pixels((h, w): (usize, usize), like: &Tensor) -> Result<Tensor> {
    let lies = |place: usize, pixel: usize| if place < w { pixel % w == place } else { pixel / w == place - w };
    let table = places::table(like.device(), ("pixels of rows and columns", vec![h, w]), || {
        (0..w + h).flat_map(|place| (0..h * w).map(move |pixel| u32::from(lies(place, pixel)))).collect()
    })?;
    table.reshape((w + h, h * w))?.to_dtype(like.dtype())
}

/// Returns, for each position, the embeddings of all positions relative to it: (2·size − 1, d) → (size, d, size).
fn relative(table: &Tensor, size: usize) -> Result<Tensor> {
    let d = table.dim(1)?;
    let index = places::table(table.device(), ("relative positions", vec![size]), || {
        (0..size).flat_map(|from| (0..size).map(move |to| (to + size - 1 - from) as u32)).collect()
    })?;
    table.index_select(&index, 0)?.reshape((size, size, d))?.transpose(1, 2)?.contiguous()
}
