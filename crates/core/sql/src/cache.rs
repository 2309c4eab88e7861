//! Repeated texts cost a lookup.
//!
//! Two levels: the exact bytes, and the normal form for texts whose constants do not matter. On a hit the whole key is compared, never
//! only its hash, so nobody can make one text answer for another. An entry is good for one catalog snapshot and one set of session
//! settings. Unreadable texts and those with undefined names are never kept.

use std::cell::RefCell;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::analyse::analyse_normal;
use crate::analysis::Analysis;
use crate::catalog::Catalog;
use crate::normal::Normal;
use crate::parse;
use crate::settings::Settings;

/// Most entries, both levels and both generations together.
pub const CACHE_ENTRIES_MAX: usize = 32_768;
/// Most bytes of keys, the same way.
pub const CACHE_BYTES_MAX: usize = 64 << 20;
/// Longer texts are not cached.
pub const CACHED_TEXT_BYTES_MAX: usize = 64 << 10;

const SHARDS: usize = 16;
/// Each shard has two generations.
const SHARD_ENTRIES_MAX: usize = CACHE_ENTRIES_MAX / SHARDS / 2;
const SHARD_BYTES_MAX: usize = CACHE_BYTES_MAX / SHARDS / 2;
/// The normal form of a long text must not hold a worker's buffer for ever.
const SCRATCH_BYTES_MAX: usize = 256 << 10;

/// Which level a key belongs to; part of the key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Exact,
    Normal,
}

struct Entry {
    level: Level,
    key: Box<[u8]>,
    generation: u64,
    settings: Arc<Settings>,
    analysis: Arc<Analysis>,
}

/// The keys are good hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*b);
        }
    }

    fn write_u64(&mut self, v: u64) {
        self.0 = v;
    }
}

type Map = HashMap<u64, Entry, BuildHasherDefault<Identity>>;

/// Two generations: what is used moves to the young one, and when that is full the old one goes.
#[derive(Default)]
struct Shard {
    young: Map,
    old: Map,
    young_bytes: usize,
}

impl Shard {
    fn find(&mut self, hash: u64, is_it: impl Fn(&Entry) -> bool) -> Option<Arc<Analysis>> {
        if let Some(entry) = self.young.get(&hash) {
            return is_it(entry).then(|| Arc::clone(&entry.analysis));
        }
        if !is_it(self.old.get(&hash)?) {
            return None;
        }
        let entry = self.old.remove(&hash)?;
        let analysis = Arc::clone(&entry.analysis);
        self.insert(hash, entry);
        Some(analysis)
    }

    fn insert(&mut self, hash: u64, entry: Entry) {
        let bytes = entry.key.len();
        if self.young.len() >= SHARD_ENTRIES_MAX || self.young_bytes + bytes > SHARD_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        if let Some(replaced) = self.young.insert(hash, entry) {
            self.young_bytes = self.young_bytes.saturating_sub(replaced.key.len());
        }
    }
}

/// Analyses with a cache in front. Share one among all sessions of a process.
pub struct Analyser {
    shards: Box<[Mutex<Shard>]>,
    hash: RandomState,
}

impl std::fmt::Debug for Analyser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Analyser").field("entries", &self.len()).finish()
    }
}

impl Default for Analyser {
    fn default() -> Self {
        Self::new()
    }
}

thread_local! {
    /// The buffer of the normal form, kept from text to text.
    static SCRATCH: RefCell<Normal> = RefCell::default();
}

impl Analyser {
    /// An empty one.
    pub fn new() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hash: RandomState::default() }
    }

    /// How many entries it holds now.
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|s| {
                let s = s.lock();
                s.young.len() + s.old.len()
            })
            .sum()
    }

    /// True when it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`crate::analyse`]; the same answer, from the cache where it may.
    pub fn analyse(&self, text: &[u8], catalog: &Catalog, settings: &Arc<Settings>) -> Arc<Analysis> {
        if text.len() > CACHED_TEXT_BYTES_MAX {
            return Arc::new(crate::analyse::analyse(text, catalog, settings));
        }
        if let Some(found) = self.find(Level::Exact, text, catalog, settings) {
            return found;
        }
        let mut normal = SCRATCH.take();
        normal.read(text);
        let analysis = self.analyse_normal(text, &normal, catalog, settings);
        if normal.text.capacity() <= SCRATCH_BYTES_MAX {
            SCRATCH.set(normal);
        }
        analysis
    }

    fn analyse_normal(
        &self,
        text: &[u8],
        normal: &Normal,
        catalog: &Catalog,
        settings: &Arc<Settings>,
    ) -> Arc<Analysis> {
        let shared = normal.broken.is_none()
            && !normal.unicode_escapes
            && std::str::from_utf8(text).is_ok()
            && !text.contains(&0);
        if shared && let Some(found) = self.find(Level::Normal, &normal.text, catalog, settings) {
            return found;
        }
        let analysis = Arc::new(analyse_normal(text, normal, catalog, settings));
        if analysis.shape.why_unreadable().is_some() || analysis.undefined.is_some() {
            return analysis;
        }
        if shared && !analysis.constants_matter {
            self.keep(Level::Normal, &normal.text, catalog, settings, &analysis);
        }
        if analysis.constants_matter || normal.constants == 0 {
            self.keep(Level::Exact, text, catalog, settings, &analysis);
        }
        analysis
    }

    fn place(&self, level: Level, key: &[u8]) -> (u64, Option<&Mutex<Shard>>) {
        let mut hasher = self.hash.build_hasher();
        hasher.write_u8(level as u8);
        hasher.write(key);
        let hash = hasher.finish();
        // The map takes the low bits and the high seven.
        let shard = (hash >> 32) as usize % SHARDS;
        (hash, self.shards.get(shard))
    }

    fn find(&self, level: Level, key: &[u8], catalog: &Catalog, settings: &Arc<Settings>) -> Option<Arc<Analysis>> {
        let (hash, shard) = self.place(level, key);
        let is_it = |e: &Entry| {
            e.level == level
                && *e.key == *key
                && e.generation == catalog.generation
                && (Arc::ptr_eq(&e.settings, settings) || e.settings.same(settings))
        };
        shard?.lock().find(hash, is_it)
    }

    fn keep(&self, level: Level, key: &[u8], catalog: &Catalog, settings: &Arc<Settings>, analysis: &Arc<Analysis>) {
        debug_assert!(key.len() <= parse::TEXT_BYTES_MAX);
        let (hash, Some(shard)) = self.place(level, key) else { return };
        let entry = Entry {
            level,
            key: key.into(),
            generation: catalog.generation,
            settings: Arc::clone(settings),
            analysis: Arc::clone(analysis),
        };
        shard.lock().insert(hash, entry);
    }
}
