//! The records of one poll as columns: what Python reads as buffers and Arrow as one struct array.

use crate::batch::columns::BytesColumn;
use crate::batch::fetched::FetchedRecords;
use crate::batch::header::TimestampType;
use crate::batch::reader::RecordRef;

/// What a row counts beside its bytes, so that a limit in bytes holds for small records, too.
const ROW_OVERHEAD: usize = 32;

/// Headers of all rows: those of row `i` are the entries `offsets[i]..offsets[i + 1]` of `names` and `values`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderColumn {
    /// Where the headers of each row start and those of the last one end: one more than there are rows.
    pub offsets: Vec<i64>,
    /// Names, UTF-8, never null. What was none has replacement characters.
    pub names: BytesColumn,
    /// Values.
    pub values: BytesColumn,
}

impl Default for HeaderColumn {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            names: BytesColumn::default(),
            values: BytesColumn::default(),
        }
    }
}

/// Rows of one partition, which follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Its first row.
    pub start: usize,
    /// One more than its last row.
    pub stop: usize,
    /// The offset to go on from.
    pub next_offset: i64,
}

/// Rows of one batch, from `start` to the next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first row.
    pub start: usize,
    /// Epoch of the leader that appended them, -1 unknown.
    pub leader_epoch: i32,
    /// Whether their timestamps are the broker's.
    pub is_append_time: bool,
}

/// Records of one or several partitions, column by column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordTable {
    /// Offsets in their partitions.
    pub offsets: Vec<i64>,
    /// Timestamps in milliseconds, -1 for none.
    pub timestamps: Vec<i64>,
    /// Keys.
    pub keys: BytesColumn,
    /// Values.
    pub values: BytesColumn,
    /// Headers.
    pub headers: HeaderColumn,
    /// Which rows are of which partition; all rows are in one of them.
    pub parts: Vec<Part>,
    /// Which rows are of which batch; neighbours that say the same are one run.
    pub runs: Vec<Run>,
    size: usize,
}

impl RecordTable {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// What all rows take: their bytes and some for each row, as `most_bytes` of [`Self::take`] counts them.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Bytes of memory that its columns have taken.
    pub fn memory(&self) -> usize {
        let HeaderColumn {
            offsets,
            names,
            values,
        } = &self.headers;
        let numbers = self.offsets.capacity() + self.timestamps.capacity() + offsets.capacity();
        let columns = [&self.keys, &self.values, names, values];
        numbers * size_of::<i64>() + columns.map(BytesColumn::memory).iter().sum::<usize>()
    }

    /// Drops all rows and parts, and keeps the memory.
    pub fn clear(&mut self) {
        self.offsets.clear();
        self.timestamps.clear();
        self.headers.offsets.clear();
        self.headers.offsets.push(0);
        for column in [
            &mut self.keys,
            &mut self.values,
            &mut self.headers.names,
            &mut self.headers.values,
        ] {
            column.clear();
        }
        self.parts.clear();
        self.runs.clear();
        self.size = 0;
    }

    /// Takes records of a partition over, until there are `most` more or the table has reached `most_bytes`: the row
    /// that reaches it is the last one. Returns how many were taken.
    pub fn take(&mut self, walk: &mut FetchedRecords, bytes: &[u8], most: usize, most_bytes: usize) -> usize {
        let before = self.len();
        while self.size < most_bytes && self.len() - before < most && walk.has_records(bytes) {
            let wanted = most - (self.len() - before);
            self.reserve(walk, wanted, most_bytes - self.size);
            if let Some(header) = walk.current_header() {
                let run = Run {
                    start: self.len(),
                    leader_epoch: header.partition_leader_epoch,
                    is_append_time: header.timestamp_type() == TimestampType::LogAppendTime,
                };
                self.begin(run);
            }
            walk.visit_batch(bytes, wanted, |_, record| {
                self.push(&record);
                self.size < most_bytes
            });
        }
        if self.runs.last().is_some_and(|run| run.start == self.len()) {
            self.runs.pop();
        }
        self.len() - before
    }

    /// Says that the rows that no part has yet, if there are any, are of this partition.
    pub fn close_part(&mut self, topic: &str, partition: i32, next_offset: i64) {
        let (start, stop) = (self.parts.last().map_or(0, |part| part.stop), self.len());
        if start == stop {
            return;
        }
        self.parts.push(Part {
            topic: topic.to_owned(),
            partition,
            start,
            stop,
            next_offset,
        });
    }

    /// What the batch of a row says.
    pub fn run_of(&self, row: usize) -> Option<&Run> {
        let after = self.runs.partition_point(|run| run.start <= row);
        self.runs.get(after.checked_sub(1)?)
    }

    /// The partition of a row.
    pub fn part_of(&self, row: usize) -> Option<&Part> {
        let before = self.parts.partition_point(|part| part.stop <= row);
        self.parts.get(before)
    }

    fn begin(&mut self, run: Run) {
        match self.runs.last_mut() {
            Some(last) if last.start == run.start => *last = run,
            Some(last)
                if last.leader_epoch == run.leader_epoch && last.is_append_time == run.is_append_time => {}
            _ => self.runs.push(run),
        }
    }

    fn reserve(&mut self, walk: &FetchedRecords, most: usize, room: usize) {
        let Some((rows, bytes)) = walk.ahead() else {
            return;
        };
        let share = if most < rows { bytes / rows * most } else { bytes };
        let rows = rows.min(most).min(room / ROW_OVERHEAD + 1);
        self.offsets.reserve(rows);
        self.timestamps.reserve(rows);
        self.keys.reserve(rows);
        self.values.reserve(rows);
        self.headers.offsets.reserve(rows);
        self.values.data.reserve(share.min(room));
    }

    #[inline]
    fn push(&mut self, record: &RecordRef<'_>) {
        self.offsets.push(record.offset);
        self.timestamps.push(record.timestamp);
        self.keys.push(record.key);
        self.values.push(record.value);
        self.size += ROW_OVERHEAD + record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        if !record.headers.is_empty() {
            self.push_headers(record);
        }
        self.headers
            .offsets
            .push(self.headers.values.validity.len() as i64);
    }

    fn push_headers(&mut self, record: &RecordRef<'_>) {
        for (name, value) in record.headers.clone() {
            // Java's clients read what is no UTF-8 with replacement characters, too.
            let text = String::from_utf8_lossy(name);
            self.headers.names.push(Some(text.as_bytes()));
            self.headers.values.push(value);
            self.size += ROW_OVERHEAD + name.len() + value.map_or(0, <[u8]>::len);
        }
    }
}
