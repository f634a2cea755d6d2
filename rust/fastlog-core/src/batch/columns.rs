//! The records of many batches as columns: what numpy and Arrow work on.

use crate::batch::header::{BatchHeader, HEADER_SIZE};
use crate::batch::reader::Records;
use crate::batch::view::BatchView;
use crate::compression::DecompressionLimit;
use crate::error::{Error, Result};

/// Byte strings one after the other, as Arrow's `LargeBinary` has them: row `i` is
/// `data[offsets[i]..offsets[i + 1]]`, or null, and then empty there, where `validity[i]` is false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BytesColumn {
    /// All bytes.
    pub data: Vec<u8>,
    /// Where each row starts and the last one ends: one more than there are rows.
    pub offsets: Vec<i64>,
    /// Whether each row is not null.
    pub validity: Vec<bool>,
}

impl Default for BytesColumn {
    fn default() -> Self {
        Self {
            data: Vec::new(),
            offsets: vec![0],
            validity: Vec::new(),
        }
    }
}

impl BytesColumn {
    pub(super) fn push(&mut self, bytes: Option<&[u8]>) {
        self.data.extend_from_slice(bytes.unwrap_or_default());
        self.offsets.push(self.data.len() as i64);
        self.validity.push(bytes.is_some());
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.offsets.reserve(rows);
        self.validity.reserve(rows);
    }

    /// Bytes of memory that it has taken.
    pub(super) fn memory(&self) -> usize {
        self.data.capacity() + self.offsets.capacity() * size_of::<i64>() + self.validity.capacity()
    }

    /// Drops all rows, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.data.clear();
        self.offsets.clear();
        self.offsets.push(0);
        self.validity.clear();
    }

    /// Row `index`; `None` for null and beyond the last row.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        if !*self.validity.get(index)? {
            return None;
        }
        self.data
            .get(self.offsets[index] as usize..self.offsets[index + 1] as usize)
    }
}

/// Records as columns of equal length. Headers are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// Offsets in the partition.
    pub offsets: Vec<i64>,
    /// Timestamps in milliseconds, -1 for none.
    pub timestamps: Vec<i64>,
    /// Keys.
    pub keys: BytesColumn,
    /// Values.
    pub values: BytesColumn,
}

impl Columns {
    /// Reads every whole batch in `bytes`, as [`super::whole_batches`] finds them; control batches are left out.
    ///
    /// Fails with [`Error::Malformed`] on a wrong CRC or a damaged record, with [`Error::Compression`] when a
    /// batch does not decompress within `limit`.
    pub fn decode(bytes: &[u8], limit: DecompressionLimit) -> Result<Self> {
        let mut columns = Self::default();
        for batch in whole_batches(bytes) {
            let batch = batch?;
            if !batch.header().is_control() {
                columns.push_batch(&batch, limit)?;
            }
        }
        Ok(columns)
    }

    fn push_batch(&mut self, batch: &BatchView<'_>, limit: DecompressionLimit) -> Result<()> {
        if !batch.crc_is_valid() {
            let offset = batch.header().base_offset;
            return Err(Error::Malformed(format!(
                "the batch at offset {offset} fails its checksum"
            )));
        }
        let records = Records::decode(batch, limit)?;
        // No more rows than the records have room for, whatever the header says.
        let rows = records.iter().size_hint().1.unwrap_or(0);
        self.offsets.reserve(rows);
        self.timestamps.reserve(rows);
        self.keys.reserve(rows);
        self.values.reserve(rows);
        for record in &records {
            let record = record?;
            self.offsets.push(record.offset);
            self.timestamps.push(record.timestamp);
            self.keys.push(record.key);
            self.values.push(record.value);
        }
        Ok(())
    }
}

/// The batches of `bytes` up to the first that is not all there, as in the answer to a fetch, which may cut
/// the last one off. A malformed batch is given as an error and ends the iteration.
pub fn whole_batches(bytes: &[u8]) -> impl Iterator<Item = Result<BatchView<'_>>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.len() < HEADER_SIZE || BatchHeader::parse(rest).ok()?.size() > rest.len() {
            return None;
        }
        let batch = BatchView::first(rest);
        rest = batch.as_ref().map_or(&[], |batch| &rest[batch.bytes().len()..]);
        Some(batch)
    })
}
