//! What a job gives back, and the promise that every token gives back something exactly once.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::completions::CompletionQueue;
use super::fetch::FetchOutcome;
use super::produce::ProduceRowOutcome;
use super::replicate::ReplicateOutcome;
use crate::error::{Error, ErrorCode, Result};

/// Result of one job.
#[derive(Debug)]
pub enum Outcome {
    /// Rows of a produce or an append, in row order.
    Produced(Vec<ProduceRowOutcome>),
    /// Rows of a leader's answer, in row order.
    Replicated(Vec<ReplicateOutcome>),
    /// A fetch.
    Fetched(FetchOutcome),
    /// The position that sending a response has reached; `None` when the peer is gone.
    Sent(Option<usize>),
    /// A part of a response, in memory.
    Copied(Vec<u8>),
    /// An offset: the recovery point of a flush, the durable end offset of a commit, the first one of a leadership.
    Offset(i64),
    /// The job failed as a whole.
    Failed(Failure),
}

impl From<Result<i64>> for Outcome {
    fn from(result: Result<i64>) -> Self {
        result.map_or_else(|error| Self::Failed(Failure::from(error)), Self::Offset)
    }
}

/// Why a job failed as a whole. Cheap to clone: one failed fdatasync answers many tokens.
#[derive(Debug, Clone)]
pub enum Failure {
    /// The log said no.
    Error(Arc<Error>),
    /// The job panicked, or was dropped without running: what it did to the log is unknown.
    Panicked(String),
}

impl Failure {
    /// From the payload of a caught panic.
    pub fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<&'static str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panicked(text.unwrap_or_else(|| "panic without a message".to_owned()))
    }

    /// The Kafka error code that a client should see.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Error(error) => error.code(),
            // Retriable, and true: whether the storage took the data is not known.
            Self::Panicked(_) => ErrorCode::KafkaStorageError,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(Arc::new(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Panicked(text) => write!(f, "internal error in an I/O job: {text}"),
        }
    }
}

/// The duty to answer one token. Dropped without an answer (a panic unwound past it), it answers by itself.
#[derive(Debug)]
pub struct Completion {
    token: u64,
    queue: Option<Arc<CompletionQueue<Outcome>>>,
}

impl Completion {
    /// Owes `queue` a result for `token`.
    pub fn new(token: u64, queue: Arc<CompletionQueue<Outcome>>) -> Self {
        Self {
            token,
            queue: Some(queue),
        }
    }

    /// Delivers the result.
    pub fn finish(mut self, outcome: Outcome) {
        if let Some(queue) = self.queue.take() {
            queue.push(self.token, outcome);
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            let failure = Failure::Panicked("the job ended without a result".to_owned());
            queue.push(self.token, Outcome::Failed(failure));
        }
    }
}
