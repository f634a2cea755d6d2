//! A response whose records stay in their files until they are sent, by `sendfile`.
//!
//! Copying records into memory and from there into a socket costs two copies of every byte that is consumed;
//! `sendfile` hands the pages of the page cache to the socket. It reads cold pages on the thread that calls
//! it, so it runs on the I/O threads and never on the event loop.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use crate::env::File;
use crate::error::{Error, Result};
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
}

/// What is at one position of a response.
enum Piece<'a> {
    /// Bytes in memory, and whether more follows them.
    Memory(&'a [u8], bool),
    /// The rest of a stretch of a file.
    File {
        file: &'a Arc<dyn File>,
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
                Piece::File { file, position, len } => send_file(socket.as_raw_fd(), file, position, len)?,
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
                    file: &part.file,
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
    let Some(source) = file.raw_fd() else {
        return Err(failed(io::ErrorKind::Unsupported.into()));
    };
    let mut offset = libc::off_t::try_from(position)
        .map_err(|_| Error::InvalidArgument(format!("position {position} is beyond any file")))?;
    loop {
        // SAFETY: both descriptors are open for as long as the caller holds their owners, and `offset` is a
        // valid place to write the new position to.
        let sent = unsafe { libc::sendfile(socket, source, &raw mut offset, len) };
        match usize::try_from(sent) {
            // The file ends where records were announced: somebody cut it.
            Ok(0) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            Ok(sent) => return Ok(Sent::Bytes(sent)),
            Err(_) => {}
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN) => return Ok(Sent::SocketFull),
            // What only a disk says. Anything else is about the socket.
            Some(libc::EIO | libc::EINVAL | libc::EBADF | libc::ENOMEM | libc::EOVERFLOW) => {
                return Err(failed(error));
            }
            _ => return Ok(Sent::PeerGone),
        }
    }
}
