//! Transaction markers: the records of control batches. This file owns their bytes.
//!
//! | part | at | size | field |
//! |---|---:|---:|---|
//! | key | 0 | 2 | version, 0 |
//! | key | 2 | 2 | type: 0 abort, 1 commit |
//! | value | 0 | 2 | version, 0 |
//! | value | 2 | 4 | epoch of the transaction coordinator |
//!
//! Later versions may append fields, so bytes after the known ones are skipped.

use crate::batch::builder::BatchBuilder;
use crate::compression::Codec;
use crate::error::Result;

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControlKind {
    /// Its records must not be read.
    Abort,
    /// Its records count.
    Commit,
}

/// The end of one producer's transaction in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ControlMarker {
    /// Abort or commit.
    pub kind: ControlKind,
    /// Epoch of the coordinator that wrote the marker.
    pub coordinator_epoch: i32,
}

/// Reads a marker from the key and value of a control record; `None` for control records of other kinds
/// and for malformed ones.
pub fn control_marker(key: Option<&[u8]>, value: Option<&[u8]>) -> Option<ControlMarker> {
    let (version, rest) = key?.split_first_chunk::<2>()?;
    let kind = rest.first_chunk::<2>()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let kind = match i16::from_be_bytes(*kind) {
        0 => ControlKind::Abort,
        1 => ControlKind::Commit,
        _ => return None,
    };
    let (version, rest) = value?.split_first_chunk::<2>()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let coordinator_epoch = i32::from_be_bytes(*rest.first_chunk::<4>()?);
    Some(ControlMarker {
        kind,
        coordinator_epoch,
    })
}

impl ControlMarker {
    /// The control batch that ends the transaction of this producer, at base offset 0.
    pub fn to_batch(self, timestamp: i64, producer_id: i64, producer_epoch: i16) -> Result<Vec<u8>> {
        let kind: i16 = match self.kind {
            ControlKind::Abort => 0,
            ControlKind::Commit => 1,
        };
        let mut key = [0; 4];
        key[2..].copy_from_slice(&kind.to_be_bytes());
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let mut builder = BatchBuilder::new(Codec::None)
            .producer(producer_id, producer_epoch, -1)
            .transactional()
            .control();
        builder.append(timestamp, Some(&key), Some(&value), [])?;
        builder.build()
    }
}
