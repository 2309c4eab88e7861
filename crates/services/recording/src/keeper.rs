//! The threads that keep house: one takes space and makes segments ahead of need, one seals full segments and applies
//! retention. They are two because sealing waits for the disk, and space must not wait for sealing.
//!
//! Nothing here is on the way of an append. What waits for it has limits: hints are dropped when there are too many, and too
//! many segments waiting to be sealed end sessions, because then the disk cannot keep up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::journal::Journal;
use crate::seal;
use crate::segment::{ActiveSegment, SegmentFile};

/// Segments that may wait to be sealed.
const SEALS_MAX: usize = 64;
/// Hints that may wait.
const HINTS_MAX: usize = 1024;
/// How often the ages of open segments are looked at.
const TICK: Duration = Duration::from_millis(500);
/// How often retention is applied, besides after each seal.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);

/// Takes work for the threads.
#[derive(Default)]
pub(crate) struct Keeper {
    queue: Mutex<Queue>,
    hinted: Condvar,
    filled: Condvar,
}

#[derive(Default)]
struct Queue {
    seals: VecDeque<Box<ActiveSegment>>,
    hints: VecDeque<Hint>,
    stop: bool,
}

enum Hint {
    Grow(Arc<SegmentFile>),
    Prepare(Arc<Journal>, u16),
}

/// What the thread that seals asks of the recorder that it keeps.
pub(crate) trait House {
    /// The journals that are open.
    fn journals(&self) -> Vec<Arc<Journal>>;
    /// The age at which a segment is sealed.
    fn segment_age(&self) -> Duration;
    /// Applies retention to every journal on disk.
    fn apply_retention(&self);
}

impl Keeper {
    /// Takes a full segment over; back it comes when too many wait.
    pub(crate) fn seal(&self, segment: Box<ActiveSegment>) -> Result<(), Box<ActiveSegment>> {
        let mut queue = self.queue.lock();
        if queue.seals.len() >= SEALS_MAX {
            return Err(segment);
        }
        queue.seals.push_back(segment);
        self.filled.notify_one();
        Ok(())
    }

    /// Asks for more space in a segment.
    pub(crate) fn grow(&self, segment: &Arc<SegmentFile>) {
        self.hint(Hint::Grow(Arc::clone(segment)));
    }

    /// Asks for the next segment of a shard; `false` when too much is asked for.
    pub(crate) fn prepare(&self, journal: &Arc<Journal>, shard: u16) -> bool {
        self.hint(Hint::Prepare(Arc::clone(journal), shard))
    }

    fn hint(&self, hint: Hint) -> bool {
        let mut queue = self.queue.lock();
        let room = queue.hints.len() < HINTS_MAX;
        if room {
            queue.hints.push_back(hint);
            self.hinted.notify_one();
        }
        room
    }

    /// Ends the thread that looks ahead at once, and the other when it has sealed what waits.
    pub(crate) fn stop(&self) {
        self.queue.lock().stop = true;
        self.hinted.notify_one();
        self.filled.notify_one();
    }

    /// The work of the thread that looks ahead.
    pub(crate) fn look_ahead(&self) {
        loop {
            let hint = {
                let mut queue = self.queue.lock();
                while queue.hints.is_empty() && !queue.stop {
                    self.hinted.wait(&mut queue);
                }
                if queue.stop {
                    return;
                }
                queue.hints.pop_front()
            };
            match hint {
                Some(Hint::Grow(file)) => file.grow_ahead(),
                Some(Hint::Prepare(journal, shard)) => prepare(&journal, shard),
                None => {}
            }
        }
    }

    /// The work of the thread that seals.
    pub(crate) fn keep(&self, house: &impl House) {
        let mut retention_due = Instant::now();
        let mut looked = Instant::now();
        loop {
            let (seal, stop) = {
                let mut queue = self.queue.lock();
                if queue.seals.is_empty() && !queue.stop {
                    self.filled.wait_for(&mut queue, TICK);
                }
                (queue.seals.pop_front(), queue.stop)
            };
            match seal {
                Some(segment) => {
                    seal::seal_or_report(*segment);
                    retention_due = retention_due.min(Instant::now());
                }
                None if stop => return,
                None => {}
            }
            if looked.elapsed() >= TICK && !stop {
                looked = Instant::now();
                for journal in house.journals() {
                    for shard in &journal.shards {
                        shard.retire_older_than(house.segment_age(), self);
                    }
                }
                if retention_due <= looked {
                    house.apply_retention();
                    retention_due = looked + RETENTION_INTERVAL;
                }
            }
        }
    }
}

fn prepare(journal: &Arc<Journal>, shard: u16) {
    let made = journal.create_segment(shard, 0);
    if let Err(error) = &made {
        // The append that needs it tries again and reports the failure to its session.
        tracing::warn!(journal = journal.name, %error, "cannot make a recording segment ahead of need");
    }
    if let Some(shard) = journal.shards.get(usize::from(shard)) {
        shard.prepared(made.ok());
    }
}
