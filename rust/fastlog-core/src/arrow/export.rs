//! A table of records as a struct array of Arrow, which lends the table's own memory.
//!
//! | child | format | |
//! |---|---|---|
//! | topic | `i`, dictionary of `u` | |
//! | partition | `i` | |
//! | offset | `l` | |
//! | timestamp | `tsm:UTC` | null where the record has none |
//! | key | `Z` | nullable |
//! | value | `Z` | nullable |
//! | headers | `+L` of `+s` of name `U` and value `Z` | an empty list for none |

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Arc, OnceLock};

use super::{ArrowArray, ArrowArrayStream, ArrowSchema};
use crate::batch::{BytesColumn, RecordTable, TablePool};

/// `ARROW_FLAG_NULLABLE`.
const NULLABLE: i64 = 2;

/// A table of records that Arrow's consumers can read.
#[derive(Debug)]
pub struct ArrowTable {
    table: RecordTable,
    /// Who gets its memory.
    pool: Option<Arc<TablePool>>,
    derived: OnceLock<Derived>,
}

/// What Arrow needs beside the table's own columns; made when it is asked for.
#[derive(Debug)]
struct Derived {
    topics: Vec<i32>,
    topic_names: Vec<u8>,
    topic_offsets: Vec<i32>,
    partitions: Vec<i32>,
    times: Bitmap,
    keys: Bitmap,
    values: Bitmap,
    header_values: Bitmap,
}

/// Which rows are not null, a bit for each; no bytes where all are there.
#[derive(Debug)]
struct Bitmap {
    bits: Vec<u8>,
    nulls: i64,
}

impl Bitmap {
    fn of(rows: usize, is_there: impl Fn(usize) -> bool) -> Self {
        let nulls = (0..rows).filter(|row| !is_there(*row)).count();
        let mut bits = Vec::new();
        if nulls > 0 {
            bits.resize(rows.div_ceil(8), 0);
            for row in (0..rows).filter(|row| is_there(*row)) {
                bits[row / 8] |= 1 << (row % 8);
            }
        }
        Self {
            bits,
            nulls: nulls as i64,
        }
    }

    fn pointer(&self) -> *const c_void {
        if self.nulls == 0 {
            ptr::null()
        } else {
            self.bits.as_ptr().cast()
        }
    }
}

impl Derived {
    fn of(table: &RecordTable) -> Self {
        let rows = table.len();
        let mut names: Vec<&str> = Vec::new();
        let (mut topics, mut partitions) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for part in &table.parts {
            let known = names.iter().position(|name| *name == part.topic);
            let index = known.unwrap_or_else(|| {
                names.push(&part.topic);
                names.len() - 1
            });
            topics.resize(part.stop, index as i32);
            partitions.resize(part.stop, part.partition);
        }
        let mut topic_offsets = vec![0];
        let mut topic_names = Vec::new();
        for name in names {
            topic_names.extend_from_slice(name.as_bytes());
            topic_offsets.push(topic_names.len() as i32);
        }
        let column = |column: &BytesColumn| Bitmap::of(column.validity.len(), |row| column.validity[row]);
        Self {
            topics,
            topic_names,
            topic_offsets,
            partitions,
            times: Bitmap::of(rows, |row| table.timestamps[row] != -1),
            keys: column(&table.keys),
            values: column(&table.values),
            header_values: column(&table.headers.values),
        }
    }
}

impl Drop for ArrowTable {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.give(std::mem::take(&mut self.table));
        }
    }
}

impl ArrowTable {
    /// Takes over a table all rows of which are in a part.
    pub fn new(table: RecordTable) -> Arc<Self> {
        Self::pooled(table, None)
    }

    /// The same; its memory goes to a pool when nobody has the table any more.
    pub fn pooled(table: RecordTable, pool: Option<Arc<TablePool>>) -> Arc<Self> {
        debug_assert_eq!(table.parts.last().map_or(0, |part| part.stop), table.len());
        Arc::new(Self {
            table,
            pool,
            derived: OnceLock::new(),
        })
    }

    /// The records.
    pub fn table(&self) -> &RecordTable {
        &self.table
    }

    fn derived(&self) -> &Derived {
        self.derived.get_or_init(|| Derived::of(&self.table))
    }

    /// Where the rows that no column of the table has are: indexes of topics, and partitions.
    pub fn partitions(&self) -> &[i32] {
        &self.derived().partitions
    }

    /// The type of every table.
    pub fn schema() -> ArrowSchema {
        let field = |format, name, flags| schema_of(format, name, flags, Vec::new(), None);
        let header = schema_of(
            c"+s",
            c"item",
            0,
            vec![field(c"U", c"name", 0), field(c"Z", c"value", NULLABLE)],
            None,
        );
        let names = field(c"u", c"", 0);
        schema_of(
            c"+s",
            c"",
            0,
            vec![
                schema_of(c"i", c"topic", 0, Vec::new(), Some(names)),
                field(c"i", c"partition", 0),
                field(c"l", c"offset", 0),
                field(c"tsm:UTC", c"timestamp", NULLABLE),
                field(c"Z", c"key", NULLABLE),
                field(c"Z", c"value", NULLABLE),
                schema_of(c"+L", c"headers", 0, vec![header], None),
            ],
            None,
        )
    }

    /// All rows as one struct array. It keeps the table alive until it is released.
    pub fn array(self: &Arc<Self>) -> ArrowArray {
        let (table, derived) = (&self.table, self.derived());
        let rows = table.len();
        let leaf = |length: usize, nulls: i64, buffers: Vec<*const c_void>| {
            self.array_of(length, nulls, buffers, Vec::new(), None)
        };
        let strings = |column: &BytesColumn, there: Option<&Bitmap>| {
            let buffers = vec![
                there.map_or(ptr::null(), Bitmap::pointer),
                column.offsets.as_ptr().cast(),
                column.data.as_ptr().cast(),
            ];
            leaf(
                column.validity.len(),
                there.map_or(0, |there| there.nulls),
                buffers,
            )
        };
        let names = leaf(
            derived.topic_offsets.len() - 1,
            0,
            vec![
                ptr::null(),
                derived.topic_offsets.as_ptr().cast(),
                derived.topic_names.as_ptr().cast(),
            ],
        );
        let headers = &table.headers;
        let header = self.array_of(
            headers.values.validity.len(),
            0,
            vec![ptr::null()],
            vec![
                strings(&headers.names, None),
                strings(&headers.values, Some(&derived.header_values)),
            ],
            None,
        );
        let plain = |start: *const c_void| leaf(rows, 0, vec![ptr::null(), start]);
        let children = vec![
            self.array_of(
                rows,
                0,
                vec![ptr::null(), derived.topics.as_ptr().cast()],
                Vec::new(),
                Some(names),
            ),
            plain(derived.partitions.as_ptr().cast()),
            plain(table.offsets.as_ptr().cast()),
            leaf(
                rows,
                derived.times.nulls,
                vec![derived.times.pointer(), table.timestamps.as_ptr().cast()],
            ),
            strings(&table.keys, Some(&derived.keys)),
            strings(&table.values, Some(&derived.values)),
            self.array_of(
                rows,
                0,
                vec![ptr::null(), headers.offsets.as_ptr().cast()],
                vec![header],
                None,
            ),
        ];
        self.array_of(rows, 0, vec![ptr::null()], children, None)
    }

    /// All rows as a stream of one array. It may be asked for any number of times.
    pub fn stream(self: &Arc<Self>) -> ArrowArrayStream {
        let mut table = Some(Arc::clone(self));
        stream_of(move || Ok(table.take()))
    }

    fn array_of(
        self: &Arc<Self>,
        length: usize,
        null_count: i64,
        buffers: Vec<*const c_void>,
        children: Vec<ArrowArray>,
        dictionary: Option<ArrowArray>,
    ) -> ArrowArray {
        let mut held = Box::new(ArrayHeld {
            _table: Arc::clone(self),
            buffers,
            children: boxed(children),
            dictionary: dictionary.map_or(ptr::null_mut(), |one| Box::into_raw(Box::new(one))),
        });
        ArrowArray {
            length: length as i64,
            null_count,
            offset: 0,
            n_buffers: held.buffers.len() as i64,
            n_children: held.children.len() as i64,
            buffers: held.buffers.as_mut_ptr(),
            children: held.children.as_mut_ptr(),
            dictionary: held.dictionary,
            release: Some(release_array),
            private_data: Box::into_raw(held).cast(),
        }
    }
}

fn schema_of(
    format: &'static CStr,
    name: &'static CStr,
    flags: i64,
    children: Vec<ArrowSchema>,
    dictionary: Option<ArrowSchema>,
) -> ArrowSchema {
    let mut held = Box::new(SchemaHeld {
        children: boxed(children),
        dictionary: dictionary.map_or(ptr::null_mut(), |one| Box::into_raw(Box::new(one))),
    });
    ArrowSchema {
        format: format.as_ptr(),
        name: name.as_ptr(),
        metadata: ptr::null(),
        flags,
        n_children: held.children.len() as i64,
        children: held.children.as_mut_ptr(),
        dictionary: held.dictionary,
        release: Some(release_schema),
        private_data: Box::into_raw(held).cast(),
    }
}

fn boxed<T>(children: Vec<T>) -> Vec<*mut T> {
    children
        .into_iter()
        .map(|child| Box::into_raw(Box::new(child)))
        .collect()
}

/// What an exported schema owns. Its pointers come from `Box::into_raw`, once each.
struct SchemaHeld {
    children: Vec<*mut ArrowSchema>,
    dictionary: *mut ArrowSchema,
}

/// What an exported array owns.
struct ArrayHeld {
    /// Lends the buffers.
    _table: Arc<ArrowTable>,
    buffers: Vec<*const c_void>,
    children: Vec<*mut ArrowArray>,
    dictionary: *mut ArrowArray,
}

/// The next table of a stream, `None` at its end, or why it cannot be had.
type Next = dyn FnMut() -> Result<Option<Arc<ArrowTable>>, String> + Send;

struct StreamHeld {
    next: Box<Next>,
    /// What the last call failed with.
    error: Option<CString>,
}

/// A stream of tables, each of which is made when it is asked for; after an error there are no more.
pub fn stream_of(
    next: impl FnMut() -> Result<Option<Arc<ArrowTable>>, String> + Send + 'static,
) -> ArrowArrayStream {
    let held = Box::new(StreamHeld {
        next: Box::new(next),
        error: None,
    });
    ArrowArrayStream {
        get_schema: Some(stream_schema),
        get_next: Some(stream_next),
        get_last_error: Some(stream_error),
        release: Some(release_stream),
        private_data: Box::into_raw(held).cast(),
    }
}

/// Frees structs that belong to their parent; those that nobody has moved out are released by their drop.
///
/// # Safety
/// Each pointer is null or from `Box::into_raw`, and is not used afterwards.
unsafe fn free<T>(owned: impl IntoIterator<Item = *mut T>) {
    for one in owned.into_iter().filter(|one| !one.is_null()) {
        // SAFETY: as the caller says. A consumer that moves a child out copies its bytes and writes null to its
        // `release`, in our memory, so that the drop here does nothing but free that.
        drop(unsafe { Box::from_raw(one) });
    }
}

/// # Safety
/// `schema` is one that [`schema_of`] made, wherever it was moved, and is not released yet.
unsafe extern "C" fn release_schema(schema: *mut ArrowSchema) {
    // SAFETY: the caller holds the struct, exclusively while it releases it.
    let schema = unsafe { &mut *schema };
    // SAFETY: `private_data` is from `Box::into_raw` in `schema_of`; `release`, set to null below, guards against a
    // second time.
    let held = unsafe { Box::from_raw(schema.private_data.cast::<SchemaHeld>()) };
    schema.release = None;
    schema.private_data = ptr::null_mut();
    let SchemaHeld { children, dictionary } = *held;
    // SAFETY: they are from `Box::into_raw`, and `held` was the only one that knew them, beside the consumer, who must
    // not use them after the release of their parent.
    unsafe { free(children.into_iter().chain([dictionary])) };
}

/// # Safety
/// `array` is one that [`ArrowTable::array_of`] made, wherever it was moved, and is not released yet.
unsafe extern "C" fn release_array(array: *mut ArrowArray) {
    // SAFETY: the caller holds the struct, exclusively while it releases it.
    let array = unsafe { &mut *array };
    // SAFETY: `private_data` is from `Box::into_raw` in `array_of`; `release`, set to null below, guards against a
    // second time.
    let held = unsafe { Box::from_raw(array.private_data.cast::<ArrayHeld>()) };
    array.release = None;
    array.private_data = ptr::null_mut();
    let ArrayHeld {
        children, dictionary, ..
    } = *held;
    // SAFETY: as in `release_schema`. Children hold the table for themselves: one that was moved out outlives this.
    unsafe { free(children.into_iter().chain([dictionary])) };
}

/// # Safety
/// `stream` is one that [`stream_of`] made and is not released yet; `out` may be written to.
unsafe extern "C" fn stream_schema(_stream: *mut ArrowArrayStream, out: *mut ArrowSchema) -> c_int {
    // SAFETY: `out` is the caller's memory for a schema; what was in it before is nobody's.
    unsafe { ptr::write(out, ArrowTable::schema()) };
    0
}

/// # Safety
/// As for [`stream_schema`], with an array.
unsafe extern "C" fn stream_next(stream: *mut ArrowArrayStream, out: *mut ArrowArray) -> c_int {
    // SAFETY: the stream is not released, so its `private_data` is the box of `stream_of`, and callers do not use one
    // stream in two threads at a time.
    let held = unsafe { &mut *(*stream).private_data.cast::<StreamHeld>() };
    if held.error.is_some() {
        return libc::EIO;
    }
    let next = match (held.next)() {
        Ok(table) => table.map_or_else(ArrowArray::empty, |table| table.array()),
        Err(reason) => {
            held.error = Some(CString::new(reason.replace('\0', " ")).unwrap_or_default());
            return libc::EIO;
        }
    };
    // SAFETY: `out` is the caller's memory for an array; what was in it before is nobody's.
    unsafe { ptr::write(out, next) };
    0
}

/// # Safety
/// As for [`stream_schema`].
unsafe extern "C" fn stream_error(stream: *mut ArrowArrayStream) -> *const c_char {
    // SAFETY: as in `stream_next`. The text stays as it is from the first error on.
    let held = unsafe { &*(*stream).private_data.cast::<StreamHeld>() };
    held.error.as_ref().map_or(ptr::null(), |error| error.as_ptr())
}

/// # Safety
/// `stream` is one that [`stream_of`] made, wherever it was moved, and is not released yet.
unsafe extern "C" fn release_stream(stream: *mut ArrowArrayStream) {
    // SAFETY: the caller holds the struct, exclusively while it releases it.
    let stream = unsafe { &mut *stream };
    // SAFETY: `private_data` is from `Box::into_raw` in `stream_of`; `release`, set to null below, guards against a
    // second time.
    drop(unsafe { Box::from_raw(stream.private_data.cast::<StreamHeld>()) });
    stream.release = None;
    stream.private_data = ptr::null_mut();
}
