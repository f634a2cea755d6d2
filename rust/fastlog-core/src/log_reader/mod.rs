//! Reads a log that somebody else writes: beside a live broker, or on what one has left.
//!
//! Opens nothing for writing, maps nothing, locks nothing, repairs nothing. Every read is a `pread` of a file that is
//! found by its name ([`files`]); positions are offsets, as files come and go. Nothing is handed out beyond the
//! committed end, which the broker writes down ([`ends`]), and nothing of transactions that are not committed, when
//! that is asked for ([`fates`]).

mod ends;
mod fates;
mod files;
mod source;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::batch::{FetchDamage, FetchedRecords, RecordTable};
use crate::compression::DecompressionLimit;
use crate::env::FileSystem;
use crate::error::{Error, Result, is_not_found};
use ends::{Entry, Epochs, Line};
use fates::Fates;
use source::{Piece, Source};

/// After which what seems damaged is read again.
const SECOND_LOOK: Duration = Duration::from_millis(2);
const COMMITTED_ENDS: &str = "replication-offset-checkpoint";
const STARTS: &str = "log-start-offset-checkpoint";
const TOPIC_ID: &str = "partition.metadata";
/// What the directory of a broker has beside those of partitions.
const OF_BROKER: &str = "meta.properties";

/// How far a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderOptions {
    /// Up to the committed end; else up to the end of what is in the files.
    pub to_committed_end: bool,
    /// Only records of committed transactions, up to the first open one.
    pub read_committed: bool,
}

/// What is to be read.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// The first offset.
    pub position: i64,
    /// The first offset that is not wanted.
    pub until: i64,
    /// Most rows to add.
    pub most_rows: usize,
    /// The size of the table at which to stop ([`RecordTable::size`]).
    pub most_bytes: usize,
}

/// How a read ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Took {
    /// The offset to go on from.
    pub next_offset: i64,
    /// The damage that ended it, at `next_offset`.
    pub damage: Option<FetchDamage>,
    /// Whether everything was read that there is now, up to `until`.
    pub is_at_end: bool,
}

/// A log in a directory, read only.
#[derive(Debug)]
pub struct LogReader {
    topic: String,
    partition: i32,
    options: ReaderOptions,
    source: Source,
    fates: Fates,
    committed: Line,
    start: Line,
    epochs: Epochs,
    topic_id: Option<Vec<u8>>,
    is_of_broker: bool,
    /// The offset up to which was read last, and the leader epoch of the record before it.
    last: Option<(i64, i32)>,
}

impl LogReader {
    /// Opens the directory of a partition, `<topic>-<partition>`.
    ///
    /// Fails with [`Error::InvalidArgument`] when it has another name or holds no segment.
    pub fn open(fs: Arc<dyn FileSystem>, dir: &Path, options: ReaderOptions) -> Result<Self> {
        let wrong = |why: &str| Err(Error::InvalidArgument(format!("{}: {why}", dir.display())));
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let parts = name
            .rsplit_once('-')
            .and_then(|(topic, partition)| Some((topic, partition.parse::<i32>().ok()?)));
        let Some((topic, partition)) =
            parts.filter(|(topic, partition)| !topic.is_empty() && *partition >= 0)
        else {
            return wrong("the directory of a partition is called <topic>-<partition>");
        };
        if files::first_base(&*fs, dir)?.is_none() {
            return wrong("there is no segment in it");
        }
        let parent = dir.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
        Ok(Self {
            topic: topic.to_owned(),
            partition,
            options,
            fates: Fates::new(Source::new(Arc::clone(&fs), dir.to_owned())),
            committed: Line::of(parent.join(COMMITTED_ENDS), topic, partition),
            start: Line::of(parent.join(STARTS), topic, partition),
            epochs: Epochs::of(dir),
            topic_id: topic_id(&*fs, dir)?,
            is_of_broker: fs.exists(&parent.join(OF_BROKER))?,
            source: Source::new(fs, dir.to_owned()),
            last: None,
        })
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The first offset that may be read, now.
    pub fn start_offset(&mut self) -> Result<i64> {
        let fs = Arc::clone(&self.source.fs);
        let first = files::first_base(&*fs, &self.source.dir)?.unwrap_or(0);
        Ok(match self.start.read(&*fs)? {
            Entry::Offset(start) => start.max(first),
            Entry::NoFile | Entry::NoLine => first,
        })
    }

    /// The offset behind the last one that may be read, now.
    pub fn end_offset(&mut self) -> Result<i64> {
        self.check_place()?;
        let fs = Arc::clone(&self.source.fs);
        let start = self.start_offset()?;
        let (files::Sought::At(cursor) | files::Sought::Bad(cursor, _)) =
            files::seek(&*fs, &self.source.dir, i64::MAX)?;
        let end = self.committed_end()?.min(cursor.expected);
        if !self.options.read_committed || end <= start {
            return Ok(end.max(start));
        }
        Ok(self.fates.settle(start.max(self.fates.from), end)?.max(start))
    }

    /// Adds records to a table, as many as there are and may be asked for.
    ///
    /// Fails with [`Error::OffsetOutOfRange`] when the position is before the start of the log, or what was read before
    /// it was taken back since: another leader did not have it.
    pub fn read(&mut self, table: &mut RecordTable, ask: &Ask) -> Result<Took> {
        self.check_place()?;
        self.check_position(ask.position)?;
        let committed = self.committed_end()?;
        let mut limit = committed.min(ask.until);
        let whole = if committed < i64::MAX { committed } else { 0 };
        (self.source.whole_below, self.fates.source.whole_below) = (whole, whole);
        let mut position = ask.position;
        if self.options.read_committed && position < limit {
            limit = limit.min(self.fates.settle(position, committed)?);
        }
        let rows = table.len();
        let mut damage = None;
        let mut is_at_end = true;
        let mut doubted = false;
        while position < limit {
            let most = ask.most_rows.saturating_sub(table.len() - rows);
            if most == 0 || table.size() >= ask.most_bytes {
                is_at_end = false;
                break;
            }
            let next = match self.source.fill(position, limit)? {
                Piece::Batches(next) => next,
                Piece::Hole => {
                    position = limit;
                    break;
                }
                Piece::Nothing => break,
                Piece::Damage(found) if doubted => {
                    damage = Some(found);
                    break;
                }
                Piece::Damage(_) => {
                    doubted = true;
                    self.source.look_again();
                    std::thread::sleep(SECOND_LOOK);
                    continue;
                }
            };
            let aborted = if self.options.read_committed {
                self.fates.aborted(position)
            } else {
                Vec::new()
            };
            let mut walk = FetchedRecords::new(position, limit, aborted, DecompressionLimit::default());
            table.take(&mut walk, self.source.bytes(), most, ask.most_bytes);
            position = position.max(walk.position());
            if let Some(found) = walk.damage() {
                self.source.look_again();
                // Once more, by names: files may have been cut, and written again, while they were read.
                if doubted {
                    damage = Some(found.clone());
                    break;
                }
                doubted = true;
                std::thread::sleep(SECOND_LOOK);
                continue;
            }
            if walk.is_over() {
                position = position.max(next.min(limit));
            }
            self.source.advance_to(position);
        }
        if let Some(run) = table.runs.last().filter(|_| table.len() > rows) {
            self.last = Some((position, run.leader_epoch));
        } else if let Some((at, _)) = &mut self.last
            && *at == ask.position
        {
            *at = position;
        }
        table.close_part(&self.topic, self.partition, position);
        Ok(Took {
            next_offset: position,
            is_at_end: is_at_end && damage.is_none(),
            damage,
        })
    }

    /// The end of what is committed, which may be behind that of the files after a crash.
    fn committed_end(&mut self) -> Result<i64> {
        if !self.options.to_committed_end {
            return Ok(i64::MAX);
        }
        Ok(match self.committed.read(&*self.source.fs)? {
            Entry::Offset(end) => end,
            // A broker has it in a few seconds.
            Entry::NoLine => 0,
            Entry::NoFile if self.is_of_broker => 0,
            // A copy of one partition: nobody writes here.
            Entry::NoFile => i64::MAX,
        })
    }

    /// Whether the directory still is that of the same topic.
    fn check_place(&mut self) -> Result<()> {
        let now = topic_id(&*self.source.fs, &self.source.dir)?;
        if self.topic_id.is_some() && now != self.topic_id {
            return Err(Error::Offline {
                path: self.source.dir.clone(),
                reason: "it is not that of the topic any more that was opened: that one was deleted"
                    .to_owned(),
            });
        }
        self.topic_id = now;
        Ok(())
    }

    fn check_position(&mut self, position: i64) -> Result<()> {
        let fs = Arc::clone(&self.source.fs);
        if let Entry::Offset(start) = self.start.read(&*fs)?
            && position < start
        {
            let end = self.end_offset()?;
            return Err(Error::OffsetOutOfRange {
                offset: position,
                start,
                end,
            });
        }
        if let Some((at, epoch)) = self.last
            && at == position
            && epoch >= 0
            && let Some(end) = self.epochs.end_of(&*fs, epoch)?
            && end < position
        {
            self.source.look_again();
            return Err(Error::OffsetOutOfRange {
                offset: position,
                start: self.start_offset()?,
                end,
            });
        }
        Ok(())
    }
}

fn topic_id(fs: &dyn FileSystem, dir: &Path) -> Result<Option<Vec<u8>>> {
    match fs.read_file(&dir.join(TOPIC_ID)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
