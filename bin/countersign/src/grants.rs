//! What fits grants to policy, to locks and to their HTTP doors. It must never give anybody more than the rules offer.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use countersign_api::{Answer, DoorRequest as Asked, GrantCall, GrantDoors};
use countersign_approvals::{Grant, GrantDesk, GrantKeeper, NewGrant};
use countersign_enforce::{Act, BoxFuture, GateParts, Lockable, Locks, Outcome, OutcomeStatus, Recorder};
use countersign_identity::IdentityService;
use countersign_locks::LockService;
use countersign_model::{
    Access, Action, Attribute, Attributes, Denial, Fingerprint, GATEWAY_TARGET, GrantSpec, Identity, IdentityParts,
    RecordLevel, RuleId, SessionContext, SessionId, Shape, Target, TargetName, Timestamp, Use,
};
use countersign_policy::PolicyStore;
use countersign_runtime::{RouteTable, Targets as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::adapters::LoggedAlerts;
use crate::clock;
use crate::reviews::{caller, json_body, private, problem, refused, window};

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
    pub(crate) recorder: Arc<dyn Recorder>,
}

/// What somebody asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    target: String,
    actions: Vec<Access>,
    reason: String,
    rule: Option<String>,
    for_s: Option<u64>,
    uses: Option<u32>,
    /// Seconds since the Unix epoch.
    starts_at: Option<i64>,
    #[serde(default)]
    at_once: bool,
}

/// Why a grant is to end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    reason: String,
    #[serde(default)]
    everybody: bool,
}

/// Why the grants are to end that somebody approved in a window of time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndWindow {
    answered_by: String,
    since: Option<i64>,
    until: Option<i64>,
    reason: String,
    #[serde(default)]
    everybody: bool,
}

fn body<T: DeserializeOwned>(request: &Asked) -> Result<T, Answer> {
    serde_json::from_slice(json_body(request)?).map_err(|e| problem(400, "Bad Request", &format!("the body: {e}")))
}

/// What somebody does to what is not theirs, judged and recorded as an action on the gateway.
struct Judged(Option<Act>);

impl Judged {
    fn finish(self, affected: u64) {
        let outcome = Outcome { affected: Some(affected), ..Outcome::of(OutcomeStatus::Done) };
        if let Some(act) = self.0
            && let Err(denial) = act.finish(&outcome, &Bytes::new(), clock::now())
        {
            tracing::error!(error = %denial, detail = denial.detail, "what was done could not be recorded");
        }
    }
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

    /// Lets somebody look at or end what is not theirs, where policy does.
    async fn judged(
        &self,
        request: &Asked,
        who: &Arc<Identity>,
        operation: &'static str,
        access: Access,
        everybody: bool,
    ) -> Result<Judged, Answer> {
        if !everybody {
            return Ok(Judged(None));
        }
        let now = clock::now();
        let mut attributes = Attributes::new();
        attributes.insert("operation", Attribute::String(operation.into()));
        let shape = Shape::new(operation, vec![Use { access, attributes }], Fingerprint(0));
        let mut text = format!("{} {}", request.method, request.path).into_bytes();
        if !request.body.expose().is_empty() {
            text.push(b'\n');
            text.extend_from_slice(request.body.expose());
        }
        let name = TargetName::parse(GATEWAY_TARGET)
            .ok_or_else(|| problem(500, "Internal Server Error", "the gateway has no name"))?;
        let parts = GateParts {
            identity: who.clone(),
            target: Arc::new(Target {
                name,
                protocol: GATEWAY_TARGET.into(),
                labels: Default::default(),
                record: RecordLevel::Statements,
                durable: true,
                tagging: Arc::default(),
            }),
            context: SessionContext {
                id: SessionId::new(now, rand::random()),
                source: request.source,
                encrypted: !request.certificate.is_empty(),
                application: String::new(),
                part: String::new(),
                started_at: now,
            },
            policy: self.policy.clone(),
            alerts: Arc::new(LoggedAlerts),
            reviews: None,
            ask: None,
        };
        let action = Action { shape, text: text.into(), parameters: Bytes::new() };
        let act = Act::begin(parts, &*self.recorder, action, now).await;
        let act = act.map_err(|denial| problem(403, "Forbidden", denial.message.as_str()))?;
        Ok(Judged(Some(act)))
    }

    /// What the rules offer of what is asked for.
    fn offered(&self, who: &Identity, target: &Target, asked: &Body) -> Result<(Vec<RuleId>, GrantSpec), Answer> {
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

    async fn request(&self, request: &Asked) -> Result<Answer, Answer> {
        let who = self.caller(request).await?;
        let mut new: Body = body(request)?;
        new.actions.sort_unstable();
        new.actions.dedup();
        let route = self.routes.find(&new.target);
        let route = route.ok_or_else(|| {
            problem(404, "Not Found", "there is no such target, or no rule offers you anything on it")
        })?;
        let (rules, spec) = self.offered(&who, &route.target, &new)?;
        let new = NewGrant {
            asker: IdentityParts::clone(&who),
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
        match call {
            GrantCall::Request => self.request(request).await,
            GrantCall::List(query) => {
                let who = self.caller(request).await?;
                let act = self.judged(request, &who, "grants.list", Access::Read, query.everybody).await?;
                let window = window(query.answered_by, query.since, query.until);
                let before = query.before.as_deref();
                let listed =
                    self.desk.list(&who, query.everybody, !query.all, window.as_ref(), before).await.map_err(no)?;
                act.finish(0);
                Ok(private(200, &json!({"grants": views(&listed.grants), "next": listed.next})))
            }
            GrantCall::Show(id) => {
                let who = self.caller(request).await?;
                let (grant, review) = self.desk.show(&id, &who, false).await.map_err(no)?;
                let now = clock::now();
                let mut view = grant.view(now);
                if let Some(view) = view.as_object_mut() {
                    view.insert("review".to_owned(), review.view(&who, now));
                }
                Ok(private(200, &view))
            }
            GrantCall::Revoke(id) => {
                let who = self.caller(request).await?;
                let end: End = body(request)?;
                let act = self.judged(request, &who, "grants.revoke", Access::Admin, end.everybody).await?;
                let ended = self.desk.revoke(&id, &who, end.everybody, &end.reason).await;
                noticed(&self.keeper).await;
                act.finish(u64::from(ended.is_ok()));
                Ok(private(200, &ended.map_err(no)?.view(clock::now())))
            }
            GrantCall::RevokeWindow => {
                let who = self.caller(request).await?;
                let end: EndWindow = body(request)?;
                let act = self.judged(request, &who, "grants.revoke", Access::Admin, end.everybody).await?;
                let window = window(Some(end.answered_by), end.since, end.until).unwrap_or_default();
                let ended = self.desk.revoke_window(&window, &who, end.everybody, &end.reason).await;
                noticed(&self.keeper).await;
                act.finish(ended.as_ref().map_or(0, |e| e.len() as u64));
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
