//! A memory allocator that keeps large blocks for the next request of their size.
//!
//! Each step of a training run frees and asks for the same large blocks; the system would take them back and hand out
//! pages that it has to clear one by one. It knows sizes, no tensors.
#![expect(unsafe_code, reason = "an allocator deals in addresses")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::{NonNull, null_mut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Blocks from this size on are kept.
const SMALLEST: usize = 1 << 16;
/// Sizes that a power of two is divided into.
const STEPS: usize = 4;
/// Powers of two from `SMALLEST` to the largest block that is kept, 4 GiB.
const POWERS: usize = 17;

/// The system's allocator, with a store of freed large blocks. A program uses it by
/// `#[global_allocator] static ALLOCATOR: BlockCache = BlockCache::new(LIMIT);`.
///
/// A block is rounded up to the next quarter of a power of two; what is not touched of it takes no memory.
pub struct BlockCache {
    /// Most bytes that are kept.
    limit: usize,
    kept: Mutex<Kept>,
}

/// Freed blocks of each size, each with the address of the next in its first word.
struct Kept {
    bytes: usize,
    first: [Option<NonNull<Free>>; STEPS * POWERS],
}

struct Free {
    next: Option<NonNull<Free>>,
}

// SAFETY: the addresses in a `Kept` are of blocks that nobody else has; whoever holds the lock may use them, on any thread.
unsafe impl Send for Kept {}

impl BlockCache {
    /// Keeps at most `limit_bytes` of freed blocks.
    #[must_use]
    pub const fn new(limit_bytes: usize) -> Self {
        Self { limit: limit_bytes, kept: Mutex::new(Kept { bytes: 0, first: [None; STEPS * POWERS] }) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a kept block of a class.
    fn take(&self, class: Class) -> Option<*mut u8> {
        let mut kept = self.kept();
        let block = kept.first[class.index]?;
        // SAFETY: a kept block is ours and begins with a `Free`, written by `keep`.
        kept.first[class.index] = unsafe { block.as_ref() }.next;
        kept.bytes -= class.bytes;
        Some(block.as_ptr().cast())
    }

    /// Keeps a freed block; `false` where there are enough.
    ///
    /// # Safety
    /// The block is of the class, aligned to a word, and nobody uses it any more.
    unsafe fn keep(&self, block: *mut u8, class: Class) -> bool {
        let mut kept = self.kept();
        let Some(free) = NonNull::new(block.cast::<Free>()).filter(|_| kept.bytes + class.bytes <= self.limit) else {
            return false;
        };
        // SAFETY: the block has room for a word, is aligned to one and is ours.
        unsafe { free.write(Free { next: kept.first[class.index] }) };
        kept.first[class.index] = Some(free);
        kept.bytes += class.bytes;
        true
    }
}

/// The size that a block is rounded up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Class {
    index: usize,
    bytes: usize,
}

impl Class {
    /// `None` for blocks that are left to the system: small or huge ones, and such of unusual alignment.
    fn of(layout: Layout) -> Option<Self> {
        let size = layout.size();
        if size < SMALLEST || layout.align() > align_of::<Free>() * 2 {
            return None;
        }
        let power = (size - 1).ilog2() as usize;
        let step = (1usize << power) / STEPS;
        let steps = (size - (1 << power)).div_ceil(step);
        let index = (power - SMALLEST.ilog2() as usize + 1).checked_mul(STEPS)? + steps;
        // The smallest size is itself a class: its power is the one before.
        let index = index - STEPS;
        (index < STEPS * POWERS).then_some(Self { index, bytes: (1 << power) + steps * step })
    }

    /// What the system is asked for.
    fn layout(self, layout: Layout) -> Layout {
        Layout::from_size_align(self.bytes, layout.align()).unwrap_or(layout)
    }
}

// SAFETY: every block comes from the system with the size of its class, or without one its own, and goes back with the same;
// between, it has one owner: the program, or the cache under its lock. The class depends on size and alignment alone, which
// the program gives back as it asked. Nothing here allocates or unwinds.
unsafe impl GlobalAlloc for BlockCache {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match Class::of(layout) {
            // SAFETY: the layout is the caller's, or larger.
            Some(class) => self.take(class).unwrap_or_else(|| unsafe { System.alloc(class.layout(layout)) }),
            // SAFETY: as above.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(class) = Class::of(layout) else {
            // SAFETY: the layout is the caller's.
            return unsafe { System.alloc_zeroed(layout) };
        };
        let Some(block) = self.take(class) else {
            // SAFETY: the layout is larger than the caller's.
            return unsafe { System.alloc_zeroed(class.layout(layout)) };
        };
        // SAFETY: a block of the class has as many bytes.
        unsafe { block.write_bytes(0, layout.size()) };
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match Class::of(layout) {
            // SAFETY: the caller gives back a block of this layout, made by `alloc` with that of the class.
            Some(class) => unsafe {
                if !self.keep(block, class) {
                    System.dealloc(block, class.layout(layout));
                }
            },
            // SAFETY: as above, with its own layout.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size, rounded up to the alignment, is a valid one.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (Class::of(layout), Class::of(new_layout)) {
            // SAFETY: the block is the system's, with its own layout, before and after.
            (None, None) => unsafe { System.realloc(block, layout, new_size) },
            (old, new) if old == new => block,
            // SAFETY: a new block takes what both have room for; then the old one, which the caller gave up, goes back.
            _ => unsafe {
                let moved = self.alloc(new_layout);
                if moved.is_null() {
                    return null_mut();
                }
                moved.copy_from_nonoverlapping(block, layout.size().min(new_size));
                self.dealloc(block, layout);
                moved
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout};

    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::{BlockCache, Class, SMALLEST};

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, 8).unwrap()
    }

    proptest! {
        #[test]
        fn a_class_has_room_wastes_at_most_a_quarter_and_is_its_own(size in SMALLEST..(1usize << 32)) {
            let class = Class::of(layout(size)).unwrap();
            prop_assert!(class.bytes >= size && class.bytes - size < size / 4 + 1);
            prop_assert_eq!(Class::of(layout(class.bytes)), Some(class));
            let next = Class::of(layout(class.bytes + 1));
            prop_assert!(next.is_none_or(|next| next.index == class.index + 1));
        }
    }

    #[test]
    fn small_and_huge_blocks_are_the_systems() {
        assert_eq!(Class::of(layout(SMALLEST - 1)), None);
        assert_eq!(Class::of(layout(1 << 33)), None);
        assert_eq!(Class::of(Layout::from_size_align(1 << 20, 4096).unwrap()), None);
    }

    #[test]
    fn a_freed_block_comes_back_cleared_where_asked_and_the_limit_holds() {
        let cache = BlockCache::new(3 << 20);
        let (million, two) = (layout(1 << 20), layout(2 << 20));
        // SAFETY: blocks are used within their layouts and given back once, with them.
        unsafe {
            let block = cache.alloc(million);
            block.write_bytes(7, million.size());
            cache.dealloc(block, million);
            let again = cache.alloc_zeroed(million);
            assert_eq!(again, block);
            assert!(std::slice::from_raw_parts(again, million.size()).iter().all(|&byte| byte == 0));
            let (other, third) = (cache.alloc(two), cache.alloc(million));
            cache.dealloc(again, million);
            cache.dealloc(other, two);
            cache.dealloc(third, million);
            assert_eq!(cache.kept().bytes, 3 << 20);
        }
    }

    #[test]
    fn a_block_keeps_its_numbers_when_it_grows_and_shrinks() {
        let cache = BlockCache::new(1 << 30);
        // SAFETY: as above.
        unsafe {
            let mut block = cache.alloc(layout(1000));
            block.write_bytes(3, 1000);
            let mut size = 1000;
            for new in [70_000, 71_000, 300_000, 80_000, 500] {
                block = cache.realloc(block, layout(size), new);
                size = new;
                assert!(std::slice::from_raw_parts(block, 500).iter().all(|&byte| byte == 3));
            }
            cache.dealloc(block, layout(size));
        }
    }
}
