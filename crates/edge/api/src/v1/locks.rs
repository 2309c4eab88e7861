//! Operations on locks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::http::StatusCode;
use countersign_enforce::Lockable;
use countersign_locks::{LockFilter, Matcher, NewLock, credential_sources};
use countersign_model::{GATEWAY_TARGET, IdentityParts, TargetName, Timestamp};
use countersign_runtime::SessionInfo;
use countersign_store::{Store, StoreError};

use super::Desk;
use super::call::{Call, Done};
use super::problem::Problem;
use super::table::{EXPIRES_IN_S_MAX, PAGE, PAGE_MAX};
use super::views::{DryRun, DryRunBody, LockPage, LockView, LoginView, NewLockBody, SessionView, SiblingView};

/// The most of each kind that a dry run lists.
const DRY_RUN_MAX: usize = 1_000;

pub(crate) async fn list(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    let limit = call.limit(PAGE, PAGE_MAX)?;
    let live_at = (!call.flag("all")?).then_some(call.now);
    let before = call.parameter("before").map(str::to_owned);
    let mut found = desk.locks.book().list(&LockFilter { live_at, before, limit: limit + 1 }).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|l| l.id.clone());
    let locks = found.iter().map(|l| LockView::new(l, call.now)).collect();
    Done::json(StatusCode::OK, &LockPage { locks, next }, 0)
}

pub(crate) async fn show(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    let lock = desk.locks.book().find(&call.id).await?;
    Done::json(StatusCode::OK, &LockView::new(&lock, call.now), 0)
}

pub(crate) async fn add(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    let body: NewLockBody = call.json()?;
    let expires_at = body.expires_in_s.map(|s| after(call.now, s)).transpose()?;
    let new = NewLock { matcher: body.matcher, kind: body.kind, reason: body.reason, expires_at };
    let lock = desk.locks.add(new, &call.by(), call.now).await?;
    Done::json(StatusCode::CREATED, &LockView::new(&lock, call.now), 1)
}

/// When a lock ends that lasts so many seconds.
fn after(now: Timestamp, seconds: u64) -> Result<Timestamp, Problem> {
    let wrong = || Problem::bad_request(format!("`expires_in_s` is a number from 1 to {EXPIRES_IN_S_MAX}"));
    let us = i64::try_from(seconds).ok().filter(|_| (1..=EXPIRES_IN_S_MAX).contains(&seconds));
    let at = us.and_then(|s| s.checked_mul(1_000_000)).and_then(|us| now.unix_us().checked_add(us));
    at.map(Timestamp::from_unix_us).ok_or_else(wrong)
}

pub(crate) async fn remove(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    let why = call.parameter("reason").unwrap_or_default();
    let lock = desk.locks.end(&call.id, &call.by(), why, call.now).await?;
    Done::json(StatusCode::OK, &LockView::new(&lock, call.now), 1)
}

pub(crate) async fn dry_run(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    let body: DryRunBody = call.json()?;
    body.matcher.check().map_err(Problem::bad_request)?;
    let sessions = desk.sessions.sessions();
    let found = would_cut(&desk.store, &sessions, &body.matcher, body.siblings, call.now).await;
    let mut found = found.map_err(|e| {
        tracing::warn!(error = %e, "logins could not be listed");
        Problem::unavailable("the store cannot list the logins now: try again")
    })?;
    if let Some(target) = TargetName::parse(GATEWAY_TARGET) {
        let you = Lockable { identity: &call.caller, source: call.source, target: &target, session: call.session };
        found.matches_you = body.matcher.matches(&you);
    }
    Done::json(StatusCode::OK, &found, 0)
}

/// What a lock with this matcher would cut off, of these sessions and the logins in the store; and siblings of that, where asked for.
///
/// # Errors
/// When the store cannot list the logins.
pub async fn would_cut(
    store: &Store,
    sessions: &[SessionInfo],
    matcher: &Matcher,
    siblings: bool,
    now: Timestamp,
) -> Result<DryRun, StoreError> {
    let mut found = DryRun { sessions: Vec::new(), logins: Vec::new(), siblings: Vec::new(), matches_you: false };
    let mut people = People::default();
    for info in sessions {
        let what =
            Lockable { identity: &info.identity, source: info.source, target: &info.target.name, session: info.id };
        let matched = matcher.matches(&what);
        people.note(&info.identity, Some(info.source.ip()), matched);
        if matched && found.sessions.len() < DRY_RUN_MAX {
            found.sessions.push(SessionView::from(info));
        }
    }
    // A lock on a place leaves logins good elsewhere.
    let place = matcher.source.is_some() || matcher.target.is_some() || matcher.session.is_some();
    for login in store.live_logins(now).await? {
        let Ok(mut identity) = serde_json::from_str::<IdentityParts>(&login.identity) else { continue };
        identity.login = Some(login.id.clone());
        identity.key = Some(login.key.clone());
        let matched = !place && matcher.matches_identity(&identity);
        people.note(&identity, None, matched);
        if matched && found.logins.len() < DRY_RUN_MAX {
            found.logins.push(LoginView::new(&login, &identity));
        }
    }
    if siblings {
        found.siblings = people.siblings();
        found.siblings.truncate(DRY_RUN_MAX);
    }
    Ok(found)
}

/// Somebody who was seen.
struct Seen {
    identity: IdentityParts,
    addresses: Vec<IpAddr>,
    matched: bool,
}

/// Everybody who was seen, by issuer and subject.
#[derive(Default)]
struct People(BTreeMap<(String, String), Seen>);

impl People {
    fn note(&mut self, identity: &IdentityParts, address: Option<IpAddr>, matched: bool) {
        let key = (identity.issuer.clone(), identity.subject.clone());
        let new = || Seen { identity: identity.clone(), addresses: Vec::new(), matched: false };
        let seen = self.0.entry(key).or_insert_with(new);
        seen.addresses.extend(address);
        seen.matched |= matched;
    }

    /// Those who were not matched and share where their credential comes from with one who was.
    fn siblings(&self) -> Vec<SiblingView> {
        let sources = |s: &Seen| credential_sources(&s.identity, &s.addresses);
        let hot: Vec<String> = self.0.values().filter(|s| s.matched).flat_map(sources).collect();
        let mut all = Vec::new();
        for seen in self.0.values().filter(|s| !s.matched) {
            let shares: Vec<String> = sources(seen).into_iter().filter(|s| hot.contains(s)).collect();
            if !shares.is_empty() {
                all.push(SiblingView { identity: (&seen.identity).into(), shares });
            }
        }
        all
    }
}
