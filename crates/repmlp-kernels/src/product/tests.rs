//! Products against sums computed term by term, in every layout of a view.
#![expect(unsafe_code, reason = "an epilogue relies on the product")]

use std::cell::RefCell;
use std::ops::Range;

use candle_core::DType;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_assert, prop_oneof, proptest};

use crate::oracle_tests::bound;
use crate::product::{Matrix, MatrixMut, TileEpilogue, Update, multiply, multiply_with_epilogue};
use crate::simd::{InstructionSet, Number, Vector};

/// Returns numbers between −1 and 1.
fn numbers<T: Number>(count: usize, seed: u64) -> Vec<T> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        T::from_f64((state >> 33) as f64 / f64::from(1u32 << 30) - 1.0)
    };
    (0..count).map(|_| next()).collect()
}

/// Memory layout of a matrix: its rows or its columns are consecutive.
#[derive(Clone, Copy, Debug)]
enum Lie {
    Rows,
    Columns,
}

/// Returns a matrix with rows, or columns, that lie `gap` numbers further apart than necessary.
fn view<T: Number>(data: &[T], (rows, columns): (usize, usize), gap: usize, lie: Lie) -> Matrix<'_, T> {
    match lie {
        Lie::Rows => Matrix::new(data, (rows, columns), columns + gap).unwrap(),
        Lie::Columns => Matrix::new(data, (columns, rows), rows + gap).unwrap().transposed(),
    }
}

#[derive(Clone, Debug)]
struct Case {
    /// Rows, columns, terms.
    sizes: [usize; 3],
    gap: usize,
    left: Lie,
    right: Lie,
    update: Update,
}

/// Negates each number, and counts how often.
struct Negate {
    columns: usize,
    counts: RefCell<Vec<u8>>,
}

impl<T: Number> TileEpilogue<T> for Negate {
    unsafe fn prefetch<V: Vector<Number = T>>(&self, _: &Range<usize>, _: &Range<usize>) {}

    unsafe fn apply(&self, sums: &mut MatrixMut<'_, T>, (row, column): (usize, usize)) {
        let visit = |r: usize, numbers: &mut [T]| {
            let places = &mut self.counts.borrow_mut()[(row + r) * self.columns + column..];
            for (number, count) in numbers.iter_mut().zip(places) {
                (*number, *count) = (T::zero() - *number, *count + 1);
            }
        };
        // SAFETY: guaranteed by the caller.
        unsafe { sums.each_row(visit) };
    }
}

/// Returns the largest error, relative to the largest possible sum.
fn worst<T: Number>(set: InstructionSet, case: &Case) -> f64 {
    let Case { sizes: [rows, columns, terms], gap, update, .. } = *case;
    let left: Vec<T> = numbers((rows + gap) * (terms + gap), 1);
    let right: Vec<T> = numbers((terms + gap) * (columns + gap), 2);
    let left = view(&left, (rows, terms), gap, case.left);
    let right = view(&right, (terms, columns), gap, case.right);
    let there: Vec<T> = numbers(rows * columns, 3);
    let mut actual = there.clone();
    multiply(set, &mut MatrixMut::new(&mut actual, (rows, columns)).unwrap(), update, left, right).unwrap();
    let mut negated = there.clone();
    let negate = Negate { columns, counts: RefCell::new(vec![0; rows * columns]) };
    let mut target = MatrixMut::new(&mut negated, (rows, columns)).unwrap();
    multiply_with_epilogue(set, &mut target, update, (left, right), &negate).unwrap();
    assert!(negate.counts.into_inner().iter().all(|&count| count == 1), "an epilogue gets each number once");
    assert!(negated.iter().zip(&actual).all(|(&negated, &sum)| negated == T::zero() - sum));
    let mut worst: f64 = 0.0;
    for r in 0..rows {
        for c in 0..columns {
            let term = |t: usize| left.number(r, t).to_f64() * right.number(t, c).to_f64();
            let begun = if update == Update::Add { there[r * columns + c].to_f64() } else { 0.0 };
            let expected = (0..terms).map(term).sum::<f64>() + begun;
            worst = worst.max((actual[r * columns + c].to_f64() - expected).abs() / (terms as f64 + 1.0));
        }
    }
    worst
}

/// Cases with more rows, columns and terms than a block, with less than a vector, and without terms.
fn cases() -> impl Strategy<Value = Case> {
    let lie = || prop_oneof![Just(Lie::Rows), Just(Lie::Columns)];
    let update = prop_oneof![Just(Update::Replace), Just(Update::Add)];
    ((1..300usize, 1..300usize, 0..600usize), 0..3usize, lie(), lie(), update).prop_map(
        |((rows, columns, terms), gap, left, right, update)| Case {
            sizes: [rows, columns, terms],
            gap,
            left,
            right,
            update,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn products_match_sums_computed_term_by_term(case in cases()) {
        for set in InstructionSet::all() {
            let single = worst::<f32>(set, &case);
            prop_assert!(single < bound(DType::F32), "{set:?}: {single}");
            let double = worst::<f64>(set, &case);
            prop_assert!(double < bound(DType::F64), "{set:?}: {double}");
        }
    }
}

#[test]
fn sums_without_terms_are_written_and_sizes_that_differ_are_refused() {
    let set = InstructionSet::get();
    let mut target = [1.0f32; 6];
    let of = |rows, columns| Matrix::new(&[0.0; 3], (rows, columns), columns).unwrap();
    let mut whole = MatrixMut::new(&mut target, (2, 3)).unwrap();
    multiply(set, &mut whole, Update::Replace, of(2, 0), of(0, 3)).unwrap();
    assert!(multiply(set, &mut whole, Update::Replace, of(2, 0), of(0, 2)).is_err());
    multiply(set, &mut MatrixMut::new(&mut target, (2, 3)).unwrap(), Update::Replace, of(2, 0), of(3, 0).transposed())
        .unwrap();
    assert!(target.iter().all(|&number| number == 0.0), "{target:?}");
}
