//! A bounds-checked reader of Kafka's wire types.
//!
//! | type | plain versions | flexible versions (KIP-482) |
//! |---|---|---|
//! | string | i16 length, bytes | unsigned varint length + 1, bytes |
//! | nullable string | length -1 is null | 0 is null |
//! | records | i32 length, bytes; -1 is null | unsigned varint length + 1, bytes; 0 is null |
//! | array | i32 count, elements | unsigned varint count + 1, elements |
//! | end of a struct | nothing | tagged fields: count, then tag, size and bytes each |
//!
//! Integers are big-endian. Nothing here allocates but error messages, and no length or count is believed
//! that the bytes left cannot hold.

use std::ops::Range;

use crate::error::{Error, Result};

/// The longest string that Kafka's protocol allows, in bytes.
pub const MAX_STRING: usize = i16::MAX as usize;

/// The longest string that may hold bytes that are no UTF-8. Each of them becomes U+FFFD, three bytes long, as
/// in Java; an answer that repeats the string must still have room for it.
const MAX_BAD_STRING: usize = MAX_STRING / 3;

/// The most tagged fields in one place: Kafka's own messages have a handful.
pub const MAX_TAGS: u32 = 64;

/// Where a field stands in its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The bytes of the field; `frame` must be the bytes that it was read from.
    #[inline]
    pub fn of(self, frame: &[u8]) -> &[u8] {
        &frame[self.range()]
    }

    /// The same as a range.
    #[inline]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Bytes of the field.
    #[inline]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether the field has no bytes.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// Reads fields from the front of a buffer. Every method fails with [`Error::Malformed`] when the buffer ends
/// too early or the field cannot be what it should be.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    flexible: bool,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from position `at` on, in the flexible encoding or the plain one.
    pub fn new(bytes: &'a [u8], at: usize, flexible: bool) -> Result<Self> {
        if at > bytes.len() || u32::try_from(bytes.len()).is_err() {
            return Err(malformed("a frame of impossible size"));
        }
        Ok(Self { bytes, at, flexible })
    }

    /// Where the next field starts.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<Span> {
        if len > self.remaining() {
            return Err(cut_short(len, self.remaining()));
        }
        let start = self.at;
        self.at += len;
        // Both fit: `new` has checked the whole length.
        Ok(Span {
            start: start as u32,
            end: self.at as u32,
        })
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some(bytes) = self.bytes[self.at..].first_chunk::<N>() else {
            return Err(cut_short(N, self.remaining()));
        };
        self.at += N;
        Ok(*bytes)
    }

    /// An `int8`.
    #[inline]
    pub fn i8(&mut self) -> Result<i8> {
        Ok(i8::from_be_bytes(self.fixed()?))
    }

    /// An `int16`.
    #[inline]
    pub fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.fixed()?))
    }

    /// An `int32`.
    #[inline]
    pub fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.fixed()?))
    }

    /// An `int64`.
    #[inline]
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.fixed()?))
    }

    /// A `uuid`, 16 bytes.
    #[inline]
    pub fn uuid(&mut self) -> Result<Span> {
        self.take(16)
    }

    /// An unsigned varint: at most five bytes, at most 2^32-1.
    #[inline]
    pub fn unsigned_varint(&mut self) -> Result<u32> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed::<1>()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed("a varint of more than 32 bits"))
    }

    /// A string that must not be null; [`text`](super::header::text) reads its bytes.
    #[inline]
    pub fn string(&mut self) -> Result<Span> {
        self.nullable_string()?
            .ok_or_else(|| malformed("null in place of a string"))
    }

    /// A string or null.
    #[inline]
    pub fn nullable_string(&mut self) -> Result<Option<Span>> {
        let len = if self.flexible {
            i64::from(self.unsigned_varint()?) - 1
        } else {
            i64::from(self.i16()?)
        };
        self.text(len)
    }

    /// A nullable string with an `int16` length, whatever the encoding of the rest: the client id.
    pub fn plain_nullable_string(&mut self) -> Result<Option<Span>> {
        let len = i64::from(self.i16()?);
        self.text(len)
    }

    fn text(&mut self, len: i64) -> Result<Option<Span>> {
        match len {
            -1 => Ok(None),
            0..=32767 => {
                let span = self.take(len as usize)?;
                if span.len() > MAX_BAD_STRING && std::str::from_utf8(span.of(self.bytes)).is_err() {
                    return Err(malformed("a long string that is not UTF-8"));
                }
                Ok(Some(span))
            }
            _ => Err(malformed_len("string", len)),
        }
    }

    /// Record bytes, or null.
    #[inline]
    pub fn records(&mut self) -> Result<Option<Span>> {
        let len = if self.flexible {
            i64::from(self.unsigned_varint()?) - 1
        } else {
            i64::from(self.i32()?)
        };
        match len {
            -1 => Ok(None),
            0.. => self.take(len as usize).map(Some),
            _ => Err(malformed_len("records", len)),
        }
    }

    /// The count of an array that must not be null, no higher than the bytes left can hold when each element
    /// takes at least `min_element` of them.
    #[inline]
    pub fn count(&mut self, min_element: usize) -> Result<usize> {
        self.nullable_count(min_element)?
            .ok_or_else(|| malformed_len("array", -1))
    }

    /// The same of an array that may be null.
    #[inline]
    pub fn nullable_count(&mut self, min_element: usize) -> Result<Option<usize>> {
        let count = if self.flexible {
            i64::from(self.unsigned_varint()?) - 1
        } else {
            i64::from(self.i32()?)
        };
        if count == -1 {
            return Ok(None);
        }
        if count < 0 || count as usize > self.remaining() / min_element {
            return Err(malformed_len("array", count));
        }
        Ok(Some(count as usize))
    }

    /// The tagged fields at the end of a struct; nothing in the plain encoding.
    ///
    /// `known` gets the tag and a reader of just its bytes, and returns whether it has read them; what it
    /// does not know is skipped. Known tags must fill their size and come once.
    #[inline]
    pub fn tags(&mut self, mut known: impl FnMut(u32, &mut Reader<'a>) -> Result<bool>) -> Result<()> {
        if !self.flexible {
            return Ok(());
        }
        let mut seen = 0_u32;
        let count = self.unsigned_varint()?;
        if count > MAX_TAGS {
            return Err(malformed_len("number of tagged fields", i64::from(count)));
        }
        for _ in 0..count {
            let tag = self.unsigned_varint()?;
            let size = self.unsigned_varint()?;
            let span = self.take(size as usize)?;
            let mut field = Self {
                bytes: &self.bytes[..span.range().end],
                at: span.range().start,
                flexible: true,
            };
            if !known(tag, &mut field)? {
                continue;
            }
            field.finish()?;
            let bit = 1_u32.checked_shl(tag).unwrap_or(0);
            if seen & bit != 0 {
                return Err(malformed("a tagged field that comes twice"));
            }
            seen |= bit;
        }
        Ok(())
    }

    /// Skips the tagged fields at the end of a struct that has none of interest.
    #[inline]
    pub fn skip_tags(&mut self) -> Result<()> {
        self.tags(|_, _| Ok(false))
    }

    /// The end: no byte may be left.
    pub fn finish(&self) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(malformed_len("number of bytes after the end", left as i64)),
        }
    }
}

#[cold]
fn malformed(what: &str) -> Error {
    Error::Malformed(what.to_owned())
}

#[cold]
fn malformed_len(what: &str, len: i64) -> Error {
    Error::Malformed(format!("{what}: {len} is impossible here"))
}

#[cold]
fn cut_short(wanted: usize, left: usize) -> Error {
    Error::Malformed(format!("{wanted} bytes expected, {left} left"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(bytes: &[u8]) -> Reader<'_> {
        Reader::new(bytes, 0, false).unwrap()
    }

    fn flexible(bytes: &[u8]) -> Reader<'_> {
        Reader::new(bytes, 0, true).unwrap()
    }

    #[test]
    fn integers_are_big_endian_and_bounded() {
        let bytes: Vec<u8> = (1..=15).collect();
        let mut reader = plain(&bytes);
        assert_eq!(reader.i8().unwrap(), 1);
        assert_eq!(reader.i16().unwrap(), 0x0203);
        assert_eq!(reader.i32().unwrap(), 0x0405_0607);
        assert_eq!(reader.i64().unwrap(), 0x0809_0a0b_0c0d_0e0f);
        assert_eq!((reader.position(), reader.remaining()), (15, 0));
        reader.finish().unwrap();
        assert!(reader.i8().is_err());
        assert!(plain(&[0; 7]).i64().is_err());
        assert!(plain(&[0; 15]).uuid().is_err());
        assert!(Reader::new(&[], 1, false).is_err());
    }

    #[test]
    fn varints_end_after_32_bits() {
        for (bytes, value) in [
            (&[0][..], 0),
            (&[0x7f], 127),
            (&[0x80, 0x01], 128),
            (&[0x80, 0x00], 0), // longer than needed, as Kafka allows
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], u32::MAX),
        ] {
            assert_eq!(flexible(bytes).unsigned_varint().unwrap(), value, "{bytes:?}");
        }
        for bytes in [
            &[][..],
            &[0x80],
            &[0xff, 0xff, 0xff, 0xff, 0x10],
            &[0xff, 0xff, 0xff, 0xff, 0x8f, 0x00],
        ] {
            assert!(flexible(bytes).unsigned_varint().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn strings_in_both_encodings() {
        let text = |reader: &mut Reader<'_>, bytes: &[u8]| {
            reader
                .nullable_string()
                .map(|span| span.map(|span| String::from_utf8(span.of(bytes).to_vec()).unwrap()))
        };
        for (bytes, expected) in [
            (&b"\0\x02hi"[..], Some("hi")),
            (b"\0\0", Some("")),
            (b"\xff\xff", None),
        ] {
            assert_eq!(text(&mut plain(bytes), bytes).unwrap().as_deref(), expected);
        }
        for (bytes, expected) in [(&b"\x03hi"[..], Some("hi")), (b"\x01", Some("")), (b"\0", None)] {
            assert_eq!(text(&mut flexible(bytes), bytes).unwrap().as_deref(), expected);
        }
        for bytes in [&b"\xff\xfe"[..], b"\0\x03hi", b"\0"] {
            assert!(plain(bytes).nullable_string().is_err(), "{bytes:?}");
        }
        // As in Java, what is no UTF-8 is read with replacement characters, which are three bytes each.
        assert!(plain(b"\0\x01\xff").nullable_string().is_ok());
        let mut bad = vec![b'\xff'; 2 + MAX_BAD_STRING + 1];
        bad[..2].copy_from_slice(&(MAX_BAD_STRING as u16 + 1).to_be_bytes());
        assert!(plain(&bad).nullable_string().is_err());
        assert!(plain(b"\xff\xff").string().is_err());
        assert!(flexible(b"\0").string().is_err());
        // 32,768 bytes are one too many, even when they are there.
        let mut long = vec![0x81, 0x80, 0x02];
        long.resize(3 + 32_768, b'x');
        assert!(flexible(&long).string().is_err());
        assert_eq!(
            flexible(b"\0\x01x")
                .plain_nullable_string()
                .unwrap()
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn records_in_both_encodings() {
        assert_eq!(plain(b"\0\0\0\x02ab").records().unwrap().unwrap().range(), 4..6);
        assert_eq!(plain(b"\xff\xff\xff\xff").records().unwrap(), None);
        assert!(plain(b"\xff\xff\xff\xfe").records().is_err());
        assert!(plain(b"\x7f\xff\xff\xffab").records().is_err());
        assert_eq!(flexible(b"\x03ab").records().unwrap().unwrap().range(), 1..3);
        assert!(flexible(b"\x01").records().unwrap().unwrap().is_empty());
        assert_eq!(flexible(b"\0").records().unwrap(), None);
        assert!(flexible(b"\xff\xff\xff\xff\x0fab").records().is_err());
    }

    #[test]
    fn counts_are_bounded_by_the_bytes_left() {
        let mut bytes = vec![0, 0, 0, 3];
        bytes.extend([0; 12]);
        assert_eq!(plain(&bytes).count(4).unwrap(), 3);
        assert!(plain(&bytes).count(5).is_err());
        assert_eq!(plain(&[0; 4]).count(1).unwrap(), 0);
        assert!(plain(&[0xff; 4]).count(1).is_err(), "null");
        assert!(plain(&[0x7f, 0xff, 0xff, 0xff]).count(1).is_err());
        assert!(flexible(&[0]).count(1).is_err(), "null");
        assert_eq!(flexible(&[3, 0, 0]).count(1).unwrap(), 2);
        assert!(flexible(&[3, 0]).count(1).is_err());
    }

    #[test]
    fn tags_are_skipped_read_and_counted() {
        // Three fields: 5 (unknown), 0 (known), 70 (unknown).
        let bytes = [3, 5, 2, 9, 9, 0, 2, 1, 2, 70, 0];
        let mut value = None;
        let mut reader = flexible(&bytes);
        reader
            .tags(|tag, field| {
                if tag == 0 {
                    value = Some(field.i16()?);
                }
                Ok(tag == 0)
            })
            .unwrap();
        assert_eq!(value, Some(0x0102));
        reader.finish().unwrap();
        flexible(&bytes).skip_tags().unwrap();
        plain(&[]).skip_tags().unwrap();

        let read_i16 =
            |bytes: &[u8]| flexible(bytes).tags(|tag, field| Ok(tag == 0 && field.i16().map(|_| true)?));
        assert!(read_i16(&[2, 0, 2, 1, 2, 0, 2, 1, 2]).is_err(), "twice");
        assert!(read_i16(&[1, 0, 3, 1, 2, 3]).is_err(), "too long");
        assert!(read_i16(&[1, 0, 1, 1, 2]).is_err(), "must not read past its size");
        assert!(read_i16(&[1, 0, 9, 1, 2]).is_err(), "longer than the frame");
        assert!(
            read_i16(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err(),
            "announced but absent"
        );
    }

    #[test]
    fn there_are_only_so_many_tags() {
        let section = |count: u8| {
            let mut bytes = vec![count];
            (0..count).for_each(|tag| bytes.extend([tag, 0]));
            bytes
        };
        flexible(&section(64)).skip_tags().unwrap();
        assert!(flexible(&section(65)).skip_tags().is_err());
    }

    proptest! {
        #[test]
        fn varints_round_trip(value: u32) {
            let mut bytes = Vec::new();
            crate::wire::writer::Writer::new(&mut bytes, true).unsigned_varint(value);
            let mut reader = flexible(&bytes);
            prop_assert_eq!(reader.unsigned_varint().unwrap(), value);
            prop_assert_eq!(reader.remaining(), 0);
        }
    }
}
