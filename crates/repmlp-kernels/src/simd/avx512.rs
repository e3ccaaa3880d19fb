//! AVX-512, of which the foundation is enough.

use std::arch::x86_64::{
    __m512, __m512d, _mm512_fmadd_pd, _mm512_fmadd_ps, _mm512_loadu_pd, _mm512_loadu_ps, _mm512_maskz_loadu_pd,
    _mm512_maskz_loadu_ps, _mm512_reduce_add_pd, _mm512_reduce_add_ps, _mm512_set1_pd, _mm512_set1_ps,
    _mm512_setzero_pd, _mm512_setzero_ps, _mm512_storeu_pd, _mm512_storeu_ps,
};

use crate::simd::{DOT_INPUTS, DOT_OUTPUTS, DotTile, TapTile, Vector, dot_tile, tap_tile};

/// Sixteen `f32`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Avx512F32(__m512);

/// Eight `f64`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Avx512F64(__m512d);

/// Intrinsics in the order of the trait's methods.
macro_rules! vector {
    ($V:ident, $T:ty, $LANES:literal, $Mask:ty: $zero:ident, $splat:ident, $load:ident, $load_first:ident, $store:ident, $multiply_add:ident, $sum:ident) => {
        // SAFETY of all blocks below: the trait's callers promise a processor with AVX-512F, and addresses of as many numbers
        // as are read or written.
        impl Vector for $V {
            type Number = $T;
            const LANES: usize = $LANES;

            #[inline(always)]
            unsafe fn zero() -> Self {
                // SAFETY: see above.
                Self(unsafe { $zero() })
            }

            #[inline(always)]
            unsafe fn splat(from: *const $T) -> Self {
                // SAFETY: see above.
                Self(unsafe { $splat(*from) })
            }

            #[inline(always)]
            unsafe fn load(from: *const $T) -> Self {
                // SAFETY: see above.
                Self(unsafe { $load(from) })
            }

            #[inline(always)]
            unsafe fn load_first(from: *const $T, count: usize) -> Self {
                let first: $Mask = (1 << count) - 1;
                // SAFETY: see above; a masked load touches no number that is masked out.
                Self(unsafe { $load_first(first, from) })
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut $T) {
                // SAFETY: see above.
                unsafe { $store(to, self.0) };
            }

            #[inline(always)]
            unsafe fn multiply_add(self, b: Self, c: Self) -> Self {
                // SAFETY: see above.
                Self(unsafe { $multiply_add(self.0, b.0, c.0) })
            }

            #[inline(always)]
            unsafe fn sum(self) -> $T {
                // SAFETY: see above.
                unsafe { $sum(self.0) }
            }

            unsafe fn tap_tile<const ROWS: usize, const VECTORS: usize>(tile: &TapTile<'_, $T>) {
                #[target_feature(enable = "avx512f,avx2,fma")]
                unsafe fn compiled<const ROWS: usize, const VECTORS: usize>(tile: &TapTile<'_, $T>) {
                    // SAFETY: the caller's promise.
                    unsafe { tap_tile::tap_tile::<$V, ROWS, VECTORS>(tile) }
                }
                // SAFETY: the processor has the features, the trait says; the rest is the caller's promise.
                unsafe { compiled::<ROWS, VECTORS>(tile) }
            }

            unsafe fn dot_tile<const OUTPUTS: usize, const INPUTS: usize>(
                tile: &DotTile<'_, $T>,
            ) -> [[$T; DOT_INPUTS]; DOT_OUTPUTS] {
                #[target_feature(enable = "avx512f,avx2,fma")]
                unsafe fn compiled<const OUTPUTS: usize, const INPUTS: usize>(
                    tile: &DotTile<'_, $T>,
                ) -> [[$T; DOT_INPUTS]; DOT_OUTPUTS] {
                    // SAFETY: the caller's promise.
                    unsafe { dot_tile::dot_tile::<$V, OUTPUTS, INPUTS>(tile) }
                }
                // SAFETY: the processor has the features, the trait says; the rest is the caller's promise.
                unsafe { compiled::<OUTPUTS, INPUTS>(tile) }
            }
        }
    };
}

vector!(Avx512F32, f32, 16, u16: _mm512_setzero_ps, _mm512_set1_ps, _mm512_loadu_ps, _mm512_maskz_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps, _mm512_reduce_add_ps);
vector!(Avx512F64, f64, 8, u8: _mm512_setzero_pd, _mm512_set1_pd, _mm512_loadu_pd, _mm512_maskz_loadu_pd, _mm512_storeu_pd, _mm512_fmadd_pd, _mm512_reduce_add_pd);
