//! One record inside a batch. This file owns its bytes.
//!
//! | field | form | meaning |
//! |---|---|---|
//! | length | varint | bytes after this field |
//! | attributes | 1 byte | unused, 0 |
//! | timestamp delta | varlong | to `base_timestamp` of the batch |
//! | offset delta | varint | to `base_offset` of the batch |
//! | key length, key | varint, bytes | length -1: null |
//! | value length, value | varint, bytes | length -1: null |
//! | header count | varint | 0 or more of: |
//! | header key length, key | varint, bytes | UTF-8, never null |
//! | header value length, value | varint, bytes | length -1: null |
//!
//! All varints are zigzag ([`super::varint`]).

use crate::batch::varint::{read_varint, read_varlong};

/// What is wrong with a record, in words for the producer's log.
pub(crate) type Damage = &'static str;

pub(crate) const TRUNCATED: Damage = "it reaches beyond the end of the batch";
pub(crate) const NEGATIVE_LENGTH: Damage = "its length is negative";
pub(crate) const ENDS_EARLY: Damage = "a field reaches beyond the end of the record";
pub(crate) const NULL_LENGTH: Damage = "a length is below -1";
pub(crate) const NULL_HEADER_KEY: Damage = "a header key has a negative length";
pub(crate) const HEADER_COUNT: Damage = "the number of headers is negative";
pub(crate) const LEFT_OVER: Damage = "bytes are left over after the last field";

/// The fields of one record, still relative to its batch.
#[derive(Debug, Clone)]
pub(crate) struct RawRecord<'a> {
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

impl<'a> RawRecord<'a> {
    /// Reads a record whose fields must fill `body` (everything after the length) exactly.
    #[inline]
    pub fn parse(body: &'a [u8]) -> Result<Self, Damage> {
        let mut at = 1; // attributes: nothing is defined in them
        let timestamp_delta = read_varlong(body, &mut at).ok_or(ENDS_EARLY)?;
        let offset_delta = read_varint(body, &mut at).ok_or(ENDS_EARLY)?;
        let key = read_nullable(body, &mut at)?;
        let value = read_nullable(body, &mut at)?;
        let count = read_varint(body, &mut at).ok_or(ENDS_EARLY)?;
        let headers = Headers {
            bytes: body.get(at..).ok_or(ENDS_EARLY)?,
            count: count.max(0) as u32,
        };
        if count != 0 {
            if count < 0 {
                return Err(HEADER_COUNT);
            }
            at += headers.measure()?;
        }
        if at != body.len() {
            return Err(LEFT_OVER);
        }
        Ok(Self {
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers,
        })
    }
}

/// Takes the first record off `bytes`.
#[inline]
pub(crate) fn split_record(bytes: &[u8]) -> Result<(RawRecord<'_>, &[u8]), Damage> {
    let mut at = 0;
    let length = read_varint(bytes, &mut at).ok_or(TRUNCATED)?;
    let length = usize::try_from(length).map_err(|_| NEGATIVE_LENGTH)?;
    let (record, tail) = bytes[at..].split_at_checked(length).ok_or(TRUNCATED)?;
    Ok((RawRecord::parse(record)?, tail))
}

#[inline]
fn read_nullable<'a>(body: &'a [u8], at: &mut usize) -> Result<Option<&'a [u8]>, Damage> {
    let length = read_varint(body, at).ok_or(ENDS_EARLY)?;
    if length < 0 {
        return if length == -1 { Ok(None) } else { Err(NULL_LENGTH) };
    }
    // No overflow: `at` is at most the length of a slice, the other at most 2^31.
    let end = *at + length as usize;
    let bytes = body.get(*at..end).ok_or(ENDS_EARLY)?;
    *at = end;
    Ok(Some(bytes))
}

/// The headers of one record: pairs of a key and a nullable value.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    count: u32,
}

impl Headers<'_> {
    /// Walks over all headers once and gives the bytes they take.
    fn measure(&self) -> Result<usize, Damage> {
        let mut at = 0;
        // A hostile count runs into the end of the bytes: every header takes two of them.
        for _ in 0..self.count {
            read_header(self.bytes, &mut at)?;
        }
        Ok(at)
    }

    /// How many headers follow.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

fn read_header<'a>(bytes: &'a [u8], at: &mut usize) -> Result<(&'a [u8], Option<&'a [u8]>), Damage> {
    let key = read_nullable(bytes, at)?.ok_or(NULL_HEADER_KEY)?;
    Ok((key, read_nullable(bytes, at)?))
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        let mut at = 0;
        // They were walked over when the record was read, so this does not fail.
        let header = read_header(self.bytes, &mut at).ok()?;
        self.bytes = &self.bytes[at..];
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl ExactSizeIterator for Headers<'_> {}
