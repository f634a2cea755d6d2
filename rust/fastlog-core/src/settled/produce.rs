//! Produce requests of one partition about which everything is settled.
//!
//! Each is what it is the other way: the same checks of the same log, the same answer. What is different is what is
//! not done: no job is made, no thread woken, nothing decided again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::SettledTable;
use crate::batch::{AppendOrigin, BatchHeader};
use crate::io_engine::{Failure, ZSTD_SINCE};
use crate::log::{AppendInfo, AppendOptions, MOST_BYTES_AT_ONCE};
use crate::wire::{Frame, PRODUCE_KEY, ProducePlan, ProduceRowResult};

/// The header of a request, with names of the longest kind, beside its records.
const MOST_AROUND: usize = 1024;

/// What became of the first of several requests.
#[derive(Debug)]
pub struct Served<T> {
    /// So many of them were executed. Nothing has been done about the others.
    pub requests: usize,
    /// Their answers, one behind the other; requests with acks=0 have none.
    pub answers: Vec<u8>,
    /// Whose log ends where, in the order of the appends.
    pub appended: Vec<(T, i64)>,
    /// Bytes of records in all.
    pub record_bytes: usize,
    /// When each of them was taken up, from the beginning on.
    pub taken_up: Vec<Duration>,
    /// Why the request after those cannot be answered at all: what became of it is not known.
    pub failure: Option<Failure>,
}

struct Done {
    end_offset: i64,
    answer: Vec<u8>,
    record_bytes: usize,
}

impl<T: Clone> SettledTable<T> {
    /// Executes requests from the first one on, as long as everything is settled about them, and for about as long as
    /// `most`.
    pub fn produce<'a>(&mut self, frames: impl IntoIterator<Item = &'a Frame>, most: Duration) -> Served<T> {
        let mut served = Served {
            requests: 0,
            answers: Vec::new(),
            appended: Vec::new(),
            record_bytes: 0,
            taken_up: Vec::new(),
            failure: None,
        };
        let began = Instant::now();
        let mut now = began;
        for frame in frames {
            if self.patience.rests(now) {
                break;
            }
            let switches = self.patience.begin(now);
            let outcome = catch_unwind(AssertUnwindSafe(|| self.produce_one(frame, now)));
            let (before, taken_up) = (now, now - began);
            now = Instant::now();
            self.patience.end(before, now, switches);
            match outcome {
                Ok(Some((owner, done))) => {
                    served.requests += 1;
                    served.taken_up.push(taken_up);
                    served.appended.push((owner, done.end_offset));
                    served.record_bytes += done.record_bytes;
                    if served.answers.is_empty() {
                        served.answers = done.answer;
                    } else {
                        served.answers.extend_from_slice(&done.answer);
                    }
                }
                Ok(None) => break,
                Err(panic) => {
                    served.failure = Some(Failure::from_panic(panic.as_ref()));
                    break;
                }
            }
            if now - began >= most {
                break;
            }
        }
        served
    }

    fn produce_one(&mut self, frame: &Frame, now: Instant) -> Option<(T, Done)> {
        let plan = settled_plan(frame)?;
        let [row] = plan.rows() else { return None };
        let records = plan.records(row)?;
        let kept = self.find(row.topic.of(frame), row.partition, now)?;
        let entry = &kept.entry;
        if (plan.acks() == -1 && !entry.acks_all) || BatchHeader::parse(records).ok()?.is_transactional() {
            return None;
        }
        let options = AppendOptions {
            zstd_allowed: plan.version() >= ZSTD_SINCE,
            origin: AppendOrigin::Client,
            ..AppendOptions::default()
        };
        let info = entry.log.append_at_once(records, entry.leader_epoch, options)?;
        let owner = entry.owner.clone();
        kept.used = now;
        let answer = if plan.acks() == 0 {
            Vec::new()
        } else {
            // One row for one row, and far below the size of a frame.
            plan.encode_response(&[result(&info)], 0, &[])
                .expect("an answer of one row can be encoded")
        };
        let done = Done {
            end_offset: info.end_offset,
            answer,
            record_bytes: records.len(),
        };
        Some((owner, done))
    }
}

/// The plan of a request that may be settled, by what it is itself.
fn settled_plan(frame: &Frame) -> Option<ProducePlan> {
    let is_produce = frame.first_chunk::<2>() == Some(&PRODUCE_KEY.to_be_bytes());
    if !is_produce || frame.len() > MOST_BYTES_AT_ONCE + MOST_AROUND {
        return None;
    }
    let plan = ProducePlan::parse(frame.clone()).ok()?;
    (plan.transactional_id().is_none() && matches!(plan.acks(), -1..=1)).then_some(plan)
}

fn result(info: &AppendInfo) -> ProduceRowResult {
    ProduceRowResult {
        base_offset: info.first_offset,
        log_append_time: info.log_append_time,
        log_start_offset: info.log_start_offset,
        ..ProduceRowResult::default()
    }
}
