//! The epilogue of a convolution: a bias, a shortcut, a `ReLU`. It is applied while the sums are in the cache.
#![expect(unsafe_code, reason = "blocks are written before their epilogue")]

use std::ops::Range;

use candle_core::WithDType;

use crate::epilogue::Activation;
use crate::packing::prefetch;
use crate::product::{MatrixMut, TileEpilogue};
use crate::simd::{InstructionSet, Number, Vector, for_each_set};

/// The epilogue y ← activation(y + bias of the channel + addend).
pub(crate) struct ConvEpilogue<'a, T> {
    /// Instruction set of its loops.
    pub(crate) set: InstructionSet,
    /// A number for each output channel.
    pub(crate) bias: &'a [T],
    /// Numbers to add, as many as the output has.
    pub(crate) addend: Option<&'a [T]>,
    /// Applied last.
    pub(crate) activation: Activation,
    /// Numbers per output channel.
    pub(crate) map: usize,
}

impl<T: WithDType> ConvEpilogue<'_, T> {
    /// Applies the epilogue to a block of channels. Its first number is number `start` of the output.
    ///
    /// # Safety
    /// The block is written.
    pub(crate) unsafe fn block(&self, block: &mut MatrixMut<'_, T>, start: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe { block.each_row(|r, row| self.row(row, start + r * self.map)) };
    }

    /// Applies the epilogue to consecutive numbers of a channel.
    pub(crate) fn row(&self, row: &mut [T], start: usize) {
        let bias = self.bias[start / self.map];
        match self.addend {
            None => add_bias(self.set, row, bias, self.activation),
            Some(addend) => add_both(self.set, row, bias, &addend[start..], self.activation),
        }
    }
}

/// The epilogue of a product that writes the output from number `start` on. It does nothing where there is no epilogue.
pub(crate) struct EpilogueFrom<'a, T> {
    pub(crate) epilogue: Option<&'a ConvEpilogue<'a, T>>,
    pub(crate) start: usize,
}

impl<T: Number> TileEpilogue<T> for EpilogueFrom<'_, T> {
    #[inline(always)]
    unsafe fn prefetch<V: Vector<Number = T>>(&self, rows: &Range<usize>, columns: &Range<usize>) {
        let Some((epilogue, addend)) = self.epilogue.and_then(|epilogue| Some((epilogue, epilogue.addend?))) else {
            return;
        };
        for row in rows.clone() {
            let start = self.start + row * epilogue.map + columns.start;
            // SAFETY: guaranteed by the caller.
            unsafe { prefetch::<V>(&addend[start..][..columns.len()]) };
        }
    }

    unsafe fn apply(&self, sums: &mut MatrixMut<'_, T>, (row, column): (usize, usize)) {
        if let Some(epilogue) = self.epilogue {
            // SAFETY: guaranteed by the caller.
            unsafe { epilogue.block(sums, self.start + row * epilogue.map + column) };
        }
    }
}

for_each_set! {
    fn add_bias[T: WithDType](row: &mut [T], bias: T, activation: Activation) {
        let activation = activation.of::<T>();
        for y in row {
            *y = activation(*y + bias);
        }
    }

    fn add_both[T: WithDType](row: &mut [T], bias: T, addend: &[T], activation: Activation) {
        let activation = activation.of::<T>();
        for (y, &addend) in row.iter_mut().zip(addend) {
            *y = activation(*y + bias + addend);
        }
    }
}
