//! Memory of tables that nobody has any more, for the next ones of the same reader.
//!
//! Columns of some MiB would else be fresh memory with every poll, and to have the kernel clear and map it
//! costs more than to fill it.

use std::sync::{Mutex, PoisonError};

use crate::batch::table::RecordTable;

/// Tables that are kept: a program has one in its hands while the next is filled.
const MOST_TABLES: usize = 2;
/// Most bytes that they have together.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// The memory of one reader's tables.
#[derive(Debug, Default)]
pub struct TablePool {
    spare: Mutex<Vec<RecordTable>>,
}

impl TablePool {
    /// An empty table, with room if there is some.
    pub fn take(&self) -> RecordTable {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.pop().unwrap_or_default()
    }

    /// Takes the memory of a table back, within bounds.
    pub fn give(&self, mut table: RecordTable) {
        let memory = table.memory();
        table.clear();
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: usize = spare.iter().map(RecordTable::memory).sum();
        if spare.len() < MOST_TABLES && kept + memory <= MOST_BYTES {
            spare.push(table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, FetchedRecords};
    use crate::compression::{Codec, DecompressionLimit};

    fn filled(mut table: RecordTable, count: usize, size: usize) -> RecordTable {
        let mut builder = BatchBuilder::new(Codec::None);
        let value = vec![b'x'; size];
        let header: (&[u8], Option<&[u8]>) = (b"name", Some(b"header"));
        for _ in 0..count {
            builder.append(5, Some(b"key"), Some(&value), [header]).unwrap();
        }
        let bytes = builder.build().unwrap();
        let mut walk = FetchedRecords::new(0, i64::MAX, Vec::new(), DecompressionLimit::default());
        assert_eq!(table.take(&mut walk, &bytes, usize::MAX, usize::MAX), count);
        table.close_part("t", 0, walk.position());
        table
    }

    #[test]
    fn a_table_that_comes_back_is_as_new_but_for_its_memory() {
        let pool = TablePool::default();
        let first = filled(pool.take(), 100, 1000);
        let (memory, place) = (first.memory(), first.values.data.as_ptr());
        assert!(memory > 100_000);
        pool.give(first);
        let again = pool.take();
        assert_eq!(again, RecordTable::default());
        assert_eq!(again.memory(), memory);
        let again = filled(again, 50, 700);
        assert_eq!(again, filled(RecordTable::default(), 50, 700));
        assert_eq!(again.values.data.as_ptr(), place);
    }

    #[test]
    fn only_so_many_tables_are_kept_and_so_much() {
        let pool = TablePool::default();
        for _ in 0..3 {
            pool.give(filled(RecordTable::default(), 1, 1000));
        }
        let kept = [0; 3].map(|_| pool.take().memory() > 1000);
        assert_eq!(kept, [true, true, false]);
        pool.give(filled(RecordTable::default(), 5, 8 << 20));
        pool.give(filled(RecordTable::default(), 4, 8 << 20));
        assert!(pool.take().memory() > 5 * (8 << 20));
        assert!(pool.take().memory() < 1000, "the second would have been too much");
        pool.give(filled(RecordTable::default(), 9, 8 << 20));
        assert!(pool.take().memory() < 1000);
    }
}
