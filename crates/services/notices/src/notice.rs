//! What there is to tell: its kind, and the facts that go with it. Words for people are made of it in `words`.

use countersign_model::{Severity, Timestamp};
use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A statement waits for people.
    #[serde(rename = "review.asked")]
    ReviewAsked,
    /// People said yes or no.
    #[serde(rename = "review.answered")]
    ReviewAnswered,
    /// Nobody answered in time.
    #[serde(rename = "review.expired")]
    ReviewExpired,
    /// Nobody need answer any more.
    #[serde(rename = "review.withdrawn")]
    ReviewWithdrawn,
    /// Somebody asks for access.
    #[serde(rename = "grant.asked")]
    GrantAsked,
    /// Somebody took access at once.
    #[serde(rename = "grant.break-glass")]
    BreakGlass,
    /// Something that people should see.
    #[serde(rename = "alert")]
    Alert,
    /// Somebody is kept out.
    #[serde(rename = "lock.added")]
    LockAdded,
    /// A lock is over.
    #[serde(rename = "lock.ended")]
    LockEnded,
    /// A part of a gateway is not well.
    #[serde(rename = "gateway.trouble")]
    Trouble,
    /// It is well again.
    #[serde(rename = "gateway.well")]
    Well,
    /// Many notices in one.
    #[serde(rename = "summary")]
    Summary,
    /// Somebody tries whether notices arrive.
    #[serde(rename = "test")]
    Test,
}

/// Every kind that a receiver can choose; summaries and tests come to all.
pub const KINDS: [Kind; 11] = [
    Kind::ReviewAsked,
    Kind::ReviewAnswered,
    Kind::ReviewExpired,
    Kind::ReviewWithdrawn,
    Kind::GrantAsked,
    Kind::BreakGlass,
    Kind::Alert,
    Kind::LockAdded,
    Kind::LockEnded,
    Kind::Trouble,
    Kind::Well,
];

impl Kind {
    /// Its name, in the configuration and in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReviewAsked => "review.asked",
            Self::ReviewAnswered => "review.answered",
            Self::ReviewExpired => "review.expired",
            Self::ReviewWithdrawn => "review.withdrawn",
            Self::GrantAsked => "grant.asked",
            Self::BreakGlass => "grant.break-glass",
            Self::Alert => "alert",
            Self::LockAdded => "lock.added",
            Self::LockEnded => "lock.ended",
            Self::Trouble => "gateway.trouble",
            Self::Well => "gateway.well",
            Self::Summary => "summary",
            Self::Test => "test",
        }
    }

    /// The kind of that name, of those that can be chosen.
    pub fn parse(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|k| k.as_str() == name)
    }

    /// What waits for people goes first, then whatever an operator tries; lower is first.
    pub(crate) const fn urgency(self) -> i64 {
        match self {
            Self::Test | Self::Summary => 0,
            Self::ReviewAsked | Self::GrantAsked | Self::BreakGlass => 1,
            Self::ReviewAnswered | Self::ReviewExpired | Self::ReviewWithdrawn => 2,
            Self::LockAdded | Self::LockEnded | Self::Trouble | Self::Well => 3,
            Self::Alert => 4,
        }
    }

    /// It says how something ended that another notice asked for.
    pub(crate) const fn is_end(self) -> bool {
        matches!(self, Self::ReviewAnswered | Self::ReviewExpired | Self::ReviewWithdrawn)
    }

    /// It asks people for something.
    pub(crate) const fn asks(self) -> bool {
        matches!(self, Self::ReviewAsked | Self::GrantAsked | Self::BreakGlass)
    }
}

/// How what was asked ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// `approved`, `denied`, `expired` or `withdrawn`.
    pub status: String,
    /// Who decided; empty where nobody did.
    #[serde(default)]
    pub by: Vec<String>,
}

/// Something to tell. What is not known is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What happened.
    pub kind: Kind,
    /// When.
    pub at: Timestamp,
    /// How loud.
    pub severity: Severity,
    /// What makes it the same as another: of one topic a receiver is told once.
    pub topic: String,
    /// What it is about: what is told later of the same thread takes the place of this where a receiver can do that.
    #[serde(default)]
    pub thread: String,
    /// Who: the name of an identity.
    #[serde(default)]
    pub identity: String,
    /// Who vouches for them.
    #[serde(default)]
    pub issuer: String,
    /// On which target.
    #[serde(default)]
    pub target: String,
    /// In a few words, without constants of a statement: `update`, `access at once`, `store`.
    #[serde(default)]
    pub what: String,
    /// The statement without its constants, or the asker's own words: told to receivers that chose so.
    #[serde(default)]
    pub text: String,
    /// The rules behind it.
    #[serde(default)]
    pub rules: Vec<String>,
    /// The groups that are asked.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Who is asked, in words: `2 of dba`.
    #[serde(default)]
    pub reviewers: String,
    /// The session.
    #[serde(default)]
    pub session: String,
    /// Where in the console to look, such as `/console/inbox/ID`.
    #[serde(default)]
    pub path: String,
    /// Until when it can be answered.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// How it ended.
    #[serde(default)]
    pub ended: Option<Ended>,
}

impl Notice {
    /// One of which nothing else is known yet.
    pub fn new(kind: Kind, topic: impl Into<String>, at: Timestamp) -> Self {
        Self {
            kind,
            at,
            severity: Severity::Low,
            topic: topic.into(),
            thread: String::new(),
            identity: String::new(),
            issuer: String::new(),
            target: String::new(),
            what: String::new(),
            text: String::new(),
            rules: Vec::new(),
            groups: Vec::new(),
            reviewers: String::new(),
            session: String::new(),
            path: String::new(),
            expires_at: None,
            ended: None,
        }
    }
}
