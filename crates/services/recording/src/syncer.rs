//! The thread that forces the recording to the disk, in groups: once per interval, and at once when a session waits.
//!
//! Everybody who asked while one sync ran is served by the next one. It must never hold a shard's lock while the disk works.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::journal::Journal;

/// Wakes the thread.
#[derive(Default)]
pub(crate) struct Syncer {
    asked: Mutex<Asked>,
    wake: Condvar,
}

#[derive(Default)]
struct Asked {
    now: bool,
    stop: bool,
}

impl Syncer {
    /// Somebody waits for the disk.
    pub(crate) fn hurry(&self) {
        self.asked.lock().now = true;
        self.wake.notify_one();
    }

    /// Syncs a last time and ends.
    pub(crate) fn stop(&self) {
        self.asked.lock().stop = true;
        self.wake.notify_one();
    }

    /// The thread's work.
    pub(crate) fn run(&self, interval: Duration, journals: impl Fn() -> Vec<Arc<Journal>>) {
        loop {
            let stop = {
                let mut asked = self.asked.lock();
                if !asked.now && !asked.stop {
                    self.wake.wait_for(&mut asked, interval);
                }
                asked.now = false;
                asked.stop
            };
            for journal in journals() {
                sync(&journal);
            }
            if stop {
                return;
            }
        }
    }
}

fn sync(journal: &Journal) {
    for shard in &journal.shards {
        let Some(unsynced) = shard.unsynced() else { continue };
        match unsynced.files.iter().try_for_each(|f| f.sync()) {
            Ok(()) => shard.synced_to(unsynced.position),
            Err(error) => {
                tracing::error!(journal = journal.name, %error, "cannot force the recording to the disk: its sessions end");
                shard.fail(&error);
            }
        }
    }
}
