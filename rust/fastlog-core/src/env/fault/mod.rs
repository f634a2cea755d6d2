//! A disk in memory that fails on demand and remembers every operation, so that the disk can be looked at as a
//! crash at any moment would have left it.

mod disk;
mod files;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::disk::{Disk, Op, not_found};
use crate::error::Result;

/// What is to go wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Bytes that all files together may have; a write beyond fails with `ENOSPC` after what still fits.
    pub capacity: Option<u64>,
    /// The n-th fsync of a file or directory from now on (0 is the next) fails with `EIO`.
    pub fail_sync: Option<u64>,
    /// The n-th write from now on fails with `EIO`.
    pub fail_write: Option<u64>,
    /// Most bytes that one write takes.
    pub short_write: Option<usize>,
    /// Calls of any kind that fail.
    pub calls: Option<FailingCalls>,
}

/// A row of calls that fail with the same error, whatever they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailingCalls {
    /// Calls that succeed before.
    pub after: u64,
    /// Calls that fail.
    pub count: u64,
    /// The number of the operating system.
    pub error: i32,
}

/// What a crash leaves of the operations before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process died: all that was handed to the system is there.
    Process,
    /// The process died inside of a write: of the operation at the crash, if it is a write, this many bytes
    /// arrived, followed by zeros up to its length if `zeros` is set.
    TornWrite {
        /// Bytes that arrived.
        bytes: usize,
        /// The file had grown before its content arrived.
        zeros: bool,
    },
    /// The machine died: only synced file contents under synced names are there.
    Power,
}

/// The file system. Clones share the disk.
#[derive(Debug, Clone, Default)]
pub struct FaultFs {
    disk: Arc<Mutex<Disk>>,
}

impl FaultFs {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what is to go wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// How many operations have changed the disk so far.
    pub fn operations(&self) -> usize {
        self.lock().journal.len()
    }

    /// Calls of all kinds so far, and how many of them [`Faults::calls`] made fail.
    pub fn calls(&self) -> (u64, u64) {
        let disk = self.lock();
        (disk.calls, disk.failed_calls)
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.lock().now.used()
    }

    /// Changes the bytes of a file behind everybody's back.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let mut disk = self.lock();
        let file = *disk
            .now
            .names
            .get(path)
            .ok_or_else(|| not_found("damage", path))?;
        let mut bytes = disk.now.files[file].clone();
        change(&mut bytes);
        disk.run(Op::SetLen {
            file,
            len: bytes.len(),
        });
        disk.run(Op::Write {
            file,
            position: 0,
            bytes,
        });
        Ok(())
    }

    /// The disk after a crash just before the operation number `at`, as a disk of its own.
    #[must_use]
    pub fn crash_image(&self, at: usize, crash: Crash) -> Self {
        let disk = self.lock();
        let mut tree = disk.origin.clone();
        let mut durable = disk.origin.clone();
        for op in &disk.journal[..at] {
            tree.apply(op);
            durable.settle(op, &tree);
        }
        if let (
            Crash::TornWrite {
                bytes: arrived,
                zeros,
            },
            Some(Op::Write {
                file,
                position,
                bytes,
            }),
        ) = (crash, disk.journal.get(at))
        {
            let arrived = arrived.min(bytes.len());
            let mut torn = bytes[..arrived].to_vec();
            if zeros {
                torn.resize(bytes.len(), 0);
            }
            tree.apply(&Op::Write {
                file: *file,
                position: *position,
                bytes: torn,
            });
        }
        let image = if crash == Crash::Power { durable } else { tree };
        let disk = Disk {
            origin: image.clone(),
            now: image,
            ..Disk::default()
        };
        Self {
            disk: Arc::new(Mutex::new(disk)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, name: &'static str, path: &Path, op: Op) -> Result<()> {
        let mut disk = self.lock();
        disk.call(name, path)?;
        disk.run(op);
        Ok(())
    }
}
