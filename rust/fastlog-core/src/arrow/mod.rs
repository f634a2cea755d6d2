//! Arrow's C data interface and C stream interface, by hand: the three structs, a table of records as their contents,
//! and record columns out of what others give. The layout is frozen by Arrow's specification.
//!
//! | struct | who owns what is behind it |
//! |---|---|
//! | any, `release` set | whoever holds the struct: it is released once, by a call of `release` or by its drop |
//! | any, `release` null | nobody: it was released, or moved elsewhere |
//! | a child, or a dictionary | its parent, until somebody moves it out and leaves null in its `release` |
//!
//! A struct may be moved in memory; what it points to stays.

mod export;
mod import;
mod strings;

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

pub use export::{ArrowTable, stream_of};
pub use import::{ArrowRow, ArrowRows, ArrowSource};

/// The type of an array (`struct ArrowSchema`).
#[repr(C)]
#[derive(Debug)]
pub struct ArrowSchema {
    pub(crate) format: *const c_char,
    pub(crate) name: *const c_char,
    pub(crate) metadata: *const c_char,
    pub(crate) flags: i64,
    pub(crate) n_children: i64,
    pub(crate) children: *mut *mut ArrowSchema,
    pub(crate) dictionary: *mut ArrowSchema,
    pub(crate) release: Option<unsafe extern "C" fn(*mut ArrowSchema)>,
    pub(crate) private_data: *mut c_void,
}

/// An array (`struct ArrowArray`).
#[repr(C)]
#[derive(Debug)]
pub struct ArrowArray {
    pub(crate) length: i64,
    pub(crate) null_count: i64,
    pub(crate) offset: i64,
    pub(crate) n_buffers: i64,
    pub(crate) n_children: i64,
    pub(crate) buffers: *mut *const c_void,
    pub(crate) children: *mut *mut ArrowArray,
    pub(crate) dictionary: *mut ArrowArray,
    pub(crate) release: Option<unsafe extern "C" fn(*mut ArrowArray)>,
    pub(crate) private_data: *mut c_void,
}

/// A sequence of arrays of one type (`struct ArrowArrayStream`).
#[repr(C)]
#[derive(Debug)]
pub struct ArrowArrayStream {
    pub(crate) get_schema: Option<unsafe extern "C" fn(*mut ArrowArrayStream, *mut ArrowSchema) -> c_int>,
    pub(crate) get_next: Option<unsafe extern "C" fn(*mut ArrowArrayStream, *mut ArrowArray) -> c_int>,
    pub(crate) get_last_error: Option<unsafe extern "C" fn(*mut ArrowArrayStream) -> *const c_char>,
    pub(crate) release: Option<unsafe extern "C" fn(*mut ArrowArrayStream)>,
    pub(crate) private_data: *mut c_void,
}

impl ArrowSchema {
    /// One that owns nothing, to be filled in.
    pub const fn empty() -> Self {
        Self {
            format: ptr::null(),
            name: ptr::null(),
            metadata: ptr::null(),
            flags: 0,
            n_children: 0,
            children: ptr::null_mut(),
            dictionary: ptr::null_mut(),
            release: None,
            private_data: ptr::null_mut(),
        }
    }
}

impl ArrowArray {
    /// One that owns nothing, to be filled in.
    pub const fn empty() -> Self {
        Self {
            length: 0,
            null_count: 0,
            offset: 0,
            n_buffers: 0,
            n_children: 0,
            buffers: ptr::null_mut(),
            children: ptr::null_mut(),
            dictionary: ptr::null_mut(),
            release: None,
            private_data: ptr::null_mut(),
        }
    }
}

impl ArrowArrayStream {
    /// One that owns nothing, to be filled in.
    pub const fn empty() -> Self {
        Self {
            get_schema: None,
            get_next: None,
            get_last_error: None,
            release: None,
            private_data: ptr::null_mut(),
        }
    }
}

macro_rules! released_once {
    ($kind:ident) => {
        impl Drop for $kind {
            fn drop(&mut self) {
                if let Some(release) = self.release {
                    // SAFETY: `release` is set, so this struct owns what it points to and the callback may be called,
                    // once: nothing reads the struct after its drop. Where the maker of the struct lied about that,
                    // as a foreign one can, no reader of the interface is safe.
                    unsafe { release(self) }
                }
            }
        }

        // SAFETY: the interface allows a struct to be moved to, read in and released in any thread, one at a time,
        // and it is neither copied nor shared here. Ours point to memory behind an `Arc` of plain vectors.
        unsafe impl Send for $kind {}
    };
}

released_once!(ArrowSchema);
released_once!(ArrowArray);
released_once!(ArrowArrayStream);

#[cfg(test)]
mod tests;
