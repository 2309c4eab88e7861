//! What is about to happen.
//!
//! An [`Action`] is a [`Shape`] (what the text means, shared by all texts that mean the same) with one text and its parameters.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Attribute, Attributes, Disclosure};

/// The most parameter bytes that an intent keeps; longer ones are recorded by length and digest.
pub const PARAMETERS_MAX: usize = 1 << 20;

/// What an action does to its target, ordered from mild to grave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Opening a session, and its housekeeping that touches no data: `BEGIN`, `COMMIT`, harmless settings.
    Connect,
    /// Reads.
    Read,
    /// Changes data.
    Write,
    /// Runs code that the gateway cannot see into: procedures, volatile functions.
    Execute,
    /// Changes the structure, the rights or the settings of the target.
    Admin,
    /// Could not be read. Always denied.
    Opaque,
}

impl Access {
    /// Every access, from mild to grave.
    pub const ALL: [Self; 6] = [Self::Connect, Self::Read, Self::Write, Self::Execute, Self::Admin, Self::Opaque];

    /// The word used in policies (`Action::"read"`) and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Read => "read",
            Self::Write => "write",
            Self::Execute => "execute",
            Self::Admin => "admin",
            Self::Opaque => "opaque",
        }
    }
}

/// One access that an action needs, with what policy may know about it. An action needs all of its uses allowed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Use {
    /// Which access.
    pub access: Access,
    /// What policy sees as `context`.
    pub attributes: Attributes,
}

/// 128 bits that are the same for texts that differ only in their constants.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u128);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Tells two shapes apart within one process; never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShapeId(u64);

impl ShapeId {
    /// The number, for cache keys.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// What a text means to policy: everything a verdict may depend on, and nothing else.
#[derive(Debug)]
pub struct Shape {
    id: ShapeId,
    kind: Arc<str>,
    uses: Vec<Use>,
    fingerprint: Fingerprint,
    unreadable: Option<Arc<str>>,
    disclosure: Disclosure,
}

impl Shape {
    /// A shape whose meaning is known. `kind` is a word for people and the record, such as `select`; an action without uses is
    /// treated as unreadable, because nothing would judge it.
    pub fn new(kind: &str, uses: Vec<Use>, fingerprint: Fingerprint) -> Arc<Self> {
        Self::disclosing(kind, uses, fingerprint, Disclosure::default())
    }

    /// As [`Shape::new`], of an action that touches tagged data.
    pub fn disclosing(kind: &str, uses: Vec<Use>, fingerprint: Fingerprint, disclosure: Disclosure) -> Arc<Self> {
        if uses.is_empty() {
            return Self::unreadable("the action has no effect that could be judged", fingerprint);
        }
        Arc::new(Self { id: next_id(), kind: kind.into(), uses, fingerprint, unreadable: None, disclosure })
    }

    /// A shape of what could not be read; `why` may be shown to the client and must hold no secret.
    pub fn unreadable(why: &str, fingerprint: Fingerprint) -> Arc<Self> {
        let uses = vec![Use { access: Access::Opaque, attributes: Attributes::new() }];
        Arc::new(Self {
            id: next_id(),
            kind: "opaque".into(),
            uses,
            fingerprint,
            unreadable: Some(why.into()),
            disclosure: Disclosure::default(),
        })
    }

    /// Its id in this process.
    pub fn id(&self) -> ShapeId {
        self.id
    }

    /// A word for people and the record: `select`, `update`, `begin`; several are joined by `+`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The accesses it needs, each with its attributes.
    pub fn uses(&self) -> &[Use] {
        &self.uses
    }

    /// The gravest access of its uses.
    pub fn access(&self) -> Access {
        self.uses.iter().map(|u| u.access).max().unwrap_or(Access::Opaque)
    }

    /// The same for texts that differ only in constants.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Why it could not be read, if so.
    pub fn why_unreadable(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// What it does with tagged data; empty for what could not be read, which is denied anyway.
    pub fn disclosure(&self) -> &Disclosure {
        &self.disclosure
    }

    /// An attribute of the first use that has it.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.uses.iter().find_map(|u| u.attributes.find(name))
    }
}

fn next_id() -> ShapeId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    ShapeId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// One command that is about to happen.
#[derive(Clone, Debug)]
pub struct Action {
    /// What it means.
    pub shape: Arc<Shape>,
    /// The very bytes that carry the meaning; they alias the frame that will be sent.
    pub text: Bytes,
    /// Bound parameters as the wire had them, for the record; empty when there are none.
    pub parameters: Bytes,
}
