//! What fits grants to policy, to locks and to their HTTP doors. It must never give anybody more than the rules offer.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_api::{Answer, DoorRequest as Asked, GrantBody, GrantCall, GrantDoors};
use countersign_approvals::{Grant, GrantDesk, GrantKeeper, NewGrant};
use countersign_enforce::{BoxFuture, Lockable, Locks};
use countersign_identity::IdentityService;
use countersign_locks::LockService;
use countersign_model::{Access, Denial, GrantSpec, Identity, IdentityParts, RuleId, Target, Timestamp};
use countersign_policy::PolicyStore;
use countersign_runtime::{RouteTable, Targets as _};
use serde_json::{Value, json};

use crate::clock;
use crate::reviews::{caller, private, problem, refused, window};

/// What ends sessions: locks, and grants that have come to their end.
pub(crate) struct Orders {
    pub(crate) locks: Arc<LockService>,
    pub(crate) grants: GrantKeeper,
}

impl Locks for Orders {
    fn keeps_out(&self, what: &Lockable<'_>, now: Timestamp) -> Option<Denial> {
        self.locks.keeps_out(what, now).or_else(|| self.grants.ends(what.session, now))
    }

    fn changed(&self, seen: u64) -> BoxFuture<'_, u64> {
        Box::pin(async move {
            // No count is that high: these are the counts as they are.
            let (mut locks, mut grants) = (self.locks.changed(u64::MAX).await, self.grants.changed(u64::MAX).await);
            while locks.wrapping_add(grants) == seen {
                tokio::select! {
                    n = self.locks.changed(locks) => locks = n,
                    n = self.grants.changed(grants) => grants = n,
                }
            }
            locks.wrapping_add(grants)
        })
    }
}

/// The desk behind its HTTP doors.
pub(crate) struct GrantCounter {
    pub(crate) desk: GrantDesk,
    pub(crate) keeper: GrantKeeper,
    pub(crate) identity: Arc<IdentityService>,
    pub(crate) locks: Arc<LockService>,
    pub(crate) policy: Arc<PolicyStore>,
    pub(crate) routes: Arc<RouteTable>,
}

/// What was changed holds at this gateway before whoever changed it is told; others notice by themselves.
pub(crate) async fn noticed(keeper: &GrantKeeper) {
    if let Err(why) = keeper.catch_up(&clock::now).await {
        tracing::warn!(why, "a change of grants could not be read back yet");
    }
}

impl GrantCounter {
    async fn caller(&self, request: &Asked) -> Result<Arc<Identity>, Answer> {
        caller(&self.identity, &*self.locks, request, "grants").await
    }

    /// What the rules offer of what is asked for.
    fn offered(&self, who: &Identity, target: &Target, asked: &GrantBody) -> Result<(Vec<RuleId>, GrantSpec), Answer> {
        let set = self.policy.current();
        let mut rules: BTreeSet<RuleId> = BTreeSet::new();
        let mut all: Option<GrantSpec> = None;
        if asked.actions.is_empty() || asked.actions.len() > Access::ALL.len() {
            return Err(problem(
                400,
                "Bad Request",
                "`actions` names what is asked for: connect, read, write, execute, admin",
            ));
        }
        for access in &asked.actions {
            let named = |id: &RuleId| asked.rule.as_deref().is_none_or(|rule| rule == id.as_str());
            let mut any = false;
            for info in set.grantable(who, target, *access) {
                let Some(spec) = &info.grant else { continue };
                if !named(&info.id) || (asked.at_once && !spec.at_once) {
                    continue;
                }
                any = true;
                all = Some(all.map_or_else(|| GrantSpec::clone(spec), |so_far| so_far.strictest(spec)));
                rules.insert(info.id.clone());
            }
            if !any {
                let at_once = if asked.at_once { " at once" } else { "" };
                let why = format!("no rule offers you {} on {}{at_once}", access.as_str(), target.name);
                return Err(problem(403, "Forbidden", &why));
            }
        }
        let spec = all.ok_or_else(|| problem(403, "Forbidden", "no rule offers that"))?;
        Ok((rules.into_iter().collect(), spec))
    }

    async fn request(&self, who: &Identity, mut new: GrantBody) -> Result<Answer, Answer> {
        new.actions.sort_unstable();
        new.actions.dedup();
        let route = self.routes.find(&new.target);
        let route = route.ok_or_else(|| {
            problem(404, "Not Found", "there is no such target, or no rule offers you anything on it")
        })?;
        let (rules, spec) = self.offered(who, &route.target, &new)?;
        let new = NewGrant {
            asker: IdentityParts::clone(who),
            target: route.target.name.as_str().to_owned(),
            protocol: route.target.protocol.to_string(),
            accesses: new.actions,
            rules,
            spec,
            reason: new.reason,
            lasts_s: new.for_s,
            uses: new.uses,
            starts_at: new.starts_at.map(Timestamp::from_unix_s),
            at_once: new.at_once,
        };
        let grant = self.desk.request(new).await.map_err(|no| refused(&no))?;
        noticed(&self.keeper).await;
        Ok(private(201, &grant.view(clock::now())))
    }

    async fn served(&self, request: &Asked, call: GrantCall) -> Result<Answer, Answer> {
        let no = |no| refused(&no);
        let views = |grants: &[Grant]| grants.iter().map(|g| g.view(clock::now())).collect::<Vec<Value>>();
        let who = self.caller(request).await?;
        match call {
            GrantCall::Request(body) => self.request(&who, body).await,
            GrantCall::List(query) => {
                let window = window(query.answered_by, query.since, query.until);
                let before = query.before.as_deref();
                let listed =
                    self.desk.list(&who, query.everybody, !query.all, window.as_ref(), before).await.map_err(no)?;
                let rest = listed.grants.len() > query.limit;
                let shown = listed.grants.get(..query.limit).unwrap_or(&listed.grants);
                let next = if rest { shown.last().map(|g| g.record.id.clone()) } else { listed.next };
                Ok(private(200, &json!({"grants": views(shown), "next": next})))
            }
            GrantCall::Show(id) => {
                let (grant, review) = self.desk.show(&id, &who, false).await.map_err(no)?;
                let now = clock::now();
                let mut view = grant.view(now);
                if let Some(view) = view.as_object_mut() {
                    view.insert("review".to_owned(), review.view(&who, now));
                }
                Ok(private(200, &view))
            }
            GrantCall::Revoke(id, end) => {
                let ended = self.desk.revoke(&id, &who, end.everybody, &end.reason).await;
                noticed(&self.keeper).await;
                Ok(private(200, &ended.map_err(no)?.view(clock::now())))
            }
            GrantCall::RevokeApproved(end) => {
                let window = window(Some(end.answered_by), end.since, end.until).unwrap_or_default();
                let ended = self.desk.revoke_window(&window, &who, end.everybody, &end.reason).await;
                noticed(&self.keeper).await;
                Ok(private(200, &json!({"grants": views(&ended.map_err(no)?)})))
            }
        }
    }
}

impl GrantDoors for GrantCounter {
    fn serve(&self, request: Asked, call: GrantCall) -> BoxFuture<'_, Answer> {
        Box::pin(async move { self.served(&request, call).await.unwrap_or_else(|no| no) })
    }
}
