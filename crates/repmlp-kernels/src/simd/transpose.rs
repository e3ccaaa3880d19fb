//! Transposing blocks of at most `LANES` rows and columns.
#![expect(unsafe_code, reason = "vector instructions, on addresses that the caller promises")]

use crate::simd::{MOST_LANES, Vector};

/// Returns the columns of at most `LANES` rows, as vectors. The rows are equally long and hold 1 to `LANES` numbers.
/// Vector i has number i of each row, then zeros.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
pub(crate) unsafe fn transposed<'a, V: Vector>(rows: impl Iterator<Item = &'a [V::Number]>) -> [V; MOST_LANES]
where
    V::Number: 'a,
{
    // SAFETY: guaranteed by the caller; a row has as many numbers as are read.
    unsafe {
        let mut block = [V::zero(); MOST_LANES];
        for (vector, row) in block.iter_mut().zip(rows) {
            *vector = V::load_some(row);
        }
        transpose(&mut block);
        block
    }
}

/// Moves lane l of vector v to lane v of vector l, for the first `LANES` vectors.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
pub(crate) unsafe fn transpose<V: Vector>(block: &mut [V; MOST_LANES]) {
    // A number's position is (vector, lane). Both indices have equally many binary digits. A step moves the vector's
    // first digit behind the lane's last, and the lane's first digit behind the vector's last. After as many steps as
    // there are digits, vector and lane are exchanged.
    let half = V::LANES / 2;
    for _ in 0..V::LANES.ilog2() {
        let before = *block;
        for i in 0..half {
            // SAFETY: guaranteed by the caller.
            (block[2 * i], block[2 * i + 1]) = unsafe { before[i].zip(before[i + half]) };
        }
    }
}
