//! The loop over the records of a compressed batch: they pass through one fixed buffer and are never
//! together in memory.

use std::io::{self, Read};

use crate::batch::record::{
    Damage, ENDS_EARLY, HEADER_COUNT, LEFT_OVER, NEGATIVE_LENGTH, NULL_HEADER_KEY, NULL_LENGTH, RawRecord,
    TRUNCATED, glance,
};
use crate::batch::validate::records::{RecordChecks, left_over};
use crate::batch::validate::rules::Rejection;
use crate::batch::varint::{MAX_VARINT_SIZE, MAX_VARLONG_SIZE, read_varint, read_varlong};
use crate::compression::{Decompressor, TooLarge, is_shortage};
use crate::error::{Error, ErrorCode};

const WINDOW: usize = 64 * 1024;

/// Gets all bytes that pass through the window, in order.
pub(super) trait Tap {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Rejection>;
}

/// For batches that keep their codec.
pub(super) struct NoTap;

impl Tap for NoTap {
    fn take(&mut self, _: &[u8]) -> Result<(), Rejection> {
        Ok(())
    }
}

/// Why the walk stopped: the record at hand is damaged, or the batch as a whole is at fault.
enum Stop {
    Record(Damage),
    Batch(Rejection),
}

impl From<Damage> for Stop {
    fn from(damage: Damage) -> Self {
        Self::Record(damage)
    }
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Batch(rejection)
    }
}

/// A sliding window over the decompressed records.
struct Window<'a, T> {
    source: Decompressor<'a>,
    tap: &'a mut T,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    ended: bool,
}

impl<T: Tap> Window<'_, T> {
    /// The bytes at hand.
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Tries to have at least `want` bytes (at most [`WINDOW`]) at hand; there are fewer only at the end.
    fn fill(&mut self, want: usize) -> Result<(), Rejection> {
        if self.end - self.start >= want || self.ended {
            return Ok(());
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < want && !self.ended {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.tap.take(&self.buffer[self.end..self.end + count])?;
                    self.end += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(undecodable(&error)),
            }
        }
        Ok(())
    }

    /// Reads a number of at most `most` bytes that lies inside the `left` bytes of the record.
    fn number<N>(
        &mut self,
        left: &mut usize,
        most: usize,
        read: fn(&mut &[u8]) -> Option<N>,
    ) -> Result<N, Stop> {
        self.fill(most)?;
        let bytes = self.bytes();
        let inside = bytes.len().min(*left);
        let mut rest = &bytes[..inside];
        let number = read(&mut rest).ok_or(ENDS_EARLY)?;
        let size = inside - rest.len();
        self.start += size;
        *left -= size;
        Ok(number)
    }

    fn skip(&mut self, left: &mut usize, mut count: usize) -> Result<(), Stop> {
        *left = left.checked_sub(count).ok_or(ENDS_EARLY)?;
        while count > 0 {
            self.fill(1)?;
            let step = count.min(self.end - self.start);
            if step == 0 {
                return Err(TRUNCATED.into());
            }
            self.start += step;
            count -= step;
        }
        Ok(())
    }

    /// Reads a length and skips that many bytes; says whether they were there or null.
    fn skip_nullable(&mut self, left: &mut usize) -> Result<bool, Stop> {
        match self.number(left, MAX_VARINT_SIZE, read_varint)? {
            -1 => Ok(false),
            length if length < 0 => Err(NULL_LENGTH.into()),
            length => self.skip(left, length as usize).map(|()| true),
        }
    }

    /// Checks one record. Gives timestamp delta, offset delta and whether there is a key.
    fn record(&mut self) -> Result<(i64, i32, bool), Stop> {
        if let Some(record) = glance(self.bytes()) {
            self.start += record.size;
            return Ok((record.timestamp_delta, record.offset_delta, record.has_key));
        }
        self.fill(MAX_VARINT_SIZE)?;
        let mut rest = self.bytes();
        let length = read_varint(&mut rest).ok_or(TRUNCATED)?;
        let length = usize::try_from(length).map_err(|_| NEGATIVE_LENGTH)?;
        self.start = self.end - rest.len();
        if length > WINDOW {
            return self.large_record(length);
        }
        self.fill(length)?;
        let record = self.bytes().get(..length).ok_or(TRUNCATED)?;
        let record = RawRecord::parse(record)?;
        let seen = (record.timestamp_delta, record.offset_delta, record.key.is_some());
        self.start += length;
        Ok(seen)
    }

    /// The same, field by field, for a record that is larger than the window.
    fn large_record(&mut self, mut left: usize) -> Result<(i64, i32, bool), Stop> {
        let left = &mut left;
        self.skip(left, 1)?;
        let timestamp_delta = self.number(left, MAX_VARLONG_SIZE, read_varlong)?;
        let offset_delta = self.number(left, MAX_VARINT_SIZE, read_varint)?;
        let has_key = self.skip_nullable(left)?;
        self.skip_nullable(left)?;
        let headers = self.number(left, MAX_VARINT_SIZE, read_varint)?;
        if headers < 0 {
            return Err(HEADER_COUNT.into());
        }
        for _ in 0..headers {
            if !self.skip_nullable(left)? {
                return Err(NULL_HEADER_KEY.into());
            }
            self.skip_nullable(left)?;
        }
        if *left > 0 {
            return Err(LEFT_OVER.into());
        }
        Ok((timestamp_delta, offset_delta, has_key))
    }
}

impl<'a, T: Tap> Window<'a, T> {
    fn new(source: Decompressor<'a>, tap: &'a mut T) -> Self {
        Self {
            source,
            tap,
            buffer: vec![0; WINDOW].into_boxed_slice(),
            start: 0,
            end: 0,
            ended: false,
        }
    }
}

/// Walks over `count` records that must fill what `source` decompresses to. `tap` sees all of it.
pub(super) fn check_stream(
    source: Decompressor<'_>,
    count: i32,
    checks: &mut RecordChecks,
    tap: &mut impl Tap,
) -> Result<(), Rejection> {
    let mut window = Window::new(source, tap);
    while checks.next < count {
        match window.record() {
            Ok((timestamp_delta, offset_delta, has_key)) => {
                checks.observe(timestamp_delta, offset_delta, has_key)?;
            }
            Err(Stop::Record(damage)) => return Err(Rejection::at_record(checks.next, damage)),
            Err(Stop::Batch(rejection)) => return Err(rejection),
        }
    }
    window.fill(1)?;
    if window.bytes().is_empty() {
        Ok(())
    } else {
        Err(left_over(count))
    }
}

/// Shows `look` timestamp and offset delta of one record after the other, of `count` at most, until it has
/// found what it looks for.
pub(in crate::batch) fn search_stream<F>(
    source: Decompressor<'_>,
    count: i32,
    mut look: impl FnMut(i64, i32) -> Option<F>,
) -> Result<Option<F>, Error> {
    let mut tap = NoTap;
    let mut window = Window::new(source, &mut tap);
    for index in 0..count {
        let (timestamp_delta, offset_delta, _) = window.record().map_err(|stop| match stop {
            Stop::Record(damage) => Error::Malformed(format!("record {index}: {damage}")),
            Stop::Batch(rejection) if rejection.code == ErrorCode::KafkaStorageError => {
                Error::Aborted(rejection.message)
            }
            Stop::Batch(rejection) => Error::Malformed(rejection.message),
        })?;
        if let Some(found) = look(timestamp_delta, offset_delta) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The CRC was right, so the producer made it so: `INVALID_RECORD`, which nobody retries, unlike
/// `CORRUPT_MESSAGE`. Too large is said as such: producers split the batch then.
fn undecodable(error: &io::Error) -> Rejection {
    let code = if TooLarge::is(error) {
        ErrorCode::MessageTooLarge
    } else if is_shortage(error) {
        ErrorCode::KafkaStorageError
    } else {
        ErrorCode::InvalidRecord
    };
    Rejection::new(code, format!("the compressed records cannot be read: {error}"))
}
