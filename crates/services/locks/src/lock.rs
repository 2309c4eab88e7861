//! A lock, and what it says to whom it keeps out.

use countersign_enforce::Lockable;
use countersign_model::{ClientText, Culprit, Denial, DenialCode, IdentityParts, RuleId, Severity, Timestamp};
use countersign_store::{LockEndRecord, LockRecord};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{LockError, Matcher};

/// The longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = 4096;

/// What a lock does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LockKind {
    /// Nobody whom it matches comes in.
    #[default]
    Lock,
    /// Only who has proved anew who they are since it was made comes in.
    Reauthenticate,
}

impl LockKind {
    /// The word used in the store and in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Reauthenticate => "reauthenticate",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Lock, Self::Reauthenticate].into_iter().find(|k| k.as_str() == word)
    }
}

/// What a lock is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLock {
    /// What it matches.
    pub matcher: Matcher,
    /// What it does.
    pub kind: LockKind,
    /// Why.
    pub reason: String,
    /// When it ends by itself; `None` for when somebody ends it.
    pub expires_at: Option<Timestamp>,
}

impl NewLock {
    /// What is wrong with it, if something is.
    ///
    /// # Errors
    /// When the matcher is, there is no reason, or its time would be over already.
    pub fn check(&self, now: Timestamp) -> Result<(), LockError> {
        let no = |why: String| Err(LockError::Invalid(why));
        self.matcher.check().map_err(LockError::Invalid)?;
        if self.reason.trim().is_empty() {
            return no("a lock needs a reason: somebody will have to decide whether it may end".to_owned());
        }
        if self.reason.len() > REASON_BYTES_MAX {
            return no(format!("the reason is longer than {REASON_BYTES_MAX} bytes"));
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            return no("the lock would be over before it began".to_owned());
        }
        Ok(())
    }
}

/// How a lock was ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockEnd {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub why: String,
}

/// A lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Its id: a ULID, so that ids sort by the time they were made.
    pub id: String,
    /// What it matches.
    pub matcher: Matcher,
    /// What it does.
    pub kind: LockKind,
    /// Why it was made.
    pub reason: String,
    /// By whom: `NAME (ISSUER#SUBJECT)`, or an operator of a machine.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// How it was ended before that.
    pub ended: Option<LockEnd>,
}

impl Lock {
    /// True while it keeps out whom it matches.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.expires_at.is_none_or(|at| now < at)
    }

    /// True when it is in force, matches, and is not lifted by a fresh login.
    pub fn keeps_out(&self, what: &Lockable<'_>, now: Timestamp) -> bool {
        self.is_live(now)
            && !(self.kind == LockKind::Reauthenticate && proved_at(what.identity) > self.created_at)
            && self.matcher.matches(what)
    }

    /// What the one hears who is kept out. Neither the reason nor who made it: the one who reads it may be whom it is about.
    pub(crate) fn denial(&self, ask: Option<&str>) -> Denial {
        let text = match self.kind {
            LockKind::Lock => ClientText::new("locked out by lock ").name(&self.id),
            LockKind::Reauthenticate => ClientText::new("a fresh login is required by lock ").name(&self.id),
        };
        let hint = match (self.kind, ask) {
            (LockKind::Reauthenticate, _) => ClientText::new(
                "Log in again: countersign login. Whoever answers for this gateway can tell more about lock ",
            )
            .name(&self.id)
            .and("."),
            (LockKind::Lock, Some(ask)) => ClientText::new("").name(ask).and(" Name lock ").name(&self.id).and("."),
            (LockKind::Lock, None) => {
                ClientText::new("Ask whoever answers for this gateway, and name lock ").name(&self.id).and(".")
            }
        };
        Denial::new(Culprit::Policy, DenialCode::Locked, text)
            .hint(hint)
            .rules(vec![RuleId::new(&format!("lock:{}", self.id))])
            .detail(format_args!("lock {} ({}) by {}: {}", self.id, self.matcher, self.created_by, self.reason))
            .alarming(Severity::Medium)
    }

    pub(crate) fn record(&self) -> Result<LockRecord, LockError> {
        let matcher = serde_json::to_string(&self.matcher).map_err(|e| LockError::Invalid(e.to_string()))?;
        Ok(LockRecord {
            id: self.id.clone(),
            matcher,
            kind: self.kind.as_str().to_owned(),
            reason: self.reason.clone(),
            created_by: self.created_by.clone(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            ended: self.ended.clone().map(|e| LockEndRecord { at: e.at, by: e.by, why: e.why }),
        })
    }

    /// From the store.
    ///
    /// # Errors
    /// When this version does not understand it. Then it is not known who is locked out.
    pub(crate) fn read(r: LockRecord) -> Result<Self, LockError> {
        let wrong = |what: String| LockError::Invalid(format!("lock {} in the store cannot be read: {what}", r.id));
        let matcher: Matcher = serde_json::from_str(&r.matcher).map_err(|e| wrong(e.to_string()))?;
        matcher.check().map_err(wrong)?;
        let kind = LockKind::parse(&r.kind).ok_or_else(|| wrong(format!("its kind is \"{}\"", r.kind)))?;
        Ok(Self {
            matcher,
            kind,
            id: r.id,
            reason: r.reason,
            created_by: r.created_by,
            created_at: r.created_at,
            expires_at: r.expires_at,
            ended: r.ended.map(|e| LockEnd { at: e.at, by: e.by, why: e.why }),
        })
    }
}

/// When the identity proved who it is: at the login where the issuer says so (`auth_time`, OpenID Connect Core 2), else when what it
/// presented was issued. A renewed certificate keeps its login's time.
fn proved_at(identity: &IdentityParts) -> Timestamp {
    let said = identity.claims.get("auth_time").and_then(serde_json::Value::as_i64);
    // An issuer may not say that somebody will log in.
    said.map_or(identity.issued_at, |s| Timestamp::from_unix_s(s).min(identity.issued_at))
}
