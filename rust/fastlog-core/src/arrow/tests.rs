//! Tables through the interface and back, who frees what, and structs that say what cannot be.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::sync::Arc;

use super::stream_of as stream_of_tables;
use super::{ArrowArray, ArrowArrayStream, ArrowRow, ArrowSchema, ArrowSource, ArrowTable};
use crate::batch::{BatchBuilder, FetchedRecords, RecordTable};
use crate::compression::{Codec, DecompressionLimit};

/// Rows with nulls and headers, in two partitions.
fn table() -> Arc<ArrowTable> {
    let mut table = RecordTable::default();
    for partition in 0..2 {
        let mut builder = BatchBuilder::new(Codec::None);
        let headers: &[(&[u8], Option<&[u8]>)] = &[(b"a", Some(b"1")), (b"b", None)];
        builder
            .append(5, None, Some(b"first"), headers[..2].iter().copied())
            .unwrap();
        builder.append(-1, Some(b"key"), None, []).unwrap();
        builder
            .append(7, Some(b""), Some(b""), headers[1..].iter().copied())
            .unwrap();
        let bytes = builder.build().unwrap();
        let mut walk = FetchedRecords::new(0, i64::MAX, Vec::new(), DecompressionLimit::default());
        table.take(&mut walk, &bytes, 100, 10_000);
        table.close_part("topic", partition, walk.position());
    }
    ArrowTable::new(table)
}

/// A stream of one schema and some arrays.
struct Made {
    schema: Option<ArrowSchema>,
    arrays: Vec<ArrowArray>,
    code: c_int,
}

unsafe extern "C" fn made_schema(stream: *mut ArrowArrayStream, out: *mut ArrowSchema) -> c_int {
    // SAFETY: `stream_of` put a `Made` there.
    let made = unsafe { &mut *(*stream).private_data.cast::<Made>() };
    match made.schema.take() {
        // SAFETY: `out` is the caller's, for this.
        Some(schema) => unsafe { ptr::write(out, schema) },
        None => return made.code,
    }
    0
}

unsafe extern "C" fn made_next(stream: *mut ArrowArrayStream, out: *mut ArrowArray) -> c_int {
    // SAFETY: as above.
    let made = unsafe { &mut *(*stream).private_data.cast::<Made>() };
    if made.code != 0 {
        return made.code;
    }
    let next = made.arrays.pop().unwrap_or(ArrowArray::empty());
    // SAFETY: as above.
    unsafe { ptr::write(out, next) };
    0
}

unsafe extern "C" fn made_error(_stream: *mut ArrowArrayStream) -> *const c_char {
    c"no more wood".as_ptr()
}

unsafe extern "C" fn made_release(stream: *mut ArrowArrayStream) {
    // SAFETY: as above; it is freed once, since `release` is null afterwards.
    drop(unsafe { Box::from_raw((*stream).private_data.cast::<Made>()) });
    // SAFETY: the same.
    unsafe { (*stream).release = None };
}

fn stream_of(schema: Option<ArrowSchema>, arrays: Vec<ArrowArray>, code: c_int) -> ArrowArrayStream {
    ArrowArrayStream {
        get_schema: Some(made_schema),
        get_next: Some(made_next),
        get_last_error: Some(made_error),
        release: Some(made_release),
        private_data: Box::into_raw(Box::new(Made { schema, arrays, code })).cast(),
    }
}

fn take_over(stream: &mut ArrowArrayStream) -> Result<ArrowSource, String> {
    // SAFETY: the stream is ours, and says what is true but for what is checked.
    unsafe { ArrowSource::of(ArrowArrayStream::move_out(stream)) }
}

/// What comes of one array of the type of our tables.
fn read(array: ArrowArray) -> Result<usize, String> {
    let mut source = take_over(&mut stream_of(Some(ArrowTable::schema()), vec![array], 0))?;
    let rows = source.next_rows()?.ok_or("nothing")?;
    let mut headers = Vec::new();
    for row in 0..rows.len() {
        rows.get(row, &mut headers)?;
    }
    Ok(rows.len())
}

fn child(array: &ArrowArray, index: usize) -> &mut ArrowArray {
    assert!((index as i64) < array.n_children);
    // SAFETY: there are as many children; each is used by one test at a time.
    unsafe { &mut **array.children.add(index) }
}

#[test]
fn what_goes_out_comes_in_again() {
    let table = table();
    let mut source = take_over(&mut table.stream()).unwrap();
    let rows = source.next_rows().unwrap().unwrap();
    assert!(source.next_rows().unwrap().is_none());
    assert!(source.next_rows().unwrap().is_none());
    assert_eq!((rows.len(), rows.columns()), (6, (true, true, true)));
    let mut headers = Vec::new();
    for partition in 0..2 {
        let row = rows.get(partition * 3, &mut headers).unwrap();
        let expected = ArrowRow {
            key: None,
            value: Some(b"first"),
            timestamp: Some(5),
            partition: Some(partition as i64),
        };
        assert_eq!(row, expected);
        assert_eq!(headers, [(&b"a"[..], Some(&b"1"[..])), (b"b", None)]);
        let row = rows.get(partition * 3 + 1, &mut headers).unwrap();
        assert_eq!(
            (row.key, row.value, row.timestamp),
            (Some(&b"key"[..]), None, None)
        );
        assert!(headers.is_empty());
        let row = rows.get(partition * 3 + 2, &mut headers).unwrap();
        assert_eq!((row.key, row.value), (Some(&b""[..]), Some(&b""[..])));
        assert_eq!(headers, [(&b"b"[..], None)]);
    }
    assert!(rows.get(6, &mut headers).is_err());
    // The rows keep the table; nobody else does.
    drop(source);
    assert!(Arc::strong_count(&table) > 1);
    drop(rows);
    assert_eq!(Arc::strong_count(&table), 1);
}

#[test]
fn an_empty_table_is_one_without_rows() {
    let table = ArrowTable::new(RecordTable::default());
    assert_eq!(read(table.array()), Ok(0));
    assert_eq!(Arc::strong_count(&table), 1);
}

#[test]
fn what_is_not_used_is_freed() {
    let table = table();
    drop(table.array());
    drop(table.stream());
    drop(ArrowTable::schema());
    assert_eq!(Arc::strong_count(&table), 1);
}

#[test]
fn a_child_that_is_moved_out_outlives_its_parent() {
    let table = table();
    let array = table.array();
    let moved = {
        let values = child(&array, 5);
        // As the specification has it: the bytes are copied, and the source is left released.
        // SAFETY: the copy takes the place of the child.
        let moved = unsafe { ptr::read(values) };
        values.release = None;
        moved
    };
    drop(array);
    assert!(Arc::strong_count(&table) > 1);
    // SAFETY: the third buffer of a column of strings is their bytes, of which there are ten here.
    let bytes = unsafe { std::slice::from_raw_parts((*moved.buffers.add(2)).cast::<u8>(), 10) };
    assert_eq!(bytes, b"firstfirst");
    drop(moved);
    assert_eq!(Arc::strong_count(&table), 1);
    let schema = ArrowTable::schema();
    // SAFETY: there are seven children.
    let first = unsafe { &mut **schema.children };
    // SAFETY: the copy takes the place of the child.
    let moved = unsafe { ptr::read(first) };
    first.release = None;
    drop(schema);
    // SAFETY: names are texts that end with a null byte.
    assert_eq!(unsafe { CStr::from_ptr(moved.name) }, c"topic");
}

#[test]
fn released_by_its_callback_it_is_not_released_again() {
    let table = table();
    let mut array = table.array();
    let release = array.release.unwrap();
    // SAFETY: it is not released yet.
    unsafe { release(&raw mut array) };
    assert!(array.release.is_none());
    assert_eq!(Arc::strong_count(&table), 1);
    drop(array);
    let mut stream = table.stream();
    let release = stream.release.unwrap();
    // SAFETY: the same.
    unsafe { release(&raw mut stream) };
    assert!(stream.release.is_none());
    assert_eq!(Arc::strong_count(&table), 1);
}

#[test]
fn a_stream_is_taken_over_once() {
    let table = table();
    let mut stream = table.stream();
    let source = take_over(&mut stream).unwrap();
    assert_eq!(take_over(&mut stream).unwrap_err(), "the stream was read before");
    drop(source);
    assert_eq!(Arc::strong_count(&table), 1);
}

#[test]
fn a_stream_gives_one_table_after_the_other_and_its_error_for_good() {
    let table = table();
    let mut left = vec![
        Err("the end".to_owned()),
        Ok(Some(Arc::clone(&table))),
        Ok(Some(Arc::clone(&table))),
    ];
    let mut source = take_over(&mut stream_of_tables(move || left.pop().unwrap_or(Ok(None)))).unwrap();
    for _ in 0..2 {
        assert_eq!(source.next_rows().unwrap().unwrap().len(), 6);
    }
    for _ in 0..2 {
        assert_eq!(source.next_rows().unwrap_err(), "the stream failed: the end");
    }
    drop(source);
    assert_eq!(Arc::strong_count(&table), 1);
}

#[test]
fn errors_of_a_stream_are_told() {
    let failed = "the stream failed: no more wood";
    assert_eq!(
        take_over(&mut stream_of(None, Vec::new(), 12)).unwrap_err(),
        failed
    );
    let mut source = take_over(&mut stream_of(Some(ArrowTable::schema()), Vec::new(), 12)).unwrap();
    assert_eq!(source.next_rows().unwrap_err(), failed);
    let mut silent = stream_of(None, Vec::new(), libc::ENOMEM);
    silent.get_last_error = None;
    assert!(take_over(&mut silent).unwrap_err().contains("emory"));
    for part in 0..2 {
        let mut bare = stream_of(Some(ArrowTable::schema()), Vec::new(), 0);
        match part {
            0 => bare.get_schema = None,
            _ => bare.get_next = None,
        }
        assert!(
            take_over(&mut bare)
                .and_then(|mut source| source.next_rows())
                .is_err()
        );
    }
}

/// Changes one thing in an array of two rows; it must be refused and freed.
fn refused(change: impl Fn(&mut ArrowArray)) -> String {
    let table = table();
    let mut array = table.array();
    change(&mut array);
    let told = read(array).unwrap_err();
    assert_eq!(Arc::strong_count(&table), 1);
    told
}

#[test]
fn arrays_that_say_what_cannot_be_are_refused() {
    for (change, told) in [
        (
            (&|array: &mut ArrowArray| array.length = -1) as &dyn Fn(&mut ArrowArray),
            "length -1",
        ),
        (&|array| array.offset = -1, "offset -1"),
        (&|array| array.offset = i64::MAX, "offset"),
        (&|array| array.length = i64::MAX, "length"),
        (&|array| array.length = 7, "an array of length 6 where 7 rows"),
        (
            &|array| array.offset = 1,
            "an array of length 6 where 6 rows from 1",
        ),
        (&|array| array.n_children = 6, "6 columns where the schema has 7"),
        (&|array| array.n_buffers = 0, "0 buffers where 1"),
        (&|array| array.buffers = ptr::null_mut(), "no list of buffers"),
        (&|array| child(array, 5).length = 5, "an array of length 5"),
        (&|array| child(array, 5).length = -5, "length -5"),
        (&|array| child(array, 5).n_buffers = 2, "2 buffers where 3"),
        (&|array| child(array, 5).n_buffers = -1, "-1 buffers"),
        (
            &|array| child(array, 5).buffers = ptr::null_mut(),
            "no list of buffers",
        ),
        (&|array| child(array, 1).n_buffers = 1, "1 buffers where 2"),
        (&|array| child(array, 6).n_children = 0, "headers with 0 columns"),
        (
            &|array| child(child(array, 6), 0).n_children = 1,
            "headers of 1 columns",
        ),
        (
            &|array| child(child(array, 6), 0).length = 1,
            "an array of length|headers|row",
        ),
        (&|array| child(child(array, 6), 0).length = -1, "-1 headers"),
    ] {
        let found = refused(change);
        assert!(
            told.split('|').any(|part| found.contains(part)),
            "{found:?} without {told:?}"
        );
    }
}

#[test]
fn null_pointers_are_refused() {
    for (column, buffer) in [(5, 1), (5, 2), (1, 1), (3, 1), (6, 1), (4, 1), (4, 2)] {
        let found = refused(|array| {
            // SAFETY: these columns have that many buffers, and the list is ours until the array is released.
            unsafe { *child(array, column).buffers.add(buffer) = ptr::null() };
        });
        assert!(found.contains("null"), "{found}");
    }
    let found = refused(|array| {
        // SAFETY: there are seven children. The first one is leaked by this, which is freed right after.
        unsafe {
            drop(Box::from_raw(std::mem::replace(
                &mut *array.children.add(5),
                ptr::null_mut(),
            )))
        };
    });
    assert_eq!(found, "column 5 is not there");
}

#[test]
fn offsets_that_do_not_rise_are_refused() {
    let offsets: [i64; 7] = [0, 5, 5, 4, 9, 9, 9];
    let found = refused(|array| {
        // SAFETY: the offsets outlive the read; the bytes behind them are at least nine.
        unsafe { *child(array, 5).buffers.add(1) = offsets.as_ptr().cast() };
    });
    assert_eq!(found, "row 2 goes from byte 5 to 4 of 9");
    let offsets: [i64; 7] = [0, 1 << 40, 4, 4, 9, 9, 9];
    let found = refused(|array| {
        // SAFETY: the same.
        unsafe { *child(array, 5).buffers.add(1) = offsets.as_ptr().cast() };
    });
    assert_eq!(found, "row 0 goes from byte 0 to 1099511627776 of 9");
    let offsets: [i64; 7] = [-3, 0, 4, 4, 9, 9, 9];
    let found = refused(|array| {
        // SAFETY: the same.
        unsafe { *child(array, 5).buffers.add(1) = offsets.as_ptr().cast() };
    });
    assert!(found.contains("from byte -3"));
    let offsets: [i64; 7] = [0, 2, 99, 99, 99, 99, 99];
    let found = refused(|array| {
        // SAFETY: the same, for headers, of which there are six.
        unsafe { *child(array, 6).buffers.add(1) = offsets.as_ptr().cast() };
    });
    assert!(found.contains("headers 2 to 99 of 6"), "{found}");
}

#[test]
fn only_tables_of_records_are_read() {
    let column = |index: usize, change: &dyn Fn(&mut ArrowSchema)| {
        let schema = ArrowTable::schema();
        // SAFETY: there are seven children, and nobody else has the schema.
        change(unsafe { &mut **schema.children.add(index) });
        take_over(&mut stream_of(Some(schema), Vec::new(), 0))
            .map(drop)
            .unwrap_err()
    };
    assert_eq!(
        column(5, &|value| value.name = c"valeu".as_ptr()),
        "column \"valeu\" is no part of a record: those are value, key, timestamp, partition and headers"
    );
    assert_eq!(
        column(5, &|value| value.name = c"offset".as_ptr()),
        "there are two columns \"offset\""
    );
    assert_eq!(
        column(5, &|value| value.format = c"l".as_ptr()),
        "column \"value\" must be binary or utf8; its Arrow type is \"l\""
    );
    assert!(column(5, &|value| value.format = ptr::null()).contains("must be binary"));
    assert!(column(3, &|time| time.format = c"tdm".as_ptr()).contains("must be a timestamp"));
    assert!(column(1, &|partition| partition.format = c"g".as_ptr()).contains("must be an integer"));
    assert!(column(6, &|headers| headers.n_children = 0).contains("must be a list of structs"));
    assert!(column(6, &|headers| headers.format = c"u".as_ptr()).contains("must be a list of structs"));
    let mut schema = ArrowTable::schema();
    schema.n_children = 5;
    let told = take_over(&mut stream_of(Some(schema), Vec::new(), 0))
        .map(drop)
        .unwrap_err();
    assert_eq!(
        told,
        "there is no column \"value\", only these: topic, partition, offset, timestamp, key"
    );
    for count in [-1, 1 << 40] {
        let mut schema = ArrowTable::schema();
        schema.n_children = count;
        assert!(take_over(&mut stream_of(Some(schema), Vec::new(), 0)).is_err());
    }
    let mut schema = ArrowTable::schema();
    schema.format = c"l".as_ptr();
    let told = take_over(&mut stream_of(Some(schema), Vec::new(), 0))
        .map(drop)
        .unwrap_err();
    assert_eq!(told, "it is not a table but an array of type \"l\"");
}
