//! Changing a batch while keeping its CRC right: a repaired header, or records with another codec.

use std::borrow::Cow;

use crate::batch::crc::{crc32c, crc32c_append};
use crate::batch::header::{AT_ATTRIBUTES, AT_CRC, BatchHeader, CODEC_MASK, HEADER_SIZE, LENGTH_PREFIX_SIZE};
use crate::batch::validate::records::{RecordChecks, check_slice};
use crate::batch::validate::rules::{AppendRules, Rejection};
use crate::batch::validate::stream::{Tap, check_stream};
use crate::batch::validate::{too_large, unpackable};
use crate::batch::view::BatchView;
use crate::compression::{Codec, DecompressionLimit, Encoder, decompress_reader};

/// Compresses what passes through, and gives up as soon as the new batch would be too large.
struct Recompressor {
    encoder: Encoder,
    max_message_bytes: usize,
}

impl Tap for Recompressor {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Rejection> {
        self.encoder.write(bytes).map_err(|error| unpackable(&error))?;
        check_size(self.encoder.output_len(), self.max_message_bytes)
    }
}

fn check_size(body: usize, max: usize) -> Result<(), Rejection> {
    let size = HEADER_SIZE + body;
    if size > max {
        Err(too_large(size, max))
    } else {
        Ok(())
    }
}

/// Checks the records of `batch` and gives them compressed with the `target` codec and level.
pub(super) fn check_and_recompress(
    batch: &BatchView<'_>,
    source: Codec,
    target: (Codec, Option<i32>),
    rules: &AppendRules,
    checks: &mut RecordChecks,
) -> Result<Vec<u8>, Rejection> {
    let (codec, level) = target;
    let count = batch.header().record_count;
    if source == Codec::None && batch.body().len() > DecompressionLimit::ABSOLUTE {
        // Once packed, nobody would unpack it.
        return Err(too_large(batch.bytes().len(), DecompressionLimit::ABSOLUTE));
    }
    let known_size = (source == Codec::None).then(|| batch.body().len());
    let encoder = Encoder::new(codec, level, known_size).map_err(|error| unpackable(&error))?;
    let mut tap = Recompressor {
        encoder,
        max_message_bytes: rules.max_message_bytes,
    };
    if source == Codec::None {
        check_slice(batch.body(), count, checks)?;
        tap.take(batch.body())?;
    } else {
        let limit = DecompressionLimit::for_topic(rules.max_message_bytes);
        let reader = decompress_reader(source, batch.body(), limit).map_err(|error| unpackable(&error))?;
        check_stream(reader, count, checks, &mut tap)?;
    }
    let body = tap.encoder.finish().map_err(|error| unpackable(&error))?;
    check_size(body.len(), rules.max_message_bytes)?;
    Ok(body)
}

/// Puts header and body together. `info` comes with the wanted timestamps; length, codec and CRC are set
/// here. A batch that stays as it is keeps its CRC, which has been checked.
pub(super) fn assemble<'a>(
    batch: &BatchView<'a>,
    info: &mut BatchHeader,
    codec: Codec,
    new_body: Option<Vec<u8>>,
) -> ([u8; HEADER_SIZE], Cow<'a, [u8]>) {
    let mut header = [0; HEADER_SIZE];
    let body = if let Some(body) = new_body {
        info.attributes = (info.attributes & !CODEC_MASK) | i16::from(codec.id());
        // `check_size` has compared the sum with `max.message.bytes`, which is an i32 in Kafka.
        info.batch_length = (HEADER_SIZE - LENGTH_PREFIX_SIZE + body.len()) as i32;
        Cow::Owned(body)
    } else {
        Cow::Borrowed(batch.body())
    };
    info.write_to(&mut header);
    if batch.bytes()[AT_ATTRIBUTES..HEADER_SIZE] != header[AT_ATTRIBUTES..] || matches!(body, Cow::Owned(_)) {
        info.crc = crc32c_append(crc32c(&header[AT_ATTRIBUTES..]), &body);
    }
    header[AT_CRC..AT_CRC + 4].copy_from_slice(&info.crc.to_be_bytes());
    (header, body)
}
