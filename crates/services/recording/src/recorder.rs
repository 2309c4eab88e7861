//! The recorder of a gateway: opens journals, and owns the threads that sync and keep house.
//!
//! One process writes a recording's folder: it holds a lock on `.lock` there while it lives.

use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use countersign_enforce::{Recorder, Refused, SessionOpened, SessionRecorder};
use countersign_model::{Denial, TargetName, Timestamp};
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use crate::config::{RecordingConfig, Retention};
use crate::entry::Entry;
use crate::error::{oversize, unavailable};
use crate::journal::{self, Journal, REFUSED, REMOVED};
use crate::keeper::{self, Keeper};
use crate::record::{RefusedRecord, RemovedRecord};
use crate::segment::{STEP_BYTES_MIN, allocate};
use crate::session::SessionWriter;
use crate::shard::Draft;
use crate::syncer::Syncer;
use crate::{RecordingError, recovery, retention};

/// The file whose lock says that a gateway writes the folder.
pub(crate) const LOCK: &str = ".lock";
/// The file that shows whether there is space.
const CHECK: &str = ".check";
/// A reader holds the lock for an instant to see whether a gateway runs; the start tries again for as long as this.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(25);
/// The most characters of a presented user or target name that are kept of a refused connection.
const PRESENTED_CHARS_MAX: usize = 256;
/// The most bytes of a refusal.
const REFUSED_BYTES_MAX: usize = 64 << 10;

/// Writes recordings to a local folder. Dropping it seals what is open and ends its threads.
pub struct FileRecorder {
    house: Arc<House>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the recorder, its sessions and its threads share.
pub(crate) struct House {
    pub(crate) root: PathBuf,
    pub(crate) keeper: Keeper,
    pub(crate) syncer: Syncer,
    config: RwLock<RecordingConfig>,
    instance: u64,
    journals: RwLock<HashMap<String, Arc<Journal>>>,
    /// Held for its lock.
    lock: File,
}

impl FileRecorder {
    /// Locks the folder, recovers what a crash left open, and starts the threads.
    ///
    /// # Errors
    /// When a setting is outside its limits, another gateway holds the folder, or it cannot be written.
    pub fn start(config: RecordingConfig) -> Result<Self, RecordingError> {
        config.check()?;
        let root = config.dir.clone();
        journal::make_private_folder(&root).map_err(RecordingError::io("create", &root))?;
        let instance = RandomState::new().hash_one(std::process::id());
        let lock = lock(&root, instance)?;
        recovery::recover(&root)?;
        let house = Arc::new(House {
            root,
            keeper: Keeper::default(),
            syncer: Syncer::default(),
            config: RwLock::new(config),
            instance,
            journals: RwLock::new(HashMap::new()),
            lock,
        });
        let recorder = Self { house: Arc::clone(&house), threads: Mutex::new(Vec::new()) };
        let interval = house.config.read().sync_interval;
        let syncing = Arc::clone(&house);
        recorder
            .spawn("recording-sync", move || syncing.syncer.run(interval, || keeper::House::journals(&*syncing)))?;
        let looking_ahead = Arc::clone(&house);
        recorder.spawn("recording-space", move || looking_ahead.keeper.look_ahead())?;
        recorder.spawn("recording-seal", move || house.keeper.keep(&*house))?;
        Ok(recorder)
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), RecordingError> {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(RecordingError::io("start a thread for", &self.house.root))?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Puts other retention settings in force, as after a reload of the configuration.
    ///
    /// # Errors
    /// When one is outside its limits; then nothing changes.
    pub fn set_retention(
        &self,
        default: Retention,
        refused: Retention,
        targets: std::collections::BTreeMap<TargetName, Retention>,
    ) -> Result<(), RecordingError> {
        let mut config = self.house.config.write();
        let changed = RecordingConfig { retention: default, refused, targets, ..config.clone() };
        changed.check()?;
        *config = changed;
        Ok(())
    }

    /// Applies retention as if it were `now`: removes what is too old or beyond a budget, oldest first. How many segments were
    /// removed. A background thread does this once a minute and after each sealed segment.
    ///
    /// # Errors
    /// When the folder cannot be read or a file cannot be removed.
    pub fn apply_retention(&self, now: Timestamp) -> Result<usize, RecordingError> {
        self.house.retain(now)
    }

    /// Whether a session could be recorded now: the recorder runs, and the folder gives the space that a new segment begins with, which
    /// is given back at once. Waits for the file system, so it is not for a thread that serves others.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), RecordingError> {
        if self.threads.lock().is_empty() {
            return Err(RecordingError::Stopped);
        }
        let path = self.house.root.join(CHECK);
        let taken = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|file| allocate(&file, 0, STEP_BYTES_MIN));
        // Where it could not be made there is nothing to remove.
        let removed = std::fs::remove_file(&path);
        taken.and(removed).map_err(RecordingError::io("take space in", &path))
    }

    /// The first shard of a target's journal.
    #[cfg(test)]
    pub(crate) fn first_shard(&self, target: &str) -> (Arc<Journal>, &Keeper) {
        (self.house.journal(target).unwrap(), &self.house.keeper)
    }

    /// Seals every segment and ends the threads. Sessions that are still open fail from here on. Called by drop.
    pub fn shutdown(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return;
        }
        for journal in keeper::House::journals(&*self.house) {
            for shard in &journal.shards {
                shard.stop(&self.house.keeper);
            }
        }
        self.house.syncer.stop();
        self.house.keeper.stop();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the recorder failed; the next start recovers what it left open");
            }
        }
        let _ = self.house.lock.unlock();
    }
}

impl Drop for FileRecorder {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn lock(root: &Path, instance: u64) -> Result<File, RecordingError> {
    let path = root.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(RecordingError::io("open", &path))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => {
                let mut write = || {
                    file.set_len(0)?;
                    writeln!(file, "{instance}")
                };
                write().map_err(RecordingError::io("write", &path))?;
                return Ok(file);
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(e)) => return Err(RecordingError::io("lock", &path)(e)),
        }
    }
    Err(RecordingError::Locked { path: root.to_owned() })
}

impl House {
    fn journal(&self, name: &str) -> Result<Arc<Journal>, RecordingError> {
        if let Some(journal) = self.journals.read().get(name) {
            return Ok(Arc::clone(journal));
        }
        let mut journals = self.journals.write();
        if let Some(journal) = journals.get(name) {
            return Ok(Arc::clone(journal));
        }
        let (shards, segment_bytes) = {
            let config = self.config.read();
            // What is rare needs no writers side by side.
            let shards = if name.starts_with('_') { 1 } else { config.shards };
            (shards, config.segment_bytes)
        };
        let journal = Journal::open(&self.root, name, shards, segment_bytes, self.instance)?;
        journals.insert(name.to_owned(), Arc::clone(&journal));
        Ok(journal)
    }

    fn append_alone(&self, journal: &str, at: i64, entry: Entry<'_>) -> Result<(), Denial> {
        let journal = self.journal(journal).map_err(unavailable)?;
        let shard = journal.shard_of(0).ok_or_else(|| unavailable("the journal has no shards"))?;
        let draft = Draft { entry, define: None, text_at: None, ends: false };
        shard.append(&journal, &self.keeper, at, None, &draft).map(|_| ())
    }

    fn retain(&self, now: Timestamp) -> Result<usize, RecordingError> {
        let config = self.config.read().clone();
        retention::apply(
            &self.root,
            now,
            |journal| config.retention_of(journal),
            |removed: &RemovedRecord| {
                let json = serde_json::to_vec(removed).map_err(|e| e.to_string())?;
                self.append_alone(REMOVED, now.unix_us(), Entry::Removed { json: &json })
                    .map_err(|d| d.detail.unwrap_or_else(|| d.message.to_string()))
            },
        )
    }
}

impl keeper::House for House {
    fn journals(&self) -> Vec<Arc<Journal>> {
        self.journals.read().values().cloned().collect()
    }

    fn segment_age(&self) -> Duration {
        self.config.read().segment_age
    }

    fn apply_retention(&self) {
        match self.retain(retention::system_time()) {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "retention removed recording segments"),
            Err(error) => tracing::error!(%error, "retention could not be applied"),
        }
    }
}

impl Recorder for FileRecorder {
    fn open(&self, session: &SessionOpened<'_>) -> Result<Box<dyn SessionRecorder>, Denial> {
        let journal = self.house.journal(session.target.name.as_str()).map_err(unavailable)?;
        Ok(Box::new(SessionWriter::open(Arc::clone(&self.house), journal, session)?))
    }

    fn refused(&self, refused: &Refused<'_>) -> Result<(), Denial> {
        let record = RefusedRecord {
            id: refused.id,
            source: refused.source,
            protocol: refused.protocol.to_owned(),
            user: refused.user.chars().take(PRESENTED_CHARS_MAX).collect(),
            target: refused.target.chars().take(PRESENTED_CHARS_MAX).collect(),
            denial: refused.denial.clone(),
        };
        let json = serde_json::to_vec(&record).map_err(unavailable)?;
        if json.len() > REFUSED_BYTES_MAX {
            return Err(oversize("a refusal", json.len(), REFUSED_BYTES_MAX));
        }
        self.house.append_alone(REFUSED, refused.at.unix_us(), Entry::Refused { json: &json })
    }
}
