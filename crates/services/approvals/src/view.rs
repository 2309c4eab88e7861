//! Reviews as their askers and reviewers see them.

use countersign_model::{Factor, IdentityParts, Timestamp};
use countersign_store::{REVIEWS_PAGE_MAX, ReviewFilter};
use serde_json::{Value, json};

use crate::error::No;
use crate::grants::Window;
use crate::service::{Approvals, read};
use crate::state::{Answer, Review, Status, Verb};

/// The most reviews in one list.
pub const LISTED_MAX: usize = 100;
/// Pages of all reviews that are looked through for one list.
const PAGES_MAX: usize = 20;

/// A list of reviews.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The reviews, latest first.
    pub reviews: Vec<Review>,
    /// What to give as `before` for those that are older; `None` at the end.
    pub next: Option<String>,
}

impl Approvals {
    /// The reviews that this identity may see, latest first: `open` leaves out those that are over, `window` all but those that somebody
    /// approved then.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn list(
        &self,
        who: &IdentityParts,
        open: bool,
        window: Option<&Window>,
        before: Option<&str>,
    ) -> Result<Listed, No> {
        let mut filter = ReviewFilter { open, kind: None, before: before.map(str::to_owned), limit: REVIEWS_PAGE_MAX };
        let mut reviews = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self.0.parts.store.list_reviews(&filter).await?;
            let last = page.len() < usize::try_from(REVIEWS_PAGE_MAX).unwrap_or(usize::MAX);
            for record in page {
                if reviews.len() == LISTED_MAX {
                    return Ok(Listed { reviews, next: filter.before });
                }
                filter.before = Some(record.id.clone());
                let review = read(record, &[])?;
                let over = open && self.0.now() >= review.expires_at;
                if over || !review.is_visible_to(who) {
                    continue;
                }
                let Some(window) = window else {
                    reviews.push(review);
                    continue;
                };
                let whole = self.0.load(&review.id).await?;
                reviews.extend(whole.filter(|r| r.answers.iter().any(|a| window.has(a))));
            }
            if last {
                return Ok(Listed { reviews, next: None });
            }
        }
        Ok(Listed { reviews, next: filter.before })
    }
}

impl Review {
    /// As this identity sees it. Times are seconds since the Unix epoch.
    pub fn view(&self, who: &IdentityParts, now: Timestamp) -> Value {
        let c = &self.content;
        let mine = self.may_answer(who);
        let status = if self.expire(now).is_some() { Status::Expired } else { self.status };
        let requirements: Vec<Value> =
            c.spec.requirements.iter().map(|r| json!({"group": r.group, "people": r.people})).collect();
        let approved: Vec<&str> = self.approvers().iter().map(|p| p.name.as_str()).collect();
        let acting: Vec<&str> = c.asker.delegation.iter().map(|a| a.name.as_str()).collect();
        // A request for access waits in no session.
        let session = match (&c.grant, self.session) {
            (Some(_), _) => None,
            (None, Some(session)) => Some(session.to_string()),
            (None, None) => Some(c.held.session.clone()),
        };
        json!({
            "id": self.id,
            "status": status.as_str(),
            "created_at": self.created_at.unix_s(),
            "expires_at": self.expires_at.unix_s(),
            "ended_at": self.ended.as_ref().map(|(at, _)| at.unix_s()),
            "ended_why": self.ended.as_ref().map(|(_, why)| why),
            "asker": {
                "name": c.asker.name, "kind": c.asker.kind, "issuer": c.asker.issuer, "subject": c.asker.subject,
                "groups": c.asker.groups, "acting": acting, "claims": c.asker.claims,
            },
            "target": c.target,
            "protocol": c.protocol,
            "part": c.part,
            "session": session,
            "waiting": self.session.is_some() && status.is_open() && c.grant.is_none(),
            "grant": c.grant,
            "kind": c.held.kind,
            "access": c.held.access,
            "text": c.held.text,
            "parameters": c.held.parameters,
            "rules": c.rules,
            "requirements": requirements,
            "factor": c.spec.factor.map(Factor::as_str),
            "approved_by": approved,
            "answers": self.answers.iter().map(said).collect::<Vec<_>>(),
            "action": self.action.to_string(),
            "may_answer": mine.is_ok() && status.is_open(),
            "why_not": mine.err().map(|no| no.to_string()),
        })
    }
}

fn said(a: &Answer) -> Value {
    let verb = match a.verb {
        Verb::Approve => "approve",
        Verb::Deny => "deny",
        Verb::Comment => "comment",
        Verb::Void => "void",
    };
    json!({"at": a.at.unix_s(), "verb": verb, "by": a.by.name, "issuer": a.by.issuer, "comment": a.comment,
        "factor": a.factor.as_ref().map(|f| f.kind.as_str())})
}
