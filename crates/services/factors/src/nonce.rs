//! What a key signs: a digest over what it is for and a nonce that is good once, whichever gateway asks and whichever verifies.
//!
//! The nonce is kept, the digest is not: it is made anew from what the answer is about, so that an answer about anything else does not fit.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_enforce::{Digest, FactorAsk, FactorPurpose, NoFactor};
use countersign_model::{IdentityParts, Timestamp};
use countersign_store::{ShortLivedAdded, ShortLivedRecord, Store};
use sha2::{Digest as _, Sha256};

use crate::error::unavailable;

/// How long somebody has to touch their key, in seconds.
pub const CHALLENGE_S: u64 = 120;
/// Challenges of one person that are under way at one time.
pub const CHALLENGES_MAX: u32 = 16;
const NONCE_BYTES: usize = 32;

/// So much later.
pub(crate) fn later(at: Timestamp, s: u64) -> Timestamp {
    let us = i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    Timestamp::from_unix_us(at.unix_us().saturating_add(us))
}

/// By what a key knows its owner: a digest, because what an issuer calls somebody may be more than a key should tell.
pub fn user_handle(person: &IdentityParts) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [&person.issuer, &person.subject] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().into()
}

/// Under which kind a person's are kept, so that nobody takes another's place.
fn kind(person: &IdentityParts) -> String {
    format!("factor:{}", Digest(user_handle(person)))
}

/// What is signed for this with this nonce.
pub(crate) fn challenge(ask: &FactorAsk<'_>, nonce: &[u8]) -> [u8; 32] {
    let (verb, about, bound): (&str, &str, &[u8]) = match &ask.purpose {
        FactorPurpose::Approve { review, bound } => ("approve", review, &bound.0),
        FactorPurpose::Register => ("register", "", &[]),
        FactorPurpose::Add => ("add", "", &[]),
        FactorPurpose::Remove(factor) => ("remove", factor, &[]),
    };
    let (issuer, subject) = (ask.person.issuer.as_bytes(), ask.person.subject.as_bytes());
    let mut digest = Sha256::new();
    for field in [b"countersign factor 1", verb.as_bytes(), about.as_bytes(), bound, issuer, subject, nonce] {
        digest.update((field.len() as u64).to_be_bytes());
        digest.update(field);
    }
    digest.finalize().into()
}

/// Makes one, and keeps its nonce.
pub(crate) async fn ask(store: &Store, ask: &FactorAsk<'_>) -> Result<([u8; 32], Timestamp), NoFactor> {
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let challenge = challenge(ask, &nonce);
    let expires_at = later(ask.now, CHALLENGE_S);
    let entry = ShortLivedRecord { content: STANDARD.encode(nonce), expires_at, consumed_at: None };
    let kept = store.add_short_lived(&kind(ask.person), &name(&challenge), &entry, CHALLENGES_MAX, ask.now).await;
    match kept.map_err(unavailable)? {
        ShortLivedAdded::Kept => Ok((challenge, expires_at)),
        ShortLivedAdded::Full => {
            Err(NoFactor::Wrong("your keys were asked too often: wait two minutes, then try again"))
        }
        ShortLivedAdded::Taken => Err(NoFactor::Busy),
    }
}

/// Uses a challenge up that a browser says its key was asked with: gives it back if it was made for exactly this, and not used before.
pub(crate) async fn take(store: &Store, ask: &FactorAsk<'_>, said: &[u8; 32]) -> Result<[u8; 32], NoFactor> {
    let (kind, name) = (kind(ask.person), name(said));
    let gone = NoFactor::Wrong(crate::webauthn::Fault::Challenge.as_str());
    let Some(kept) = store.short_lived(&kind, &name).await.map_err(unavailable)? else { return Err(gone) };
    if !store.consume_short_lived(&kind, &name, ask.now).await.map_err(unavailable)? {
        return Err(gone);
    }
    let nonce = STANDARD.decode(&kept.content).map_err(|_| NoFactor::Unavailable("a nonce is damaged".to_owned()))?;
    let due = challenge(ask, &nonce);
    if due == *said { Ok(due) } else { Err(gone) }
}

fn name(challenge: &[u8; 32]) -> String {
    Digest(Sha256::digest(challenge).into()).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use countersign_model::{CredentialBinding, IdentityKind};

    use super::*;

    fn person(issuer: &str, subject: &str) -> IdentityParts {
        IdentityParts {
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            name: "rita".to_owned(),
            kind: IdentityKind::Human,
            groups: Default::default(),
            claims: BTreeMap::new(),
            delegation: Vec::new(),
            credential: CredentialBinding::Bearer,
            token_id: None,
            key: None,
            login: None,
            signer: None,
            issued_at: Timestamp::from_unix_s(1),
            expires_at: Timestamp::from_unix_s(2),
        }
    }

    #[test]
    fn what_is_signed_is_for_one_thing_of_one_person_and_one_nonce() {
        let (one, other) = (Digest([1; 32]), Digest([2; 32]));
        let purposes = [
            FactorPurpose::Approve { review: "01J", bound: one },
            FactorPurpose::Approve { review: "01J", bound: other },
            FactorPurpose::Approve { review: "01K", bound: one },
            FactorPurpose::Register,
            FactorPurpose::Add,
            FactorPurpose::Remove("01J"),
            FactorPurpose::Remove("01K"),
        ];
        let people = [person("https://id", "u-1"), person("https://id", "u-2"), person("https://idu", "-1")];
        let mut all = Vec::new();
        for who in &people {
            for purpose in purposes {
                for nonce in [[7; NONCE_BYTES], [8; NONCE_BYTES]] {
                    let ask = FactorAsk { person: who, purpose, now: Timestamp::from_unix_s(0) };
                    all.push(challenge(&ask, &nonce));
                }
            }
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        let later =
            FactorAsk { person: people.first().unwrap(), purpose: FactorPurpose::Add, now: Timestamp::from_unix_s(9) };
        let now = FactorAsk { now: Timestamp::from_unix_s(0), ..later };
        assert_eq!(challenge(&later, &[7; NONCE_BYTES]), challenge(&now, &[7; NONCE_BYTES]));
    }
}
