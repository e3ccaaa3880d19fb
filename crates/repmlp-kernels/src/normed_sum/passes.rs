//! The passes between the linear maps and their sum. A pass handles all branches together, so that the sum is written
//! once and its gradient is read once.
#![expect(unsafe_code, reason = "outputs are written in full before they count as numbers")]

use std::mem::MaybeUninit;

use candle_core::WithDType;
use rayon::prelude::{
    IndexedParallelIterator, IntoParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut,
};

use crate::batch_norm::{Line, RowGradient, RowMoments, write_passed};
use crate::element::TASK_ELEMENTS;
use crate::epilogue::Activation;
use crate::fresh::{unwritten, write_all, written};
use crate::simd::{InstructionSet, for_each_set};
use crate::sums::{pair_sum, sum_and_product};

/// Numbers of each branch that are added at a time, so that they stay in the first-level cache.
const BLOCK: usize = 1 << 11;

/// Σ g and Σ (z − mean)·g of a row or a unit.
pub(super) type Sums = (f64, f64);

/// Gradient that reaches the batch norms, and its sums.
pub(super) struct Passed<T> {
    /// Part of dy that passes the activation. `None` where all of it does.
    pub(super) g: Option<Vec<T>>,
    /// Sums of each branch and row.
    pub(super) sums: Vec<Vec<Sums>>,
}

/// Returns the statistics of the rows, which are equal parts of a linear map's output.
pub(super) fn moments<T: WithDType>(z: &[T], rows: usize) -> Vec<RowMoments> {
    let (set, columns) = (InstructionSet::get(), z.len() / rows);
    z.par_chunks(columns).with_min_len((TASK_ELEMENTS / columns).max(1)).map(|row| row_moments(set, row)).collect()
}

/// The output of a branch's linear map, and the batch norm behind it.
pub(super) struct NormedRows<'a, T> {
    /// Output of the map, in as many equal rows as there are γ, β and statistics.
    pub(super) z: &'a [T],
    pub(super) gamma: &'a [T],
    pub(super) beta: &'a [T],
    pub(super) moments: &'a [RowMoments],
    pub(super) eps: f64,
}

impl<T: WithDType> NormedRows<'_, T> {
    fn rows(&self) -> usize {
        self.gamma.len()
    }

    fn columns(&self) -> usize {
        self.z.len() / self.rows()
    }

    fn line(&self, row: usize) -> Line<T> {
        self.moments[row].line((self.gamma[row], self.beta[row]), self.eps)
    }

    /// Returns the gradient of each row.
    pub(super) fn gradients(&self, sums: &[Sums]) -> Vec<RowGradient> {
        let of = |(r, &sums): (usize, &Sums)| self.moments[r].gradient(self.gamma[r], self.eps, sums, self.columns());
        sums.iter().enumerate().map(of).collect()
    }
}

/// Replaces z with its gradient in place, given the gradients of its rows.
pub(super) fn into_gradient<T: WithDType>(mut z: Vec<T>, g: &[T], gradients: &[RowGradient]) -> Vec<T> {
    let (set, columns) = (InstructionSet::get(), z.len() / gradients.len());
    let rows = z.par_chunks_mut(columns).zip(g.par_chunks(columns)).zip(gradients);
    rows.with_min_len((TASK_ELEMENTS / columns).max(1)).for_each(|((z, g), gradient)| {
        row_into_gradient(set, z, g, *gradient);
    });
    z
}

/// Branches with outputs of equal size, and the activation of their sum. A unit is the smallest row among all branches.
/// Each row is one or more whole units.
pub(super) struct Sum<'a, T> {
    branches: Vec<NormedRows<'a, T>>,
    activation: Activation,
    units: usize,
}

impl<'a, T: WithDType> Sum<'a, T> {
    /// Returns the sum of at least one branch. The number of rows of each branch divides the largest such number.
    pub(super) fn new(branches: Vec<NormedRows<'a, T>>, activation: Activation) -> Self {
        let units = branches.iter().map(NormedRows::rows).max().unwrap_or(1);
        Self { branches, activation, units }
    }

    fn len(&self) -> usize {
        self.branches.first().map_or(0, |branch| branch.z.len())
    }

    /// Numbers per unit.
    fn unit(&self) -> usize {
        self.len() / self.units
    }

    fn units_a_task(&self) -> usize {
        (TASK_ELEMENTS / self.unit()).max(1)
    }

    /// Returns activation(Σ (γ·(z − mean)/√(variance + eps) + β)).
    pub(super) fn write(&self) -> Vec<T> {
        let (set, unit) = (InstructionSet::get(), self.unit());
        let mut y = unwritten(self.len());
        y.par_chunks_mut(unit).enumerate().with_min_len(self.units_a_task()).for_each(|(u, y)| {
            let row = |branch: &NormedRows<'_, T>| u / (self.units / branch.rows());
            let lines: Vec<Line<T>> = self.branches.iter().map(|branch| branch.line(row(branch))).collect();
            for (block, y) in y.chunks_mut(BLOCK).enumerate() {
                let start = u * unit + block * BLOCK;
                write_block(set, self, &lines, start, y);
            }
        });
        // SAFETY: every block of every unit is written in full.
        unsafe { written(y) }
    }

    /// Returns the part of dy that passes the activation, and its sums.
    pub(super) fn passed(&self, y: &[T], dy: &[T]) -> Passed<T> {
        let (set, unit) = (InstructionSet::get(), self.unit());
        let places = |u: usize| u * unit..(u + 1) * unit;
        let (g, of_units): (_, Vec<Vec<Sums>>) = match self.activation {
            Activation::Identity => {
                let units = (0..self.units).into_par_iter().with_min_len(self.units_a_task());
                (None, units.map(|u| unit_sums(set, self, u, &dy[places(u)])).collect())
            }
            Activation::Relu => {
                let mut passed = unwritten(dy.len());
                let units = passed.par_chunks_mut(unit).enumerate().with_min_len(self.units_a_task());
                let sums = units
                    .map(|(u, passed)| {
                        unit_sums(set, self, u, write_passed(set, passed, &y[places(u)], &dy[places(u)]))
                    })
                    .collect();
                // SAFETY: every unit is written in full.
                (Some(unsafe { written(passed) }), sums)
            }
        };
        let of_branch = |(b, branch): (usize, &NormedRows<'_, T>)| {
            let add = |(sum, product): Sums, unit: &Vec<Sums>| (sum + unit[b].0, product + unit[b].1);
            of_units.chunks(self.units / branch.rows()).map(|row| row.iter().fold((0.0, 0.0), add)).collect()
        };
        Passed { g, sums: self.branches.iter().enumerate().map(of_branch).collect() }
    }
}

for_each_set! {
    fn row_moments[T: WithDType](row: &[T]) -> RowMoments {
        RowMoments::of(row)
    }

    fn row_into_gradient[T: WithDType](z: &mut [T], g: &[T], gradient: RowGradient) {
        for (z, &g) in z.iter_mut().zip(g) {
            *z = gradient.of(*z, g);
        }
    }

    /// Writes a block of the sum, from position `start` on. `lines` has the batch norm of each branch as a linear
    /// function.
    fn write_block[T: WithDType](sum: &Sum<'_, T>, lines: &[Line<T>], start: usize, y: &mut [MaybeUninit<T>]) {
        let activation = sum.activation.of::<T>();
        let places = start..start + y.len();
        let last = lines.len() - 1;
        let Line { about, scale, shift } = lines[0];
        let first = move |&z: &T| (z - about) * scale + shift;
        let z = &sum.branches[0].z[places.clone()];
        if last == 0 {
            write_all(y, z.iter().map(|z| activation(first(z))));
            return;
        }
        write_all(y, z.iter().map(first));
        // SAFETY: all of it has just been written.
        let y = unsafe { &mut *(std::ptr::from_mut(y) as *mut [T]) };
        for (b, &Line { about, scale, shift }) in lines.iter().enumerate().skip(1) {
            let z = &sum.branches[b].z[places.clone()];
            if b == last {
                for (y, &z) in y.iter_mut().zip(z) {
                    *y = activation(*y + ((z - about) * scale + shift));
                }
            } else {
                for (y, &z) in y.iter_mut().zip(z) {
                    *y += (z - about) * scale + shift;
                }
            }
        }
    }

    /// Returns Σ g and Σ (z − mean)·g of a unit, for each branch.
    fn unit_sums[T: WithDType](sum: &Sum<'_, T>, u: usize, g: &[T]) -> Vec<Sums> {
        let mut all: Vec<Sums> = Vec::with_capacity(sum.branches.len());
        for branch in &sum.branches {
            let z = &branch.z[u * sum.unit()..][..g.len()];
            let mean = branch.moments[u / (sum.units / branch.rows())].mean;
            all.push(match all.first() {
                None => sum_and_product(z, g, mean),
                Some(&(of_g, _)) => (of_g, pair_sum(z, g, |z, g| (z - mean) * g)),
            });
        }
        all
    }
}
