//! Rows for columns, a vector's width at a time.
#![expect(unsafe_code, reason = "vector instructions, on addresses that the caller promises")]

use crate::simd::{MOST_LANES, Vector};

/// The numbers of at most `LANES` equally long rows that are not empty, themselves no longer than that: vector i has number i of each row, and zeros.
///
/// # Safety
/// The instruction set of `V`.
#[inline(always)]
pub(crate) unsafe fn transposed<'a, V: Vector>(rows: impl Iterator<Item = &'a [V::Number]>) -> [V; MOST_LANES]
where
    V::Number: 'a,
{
    // SAFETY: the caller's promise; a row has as many numbers as are read.
    unsafe {
        let mut block = [V::zero(); MOST_LANES];
        for (vector, row) in block.iter_mut().zip(rows) {
            *vector = V::load_some(row);
        }
        transpose(&mut block);
        block
    }
}

/// Lane l of vector v becomes lane v of vector l, for the first `LANES` vectors.
///
/// # Safety
/// The instruction set of `V`.
#[inline(always)]
pub(crate) unsafe fn transpose<V: Vector>(block: &mut [V; MOST_LANES]) {
    // A number's place is (vector, lane), each so many binary digits. A step moves the vector's first digit behind the lane's last
    // and the lane's first behind the vector's: after as many steps as there are digits, they have changed places.
    let half = V::LANES / 2;
    for _ in 0..V::LANES.ilog2() {
        let before = *block;
        for i in 0..half {
            // SAFETY: the caller's promise.
            (block[2 * i], block[2 * i + 1]) = unsafe { before[i].zip(before[i + half]) };
        }
    }
}
