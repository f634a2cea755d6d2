//! The response to a Fetch. This file owns its layout (Kafka: `FetchResponse.json`).
//!
//! | field | type | versions |
//! |---|---|---|
//! | throttle time | i32, ms | 1+ |
//! | error code, session id | i16, i32 | 7+ |
//! | topics | array | 0+ |
//! | - topic | string | 0 to 12 |
//! | - topic id | uuid | 13+ |
//! | - partitions | array | 0+ |
//! | - - partition | i32 | 0+ |
//! | - - error code | i16 | 0+ |
//! | - - high watermark | i64 | 0+ |
//! | - - last stable offset | i64 | 4+ |
//! | - - log start offset | i64 | 5+ |
//! | - - aborted transactions | nullable array of (producer id i64, first offset i64) | 4+ |
//! | - - preferred read replica | i32, -1 for none | 11+ |
//! | - - records | nullable records | 0+ |
//! | - - diverging epoch | tag 0: (epoch i32, end offset i64) | 12+ |
//! | - - current leader | tag 1: (id i32, epoch i32) | 12+ |
//! | - - snapshot id | tag 2: (end offset i64, epoch i32) | 12+ |
//! | node endpoints | tag 0: array of (id i32, host, port i32, nullable rack) | 16+ |
//!
//! Records are never null but empty: some clients do not expect null.

use super::NodeEndpoint;
use super::fetch::{LOG_START_OFFSET_SINCE, RACK_SINCE, SESSIONS_SINCE, TOPIC_IDS_SINCE};
use super::header::FETCH_FLEXIBLE;
use super::writer::{Sink, Size, Writer};
use crate::error::{Error, Result};

const LEADERS_SINCE: i16 = 16;

/// Record bytes that are read when the response is built.
pub trait RecordSource {
    /// How many bytes there are.
    fn len(&self) -> usize;

    /// Fills `out`, which has exactly [`Self::len`] bytes.
    fn read_into(&self, out: &mut [u8]) -> Result<()>;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes [`Self::append_to`] appends. Less than [`Self::len`] for a source that sends the rest
    /// by another way; the response announces all of them.
    fn memory_len(&self) -> usize {
        self.len()
    }

    /// Appends exactly [`Self::memory_len`] bytes to `out`, which has room for them.
    fn append_to(&self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.resize(start + self.len(), 0);
        self.read_into(&mut out[start..])
    }
}

impl RecordSource for &[u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn read_into(&self, out: &mut [u8]) -> Result<()> {
        out.copy_from_slice(self);
        Ok(())
    }

    fn append_to(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(self);
        Ok(())
    }
}

/// The answer for one partition. Consecutive rows of the same topic are written as one topic.
#[derive(Debug, Clone)]
pub struct FetchRowAnswer<'a, R> {
    /// Topic name; what versions up to 12 send.
    pub topic: &'a str,
    /// Topic id; what versions from 13 on send.
    pub topic_id: [u8; 16],
    /// Partition index.
    pub partition: i32,
    /// Kafka error code, 0 for success.
    pub error_code: i16,
    /// High watermark, -1 on errors.
    pub high_watermark: i64,
    /// Last stable offset, -1 on errors.
    pub last_stable_offset: i64,
    /// Log start offset, -1 unknown.
    pub log_start_offset: i64,
    /// Largest epoch that the log shares with the asker, and its end offset, when the rest diverges.
    pub diverging_epoch: Option<(i32, i64)>,
    /// Leader id and epoch, for clients that asked the wrong broker.
    pub current_leader: Option<(i32, i32)>,
    /// End offset and epoch of the snapshot to fetch instead (only the metadata log has any).
    pub snapshot_id: Option<(i64, i32)>,
    /// Producer id and first offset of the aborted transactions in range; `None` (null on the wire) for
    /// `read_uncommitted`.
    pub aborted: Option<&'a [(i64, i64)]>,
    /// The replica that the consumer should fetch from, -1 for none.
    pub preferred_read_replica: i32,
    /// The records; `None` for no bytes.
    pub records: Option<R>,
}

impl<R: RecordSource> FetchRowAnswer<'_, R> {
    /// Record bytes that the response announces and its source sends by another way.
    fn bytes_elsewhere(&self) -> usize {
        self.records
            .as_ref()
            .map_or(0, |records| records.len() - records.memory_len())
    }
}

/// The whole answer.
#[derive(Debug, Clone)]
pub struct FetchAnswer<'a, R> {
    /// How long the client was throttled, in milliseconds.
    pub throttle_ms: i32,
    /// Error of the request as a whole (sessions), 0 for none. Not sent before version 7.
    pub error_code: i16,
    /// Fetch session, 0 for none. Not sent before version 7.
    pub session_id: i32,
    /// The partitions.
    pub rows: &'a [FetchRowAnswer<'a, R>],
    /// Where the leaders named in the rows are. Not sent before version 16.
    pub node_endpoints: &'a [NodeEndpoint],
}

/// Why a response could not be built.
#[derive(Debug, thiserror::Error)]
pub enum FetchEncodeError {
    /// The records of a row could not be read. Answer the row with an error instead, and encode again.
    #[error("records of row {row}: {source}")]
    Records {
        /// Index of the row.
        row: usize,
        /// What the source said.
        #[source]
        source: Error,
    },
    /// The response does not fit a frame.
    #[error("a response of {0} bytes does not fit a frame")]
    TooLarge(usize),
    /// There is no memory for it.
    #[error("no memory for a response of {0} bytes")]
    OutOfMemory(usize),
}

impl<R: RecordSource> FetchAnswer<'_, R> {
    /// The whole response frame, length prefix included, for a request of this version and correlation id;
    /// without the bytes that sources send by another way.
    pub fn encode(&self, version: i16, correlation_id: i32) -> Result<Vec<u8>, FetchEncodeError> {
        let mut size = Size::default();
        self.write(&mut size, version, correlation_id)?;
        let length = i32::try_from(size.0).map_err(|_| FetchEncodeError::TooLarge(size.0))?;
        let elsewhere: usize = self.rows.iter().map(FetchRowAnswer::bytes_elsewhere).sum();
        let in_memory = 4 + size.0 - elsewhere;
        let mut out = Vec::new();
        out.try_reserve_exact(in_memory)
            .map_err(|_| FetchEncodeError::OutOfMemory(in_memory))?;
        out.put(&length.to_be_bytes());
        self.write(&mut out, version, correlation_id)?;
        debug_assert_eq!(out.len(), in_memory);
        Ok(out)
    }

    fn write<S: RecordSink>(
        &self,
        sink: &mut S,
        version: i16,
        correlation_id: i32,
    ) -> Result<(), FetchEncodeError> {
        let mut w = Writer::new(sink, version >= FETCH_FLEXIBLE);
        w.i32(correlation_id);
        w.tag_count(0);
        w.i32(self.throttle_ms);
        if version >= SESSIONS_SINCE {
            w.i16(self.error_code);
            w.i32(self.session_id);
        }

        let by_id = version >= TOPIC_IDS_SINCE;
        let topics = || {
            self.rows.chunk_by(|row, next| {
                if by_id {
                    row.topic_id == next.topic_id
                } else {
                    row.topic == next.topic
                }
            })
        };
        w.count(topics().count());
        let mut index = 0;
        for rows in topics() {
            if by_id {
                w.uuid(&rows[0].topic_id);
            } else {
                w.string(rows[0].topic);
            }
            w.count(rows.len());
            for row in rows {
                write_row(&mut w, version, row)
                    .map_err(|source| FetchEncodeError::Records { row: index, source })?;
                index += 1;
            }
            w.tag_count(0);
        }
        w.node_endpoint_tags(self.node_endpoints, version >= LEADERS_SINCE);
        Ok(())
    }
}

/// A sink that takes records from their source.
trait RecordSink: Sink {
    fn put_records<R: RecordSource>(&mut self, records: &R) -> Result<()>;
}

impl RecordSink for Size {
    fn put_records<R: RecordSource>(&mut self, records: &R) -> Result<()> {
        self.0 += records.len();
        Ok(())
    }
}

impl RecordSink for Vec<u8> {
    fn put_records<R: RecordSource>(&mut self, records: &R) -> Result<()> {
        let end = self.len() + records.memory_len();
        records.append_to(self)?;
        if self.len() != end {
            return Err(Error::InvalidArgument(
                "a record source gave another number of bytes than it announced".to_owned(),
            ));
        }
        Ok(())
    }
}

fn write_row<S: RecordSink, R: RecordSource>(
    w: &mut Writer<'_, S>,
    version: i16,
    row: &FetchRowAnswer<'_, R>,
) -> Result<()> {
    w.i32(row.partition);
    w.i16(row.error_code);
    w.i64(row.high_watermark);
    w.i64(row.last_stable_offset);
    if version >= LOG_START_OFFSET_SINCE {
        w.i64(row.log_start_offset);
    }
    match row.aborted {
        None => w.null_array(),
        Some(aborted) => {
            w.count(aborted.len());
            for (producer_id, first_offset) in aborted {
                w.i64(*producer_id);
                w.i64(*first_offset);
                w.tag_count(0);
            }
        }
    }
    if version >= RACK_SINCE {
        w.i32(row.preferred_read_replica);
    }
    let len = row.records.as_ref().map_or(0, RecordSource::len);
    w.count(len);
    if let Some(records) = row.records.as_ref().filter(|_| len > 0) {
        w.sink().put_records(records)?;
    }
    if version >= FETCH_FLEXIBLE {
        write_row_tags(w, row);
    }
    Ok(())
}

fn write_row_tags<S: Sink, R>(w: &mut Writer<'_, S>, row: &FetchRowAnswer<'_, R>) {
    let present = [
        row.diverging_epoch.is_some(),
        row.current_leader.is_some(),
        row.snapshot_id.is_some(),
    ];
    w.tag_count(present.iter().filter(|present| **present).count() as u32);
    if let Some((epoch, end_offset)) = row.diverging_epoch {
        w.tagged_numbers(0, &epoch.to_be_bytes(), &end_offset.to_be_bytes());
    }
    if let Some((id, epoch)) = row.current_leader {
        w.tagged_numbers(1, &id.to_be_bytes(), &epoch.to_be_bytes());
    }
    if let Some((end_offset, epoch)) = row.snapshot_id {
        w.tagged_numbers(2, &end_offset.to_be_bytes(), &epoch.to_be_bytes());
    }
}
