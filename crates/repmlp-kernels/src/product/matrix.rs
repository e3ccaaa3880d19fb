//! Views of matrices, checked on creation, and an output that several tasks fill.
#![expect(unsafe_code, reason = "tasks write disjoint strided blocks of one output")]

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use candle_core::{Result, bail};

/// A strided matrix to read. The numbers of a row are consecutive, or those of a column.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub(super) data: &'a [T],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_step: usize,
    pub(super) column_step: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Returns rows of consecutive numbers, `row_step` apart, from the start of `data`. Fails when the rows exceed
    /// `data`.
    pub(crate) fn new(data: &'a [T], (rows, columns): (usize, usize), row_step: usize) -> Result<Self> {
        check_extent(data.len(), (rows, columns), row_step)?;
        Ok(Self { data, rows, columns, row_step, column_step: 1 })
    }

    /// Returns the number in a row and column.
    #[cfg(test)]
    pub(super) fn number(self, row: usize, column: usize) -> T
    where
        T: Copy,
    {
        self.data[row * self.row_step + column * self.column_step]
    }

    /// Returns the transposed matrix.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_step: self.column_step,
            column_step: self.row_step,
        }
    }
}

fn check_extent(len: usize, (rows, columns): (usize, usize), row_step: usize) -> Result<()> {
    let end = (rows.max(1) - 1).checked_mul(row_step).and_then(|start| start.checked_add(columns));
    if end.is_none_or(|end| end > len) || (rows > 1 && row_step < columns) {
        bail!("{rows} rows of {columns} numbers, {row_step} apart, do not fit {len} numbers");
    }
    Ok(())
}

/// A strided matrix to write. The numbers of a row are consecutive.
pub(crate) struct MatrixMut<'a, T> {
    data: *mut T,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_step: usize,
    life: PhantomData<&'a mut T>,
}

impl<'a, T> MatrixMut<'a, T> {
    /// Returns all of `data` as rows of `columns` numbers.
    pub(crate) fn new(data: &'a mut [T], (rows, columns): (usize, usize)) -> Result<Self> {
        check_extent(data.len(), (rows, columns), columns)?;
        Ok(Self { data: data.as_mut_ptr(), rows, columns, row_step: columns, life: PhantomData })
    }
}

impl<T: Copy> MatrixMut<'_, T> {
    /// Returns some rows and columns of the matrix. They must lie in it.
    pub(super) fn part(&mut self, rows: &Range<usize>, columns: &Range<usize>) -> MatrixMut<'_, T> {
        let lies_in = |part: &Range<usize>, count| part.start < part.end && part.end <= count;
        assert!(lies_in(rows, self.rows) && lies_in(columns, self.columns), "the part must lie in the matrix");
        // SAFETY: the ranges lie in the view and are not empty, so their first number lies in it too.
        let data = unsafe { self.data.add(rows.start * self.row_step + columns.start) };
        MatrixMut { data, rows: rows.len(), columns: columns.len(), row_step: self.row_step, life: PhantomData }
    }

    /// Returns the address of the first number.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut T {
        self.data
    }

    /// Visits the rows, one after another.
    ///
    /// # Safety
    /// All numbers are written.
    pub(crate) unsafe fn each_row(&mut self, mut visit: impl FnMut(usize, &mut [T])) {
        for r in 0..self.rows {
            // SAFETY: the row lies in the view, which is borrowed mutably and was checked to have this many numbers.
            // The caller guarantees that they are written.
            visit(r, unsafe { std::slice::from_raw_parts_mut(self.data.add(r * self.row_step), self.columns) });
        }
    }

    /// Fills the rows from rows that are `row_step` apart in `from`. Rows that `from` lacks stay unchanged.
    pub(crate) fn copy_rows(&mut self, from: &[T], row_step: usize) {
        for (r, from) in from.chunks(row_step).take(self.rows).enumerate() {
            let count = self.columns.min(from.len());
            // SAFETY: the row lies in the view, which is borrowed mutably and was checked to have this many numbers.
            // The other slice cannot overlap it.
            unsafe { self.data.add(r * self.row_step).copy_from_nonoverlapping(from.as_ptr(), count) };
        }
    }

    /// Copies all rows to rows that are `row_step` apart in `to`.
    ///
    /// # Safety
    /// All numbers are written.
    pub(crate) unsafe fn copy_rows_to(&mut self, to: &mut [T], row_step: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe { self.each_row(|r, row| to[r * row_step..][..row.len()].copy_from_slice(row)) };
    }
}

/// An output that several tasks fill, each at its own positions.
pub(crate) struct Shared<'a, T> {
    data: *mut T,
    len: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: a `Shared` gives access through `block` alone. Its callers guarantee that no position is used twice at the
// same time. Where T is `Send`, another thread than the one that borrowed the slice may write a position.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// Borrows `data` until the last task is done.
    pub(crate) fn new(data: &'a mut [T]) -> Self {
        Self { data: data.as_mut_ptr(), len: data.len(), life: PhantomData }
    }

    /// Borrows unwritten memory. Positions that no task writes stay unwritten.
    pub(crate) fn unwritten(room: &'a mut [MaybeUninit<T>]) -> Self {
        Self { data: room.as_mut_ptr().cast(), len: room.len(), life: PhantomData }
    }

    /// Returns rows of consecutive numbers, `row_step` apart, from position `start`. Fails when the rows exceed the
    /// output.
    ///
    /// # Safety
    /// No number of the block is in another block that is alive. Where something is added to the block, it is written.
    pub(crate) unsafe fn block(
        &self,
        start: usize,
        (rows, columns): (usize, usize),
        row_step: usize,
    ) -> Result<MatrixMut<'a, T>> {
        check_extent(self.len.saturating_sub(start), (rows, columns), row_step)?;
        // SAFETY: `start` lies in the slice, because `check_extent` found room for the block after it. (An empty block
        // may lie at the very end.)
        let data = unsafe { self.data.add(start.min(self.len)) };
        Ok(MatrixMut { data, rows, columns, row_step, life: PhantomData })
    }
}
