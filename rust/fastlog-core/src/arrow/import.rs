//! Records out of a table that somebody else offers as an Arrow stream: what a producer sends.
//!
//! | column | types | |
//! |---|---|---|
//! | value | binary and utf8, in all layouts, also in dictionaries; null | there must be one |
//! | key | the same | |
//! | timestamp | timestamp of any unit, or a 64-bit integer in milliseconds | null: when it is sent |
//! | partition | any integer | null: chosen by the key, or by turns |
//! | headers | list, large list or map of a struct of name and value | |
//! | topic, offset | any | are passed over: a table of records that were read has them |

use std::ffi::{CStr, c_int};
use std::io;
use std::ptr;

use super::strings::{Fault, Int, Ints, Layout, Strings, Window, needed};
use super::{ArrowArray, ArrowArrayStream, ArrowSchema};

impl ArrowArrayStream {
    /// Moves a stream out of its place, which is left released.
    ///
    /// # Safety
    /// `place` is that of a stream which nobody else uses meanwhile.
    pub unsafe fn move_out(place: *mut Self) -> Self {
        // SAFETY: a stream is there. What is put in its place owns nothing, so that nothing is owned twice.
        unsafe { ptr::replace(place, Self::empty()) }
    }
}

/// A stream of records that was taken over from somebody else.
#[derive(Debug)]
pub struct ArrowSource {
    stream: ArrowArrayStream,
    fields: Fields,
}

/// Some records of a stream.
#[derive(Debug)]
pub struct ArrowRows {
    /// Lends what the columns point to.
    _array: ArrowArray,
    rows: usize,
    value: Strings,
    key: Option<Strings>,
    timestamp: Option<(Ints, Unit)>,
    partition: Option<Ints>,
    headers: Option<Headers>,
}

// SAFETY: nothing is written to an array once it was handed out, and its release, in the drop, happens once, in any
// thread: the interface allows both.
unsafe impl Send for ArrowRows {}
// SAFETY: the same.
unsafe impl Sync for ArrowRows {}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrowRow<'a> {
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// Milliseconds; `None` where there are none.
    pub timestamp: Option<i64>,
    /// The partition; `None` where there is none.
    pub partition: Option<i64>,
}

/// What a number of a timestamp is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Milli,
    Micro,
    Nano,
}

impl Unit {
    fn to_ms(self, number: i64) -> Result<i64, Fault> {
        match self {
            Self::Second => number
                .checked_mul(1000)
                .ok_or_else(|| format!("a timestamp of {number} seconds")),
            Self::Milli => Ok(number),
            Self::Micro => Ok(number.div_euclid(1000)),
            Self::Nano => Ok(number.div_euclid(1_000_000)),
        }
    }
}

/// Where the columns of a record are, and what they are.
#[derive(Debug)]
struct Fields {
    count: usize,
    value: (usize, Layout),
    key: Option<(usize, Layout)>,
    timestamp: Option<(usize, Unit)>,
    partition: Option<(usize, Int)>,
    headers: Option<(usize, HeaderLayout)>,
}

#[derive(Debug)]
struct HeaderLayout {
    offsets: Int,
    name: Layout,
    value: Layout,
}

#[derive(Debug)]
struct Headers {
    window: Window,
    kind: Int,
    offsets: *const u8,
    entries: Window,
    count: i64,
    names: Strings,
    values: Strings,
}

impl ArrowSource {
    /// Looks at the type of a stream.
    ///
    /// # Safety
    /// The stream keeps to Arrow's specification in what is not checked here: that its callbacks can be called, and
    /// that its buffers are as long as its offsets say.
    pub unsafe fn of(mut stream: ArrowArrayStream) -> Result<Self, Fault> {
        if stream.release.is_none() {
            return Err("the stream was read before".to_owned());
        }
        let mut schema = ArrowSchema::empty();
        let get_schema = stream.get_schema.ok_or("the stream has no get_schema")?;
        // SAFETY: the stream is not released, and the schema is there to be written to.
        let code = unsafe { get_schema(&raw mut stream, &raw mut schema) };
        if code != 0 {
            return Err(last_error(&mut stream, code));
        }
        let fields = Fields::of(&schema)?;
        Ok(Self { stream, fields })
    }

    /// The next records; `None` at the end. May take as long as whoever makes them.
    pub fn next_rows(&mut self) -> Result<Option<ArrowRows>, Fault> {
        let get_next = self.stream.get_next.ok_or("the stream has no get_next")?;
        let mut array = ArrowArray::empty();
        // SAFETY: the stream is not released, and the array is there to be written to.
        let code = unsafe { get_next(&raw mut self.stream, &raw mut array) };
        if code != 0 {
            return Err(last_error(&mut self.stream, code));
        }
        if array.release.is_none() {
            return Ok(None);
        }
        self.fields.rows(array).map(Some)
    }
}

fn last_error(stream: &mut ArrowArrayStream, code: c_int) -> Fault {
    let told = stream.get_last_error.map_or(ptr::null(), |get| {
        // SAFETY: the stream is not released, and its last call failed.
        unsafe { get(&raw mut *stream) }
    });
    if told.is_null() {
        return format!("the stream failed: {}", io::Error::from_raw_os_error(code));
    }
    // SAFETY: the text ends with a null byte and lives until the next call.
    let text = unsafe { CStr::from_ptr(told) }.to_string_lossy();
    format!("the stream failed: {text}")
}

fn text<'a>(pointer: *const std::ffi::c_char) -> &'a [u8] {
    if pointer.is_null() {
        return &[];
    }
    // SAFETY: texts of a schema end with a null byte, and live as long as it does.
    unsafe { CStr::from_ptr(pointer) }.to_bytes()
}

/// The children of a schema. Fails when there are not so many pointers.
fn children(schema: &ArrowSchema) -> Result<Vec<&ArrowSchema>, Fault> {
    let count = usize::try_from(schema.n_children).map_err(|_| format!("{} columns", schema.n_children))?;
    if count > 1 << 20 || (count > 0 && schema.children.is_null()) {
        return Err(format!("{count} columns that are not there"));
    }
    (0..count)
        .map(|index| {
            // SAFETY: a schema has as many pointers to children as it says.
            let child = unsafe { *schema.children.add(index) };
            // SAFETY: each is that of a schema, or null, which is an error.
            unsafe { child.as_ref() }.ok_or_else(|| format!("column {index} is not there"))
        })
        .collect()
}

fn layout_of(schema: &ArrowSchema) -> Option<Layout> {
    // SAFETY: a dictionary is a schema that belongs to this one; without one the pointer is null.
    match unsafe { schema.dictionary.as_ref() } {
        None => Layout::of(text(schema.format)),
        Some(dictionary) => {
            let index = Int::of(text(schema.format))?;
            let entries = Layout::of(text(dictionary.format)).filter(|_| dictionary.dictionary.is_null())?;
            Some(Layout::Dictionary(index, Box::new(entries)))
        }
    }
}

fn unit_of(format: &[u8]) -> Option<Unit> {
    match format {
        b"l" => Some(Unit::Milli),
        [b't', b's', unit, b':', ..] => match unit {
            b's' => Some(Unit::Second),
            b'm' => Some(Unit::Milli),
            b'u' => Some(Unit::Micro),
            b'n' => Some(Unit::Nano),
            _ => None,
        },
        _ => None,
    }
}

fn header_layout_of(schema: &ArrowSchema) -> Option<HeaderLayout> {
    let offsets = match text(schema.format) {
        b"+l" | b"+m" => Int::I32,
        b"+L" => Int::I64,
        _ => return None,
    };
    let [entry] = children(schema).ok()?[..] else {
        return None;
    };
    let parts = children(entry).ok()?;
    let (b"+s", [name, value]) = (text(entry.format), &parts[..]) else {
        return None;
    };
    Some(HeaderLayout {
        offsets,
        name: layout_of(name)?,
        value: layout_of(value)?,
    })
}

impl Fields {
    fn of(schema: &ArrowSchema) -> Result<Self, Fault> {
        if text(schema.format) != b"+s" {
            return Err(format!(
                "it is not a table but an array of type {:?}",
                String::from_utf8_lossy(text(schema.format))
            ));
        }
        let columns = children(schema)?;
        let (mut value, mut key, mut timestamp, mut partition, mut headers) = (None, None, None, None, None);
        let mut seen: Vec<&[u8]> = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            let name = text(column.name);
            let shown = String::from_utf8_lossy(name);
            if seen.contains(&name) {
                return Err(format!("there are two columns {shown:?}"));
            }
            seen.push(name);
            let wrong = |wanted: &str| {
                let format = String::from_utf8_lossy(text(column.format)).into_owned();
                format!("column {shown:?} must be {wanted}; its Arrow type is {format:?}")
            };
            let bytes = || layout_of(column).ok_or_else(|| wrong("binary or utf8"));
            let plain = || Some(text(column.format)).filter(|_| column.dictionary.is_null());
            match name {
                b"value" => value = Some((index, bytes()?)),
                b"key" => key = Some((index, bytes()?)),
                b"timestamp" => {
                    let unit = plain().and_then(unit_of);
                    let wanted = "a timestamp, or a 64-bit integer in milliseconds";
                    timestamp = Some((index, unit.ok_or_else(|| wrong(wanted))?));
                }
                b"partition" => {
                    let kind = plain().and_then(Int::of);
                    partition = Some((index, kind.ok_or_else(|| wrong("an integer"))?));
                }
                b"headers" => {
                    let layout = header_layout_of(column);
                    let wanted = "a list of structs of a name and a value, or a map";
                    headers = Some((index, layout.ok_or_else(|| wrong(wanted))?));
                }
                b"topic" | b"offset" => {}
                _ => {
                    let known = "value, key, timestamp, partition and headers";
                    return Err(format!(
                        "column {shown:?} is no part of a record: those are {known}"
                    ));
                }
            }
        }
        let names: Vec<_> = seen.iter().map(|name| String::from_utf8_lossy(name)).collect();
        let value =
            value.ok_or_else(|| format!("there is no column \"value\", only these: {}", names.join(", ")))?;
        Ok(Self {
            count: columns.len(),
            value,
            key,
            timestamp,
            partition,
            headers,
        })
    }

    fn rows(&self, array: ArrowArray) -> Result<ArrowRows, Fault> {
        let rows =
            usize::try_from(array.length).map_err(|_| format!("a table of length {}", array.length))?;
        let window = Window::of(&array, 0, rows, 1)?;
        if (0..rows).any(|row| window.is_null(row)) {
            return Err("a row of the table is null".to_owned());
        }
        if array.n_children != self.count as i64 || (self.count > 0 && array.children.is_null()) {
            let found = array.n_children;
            return Err(format!("{found} columns where the schema has {}", self.count));
        }
        let from = window.base();
        let child = |index: usize| {
            // SAFETY: there are as many pointers as the array says, which is what was compared above.
            let child = unsafe { *array.children.add(index) };
            // SAFETY: each is that of an array, or null, which is an error.
            unsafe { child.as_ref() }.ok_or_else(|| format!("column {index} is not there"))
        };
        let strings = |(index, layout): &(usize, Layout)| Strings::of(layout, child(*index)?, from, rows);
        let value = strings(&self.value)?;
        let key = self.key.as_ref().map(strings).transpose()?;
        let timestamp = self
            .timestamp
            .map(|(index, unit)| Ok::<_, Fault>((Ints::of(Int::I64, child(index)?, from, rows)?, unit)))
            .transpose()?;
        let partition = self
            .partition
            .map(|(index, kind)| Ints::of(kind, child(index)?, from, rows))
            .transpose()?;
        let headers = self
            .headers
            .as_ref()
            .map(|(index, layout)| Headers::of(layout, child(*index)?, from, rows))
            .transpose()?;
        Ok(ArrowRows {
            rows,
            value,
            key,
            timestamp,
            partition,
            headers,
            _array: array,
        })
    }
}

impl Headers {
    fn of(layout: &HeaderLayout, array: &ArrowArray, from: usize, rows: usize) -> Result<Self, Fault> {
        let window = Window::of(array, from, rows, 2)?;
        let offsets = needed(array, 1, rows)?;
        if array.n_children != 1 || array.children.is_null() {
            return Err(format!("headers with {} columns", array.n_children));
        }
        // SAFETY: there is one pointer, to an array or null.
        let entry = unsafe { (*array.children).as_ref() }.ok_or("the headers are not there")?;
        let count = usize::try_from(entry.length).map_err(|_| format!("{} headers", entry.length))?;
        let entries = Window::of(entry, 0, count, 1)?;
        if entry.n_children != 2 || entry.children.is_null() {
            return Err(format!("headers of {} columns", entry.n_children));
        }
        let part = |index: usize| {
            // SAFETY: there are two pointers, each to an array or null.
            let part = unsafe { *entry.children.add(index) };
            // SAFETY: the same.
            unsafe { part.as_ref() }.ok_or("a part of the headers is not there")
        };
        Ok(Self {
            window,
            kind: layout.offsets,
            offsets,
            entries,
            count: count as i64,
            names: Strings::of(&layout.name, part(0)?, entries.base(), count)?,
            values: Strings::of(&layout.value, part(1)?, entries.base(), count)?,
        })
    }

    fn get<'a>(&'a self, row: usize, found: &mut Vec<(&'a [u8], Option<&'a [u8]>)>) -> Result<(), Fault> {
        if self.window.is_null(row) {
            return Ok(());
        }
        let at = self.window.base() + row;
        // SAFETY: there is one offset more than rows.
        let (from, to) = unsafe {
            (
                self.kind.read(self.offsets, at),
                self.kind.read(self.offsets, at + 1),
            )
        };
        if from < 0 || to < from || to > self.count {
            return Err(format!("row {row} has headers {from} to {to} of {}", self.count));
        }
        for entry in from as usize..to as usize {
            let name = self.names.get(entry)?.filter(|_| !self.entries.is_null(entry));
            let name = name.ok_or_else(|| format!("row {row} has a header without a name"))?;
            if std::str::from_utf8(name).is_err() {
                return Err(format!("row {row} has a header the name of which is not UTF-8"));
            }
            found.push((name, self.values.get(entry)?));
        }
        Ok(())
    }
}

impl ArrowRows {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether they come with headers, with times, and with partitions of their own.
    pub fn columns(&self) -> (bool, bool, bool) {
        (
            self.headers.is_some(),
            self.timestamp.is_some(),
            self.partition.is_some(),
        )
    }

    /// Record `row`, its headers into `headers`, which is emptied before. Fails where the array says what cannot be.
    pub fn get<'a>(
        &'a self,
        row: usize,
        headers: &mut Vec<(&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<ArrowRow<'a>, Fault> {
        if row >= self.rows {
            return Err(format!("row {row} of {}", self.rows));
        }
        headers.clear();
        if let Some(found) = &self.headers {
            found.get(row, headers)?;
        }
        let timestamp = self.timestamp.as_ref().and_then(|(times, unit)| {
            let number = times.get(row)?;
            Some(unit.to_ms(number))
        });
        Ok(ArrowRow {
            key: self.key.as_ref().map_or(Ok(None), |key| key.get(row))?,
            value: self.value.get(row)?,
            timestamp: timestamp.transpose()?,
            partition: self.partition.as_ref().and_then(|partitions| partitions.get(row)),
        })
    }
}
