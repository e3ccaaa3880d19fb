//! AVX-512. The foundation (AVX-512F) is enough.
#![expect(unsafe_code, reason = "vector instructions, on addresses that the caller promises")]

use std::arch::x86_64::{
    __m512, __m512d, _MM_HINT_T1, _mm_prefetch, _mm512_add_epi32, _mm512_add_epi64, _mm512_castpd_si512,
    _mm512_castps_si512, _mm512_castsi512_pd, _mm512_castsi512_ps, _mm512_fmadd_pd, _mm512_fmadd_ps, _mm512_loadu_pd,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_storeu_pd, _mm512_mask_storeu_ps, _mm512_maskz_loadu_pd,
    _mm512_maskz_loadu_ps, _mm512_max_pd, _mm512_max_ps, _mm512_permutex2var_pd, _mm512_permutex2var_ps,
    _mm512_reduce_add_pd, _mm512_reduce_add_ps, _mm512_set1_pd, _mm512_set1_ps, _mm512_setzero_pd, _mm512_setzero_ps,
    _mm512_slli_epi32, _mm512_slli_epi64, _mm512_storeu_pd, _mm512_storeu_ps,
};

use crate::simd::{Vector, compiled};

/// Sixteen `f32`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Avx512F32(__m512);

/// Eight `f64`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Avx512F64(__m512d);

/// Returns a mask with the first `count` bits set, for `count` of 1 or more.
macro_rules! first {
    ($Mask:ty, $count:expr) => {
        <$Mask>::MAX >> (<$Mask>::BITS as usize - $count)
    };
}

/// Implements the trait with intrinsics, given in the order of its methods.
macro_rules! vector {
    ($V:ident, $T:ty, $LANES:literal, $Mask:ty, $Place:ty: $zero:ident, $splat:ident, $load:ident,
        $load_first:ident, $store:ident, $store_first:ident, $multiply_add:ident, $sum:ident, $permute:ident,
        $max:ident, $shift:ident::<$bits:literal>, $add_words:ident, $to_words:ident, $from_words:ident) => {
        // SAFETY of all blocks below: callers of the trait guarantee a processor with AVX-512F, and addresses of as
        // many numbers as are read or written.
        impl Vector for $V {
            type Number = $T;
            const LANES: usize = $LANES;
            const ROWS: usize = 12;
            const DOTS: (usize, usize) = (6, 4);

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
                // SAFETY: see above; a masked load touches no number that is masked out.
                Self(unsafe { $load_first(first!($Mask, count), from) })
            }

            #[inline(always)]
            unsafe fn prefetch(from: *const $T) {
                // SAFETY: see above; a prefetch never faults.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) };
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut $T) {
                // SAFETY: see above.
                unsafe { $store(to, self.0) };
            }

            #[inline(always)]
            unsafe fn store_first(self, to: *mut $T, count: usize) {
                // SAFETY: see above; a masked store touches no number that is masked out.
                unsafe { $store_first(to, first!($Mask, count), self.0) };
            }

            #[inline(always)]
            unsafe fn multiply_add(self, b: Self, c: Self) -> Self {
                // SAFETY: see above.
                Self(unsafe { $multiply_add(self.0, b.0, c.0) })
            }

            #[inline(always)]
            unsafe fn max(self, other: Self) -> Self {
                // SAFETY: see above.
                Self(unsafe { $max(self.0, other.0) })
            }

            #[inline(always)]
            unsafe fn times_power(self, rounded: Self) -> Self {
                // SAFETY: see above.
                unsafe {
                    let power = $shift::<$bits>($to_words(rounded.0));
                    Self($from_words($add_words($to_words(self.0), power)))
                }
            }

            #[inline(always)]
            unsafe fn sum(self) -> $T {
                // SAFETY: see above.
                unsafe { $sum(self.0) }
            }

            #[inline(always)]
            unsafe fn zip(self, other: Self) -> (Self, Self) {
                // Indices of number i of the first vector, then of the second. Indices of the second follow those of
                // the first.
                const fn places(start: $Place) -> [$Place; $LANES] {
                    let mut places = [0; $LANES];
                    let (mut lane, mut place) = (0, start);
                    while lane < $LANES {
                        (places[lane], places[lane + 1]) = (place, place + $LANES);
                        (lane, place) = (lane + 2, place + 1);
                    }
                    places
                }
                const PLACES: [[$Place; $LANES]; 2] = [places(0), places($LANES / 2)];
                // SAFETY: see above; each array fills a register.
                unsafe {
                    let [low, high] = [&PLACES[0], &PLACES[1]].map(|places| _mm512_loadu_si512(places.as_ptr().cast()));
                    (Self($permute(self.0, low, other.0)), Self($permute(self.0, high, other.0)))
                }
            }

            compiled!("avx512f,avx2,fma");
        }
    };
}

vector!(Avx512F32, f32, 16, u16, i32: _mm512_setzero_ps, _mm512_set1_ps, _mm512_loadu_ps, _mm512_maskz_loadu_ps,
    _mm512_storeu_ps, _mm512_mask_storeu_ps, _mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_permutex2var_ps,
    _mm512_max_ps, _mm512_slli_epi32::<23>, _mm512_add_epi32, _mm512_castps_si512, _mm512_castsi512_ps);
vector!(Avx512F64, f64, 8, u8, i64: _mm512_setzero_pd, _mm512_set1_pd, _mm512_loadu_pd, _mm512_maskz_loadu_pd,
    _mm512_storeu_pd, _mm512_mask_storeu_pd, _mm512_fmadd_pd, _mm512_reduce_add_pd, _mm512_permutex2var_pd,
    _mm512_max_pd, _mm512_slli_epi64::<52>, _mm512_add_epi64, _mm512_castpd_si512, _mm512_castsi512_pd);
