//! Multiply-adds in registers, without memory access: an upper bound for kernels on this machine.
#![expect(unsafe_code, reason = "vector instructions")]

use std::hint::black_box;

#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2F32, Avx512F32};
use crate::simd::{InstructionSet, Number, Vector};

/// Number of independent sums. A processor starts two multiply-adds per cycle, and each takes four or five cycles.
const SUMS: usize = 12;

/// Computes `rounds` rounds of twelve `f32` vectors on each thread of the pool, with the instruction set of the
/// kernels. Returns the number of multiply-adds.
pub fn multiply_adds(rounds: usize) -> usize {
    let set = InstructionSet::get();
    let in_a_round = rayon::broadcast(|_| match set {
        // SAFETY: plain code needs no particular instructions.
        InstructionSet::Plain => unsafe { chains::<<f32 as Number>::Plain>(rounds) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has AVX2 and FMA.
        InstructionSet::Avx2(_) => unsafe { with_avx2(rounds) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has AVX-512F.
        InstructionSet::Avx512(_) => unsafe { with_avx512(rounds) },
    });
    rounds * in_a_round.iter().sum::<usize>()
}

/// # Safety
/// The processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn with_avx2(rounds: usize) -> usize {
    // SAFETY: guaranteed by the caller.
    unsafe { chains::<Avx2F32>(rounds) }
}

/// # Safety
/// The processor has AVX-512F, AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn with_avx512(rounds: usize) -> usize {
    // SAFETY: guaranteed by the caller.
    unsafe { chains::<Avx512F32>(rounds) }
}

/// Returns the number of multiply-adds per round.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
unsafe fn chains<V: Vector<Number = f32>>(rounds: usize) -> usize {
    // SAFETY: the caller guarantees the instruction set, and the addresses are those of numbers.
    unsafe {
        let (a, b) = (V::splat(black_box(&0.5)), V::splat(black_box(&1e-6)));
        let mut sums = [V::zero(); SUMS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = sum.multiply_add(a, b);
            }
        }
        for sum in sums {
            black_box(sum.sum());
        }
    }
    SUMS * V::LANES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_does_every_round() {
        let lanes = multiply_adds(1) / rayon::current_num_threads() / SUMS;
        assert!([4, 8, 16].contains(&lanes), "{lanes}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(|| multiply_adds(1000)), 3 * 1000 * SUMS * lanes);
    }
}
