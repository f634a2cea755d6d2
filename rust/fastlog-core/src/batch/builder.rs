//! Building a batch out of records.

use crate::batch::crc::crc32c;
use crate::batch::header::{
    AT_ATTRIBUTES, AT_CRC, BatchHeader, CODEC_MASK, CONTROL_BIT, HEADER_SIZE, LENGTH_PREFIX_SIZE, MAGIC_V2,
    TRANSACTIONAL_BIT, TimestampType,
};
use crate::batch::varint::{varlong_size, write_varlong};
use crate::compression::{Codec, compress};
use crate::error::{Error, Result};

/// Most bytes of records before compression: the length field of a batch is an i32.
const MAX_RECORDS_SIZE: usize = i32::MAX as usize - HEADER_SIZE;

/// Collects records and turns them into one batch. Offsets within the batch run from 0.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    codec: Codec,
    level: Option<i32>,
    header: BatchHeader,
    /// Room for the header, then the records.
    bytes: Vec<u8>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new(Codec::None)
    }
}

impl BatchBuilder {
    /// A builder of a batch with this codec, at base offset 0, from no producer.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            level: None,
            header: BatchHeader {
                base_offset: 0,
                batch_length: 0,
                partition_leader_epoch: -1,
                magic: MAGIC_V2,
                crc: 0,
                attributes: i16::from(codec.id()),
                last_offset_delta: -1,
                base_timestamp: -1,
                max_timestamp: -1,
                producer_id: -1,
                producer_epoch: -1,
                base_sequence: -1,
                record_count: 0,
            },
            bytes: vec![0; HEADER_SIZE],
        }
    }

    /// Another codec than the one that the builder was made with.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self.header.attributes = self.header.attributes & !CODEC_MASK | i16::from(codec.id());
        self
    }

    /// Takes memory for so many bytes of records at once.
    #[must_use]
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.bytes.reserve_exact(bytes);
        self
    }

    /// Level of the codec, on its own scale.
    #[must_use]
    pub fn level(mut self, level: Option<i32>) -> Self {
        self.level = level;
        self
    }

    /// Offset of the first record.
    #[must_use]
    pub fn base_offset(mut self, base_offset: i64) -> Self {
        self.header.base_offset = base_offset;
        self
    }

    /// Epoch of the leader that appends.
    #[must_use]
    pub fn leader_epoch(mut self, leader_epoch: i32) -> Self {
        self.header.partition_leader_epoch = leader_epoch;
        self
    }

    /// The idempotent producer that writes the batch.
    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    /// Marks the batch as part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.header.attributes |= TRANSACTIONAL_BIT;
        self
    }

    /// Marks the batch as one of control records.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.header.attributes |= CONTROL_BIT;
        self
    }

    /// Gives all records the broker's time, in milliseconds, instead of their own.
    #[must_use]
    pub fn log_append_time(mut self, now_ms: i64) -> Self {
        self.header.set_timestamp_type(TimestampType::LogAppendTime);
        self.header.max_timestamp = now_ms;
        self
    }

    /// Adds a record. `timestamp` is in milliseconds, -1 for none; the first record's is the base of the
    /// others. Header values may be null, header keys are UTF-8.
    ///
    /// Fails with [`Error::InvalidArgument`], and leaves the batch as it was, when the batch would grow
    /// beyond what its length fields can say.
    pub fn append<'h>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h [u8], Option<&'h [u8]>), IntoIter: Clone + ExactSizeIterator>,
    ) -> Result<()> {
        let headers = headers.into_iter();
        if self.header.record_count == 0 {
            self.header.base_timestamp = timestamp;
        }
        let offset_delta = i64::from(self.header.record_count);
        // Wraps like the addition on the reading side.
        let timestamp_delta = timestamp.wrapping_sub(self.header.base_timestamp);
        let size = 1
            + varlong_size(timestamp_delta)
            + varlong_size(offset_delta)
            + nullable_size(key)
            + nullable_size(value)
            + varlong_size(headers.len() as i64)
            + headers
                .clone()
                .map(|(key, value)| nullable_size(Some(key)) + nullable_size(value))
                .sum::<usize>();
        let there = self.bytes.len() - HEADER_SIZE;
        if size > MAX_RECORDS_SIZE - there.min(MAX_RECORDS_SIZE) {
            return Err(Error::InvalidArgument(format!(
                "a record of {size} bytes on top of {there} does not fit a batch"
            )));
        }

        let out = &mut self.bytes;
        out.reserve(size + varlong_size(size as i64));
        write_varlong(out, size as i64);
        out.push(0);
        write_varlong(out, timestamp_delta);
        write_varlong(out, offset_delta);
        write_nullable(out, key);
        write_nullable(out, value);
        write_varlong(out, headers.len() as i64);
        for (key, value) in headers {
            write_nullable(out, Some(key));
            write_nullable(out, value);
        }

        self.header.record_count += 1;
        self.header.last_offset_delta += 1;
        if self.header.timestamp_type() == TimestampType::CreateTime {
            self.header.max_timestamp = self.header.max_timestamp.max(timestamp);
        }
        Ok(())
    }

    /// Records so far.
    pub fn record_count(&self) -> usize {
        self.header.record_count as usize
    }

    /// Bytes of the batch so far, before compression.
    pub fn uncompressed_size(&self) -> usize {
        self.bytes.len()
    }

    /// The finished batch.
    pub fn build(self) -> Result<Vec<u8>> {
        let mut header = self.header;
        let mut bytes = self.bytes;
        if self.codec != Codec::None {
            let packed = compress(self.codec, self.level, &bytes[HEADER_SIZE..])?;
            bytes.truncate(HEADER_SIZE);
            bytes.shrink_to(HEADER_SIZE + packed.len());
            bytes.extend_from_slice(&packed);
        }
        header.batch_length = i32::try_from(bytes.len() - LENGTH_PREFIX_SIZE)
            .map_err(|_| Error::InvalidArgument(format!("a batch of {} bytes", bytes.len())))?;
        if let Some(place) = bytes.first_chunk_mut() {
            header.write_to(place);
        }
        let crc = crc32c(&bytes[AT_ATTRIBUTES..]);
        bytes[AT_CRC..AT_ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
        Ok(bytes)
    }
}

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varlong_size(bytes.len() as i64) + bytes.len())
}

fn write_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            write_varlong(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
        None => write_varlong(out, -1),
    }
}
