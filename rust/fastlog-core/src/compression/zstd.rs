//! zstd frames one after the other (RFC 8878), as zstd-jni reads them, with a bound on the memory of windows.
//!
//! | size | field |
//! |---:|---|
//! | 4 | magic `28 b5 2f fd` (`5x 2a 4d 18`: a frame to skip) |
//! | 1 | descriptor: bits 0-1 size of the dictionary id, 5 one segment, 6-7 size of the content size |
//! | 1 | window, not with one segment: (8 + bits 0-2) << bits 3-7 << 7 bytes |
//! | 0-4 | dictionary id |
//! | 0-8 | content size, little-endian, as a number of 2 bytes less 256 |
//!
//! zstd's levels 20 to 22 use windows of up to 128 MiB, and every decoder takes them by default. A decoder
//! holds its window in memory, so those above [`FREE_WINDOW`] are decoded by one reader at a time.

use std::io::{self, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{self, DCtx, DParameter, InBuffer, OutBuffer};

use crate::compression::bad;

const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// Windows up to this size, those of the levels up to 19, need no turn: each thread may have one.
const FREE_WINDOW: u64 = 8 << 20;
/// How long a large window waits for its turn. The one before it takes a second or so at worst.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// What zstd-jni reads at a time (`ZSTD_DStreamInSize`).
const JAVA_CHUNK: usize = (128 << 10) + 3;

/// Decodes frame by frame, holding a turn while one of them has a large window.
pub(super) struct ZstdReader<'a> {
    context: DCtx<'static>,
    data: &'a [u8],
    position: usize,
    /// Where the last whole frame ended, 0 before that.
    last_end: usize,
    in_frame: bool,
    turn: Option<Turn<'static>>,
}

impl<'a> ZstdReader<'a> {
    /// `window_log` is the largest window that is decoded, as a power of two.
    pub fn new(data: &'a [u8], window_log: u32) -> io::Result<Self> {
        let mut context = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        context
            .set_parameter(DParameter::WindowLogMax(window_log))
            .map_err(failed)?;
        Ok(Self {
            context,
            data,
            position: 0,
            last_end: 0,
            in_frame: false,
            turn: None,
        })
    }

    /// The payload ends inside a frame. zstd-jni overlooks that when a whole frame ended in what it read last.
    fn cut_off(&self) -> io::Result<usize> {
        let overlooked = !self.last_end.is_multiple_of(JAVA_CHUNK)
            && self.last_end.next_multiple_of(JAVA_CHUNK) >= self.data.len();
        if overlooked { Ok(0) } else { Err(bad("cut off")) }
    }
}

impl Read for ZstdReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = buf.len();
        let mut out = OutBuffer::around(buf);
        while out.pos() == 0 && room > 0 {
            if !self.in_frame {
                let rest = &self.data[self.position..];
                if rest.is_empty() {
                    return if self.last_end > 0 {
                        Ok(0)
                    } else {
                        Err(bad("no frame"))
                    };
                }
                if self.turn.is_none() && window(rest) > FREE_WINDOW {
                    self.turn = Some(LARGE_WINDOWS.take(LONGEST_WAIT)?);
                }
                self.in_frame = true;
            }
            let mut input = InBuffer::around(self.data);
            input.set_pos(self.position);
            let hint = self
                .context
                .decompress_stream(&mut out, &mut input)
                .map_err(failed)?;
            let stuck = input.pos() == self.position && out.pos() == 0;
            self.position = input.pos();
            if hint == 0 {
                self.in_frame = false;
                self.last_end = self.position;
            } else if stuck || (self.position == self.data.len() && out.pos() < room) {
                // Everything is in, and the output has room for all that was held back.
                return match out.pos() {
                    0 => self.cut_off(),
                    count => Ok(count),
                };
            }
        }
        Ok(out.pos())
    }
}

/// The memory that the frame at the start of `frame` needs for its window; 0 when that is not to be seen:
/// zstd then says what is wrong.
fn window(frame: &[u8]) -> u64 {
    frame.strip_prefix(&MAGIC).and_then(window_of_header).unwrap_or(0)
}

fn window_of_header(header: &[u8]) -> Option<u64> {
    let (&descriptor, mut rest) = header.split_first()?;
    let one_segment = descriptor & 0x20 != 0;
    let mut window = u64::MAX;
    if !one_segment {
        let (&field, tail) = rest.split_first()?;
        window = u64::from(8 + (field & 7)) << (field >> 3) << 7;
        rest = tail;
    }
    rest = rest.get([0, 1, 2, 4][usize::from(descriptor & 3)]..)?;
    let size = match (descriptor >> 6, one_segment) {
        (0, false) => return Some(window),
        (0, true) => 1,
        (1, _) => 2,
        (2, _) => 4,
        _ => 8,
    };
    let mut content = [0; 8];
    content[..size].copy_from_slice(rest.get(..size)?);
    let content = u64::from_le_bytes(content).saturating_add(if size == 2 { 256 } else { 0 });
    Some(window.min(content))
}

fn failed(code: usize) -> io::Error {
    if zstd_safe::is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_memory_allocation) {
        return io::ErrorKind::OutOfMemory.into();
    }
    bad(zstd_safe::get_error_name(code))
}

/// Something that one has at a time.
struct Turns {
    taken: Mutex<bool>,
    given_back: Condvar,
}

static LARGE_WINDOWS: Turns = Turns {
    taken: Mutex::new(false),
    given_back: Condvar::new(),
};

impl Turns {
    /// Waits for the turn; fails with [`io::ErrorKind::TimedOut`] after `longest`.
    fn take(&self, longest: Duration) -> io::Result<Turn<'_>> {
        let (mut taken, waited) = self
            .given_back
            .wait_timeout_while(self.lock(), longest, |taken| *taken)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && *taken {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "other large windows are being decoded",
            ));
        }
        *taken = true;
        Ok(Turn(self))
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.lock() = false;
        self.0.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bytes: &[u8]) -> u64 {
        window(&[&MAGIC, bytes].concat())
    }

    #[test]
    fn windows_are_read_from_the_header() {
        assert_eq!(header(&[0x00, 0x00]), 1 << 10);
        assert_eq!(header(&[0x00, 17 << 3]), 1 << 27);
        assert_eq!(header(&[0x00, 17 << 3 | 7]), (1 << 27) / 8 * 15);
        assert_eq!(header(&[0x00, 0xff]), (1 << 41) / 8 * 15);
        // What is known to be small needs no large window.
        assert_eq!(header(&[0x40, 17 << 3, 44, 1]), 300 + 256);
        assert_eq!(header(&[0x80, 17 << 3, 0, 0, 1, 0]), 1 << 16);
        assert_eq!(
            header(&[0xc3, 17 << 3, 9, 9, 9, 9, 0, 0, 0, 0, 1, 0, 0, 0]),
            1 << 27
        );
        // One segment: the content is the window.
        assert_eq!(header(&[0x20, 77]), 77);
        assert_eq!(header(&[0xa0, 0, 0, 0, 0x80]), 1 << 31);
        for cut in [&[][..], &[0x00], &[0x20], &[0x40, 0, 1]] {
            assert_eq!(header(cut), 0);
        }
        assert_eq!(window(b"\x50\x2a\x4d\x18\x00\x00\x00\x00"), 0);
    }

    #[test]
    fn large_windows_take_turns_and_do_not_wait_for_ever() {
        let turns = Turns {
            taken: Mutex::new(false),
            given_back: Condvar::new(),
        };
        let turn = turns.take(Duration::ZERO).unwrap();
        let refused = turns.take(Duration::from_millis(5)).map(drop).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| turns.take(Duration::from_secs(60)).map(drop));
            drop(turn);
            waiting.join().unwrap().unwrap();
        });
        drop(turns.take(Duration::ZERO).unwrap());
    }
}
