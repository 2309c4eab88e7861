//! Who watches a live session. It must never count somebody who has a part in what they watch, nor anybody who went away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_model::{Identity, IdentityKind, IdentityParts, SessionId, WatchSpec};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::registry::{Seat, SessionRegistry};

/// The most who watch one session at a time.
pub const WATCHERS_MAX: usize = 16;

/// Those who watch one session.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    all: Mutex<Vec<One>>,
    next: AtomicU64,
    changed: Notify,
}

#[derive(Debug)]
struct One {
    number: u64,
    who: Arc<Identity>,
    counts: bool,
}

impl Watchers {
    /// Whether of each group somebody watches who counts.
    pub(crate) fn satisfy(&self, spec: &WatchSpec) -> bool {
        let all = self.all.lock();
        let there = |group: &String| all.iter().any(|one| one.counts && one.who.groups.contains(group));
        spec.groups.iter().all(there)
    }

    /// The names of those who count.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.all.lock().iter().filter(|one| one.counts).map(|one| one.who.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Hears of every change from now on.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }
}

/// Whether somebody is a person who has no part in what an identity does.
fn is_a_second(who: &IdentityParts, of: &IdentityParts) -> bool {
    let is = |issuer: &str, subject: &str| issuer == who.issuer && subject == who.subject;
    who.kind == IdentityKind::Human
        && who.delegation.is_empty()
        && !is(&of.issuer, &of.subject)
        && !of.delegation.iter().any(|a| is(&a.issuer, &a.subject))
}

/// Why somebody cannot watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWatched {
    /// There is no such session at this gateway.
    NoSession,
    /// [`WATCHERS_MAX`] watch it already.
    Full,
}

/// Somebody watches; dropping it, they do no more.
#[derive(Debug)]
pub struct Watching {
    seat: Arc<Seat>,
    number: u64,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let watchers = self.seat.watchers();
        watchers.all.lock().retain(|one| one.number != self.number);
        watchers.changed.notify_waiters();
    }
}

impl SessionRegistry {
    /// Has somebody watch a session. `in_person` is false for a program with somebody's key, which never counts where policy wants a
    /// second person; nor does the session's own identity, or anybody who acts for it.
    ///
    /// # Errors
    /// When it is not here, or watched by enough.
    pub fn watch(&self, id: SessionId, who: &Arc<Identity>, in_person: bool) -> Result<Watching, NotWatched> {
        let found = self.introduced().into_iter().find(|(_, info)| info.id == id);
        let (seat, info) = found.ok_or(NotWatched::NoSession)?;
        let watchers = seat.watchers();
        let number = watchers.next.fetch_add(1, Ordering::Relaxed);
        let counts = in_person && is_a_second(who, &info.identity);
        {
            let mut all = watchers.all.lock();
            if all.len() >= WATCHERS_MAX {
                return Err(NotWatched::Full);
            }
            all.push(One { number, who: who.clone(), counts });
        }
        watchers.changed.notify_waiters();
        Ok(Watching { seat, number })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use countersign_model::{Actor, CredentialBinding, RecordLevel, Target, TargetName, Timestamp};

    use super::*;
    use crate::registry::SessionInfo;

    #[allow(clippy::disallowed_methods)]
    fn identity(name: &str, kind: IdentityKind, actors: &[&str]) -> Arc<Identity> {
        let actor = |name: &&str| Actor {
            subject: (*name).to_owned(),
            issuer: "https://id.example".to_owned(),
            name: (*name).to_owned(),
            kind: IdentityKind::Human,
            groups: BTreeSet::new(),
            claims: BTreeMap::new(),
            signer: None,
        };
        let now = Timestamp::from_unix_s(1_800_000_000);
        Arc::new(Identity::mint(IdentityParts {
            subject: name.to_owned(),
            issuer: "https://id.example".to_owned(),
            name: name.to_owned(),
            kind,
            groups: ["sre".to_owned(), name.to_owned()].into(),
            claims: BTreeMap::new(),
            delegation: actors.iter().map(actor).collect(),
            credential: CredentialBinding::Bearer,
            token_id: None,
            key: None,
            signer: None,
            login: None,
            issued_at: now,
            expires_at: now,
        }))
    }

    fn session(registry: &Arc<SessionRegistry>, identity: Arc<Identity>) -> (crate::registry::Seated, SessionId) {
        let seated = registry.sit();
        let id = SessionId::from_u128(7);
        seated.seat.introduce(SessionInfo {
            id,
            identity,
            target: Arc::new(Target {
                name: TargetName::parse("web-1").unwrap(),
                protocol: "ssh".into(),
                labels: BTreeMap::new(),
                record: RecordLevel::Statements,
                durable: false,
                tagging: Arc::default(),
            }),
            source: ([127, 0, 0, 1], 1).into(),
            since: Timestamp::from_unix_s(1_800_000_000),
        });
        (seated, id)
    }

    fn of(groups: &[&str]) -> WatchSpec {
        WatchSpec { groups: groups.iter().map(|g| (*g).to_owned()).collect(), wait_s: 1 }
    }

    #[tokio::test]
    async fn only_a_second_person_counts_and_only_while_they_watch() {
        let registry = Arc::new(SessionRegistry::default());
        let (seated, id) = session(&registry, identity("ana", IdentityKind::Human, &["planner"]));
        let watchers = seated.seat.watchers();
        let human = |name| identity(name, IdentityKind::Human, &[]);
        for (who, in_person, counts) in [
            (human("rita"), true, true),
            (human("rita"), false, false),
            (human("ana"), true, false),
            (human("planner"), true, false),
            (identity("rita", IdentityKind::Human, &["helper"]), true, false),
            (identity("bot", IdentityKind::Machine, &[]), true, false),
            (identity("bot", IdentityKind::Agent, &[]), true, false),
        ] {
            let changed = watchers.changed();
            let watching = registry.watch(id, &who, in_person).unwrap();
            changed.await;
            assert_eq!(watchers.satisfy(&of(&["sre"])), counts, "{} {in_person}", who.name);
            assert_eq!(watchers.names().is_empty(), !counts);
            let changed = watchers.changed();
            drop(watching);
            changed.await;
            assert!(!watchers.satisfy(&of(&["sre"])), "nobody watches any more");
        }
        // Of each group somebody, be it the same one.
        let rita = registry.watch(id, &human("rita"), true).unwrap();
        assert!(watchers.satisfy(&of(&["rita", "sre"])) && !watchers.satisfy(&of(&["dora", "sre"])));
        let _dora = registry.watch(id, &human("dora"), true).unwrap();
        assert!(watchers.satisfy(&of(&["dora", "rita"])));
        drop(rita);
        assert!(!watchers.satisfy(&of(&["dora", "rita"])));
        assert_eq!(registry.watch(SessionId::from_u128(8), &human("rita"), true).unwrap_err(), NotWatched::NoSession);
        drop(seated);
        assert_eq!(registry.watch(id, &human("rita"), true).unwrap_err(), NotWatched::NoSession);
    }

    #[test]
    fn so_many_watch_one_session() {
        let registry = Arc::new(SessionRegistry::default());
        let (_seated, id) = session(&registry, identity("ana", IdentityKind::Human, &[]));
        let rita = identity("rita", IdentityKind::Human, &[]);
        let mut all: Vec<_> = (0..WATCHERS_MAX).map(|_| registry.watch(id, &rita, true).unwrap()).collect();
        assert_eq!(registry.watch(id, &rita, true).unwrap_err(), NotWatched::Full);
        all.pop();
        assert!(registry.watch(id, &rita, true).is_ok());
    }
}
