//! Zigzag varints, the numbers inside records (`ByteUtils.readVarint` and `readVarlong` in Kafka).
//!
//! Seven bits per byte, low bits first, high bit set on all but the last byte; the value is
//! `(n << 1) ^ (n >> 63)`, so that small negative numbers stay short.

/// Most bytes of a 32-bit varint.
pub const MAX_VARINT_SIZE: usize = 5;
/// Most bytes of a 64-bit varint.
pub const MAX_VARLONG_SIZE: usize = 10;

/// Reads a 64-bit varint at `*at` and moves `*at` behind it. `None` when the bytes end too early or the
/// number has more than 64 bits; `*at` then means nothing.
#[inline]
pub fn read_varlong(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let first = *bytes.get(*at)?;
    *at += 1;
    if first < 0x80 {
        return Some(unzigzag(u64::from(first)));
    }
    read_long_tail(bytes, at, u64::from(first & 0x7f)).map(unzigzag)
}

/// Reads a 32-bit varint at `*at` and moves `*at` behind it; `None` as [`read_varlong`], for numbers
/// beyond 32 bits.
#[inline]
pub fn read_varint(bytes: &[u8], at: &mut usize) -> Option<i32> {
    let first = *bytes.get(*at)?;
    *at += 1;
    if first < 0x80 {
        return Some(unzigzag(u64::from(first)) as i32);
    }
    let second = *bytes.get(*at)?;
    let low = u64::from(first & 0x7f);
    if second < 0x80 {
        *at += 1;
        return Some(unzigzag(low | (u64::from(second) << 7)) as i32);
    }
    let value = read_long_tail(bytes, at, low)?;
    // The unsigned form must fit 32 bits: a longer number is no canonical way to write an i32.
    u32::try_from(value)
        .ok()
        .map(|value| unzigzag(u64::from(value)) as i32)
}

/// The bytes after the first one, which had its high bit set.
fn read_long_tail(bytes: &[u8], at: &mut usize, low: u64) -> Option<u64> {
    let mut value = low;
    let mut shift = 7;
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
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

#[inline]
fn unzigzag(value: u64) -> i64 {
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
