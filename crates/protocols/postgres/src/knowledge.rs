//! What the sessions of one database share: its catalog, and the analyses of statements seen before.
//!
//! A catalog is an answer of the past. Its generation grows whenever a statement through this gateway changed names, and every
//! session must catch up before it judges again; changes made past the gateway are found by age.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use countersign_model::{TagRule, Tagging, Timestamp};
use countersign_sql::{Analyser, Catalog};
use parking_lot::Mutex;

/// Names changed past the gateway are noticed after this long at the latest.
pub(crate) const CATALOG_AGE_MAX_US: u64 = 10_000_000;

/// A refresh that has not come back after this long is taken over by another session.
const REFRESH_WAIT_MAX_US: u64 = 30_000_000;

/// The most databases whose catalogs are kept.
const DATABASES_MAX: usize = 1024;

/// A target's label, a database's name, and how its data is known to be sensitive: that is in the catalog, too.
type Place = (Arc<str>, String, Arc<Tagging>);

/// Catalogs by target, database and tagging.
#[derive(Default)]
pub(crate) struct Knowledge {
    databases: Mutex<HashMap<Place, Arc<Database>>>,
}

impl Knowledge {
    /// The shared knowledge of a database.
    pub(crate) fn database(&self, target: &Arc<str>, database: &str, tagging: &Arc<Tagging>) -> Arc<Database> {
        let mut all = self.databases.lock();
        if all.len() >= DATABASES_MAX {
            all.retain(|_, d| Arc::strong_count(d) > 1);
        }
        all.entry((target.clone(), database.to_owned(), tagging.clone()))
            .or_insert_with(|| Arc::new(Database::new()))
            .clone()
    }

    /// What was found of the targets whose catalogs changed since this was asked last.
    pub(crate) fn idle_rules(&self) -> Vec<IdleRules> {
        // A copy: who logs in meanwhile must not wait until the rules are compared.
        let all: Vec<_> = self.databases.lock().iter().map(|(place, d)| (place.clone(), d.clone())).collect();
        // The databases of each target, as it is tagged now.
        let mut places: HashMap<_, Vec<_>> = HashMap::new();
        for ((target, name, tagging), database) in &all {
            places.entry((target, tagging)).or_default().push((name, database));
        }
        let mut found = Vec::new();
        for ((target, tagging), databases) in places {
            // Each is asked, so that none is news the next time.
            let is_news = databases.iter().filter(|(_, d)| d.is_news.swap(false, Ordering::AcqRel)).count() > 0;
            if !is_news {
                continue;
            }
            let catalogs: Vec<_> = databases.iter().filter_map(|(name, d)| Some((*name, d.latest()?))).collect();
            let rules = tagging.rules.iter().filter(|r| catalogs.iter().all(|(_, c)| c.unmatched_rules().contains(r)));
            let mut names: Vec<String> = catalogs.iter().map(|(name, _)| (*name).clone()).collect();
            names.sort_unstable();
            found.push(IdleRules { target: target.clone(), databases: names, rules: rules.cloned().collect() });
        }
        found
    }
}

/// The rules about tags that tag nothing at a target: somebody may have mistyped a name, and what was meant is not masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleRules {
    /// The target's label.
    pub target: Arc<str>,
    /// Its databases that sessions were in, sorted. The rules fit no column of any.
    pub databases: Vec<String>,
    /// The rules, in their order; empty when each fits something.
    pub rules: Vec<TagRule>,
}

/// Ids for catalogs; each snapshot in the process has its own.
pub(crate) fn next_catalog_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

struct Published {
    catalog: Arc<Catalog>,
    generation: u64,
}

/// The shared knowledge of one database.
pub(crate) struct Database {
    generation: AtomicU64,
    /// When the published catalog becomes old, in microseconds: read for every statement, so not behind the lock.
    old_at_us: AtomicU64,
    refreshing: AtomicBool,
    published: Mutex<Option<Published>>,
    /// Nobody has asked yet what the rules about tags find in it.
    is_news: AtomicBool,
    /// Analyses of texts seen before.
    pub(crate) analyser: Analyser,
}

impl Database {
    fn new() -> Self {
        Self {
            generation: AtomicU64::new(0),
            old_at_us: AtomicU64::new(0),
            refreshing: AtomicBool::new(false),
            published: Mutex::new(None),
            is_news: AtomicBool::new(false),
            analyser: Analyser::new(),
        }
    }

    /// Names changed: every session must catch up.
    pub(crate) fn names_changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The generation that a catalog must have to be trusted.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The published catalog, if it is of the current generation.
    pub(crate) fn current(&self) -> Option<(Arc<Catalog>, u64)> {
        let published = self.published.lock();
        let p = published.as_ref()?;
        (p.generation == self.generation()).then(|| (p.catalog.clone(), p.generation))
    }

    /// The catalog that was published last, whatever changed since.
    pub(crate) fn latest(&self) -> Option<Arc<Catalog>> {
        self.published.lock().as_ref().map(|p| Arc::clone(&p.catalog))
    }

    /// True for the one session that should refresh a catalog that grew old.
    pub(crate) fn take_refresh(&self, now: Timestamp) -> bool {
        let now_us = u64::try_from(now.unix_us()).unwrap_or(0);
        let old_at_us = self.old_at_us.load(Ordering::Relaxed);
        if now_us < old_at_us {
            return false;
        }
        if now_us > old_at_us.saturating_add(REFRESH_WAIT_MAX_US) {
            // Whoever took it is gone.
            self.refreshing.store(false, Ordering::Release);
            self.old_at_us.store(now_us, Ordering::Relaxed);
        }
        !self.refreshing.swap(true, Ordering::AcqRel)
    }

    /// Shares a catalog that was read outside any open transaction, when `generation` was the current one. Gives back what to use:
    /// the one that others have, when nothing changed, so that their analyses still hold. A change that nobody announced makes a
    /// new generation, so that every session takes it over before it judges again.
    pub(crate) fn publish(&self, catalog: Arc<Catalog>, generation: u64, now: Timestamp) -> (Arc<Catalog>, u64) {
        let mut published = self.published.lock();
        let known = published.as_ref().map(|p| (p.catalog.clone(), p.generation));
        let (catalog, generation) = match known {
            Some((old, of)) if old.same_content(&catalog) => (old, of.max(generation)),
            Some((old, of)) if of > generation => (old, of),
            Some((_, of)) if of == generation => {
                // Where a change was announced meanwhile, the number stays behind, and everybody asks again.
                let next = generation + 1;
                let taken =
                    self.generation.compare_exchange(generation, next, Ordering::AcqRel, Ordering::Acquire).is_ok();
                (catalog, if taken { next } else { generation })
            }
            _ => (catalog, generation),
        };
        if published.as_ref().is_none_or(|before| !Arc::ptr_eq(&before.catalog, &catalog)) {
            self.is_news.store(true, Ordering::Release);
        }
        *published = Some(Published { catalog: catalog.clone(), generation });
        let now_us = u64::try_from(now.unix_us()).unwrap_or(0);
        self.old_at_us.store(now_us.saturating_add(CATALOG_AGE_MAX_US), Ordering::Relaxed);
        self.refreshing.store(false, Ordering::Release);
        (catalog, generation)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use countersign_model::Tag;
    use countersign_sql::{CatalogBuilder, Section};

    use super::*;

    fn rule(column: &str) -> TagRule {
        TagRule { column: column.to_owned(), data_type: String::new(), tag: Tag::parse("pii").unwrap() }
    }

    fn load(database: &Database, tagging: &Tagging, columns: &[&str]) {
        let mut builder = CatalogBuilder::new(next_catalog_id()).tagged(tagging);
        let row = |b: &mut CatalogBuilder, section, cells: &[&str]| {
            b.row(section, &cells.iter().copied().map(Some).collect::<Vec<_>>()).unwrap();
        };
        row(&mut builder, Section::Relations, &["20000", "public", "people", "r"]);
        for (i, column) in columns.iter().enumerate() {
            row(&mut builder, Section::Columns, &["20000", &(i + 1).to_string(), column, "25", ""]);
        }
        database.publish(builder.build(), database.generation(), Timestamp::from_unix_us(0));
    }

    #[test]
    fn rules_that_tag_nothing_are_told_once_for_each_change() {
        let knowledge = Knowledge::default();
        let rules = vec![rule("public.people.email"), rule("public.people.phone"), rule("public.poeple.card")];
        let tagging = Arc::new(Tagging { rules: rules.clone(), comments: false, detect: Vec::new() });
        let target: Arc<str> = "shop".into();
        let database = |name: &str| knowledge.database(&target, name, &tagging);
        database("one");
        assert_eq!(knowledge.idle_rules(), []);

        load(&database("one"), &tagging, &["email"]);
        let found = |databases: &[&str], rules: &[TagRule]| IdleRules {
            target: target.clone(),
            databases: databases.iter().map(|d| (*d).to_owned()).collect(),
            rules: rules.to_vec(),
        };
        assert_eq!(knowledge.idle_rules(), [found(&["one"], &rules[1..])]);
        // The same again is no news, nor is asking.
        load(&database("one"), &tagging, &["email"]);
        assert_eq!(knowledge.idle_rules(), []);

        // A rule may be for another database of the target.
        load(&database("two"), &tagging, &["phone"]);
        assert_eq!(knowledge.idle_rules(), [found(&["one", "two"], &rules[2..])]);
        load(&database("one"), &tagging, &["name"]);
        let left = [rules[0].clone(), rules[2].clone()];
        assert_eq!(knowledge.idle_rules(), [found(&["one", "two"], &left)]);
    }
}
