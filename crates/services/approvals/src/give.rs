//! What answers make of a request for access: it is given, or it has come to its end.
//!
//! Each step can be done again: what a process that died left undone, the next one that looks does. It must never give what was not approved,
//! nor give it twice.

use std::time::Duration;

use countersign_model::{SessionId, Timestamp};
use countersign_store::GrantEndRecord;

use crate::error::No;
use crate::service::Shared;
use crate::state::{Review, Status, Verb};
use crate::waiting::look;

/// A grant that starts when it is used must be used first within this time.
pub const START_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// So much later.
pub(crate) fn later(at: Timestamp, s: u64) -> Timestamp {
    let us = i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    Timestamp::from_unix_us(at.unix_us().saturating_add(us))
}

/// The review as it is after what its answers make of it; a review of an action stays as it is.
pub(crate) async fn settled(shared: &Shared, review: Review) -> Result<Review, No> {
    if review.content.grant.is_none() {
        return Ok(review);
    }
    let id = review.id.clone();
    match settle(shared, review).await {
        Ok(review) => Ok(review),
        Err(no) => {
            // The answer stands; whoever looks next goes on from there.
            tracing::warn!(review = id, %no, "what was answered could not be carried out yet");
            shared.load(&id).await?.ok_or(No::Unknown)
        }
    }
}

/// Carries out what the review has come to.
pub(crate) async fn settle(shared: &Shared, review: Review) -> Result<Review, No> {
    let id = review.id.clone();
    let mut review = review;
    if review.status.is_open()
        && let (Some(session), Some(bound)) = (SessionId::parse(&id), review.binding())
        && look(shared, &id, session, bound).await?.is_some()
    {
        review = shared.load(&id).await?.ok_or(No::Unknown)?;
    }
    let Some(asked) = &review.content.grant else { return Ok(review) };
    let Some((at, why)) = &review.ended else { return Ok(review) };
    match review.status {
        Status::Used if asked.at_once => {}
        Status::Used => {
            let started = asked.starts_at.map(|from| (from, later(from, asked.lasts_s)));
            let start_by = later(*at, START_WITHIN.as_secs());
            if shared.parts.store.give_grant(&id, *at, start_by, started).await? {
                tracing::info!(grant = id, asker = review.content.asker.name, target = review.content.target, "given");
            }
        }
        // What was taken at once goes on until its time, unless somebody says no.
        Status::Expired | Status::Withdrawn if asked.at_once => {}
        Status::Denied | Status::Withdrawn | Status::Expired => {
            let no = review.answers.iter().rfind(|a| a.verb == Verb::Deny).filter(|_| review.status == Status::Denied);
            let by = no.map_or_else(|| review.content.asker.name.clone(), |a| a.by.name.clone());
            let end = GrantEndRecord { at: *at, by, why: why.clone() };
            shared.parts.store.end_grant(&id, &end).await?;
        }
        Status::Pending | Status::Approved => {}
    }
    Ok(review)
}
