//! Executing a fetch: rows are read in order within one budget, straight into the response.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::outcome::{Failure, Outcome};
use super::response::{LEAST_FILE_BYTES, Response};
use crate::error::{Error, Result};
use crate::log::{PartitionLog, ReadSlice};
use crate::wire::{FetchAnswer, FetchEncodeError, FetchRowAnswer, NodeEndpoint, RecordSource};

/// One partition to read and answer, with everything that was decided about it.
#[derive(Debug, Clone)]
pub struct FetchRow {
    /// Topic name; what versions up to 12 send.
    pub topic: String,
    /// Topic id; what versions from 13 on send.
    pub topic_id: [u8; 16],
    /// Partition index.
    pub partition: i32,
    /// Kafka error code, 0 to go on and read. Part of the answer, but no reason for one.
    pub error_code: i16,
    /// High watermark to report.
    pub high_watermark: i64,
    /// Last stable offset to report.
    pub last_stable_offset: i64,
    /// Log start offset to report.
    pub log_start_offset: i64,
    /// Epoch and end offset at which the asker's log leaves ours.
    pub diverging_epoch: Option<(i32, i64)>,
    /// Leader id and epoch, for clients that asked the wrong broker.
    pub current_leader: Option<(i32, i32)>,
    /// Whether the answer lists the aborted transactions among what was read: for `read_committed`.
    pub committed: bool,
    /// The replica that the consumer should fetch from, -1 for none.
    pub preferred_read_replica: i32,
    /// What to read; `None` when there is nothing to read.
    pub log: Option<Arc<PartitionLog>>,
    /// First offset asked for.
    pub fetch_offset: i64,
    /// The records end before this offset: high watermark, last stable offset or log end.
    pub max_offset: i64,
    /// Most bytes of this partition.
    pub partition_max_bytes: usize,
    /// Part of the answer although nothing is to be said about it: what full fetches do, and incremental
    /// ones for partitions whose watermarks have moved.
    pub force: bool,
}

/// The rows of one request and the frame of its answer.
#[derive(Debug)]
pub struct FetchJob {
    /// Version of the request, and of its response.
    pub version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    /// The partitions, in the order in which they share the budget.
    pub rows: Vec<FetchRow>,
    /// Most record bytes of the answer.
    pub max_bytes: usize,
    /// Fewer record bytes than this are no answer, as long as nothing else is to be said and no row is read
    /// from an older segment than its last readable one: as in Kafka, that one is answered at once, since the
    /// bytes that its segment still holds do not become more.
    pub min_bytes: usize,
    /// Keeps to `max_bytes` even if the first batch is larger.
    pub hard_max_bytes: bool,
    /// Whether long stretches of records may stay in their files until they are sent. A file that cannot be
    /// read is then noticed too late for an error code; of a log to which that happened nothing is left in files.
    pub from_files: bool,
    /// How long the client was throttled, in milliseconds.
    pub throttle_ms: i32,
    /// Error of the request as a whole.
    pub error_code: i16,
    /// Fetch session, 0 for none.
    pub session_id: i32,
    /// Where the leaders named in the rows are.
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// What became of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchedRow {
    /// Kafka error code, 0 for success.
    pub error_code: i16,
    /// Record bytes found.
    pub bytes: usize,
}

/// What became of a fetch.
#[derive(Debug)]
pub struct FetchOutcome {
    /// Record bytes of all rows.
    pub total: usize,
    /// The response frame, length prefix included; `None` when it is worth waiting for more.
    pub response: Option<Response>,
    /// One per row, in the same order.
    pub rows: Vec<FetchedRow>,
}

/// What a row has to contribute.
struct Found {
    error_code: i16,
    slice: Option<ReadSlice>,
    /// Producer id and first offset of the aborted transactions that touch the slice.
    aborted: Vec<(i64, i64)>,
}

impl Found {
    fn error(error_code: i16) -> Self {
        Self {
            error_code,
            slice: None,
            aborted: Vec::new(),
        }
    }

    fn len(&self) -> usize {
        self.slice.as_ref().map_or(0, |slice| slice.len)
    }

    fn goes_on(&self) -> bool {
        self.slice
            .as_ref()
            .is_some_and(|slice| slice.len > 0 && slice.goes_on)
    }
}

impl FetchJob {
    /// Finds the bytes, and builds the response if they are enough.
    pub fn run(&self) -> Outcome {
        match self.execute() {
            Ok(outcome) => Outcome::Fetched(outcome),
            Err(error) => Outcome::Failed(Failure::from(error)),
        }
    }

    fn execute(&self) -> Result<FetchOutcome> {
        let mut found = self.find();
        let total: usize = found.iter().map(Found::len).sum();
        let response = if total >= self.min_bytes || self.has_more_to_say(&found) {
            Some(self.respond(&mut found)?)
        } else {
            None
        };
        let rows = found.iter().map(|row| FetchedRow {
            error_code: row.error_code,
            bytes: row.len(),
        });
        // Summed up again: a row that could not be read has lost its bytes.
        Ok(FetchOutcome {
            total: found.iter().map(Found::len).sum(),
            response,
            rows: rows.collect(),
        })
    }

    /// Looks up what to read, row by row. As in Kafka (KIP-74) the first row with data gives one batch
    /// whatever its size; the others share what is left.
    fn find(&self) -> Vec<Found> {
        let mut left = self.max_bytes;
        let mut min_one_batch = !self.hard_max_bytes;
        let mut found = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let max_bytes = row.partition_max_bytes.min(left);
            let log = row
                .log
                .as_ref()
                .filter(|_| row.error_code == 0 && row.diverging_epoch.is_none());
            let outcome = match log {
                None => Found::error(row.error_code),
                Some(log) => match row.read(log, max_bytes, min_one_batch) {
                    Ok((slice, aborted)) => Found {
                        error_code: 0,
                        aborted,
                        slice: Some(slice),
                    },
                    Err(error) => Found::error(error.code().code()),
                },
            };
            left = left.saturating_sub(outcome.len());
            min_one_batch &= outcome.len() == 0;
            found.push(outcome);
        }
        found
    }

    /// Whether there is news besides records, or records that no wait makes more: nobody should wait for those.
    /// An error that came with its row is the caller's to judge: it asks for no bytes when it has to go out now.
    fn has_more_to_say(&self, found: &[Found]) -> bool {
        self.error_code != 0
            || self.rows.is_empty()
            || self
                .rows
                .iter()
                .zip(found)
                .any(|(row, found)| found.error_code != row.error_code || row.redirects() || found.goes_on())
    }

    fn respond(&self, found: &mut [Found]) -> Result<Response> {
        loop {
            let deferred = RefCell::new(Vec::new());
            let (indexes, answers): (Vec<usize>, Vec<_>) = self
                .rows
                .iter()
                .zip(&*found)
                .enumerate()
                .filter(|(_, (row, found))| {
                    row.force || row.redirects() || found.error_code != 0 || found.len() > 0
                })
                .map(|(index, (row, found))| {
                    (index, row.answer(self.records(found, &deferred), &found.aborted))
                })
                .unzip();
            let answer = FetchAnswer {
                throttle_ms: self.throttle_ms,
                error_code: self.error_code,
                session_id: self.session_id,
                rows: &answers,
                node_endpoints: &self.node_endpoints,
            };
            let encoded = answer.encode(self.version, self.correlation_id);
            drop(answers);
            match encoded {
                Ok(bytes) => return Ok(Response::with_files(bytes, deferred.into_inner())),
                // Each round takes the bytes from one more row, so this ends.
                Err(FetchEncodeError::Records { row, source }) => {
                    found[indexes[row]] = Found::error(source.code().code());
                }
                Err(FetchEncodeError::OutOfMemory(bytes)) => return Err(Error::OutOfMemory(bytes)),
                Err(error @ FetchEncodeError::TooLarge(_)) => {
                    return Err(Error::InvalidArgument(error.to_string()));
                }
            }
        }
    }

    fn records<'a>(&self, found: &'a Found, deferred: &'a Deferred) -> Records<'a> {
        let in_file = |slice: &ReadSlice| {
            self.from_files
                && slice.len >= LEAST_FILE_BYTES
                && slice.file.has_descriptor()
                && !slice.send_failed.load(Ordering::Relaxed)
        };
        Records {
            error_code: found.error_code,
            slice: found.slice.as_ref(),
            deferred: found.slice.as_ref().is_some_and(in_file).then_some(deferred),
        }
    }
}

/// Slices that are left in their files, with the position in the response's bytes that they belong before.
type Deferred = RefCell<Vec<(usize, ReadSlice)>>;

/// The records of one row of the response.
#[derive(Clone, Copy)]
struct Records<'a> {
    error_code: i16,
    slice: Option<&'a ReadSlice>,
    /// Where the slice is put down instead of being read.
    deferred: Option<&'a Deferred>,
}

impl FetchRow {
    /// Whether the row tells the asker to do something else than wait.
    fn redirects(&self) -> bool {
        self.diverging_epoch.is_some() || self.preferred_read_replica >= 0
    }

    /// The records, and producers and first offsets of the aborted transactions that their reader has to leave out
    /// (Kafka: `LocalLog.collectAbortedTransactions`).
    fn read(
        &self,
        log: &PartitionLog,
        max_bytes: usize,
        min_one_batch: bool,
    ) -> Result<(ReadSlice, Vec<(i64, i64)>)> {
        let (from, to) = (self.fetch_offset, self.max_offset);
        if !self.committed {
            return Ok((log.read(from, max_bytes, to, min_one_batch)?, Vec::new()));
        }
        let (slice, aborted) = log.read_committed(from, max_bytes, to, min_one_batch)?;
        let listed = aborted.iter().map(|txn| (txn.producer_id, txn.first_offset));
        Ok((slice, listed.collect()))
    }

    fn answer<'a>(
        &'a self,
        records: Records<'a>,
        aborted: &'a [(i64, i64)],
    ) -> FetchRowAnswer<'a, Source<'a>> {
        FetchRowAnswer {
            topic: &self.topic,
            topic_id: self.topic_id,
            partition: self.partition,
            error_code: records.error_code,
            high_watermark: self.high_watermark,
            last_stable_offset: self.last_stable_offset,
            log_start_offset: self.log_start_offset,
            diverging_epoch: self.diverging_epoch,
            current_leader: self.current_leader,
            snapshot_id: None,
            aborted: self.committed.then_some(aborted),
            preferred_read_replica: self.preferred_read_replica,
            records: records.slice.map(|slice| Source {
                slice,
                deferred: records.deferred,
            }),
        }
    }
}

/// Reads a slice into the response, or leaves it in its file.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    slice: &'a ReadSlice,
    deferred: Option<&'a Deferred>,
}

impl RecordSource for Source<'_> {
    fn len(&self) -> usize {
        self.slice.len
    }

    fn memory_len(&self) -> usize {
        if self.deferred.is_some() {
            0
        } else {
            self.slice.len
        }
    }

    fn read_into(&self, out: &mut [u8]) -> Result<()> {
        self.slice.read_into(out)
    }

    fn append_to(&self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        if let Some(deferred) = self.deferred {
            deferred.borrow_mut().push((start, self.slice.clone()));
            return Ok(());
        }
        out.resize(start + self.slice.len, 0);
        self.slice.read_into(&mut out[start..])
    }
}
