//! A Fetch request as a plan. This file owns the layout of the request (Kafka: `FetchRequest.json`).
//!
//! | field | type | versions |
//! |---|---|---|
//! | replica id | i32, -1 for consumers | 0 to 14 |
//! | max wait | i32, ms | 0+ |
//! | min bytes | i32 | 0+ |
//! | max bytes | i32 | 3+ |
//! | isolation level | i8: 0 `read_uncommitted`, 1 `read_committed` | 4+ |
//! | session id, session epoch | i32, i32 | 7+ |
//! | topics | array | 0+ |
//! | - topic | string | 0 to 12 |
//! | - topic id | uuid | 13+ |
//! | - partitions | array | 0+ |
//! | - - partition | i32 | 0+ |
//! | - - current leader epoch | i32 | 9+ |
//! | - - fetch offset | i64 | 0+ |
//! | - - last fetched epoch | i32 | 12+ |
//! | - - log start offset | i64 | 5+ |
//! | - - partition max bytes | i32 | 0+ |
//! | - - replica directory id | tag 0: uuid | 17+ |
//! | forgotten topics | array | 7+ |
//! | - topic or topic id | as above | 7+ |
//! | - partitions | array of i32 | 7+ |
//! | rack id | string | 11+ |
//! | cluster id | tag 0: nullable string | 12+ |
//! | replica state | tag 1: (replica id i32, replica epoch i64) | 15+ |
//!
//! Flexible from version 12.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::check_rows;
use super::cursor::{Reader, Span};
use super::frame::Frame;
use super::header::{self, FETCH_FLEXIBLE, FETCH_KEY};
use crate::error::Result;

pub(super) const LOG_START_OFFSET_SINCE: i16 = 5;
pub(super) const SESSIONS_SINCE: i16 = 7;
const LEADER_EPOCH_SINCE: i16 = 9;
pub(super) const RACK_SINCE: i16 = 11;
pub(super) const TOPIC_IDS_SINCE: i16 = 13;
const REPLICA_STATE_SINCE: i16 = 15;
const DIRECTORY_SINCE: i16 = 17;

/// How a request names a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicRef<'a> {
    /// By name, up to version 12.
    Name(Cow<'a, str>),
    /// By id, from version 13 on.
    Id(&'a [u8; 16]),
}

/// What is asked about one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchRow {
    /// The topic's name or id in the frame.
    pub topic: Span,
    /// Partition index, as sent.
    pub partition: i32,
    /// Leader epoch that the client knows, -1 unknown.
    pub current_leader_epoch: i32,
    /// First offset asked for.
    pub fetch_offset: i64,
    /// Epoch of the last record that the client has, -1 unknown.
    pub last_fetched_epoch: i32,
    /// Log start offset of a follower, -1 from consumers.
    pub log_start_offset: i64,
    /// Most bytes for this partition, as sent.
    pub partition_max_bytes: i32,
}

/// A partition to drop from the fetch session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForgottenRow {
    /// The topic's name or id in the frame.
    pub topic: Span,
    /// Partition index, as sent.
    pub partition: i32,
}

/// The fields of a Fetch request besides its partitions, as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fields {
    replica_id: i32,
    replica_epoch: i64,
    max_wait_ms: i32,
    min_bytes: i32,
    max_bytes: i32,
    isolation_level: i8,
    session_id: i32,
    session_epoch: i32,
    rack_id: Option<Span>,
    cluster_id: Option<Span>,
}

/// A parsed Fetch request; keeps its frame alive.
#[derive(Debug, Clone)]
pub struct FetchPlan {
    frame: Frame,
    version: i16,
    correlation_id: i32,
    fields: Fields,
    rows: Vec<FetchRow>,
    forgotten: Vec<ForgottenRow>,
}

impl FetchPlan {
    /// The versions that can be parsed. Older ones expect message formats that are not served.
    pub const VERSIONS: RangeInclusive<i16> = 4..=17;

    /// Parses a whole request, header included.
    ///
    /// Fails with [`crate::Error::Malformed`] on anything that is not exactly one request of a supported
    /// version.
    pub fn parse(frame: Frame) -> Result<Self> {
        let payload: &[u8] = &frame;
        let (version, correlation_id, body) = header::expect(payload, "Fetch", FETCH_KEY, Self::VERSIONS)?;
        let mut reader = Reader::new(payload, body, version >= FETCH_FLEXIBLE)?;

        let mut fields = read_fields(&mut reader, version)?;
        let rows = read_topics(&mut reader, version)?;
        let forgotten = if version >= SESSIONS_SINCE {
            read_forgotten(&mut reader, version, rows.len())?
        } else {
            Vec::new()
        };
        if version >= RACK_SINCE {
            fields.rack_id = Some(reader.string()?);
        }
        reader.tags(|tag, field| read_tag(tag, field, version, &mut fields))?;
        reader.finish()?;
        Ok(Self {
            frame,
            version,
            correlation_id,
            fields,
            rows,
            forgotten,
        })
    }

    /// Version of the request, and of its response.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Comes back in the response.
    pub fn correlation_id(&self) -> i32 {
        self.correlation_id
    }

    /// Broker id of a follower, -1 for consumers.
    pub fn replica_id(&self) -> i32 {
        self.fields.replica_id
    }

    /// Broker epoch of a follower, -1 unknown.
    pub fn replica_epoch(&self) -> i64 {
        self.fields.replica_epoch
    }

    /// How long the answer may wait for `min_bytes`, in milliseconds, as sent.
    pub fn max_wait_ms(&self) -> i32 {
        self.fields.max_wait_ms
    }

    /// How many record bytes are worth an answer, as sent.
    pub fn min_bytes(&self) -> i32 {
        self.fields.min_bytes
    }

    /// Most record bytes of the answer, as sent.
    pub fn max_bytes(&self) -> i32 {
        self.fields.max_bytes
    }

    /// 0 for `read_uncommitted`, 1 for `read_committed`, as sent.
    pub fn isolation_level(&self) -> i8 {
        self.fields.isolation_level
    }

    /// Fetch session, 0 for none.
    pub fn session_id(&self) -> i32 {
        self.fields.session_id
    }

    /// Sequence number within the session: 0 opens one, -1 is a full fetch without or at the end of one.
    pub fn session_epoch(&self) -> i32 {
        self.fields.session_epoch
    }

    /// Rack of the consumer, empty when it has none.
    pub fn rack_id(&self) -> Cow<'_, str> {
        self.fields
            .rack_id
            .map_or(Cow::Borrowed(""), |span| self.text(span))
    }

    /// The cluster that the sender believes to talk to.
    pub fn cluster_id(&self) -> Option<Cow<'_, str>> {
        self.fields.cluster_id.map(|span| self.text(span))
    }

    /// One row per partition, in the order of the request.
    pub fn rows(&self) -> &[FetchRow] {
        &self.rows
    }

    /// The partitions to drop from the session.
    pub fn forgotten(&self) -> &[ForgottenRow] {
        &self.forgotten
    }

    /// Name or id behind the `topic` of a row of this plan.
    pub fn topic(&self, topic: Span) -> TopicRef<'_> {
        match topic.of(&self.frame).try_into() {
            Ok(id) if self.version >= TOPIC_IDS_SINCE => TopicRef::Id(id),
            _ => TopicRef::Name(self.text(topic)),
        }
    }

    /// The frame that the plan lies over.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    fn text(&self, span: Span) -> Cow<'_, str> {
        header::text(span.of(&self.frame))
    }
}

fn read_fields(reader: &mut Reader<'_>, version: i16) -> Result<Fields> {
    let replica_id = if version < REPLICA_STATE_SINCE {
        reader.i32()?
    } else {
        -1
    };
    let (max_wait_ms, min_bytes, max_bytes) = (reader.i32()?, reader.i32()?, reader.i32()?);
    let isolation_level = reader.i8()?;
    let (session_id, session_epoch) = if version >= SESSIONS_SINCE {
        (reader.i32()?, reader.i32()?)
    } else {
        (0, -1)
    };
    Ok(Fields {
        replica_id,
        replica_epoch: -1,
        max_wait_ms,
        min_bytes,
        max_bytes,
        isolation_level,
        session_id,
        session_epoch,
        rack_id: None,
        cluster_id: None,
    })
}

fn read_tag(tag: u32, field: &mut Reader<'_>, version: i16, fields: &mut Fields) -> Result<bool> {
    match tag {
        0 => fields.cluster_id = field.nullable_string()?,
        1 if version >= REPLICA_STATE_SINCE => {
            fields.replica_id = field.i32()?;
            fields.replica_epoch = field.i64()?;
            field.skip_tags()?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn read_topic(reader: &mut Reader<'_>, version: i16) -> Result<Span> {
    if version >= TOPIC_IDS_SINCE {
        reader.uuid()
    } else {
        reader.string()
    }
}

/// Fewest bytes of a topic with its array of partitions.
fn min_topic(version: i16) -> usize {
    match version {
        ..FETCH_FLEXIBLE => 6,
        FETCH_FLEXIBLE..TOPIC_IDS_SINCE => 3,
        _ => 18,
    }
}

/// Fewest bytes of a partition.
fn min_partition(version: i16) -> usize {
    match version {
        ..LOG_START_OFFSET_SINCE => 16,
        LOG_START_OFFSET_SINCE..LEADER_EPOCH_SINCE => 24,
        LEADER_EPOCH_SINCE..FETCH_FLEXIBLE => 28,
        _ => 33,
    }
}

fn read_topics(reader: &mut Reader<'_>, version: i16) -> Result<Vec<FetchRow>> {
    let mut rows = Vec::new();
    let topics = reader.count(min_topic(version))?;
    check_rows(0, topics)?;
    for _ in 0..topics {
        let topic = read_topic(reader, version)?;
        let partitions = reader.count(min_partition(version))?;
        check_rows(rows.len(), partitions)?;
        rows.reserve(partitions);
        for _ in 0..partitions {
            rows.push(read_partition(reader, version, topic)?);
        }
        reader.skip_tags()?;
    }
    Ok(rows)
}

fn read_partition(reader: &mut Reader<'_>, version: i16, topic: Span) -> Result<FetchRow> {
    let optional_i32 = |reader: &mut Reader<'_>, since: i16| {
        if version >= since { reader.i32() } else { Ok(-1) }
    };
    let partition = reader.i32()?;
    let current_leader_epoch = optional_i32(reader, LEADER_EPOCH_SINCE)?;
    let fetch_offset = reader.i64()?;
    let last_fetched_epoch = optional_i32(reader, FETCH_FLEXIBLE)?;
    let log_start_offset = if version >= LOG_START_OFFSET_SINCE {
        reader.i64()?
    } else {
        -1
    };
    let partition_max_bytes = reader.i32()?;
    // The directory of a follower's replica matters only to controllers: checked for its size, not kept.
    reader.tags(|tag, field| Ok(tag == 0 && version >= DIRECTORY_SINCE && field.uuid().map(|_| true)?))?;
    Ok(FetchRow {
        topic,
        partition,
        // Any negative number means that the client knows none (`FetchRequest.optionalEpoch`).
        current_leader_epoch: current_leader_epoch.max(-1),
        fetch_offset,
        last_fetched_epoch,
        log_start_offset,
        partition_max_bytes,
    })
}

fn read_forgotten(reader: &mut Reader<'_>, version: i16, rows: usize) -> Result<Vec<ForgottenRow>> {
    let mut forgotten = Vec::new();
    let topics = reader.count(min_topic(version))?;
    check_rows(0, topics)?;
    for _ in 0..topics {
        let topic = read_topic(reader, version)?;
        let partitions = reader.count(4)?;
        check_rows(rows + forgotten.len(), partitions)?;
        forgotten.reserve(partitions);
        for _ in 0..partitions {
            forgotten.push(ForgottenRow {
                topic,
                partition: reader.i32()?,
            });
        }
        reader.skip_tags()?;
    }
    Ok(forgotten)
}
