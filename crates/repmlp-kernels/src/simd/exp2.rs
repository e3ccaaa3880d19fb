//! 2 to the power of numbers, one vector at a time: a polynomial for the fraction, and exponent bits for the whole
//! part.
#![expect(unsafe_code, reason = "vector instructions")]

use candle_core::WithDType;

use crate::simd::{Number, Vector};

/// Returns 2^x in every lane, for x up to half the largest exponent. Results that are normal numbers are within two
/// units in the last place. Below that, the error is less than the smallest normal number. From [`Number::LEAST_POWER`]
/// down to −∞ the result is 0. NaN gives NaN.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
pub(crate) unsafe fn exp2<V: Vector>(x: V) -> V {
    let splat = |number: V::Number| {
        // SAFETY: the caller guarantees the instruction set, and the address is that of a number.
        unsafe { V::splat(&raw const number) }
    };
    let (one, minus_one) = (V::Number::from_f64(1.0), V::Number::from_f64(-1.0));
    // SAFETY: guaranteed by the caller.
    unsafe {
        let (one, minus_one, rounder) = (splat(one), splat(minus_one), splat(V::Number::ROUNDER));
        // `max` in this order keeps NaN.
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
                // SAFETY: the caller guarantees the instruction set, and the slice has as many numbers as are used.
                unsafe { exp2(V::load_some(numbers)).store_some(numbers) };
            }
        }
    }

    fn of<T: Number>(set: InstructionSet, x: &[f64]) -> Vec<(f64, f64)> {
        let x: Vec<T> = x.iter().map(|&x| T::from_f64(x)).collect();
        let mut y = x.clone();
        for_instruction_set!(set, T, V => {
            // SAFETY: the processor has this set.
            unsafe { <V<T> as Vector>::compiled(Exp2(&mut y)) }
        });
        x.iter().map(|x| x.to_f64()).zip(y.iter().map(|y| y.to_f64())).collect()
    }

    /// Checks that results are within two units in the last place, plus `smallest` for results below the normal
    /// numbers.
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
    fn powers_of_two_are_accurate_over_the_whole_range() {
        let range =
            |least: f64| (0..200_001).map(move |i| least * (1.0 - f64::from(i) / 200_000.0) + 20.0 * f64::from(i % 2));
        // These results are normal numbers, so only the relative error counts.
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
    fn whole_powers_are_exact_and_extremes_give_zero_or_nan() {
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
