//! Single columns of an array that somebody else made: byte strings in all of Arrow's layouts, and numbers.
//!
//! What the interface says is checked before anything is read: counts, signs, null pointers, and offsets against each
//! other. How long a buffer is it does not say, but for those of views: there its maker has to be believed.

use std::ffi::c_void;
use std::slice;

use super::ArrowArray;

/// Why an array is not what it should be.
pub(super) type Fault = String;

/// An integer type: bytes and whether it has a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Int {
    width: usize,
    signed: bool,
}

impl Int {
    pub(super) const I64: Self = Self {
        width: 8,
        signed: true,
    };

    pub(super) const I32: Self = Self {
        width: 4,
        signed: true,
    };

    pub(super) fn of(format: &[u8]) -> Option<Self> {
        let (width, signed) = match format {
            b"c" => (1, true),
            b"C" => (1, false),
            b"s" => (2, true),
            b"S" => (2, false),
            b"i" => (4, true),
            b"I" => (4, false),
            b"l" => (8, true),
            b"L" => (8, false),
            _ => return None,
        };
        Some(Self { width, signed })
    }

    /// # Safety
    /// `row + 1` of these numbers are at `start`.
    pub(super) unsafe fn read(self, start: *const u8, row: usize) -> i64 {
        // SAFETY: as the caller says; bytes have no alignment.
        let bytes = unsafe { slice::from_raw_parts(start.add(row * self.width), self.width) };
        let negative = self.signed && has_top_bit(bytes);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        let at = if cfg!(target_endian = "little") {
            0
        } else {
            8 - self.width
        };
        wide[at..at + self.width].copy_from_slice(bytes);
        i64::from_ne_bytes(wide)
    }
}

fn has_top_bit(bytes: &[u8]) -> bool {
    let top = if cfg!(target_endian = "little") {
        bytes.last()
    } else {
        bytes.first()
    };
    top.is_some_and(|byte| byte & 0x80 != 0)
}

/// How byte strings are laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    /// There are only nulls (`n`).
    Null,
    /// 32-bit offsets (`z`, `u`).
    Small,
    /// 64-bit offsets (`Z`, `U`).
    Large,
    /// So many bytes each (`w:`).
    Fixed(usize),
    /// Views (`vz`, `vu`).
    View,
    /// Numbers of entries in a dictionary.
    Dictionary(Int, Box<Layout>),
}

impl Layout {
    pub(super) fn of(format: &[u8]) -> Option<Self> {
        Some(match format {
            b"n" => Self::Null,
            b"z" | b"u" => Self::Small,
            b"Z" | b"U" => Self::Large,
            b"vz" | b"vu" => Self::View,
            _ => {
                let width = format.strip_prefix(b"w:")?;
                Self::Fixed(std::str::from_utf8(width).ok()?.parse().ok()?)
            }
        })
    }
}

/// The part of an array that a row counts in: its own offset and that of its parents is in `base`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    base: usize,
    validity: *const u8,
}

impl Window {
    /// `rows` rows of `array` from `from` on.
    pub(super) fn of(array: &ArrowArray, from: usize, rows: usize, buffers: i64) -> Result<Self, Fault> {
        let (Ok(length), Ok(offset)) = (usize::try_from(array.length), usize::try_from(array.offset)) else {
            return Err(format!(
                "an array of length {} at offset {}",
                array.length, array.offset
            ));
        };
        if from.checked_add(rows).is_none_or(|end| end > length) {
            return Err(format!(
                "an array of length {length} where {rows} rows from {from} on are due"
            ));
        }
        // So that no sum and no product below overflows.
        let end = offset
            .checked_add(length)
            .filter(|end| *end <= isize::MAX as usize / 64);
        if end.is_none() {
            return Err(format!("an array of length {length} at offset {offset}"));
        }
        if array.n_buffers < buffers || array.n_buffers > 1 << 32 {
            return Err(format!("{} buffers where {buffers} are due", array.n_buffers));
        }
        if array.n_buffers > 0 && array.buffers.is_null() {
            return Err("no list of buffers".to_owned());
        }
        let validity = if array.null_count == 0 || buffers == 0 {
            std::ptr::null()
        } else {
            buffer(array, 0).cast()
        };
        Ok(Self {
            base: offset + from,
            validity,
        })
    }

    pub(super) fn base(&self) -> usize {
        self.base
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        let at = self.base + row;
        // SAFETY: a validity bitmap has a bit for each row of its array, and `row` is one (`of` has checked how many
        // there are).
        !self.validity.is_null() && unsafe { *self.validity.add(at / 8) } & (1 << (at % 8)) == 0
    }
}

/// Buffer `index` of an array that has so many.
pub(super) fn buffer(array: &ArrowArray, index: usize) -> *const c_void {
    // SAFETY: `Window::of` has checked that the list of buffers is there and as long.
    unsafe { *array.buffers.add(index) }
}

/// The same, which must not be null.
pub(super) fn needed(array: &ArrowArray, index: usize, rows: usize) -> Result<*const u8, Fault> {
    let found = buffer(array, index);
    if found.is_null() && rows > 0 {
        return Err(format!("buffer {index} of {rows} rows is null"));
    }
    Ok(found.cast())
}

/// A column of numbers.
#[derive(Debug)]
pub(super) struct Ints {
    kind: Int,
    window: Window,
    start: *const u8,
}

impl Ints {
    pub(super) fn of(kind: Int, array: &ArrowArray, from: usize, rows: usize) -> Result<Self, Fault> {
        let window = Window::of(array, from, rows, 2)?;
        let start = needed(array, 1, rows)?;
        Ok(Self { kind, window, start })
    }

    pub(super) fn get(&self, row: usize) -> Option<i64> {
        // SAFETY: the second buffer of a column of numbers holds one for each row of its array.
        (!self.window.is_null(row)).then(|| unsafe { self.kind.read(self.start, self.window.base + row) })
    }
}

/// A column of byte strings.
#[derive(Debug)]
pub(super) struct Strings {
    window: Window,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Null,
    Offsets {
        kind: Int,
        offsets: *const u8,
        /// The end of the last row: where its maker has to be believed.
        end: i64,
        data: *const u8,
    },
    Fixed(*const u8, usize),
    Views {
        views: *const u8,
        buffers: Vec<(*const u8, i64)>,
    },
    Dictionary {
        indexes: Ints,
        entries: usize,
        strings: Box<Strings>,
    },
}

const VIEW_SIZE: usize = 16;
const INLINE: usize = 12;

impl Strings {
    pub(super) fn of(layout: &Layout, array: &ArrowArray, from: usize, rows: usize) -> Result<Self, Fault> {
        let buffers = match layout {
            Layout::Null => 0,
            Layout::Small | Layout::Large | Layout::View => 3,
            Layout::Fixed(_) | Layout::Dictionary(..) => 2,
        };
        let window = Window::of(array, from, rows, buffers)?;
        let data = match layout {
            Layout::Null => Data::Null,
            Layout::Small => Data::offsets(Int::I32, array, &window, rows)?,
            Layout::Large => Data::offsets(Int::I64, array, &window, rows)?,
            Layout::Fixed(width) => {
                if *width > isize::MAX as usize / (window.base + rows + 1) {
                    return Err(format!("{rows} rows of {width} bytes each"));
                }
                Data::Fixed(needed(array, 1, rows * width)?, *width)
            }
            Layout::View => Data::views(array, rows)?,
            Layout::Dictionary(kind, layout) => {
                // SAFETY: a dictionary-encoded array has one behind this pointer, which belongs to it.
                let dictionary = unsafe { array.dictionary.as_ref() }.ok_or("its dictionary is missing")?;
                let entries = usize::try_from(dictionary.length)
                    .map_err(|_| format!("a dictionary of length {}", dictionary.length))?;
                Data::Dictionary {
                    indexes: Ints::of(*kind, array, from, rows)?,
                    entries,
                    strings: Box::new(Self::of(layout, dictionary, 0, entries)?),
                }
            }
        };
        Ok(Self { window, data })
    }

    /// Row `row`, which must be one; `None` for null.
    pub(super) fn get(&self, row: usize) -> Result<Option<&[u8]>, Fault> {
        if self.window.is_null(row) {
            return Ok(None);
        }
        let at = self.window.base + row;
        match &self.data {
            Data::Null => Ok(None),
            Data::Offsets {
                kind,
                offsets,
                end,
                data,
            } => {
                // SAFETY: there is one offset more than rows.
                let (from, to) = unsafe { (kind.read(*offsets, at), kind.read(*offsets, at + 1)) };
                if from < 0 || to < from || to > *end {
                    return Err(format!("row {row} goes from byte {from} to {to} of {end}"));
                }
                // SAFETY: offsets of strings lie in their data; the last of them is believed, this one is not
                // above it.
                unsafe { bytes(*data, from, to - from) }.map(Some)
            }
            Data::Fixed(start, width) => {
                // SAFETY: the second buffer holds `width` bytes for each row.
                unsafe { bytes(*start, (at * width) as i64, *width as i64) }.map(Some)
            }
            Data::Views { views, buffers } => {
                // SAFETY: the second buffer holds a view for each row.
                let view = unsafe { slice::from_raw_parts(views.add(at * VIEW_SIZE), VIEW_SIZE) };
                view_of(view, buffers)
                    .ok_or_else(|| format!("row {row} is a view of bytes that are not there"))
                    .map(Some)
            }
            Data::Dictionary {
                indexes,
                entries,
                strings,
            } => {
                let Some(index) = indexes.get(row) else {
                    return Ok(None);
                };
                match usize::try_from(index) {
                    Ok(index) if index < *entries => strings.get(index),
                    _ => Err(format!("row {row} is entry {index} of a dictionary of {entries}")),
                }
            }
        }
    }
}

/// # Safety
/// Unless `len` is 0, `len` bytes are at `start + from`, for as long as the array lives that the caller borrows.
unsafe fn bytes<'a>(start: *const u8, from: i64, len: i64) -> Result<&'a [u8], Fault> {
    if len == 0 {
        return Ok(&[]);
    }
    if start.is_null() {
        return Err("its buffer of bytes is null".to_owned());
    }
    // SAFETY: as the caller says.
    Ok(unsafe { slice::from_raw_parts(start.add(from as usize), len as usize) })
}

fn view_of<'a>(view: &'a [u8], buffers: &[(*const u8, i64)]) -> Option<&'a [u8]> {
    let number = |at: usize| Some(i32::from_ne_bytes(*view.get(at..)?.first_chunk::<4>()?));
    let len = usize::try_from(number(0)?).ok()?;
    if len <= INLINE {
        return view.get(4..4 + len);
    }
    let (start, size) = buffers.get(usize::try_from(number(8)?).ok()?)?;
    let from = number(12)?;
    if from < 0 || i64::from(from) + len as i64 > *size || start.is_null() {
        return None;
    }
    // SAFETY: the range lies within the buffer, the size of which the array says.
    Some(unsafe { slice::from_raw_parts(start.add(from as usize), len) })
}

impl Data {
    fn offsets(kind: Int, array: &ArrowArray, window: &Window, rows: usize) -> Result<Self, Fault> {
        let offsets = needed(array, 1, rows)?;
        let end = if rows == 0 {
            0
        } else {
            // SAFETY: there is one offset more than rows.
            unsafe { kind.read(offsets, window.base + rows) }
        };
        let data = buffer(array, 2).cast();
        Ok(Self::Offsets {
            kind,
            offsets,
            end,
            data,
        })
    }

    fn views(array: &ArrowArray, rows: usize) -> Result<Self, Fault> {
        let views = needed(array, 1, rows)?;
        let count = array.n_buffers as usize - 3;
        let sizes = needed(array, count + 2, count)?;
        let buffers = (0..count)
            .map(|index| {
                // SAFETY: the last buffer holds the size of each buffer of bytes.
                let size = unsafe { Int::I64.read(sizes, index) };
                (buffer(array, index + 2).cast(), size)
            })
            .collect();
        Ok(Self::Views { views, buffers })
    }
}
