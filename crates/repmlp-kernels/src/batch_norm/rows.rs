//! The passes of batch norm, row by row. A row is still in the cache when it is read again.
#![expect(unsafe_code, reason = "outputs are written in full before they count as numbers")]

use std::mem::MaybeUninit;

use candle_core::WithDType;
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use crate::element::TASK_ELEMENTS;
use crate::epilogue::Activation;
use crate::fresh::{unwritten, write_all, written};
use crate::simd::{InstructionSet, for_each_set};
use crate::sums::{mean_and_variance, sum_and_product};

/// Statistics of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowMoments {
    pub(crate) mean: f64,
    /// Biased variance.
    pub(crate) variance: f64,
}

impl RowMoments {
    /// Returns the statistics of a non-empty row.
    #[inline(always)]
    pub(crate) fn of<T: WithDType>(row: &[T]) -> Self {
        let (mean, variance) = mean_and_variance(row);
        Self { mean, variance }
    }

    fn inverse_sigma(self, eps: f64) -> f64 {
        1.0 / (self.variance + eps).sqrt()
    }

    /// Returns batch norm of this row as a linear function.
    pub(crate) fn line<T: WithDType>(self, (gamma, beta): (T, T), eps: f64) -> Line<T> {
        let scale = gamma.to_f64() / (self.variance + eps).sqrt();
        Line { about: T::from_f64(self.mean), scale: T::from_f64(scale), shift: beta }
    }

    /// Returns the gradient of the row, given Σ g and Σ (x − mean)·g over its `columns` numbers.
    pub(crate) fn gradient<T: WithDType>(
        self,
        gamma: T,
        eps: f64,
        (d_beta, product): (f64, f64),
        columns: usize,
    ) -> RowGradient {
        let (inverse_sigma, columns) = (self.inverse_sigma(eps), columns as f64);
        let d_gamma = product * inverse_sigma;
        RowGradient {
            gamma: d_gamma,
            beta: d_beta,
            scale: gamma.to_f64() * inverse_sigma,
            mean_g: d_beta / columns,
            slope: d_gamma / columns * inverse_sigma,
            mean: self.mean,
        }
    }
}

/// Gradients of a row: dx = γ/σ · (g − mean(g) − x̂ · mean(g·x̂)), dγ = Σ g·x̂, dβ = Σ g, with x̂ = (x − mean)/σ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowGradient {
    /// dγ.
    pub(crate) gamma: f64,
    /// dβ.
    pub(crate) beta: f64,
    scale: f64,
    mean_g: f64,
    slope: f64,
    mean: f64,
}

impl RowGradient {
    /// Returns dx of one number. The computation is in `f64`: a row of dx sums to zero, and the layer before the norm
    /// relies on it (the gradient of its bias is that sum). A mean rounded to `f32` would add the same error to every
    /// column.
    #[inline(always)]
    pub(crate) fn of<T: WithDType>(self, x: T, g: T) -> T {
        T::from_f64(self.scale * (g.to_f64() - self.mean_g - (x.to_f64() - self.mean) * self.slope))
    }
}

/// Rows to normalise. `affine` holds γ and β, one after the other.
pub(super) struct Rows<'a, T> {
    pub(super) x: &'a [T],
    pub(super) affine: &'a [T],
    pub(super) addend: Option<&'a [T]>,
    pub(super) activation: Activation,
}

/// Gradients of the inputs in `Rows`.
pub(super) struct Gradients<T> {
    pub(super) x: Vec<T>,
    /// Gradients of γ and β, one after the other.
    pub(super) affine: Vec<T>,
    /// dy where y > 0, and 0 elsewhere. `None` where all of dy passes.
    pub(super) masked: Option<Vec<T>>,
}

/// The linear function y = (x − about)·scale + shift.
#[derive(Clone, Copy)]
pub(crate) struct Line<T> {
    pub(crate) about: T,
    pub(crate) scale: T,
    pub(crate) shift: T,
}

impl<T: WithDType> Rows<'_, T> {
    fn count(&self) -> usize {
        self.affine.len() / 2
    }

    fn columns(&self) -> usize {
        self.x.len() / self.count()
    }

    fn rows_a_task(&self) -> usize {
        (TASK_ELEMENTS / self.columns()).max(1)
    }

    /// Returns the numbers of row `r`.
    fn row<'b, U>(&self, all: &'b [U], r: usize) -> &'b [U] {
        &all[r * self.columns()..][..self.columns()]
    }

    /// Returns the normalised rows, and the statistics of each row.
    pub(super) fn normalise(&self, eps: f64) -> (Vec<T>, Vec<RowMoments>) {
        let set = InstructionSet::get();
        let mut y = unwritten(self.x.len());
        let rows = y.par_chunks_mut(self.columns()).enumerate().with_min_len(self.rows_a_task());
        let moments = rows.map(|(r, y)| normalise_row(set, self, r, eps, y)).collect();
        // SAFETY: every row is written in full.
        (unsafe { written(y) }, moments)
    }

    /// Returns γ·x + β for each row, followed by the epilogue.
    pub(super) fn scale_and_shift(&self) -> Vec<T> {
        let set = InstructionSet::get();
        let mut y = unwritten(self.x.len());
        let rows = y.par_chunks_mut(self.columns()).enumerate().with_min_len(self.rows_a_task());
        rows.for_each(|(r, y)| {
            let line = Line { about: T::zero(), scale: self.affine[r], shift: self.shift(r) };
            write_line(set, self, r, line, y);
        });
        // SAFETY: every row is written in full.
        unsafe { written(y) }
    }

    fn shift(&self, r: usize) -> T {
        self.affine[self.count() + r]
    }

    #[inline(always)]
    fn write_row(&self, r: usize, line: Line<T>, y: &mut [MaybeUninit<T>]) {
        let Line { about, scale, shift } = line;
        let activation = self.activation.of::<T>();
        let x = self.row(self.x, r);
        match self.addend {
            None => write_all(y, x.iter().map(|&x| activation((x - about) * scale + shift))),
            Some(addend) => {
                let pairs = x.iter().zip(self.row(addend, r));
                write_all(y, pairs.map(|(&x, &addend)| activation((x - about) * scale + shift + addend)));
            }
        }
    }

    /// Returns the gradients of all rows. In the formulas, g is the part of dy that passes the activation.
    pub(super) fn gradients(&self, y: &[T], dy: &[T], moments: &[RowMoments], eps: f64) -> Gradients<T> {
        let mut dx = unwritten(self.x.len());
        let rows = dx.par_chunks_mut(self.columns()).enumerate().with_min_len(self.rows_a_task());
        let set = InstructionSet::get();
        let (sums, masked): (Vec<(f64, f64)>, _) = if self.activation == Activation::Relu {
            let mut masked = unwritten(dy.len());
            let sums = rows
                .zip(masked.par_chunks_mut(self.columns()))
                .map(|((r, dx), masked)| {
                    let g = write_passed(set, masked, self.row(y, r), self.row(dy, r));
                    gradient_row(set, self, (r, g), (moments[r], eps), dx)
                })
                .collect();
            // SAFETY: every row is written in full.
            (sums, Some(unsafe { written(masked) }))
        } else {
            let row = |(r, dx): (usize, &mut [MaybeUninit<T>])| {
                gradient_row(set, self, (r, self.row(dy, r)), (moments[r], eps), dx)
            };
            (rows.map(row).collect(), None)
        };
        let affine = sums.iter().map(|s| s.1).chain(sums.iter().map(|s| s.0)).map(T::from_f64).collect();
        // SAFETY: every row is written in full.
        Gradients { x: unsafe { written(dx) }, affine, masked }
    }
}

for_each_set! {
    /// Normalises a row with its own statistics, and returns them.
    fn normalise_row[T: WithDType](rows: &Rows<'_, T>, r: usize, eps: f64, y: &mut [MaybeUninit<T>]) -> RowMoments {
        let moments = RowMoments::of(rows.row(rows.x, r));
        rows.write_row(r, moments.line((rows.affine[r], rows.shift(r)), eps), y);
        moments
    }

    /// Applies a linear function and the epilogue to a row.
    fn write_line[T: WithDType](rows: &Rows<'_, T>, r: usize, line: Line<T>, y: &mut [MaybeUninit<T>]) {
        rows.write_row(r, line, y);
    }

    /// Writes dx of a row. Returns dβ and dγ.
    fn gradient_row[T: WithDType](
        rows: &Rows<'_, T>, row: (usize, &[T]), statistics: (RowMoments, f64), dx: &mut [MaybeUninit<T>]
    ) -> (f64, f64) {
        let ((r, g), (moments, eps)) = (row, statistics);
        let x = rows.row(rows.x, r);
        let gradient = moments.gradient(rows.affine[r], eps, sum_and_product(x, g, moments.mean), x.len());
        write_all(dx, x.iter().zip(g).map(|(&x, &g)| gradient.of(x, g)));
        (gradient.beta, gradient.gamma)
    }

    fn write_where_positive[T: WithDType](to: &mut [MaybeUninit<T>], y: &[T], dy: &[T]) {
        write_all(to, y.iter().zip(dy).map(|(&y, &dy)| if y > T::zero() { dy } else { T::zero() }));
    }
}

/// Writes and returns the part of dy that passes a `ReLU` with output y.
pub(crate) fn write_passed<'a, T: WithDType>(
    set: InstructionSet,
    to: &'a mut [MaybeUninit<T>],
    y: &[T],
    dy: &[T],
) -> &'a [T] {
    write_where_positive(set, to, y, dy);
    // SAFETY: all of it has just been written.
    unsafe { &*(std::ptr::from_ref::<[MaybeUninit<T>]>(to) as *const [T]) }
}
