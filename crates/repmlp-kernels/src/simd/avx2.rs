//! AVX2 and FMA.
#![expect(unsafe_code, reason = "vector instructions, on addresses that the caller promises")]

use std::arch::x86_64::{
    __m256, __m256d, __m256i, _MM_HINT_T1, _mm_add_pd, _mm_add_ps, _mm_add_sd, _mm_add_ss, _mm_cvtsd_f64,
    _mm_cvtss_f32, _mm_movehl_ps, _mm_prefetch, _mm_shuffle_ps, _mm_unpackhi_pd, _mm256_add_epi32, _mm256_add_epi64,
    _mm256_broadcast_sd, _mm256_broadcast_ss, _mm256_castpd_si256, _mm256_castpd256_pd128, _mm256_castps_si256,
    _mm256_castps256_ps128, _mm256_castsi256_pd, _mm256_castsi256_ps, _mm256_extractf128_pd, _mm256_extractf128_ps,
    _mm256_fmadd_pd, _mm256_fmadd_ps, _mm256_loadu_pd, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_pd,
    _mm256_maskload_ps, _mm256_maskstore_pd, _mm256_maskstore_ps, _mm256_max_pd, _mm256_max_ps, _mm256_permute2f128_pd,
    _mm256_permute2f128_ps, _mm256_setzero_pd, _mm256_setzero_ps, _mm256_slli_epi32, _mm256_slli_epi64,
    _mm256_storeu_pd, _mm256_storeu_ps, _mm256_unpackhi_pd, _mm256_unpackhi_ps, _mm256_unpacklo_pd, _mm256_unpacklo_ps,
};

use crate::simd::{Vector, compiled};

/// Eight `f32`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Avx2F32(__m256);

/// Four `f64`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Avx2F64(__m256d);

/// Source of masks: eight words from index 8 − n on begin with n set words.
static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// Returns eight words, with the first `words` ≤ 8 set.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn mask(words: usize) -> __m256i {
    let window = &MASK[8 - words.min(8)..][..8];
    // SAFETY: the window has eight words.
    unsafe { _mm256_loadu_si256(window.as_ptr().cast()) }
}

// SAFETY of all blocks below: callers of the trait guarantee a processor with AVX2 and FMA, and addresses of as many
// numbers as are read or written.
impl Vector for Avx2F32 {
    type Number = f32;
    const LANES: usize = 8;
    const ROWS: usize = 6;
    const DOTS: (usize, usize) = (4, 3);

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_setzero_ps() })
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_broadcast_ss(&*from) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: see above; a masked load touches no number that is masked out.
        Self(unsafe { _mm256_maskload_ps(from, mask(count)) })
    }

    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        // SAFETY: see above; a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) };
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(to, self.0) };
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: see above; a masked store touches no number that is masked out.
        unsafe { _mm256_maskstore_ps(to, mask(count), self.0) };
    }

    #[inline(always)]
    unsafe fn multiply_add(self, b: Self, c: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_fmadd_ps(self.0, b.0, c.0) })
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn times_power(self, rounded: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let power = _mm256_slli_epi32::<23>(_mm256_castps_si256(rounded.0));
            Self(_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(self.0), power)))
        }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps(self.0, 1));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)))
        }
    }

    #[inline(always)]
    unsafe fn zip(self, other: Self) -> (Self, Self) {
        // SAFETY: see above. The unpack instructions work within each half of a register.
        unsafe {
            let (low, high) = (_mm256_unpacklo_ps(self.0, other.0), _mm256_unpackhi_ps(self.0, other.0));
            (Self(_mm256_permute2f128_ps::<0x20>(low, high)), Self(_mm256_permute2f128_ps::<0x31>(low, high)))
        }
    }

    compiled!("avx2,fma");
}

impl Vector for Avx2F64 {
    type Number = f64;
    const LANES: usize = 4;
    const ROWS: usize = 6;
    const DOTS: (usize, usize) = (4, 3);

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_setzero_pd() })
    }

    #[inline(always)]
    unsafe fn splat(from: *const f64) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_broadcast_sd(&*from) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f64) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_loadu_pd(from) })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f64, count: usize) -> Self {
        // SAFETY: see above; a masked load touches no number that is masked out. A number takes two words of the mask.
        Self(unsafe { _mm256_maskload_pd(from, mask(2 * count)) })
    }

    #[inline(always)]
    unsafe fn prefetch(from: *const f64) {
        // SAFETY: see above; a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) };
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f64) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_pd(to, self.0) };
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f64, count: usize) {
        // SAFETY: see above; a masked store touches no number that is masked out.
        unsafe { _mm256_maskstore_pd(to, mask(2 * count), self.0) };
    }

    #[inline(always)]
    unsafe fn multiply_add(self, b: Self, c: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_fmadd_pd(self.0, b.0, c.0) })
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_max_pd(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn times_power(self, rounded: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let power = _mm256_slli_epi64::<52>(_mm256_castpd_si256(rounded.0));
            Self(_mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(self.0), power)))
        }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f64 {
        // SAFETY: see above.
        unsafe {
            let two = _mm_add_pd(_mm256_castpd256_pd128(self.0), _mm256_extractf128_pd(self.0, 1));
            _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
        }
    }

    #[inline(always)]
    unsafe fn zip(self, other: Self) -> (Self, Self) {
        // SAFETY: see above. The unpack instructions work within each half of a register.
        unsafe {
            let (low, high) = (_mm256_unpacklo_pd(self.0, other.0), _mm256_unpackhi_pd(self.0, other.0));
            (Self(_mm256_permute2f128_pd::<0x20>(low, high)), Self(_mm256_permute2f128_pd::<0x31>(low, high)))
        }
    }

    compiled!("avx2,fma");
}
