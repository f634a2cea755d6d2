//! Framing and the two hot requests: Produce and Fetch, from frame to plan and from verdicts to response; and the
//! answer to a Fetch, as a follower reads it.
//!
//! A plan is a flat list of rows over the bytes of its frame: records are never copied or looked into here.
//! The responses are written once, into a buffer of exactly their size. Every other API is coded in Python.
//!
//! Input is hostile: every length is checked against the bytes that are left before it is used, nothing is
//! allocated at an announced size, and nothing here panics on any input.

pub mod cursor;
pub mod fetch;
pub mod fetch_reply;
pub mod fetch_response;
pub mod frame;
mod frame_pool;
pub mod header;
pub mod produce;
pub mod produce_response;
pub mod writer;

use crate::error::{Error, Result};

pub use cursor::{Reader, Span};
pub use fetch::{FetchPlan, FetchRow, ForgottenRow, TopicRef};
pub use fetch_reply::{FetchReply, FetchReplyRow};
pub use fetch_response::{FetchAnswer, FetchEncodeError, FetchRowAnswer, RecordSource};
pub use frame::{Frame, FrameSplitter};
pub use header::{FETCH_KEY, PRODUCE_KEY, RequestHeader, request_header};
pub use produce::{ProducePlan, ProduceRow};
pub use produce_response::ProduceRowResult;

/// Most partitions in one request: five times what Kafka advises for a whole broker. Without a bound,
/// a frame of 100 MiB could ask for an answer about 17 million partitions.
pub const MAX_ROWS: usize = 20_000;

/// A broker that clients should turn to instead (KIP-951).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEndpoint {
    /// Broker id.
    pub node_id: i32,
    /// Its host name on the listener of the request.
    pub host: String,
    /// Its port there.
    pub port: i32,
    /// Its rack.
    pub rack: Option<String>,
}

/// Rows (or topics, which may be without rows) that may still be added, given how many there are; `more` is
/// already bounded by the bytes left.
fn check_rows(rows: usize, more: usize) -> Result<()> {
    if rows + more > MAX_ROWS {
        return Err(Error::Malformed(format!(
            "more than {MAX_ROWS} partitions in one request"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
