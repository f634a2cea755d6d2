//! The header of a request (KIP-511 names its versions).
//!
//! | at | size | field | header versions |
//! |---:|---:|---|---|
//! | 0 | 2 | api key | all |
//! | 2 | 2 | api version | all |
//! | 4 | 4 | correlation id | all |
//! | 8 | 2 + n | client id: nullable string with an i16 length, in flexible requests too | 1, 2 |
//! | | | tagged fields | 2 |
//!
//! Header version 2 goes with the flexible versions of an API, version 0 only with `ControlledShutdown` 0.

use std::borrow::Cow;

use super::cursor::Reader;
use crate::error::{Error, Result};

/// Key of the Produce API.
pub const PRODUCE_KEY: i16 = 0;
/// Key of the Fetch API.
pub const FETCH_KEY: i16 = 1;
/// First flexible version of Produce.
pub(super) const PRODUCE_FLEXIBLE: i16 = 9;
/// First flexible version of Fetch.
pub(super) const FETCH_FLEXIBLE: i16 = 12;

const CONTROLLED_SHUTDOWN_KEY: i16 = 7;

/// What every request starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// Which API.
    pub api_key: i16,
    /// Which version of it.
    pub api_version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<Cow<'a, str>>,
    /// Where the body of a Produce or Fetch request starts. For other APIs where the client id ends: whether
    /// tagged fields follow there depends on the API.
    pub body_offset: usize,
}

/// Reads the header of a request (without its length prefix).
///
/// Fails with [`Error::Malformed`] when it is cut short.
pub fn request_header(payload: &[u8]) -> Result<RequestHeader<'_>> {
    let mut reader = Reader::new(payload, 0, true)?;
    let api_key = reader.i16()?;
    let api_version = reader.i16()?;
    let correlation_id = reader.i32()?;
    let mut client_id = None;
    if (api_key, api_version) != (CONTROLLED_SHUTDOWN_KEY, 0)
        && let Some(span) = reader.plain_nullable_string()?
    {
        client_id = Some(text(span.of(payload)));
    }
    let flexible = match api_key {
        PRODUCE_KEY => api_version >= PRODUCE_FLEXIBLE,
        FETCH_KEY => api_version >= FETCH_FLEXIBLE,
        _ => false,
    };
    if flexible {
        reader.skip_tags()?;
    }
    Ok(RequestHeader {
        api_key,
        api_version,
        correlation_id,
        client_id,
        body_offset: reader.position(),
    })
}

/// A string of a request. Bytes that are no UTF-8 read as U+FFFD: Kafka, too, answers such requests.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The header of a request to one API, in a range of its versions.
pub(super) fn expect(
    payload: &[u8],
    api: &str,
    key: i16,
    versions: std::ops::RangeInclusive<i16>,
) -> Result<(i16, i32, usize)> {
    let header = request_header(payload)?;
    if header.api_key != key {
        return Err(Error::Malformed(format!(
            "api key {} is not {api}",
            header.api_key
        )));
    }
    if !versions.contains(&header.api_version) {
        return Err(Error::Malformed(format!(
            "{api} version {} is not supported, only {} to {}",
            header.api_version,
            versions.start(),
            versions.end()
        )));
    }
    Ok((header.api_version, header.correlation_id, header.body_offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_bytes_that_are_no_utf8_as_replacements() {
        let header = request_header(b"\0\x03\0\x0c\0\0\x01\x02\0\x03a\xffc\0rest").unwrap();
        assert_eq!(header.client_id.as_deref(), Some("a\u{fffd}c"));
    }

    #[test]
    fn refuses_them_in_strings_that_would_grow_too_long() {
        let request = |len: u16| {
            let mut payload = b"\0\x03\0\x0c\0\0\x01\x02".to_vec();
            payload.extend(len.to_be_bytes());
            payload.extend(vec![0xff; usize::from(len)]);
            payload
        };
        let longest = request(10_922);
        let client_id = request_header(&longest).unwrap().client_id.unwrap();
        assert_eq!(client_id.len(), 32_766);
        assert!(matches!(
            request_header(&request(10_923)),
            Err(Error::Malformed(_))
        ));
    }

    #[test]
    fn reads_the_client_id_of_every_api() {
        let header = request_header(b"\0\x03\0\x0c\0\0\x01\x02\0\x03abc\0rest").unwrap();
        assert_eq!(
            header,
            RequestHeader {
                api_key: 3,
                api_version: 12,
                correlation_id: 258,
                client_id: Some("abc".into()),
                body_offset: 13
            }
        );
        assert_eq!(
            request_header(b"\0\x03\0\x0c\0\0\x01\x02\xff\xff")
                .unwrap()
                .client_id,
            None
        );
        assert_eq!(
            request_header(b"\0\x07\0\0\0\0\0\x01\0\0\0\x05")
                .unwrap()
                .body_offset,
            8
        );
    }

    #[test]
    fn skips_the_tags_of_flexible_produce_and_fetch() {
        for (key, version, body_offset) in [(0, 8, 10), (0, 9, 15), (1, 11, 10), (1, 12, 15)] {
            let bytes = [0, key, 0, version, 0, 0, 0, 1, 0xff, 0xff, 1, 99, 2, 7, 7, 42];
            assert_eq!(
                request_header(&bytes).unwrap().body_offset,
                body_offset,
                "{key} {version}"
            );
        }
    }

    #[test]
    fn refuses_what_is_cut_short_but_not_what_is_no_utf8() {
        let bytes = b"\0\0\0\x09\0\0\0\x01\0\x02ab\x01\x05\x01x";
        for cut in 0..bytes.len() {
            assert!(request_header(&bytes[..cut]).is_err(), "{cut}");
        }
        assert!(request_header(bytes).is_ok());
        assert!(request_header(b"\0\0\0\x03\0\0\0\x01\0\x01\xff").is_ok());
        assert!(request_header(b"\0\0\0\x03\0\0\0\x01\xff\xfe").is_err());
    }
}
