//! Responses from files, over real files and a real pair of sockets.

use std::io::{Read, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::response::{Response, is_over};
use crate::env::{FileSystem, OpenMode, StdFs};
use crate::log::ReadSlice;

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251 + seed) as u8).collect()
}

/// A response with a file at its start, in its middle twice in a row, and at its end; and all its bytes.
fn response(directory: &tempfile::TempDir) -> (Response, Vec<u8>) {
    response_of(directory, &Arc::default())
}

/// The same, of a log with this flag.
fn response_of(directory: &tempfile::TempDir, failed: &Arc<AtomicBool>) -> (Response, Vec<u8>) {
    let path = directory.path().join("records");
    let records = pattern(700_000, 7);
    std::fs::write(&path, &records).unwrap();
    let file = StdFs.open(&path, OpenMode::Read).unwrap();
    let bytes = pattern(300, 1);
    let slices = [
        (0, 10, 1000),
        (100, 5000, 200_000),
        (100, 0, 1),
        (300, 300_000, 400_000),
    ];
    let mut whole = Vec::new();
    let mut taken = 0;
    for (at, position, len) in slices {
        whole.extend(&bytes[taken..at]);
        whole.extend(&records[position..position + len]);
        taken = at;
    }
    whole.extend(&bytes[taken..]);
    let slices = slices.map(|(at, position, len)| {
        let slice = ReadSlice {
            file: Arc::clone(&file),
            position: position as u64,
            len,
            first_offset: 0,
            upper_offset: 1,
            goes_on: false,
            send_failed: Arc::clone(failed),
        };
        (at, slice)
    });
    (Response::with_files(bytes, slices), whole)
}

fn sockets() -> (OwnedFd, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (OwnedFd::from(ours), theirs)
}

#[test]
fn every_byte_arrives_in_order_in_as_many_turns_as_the_socket_needs() {
    let directory = tempfile::tempdir().unwrap();
    let (response, whole) = response(&directory);
    assert_eq!((response.len(), response.memory_bytes()), (whole.len(), 300));
    let (ours, mut theirs) = sockets();
    let (mut position, mut turns, mut received) = (0, 0, Vec::new());
    while position < response.len() {
        let reached = response.send(&ours, position).unwrap().unwrap();
        turns += 1;
        assert!(reached > position, "an empty socket takes something");
        let mut part = vec![0; reached - position];
        theirs.read_exact(&mut part).unwrap();
        received.extend(part);
        position = reached;
    }
    assert!(received == whole);
    assert!(turns > 1, "the socket was never full: the test shows nothing");
    assert_eq!(response.send(&ours, position).unwrap(), Some(position));
}

#[test]
fn sending_goes_on_from_any_position() {
    let directory = tempfile::tempdir().unwrap();
    let (response, whole) = response(&directory);
    for from in [
        0,
        1,
        999,
        1000,
        1050,
        1099,
        1100,
        201_100,
        201_101,
        201_102,
        whole.len() - 1,
    ] {
        let (ours, mut theirs) = sockets();
        let reached = response.send(&ours, from).unwrap().unwrap();
        let mut part = vec![0; reached - from];
        theirs.read_exact(&mut part).unwrap();
        assert!(part == whole[from..reached], "from {from}");
    }
}

#[test]
fn a_full_socket_takes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (response, _) = response(&directory);
    let (ours, _theirs) = sockets();
    let mut stuffed = UnixStream::from(ours.try_clone().unwrap());
    while stuffed.write(&[0; 4096]).is_ok() {}
    while stuffed.write(&[0]).is_ok() {}
    for from in [0, 1000] {
        assert_eq!(response.send(&ours, from).unwrap(), Some(from));
    }
}

#[test]
fn a_peer_that_left_is_no_error_of_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let failed = Arc::default();
    let (response, _) = response_of(&directory, &failed);
    for from in [0, 1000] {
        let (ours, theirs) = sockets();
        assert!(!is_over(ours.as_raw_fd()));
        drop(theirs);
        assert_eq!(response.send(&ours, from).unwrap(), None);
        assert!(is_over(ours.as_raw_fd()));
    }
    assert!(!failed.load(Ordering::Relaxed));
}

#[test]
fn a_file_that_was_cut_fails() {
    let directory = tempfile::tempdir().unwrap();
    let failed = Arc::default();
    let (response, _) = response_of(&directory, &failed);
    let path = directory.path().join("records");
    std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(500)
        .unwrap();
    let (ours, mut theirs) = sockets();
    // What is left of the first stretch is sent, then its end is missing.
    let error = response.send(&ours, 0).unwrap_err();
    assert!(error.to_string().contains("sendfile"), "{error}");
    assert!(failed.load(Ordering::Relaxed));
    let mut part = [0; 490];
    theirs.read_exact(&mut part).unwrap();
}

#[test]
fn a_response_without_files_is_its_bytes() {
    let bytes = pattern(10, 0);
    assert_eq!(
        Response::with_files(bytes.clone(), []).into_memory().unwrap(),
        bytes
    );
    assert!(Response::with_files(Vec::new(), []).is_empty());
    let directory = tempfile::tempdir().unwrap();
    assert!(response(&directory).0.into_memory().is_err());
}

#[test]
fn any_part_can_be_read_into_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (response, whole) = response(&directory);
    for from in [0, 1, 999, 1000, 1050, 1100, 1101, 300_000, whole.len() - 1] {
        for most in [1, 2, 100, 250_000, whole.len()] {
            let end = whole.len().min(from + most);
            assert!(
                response.read(from, most).unwrap() == whole[from..end],
                "{most} bytes from {from}"
            );
        }
    }
    assert!(response.read(whole.len(), 10).unwrap().is_empty());
}

#[test]
fn a_file_that_was_cut_cannot_be_read_and_its_log_hears_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let failed = Arc::default();
    let (response, whole) = response_of(&directory, &failed);
    std::fs::write(directory.path().join("records"), b"short").unwrap();
    assert!(response.read(0, whole.len()).is_err());
    assert!(failed.load(std::sync::atomic::Ordering::Relaxed));
}
