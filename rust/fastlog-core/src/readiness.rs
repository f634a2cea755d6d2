//! Which of many sockets have something to be read, and reading and writing without a wait.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Sockets that are told of in one look.
const AT_ONCE: usize = 64;

/// A set of sockets (epoll). Its own descriptor is readable while any of them is.
#[derive(Debug)]
pub struct Readiness(OwnedFd);

impl Readiness {
    /// No sockets.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes a plain integer; the result is checked before use.
        let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `raw` is a fresh, open descriptor that nothing else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(raw) }))
    }

    /// Readable while any of the sockets is, or its peer is gone.
    pub fn fileno(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Adds a socket, which is told of under its number.
    pub fn add(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd)
    }

    /// Takes a socket out; to be called before it is closed.
    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd)
    }

    fn control(&self, operation: i32, fd: RawFd) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: fd as u64,
        };
        // SAFETY: `event` lives during the call, which keeps no pointer; wrong numbers are an error of the call.
        let result = unsafe { libc::epoll_ctl(self.fileno(), operation, fd, &raw mut event) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Some of those that are readable now: all of them in turn, if it is asked again.
    pub fn look(&self) -> io::Result<Vec<RawFd>> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; AT_ONCE];
        // SAFETY: `events` has room for as many events as the call is told.
        let count = unsafe { libc::epoll_wait(self.fileno(), events.as_mut_ptr(), AT_ONCE as i32, 0) };
        if count < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::Interrupted => Ok(Vec::new()),
                _ => Err(error),
            };
        }
        Ok(events[..count as usize]
            .iter()
            .map(|event| event.u64 as RawFd)
            .collect())
    }
}

/// Reads what is there: 0 bytes when the peer has ended, `None` when there is nothing at the moment.
pub fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    // SAFETY: `buffer` is valid for writes of its length during the call.
    let received = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
    outcome(received)
}

/// Writes as much as the socket takes: `None` when that is nothing at the moment.
pub fn send(fd: RawFd, bytes: &[u8]) -> io::Result<Option<usize>> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `bytes` is valid for reads of its length during the call.
    let sent = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) };
    outcome(sent)
}

fn outcome(result: isize) -> io::Result<Option<usize>> {
    if result >= 0 {
        return Ok(Some(result as usize));
    }
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn those_that_have_something_are_told_of() {
        let set = Readiness::new().unwrap();
        let (mut peer, own) = UnixStream::pair().unwrap();
        let fd = own.as_raw_fd();
        set.add(fd).unwrap();
        assert!(set.add(fd).is_err(), "it is there already");
        assert_eq!(set.look().unwrap(), []);
        peer.write_all(b"abc").unwrap();
        assert_eq!(set.look().unwrap(), [fd]);
        let mut buffer = [0; 2];
        assert_eq!(receive(fd, &mut buffer).unwrap(), Some(2));
        assert_eq!(set.look().unwrap(), [fd]);
        assert_eq!(receive(fd, &mut buffer).unwrap(), Some(1));
        assert_eq!(receive(fd, &mut buffer).unwrap(), None);
        drop(peer);
        assert_eq!(set.look().unwrap(), [fd]);
        assert_eq!(receive(fd, &mut buffer).unwrap(), Some(0));
        set.remove(fd).unwrap();
        assert_eq!(set.look().unwrap(), []);
    }

    #[test]
    fn a_full_socket_takes_nothing_and_one_that_is_gone_is_an_error() {
        let (mut peer, own) = UnixStream::pair().unwrap();
        let fd = own.as_raw_fd();
        let mut sent = 0;
        while let Some(count) = send(fd, &[7; 4096]).unwrap() {
            sent += count;
        }
        let mut taken = vec![0; sent];
        peer.read_exact(&mut taken).unwrap();
        assert_eq!(send(fd, b"x").unwrap(), Some(1));
        drop(peer);
        assert!(send(fd, b"x").is_err());
    }

    #[test]
    fn many_have_their_turns() {
        let set = Readiness::new().unwrap();
        let pairs: Vec<_> = (0..3 * AT_ONCE)
            .map(|_| {
                let (mut peer, own) = UnixStream::pair().unwrap();
                set.add(own.as_raw_fd()).unwrap();
                peer.write_all(b"a").unwrap();
                (peer, own)
            })
            .collect();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..3 {
            seen.extend(set.look().unwrap());
        }
        assert_eq!(seen.len(), pairs.len());
    }
}
