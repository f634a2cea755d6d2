//! The answer to a follower's Fetch as a plan: rows over the bytes of its frame. `fetch_response` owns the layout.
//!
//! What a follower needs is read; the aborted transactions of consumers, snapshots of metadata logs and the endpoints
//! of other leaders are skipped.

use std::ops::RangeInclusive;

use super::cursor::{Reader, Span};
use super::fetch::{TOPIC_IDS_SINCE, TopicRef};
use super::frame::Frame;
use super::header;
use crate::error::{Error, Result};

/// Fewest bytes of a topic with its array of partitions, in versions with names.
const MIN_TOPIC: usize = 3;
/// Fewest bytes of a partition.
const MIN_PARTITION: usize = 37;
/// Fewest bytes of an aborted transaction.
const MIN_ABORTED: usize = 17;

/// The answer about one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchReplyRow {
    /// The topic's name or id in the frame.
    pub topic: Span,
    /// Partition index.
    pub partition: i32,
    /// Kafka error code, 0 for success.
    pub error_code: i16,
    /// High watermark of the leader, -1 on errors.
    pub high_watermark: i64,
    /// Log start offset of the leader, -1 unknown.
    pub log_start_offset: i64,
    /// Largest epoch that the leader shares with the asker, and its end offset there, when the rest diverges.
    pub diverging_epoch: Option<(i32, i64)>,
    /// Leader id and epoch, when the asked broker knows better.
    pub current_leader: Option<(i32, i32)>,
    /// The records; `None` for null.
    pub records: Option<Span>,
}

/// A parsed answer; keeps its frame alive.
#[derive(Debug, Clone)]
pub struct FetchReply {
    frame: Frame,
    version: i16,
    throttle_ms: i32,
    error_code: i16,
    session_id: i32,
    rows: Vec<FetchReplyRow>,
}

impl FetchReply {
    /// The versions that followers speak: by name, and by topic id.
    pub const VERSIONS: RangeInclusive<i16> = 12..=17;

    /// Parses a whole answer from the correlation id on. `max_rows` is how many partitions there may be: as many as
    /// were asked for.
    ///
    /// Fails with [`Error::Malformed`] on anything that is not exactly one answer of a supported version.
    pub fn parse(frame: Frame, version: i16, max_rows: usize) -> Result<Self> {
        if !Self::VERSIONS.contains(&version) {
            return Err(Error::Malformed(format!(
                "followers do not speak version {version} of Fetch"
            )));
        }
        let payload: &[u8] = &frame;
        let mut reader = Reader::new(payload, 0, true)?;
        reader.i32()?; // correlation id
        reader.skip_tags()?;
        let throttle_ms = reader.i32()?;
        let (error_code, session_id) = (reader.i16()?, reader.i32()?);
        let rows = read_topics(&mut reader, version, max_rows)?;
        reader.skip_tags()?;
        reader.finish()?;
        Ok(Self {
            frame,
            version,
            throttle_ms,
            error_code,
            session_id,
            rows,
        })
    }

    /// Version of the request and of this answer.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// How long the leader has held back, in milliseconds.
    pub fn throttle_ms(&self) -> i32 {
        self.throttle_ms
    }

    /// Error of the request as a whole, 0 for none.
    pub fn error_code(&self) -> i16 {
        self.error_code
    }

    /// Fetch session, 0 for none.
    pub fn session_id(&self) -> i32 {
        self.session_id
    }

    /// One row per partition, in the order of the answer.
    pub fn rows(&self) -> &[FetchReplyRow] {
        &self.rows
    }

    /// Name or id of the topic of a row.
    pub fn topic(&self, row: &FetchReplyRow) -> TopicRef<'_> {
        let bytes = row.topic.of(&self.frame);
        match bytes.try_into() {
            Ok(id) if self.version >= TOPIC_IDS_SINCE => TopicRef::Id(id),
            _ => TopicRef::Name(header::text(bytes)),
        }
    }

    /// The record bytes of a row, empty when they are null.
    pub fn records(&self, row: &FetchReplyRow) -> &[u8] {
        row.records.map_or(&[], |span| span.of(&self.frame))
    }
}

fn read_topics(reader: &mut Reader<'_>, version: i16, max_rows: usize) -> Result<Vec<FetchReplyRow>> {
    let mut rows = Vec::new();
    let topics = reader.count(MIN_TOPIC)?;
    check_rows(topics, max_rows)?;
    for _ in 0..topics {
        let topic = if version >= TOPIC_IDS_SINCE {
            reader.uuid()?
        } else {
            reader.string()?
        };
        let partitions = reader.count(MIN_PARTITION)?;
        check_rows(rows.len() + partitions, max_rows)?;
        rows.reserve(partitions);
        for _ in 0..partitions {
            rows.push(read_partition(reader, topic)?);
        }
        reader.skip_tags()?;
    }
    Ok(rows)
}

fn check_rows(rows: usize, max_rows: usize) -> Result<()> {
    if rows > max_rows {
        return Err(Error::Malformed(format!(
            "an answer of {rows} partitions or topics where {max_rows} were asked for"
        )));
    }
    Ok(())
}

fn read_partition(reader: &mut Reader<'_>, topic: Span) -> Result<FetchReplyRow> {
    let partition = reader.i32()?;
    let error_code = reader.i16()?;
    let high_watermark = reader.i64()?;
    reader.i64()?; // last stable offset
    let log_start_offset = reader.i64()?;
    for _ in 0..reader.nullable_count(MIN_ABORTED)?.unwrap_or(0) {
        reader.i64()?;
        reader.i64()?;
        reader.skip_tags()?;
    }
    reader.i32()?; // preferred read replica
    let records = reader.records()?;
    let (mut diverging_epoch, mut current_leader) = (None, None);
    reader.tags(|tag, field| {
        match tag {
            0 => {
                let (epoch, end_offset) = (field.i32()?, field.i64()?);
                diverging_epoch = (epoch >= 0).then_some((epoch, end_offset));
            }
            1 => {
                let (id, epoch) = (field.i32()?, field.i32()?);
                current_leader = (epoch >= 0).then_some((id, epoch));
            }
            _ => return Ok(false),
        }
        field.skip_tags()?;
        Ok(true)
    })?;
    Ok(FetchReplyRow {
        topic,
        partition,
        error_code,
        high_watermark,
        log_start_offset,
        diverging_epoch,
        current_leader,
        records,
    })
}
