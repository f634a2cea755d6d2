//! What the process does when memory runs out: a reserve for small allocations, and few arenas.
//!
//! Rust ends the process when an allocation fails that cannot say so. Large ones, whose sizes clients decide about,
//! do say so (`try_reserve`); for all others a block is set aside, which is given back to the system when one of
//! them fails, and it is tried again. Who sees that the reserve is gone (`hold_reserve`) can stop taking more.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::prelude::*;

/// Larger than what glibc takes from its heaps, so that giving it back makes room in the address space.
const RESERVE_BYTES: usize = 8 * 1024 * 1024;
const RESERVE: Layout = match Layout::from_size_align(RESERVE_BYTES, 16) {
    Ok(layout) => layout,
    Err(_) => panic!("a layout of sixteen bytes alignment"),
};

static BLOCK: AtomicPtr<u8> = AtomicPtr::new(null_mut());

struct WithReserve;

#[global_allocator]
static ALLOCATOR: WithReserve = WithReserve;

/// Gives the reserve back to the system; whether there was one.
fn release() -> bool {
    let block = BLOCK.swap(null_mut(), Ordering::AcqRel);
    if block.is_null() {
        return false;
    }
    // SAFETY: the block was allocated by `System` with this layout, and the swap made this call its only owner.
    unsafe { System.dealloc(block, RESERVE) };
    true
}

// SAFETY: everything is passed on to `System`; a failed call is made once more after the reserve was freed, which
// touches no memory that belongs to anybody else.
unsafe impl GlobalAlloc for WithReserve {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that `System` asks for.
        let found = unsafe { System.alloc(layout) };
        if found.is_null() && layout.size() < RESERVE_BYTES && release() {
            // SAFETY: as above.
            return unsafe { System.alloc(layout) };
        }
        found
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let found = unsafe { System.alloc_zeroed(layout) };
        if found.is_null() && layout.size() < RESERVE_BYTES && release() {
            // SAFETY: as above.
            return unsafe { System.alloc_zeroed(layout) };
        }
        found
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        let found = unsafe { System.realloc(block, layout, new_size) };
        if found.is_null() && new_size < RESERVE_BYTES && release() {
            // SAFETY: as above; the first call has left the block as it was.
            return unsafe { System.realloc(block, layout, new_size) };
        }
        found
    }
}

/// Sets the reserve aside if it is not; whether it is there now. Memory that was freed goes back to the system
/// first when it had to be used.
#[pyfunction]
pub fn hold_reserve(py: Python<'_>) -> bool {
    if !BLOCK.load(Ordering::Acquire).is_null() {
        return true;
    }
    py.detach(trim_heaps);
    // SAFETY: the layout is not of size zero.
    let block = unsafe { System.alloc(RESERVE) };
    if block.is_null() {
        return false;
    }
    if BLOCK
        .compare_exchange(null_mut(), block, Ordering::AcqRel, Ordering::Acquire)
        .is_err()
    {
        // SAFETY: allocated above, and known to nobody else.
        unsafe { System.dealloc(block, RESERVE) };
    }
    true
}

/// Gives the reserve back to the system, for allocations of others; whether there was one.
#[pyfunction]
pub fn release_reserve() -> bool {
    release()
}

/// Lets threads share `count` heaps. Each heap reserves 64 MiB of address space and keeps what is freed in it.
#[pyfunction]
pub fn limit_heaps(count: i32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` takes plain numbers and has no other requirement.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, count);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = count;
}

/// Gives memory that was freed back to the system, if it is at least `least` bytes; whether it was.
///
/// glibc does so by itself only at the end of a heap: one block that stays there keeps all below it.
#[pyfunction]
pub fn give_back(py: Python<'_>, least: usize) -> bool {
    py.detach(|| {
        let is_much = freed() >= least;
        if is_much {
            trim_heaps();
        }
        is_much
    })
}

/// Bytes that are free in the heaps.
fn freed() -> usize {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: `mallinfo` may be called at any time by any thread.
        let info = unsafe { libc::mallinfo() };
        // Numbers of 32 bits: beyond 2 GiB they wrap, and are taken for many.
        info.fordblks as u32 as usize
    }
    #[cfg(not(target_env = "gnu"))]
    0
}

fn trim_heaps() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` may be called at any time by any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
