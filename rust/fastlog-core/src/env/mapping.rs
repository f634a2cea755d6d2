//! Bytes of a file that are read through a map, also when somebody cuts the file.
//!
//! A load from a page that lies behind the end of its file is SIGBUS, which ends the process. Nothing that this
//! program does cuts a mapped file; an operator, a backup tool or a damaged file system may. So whoever reads a map
//! does it inside of [`Mapping::read`]: the signal then puts a page of zeros under the load and marks the map as torn,
//! and what was read of it does not count. Signals for other addresses go to whoever was asked before.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Read-only bytes of a file: mapped, or copied where the file system has nothing to map.
#[derive(Debug)]
pub struct Mapping {
    content: Content,
    /// A page of it was missing.
    torn: AtomicBool,
}

#[derive(Debug)]
enum Content {
    /// Pages of the file itself.
    Mapped(memmap2::Mmap),
    /// A copy.
    Copied(Vec<u8>),
}

/// The map that a thread reads.
#[derive(Clone, Copy)]
struct Reading {
    start: usize,
    end: usize,
    torn: *const AtomicBool,
}

const NOTHING: Reading = Reading {
    start: 0,
    end: 0,
    torn: null(),
};

thread_local! {
    static READING: Cell<Reading> = const { Cell::new(NOTHING) };
}

/// Ends a reading, also when it panics; the one around it goes on.
struct Ended(Reading);

impl Drop for Ended {
    fn drop(&mut self) {
        READING.set(self.0);
    }
}

impl Mapping {
    /// Pages of a file.
    pub fn mapped(map: memmap2::Mmap) -> Self {
        handle_signal();
        Self {
            content: Content::Mapped(map),
            torn: AtomicBool::new(false),
        }
    }

    /// A copy.
    pub fn copied(bytes: Vec<u8>) -> Self {
        Self {
            content: Content::Copied(bytes),
            torn: AtomicBool::new(false),
        }
    }

    /// What `look` says about the bytes; `None` when some of them are no longer in the file. `look` may then have seen
    /// zeros in their place.
    pub fn read<T>(&self, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let found = match &self.content {
            Content::Copied(bytes) => look(bytes),
            Content::Mapped(map) => {
                let start = map.as_ptr() as usize;
                let _ended = Ended(READING.replace(Reading {
                    start,
                    end: start + map.len(),
                    torn: &raw const self.torn,
                }));
                look(map)
            }
        };
        (!self.torn.load(Ordering::SeqCst)).then_some(found)
    }
}

/// What was to be done about the signal before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

fn handle_signal() {
    static ASKED: OnceLock<()> = OnceLock::new();
    ASKED.get_or_init(|| {
        let mut before = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: asks what is in force and writes it to a place of the right type.
        let known = unsafe { libc::sigaction(libc::SIGBUS, null(), before.as_mut_ptr()) } == 0;
        if !known {
            return;
        }
        // SAFETY: the call has succeeded, and zeros are a valid `sigaction` besides.
        let _ = BEFORE.set(unsafe { before.assume_init() });
        // SAFETY: zeros are a valid `sigaction`: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_signal as extern "C" fn(_, _, _) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        // SAFETY: the handler has the type that SA_SIGINFO asks for, and lives as long as the process.
        unsafe { libc::sigaction(libc::SIGBUS, &raw const action, null_mut()) };
    });
}

/// Only does what a signal handler may: loads and stores, and system calls.
extern "C" fn on_signal(number: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system passes a valid `siginfo_t`, which has an address for this signal.
    let address = unsafe { (*info).si_addr() } as usize;
    // A thread that is inside of `read` has its cell, so that nothing is made here; others may not read maps.
    let reading = READING.try_with(Cell::get).unwrap_or(NOTHING);
    if (reading.start..reading.end).contains(&address) && replace_page(address, reading) {
        return;
    }
    pass_on(number, info, context);
}

/// Puts zeros in the place of a page that the file does not have any more.
fn replace_page(address: usize, reading: Reading) -> bool {
    // SAFETY: the number of a constant; the call cannot fail for it.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    // Before the zeros can be read: whoever sees them sees this.
    // SAFETY: `Mapping::read`, which is under way on this thread, borrows the flag.
    unsafe { (*reading.torn).store(true, Ordering::SeqCst) };
    // SAFETY: the page belongs to the map that is being read on this thread. Maps begin at page boundaries and are
    // unmapped as a whole, with whatever is in their place. Its bytes are only ever read, as plain integers.
    let put = unsafe {
        libc::mmap(
            (address / page * page) as *mut libc::c_void,
            page,
            libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    put != libc::MAP_FAILED
}

/// Does what was to be done before there was this handler.
fn pass_on(number: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let before = BEFORE
        .get()
        .filter(|before| before.sa_sigaction != libc::SIG_DFL && before.sa_sigaction != libc::SIG_IGN);
    match before {
        Some(before) if before.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: with this flag the number is the address of a function of this type.
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { std::mem::transmute(before.sa_sigaction) };
            handler(number, info, context);
        }
        Some(before) => {
            // SAFETY: without the flag the number is the address of a function of this type.
            let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(before.sa_sigaction) };
            handler(number);
        }
        None => {
            // SAFETY: restores what the system does by itself; the load is then repeated and ends the process.
            unsafe {
                libc::signal(number, libc::SIG_DFL);
                if (*info).si_code <= 0 {
                    libc::raise(number);
                }
            }
        }
    }
}
