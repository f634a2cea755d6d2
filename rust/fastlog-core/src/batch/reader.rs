//! Reading the records of a batch, for consumers and tools.

use std::borrow::Cow;

use crate::batch::header::{BatchHeader, TimestampType};
use crate::batch::record::{Damage, Headers, RawRecord, SMALLEST_RECORD, split_record};
use crate::batch::view::BatchView;
use crate::compression::{Codec, DecompressionLimit, decompress};
use crate::error::{Error, Result};

/// One record, with its offset and timestamp worked out.
#[derive(Debug, Clone)]
pub struct RecordRef<'a> {
    /// Offset in the partition.
    pub offset: i64,
    /// Milliseconds, -1 for none. With `LogAppendTime` that of the batch.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; null is a tombstone on a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers, in order; keys may repeat.
    pub headers: Headers<'a>,
}

/// The records of one batch, decompressed.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    header: BatchHeader,
    bytes: Cow<'a, [u8]>,
}

/// Opens the batch that `batch` starts with; later bytes are left alone.
///
/// Fails with [`Error::Malformed`] or [`Error::Compression`]. The CRC is not looked at: ask
/// [`BatchView::crc_is_valid`] first for bytes that come from a disk or a network.
pub fn read_records(batch: &[u8], limit: DecompressionLimit) -> Result<Records<'_>> {
    Records::decode(&BatchView::first(batch)?, limit)
}

impl<'a> Records<'a> {
    /// The records of a batch that has been looked at already.
    pub fn decode(batch: &BatchView<'a>, limit: DecompressionLimit) -> Result<Self> {
        let header = *batch.header();
        let bytes = match header.codec()? {
            Codec::None => Cow::Borrowed(batch.body()),
            codec => Cow::Owned(decompress(codec, batch.body(), limit)?),
        };
        Ok(Self { header, bytes })
    }

    /// The header of the batch.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records, in order. A damaged one is given as an error and ends the iteration, and so do bytes
    /// after the last record.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter {
            header: &self.header,
            rest: &self.bytes,
            left: self.header.record_count.max(0) as u32,
        }
    }
}

impl<'r> IntoIterator for &'r Records<'_> {
    type Item = Result<RecordRef<'r>>;
    type IntoIter = RecordIter<'r>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Iterator of [`Records::iter`].
#[derive(Debug, Clone)]
pub struct RecordIter<'r> {
    header: &'r BatchHeader,
    rest: &'r [u8],
    left: u32,
}

impl<'r> RecordIter<'r> {
    fn place(&self, record: RawRecord<'r>) -> RecordRef<'r> {
        let timestamp = match self.header.timestamp_type() {
            TimestampType::CreateTime => self.header.base_timestamp.wrapping_add(record.timestamp_delta),
            TimestampType::LogAppendTime => self.header.max_timestamp,
        };
        RecordRef {
            offset: self
                .header
                .base_offset
                .wrapping_add(i64::from(record.offset_delta)),
            timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
        }
    }

    fn fail(&mut self, damage: Damage) -> Error {
        let index = i64::from(self.header.record_count) - i64::from(self.left);
        self.left = 0;
        self.rest = &[];
        Error::Malformed(format!(
            "record {index} of the batch at offset {}: {damage}",
            self.header.base_offset
        ))
    }
}

impl<'r> Iterator for RecordIter<'r> {
    type Item = Result<RecordRef<'r>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return (!self.rest.is_empty())
                .then(|| Err(self.fail("bytes are left over after the last record")));
        }
        match split_record(self.rest) {
            Ok((record, rest)) => {
                self.left -= 1;
                self.rest = rest;
                Some(Ok(self.place(record)))
            }
            Err(damage) => Some(Err(self.fail(damage))),
        }
    }

    /// No more than the bytes have room for, whatever the header says: a record takes 7 of them. One more for
    /// an error after the last record.
    fn size_hint(&self) -> (usize, Option<usize>) {
        (
            0,
            Some((self.left as usize).min(self.rest.len() / SMALLEST_RECORD) + 1),
        )
    }
}
