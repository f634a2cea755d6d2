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

use crate::batch::varint::{read_varint, read_varlong, unzigzag};

/// Bytes of a record of no key, no value and no headers.
pub(crate) const SMALLEST_RECORD: usize = 7;

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
        // The first byte is for attributes: nothing is defined in them.
        let (_, mut rest) = body.split_first().ok_or(ENDS_EARLY)?;
        let timestamp_delta = read_varlong(&mut rest).ok_or(ENDS_EARLY)?;
        let offset_delta = read_varint(&mut rest).ok_or(ENDS_EARLY)?;
        let key = read_nullable(&mut rest)?;
        let value = read_nullable(&mut rest)?;
        let count = read_varint(&mut rest).ok_or(ENDS_EARLY)?;
        let count = u32::try_from(count).map_err(|_| HEADER_COUNT)?;
        let headers = Headers { bytes: rest, count };
        if count > 0 {
            rest = skip_headers(rest, count)?;
        }
        if !rest.is_empty() {
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

/// What the checks need to know of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glance {
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub has_key: bool,
    /// Bytes of the record, its length field included.
    pub size: usize,
}

/// Checks the first record of `bytes`, if it is of the usual kind: no headers, at most 8 KiB, and all
/// numbers before the key together in the first 8 bytes. `None` says nothing: [`split_record`] decides then.
///
/// Half the time of [`split_record`]: one load yields all those numbers, and one comparison of where the
/// value ends with where the record ends stands for a bounds check of each field.
#[inline]
pub(crate) fn glance(bytes: &[u8]) -> Option<Glance> {
    let word = u64::from_le_bytes(*bytes.first_chunk::<8>()?);
    let (length, length_bits) = short_varint(word)?;
    let mut bits = length_bits + 8; // the attributes
    let (timestamp_delta, more) = short_varint(word >> bits)?;
    bits += more;
    let (offset_delta, more) = short_varint(word >> bits)?;
    bits += more;
    let (key, more) = short_varint(word >> bits)?;
    bits += more;
    // Five numbers of two bytes and the attributes would be more than the word holds.
    if bits > 64 {
        return None;
    }
    let at_value = (bits / 8) as usize + nullable_length(key)?;
    let word = u16::from_le_bytes(*bytes.get(at_value..)?.first_chunk::<2>()?);
    let (value, value_bits) = short_varint(u64::from(word))?;
    let at_headers = at_value + (value_bits / 8) as usize + nullable_length(value)?;
    // An odd length is a negative one.
    let size = (length_bits / 8) as usize + (length >> 1) as usize;
    let fills = length & 1 == 0 && at_headers + 1 == size && *bytes.get(at_headers)? == 0;
    fills.then(|| Glance {
        timestamp_delta: unzigzag(timestamp_delta),
        offset_delta: unzigzag(offset_delta) as i32,
        has_key: key != NULL,
        size,
    })
}

/// -1 before zigzag decoding.
const NULL: u64 = 1;

/// The varint of one or two bytes in the low bits of `word`, not yet unzigzagged, and its size in bits.
#[inline]
fn short_varint(word: u64) -> Option<(u64, u32)> {
    if word & 0x80 == 0 {
        Some((word & 0x7f, 8))
    } else if word & 0x8000 == 0 {
        Some((word & 0x7f | word >> 1 & 0x3f80, 16))
    } else {
        None
    }
}

#[inline]
fn nullable_length(zigzag: u64) -> Option<usize> {
    if zigzag & 1 == 0 {
        Some((zigzag >> 1) as usize)
    } else if zigzag == NULL {
        Some(0)
    } else {
        None
    }
}

/// Takes the first record off `bytes`.
#[inline]
pub(crate) fn split_record(mut bytes: &[u8]) -> Result<(RawRecord<'_>, &[u8]), Damage> {
    let length = read_varint(&mut bytes).ok_or(TRUNCATED)?;
    let length = usize::try_from(length).map_err(|_| NEGATIVE_LENGTH)?;
    let (record, tail) = bytes.split_at_checked(length).ok_or(TRUNCATED)?;
    Ok((RawRecord::parse(record)?, tail))
}

#[inline]
fn read_nullable<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Damage> {
    let length = read_varint(bytes).ok_or(ENDS_EARLY)?;
    let Ok(length) = usize::try_from(length) else {
        return if length == -1 { Ok(None) } else { Err(NULL_LENGTH) };
    };
    let (field, rest) = bytes.split_at_checked(length).ok_or(ENDS_EARLY)?;
    *bytes = rest;
    Ok(Some(field))
}

/// Walks over all headers once and gives what follows them.
fn skip_headers(mut bytes: &[u8], count: u32) -> Result<&[u8], Damage> {
    // A hostile count runs into the end of the bytes: every header takes two of them.
    for _ in 0..count {
        read_header(&mut bytes)?;
    }
    Ok(bytes)
}

fn read_header<'a>(bytes: &mut &'a [u8]) -> Result<(&'a [u8], Option<&'a [u8]>), Damage> {
    let key = read_nullable(bytes)?.ok_or(NULL_HEADER_KEY)?;
    Ok((key, read_nullable(bytes)?))
}

/// The headers of one record: pairs of a key and a nullable value.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    count: u32,
}

impl Headers<'_> {
    /// How many headers follow.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        // They were walked over when the record was read, so this does not fail.
        read_header(&mut self.bytes).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl ExactSizeIterator for Headers<'_> {}
