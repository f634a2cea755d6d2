//! Counts what this thread allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

fn note(bytes: usize) {
    // A thread that is going away has no counters any more, and nobody who asks for them.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
    let _ = BYTES.try_with(|total| total.set(total.get() + bytes));
}

// SAFETY: every call is passed on to the system's allocator unchanged, so its guarantees are ours; the counters
// are plain thread-local cells without a destructor and do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller upholds the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: `pointer` came from the system's allocator, with this layout; `size` is the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What `work` allocated on this thread, freed again or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocated {
    pub calls: usize,
    pub bytes: usize,
}

pub fn during<T>(work: impl FnOnce() -> T) -> (T, Allocated) {
    let before = (CALLS.get(), BYTES.get());
    let result = work();
    let allocated = Allocated {
        calls: CALLS.get() - before.0,
        bytes: BYTES.get() - before.1,
    };
    (result, allocated)
}

#[test]
fn the_counters_count() {
    let (kept, allocated) = during(|| vec![0_u8; 1_000]);
    assert_eq!(
        allocated,
        Allocated {
            calls: 1,
            bytes: 1_000
        }
    );
    drop(kept);
    let ((), none) = during(|| ());
    assert_eq!(none, Allocated { calls: 0, bytes: 0 });
}
