//! 2 to the power of numbers, a vector at a time: an exponential is a polynomial and an exponent.
#![expect(unsafe_code, reason = "vector instructions")]

use candle_core::WithDType;

use crate::simd::{Number, Vector};

/// 2^x in every lane, for x no larger than half the largest exponent: within two units in the last place down to the smallest
/// normal number, less than that number off below, 0 from [`Number::LEAST_POWER`] down to −∞; what is no number stays none.
///
/// # Safety
/// The instruction set of `V`.
#[inline(always)]
pub(crate) unsafe fn exp2<V: Vector>(x: V) -> V {
    let splat = |number: V::Number| {
        // SAFETY: the instruction set is the caller's promise, the address that of a number.
        unsafe { V::splat(&raw const number) }
    };
    let (one, minus_one) = (V::Number::from_f64(1.0), V::Number::from_f64(-1.0));
    // SAFETY: the caller's promise.
    unsafe {
        let (one, minus_one, rounder) = (splat(one), splat(minus_one), splat(V::Number::ROUNDER));
        // In this order, what is no number passes.
        let x = splat(V::Number::LEAST_POWER).max(x);
        let rounded = x.multiply_add(one, rounder);
        let whole = rounder.multiply_add(minus_one, rounded);
        let rest = whole.multiply_add(minus_one, x);
        let mut power = V::zero();
        for &coefficient in V::Number::EXP2 {
            power = power.multiply_add(rest, splat(coefficient));
        }
        power.multiply_add(rest, one).times_power(rounded)
    }
}

#[cfg(test)]
mod tests {
    use super::exp2;
    use crate::simd::{InstructionSet, Number, Vector, VectorLoop, for_instruction_set};

    struct Exp2<'a, T>(&'a mut [T]);

    impl<V: Vector> VectorLoop<V> for Exp2<'_, V::Number> {
        type Result = ();

        #[inline(always)]
        unsafe fn run(self) {
            for numbers in self.0.chunks_mut(V::LANES) {
                // SAFETY: the instruction set is the caller's promise; the slice has the numbers.
                unsafe { exp2(V::load_some(numbers)).store_some(numbers) };
            }
        }
    }

    fn of<T: Number>(set: InstructionSet, x: &[f64]) -> Vec<(f64, f64)> {
        let x: Vec<T> = x.iter().map(|&x| T::from_f64(x)).collect();
        let mut y = x.clone();
        for_instruction_set!(set, T, V => {
            // SAFETY: the set is one of those that the processor has.
            unsafe { <V<T> as Vector>::compiled(Exp2(&mut y)) }
        });
        x.iter().map(|x| x.to_f64()).zip(y.iter().map(|y| y.to_f64())).collect()
    }

    /// Two units in the last place, and less than the smallest normal number where there are none.
    fn holds<T: Number>(x: &[f64], epsilon: f64, smallest: f64) {
        for set in InstructionSet::all() {
            for (x, y) in of::<T>(set, x) {
                let expected = x.exp2();
                assert!(
                    (y - expected).abs() <= 2.0 * epsilon * expected + smallest,
                    "{set:?}: {x} gave {y:e}, not {expected:e}"
                );
            }
        }
    }

    #[test]
    fn powers_of_two_are_right_over_the_whole_range() {
        let range =
            |least: f64| (0..200_001).map(move |i| least * (1.0 - f64::from(i) / 200_000.0) + 20.0 * f64::from(i % 2));
        // Where a result is normal, nothing but its relative error counts: the other bound is far below.
        holds::<f32>(&range(-125.0).collect::<Vec<_>>(), f64::from(f32::EPSILON), 0.0);
        holds::<f32>(
            &range(-400.0).map(|x| x.min(0.0)).collect::<Vec<_>>(),
            f64::from(f32::EPSILON),
            f64::from(f32::MIN_POSITIVE),
        );
        holds::<f64>(&range(-1021.0).collect::<Vec<_>>(), f64::EPSILON, 0.0);
        holds::<f64>(&range(-3000.0).map(|x| x.min(0.0)).collect::<Vec<_>>(), f64::EPSILON, f64::MIN_POSITIVE);
    }

    #[test]
    fn whole_powers_are_exact_and_the_ends_are_what_they_should_be() {
        fn ends<T: Number>() {
            for set in InstructionSet::all() {
                let y: Vec<f64> = of::<T>(set, &[0.0, -1.0, 3.0, -127.0 * 9.0, f64::NEG_INFINITY, -1e30])
                    .into_iter()
                    .map(|(_, y)| y)
                    .collect();
                assert_eq!(y, [1.0, 0.5, 8.0, 0.0, 0.0, 0.0], "{set:?}");
                assert!(of::<T>(set, &[f64::NAN, 0.0]).iter().map(|(_, y)| y.is_nan()).eq([true, false]), "{set:?}");
            }
        }
        ends::<f32>();
        ends::<f64>();
    }
}
