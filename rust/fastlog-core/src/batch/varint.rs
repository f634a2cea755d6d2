//! Zigzag varints, the numbers inside records (`ByteUtils.readVarint` and `readVarlong` in Kafka).
//!
//! Seven bits per byte, low bits first, high bit set on all but the last byte; the value is
//! `(n << 1) ^ (n >> 63)`, so that small negative numbers stay short.

/// Most bytes of a 32-bit varint.
pub const MAX_VARINT_SIZE: usize = 5;
/// Most bytes of a 64-bit varint.
pub const MAX_VARLONG_SIZE: usize = 10;

/// Takes a 64-bit varint off the front of `bytes`. `None` when the bytes end too early or the number has
/// more than 64 bits; what is left in `bytes` then means nothing.
#[inline]
pub fn read_varlong(bytes: &mut &[u8]) -> Option<i64> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    if first < 0x80 {
        return Some(unzigzag(u64::from(first)));
    }
    let (&second, rest) = bytes.split_first()?;
    let low = u64::from(first & 0x7f) | (u64::from(second & 0x7f) << 7);
    *bytes = rest;
    if second < 0x80 {
        return Some(unzigzag(low));
    }
    read_long_tail(bytes, low).map(unzigzag)
}

/// Takes a 32-bit varint off the front of `bytes`; `None` as [`read_varlong`], and for numbers beyond 32
/// bits.
#[inline]
pub fn read_varint(bytes: &mut &[u8]) -> Option<i32> {
    // Every i32 is at most 5 bytes and no longer number fits: what is in range is also well-formed.
    i32::try_from(read_varlong(bytes)?).ok()
}

/// The third byte and those after it. Kept out of line: nearly all numbers in records are shorter.
#[inline(never)]
fn read_long_tail(bytes: &mut &[u8], low: u64) -> Option<u64> {
    let mut value = low;
    let mut shift = 14;
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit only.
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

/// The signed number behind the bits of a varint.
#[inline]
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[inline]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Appends `value` as a varint. A 32-bit value has the same bytes under both widths.
#[inline]
pub fn write_varlong(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push((rest as u8) | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Bytes that [`write_varlong`] writes for `value`.
#[inline]
pub fn varlong_size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}
