//! Finding a record of a batch by its time, in the memory of one window, whatever the batch decompresses to.

use crate::batch::header::TimestampType;
use crate::batch::record::split_record;
use crate::batch::validate::search_stream;
use crate::batch::view::BatchView;
use crate::compression::{Codec, DecompressionLimit, decompress_reader};
use crate::error::{Error, Result};

/// (timestamp, offset) of the first record of `batch` at or after `timestamp` whose offset is at least `from`.
///
/// Nothing behind that record is looked at. Fails with [`Error::Malformed`] or [`Error::Compression`] when the
/// records cannot be read; the CRC is the caller's to check.
pub fn first_at_or_after(
    batch: &BatchView<'_>,
    timestamp: i64,
    from: i64,
    limit: DecompressionLimit,
) -> Result<Option<(i64, i64)>> {
    search(batch, limit, |time, offset| {
        (time >= timestamp && offset >= from).then_some((time, offset))
    })
}

/// (timestamp, offset) of the first record of `batch` with the largest timestamp among those whose offset is at
/// least `from`. Fails as [`first_at_or_after`].
pub fn latest_from(
    batch: &BatchView<'_>,
    from: i64,
    limit: DecompressionLimit,
) -> Result<Option<(i64, i64)>> {
    let mut latest: Option<(i64, i64)> = None;
    search(batch, limit, |time, offset| {
        if offset >= from && latest.is_none_or(|(largest, _)| time > largest) {
            latest = Some((time, offset));
        }
        None::<()>
    })?;
    Ok(latest)
}

/// What `look` says first of (timestamp, offset) of the records, one by one.
fn search<F>(
    batch: &BatchView<'_>,
    limit: DecompressionLimit,
    mut look: impl FnMut(i64, i64) -> Option<F>,
) -> Result<Option<F>> {
    let header = batch.header();
    let look = |timestamp_delta: i64, offset_delta: i32| {
        let time = match header.timestamp_type() {
            TimestampType::CreateTime => header.base_timestamp.wrapping_add(timestamp_delta),
            TimestampType::LogAppendTime => header.max_timestamp,
        };
        look(time, header.base_offset.wrapping_add(i64::from(offset_delta)))
    };
    match header.codec()? {
        Codec::None => search_slice(batch.body(), header.record_count, look),
        codec => {
            let reader = decompress_reader(codec, batch.body(), limit)?;
            search_stream(reader, header.record_count, look)
        }
    }
}

fn search_slice<F>(
    mut rest: &[u8],
    count: i32,
    mut look: impl FnMut(i64, i32) -> Option<F>,
) -> Result<Option<F>> {
    for index in 0..count {
        let (record, tail) =
            split_record(rest).map_err(|damage| Error::Malformed(format!("record {index}: {damage}")))?;
        if let Some(found) = look(record.timestamp_delta, record.offset_delta) {
            return Ok(Some(found));
        }
        rest = tail;
    }
    Ok(None)
}
