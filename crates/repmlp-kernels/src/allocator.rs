//! The program's allocator. A training step frees hundreds of megabytes, and the next step requests them again, in
//! blocks of a few dozen sizes. If this memory went back to the system, the system would clear and map its pages again
//! at every step. If free blocks were kept by size, a free block could not serve a request of another size.
//!
//! Large blocks come from one heap (dlmalloc). It returns nothing to the system, merges free neighbours and takes the
//! smallest free block that is large enough. Small blocks come from the system's allocator. The allocator does not know
//! what a block contains.
#![expect(unsafe_code, reason = "an allocator returns raw addresses")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::Dlmalloc;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};

/// Minimum size of a large block, in bytes.
const LARGE: usize = 1 << 16;

/// Alignment of a large block in bytes: a cache line. A vector that is read from such a block then never crosses two
/// cache lines.
const ALIGNMENT: usize = 64;

/// The heap requests memory from the system in multiples of this many bytes, so that large pages fit. Untouched pages
/// take no memory.
const GRANULARITY: usize = 1 << 25;

/// Size of the address range reserved for the heap: 1 TiB. This is more memory than machines have, and a small part of
/// all addresses.
const RESERVED: usize = 1 << 40;

/// The global allocator (`#[global_allocator]`). It must not move after the first request for a large block, because
/// the heap's lists point to their own addresses. Its lock may request a small block, which comes from the system.
pub struct Allocator {
    heap: Mutex<Dlmalloc<Pages>>,
}

impl Allocator {
    /// Returns an allocator that has requested nothing from the system yet.
    pub const fn new() -> Self {
        Self::with_memory_from(Pages { left: Cell::new(None) })
    }

    const fn with_memory_from(pages: Pages) -> Self {
        let mut heap = Dlmalloc::new_with_allocator(pages);
        assert!(heap.set_granularity(GRANULARITY));
        // The heap never returns memory, so it need not look for memory to return.
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

/// Whether a block comes from the heap. The answer is the same for a request and for its return.
fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= ALIGNMENT
}

// SAFETY: a large block comes from the heap with the requested size and alignment, and returns to it. All other blocks
// are the system's. The layout alone decides which, and it is the same for a request and its return. No method unwinds:
// the heap has no panic that a caller could cause.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_large(layout) {
            // SAFETY: guaranteed by the caller.
            return unsafe { System.alloc(layout) };
        }
        // SAFETY: the heap accepts any size.
        unsafe { self.heap().malloc(layout.size(), ALIGNMENT) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_large(layout) {
            // SAFETY: guaranteed by the caller.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: guaranteed by the caller.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: the block has that size.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !is_large(layout) {
            // SAFETY: guaranteed by the caller. The request had the same layout, so the block came from the system.
            return unsafe { System.dealloc(block, layout) };
        }
        // SAFETY: the block came from the heap.
        unsafe { self.heap().c_free(block) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that the size, rounded up to the alignment, forms a valid layout.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if !is_large(layout) && !is_large(new) {
            // SAFETY: guaranteed by the caller.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: both blocks are as long as their layouts say, and they do not overlap.
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

/// The heap's source of memory. It hands out consecutive addresses and takes none back, so the heap stays one piece.
struct Pages {
    /// Start and end of the reserved addresses that are still unused. `None` before the heap's first request.
    left: Cell<Option<(usize, usize)>>,
}

impl Pages {
    /// Returns start and end of the unused reserved addresses. The first call reserves them. The range is empty where
    /// the system reserves none.
    fn left(&self) -> (usize, usize) {
        let left = self.left.get().unwrap_or_else(|| {
            // SAFETY: the system chooses the address, so the mapping replaces no other. A mapping without access does
            // not count as memory.
            let all = unsafe { mmap_anonymous(ptr::null_mut(), RESERVED, ProtFlags::empty(), MapFlags::PRIVATE) };
            all.map_or((0, 0), |start| (start.expose_provenance(), start.addr() + RESERVED))
        });
        self.left.set(Some(left));
        left
    }

    /// Makes the next `size` bytes of the reserved range usable, or returns the system's error. Returns `None` when the
    /// range is too small.
    fn next(&self, size: usize) -> Option<rustix::io::Result<*mut u8>> {
        let (start, end) = self.left();
        if size > end - start {
            return None;
        }
        let pages: *mut u8 = ptr::with_exposed_provenance_mut(start);
        // SAFETY: the addresses are mapped, and nothing uses them yet.
        let allowed = unsafe { mprotect(pages.cast(), size, MprotectFlags::READ | MprotectFlags::WRITE) };
        Some(allowed.map(|()| {
            self.left.set(Some((start + size, end)));
            pages
        }))
    }
}

// SAFETY: memory is mapped for the heap alone, is readable and writable, and is never unmapped.
unsafe impl dlmalloc::Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let pages = self.next(size).unwrap_or_else(|| {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: the system chooses the address, so the mapping replaces no other.
            unsafe { mmap_anonymous(ptr::null_mut(), size, access, MapFlags::PRIVATE).map(<*mut c_void>::cast) }
        });
        let Ok(pages) = pages else { return (ptr::null_mut(), 0, 0) };
        #[cfg(target_os = "linux")]
        // SAFETY: the mapping has that length, and the advice changes no content. Memory works without large pages too.
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

    /// A block of an allocator, filled with a number.
    struct Block<'a> {
        allocator: &'a Allocator,
        start: *mut u8,
        layout: Layout,
        number: u8,
    }

    impl<'a> Block<'a> {
        fn new(allocator: &'a Allocator, size: usize, align: usize, number: u8) -> Self {
            let layout = Layout::from_size_align(size.max(1), align).unwrap();
            // SAFETY: the layout has a size above 0.
            let start = unsafe { allocator.alloc(layout) };
            assert!(!start.is_null() && start.addr().is_multiple_of(align));
            Self { allocator, start, layout, number }.filled()
        }

        fn filled(self) -> Self {
            // SAFETY: the block has that length.
            unsafe { self.start.write_bytes(self.number, self.layout.size()) };
            self
        }

        fn bytes(&self) -> &[u8] {
            // SAFETY: the block has that length and was filled.
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
            // SAFETY: the first `kept` bytes of the block are written.
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
            // SAFETY: the block has that layout, and nothing uses it any more.
            unsafe { self.allocator.dealloc(self.start, self.layout) };
        }
    }

    /// All cases of a property share one allocator, because reserved addresses are never released.
    static SHARED: Allocator = Allocator::new();

    proptest! {
        /// Blocks of all sizes and alignments keep their content while other blocks come and go.
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
        // The neighbours are in use, so the place fits exactly or not at all.
        let [_before, place, _behind] = [1, 2, 3].map(|number| Block::new(&allocator, 5 * LARGE, 4, number));
        let range = place.range();
        drop(place);
        assert_eq!(Block::new(&allocator, 5 * LARGE, 4, 4).range(), range);
    }

    // SAFETY: only its owner uses a block, and all threads may use its allocator.
    unsafe impl Send for Block<'_> {}

    #[test]
    fn threads_get_separate_blocks_and_can_free_blocks_of_other_threads() {
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
    fn zeroed_blocks_are_zero_even_in_used_memory() {
        let allocator = Allocator::new();
        let layout = Layout::from_size_align(2 * LARGE, 4).unwrap();
        let used = Block::new(&allocator, layout.size(), 4, 255).range();
        // SAFETY: the layout has a size above 0.
        let start = unsafe { allocator.alloc_zeroed(layout) };
        let zeros = Block { allocator: &allocator, start, layout, number: 0 };
        assert_eq!(zeros.range(), used);
        assert!(zeros.is_intact());
    }

    #[test]
    fn large_blocks_begin_at_a_cache_line_and_larger_alignments_go_to_the_system() {
        let allocator = Allocator::new();
        assert!(Block::new(&allocator, LARGE, 1, 1).start.addr().is_multiple_of(ALIGNMENT));
        assert!(!is_large(Layout::from_size_align(LARGE, 2 * ALIGNMENT).unwrap()));
    }

    #[test]
    fn without_reserved_addresses_memory_comes_from_elsewhere() {
        let allocator = Allocator::with_memory_from(Pages { left: Cell::new(Some((0, 0))) });
        // Together, the blocks exceed one request to the system, so the heap requests memory more than once.
        let blocks: Vec<_> = (0..3).map(|b| Block::new(&allocator, GRANULARITY, 4, b)).collect();
        assert!(blocks.iter().all(Block::is_intact));
    }

    #[test]
    fn a_refused_request_returns_null_and_uses_no_addresses() {
        let allocator = Allocator::new();
        let before = Block::new(&allocator, GRANULARITY, 4, 1);
        let layout = Layout::from_size_align(1 << 60, 4).unwrap();
        // SAFETY: the layout has a size above 0.
        assert!(unsafe { allocator.alloc(layout) }.is_null());
        let after = Block::new(&allocator, GRANULARITY, 4, 2);
        assert_eq!(after.range().start.next_multiple_of(GRANULARITY), before.range().end.next_multiple_of(GRANULARITY));
    }
}
