//! The program's allocator. A training step frees hundreds of megabytes that the next one asks for again, in blocks of a few dozen
//! sizes. Handed back to the system, their pages would be cleared and mapped anew at each step; kept apart by size, a free block
//! could not serve a request for another.
//!
//! Large blocks come from one heap that gives nothing back, joins neighbours that are free and takes the smallest that is large
//! enough (dlmalloc). Small ones are left to the system's allocator. Nothing here knows what a block holds.
#![expect(unsafe_code, reason = "an allocator hands out addresses")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::Dlmalloc;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};

/// A block of so many bytes, or of more, is large.
const LARGE: usize = 1 << 16;

/// Alignment of a large block in bytes: a cache line, so that whole vectors from its start on do not lie across two.
const ALIGNMENT: usize = 64;

/// The heap asks the system for a multiple of so many bytes, so that large pages fit. What is not touched takes no memory.
const GRANULARITY: usize = 1 << 25;

/// Addresses that are kept free for the heap to grow in, 1 TiB: more than machines have memory, and a small part of all addresses.
const RESERVED: usize = 1 << 40;

/// Stands behind `#[global_allocator]`. Once a large block was asked for it must not move: the heap links its lists to their own
/// addresses. Its lock may ask for a small block, which is the system's.
pub struct Allocator {
    heap: Mutex<Dlmalloc<Pages>>,
}

impl Allocator {
    /// One that has asked the system for nothing yet.
    pub const fn new() -> Self {
        Self::with_memory_from(Pages { left: Cell::new(None) })
    }

    const fn with_memory_from(pages: Pages) -> Self {
        let mut heap = Dlmalloc::new_with_allocator(pages);
        assert!(heap.set_granularity(GRANULARITY));
        // Looking for what could be given back is in vain.
        heap.set_max_release_check_rate(0);
        Self { heap: Mutex::new(heap) }
    }

    fn heap(&self) -> MutexGuard<'_, Dlmalloc<Pages>> {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Allocator {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a block comes from the heap; the same for a request and for its return.
fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= ALIGNMENT
}

// SAFETY: a large block is the heap's, of the size and alignment asked for, and goes back there; all others are the system's. The layout
// alone tells which, and it is the same for a request and its return. Neither unwinds, for the heap has no panics that depend on the
// caller.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_large(layout) {
            // SAFETY: as the caller says.
            return unsafe { System.alloc(layout) };
        }
        // SAFETY: any size may be asked for.
        unsafe { self.heap().malloc(layout.size(), ALIGNMENT) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_large(layout) {
            // SAFETY: as the caller says.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: as the caller says.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: it has that size.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !is_large(layout) {
            // SAFETY: as the caller says; the layout is that of the request, which went there.
            return unsafe { System.dealloc(block, layout) };
        }
        // SAFETY: it is the heap's.
        unsafe { self.heap().c_free(block) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller says that the size, rounded up to the alignment, is a layout's.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if !is_large(layout) && !is_large(new) {
            // SAFETY: as the caller says.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: both blocks are as long as their layouts say, and the new one is not the old one.
        unsafe {
            let to = self.alloc(new);
            if !to.is_null() {
                ptr::copy_nonoverlapping(block, to, layout.size().min(size));
                self.dealloc(block, layout);
            }
            to
        }
    }
}

/// Where the heap has its memory from, for good: addresses one behind the other, so that the heap stays one piece.
struct Pages {
    /// Of the addresses that are kept free for the heap, once it has asked for memory.
    left: Cell<Option<(usize, usize)>>,
}

impl Pages {
    /// Start and end of the addresses that are left, asked for once; no range where the system keeps none.
    fn left(&self) -> (usize, usize) {
        let left = self.left.get().unwrap_or_else(|| {
            // SAFETY: at an address of the system's choice, over no other mapping. Without access it counts as no memory.
            let all = unsafe { mmap_anonymous(ptr::null_mut(), RESERVED, ProtFlags::empty(), MapFlags::PRIVATE) };
            all.map_or((0, 0), |start| (start.expose_provenance(), start.addr() + RESERVED))
        });
        self.left.set(Some(left));
        left
    }

    /// So much memory at the next of them, or the system's refusal; none where they do not suffice.
    fn next(&self, size: usize) -> Option<rustix::io::Result<*mut u8>> {
        let (start, end) = self.left();
        if size > end - start {
            return None;
        }
        let pages: *mut u8 = ptr::with_exposed_provenance_mut(start);
        // SAFETY: the addresses are mapped, and in nobody's use.
        let allowed = unsafe { mprotect(pages.cast(), size, MprotectFlags::READ | MprotectFlags::WRITE) };
        Some(allowed.map(|()| {
            self.left.set(Some((start + size, end)));
            pages
        }))
    }
}

// SAFETY: memory is mapped for the heap alone, readable and writable, and never unmapped.
unsafe impl dlmalloc::Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let pages = self.next(size).unwrap_or_else(|| {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: at an address of the system's choice, over no other mapping.
            unsafe { mmap_anonymous(ptr::null_mut(), size, access, MapFlags::PRIVATE).map(<*mut c_void>::cast) }
        });
        let Ok(pages) = pages else { return (ptr::null_mut(), 0, 0) };
        #[cfg(target_os = "linux")]
        // SAFETY: the mapping is that long; the advice changes no content. Without large pages all works as well.
        let _ = unsafe { rustix::mm::madvise(pages.cast(), size, rustix::mm::Advice::LinuxHugepage) };
        (pages, size, 0)
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        rustix::param::page_size()
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout};
    use std::cell::Cell;
    use std::ops::Range;

    use proptest::prelude::{any, prop_assert, proptest};

    use super::{ALIGNMENT, Allocator, GRANULARITY, LARGE, Pages, is_large};

    /// A block of an allocator, with a number that says what is in it.
    struct Block<'a> {
        allocator: &'a Allocator,
        start: *mut u8,
        layout: Layout,
        number: u8,
    }

    impl<'a> Block<'a> {
        fn new(allocator: &'a Allocator, size: usize, align: usize, number: u8) -> Self {
            let layout = Layout::from_size_align(size.max(1), align).unwrap();
            // SAFETY: the layout has a size.
            let start = unsafe { allocator.alloc(layout) };
            assert!(!start.is_null() && start.addr().is_multiple_of(align));
            Self { allocator, start, layout, number }.filled()
        }

        fn filled(self) -> Self {
            // SAFETY: the block is that long.
            unsafe { self.start.write_bytes(self.number, self.layout.size()) };
            self
        }

        fn bytes(&self) -> &[u8] {
            // SAFETY: the block is that long, and was filled.
            unsafe { std::slice::from_raw_parts(self.start, self.layout.size()) }
        }

        fn is_intact(&self) -> bool {
            self.bytes().iter().all(|&byte| byte == self.number)
        }

        fn resized(mut self, size: usize) -> Self {
            let kept = size.min(self.layout.size());
            // SAFETY: the block has that layout.
            self.start = unsafe { self.allocator.realloc(self.start, self.layout, size) };
            self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
            assert!(!self.start.is_null() && self.start.addr().is_multiple_of(self.layout.align()));
            // SAFETY: so much of the block is written.
            let kept = unsafe { std::slice::from_raw_parts(self.start, kept) };
            assert!(kept.iter().all(|&byte| byte == self.number));
            self.filled()
        }

        fn range(&self) -> Range<usize> {
            self.start.addr()..self.start.addr() + self.layout.size()
        }
    }

    impl Drop for Block<'_> {
        fn drop(&mut self) {
            // SAFETY: the block has that layout, and nobody uses it any more.
            unsafe { self.allocator.dealloc(self.start, self.layout) };
        }
    }

    /// One for all cases of a property: what an allocator has reserved stays reserved.
    static SHARED: Allocator = Allocator::new();

    proptest! {
        /// Blocks of all sizes and alignments keep what was written to them, whatever comes and goes beside them.
        #[test]
        fn blocks_keep_their_content(
            steps in proptest::collection::vec((0..3_u8, 1..4 * LARGE, 0..8_u32, any::<usize>()), 1..60),
        ) {
            let mut blocks: Vec<Block<'_>> = Vec::new();
            for (s, (what, size, align, place)) in steps.into_iter().enumerate() {
                if what == 0 || blocks.is_empty() {
                    blocks.push(Block::new(&SHARED, size, 1 << align, s as u8));
                } else {
                    let block = blocks.swap_remove(place % blocks.len());
                    if what == 1 {
                        blocks.push(block.resized(size));
                    }
                }
                prop_assert!(blocks.iter().all(Block::is_intact));
            }
        }
    }

    #[test]
    fn free_neighbours_serve_a_larger_request() {
        let allocator = Allocator::new();
        let blocks: Vec<_> = (0..8).map(|b| Block::new(&allocator, 3 * LARGE + 1000 * b, 4, b as u8)).collect();
        let (first, last) = (blocks.iter().map(|b| b.range().start).min(), blocks.iter().map(|b| b.range().end).max());
        let of_all = blocks.iter().map(|b| b.layout.size()).sum();
        drop(blocks);
        let range = Block::new(&allocator, of_all, 4, 1).range();
        assert!(range.start >= first.unwrap() && range.end <= last.unwrap());
    }

    #[test]
    fn a_returned_block_serves_the_same_request() {
        let allocator = Allocator::new();
        // Its neighbours are in use: it fits or it does not.
        let [_before, place, _behind] = [1, 2, 3].map(|number| Block::new(&allocator, 5 * LARGE, 4, number));
        let range = place.range();
        drop(place);
        assert_eq!(Block::new(&allocator, 5 * LARGE, 4, 4).range(), range);
    }

    // SAFETY: a block is its holder's alone, and its allocator may be used by all threads.
    unsafe impl Send for Block<'_> {}

    #[test]
    fn threads_have_blocks_of_their_own_and_return_those_of_others() {
        let (sender, received) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let sender = sender.clone();
                scope.spawn(move || {
                    for round in 0..64 {
                        let block = |size: usize| Block::new(&SHARED, size * LARGE, 4, 64 * thread + round);
                        let blocks = [block(1), block(2), block(usize::from(thread) + 1)];
                        assert!(blocks.iter().all(Block::is_intact));
                        let [_, sent, _] = blocks;
                        sender.send(sent).unwrap();
                    }
                });
            }
            drop(sender);
            assert_eq!(received.into_iter().filter(Block::is_intact).count(), 4 * 64);
        });
    }

    #[test]
    fn zeros_are_zeros_though_the_memory_was_used() {
        let allocator = Allocator::new();
        let layout = Layout::from_size_align(2 * LARGE, 4).unwrap();
        let used = Block::new(&allocator, layout.size(), 4, 255).range();
        // SAFETY: the layout has a size.
        let start = unsafe { allocator.alloc_zeroed(layout) };
        let zeros = Block { allocator: &allocator, start, layout, number: 0 };
        assert_eq!(zeros.range(), used);
        assert!(zeros.is_intact());
    }

    #[test]
    fn large_blocks_begin_at_a_cache_line_and_rare_alignments_are_the_systems() {
        let allocator = Allocator::new();
        assert!(Block::new(&allocator, LARGE, 1, 1).start.addr().is_multiple_of(ALIGNMENT));
        assert!(!is_large(Layout::from_size_align(LARGE, 2 * ALIGNMENT).unwrap()));
    }

    #[test]
    fn without_addresses_kept_free_memory_is_found_elsewhere() {
        let allocator = Allocator::with_memory_from(Pages { left: Cell::new(Some((0, 0))) });
        // More than is asked of the system at once, so that it is asked twice.
        let blocks: Vec<_> = (0..3).map(|b| Block::new(&allocator, GRANULARITY, 4, b)).collect();
        assert!(blocks.iter().all(Block::is_intact));
    }

    #[test]
    fn what_the_system_refuses_is_no_block_and_costs_no_addresses() {
        let allocator = Allocator::new();
        let before = Block::new(&allocator, GRANULARITY, 4, 1);
        let layout = Layout::from_size_align(1 << 60, 4).unwrap();
        // SAFETY: the layout has a size.
        assert!(unsafe { allocator.alloc(layout) }.is_null());
        let after = Block::new(&allocator, GRANULARITY, 4, 2);
        assert_eq!(after.range().start.next_multiple_of(GRANULARITY), before.range().end.next_multiple_of(GRANULARITY));
    }
}
