//! The port of second factors: what a person shows beside their login, for one thing and once.

use std::fmt;

use countersign_model::{Factor, FactorUsed, IdentityParts, Secret, Timestamp};

use crate::{BoxFuture, Digest};

/// What a factor is shown for. Shown for one thing, it does for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorPurpose<'a> {
    /// To say yes to this review, while an approval of it is good for exactly this.
    Approve {
        /// The review.
        review: &'a str,
        /// What an approval of it is good for: see [`crate::binding`].
        bound: Digest,
    },
    /// To make a new key known: the new key itself signs this.
    Register,
    /// To add another factor: one that is known already signs this.
    Add,
    /// To remove this factor.
    Remove(&'a str),
}

/// Who shows a factor, for what, when.
#[derive(Clone, Copy, Debug)]
pub struct FactorAsk<'a> {
    /// Who.
    pub person: &'a IdentityParts,
    /// For what.
    pub purpose: FactorPurpose<'a>,
    /// When.
    pub now: Timestamp,
}

/// What is shown.
#[derive(Clone, Debug)]
pub enum FactorProof {
    /// A code of an authenticator app.
    Code(Secret),
    /// What a key signed, as a browser gives it.
    Assertion(Assertion),
}

/// What a key signed (WebAuthn Level 3, 6.3.3). Good once, so that it is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// The key's name, as it chose it.
    pub credential: Vec<u8>,
    /// What the browser says that it asked the key for: JSON.
    pub client_data: Vec<u8>,
    /// What the key says of itself.
    pub authenticator_data: Vec<u8>,
    /// Its signature over both.
    pub signature: Vec<u8>,
}

/// What a key is to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactorChallenge {
    /// The bytes.
    pub challenge: [u8; 32],
    /// At whose site (the relying party).
    pub site: String,
    /// Which of the person's keys may sign.
    pub credentials: Vec<Vec<u8>>,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Why what is shown does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoFactor {
    /// Nothing was shown, and this much is asked for.
    Needed(Factor),
    /// No person speaks for themselves here.
    NotAPerson,
    /// They have none of this sort.
    None(Factor),
    /// It is not right: why, for them. It says nothing about what would be.
    Wrong(&'static str),
    /// Too many codes were wrong: none is looked at before this.
    LockedOut(Timestamp),
    /// There is no such factor of theirs.
    Unknown,
    /// They have as many as they may.
    Full(usize),
    /// It cannot be called that, or is no key that could be kept.
    Unfit(&'static str),
    /// This gateway cannot do that.
    NotHere(&'static str),
    /// Somebody else is at it.
    Busy,
    /// It cannot be told now.
    Unavailable(String),
}

impl fmt::Display for NoFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Needed(Factor::Webauthn) => {
                f.write_str("a security key has to be shown with this: do it in the console")
            }
            Self::Needed(Factor::Totp) => {
                f.write_str("a second factor has to be shown with this: a code, or a security key")
            }
            Self::NotAPerson => f.write_str("only a person has a second factor, and shows it for themselves"),
            Self::None(Factor::Webauthn) => {
                f.write_str("you have no security key here: register one in the console, under Factors")
            }
            Self::None(Factor::Totp) => {
                f.write_str("you have no second factor of this sort: register one in the console, under Factors")
            }
            Self::Wrong(why) | Self::Unfit(why) | Self::NotHere(why) => f.write_str(why),
            Self::LockedOut(until) => {
                write!(f, "too many codes were wrong: no code is looked at before {}", until.rfc3339())
            }
            Self::Unknown => f.write_str("you have no such factor"),
            Self::Full(most) => write!(f, "nobody has more than {most} factors: remove one first"),
            Self::Busy => f.write_str("your factors change at this moment: try again"),
            Self::Unavailable(_) => f.write_str("factors cannot be read or written now"),
        }
    }
}

/// Knows the factors of people. Implemented by `services/factors`.
pub trait Factors: Send + Sync {
    /// What a key of theirs is to sign. `origin` is where their browser is; `None` for the usual place.
    fn challenge<'a>(
        &'a self,
        ask: FactorAsk<'a>,
        origin: Option<&'a str>,
    ) -> BoxFuture<'a, Result<FactorChallenge, NoFactor>>;

    /// Whether what is shown is good for exactly this. It is used up by asking.
    fn prove<'a>(&'a self, ask: FactorAsk<'a>, proof: &'a FactorProof) -> BoxFuture<'a, Result<FactorUsed, NoFactor>>;

    /// Whether a factor that was shown is still theirs.
    fn stands<'a>(&'a self, person: &'a IdentityParts, used: &'a FactorUsed) -> BoxFuture<'a, Result<bool, NoFactor>>;
}

/// Nobody has any.
#[derive(Clone, Copy, Debug)]
pub struct NoFactors;

const NOT_HERE: NoFactor = NoFactor::NotHere("this gateway keeps no second factors");

impl Factors for NoFactors {
    fn challenge<'a>(
        &'a self,
        _: FactorAsk<'a>,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<FactorChallenge, NoFactor>> {
        Box::pin(std::future::ready(Err(NOT_HERE)))
    }

    fn prove<'a>(&'a self, _: FactorAsk<'a>, _: &'a FactorProof) -> BoxFuture<'a, Result<FactorUsed, NoFactor>> {
        Box::pin(std::future::ready(Err(NOT_HERE)))
    }

    fn stands<'a>(&'a self, _: &'a IdentityParts, _: &'a FactorUsed) -> BoxFuture<'a, Result<bool, NoFactor>> {
        Box::pin(std::future::ready(Err(NOT_HERE)))
    }
}
