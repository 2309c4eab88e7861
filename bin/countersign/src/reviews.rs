//! What fits reviews to identity and to their HTTP doors. It must never decide anything.

use std::net::SocketAddr;
use std::sync::Arc;

use countersign_api::{
    Answer, DoorRequest as Asked, ReviewBody, ReviewChallengeBody, ReviewDoors, ReviewQuery, ReviewVerb,
};
use countersign_approvals::{Approvals, GrantKeeper, No, People, Review, Said as Answered, Verb, Window};
use countersign_enforce::{BoxFuture, Lockable, Locks, Standing};
use countersign_identity::IdentityService;
use countersign_model::{
    ClientText, Culprit, Denial, DenialCode, GATEWAY_TARGET, Identity, IdentityParts, SessionId, TargetName, Timestamp,
};
use serde_json::{Value, json};

use crate::clock;
use crate::factors::{challenge, no_factor, proof};
use crate::grants::noticed;
use crate::logins::{answer, asked};

/// Whether those who said yes still stand: whoever could not say so now does not count.
pub(crate) struct KnownPeople {
    pub(crate) identity: Arc<IdentityService>,
    pub(crate) locks: Arc<dyn Locks>,
}

impl People for KnownPeople {
    fn standing<'a>(
        &'a self,
        person: &'a IdentityParts,
        source: Option<SocketAddr>,
        now: Timestamp,
    ) -> BoxFuture<'a, Standing> {
        Box::pin(async move {
            // From nowhere, where it was not kept: no lock on a place matches that.
            let source = source.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
            match kept_out(&*self.locks, person, source, now) {
                Some(denial) if denial.culprit == Culprit::Us => Standing::Unknown,
                Some(denial) => Standing::Ended(denial),
                None => self.identity.party_standing(person, now).await,
            }
        })
    }
}

/// Why locks keep somebody out of the gateway's own doors, if they do. There is no session, so that a lock on one has nothing to match.
pub(crate) fn kept_out(locks: &dyn Locks, who: &IdentityParts, source: SocketAddr, now: Timestamp) -> Option<Denial> {
    let Some(target) = TargetName::parse(GATEWAY_TARGET) else {
        return Some(Denial::new(Culprit::Us, DenialCode::Internal, ClientText::new("the gateway has no name")));
    };
    let what = Lockable { identity: who, source, target: &target, session: SessionId::from_u128(0) };
    locks.keeps_out(&what, now)
}

/// The service behind its HTTP doors.
pub(crate) struct ReviewDesk {
    pub(crate) reviews: Approvals,
    pub(crate) grants: GrantKeeper,
    pub(crate) identity: Arc<IdentityService>,
    pub(crate) locks: Arc<dyn Locks>,
}

/// Approvals in a window of time, where somebody is named.
pub(crate) fn window(answered_by: Option<String>, since: Option<i64>, until: Option<i64>) -> Option<Window> {
    let at = |s: Option<i64>| s.map(Timestamp::from_unix_s);
    answered_by.map(|answered_by| Window { answered_by, since: at(since), until: at(until) })
}

pub(crate) fn private(status: u16, body: &Value) -> Answer {
    let headers = vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())];
    Answer { status, headers, body: body.to_string() }
}

/// RFC 9457.
pub(crate) fn problem(status: u16, title: &str, detail: &str) -> Answer {
    let body = json!({"type": "about:blank", "title": title, "status": status, "detail": detail});
    Answer { headers: vec![("content-type", "application/problem+json".to_owned())], ..private(status, &body) }
}

pub(crate) fn refused(no: &No) -> Answer {
    let (status, title) = match no {
        No::Unknown => (404, "Not Found"),
        No::OwnRequest | No::NotAPerson | No::NotAsked | No::NotYours | No::TooMuch(_) => (403, "Forbidden"),
        No::Twice | No::Over(_) | No::Changed | No::Full | No::Unreviewed(_) => (409, "Conflict"),
        No::Factor(no) => return no_factor(no),
        No::Comment(_) | No::Reason(_) => (400, "Bad Request"),
        No::Busy | No::Unavailable(_) => (503, "Service Unavailable"),
    };
    if let No::Unavailable(why) = no {
        tracing::error!(why, "a review could not be read or written");
        return problem(status, title, "the reviews cannot be read or written now");
    }
    problem(status, title, &no.to_string())
}

/// Whoever asks at this door, unless a lock keeps them out.
pub(crate) async fn caller(
    identity: &IdentityService,
    locks: &dyn Locks,
    request: &Asked,
    door: &str,
) -> Result<Arc<Identity>, Answer> {
    let now = clock::now();
    let caller = match &request.known {
        Some(known) => known.clone(),
        None => identity.caller(&asked(request), now).await.map_err(answer)?,
    };
    match kept_out(locks, &caller, request.source, now) {
        None => Ok(caller),
        Some(denial) => {
            tracing::info!(identity = caller.name, %denial, "kept out of the {door}");
            Err(problem(403, "Forbidden", denial.message.as_str()))
        }
    }
}

/// The body of a request, which has to be said to be JSON.
fn json_body(request: &Asked) -> Result<&[u8], Answer> {
    let json = request.content_type.as_deref().is_some_and(|t| t.split(';').next() == Some("application/json"));
    if !json {
        return Err(problem(415, "Unsupported Media Type", "the body is not application/json"));
    }
    Ok(request.body.expose())
}

impl ReviewDesk {
    async fn caller(&self, request: &Asked) -> Result<Arc<Identity>, Answer> {
        caller(&self.identity, &*self.locks, request, "reviews").await
    }

    async fn acted(&self, request: &Asked, id: &str, verb: ReviewVerb) -> Result<Answer, Answer> {
        let who = self.caller(request).await?;
        let said: ReviewBody = match request.body.expose() {
            [] => ReviewBody::default(),
            _ => serde_json::from_slice(json_body(request)?)
                .map_err(|_| problem(400, "Bad Request", "the body has `comment`, `action` and `factor`, no more"))?,
        };
        let (comment, action) = (said.comment.as_deref(), said.action.as_deref());
        let shown = said.factor.as_ref().map(proof).transpose().map_err(|no| no_factor(&no))?;
        let said = Answered { comment, action, source: Some(request.source), factor: shown.as_ref() };
        let answer = async |verb| self.reviews.answer(id, verb, &who, said).await;
        let review: Result<Review, No> = match verb {
            ReviewVerb::Approve => answer(Verb::Approve).await,
            ReviewVerb::Deny => answer(Verb::Deny).await,
            ReviewVerb::Comment => answer(Verb::Comment).await,
            ReviewVerb::Withdraw => self.reviews.withdraw(id, &who).await,
        };
        let review = review.map_err(|no| refused(&no))?;
        if review.content.grant.is_some() {
            noticed(&self.grants).await;
        }
        Ok(private(200, &review.view(&who, clock::now())))
    }
}

impl ReviewDoors for ReviewDesk {
    fn list(&self, request: Asked, query: ReviewQuery) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            let listed = async {
                let who = self.caller(&request).await?;
                let window = window(query.answered_by, query.since, query.until);
                let listed = self.reviews.list(&who, !query.all, window.as_ref(), query.before.as_deref()).await;
                let listed = listed.map_err(|no| refused(&no))?;
                let now = clock::now();
                let rest = listed.reviews.len() > query.limit;
                let shown = listed.reviews.get(..query.limit).unwrap_or(&listed.reviews);
                let next = if rest { shown.last().map(|r| r.id.clone()) } else { listed.next };
                let wanted = |r: &&Review| query.target.as_ref().is_none_or(|t| *t == r.content.target);
                let reviews: Vec<Value> = shown.iter().filter(wanted).map(|r| r.view(&who, now)).collect();
                Ok::<_, Answer>(private(200, &json!({"reviews": reviews, "next": next})))
            };
            listed.await.unwrap_or_else(|no| no)
        })
    }

    fn show(&self, request: Asked, id: String) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            let shown = async {
                let who = self.caller(&request).await?;
                let review = self.reviews.show(&id, &who).await.map_err(|no| refused(&no))?;
                Ok::<_, Answer>(private(200, &review.view(&who, clock::now())))
            };
            shown.await.unwrap_or_else(|no| no)
        })
    }

    fn challenge(&self, request: Asked, id: String, body: ReviewChallengeBody) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            let asked = async {
                let who = self.caller(&request).await?;
                let (action, origin) = (body.action.as_deref(), body.origin.as_deref());
                let asked = self.reviews.challenge(&id, &who, action, origin).await.map_err(|no| refused(&no))?;
                Ok::<_, Answer>(private(200, &challenge(&who, &asked)))
            };
            asked.await.unwrap_or_else(|no| no)
        })
    }

    fn act(&self, request: Asked, id: String, verb: ReviewVerb) -> BoxFuture<'_, Answer> {
        Box::pin(async move { self.acted(&request, &id, verb).await.unwrap_or_else(|no| no) })
    }
}
