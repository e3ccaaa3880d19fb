//! AVX-512, of which the foundation is enough.

use std::arch::x86_64::{
    __m512, __m512d, _mm512_fmadd_pd, _mm512_fmadd_ps, _mm512_loadu_pd, _mm512_loadu_ps, _mm512_maskz_loadu_pd,
    _mm512_maskz_loadu_ps, _mm512_reduce_add_pd, _mm512_reduce_add_ps, _mm512_set1_pd, _mm512_set1_ps,
    _mm512_setzero_pd, _mm512_setzero_ps, _mm512_storeu_pd, _mm512_storeu_ps,
};

use crate::simd::{Vector, tiles};

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

            tiles!($V, $T, "avx512f,avx2,fma");
        }
    };
}

vector!(Avx512F32, f32, 16, u16: _mm512_setzero_ps, _mm512_set1_ps, _mm512_loadu_ps, _mm512_maskz_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps, _mm512_reduce_add_ps);
vector!(Avx512F64, f64, 8, u8: _mm512_setzero_pd, _mm512_set1_pd, _mm512_loadu_pd, _mm512_maskz_loadu_pd, _mm512_storeu_pd, _mm512_fmadd_pd, _mm512_reduce_add_pd);
