//! A response whose records stay in their files until they are sent, by `sendfile`.
//!
//! Copying records into memory and from there into a socket costs two copies of every byte that is consumed;
//! `sendfile` hands the pages of the page cache to the socket. It reads cold pages on the thread that calls
//! it, so it runs on the I/O threads and never on the event loop.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::env::File;
use crate::error::{Error, Result, is_not_found};
use crate::log::ReadSlice;

/// Fewer bytes than this are cheaper to copy than to send on their own.
pub const LEAST_FILE_BYTES: usize = 32 * 1024;

/// After so many bytes a job lets others of its thread's queue go first.
const TURN_BYTES: usize = 16 * 1024 * 1024;

/// Bytes in memory with stretches of files in between.
#[derive(Debug)]
pub struct Response {
    bytes: Vec<u8>,
    files: Vec<FilePart>,
    len: usize,
}

/// A stretch of a file that is sent before `bytes[at..]`.
#[derive(Debug)]
struct FilePart {
    at: usize,
    file: Arc<dyn File>,
    position: u64,
    len: usize,
    failed: Arc<AtomicBool>,
}

/// What is at one position of a response.
enum Piece<'a> {
    /// Bytes in memory, and whether more follows them.
    Memory(&'a [u8], bool),
    /// The rest of a stretch of a file.
    File {
        part: &'a FilePart,
        position: u64,
        len: usize,
    },
    /// The end.
    End,
}

impl Response {
    /// `bytes`, where each slice belongs before the position that comes with it; positions must not fall.
    pub fn with_files(bytes: Vec<u8>, slices: impl IntoIterator<Item = (usize, ReadSlice)>) -> Self {
        let files: Vec<_> = slices
            .into_iter()
            .map(|(at, slice)| FilePart {
                at,
                file: slice.file,
                position: slice.position,
                len: slice.len,
                failed: slice.send_failed,
            })
            .collect();
        debug_assert!(files.is_sorted_by_key(|part| part.at));
        let len = bytes.len() + files.iter().map(|part| part.len).sum::<usize>();
        Self { bytes, files, len }
    }

    /// Bytes on the wire.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that the response holds in memory.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes, when no file takes part.
    pub fn into_memory(self) -> std::result::Result<Vec<u8>, Self> {
        if self.files.is_empty() {
            Ok(self.bytes)
        } else {
            Err(self)
        }
    }

    /// Sends from position `from` on as much as the non-blocking `socket` takes, within a turn. Returns the
    /// position reached, which is [`Self::len`] when all is sent; `None` when the peer is gone.
    ///
    /// Fails when a file cannot be read; what the peer has got then is a torn answer.
    pub fn send(&self, socket: &OwnedFd, from: usize) -> Result<Option<usize>> {
        let limit = self.len.min(from.saturating_add(TURN_BYTES));
        let mut position = from;
        while position < limit {
            let sent = match self.piece(position) {
                Piece::Memory(bytes, more) => send_memory(socket.as_raw_fd(), bytes, more),
                Piece::File { part, position, len } => {
                    send_file(socket.as_raw_fd(), &part.file, position, len)
                        .inspect_err(|error| note_failure(part, error))?
                }
                Piece::End => break,
            };
            match sent {
                Sent::Bytes(count) => position += count,
                Sent::SocketFull => break,
                Sent::PeerGone => return Ok(None),
            }
        }
        Ok(Some(position))
    }

    /// Reads at most `most` bytes from position `from` on into memory, for sockets that `sendfile` is no use
    /// to: what leaves on them is encrypted first. Empty at the end only.
    pub fn read(&self, from: usize, most: usize) -> Result<Vec<u8>> {
        let wanted = most.min(self.len.saturating_sub(from));
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(wanted)
            .map_err(|_| Error::OutOfMemory(wanted))?;
        while bytes.len() < wanted {
            let rest = wanted - bytes.len();
            match self.piece(from + bytes.len()) {
                Piece::Memory(found, _) => bytes.extend_from_slice(&found[..found.len().min(rest)]),
                Piece::File { part, position, len } => {
                    let start = bytes.len();
                    bytes.resize(start + len.min(rest), 0);
                    part.file
                        .read_exact_at(&mut bytes[start..], position)
                        .inspect_err(|error| note_failure(part, error))?;
                }
                Piece::End => break,
            }
        }
        Ok(bytes)
    }

    fn piece(&self, wanted: usize) -> Piece<'_> {
        let (mut start, mut taken) = (0, 0);
        for part in &self.files {
            let before = part.at - taken;
            if wanted < start + before {
                return Piece::Memory(&self.bytes[taken + wanted - start..part.at], true);
            }
            start += before;
            taken = part.at;
            if wanted < start + part.len {
                let skipped = wanted - start;
                return Piece::File {
                    part,
                    position: part.position + skipped as u64,
                    len: part.len - skipped,
                };
            }
            start += part.len;
        }
        match self.bytes.get(taken + wanted - start..) {
            Some(rest) if !rest.is_empty() => Piece::Memory(rest, false),
            _ => Piece::End,
        }
    }
}

/// The log hears of a file that cannot be read. A shortage passes, and a file that is gone is not found again.
fn note_failure(part: &FilePart, error: &Error) {
    if !error.passes() && !is_not_found(error) {
        part.failed.store(true, Ordering::Relaxed);
    }
}

/// What became of one system call.
enum Sent {
    Bytes(usize),
    SocketFull,
    PeerGone,
}

fn send_memory(socket: RawFd, bytes: &[u8], more: bool) -> Sent {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | if more { libc::MSG_MORE } else { 0 };
    loop {
        // SAFETY: pointer and length are those of a live slice; the descriptor is open for as long as the
        // caller holds its `OwnedFd`.
        let sent = unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), flags) };
        if let Ok(sent) = usize::try_from(sent) {
            return Sent::Bytes(sent);
        }
        match io::Error::last_os_error().kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => return Sent::SocketFull,
            _ => return Sent::PeerGone,
        }
    }
}

fn send_file(socket: RawFd, file: &Arc<dyn File>, position: u64, len: usize) -> Result<Sent> {
    let failed = |error: io::Error| Error::io("sendfile", file.path(), error);
    let mut offset = libc::off_t::try_from(position)
        .map_err(|_| Error::InvalidArgument(format!("position {position} is beyond any file")))?;
    let mut sent = None;
    // The file keeps its descriptor for as long as this runs.
    file.with_descriptor(&mut |source| {
        sent = Some(loop {
            // SAFETY: both descriptors are open for as long as the caller holds their owners, and `offset` is a
            // valid place to write the new position to.
            let sent = unsafe { libc::sendfile(socket, source, &raw mut offset, len) };
            let error = io::Error::last_os_error();
            if sent >= 0 || error.raw_os_error() != Some(libc::EINTR) {
                break usize::try_from(sent).map_err(|_| error);
            }
        });
    })?;
    match sent {
        None => Err(failed(io::ErrorKind::Unsupported.into())),
        // The file ends where records were announced: somebody cut it.
        Some(Ok(0)) => Err(failed(io::ErrorKind::UnexpectedEof.into())),
        Some(Ok(sent)) => Ok(Sent::Bytes(sent)),
        Some(Err(error)) => match error.raw_os_error() {
            Some(libc::EAGAIN) => Ok(Sent::SocketFull),
            Some(libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN) => Ok(Sent::PeerGone),
            // Networks and disks share the other numbers, ETIMEDOUT among them: a connection that met one is over.
            _ if is_over(socket) => Ok(Sent::PeerGone),
            _ => Err(failed(error)),
        },
    }
}

/// Whether nothing more can be sent on a connection.
pub(super) fn is_over(socket: RawFd) -> bool {
    let mut asked = libc::pollfd {
        fd: socket,
        events: 0,
        revents: 0,
    };
    // SAFETY: one `pollfd` is passed, and the call does not wait.
    let found = unsafe { libc::poll(&raw mut asked, 1, 0) };
    found > 0 && asked.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
}
