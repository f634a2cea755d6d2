//! Record batches of message format version 2: look at them, check them, stamp them, build and read them.
//!
//! Everything here works on bytes that are already in memory and never touches a file or a clock.

mod builder;
mod columns;
mod control;
pub mod crc;
mod fetched;
pub mod header;
mod reader;
pub(crate) mod record;
mod search;
pub mod stamp;
mod table;
mod table_pool;
mod validate;
pub mod varint;
pub mod view;

pub use builder::BatchBuilder;
pub use columns::{BytesColumn, Columns, whole_batches};
pub use control::{ControlKind, ControlMarker, control_marker};
pub use crc::{crc32c, crc32c_append};
pub use fetched::{FetchDamage, FetchedRecords};
pub use header::{BatchHeader, HEADER_SIZE, LENGTH_PREFIX_SIZE, MAGIC_V2, TimestampType};
pub use reader::{RecordIter, RecordRef, Records, read_records};
pub use record::Headers;
pub use search::{first_at_or_after, latest_from};
pub use stamp::{stamp_base_offset, stamp_leader_epoch, stamp_log_append_time, stamp_producer};
pub use table::{HeaderColumn, Part, RecordTable, Run};
pub use table_pool::TablePool;
pub use validate::{
    AppendOrigin, AppendRules, CompressionPolicy, RecordError, Rejection, Validated, validate_for_append,
};
pub use view::{BatchView, Batches, batches};

#[cfg(test)]
mod tests;
