//! What is told outside: looked for in the store, where every gateway finds the same, and told once. Alerts come by themselves.
//!
//! It must never tell a constant of a statement: of its text there is the form without them, or nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use countersign_approvals::{Answer, Approvals, Review, Status, Verb};
use countersign_config::{self as config, Config};
use countersign_credentials::Vault;
use countersign_locks::{Lock, LockFilter, LockService};
use countersign_model::{Access, Severity, Timestamp};
use countersign_notices::{
    Channel, Email, Encryption, Ended, Kind, Notice, Notices, NoticesParts, Receiver, SecretOf, Slack, TextChoice,
    WATCH_INTERVAL, Webhook,
};
use countersign_recording::FileRecorder;
use countersign_store::Store;

use crate::failed::Failed;
use crate::house::House;
use crate::{clock, console, convert};

/// The latest reviews that are looked at besides those that are open.
const LATEST: u32 = 200;
/// The latest locks that are looked at.
const LOCKS: usize = 200;
/// What is asked is told for so long after it was asked, to whoever was not told: a day.
const ASKED_FRESH_US: u64 = 86_400_000_000;
/// What is over is told for so long after its end: an hour.
const ENDED_FRESH_US: u64 = 3_600_000_000;
/// How often the gateway's own parts are looked at; what is not well twice in a row is told.
const HEALTH_EVERY: Duration = Duration::from_secs(15);

/// The receivers of the configuration.
pub(crate) fn receivers(config: &Config, vault: Option<&Vault>) -> Result<Vec<Receiver>, Failed> {
    config.receivers.iter().map(|r| receiver(r, vault)).collect()
}

fn receiver(r: &config::ReceiverSpec, vault: Option<&Vault>) -> Result<Receiver, Failed> {
    let secret = |source: &config::SecretSource| -> SecretOf {
        let (source, vault) = (convert::secret(source), vault.cloned());
        Arc::new(move || {
            let (source, vault) = (source.clone(), vault.clone());
            Box::pin(async move { source.fetch(vault.as_ref()).await.map_err(|e| e.to_string()) })
        })
    };
    let channel = match &r.way {
        config::ReceiverWay::Webhook { url, secret: key, previous_secret } => Channel::Webhook(Webhook {
            url: secret(url),
            secret: secret(key),
            previous_secret: previous_secret.as_ref().map(secret),
        }),
        config::ReceiverWay::SlackBot { token, channel, api_url } => {
            Channel::Slack(Slack::Bot { token: secret(token), channel: channel.clone(), api_url: api_url.clone() })
        }
        config::ReceiverWay::SlackIncoming { url } => Channel::Slack(Slack::Incoming { url: secret(url) }),
        config::ReceiverWay::Teams { url } => Channel::Teams { url: secret(url) },
        config::ReceiverWay::Email { host, port, encryption, username, password, from, to } => Channel::Email(Email {
            host: host.clone(),
            port: *port,
            encryption: match encryption {
                config::MailEncryption::StartTls => Encryption::StartTls,
                config::MailEncryption::Implicit => Encryption::Implicit,
                config::MailEncryption::None => Encryption::None,
            },
            login: username.clone().zip(password.as_ref().map(secret)),
            from: from.clone(),
            to: to.clone(),
        }),
    };
    let unknown = |what: &str| Failed::invalid(format!("receiver \"{}\": \"{what}\" is not known", r.name));
    let kinds = r.kinds.iter().map(|k| Kind::parse(k).ok_or_else(|| unknown(k)));
    let targets = r.targets.iter().map(|t| glob::Pattern::new(t).map_err(|_| unknown(t)));
    Ok(Receiver {
        name: r.name.clone(),
        channel,
        kinds: kinds.collect::<Result<_, _>>()?,
        severity: r.severity,
        targets: targets.collect::<Result<_, _>>()?,
        groups: r.groups.clone(),
        text: if r.shape { TextChoice::Shape } else { TextChoice::None },
        per_minute: r.per_minute,
        ca: r.ca.clone(),
    })
}

/// Starts to tell, and to look for what there is to tell.
pub(crate) fn start(house: &House) -> Result<Notices, Failed> {
    let inbox = house.cellar.inbox.lock().take();
    let inbox = inbox.ok_or_else(|| Failed::new("notices were started before"))?;
    let notices = Notices::start(NoticesParts {
        store: house.cellar.store.clone(),
        inbox,
        receivers: receivers(&house.config, house.cellar.vault.as_ref())?,
        base: console::bases(&house.config).into_iter().next().unwrap_or_default(),
        clock: clock::now,
        tasks: tokio::runtime::Handle::current(),
    });
    let watch = Watch {
        notices: notices.clone(),
        reviews: house.reviews.clone(),
        locks: house.locks.clone(),
        store: house.cellar.store.clone(),
        recorder: house.recorder.clone(),
        seen: HashMap::new(),
        lock_changes: None,
        locks_until: None,
        parts: PARTS.map(|name| Part { name, ..Part::default() }),
        checking: Arc::default(),
    };
    tokio::spawn(watch.run());
    Ok(notices)
}

/// What of a gateway can be unwell.
const PARTS: [&str; 2] = ["store", "recorder"];

#[derive(Default)]
struct Part {
    name: &'static str,
    /// Since when it is not well.
    since: Option<Timestamp>,
    told: bool,
    /// What could not be told yet.
    pending: Option<Notice>,
}

struct Watch {
    notices: Notices,
    reviews: Approvals,
    locks: Arc<LockService>,
    store: Store,
    recorder: Arc<FileRecorder>,
    /// The version of each review that was told, and when it expires if it was open then.
    seen: HashMap<String, (u64, Option<Timestamp>)>,
    lock_changes: Option<u64>,
    /// When the next of the locks ends by itself.
    locks_until: Option<Timestamp>,
    parts: [Part; PARTS.len()],
    checking: Arc<AtomicBool>,
}

impl Watch {
    async fn run(mut self) {
        let mut looked = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            if !self.notices.are_wanted() {
                continue;
            }
            let now = clock::now();
            if let Err(error) = Box::pin(self.look_at_reviews(now)).await {
                tracing::debug!(error, "it cannot be seen which reviews are to be told");
            }
            if let Err(error) = self.look_at_locks(now).await {
                tracing::debug!(error, "it cannot be seen which locks are to be told");
            }
            if looked.elapsed() >= HEALTH_EVERY {
                looked = tokio::time::Instant::now();
                self.look_at_parts(now).await;
            }
        }
    }

    async fn look_at_reviews(&mut self, now: Timestamp) -> Result<(), String> {
        let marks = self.store.review_marks(LATEST).await.map_err(|e| e.to_string())?;
        // What was open and is not among them is over.
        let gone = self.seen.iter().filter(|(id, (_, open))| open.is_some() && !marks.iter().any(|m| m.id == **id));
        let gone: Vec<String> = gone.map(|(id, _)| id.clone()).collect();
        let changed = marks.iter().filter(|m| match self.seen.get(&m.id) {
            None => true,
            Some((version, open)) => *version != m.version || open.is_some_and(|until| until <= now),
        });
        let changed: Vec<String> = changed.map(|m| m.id.clone()).collect();
        self.seen.retain(|id, _| marks.iter().any(|m| m.id == *id));
        for id in changed.into_iter().chain(gone) {
            let Some(review) = self.reviews.find(&id).await.map_err(|no| no.to_string())? else { continue };
            for notice in told_of(&review, now) {
                self.notices.keep(&notice, None).await.map_err(|e| e.to_string())?;
            }
            let open = (review.status.is_open() && now < review.expires_at).then_some(review.expires_at);
            self.seen.insert(id, (review.version, open));
        }
        Ok(())
    }

    async fn look_at_locks(&mut self, now: Timestamp) -> Result<(), String> {
        let changes = self.store.lock_changes().await.map_err(|e| e.to_string())?;
        if self.lock_changes == Some(changes) && self.locks_until.is_none_or(|until| until > now) {
            return Ok(());
        }
        let filter = LockFilter { live_at: None, before: None, limit: LOCKS };
        let all = self.locks.book().list(&filter).await.map_err(|e| e.to_string())?;
        for notice in all.iter().flat_map(|lock| told_of_lock(lock, now)) {
            self.notices.keep(&notice, None).await.map_err(|e| e.to_string())?;
        }
        self.locks_until =
            all.iter().filter(|l| l.ended.is_none()).filter_map(|l| l.expires_at).filter(|at| *at > now).min();
        self.lock_changes = Some(changes);
        Ok(())
    }

    async fn look_at_parts(&mut self, now: Timestamp) {
        let store = self.store.check().await.is_ok();
        let recorder = self.recorder_is_well().await;
        for (part, well) in self.parts.iter_mut().zip([store, recorder]) {
            part.look(well, now);
            if let Some(notice) = &part.pending {
                // What is wrong with the store is told when it is there again.
                match self.notices.keep(notice, None).await {
                    Ok(()) => part.pending = None,
                    Err(error) => tracing::debug!(%error, "trouble cannot be told yet"),
                }
            }
        }
    }

    async fn recorder_is_well(&self) -> bool {
        // One thread at a time may hang on a disk that does not answer.
        if self.checking.swap(true, Ordering::AcqRel) {
            return false;
        }
        let (recorder, checking) = (self.recorder.clone(), self.checking.clone());
        let check = tokio::task::spawn_blocking(move || {
            let checked = recorder.check().is_ok();
            checking.store(false, Ordering::Release);
            checked
        });
        tokio::time::timeout(HEALTH_EVERY, check).await.is_ok_and(|checked| checked.unwrap_or(false))
    }
}

impl Part {
    /// What was found out about it now: what to tell stays until it is told.
    fn look(&mut self, well: bool, now: Timestamp) {
        match (well, self.since) {
            (false, None) => self.since = Some(now),
            (false, Some(since)) if !self.told => {
                self.told = true;
                self.pending = Some(self.notice(Kind::Trouble, "is not well", since, now));
            }
            (true, Some(since)) => {
                if self.told {
                    let told = self.pending.take();
                    let words = if told.is_some() { "was not well, and is again, since" } else { "is well again" };
                    self.pending = Some(self.notice(Kind::Well, words, since, now));
                }
                (self.since, self.told) = (None, false);
            }
            (false, Some(_)) | (true, None) => {}
        }
    }

    fn notice(&self, kind: Kind, words: &str, since: Timestamp, now: Timestamp) -> Notice {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let (host, id) = (host.trim(), std::process::id());
        Notice {
            severity: Severity::Critical,
            what: format!("the {} of the gateway on {host} {words}, from {}", self.name, since.rfc3339()),
            path: "/console".to_owned(),
            ..Notice::new(kind, format!("{}/{}/{host}/{id}/{}", kind.as_str(), self.name, since.unix_us()), now)
        }
    }
}

/// What there is to tell of a review.
fn told_of(review: &Review, now: Timestamp) -> Vec<Notice> {
    let expired = review.status.is_open() && now >= review.expires_at;
    let over = review.ended.as_ref().map(|(at, _)| *at).or(expired.then_some(review.expires_at));
    let mut all = Vec::new();
    if now.since_us(review.created_at) < ASKED_FRESH_US && over.is_none_or(|at| now.since_us(at) < ENDED_FRESH_US) {
        all.push(asked(review));
    }
    if let Some(at) = over.filter(|at| now.since_us(*at) < ENDED_FRESH_US) {
        all.push(ended(review, at));
    }
    all
}

fn asked(review: &Review) -> Notice {
    let c = &review.content;
    let kind = match &c.grant {
        None => Kind::ReviewAsked,
        Some(grant) if grant.at_once => Kind::BreakGlass,
        Some(_) => Kind::GrantAsked,
    };
    let mut identity = c.asker.name.clone();
    for actor in &c.asker.delegation {
        identity.push_str(" through ");
        identity.push_str(&actor.name);
    }
    let (what, text) = match &c.grant {
        None => (c.held.kind.clone(), shape(&c.protocol, &c.held.text)),
        Some(grant) => {
            let accesses: Vec<&str> = grant.accesses.iter().copied().map(Access::as_str).collect();
            let uses = grant.uses_max.map(|n| format!(", {n} uses")).unwrap_or_default();
            (format!("{} for {} min{uses}", accesses.join(", "), grant.lasts_s.div_ceil(60)), grant.reason.clone())
        }
    };
    Notice {
        severity: if kind == Kind::BreakGlass { Severity::Critical } else { Severity::Medium },
        thread: format!("review/{}", review.id),
        identity,
        issuer: c.asker.issuer.clone(),
        target: c.target.clone(),
        what,
        text,
        rules: c.rules.iter().map(|r| r.as_str().to_owned()).collect(),
        groups: c.spec.requirements.iter().map(|r| r.group.clone()).collect(),
        reviewers: c.spec.to_string(),
        session: if c.grant.is_some() { String::new() } else { c.held.session.clone() },
        path: format!("/console/inbox/{}", review.id),
        expires_at: Some(review.expires_at),
        ..Notice::new(kind, format!("review.asked/{}", review.id), review.created_at)
    }
}

/// A statement without its constants, where that is known how.
fn shape(protocol: &str, text: &str) -> String {
    if protocol == "postgres" { countersign_sql::without_constants(text).unwrap_or_default() } else { String::new() }
}

fn ended(review: &Review, at: Timestamp) -> Notice {
    let (kind, status) = match review.status {
        Status::Denied => (Kind::ReviewAnswered, "denied"),
        Status::Used => (Kind::ReviewAnswered, "approved"),
        Status::Withdrawn => (Kind::ReviewWithdrawn, "withdrawn"),
        Status::Pending | Status::Approved | Status::Expired => (Kind::ReviewExpired, "expired"),
    };
    let by = |answers: Vec<&Answer>| answers.into_iter().map(|a| a.by.name.clone()).collect::<Vec<_>>();
    let by = match review.status {
        Status::Denied => by(review.answers.iter().rfind(|a| a.verb == Verb::Deny).into_iter().collect()),
        Status::Used => by(review.approvals()),
        _ => Vec::new(),
    };
    Notice {
        kind,
        at,
        topic: format!("review.ended/{}", review.id),
        expires_at: None,
        ended: Some(Ended { status: status.to_owned(), by }),
        ..asked(review)
    }
}

/// What there is to tell of a lock.
fn told_of_lock(lock: &Lock, now: Timestamp) -> Vec<Notice> {
    let expired = lock.expires_at.filter(|at| *at <= now);
    let over = lock.ended.as_ref().map(|e| e.at).or(expired);
    let notice = |kind: Kind, at, identity: &str, what: String| Notice {
        severity: Severity::High,
        identity: identity.to_owned(),
        what,
        path: "/console/locks".to_owned(),
        ..Notice::new(kind, format!("{}/{}", kind.as_str(), lock.id), at)
    };
    let mut all = Vec::new();
    if over.is_none() && now.since_us(lock.created_at) < ASKED_FRESH_US {
        let what = format!("{}: {}", lock.matcher, lock.reason);
        all.push(notice(Kind::LockAdded, lock.created_at, &lock.created_by, what));
    }
    if let Some(at) = over.filter(|at| now.since_us(*at) < ENDED_FRESH_US) {
        let (by, why) = match &lock.ended {
            Some(end) => (end.by.as_str(), end.why.as_str()),
            None => ("", "its time is over"),
        };
        all.push(notice(Kind::LockEnded, at, by, format!("{}: {why}", lock.matcher)));
    }
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_told_of_when_it_is_unwell_twice_and_when_it_is_well() {
        let mut part = Part { name: "store", ..Part::default() };
        let mut look = |well, s| {
            part.look(well, Timestamp::from_unix_s(s));
            part.pending.take().map(|n| n.kind)
        };
        assert_eq!(look(true, 1), None);
        assert_eq!(look(false, 2), None, "once is nothing");
        assert_eq!(look(true, 3), None);
        assert_eq!(look(false, 4), None);
        assert_eq!(look(false, 5), Some(Kind::Trouble));
        assert_eq!(look(false, 6), None, "told once");
        assert_eq!(look(true, 7), Some(Kind::Well));
        assert_eq!(look(true, 8), None);
        // What could not be told before it was well again is told as one.
        part.look(false, Timestamp::from_unix_s(9));
        part.look(false, Timestamp::from_unix_s(10));
        part.look(true, Timestamp::from_unix_s(11));
        let told = part.pending.take().unwrap();
        assert!(told.kind == Kind::Well && told.what.contains("was not well"), "{}", told.what);
    }

    #[test]
    fn every_kind_that_can_be_configured_is_known() {
        let text = countersign_config::reference();
        let row = text.lines().find(|l| l.starts_with("| `kinds` |")).unwrap();
        for kind in countersign_notices::KINDS {
            assert!(row.contains(&format!("\"{}\"", kind.as_str())), "{kind:?} in {row}");
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(row.matches('"').count(), 2 * countersign_notices::KINDS.len(), "no others: {row}");
    }
}
