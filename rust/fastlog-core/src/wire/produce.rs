//! A Produce request as a plan. This file owns the layout of the request (Kafka: `ProduceRequest.json`).
//!
//! | field | type | versions |
//! |---|---|---|
//! | transactional id | nullable string | 3+ |
//! | acks | i16: 0, 1 or -1 | 0+ |
//! | timeout | i32, ms | 0+ |
//! | topics | array | 0+ |
//! | - name | string | 0+ |
//! | - partitions | array | 0+ |
//! | - - index | i32 | 0+ |
//! | - - records | nullable records | 0+ |
//!
//! Version 12 says that the partitions may join the transaction (KIP-890). Flexible from version 9; no tagged fields are known.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::check_rows;
use super::cursor::{Reader, Span};
use super::frame::Frame;
use super::header::{self, PRODUCE_FLEXIBLE, PRODUCE_KEY};
use crate::batch::{BatchHeader, MAGIC_V2};
use crate::error::Result;

/// The records of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProduceRow {
    /// The topic's name in the frame. Rows of one topic entry share it and follow each other.
    pub topic: Span,
    /// Partition index, as sent.
    pub partition: i32,
    /// Where the records are in the frame; `None` for null.
    pub records: Option<Span>,
}

/// A parsed Produce request; keeps its frame alive.
#[derive(Debug, Clone)]
pub struct ProducePlan {
    frame: Frame,
    version: i16,
    correlation_id: i32,
    transactional_id: Option<Span>,
    acks: i16,
    timeout_ms: i32,
    rows: Vec<ProduceRow>,
}

impl ProducePlan {
    /// The versions that can be parsed. Older ones carry message formats that are not served.
    pub const VERSIONS: RangeInclusive<i16> = 3..=12;

    /// Parses a whole request, header included.
    ///
    /// Fails with [`crate::Error::Malformed`] on anything that is not exactly one request of a supported
    /// version.
    pub fn parse(frame: Frame) -> Result<Self> {
        let payload: &[u8] = &frame;
        let (version, correlation_id, body) =
            header::expect(payload, "Produce", PRODUCE_KEY, Self::VERSIONS)?;
        let flexible = version >= PRODUCE_FLEXIBLE;
        let mut reader = Reader::new(payload, body, flexible)?;

        let transactional_id = reader.nullable_string()?;
        let acks = reader.i16()?;
        let timeout_ms = reader.i32()?;
        let (min_topic, min_partition) = if flexible { (3, 6) } else { (6, 8) };
        let mut rows = Vec::new();
        let topics = reader.count(min_topic)?;
        check_rows(0, topics)?;
        for _ in 0..topics {
            let topic = reader.string()?;
            let partitions = reader.count(min_partition)?;
            check_rows(rows.len(), partitions)?;
            rows.reserve(partitions);
            for _ in 0..partitions {
                let partition = reader.i32()?;
                let records = reader.records()?;
                reader.skip_tags()?;
                rows.push(ProduceRow {
                    topic,
                    partition,
                    records,
                });
            }
            reader.skip_tags()?;
        }
        reader.skip_tags()?;
        reader.finish()?;
        Ok(Self {
            frame,
            version,
            correlation_id,
            transactional_id,
            acks,
            timeout_ms,
            rows,
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

    /// Transactional id of the producer.
    pub fn transactional_id(&self) -> Option<Cow<'_, str>> {
        self.transactional_id.map(|span| self.text(span))
    }

    /// How many replicas must have the records before the answer, as sent.
    pub fn acks(&self) -> i16 {
        self.acks
    }

    /// How long they may take, in milliseconds, as sent.
    pub fn timeout_ms(&self) -> i32 {
        self.timeout_ms
    }

    /// One row per partition, in the order of the request.
    pub fn rows(&self) -> &[ProduceRow] {
        &self.rows
    }

    /// Topic name of a row of this plan.
    pub fn topic(&self, row: &ProduceRow) -> Cow<'_, str> {
        self.text(row.topic)
    }

    /// Record bytes of a row of this plan.
    pub fn records(&self, row: &ProduceRow) -> Option<&[u8]> {
        row.records.map(|span| span.of(&self.frame))
    }

    /// Whether the first batch of any row says that it belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.transactional_batches().next().is_some()
    }

    /// The first batches of rows that belong to a transaction, with the positions of their rows.
    pub fn transactional_batches(&self) -> impl Iterator<Item = (usize, BatchHeader)> {
        self.rows.iter().enumerate().filter_map(|(position, row)| {
            let header = BatchHeader::parse(self.records(row)?).ok()?;
            (header.magic == MAGIC_V2 && header.is_transactional()).then_some((position, header))
        })
    }

    /// Record bytes of all rows.
    pub fn total_bytes(&self) -> usize {
        self.rows
            .iter()
            .filter_map(|row| row.records.map(Span::len))
            .sum()
    }

    /// The frame that the plan lies over.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    fn text(&self, span: Span) -> Cow<'_, str> {
        header::text(span.of(&self.frame))
    }
}
