//! The counterpart of [`crate::wire::cursor`]: writes Kafka's wire types, or only counts their bytes.
//!
//! A message is written by one function that is generic over its [`Sink`]: run on a [`Size`] it tells the
//! exact size, run on a `Vec` of that capacity it writes without ever growing it.

use super::NodeEndpoint;
use super::cursor::MAX_STRING;

/// Where bytes go.
pub trait Sink {
    /// Takes `bytes`.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub usize);

impl Sink for Size {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// Writes fields one after the other, in the flexible encoding or the plain one.
#[derive(Debug)]
pub struct Writer<'a, S> {
    sink: &'a mut S,
    flexible: bool,
}

impl<'a, S: Sink> Writer<'a, S> {
    /// Writes to `sink`.
    pub fn new(sink: &'a mut S, flexible: bool) -> Self {
        Self { sink, flexible }
    }

    /// The sink, for bytes that are no field.
    pub fn sink(&mut self) -> &mut S {
        self.sink
    }

    /// An `int16`.
    #[inline]
    pub fn i16(&mut self, value: i16) {
        self.sink.put(&value.to_be_bytes());
    }

    /// An `int32`.
    #[inline]
    pub fn i32(&mut self, value: i32) {
        self.sink.put(&value.to_be_bytes());
    }

    /// An `int64`.
    #[inline]
    pub fn i64(&mut self, value: i64) {
        self.sink.put(&value.to_be_bytes());
    }

    /// A `uuid`.
    #[inline]
    pub fn uuid(&mut self, value: &[u8; 16]) {
        self.sink.put(value);
    }

    /// An unsigned varint.
    #[inline]
    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.sink.put(&[value as u8 | 0x80]);
            value >>= 7;
        }
        self.sink.put(&[value as u8]);
    }

    /// A string. What the protocol cannot hold (32,767 bytes) is cut off.
    #[inline]
    pub fn string(&mut self, value: &str) {
        let mut end = value.len().min(MAX_STRING);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        if self.flexible {
            self.unsigned_varint(end as u32 + 1);
        } else {
            self.i16(end as i16);
        }
        self.sink.put(&value.as_bytes()[..end]);
    }

    /// A string or null.
    #[inline]
    pub fn nullable_string(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.string(value),
            None if self.flexible => self.unsigned_varint(0),
            None => self.i16(-1),
        }
    }

    /// The length of an array or of records. One that does not fit is noticed by its total size, which every
    /// caller compares with the limit of a frame before it writes.
    #[inline]
    pub fn count(&mut self, count: usize) {
        if self.flexible {
            self.unsigned_varint((count as u32).wrapping_add(1));
        } else {
            self.i32(count as i32);
        }
    }

    /// The count of a null array.
    #[inline]
    pub fn null_array(&mut self) {
        if self.flexible {
            self.unsigned_varint(0);
        } else {
            self.i32(-1);
        }
    }

    /// How many tagged fields follow; nothing in the plain encoding.
    #[inline]
    pub fn tag_count(&mut self, count: u32) {
        if self.flexible {
            self.unsigned_varint(count);
        }
    }

    /// A tagged field of two numbers, itself without tagged fields: a leader or an epoch's end.
    pub fn tagged_numbers(&mut self, tag: u32, first: &[u8], second: &[u8]) {
        self.unsigned_varint(tag);
        self.unsigned_varint((first.len() + second.len()) as u32 + 1);
        self.sink.put(first);
        self.sink.put(second);
        self.unsigned_varint(0);
    }

    /// The tagged fields at the end of a response: tag 0 with the brokers that clients should turn to, when
    /// there are any and the version has the field (KIP-951).
    pub fn node_endpoint_tags(&mut self, endpoints: &[NodeEndpoint], has_field: bool) {
        if !has_field || endpoints.is_empty() {
            self.tag_count(0);
            return;
        }
        let mut size = Size::default();
        write_endpoints(&mut Writer::new(&mut size, true), endpoints);
        self.tag_count(1);
        self.unsigned_varint(0);
        self.unsigned_varint(size.0 as u32);
        write_endpoints(self, endpoints);
    }
}

fn write_endpoints<S: Sink>(w: &mut Writer<'_, S>, endpoints: &[NodeEndpoint]) {
    w.count(endpoints.len());
    for endpoint in endpoints {
        w.i32(endpoint.node_id);
        w.string(&endpoint.host);
        w.i32(endpoint.port);
        w.nullable_string(endpoint.rack.as_deref());
        w.tag_count(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(flexible: bool, write: impl Fn(&mut Writer<'_, Vec<u8>>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut Writer::new(&mut bytes, flexible));
        bytes
    }

    #[test]
    fn strings_and_counts_in_both_encodings() {
        let write = |w: &mut Writer<'_, Vec<u8>>| {
            w.string("hi");
            w.nullable_string(None);
            w.count(2);
            w.null_array();
            w.tag_count(0);
        };
        assert_eq!(
            written(false, write),
            b"\0\x02hi\xff\xff\0\0\0\x02\xff\xff\xff\xff"
        );
        assert_eq!(written(true, write), b"\x03hi\0\x03\0\0");
    }

    #[test]
    fn long_strings_are_cut_at_a_character() {
        let mut text = "x".repeat(MAX_STRING - 1);
        text.push_str("é and more");
        let plain = written(false, |w| w.string(&text));
        assert_eq!(plain.len(), 2 + MAX_STRING - 1);
        assert_eq!(plain[..2], [0x7f, 0xfe]);
        assert!(std::str::from_utf8(&plain[2..]).is_ok());
    }

    #[test]
    fn sizes_agree_with_bytes() {
        let endpoints = vec![
            NodeEndpoint {
                node_id: 1,
                host: "h".repeat(200),
                port: 9092,
                rack: None,
            };
            3
        ];
        let mut size = Size::default();
        Writer::new(&mut size, true).node_endpoint_tags(&endpoints, true);
        let bytes = written(true, |w| w.node_endpoint_tags(&endpoints, true));
        assert_eq!(size.0, bytes.len());
        assert_eq!(written(true, |w| w.node_endpoint_tags(&endpoints, false)), [0]);
        assert_eq!(written(true, |w| w.node_endpoint_tags(&[], true)), [0]);
        assert!(written(false, |w| w.node_endpoint_tags(&[], false)).is_empty());
    }
}
