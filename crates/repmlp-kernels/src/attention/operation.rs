//! The operation: its tensors, what it keeps between the passes, and its tasks.
#![expect(unsafe_code, reason = "vector loops, and outputs that tasks share and fill before they count as numbers")]

use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::{
    IndexedParallelIterator, IntoParallelIterator, IntoParallelRefMutIterator, ParallelIterator, ParallelSliceMut,
};

use super::backward::{self, Backward, Gradients, Results};
use super::composite;
use super::forward::{self, Forward, Inputs};
use super::lanes::{Pixels, Target};
use super::positions::{Along, Tables};
use super::sizes::{Heads, RelativePositions, Sizes, Split};
use super::tiles::KEYS;
use crate::element::{TASK_ELEMENTS, for_dtype, has_kernel, slice, with_slices};
use crate::fresh::{unwritten, written};
use crate::product::Shared;
use crate::scratch::with_scratch;
use crate::simd::{InstructionSet, Number, Vector};

/// Returns, for each query, the values of its image weighted by the softmax of s·qᵀk over all keys.
///
/// The inputs are q (heads·d, …, N), k (heads·d, …, N) and v (heads·e, …, N), where v has as many pixels as k. The
/// result is (heads·e, …, N), with the pixels of q.
///
/// # Errors
/// Fails when the shapes do not fit each other, when a dimension is empty, or when the heads do not divide the
/// channels.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: Heads) -> Result<Tensor> {
    let sizes = Sizes::apart([q, k, v], heads)?;
    let mut shape = q.dims().to_vec();
    shape[0] = heads.count * sizes.e;
    if !has_kernel(q) {
        return composite::attention([q, k, v], &sizes)?.reshape(shape);
    }
    let op = Attention::new(sizes, shape.into(), [q, k, v]);
    q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, Apart(op))
}

/// Returns attention within a map. `qkv` holds queries, keys and values one after another: (heads·(2·d + e), H, W, N) →
/// (heads·e, H, W, N). The scores s·qᵀk are extended by position scores, which depend on how far away the row and the
/// column of a key are.
///
/// # Errors
/// Fails when the shapes do not fit each other, or when a dimension is empty.
pub fn attention_on_map(qkv: &Tensor, heads: Heads, positions: RelativePositions<'_>) -> Result<Tensor> {
    let sizes = Sizes::on_map(qkv, heads, positions)?;
    if !has_kernel(qkv) {
        return composite::on_map(qkv, positions, &sizes);
    }
    let RelativePositions { height, width } = positions;
    let (_, h, w, n) = qkv.dims4()?;
    let op = Attention::new(sizes, (heads.count * sizes.e, h, w, n).into(), [qkv, height, width]);
    qkv.contiguous()?.apply_op3(&height.contiguous()?, &width.contiguous()?, OnMap(op))
}

/// The sizes, and what the forward pass keeps.
pub(super) struct Attention {
    sizes: Sizes,
    output: Shape,
    /// Whether a gradient is needed.
    tracked: bool,
    /// What the forward pass keeps for backward passes: largest products and reciprocals of the sums of weights.
    kept: Mutex<Option<CpuStorage>>,
    /// Instruction set of the loops.
    pub(super) set: InstructionSet,
}

impl Attention {
    pub(super) fn new(sizes: Sizes, output: Shape, inputs: [&Tensor; 3]) -> Self {
        let tracked = inputs.iter().any(|input| input.track_op());
        Self { sizes, output, tracked, kept: Mutex::default(), set: InstructionSet::get() }
    }

    fn inputs<'a, T: Number>(&self, [q, k, v]: [&'a [T]; 3], tables: Option<&'a PackedTables<T>>) -> Inputs<'a, T> {
        let of = |data, pixels| Pixels { data, pixels, images: self.sizes.images };
        let Sizes { queries, keys, .. } = self.sizes;
        Inputs { q: of(q, queries), k: of(k, keys), v: of(v, keys), tables: tables.map(PackedTables::view) }
    }

    fn tables<T: Number>(&self, height: &[T], width: &[T]) -> PackedTables<T> {
        let (h, w) = self.sizes.map.unwrap_or((1, 1));
        PackedTables::new((height, h), (width, w), self.sizes.d)
    }

    fn forward<T: Number>(&self, qkv: [&[T]; 3], tables: Option<&PackedTables<T>>) -> Result<Vec<T>> {
        let sizes = &self.sizes;
        let split = Split::new::<T>(sizes, self.set);
        let inputs = self.inputs(qkv, tables);
        let mut y = unwritten(sizes.output());
        let shared = Shared::unwritten(&mut y);
        let of_task = if self.tracked { split.kept_of_task() } else { 0 };
        let mut kept = vec![T::zero(); split.tasks(sizes) * of_task];
        let run = |number: usize, kept: Option<&mut [T]>| {
            with_scratch(forward::room(sizes, &split), |scratch: &mut [T]| {
                let y = Target { data: &shared, start: 0, pixels: sizes.queries, images: sizes.images };
                let unit = split.task(number, sizes);
                macro_rules! run {
                    ($V:ty, $Q:literal, $SHARED:literal) => {{
                        let task =
                            Forward::<T, $Q, $SHARED> { sizes, split: &split, unit, inputs: &inputs, scratch, y, kept };
                        // SAFETY: the processor has the set, the slices fit the task, and no other task has its
                        // queries.
                        unsafe { <$V as Vector>::compiled(task) }
                    }};
                }
                match (split.set, split.shared) {
                    (InstructionSet::Plain, false) => run!(T::Plain, 3, false),
                    (InstructionSet::Plain, true) => run!(T::Plain, 3, true),
                    #[cfg(target_arch = "x86_64")]
                    (InstructionSet::Avx2(_), false) => run!(T::Avx2, 3, false),
                    #[cfg(target_arch = "x86_64")]
                    (InstructionSet::Avx2(_), true) => run!(T::Avx2, 3, true),
                    #[cfg(target_arch = "x86_64")]
                    (InstructionSet::Avx512(_), false) => run!(T::Avx512, 6, false),
                    #[cfg(target_arch = "x86_64")]
                    (InstructionSet::Avx512(_), true) => run!(T::Avx512, 6, true),
                }
            })
        };
        if self.tracked {
            kept.par_chunks_mut(of_task).enumerate().try_for_each(|(number, kept)| run(number, Some(kept)))?;
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(T::to_cpu_storage_owned(kept));
        } else {
            (0..split.tasks(sizes)).into_par_iter().try_for_each(|number| run(number, None))?;
        }
        // SAFETY: the tasks cover all heads, images and queries, and each writes all channels of its own.
        Ok(unsafe { written(y) })
    }

    /// Writes the gradients of q, k and v in full. Returns those of the tables, columns first.
    fn backward<T: Number>(
        &self,
        (qkv, tables): ([&[T]; 3], Option<&PackedTables<T>>),
        [y, dy]: [&[T]; 2],
        [dq, dk, dv]: [&mut [MaybeUninit<T>]; 3],
    ) -> Result<Vec<T>> {
        let sizes = &self.sizes;
        let split = Split::new::<T>(sizes, self.set);
        let inputs = self.inputs(qkv, tables);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(kept) = &*kept else { bail!("attention: a backward pass needs its forward pass") };
        let kept = kept.as_slice::<T>()?;
        let [_, of_k, of_v] = sizes.counts();
        // Where the queries of a unit are split, each part has its own gradients of the keys. They are added in their
        // order.
        let mut in_parts = (split.parts > 1).then(|| [of_k, of_v].map(|count| unwritten::<T>(split.parts * count)));
        let of_tables = sizes.places() * sizes.d;
        let mut d_tables = vec![T::zero(); split.tasks(sizes) * of_tables];
        let to_q = Shared::unwritten(dq);
        let run = |number: usize, d_table: &mut [T], to_k: &Shared<'_, T>, to_v: &Shared<'_, T>| {
            let unit = split.task(number, sizes);
            let of = |data, pixels| Pixels { data, pixels, images: sizes.images };
            let kept = &kept[number * split.kept_of_task()..][..split.kept_of_task()];
            let results = Results { y: of(y, sizes.queries), dy: of(dy, sizes.queries), kept };
            with_scratch(backward::room(sizes, &split), |scratch: &mut [T]| {
                let images = sizes.images;
                let gradients = Gradients {
                    q: Target { data: &to_q, start: 0, pixels: sizes.queries, images },
                    k: Target { data: to_k, start: unit.part * of_k, pixels: sizes.keys, images },
                    v: Target { data: to_v, start: unit.part * of_v, pixels: sizes.keys, images },
                    tables: d_table,
                };
                // Formatted, the function would have more lines than clippy allows.
                #[rustfmt::skip]
                macro_rules! run {
                    ($V:ty, $Q:literal, $CHANNELS:literal, $SHARED:literal) => {{
                        let task = Backward::<T, $Q, $CHANNELS, $SHARED> {
                            sizes, split: &split, unit, inputs: &inputs, results, scratch, gradients,
                        };
                        // SAFETY: the processor has the set, and the slices fit the task. No other task has its
                        // queries, and no other task of its part has its keys.
                        unsafe { <$V as Vector>::compiled(task) }
                    }};
                }
                match (split.set, split.shared) {
                    (InstructionSet::Plain, false) => run!(T::Plain, 3, 2, false),
                    (InstructionSet::Plain, true) => run!(T::Plain, 3, 2, true),
                    #[cfg(target_arch = "x86_64")]
                    (InstructionSet::Avx2(_), false) => run!(T::Avx2, 3, 2, false),
                    #[cfg(target_arch = "x86_64")]
                    (InstructionSet::Avx2(_), true) => run!(T::Avx2, 3, 2, true),
                    #[cfg(target_arch = "x86_64")]
                    (InstructionSet::Avx512(_), false) => run!(T::Avx512, 6, 4, false),
                    #[cfg(target_arch = "x86_64")]
                    (InstructionSet::Avx512(_), true) => run!(T::Avx512, 6, 4, true),
                }
            })
        };
        let all = |d_tables: &mut [T], to_k: &mut [MaybeUninit<T>], to_v: &mut [MaybeUninit<T>]| {
            let (to_k, to_v) = (Shared::unwritten(to_k), Shared::unwritten(to_v));
            if of_tables > 0 {
                let tasks = d_tables.par_chunks_mut(of_tables).enumerate();
                return tasks.try_for_each(|(number, d_table)| run(number, d_table, &to_k, &to_v));
            }
            (0..split.tasks(sizes)).into_par_iter().try_for_each(|number| run(number, &mut [], &to_k, &to_v))
        };
        match &mut in_parts {
            None => all(&mut d_tables, dk, dv)?,
            Some([k, v]) => {
                all(&mut d_tables, k, v)?;
                for (parts, to) in [(k, dk), (v, dv)] {
                    // SAFETY: the parts cover all heads and images, and write all their channels and keys.
                    unsafe { sum_parts(parts, to) };
                }
            }
        }
        let mut sums = vec![T::zero(); of_tables];
        for of_task in d_tables.chunks(of_tables.max(1)) {
            sums.iter_mut().zip(of_task).for_each(|(sum, &d)| *sum += d);
        }
        Ok(sums)
    }
}

/// Writes the sum of all parts, added in their order.
///
/// # Safety
/// The parts are written.
unsafe fn sum_parts<T: Number>(parts: &[MaybeUninit<T>], to: &mut [MaybeUninit<T>]) {
    let length = to.len();
    to.par_iter_mut().enumerate().with_min_len(TASK_ELEMENTS).for_each(|(i, to)| {
        let mut sum = T::zero();
        for part in parts.chunks_exact(length) {
            // SAFETY: guaranteed by the caller.
            sum += unsafe { part[i].assume_init() };
        }
        to.write(sum);
    });
}

/// Tables of positions, in the layout that the loops read.
struct PackedTables<T> {
    columns: (Vec<T>, usize),
    rows: (Vec<T>, usize),
    places: Vec<[u32; 2]>,
}

impl<T: Number> PackedTables<T> {
    /// Packs tables (distance, channel), given the number of positions in each direction.
    fn new((height, h): (&[T], usize), (width, w): (&[T], usize), d: usize) -> Self {
        let by_channel =
            |table: &[T]| (0..table.len()).map(|i| table[i % (table.len() / d) * d + i / (table.len() / d)]).collect();
        let place = |key: usize| if key < h * w { [(key % w) as u32, (key / w) as u32] } else { [0, 0] };
        Self {
            columns: (by_channel(width), w),
            rows: (by_channel(height), h),
            places: (0..(h * w).next_multiple_of(KEYS)).map(place).collect(),
        }
    }

    fn view(&self) -> Tables<'_, T> {
        Tables {
            columns: Along { table: &self.columns.0, size: self.columns.1, step: 1 },
            rows: Along { table: &self.rows.0, size: self.rows.1, step: self.columns.1 },
            places: &self.places,
        }
    }
}

/// Attention with separate q, k and v.
pub(super) struct Apart(pub(super) Attention);

impl CustomOp3 for Apart {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = for_dtype!(q.dtype(), T => {
            let qkv = [slice::<T>(q, q_layout)?, slice::<T>(k, k_layout)?, slice::<T>(v, v_layout)?];
            T::to_cpu_storage_owned(self.0.forward(qkv, None)?)
        });
        Ok((y, self.0.output.clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        for_dtype!(q.dtype(), T => {
            let mut rooms = self.0.sizes.counts().map(unwritten::<T>);
            let [dq, dk, dv] = &mut rooms;
            with_slices::<T, _, 5>([q, k, v, y, dy], |[q, k, v, y, dy]| {
                self.0.backward(([q, k, v], None), [y, dy], [dq, dk, dv])
            })??;
            let [dq, dk, dv] = rooms;
            let tensor = |room: Vec<MaybeUninit<T>>, like: &Tensor| {
                // SAFETY: the backward pass writes all gradients.
                Tensor::from_vec(unsafe { written(room) }, like.shape(), like.device()).map(Some)
            };
            Ok((tensor(dq, q)?, tensor(dk, k)?, tensor(dv, v)?))
        })
    }
}

/// Attention with q, k and v in one tensor, and with tables of positions.
pub(super) struct OnMap(pub(super) Attention);

impl OnMap {
    fn parts<'a, N>(&self, qkv: &'a [N]) -> [&'a [N]; 3] {
        let [of_q, of_k, _] = self.0.sizes.counts();
        let (q, kv) = qkv.split_at(of_q);
        let (k, v) = kv.split_at(of_k);
        [q, k, v]
    }
}

impl CustomOp3 for OnMap {
    fn name(&self) -> &'static str {
        "attention_on_map"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        qkv_layout: &Layout,
        height: &CpuStorage,
        height_layout: &Layout,
        width: &CpuStorage,
        width_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = for_dtype!(qkv.dtype(), T => {
            let (height, width) = (slice::<T>(height, height_layout)?, slice::<T>(width, width_layout)?);
            let tables = self.0.tables(height, width);
            T::to_cpu_storage_owned(self.0.forward(self.parts(slice::<T>(qkv, qkv_layout)?), Some(&tables))?)
        });
        Ok((y, self.0.output.clone()))
    }

    fn bwd(
        &self,
        qkv: &Tensor,
        height: &Tensor,
        width: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        for_dtype!(qkv.dtype(), T => {
            let mut room = unwritten::<T>(qkv.elem_count());
            let [of_q, of_k, _] = self.0.sizes.counts();
            let (dq, rest) = room.split_at_mut(of_q);
            let (dk, dv) = rest.split_at_mut(of_k);
            let mut d_tables = with_slices::<T, _, 5>([qkv, height, width, y, dy], |[qkv, height, width, y, dy]| {
                let tables = self.0.tables(height, width);
                self.0.backward((self.parts(qkv), Some(&tables)), [y, dy], [dq, dk, dv])
            })??;
            let d_height = d_tables.split_off(width.elem_count());
            // SAFETY: the backward pass writes all gradients.
            let d_qkv = Tensor::from_vec(unsafe { written(room) }, qkv.shape(), qkv.device())?;
            let tensor = |d: Vec<T>, like: &Tensor| Tensor::from_vec(d, like.shape(), like.device()).map(Some);
            Ok((Some(d_qkv), tensor(d_height, height)?, tensor(d_tables, width)?))
        })
    }
}
