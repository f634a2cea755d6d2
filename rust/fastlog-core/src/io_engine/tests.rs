use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;
use crate::error::{Error, Result};

fn panic_quietly() -> ! {
    // Unlike `panic!` this does not print a backtrace into the output of the tests.
    std::panic::resume_unwind(Box::new("thrown on purpose"))
}

fn by_token(results: Vec<(u64, Outcome)>) -> HashMap<u64, Outcome> {
    let count = results.len();
    let map: HashMap<_, _> = results.into_iter().collect();
    assert_eq!(map.len(), count, "a token came back twice");
    map
}

#[test]
fn every_token_comes_back_once_whatever_its_job_does() {
    let engine = IoEngine::new(3).unwrap();
    for token in 0..300_u64 {
        engine
            .write(token, move || match token % 3 {
                0 => Outcome::Offset(token as i64),
                1 => Outcome::Failed(Failure::from(Error::InvalidArgument(token.to_string()))),
                _ => panic_quietly(),
            })
            .unwrap();
    }
    engine.close();
    let results = by_token(engine.drain());
    assert_eq!(results.len(), 300);
    for (token, outcome) in results {
        match (token % 3, outcome) {
            (0, Outcome::Offset(offset)) => assert_eq!(offset, token as i64),
            (1, Outcome::Failed(Failure::Error(error))) => {
                assert_eq!(error.to_string(), format!("invalid argument: {token}"));
            }
            (2, Outcome::Failed(Failure::Panicked(text))) => assert_eq!(text, "thrown on purpose"),
            (_, other) => panic!("token {token} came back as {other:?}"),
        }
    }
    assert!(engine.drain().is_empty());
}

#[test]
fn reads_and_writes_do_not_wait_for_each_other() {
    for slow_reads in [true, false] {
        let engine = IoEngine::new(2).unwrap();
        let (permit, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for token in 0..10 {
            let gate = Arc::clone(&gate);
            let job = move || {
                gate.lock().unwrap().recv().unwrap();
                Outcome::Offset(0)
            };
            if slow_reads {
                engine.read(token, job).unwrap();
            } else {
                engine.write(token, job).unwrap();
            }
        }
        let (done, quick) = channel();
        let job = move || {
            done.send(()).unwrap();
            Outcome::Offset(1)
        };
        if slow_reads {
            engine.write(10, job).unwrap();
        } else {
            engine.read(10, job).unwrap();
        }
        quick.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
        (0..10).for_each(|_| permit.send(()).unwrap());
        engine.close();
        assert_eq!(by_token(engine.drain()).len(), 11);
    }
}

#[test]
fn a_closed_engine_takes_no_token() {
    let engine = IoEngine::new(1).unwrap();
    engine.close();
    assert_eq!(engine.read(1, || Outcome::Offset(0)), Err(Closed));
    assert_eq!(engine.commit(2, Arc::new(Gated::open())), Err(Closed));
    assert!(engine.drain().is_empty());
}

/// A log whose syncs wait for a permission each, and which counts them.
struct Gated {
    end: AtomicI64,
    syncs: AtomicUsize,
    entered: Mutex<Option<Sender<()>>>,
    gate: Mutex<Option<Receiver<Result<()>>>>,
}

impl Gated {
    fn open() -> Self {
        Self {
            end: AtomicI64::new(0),
            syncs: AtomicUsize::new(0),
            entered: Mutex::default(),
            gate: Mutex::default(),
        }
    }

    fn closed() -> (Arc<Self>, Receiver<()>, Sender<Result<()>>) {
        let (entered, entries) = channel();
        let (permit, gate) = channel();
        let log = Self {
            entered: Mutex::new(Some(entered)),
            gate: Mutex::new(Some(gate)),
            ..Self::open()
        };
        (Arc::new(log), entries, permit)
    }
}

impl Durable for Gated {
    fn commit(&self) -> Result<i64> {
        let end = self.end.load(Ordering::SeqCst);
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if let Some(entered) = &*self.entered.lock().unwrap() {
            entered.send(()).unwrap();
        }
        if let Some(gate) = &*self.gate.lock().unwrap() {
            gate.recv().unwrap()?;
        }
        if end < 0 {
            panic_quietly();
        }
        Ok(end)
    }
}

#[test]
fn commits_that_wait_share_one_sync() {
    let engine = IoEngine::new(2).unwrap();
    let (log, entries, permit) = Gated::closed();
    log.end.store(10, Ordering::SeqCst);
    engine.commit(0, log.clone()).unwrap();
    entries.recv().unwrap();
    // The first sync is under way: it may have missed these, so they need another, but only one.
    log.end.store(20, Ordering::SeqCst);
    for token in 1..=50 {
        engine.commit(token, log.clone()).unwrap();
    }
    permit.send(Ok(())).unwrap();
    permit.send(Ok(())).unwrap();
    engine.close();
    let results = by_token(engine.drain());
    assert_eq!(results.len(), 51);
    for (token, outcome) in results {
        let expected = if token == 0 { 10 } else { 20 };
        assert!(
            matches!(outcome, Outcome::Offset(offset) if offset == expected),
            "{token}: {outcome:?}"
        );
    }
    assert_eq!(log.syncs.load(Ordering::SeqCst), 2);
}

#[test]
fn a_failed_sync_fails_all_that_waited_for_it_and_no_other() {
    let engine = IoEngine::new(2).unwrap();
    let (log, entries, permit) = Gated::closed();
    engine.commit(0, log.clone()).unwrap();
    entries.recv().unwrap();
    engine.commit(1, log.clone()).unwrap();
    engine.commit(2, log.clone()).unwrap();
    permit.send(Ok(())).unwrap();
    entries.recv().unwrap();
    engine.commit(3, log.clone()).unwrap();
    permit
        .send(Err(Error::InvalidArgument("no disk".to_owned())))
        .unwrap();
    permit.send(Ok(())).unwrap();
    engine.close();
    let results = by_token(engine.drain());
    assert!(matches!(results[&0], Outcome::Offset(0)));
    assert!(matches!(results[&1], Outcome::Failed(Failure::Error(_))));
    assert!(matches!(results[&2], Outcome::Failed(Failure::Error(_))));
    assert!(matches!(results[&3], Outcome::Offset(0)));
}

#[test]
fn a_sync_that_panics_fails_its_waiters_and_frees_the_log() {
    let engine = IoEngine::new(1).unwrap();
    let log = Arc::new(Gated::open());
    log.end.store(-1, Ordering::SeqCst);
    engine.commit(0, log.clone()).unwrap();
    let mut results = Vec::new();
    while results.is_empty() {
        results = engine.drain();
        thread::yield_now();
    }
    assert!(matches!(&results[0], (0, Outcome::Failed(Failure::Panicked(_)))));
    log.end.store(5, Ordering::SeqCst);
    engine.commit(1, log.clone()).unwrap();
    engine.close();
    assert!(matches!(engine.drain()[..], [(1, Outcome::Offset(5))]));
    assert_eq!(Arc::strong_count(&log), 1, "the committer let go of the log");
}

#[test]
fn commits_of_many_threads_and_logs_all_come_back() {
    let engine = IoEngine::new(4).unwrap();
    let logs: Vec<Arc<Gated>> = (0..8).map(|_| Arc::new(Gated::open())).collect();
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (engine, logs) = (&engine, &logs);
            scope.spawn(move || {
                for i in 0..500 {
                    let log = &logs[i as usize % logs.len()];
                    log.end.fetch_add(1, Ordering::SeqCst);
                    engine.commit(thread * 500 + i, log.clone()).unwrap();
                }
            });
        }
    });
    engine.close();
    let results = by_token(engine.drain());
    assert_eq!(results.len(), 2000);
    assert!(
        results
            .values()
            .all(|outcome| matches!(outcome, Outcome::Offset(_)))
    );
    let syncs: usize = logs.iter().map(|log| log.syncs.load(Ordering::SeqCst)).sum();
    assert!(syncs <= 2000);
}
