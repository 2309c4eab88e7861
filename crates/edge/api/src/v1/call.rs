//! The way of one request: who asks, whether a lock keeps them out, what they may, the record; then it is done.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use countersign_enforce::{Act, GateParts, Lockable, Locks as _, Outcome, OutcomeStatus};
use countersign_model::{
    Access, Action, Attribute, Attributes, Decision, Denial, Effects, Fingerprint, GATEWAY_TARGET, Identity,
    IdentityParts, Policy, RecordLevel, Request as Question, RuleId, Secret, SessionContext, SessionId, Shape, Target,
    TargetName, Timestamp, Use, Verdict,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::once::once;
use super::operation::{Operation, Place, Who};
use super::problem::Problem;
use super::table::SECONDS_MAX;
use super::{Behind, Caller, CallerKey, Desk, events, perform, watching};
use crate::identity::{DoorRequest, read, single};
use crate::issuer::Answer;
use crate::serve::Peer;

/// The longest query.
const QUERY_BYTES_MAX: usize = 4 * 1024;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request to an operation.
#[derive(Debug)]
pub(crate) struct Call {
    /// Who asks.
    pub(crate) caller: Arc<Identity>,
    /// The API key that they came with.
    pub(crate) key: Option<Arc<CallerKey>>,
    /// From where.
    pub(crate) source: SocketAddr,
    /// The session that it is recorded as.
    pub(crate) session: SessionId,
    /// The path, without a query.
    pub(crate) path: String,
    /// What stands for `{id}` in it.
    pub(crate) id: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) body: Bytes,
    /// Whether the connection is.
    pub(crate) encrypted: bool,
    /// Whether a page of the console asks, for whoever is signed in there.
    pub(crate) in_console: bool,
    pub(crate) now: Timestamp,
}

impl Call {
    /// Whom to name as the one who did it.
    pub(crate) fn by(&self) -> String {
        let c = &self.caller;
        let mut by = format!("{} ({}#{})", c.name, c.issuer, c.subject);
        for actor in &c.delegation {
            by.push_str(&format!(" through {} ({}#{})", actor.name, actor.issuer, actor.subject));
        }
        if let Some(key) = &self.key {
            by.push_str(&format!(" with API key {} ({})", key.id, key.name));
        }
        by
    }

    /// The session, as policy sees it.
    pub(crate) fn context(&self) -> SessionContext {
        SessionContext {
            id: self.session,
            source: self.source,
            encrypted: self.encrypted,
            application: String::new(),
            part: String::new(),
            started_at: self.now,
        }
    }

    /// The body as JSON of this shape.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|e| Problem::bad_request(format!("the body cannot be read: {e}")))
    }

    /// A parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// `limit`, from 1 to `most`.
    pub(crate) fn limit(&self, usual: usize, most: usize) -> Result<usize, Problem> {
        match self.parameter("limit") {
            None => Ok(usual),
            Some(text) => text
                .parse()
                .ok()
                .filter(|n| (1..=most).contains(n))
                .ok_or_else(|| Problem::bad_request(format!("`limit` is a number from 1 to {most}"))),
        }
    }

    /// A parameter that is a moment, in seconds since the Unix epoch.
    pub(crate) fn seconds(&self, name: &str) -> Result<Option<i64>, Problem> {
        let wrong = || Problem::bad_request(format!("`{name}` is a number of seconds from 0 to {SECONDS_MAX}"));
        let fits = |s: &i64| (0..=SECONDS_MAX).contains(s);
        self.parameter(name).map(|text| text.parse().ok().filter(fits).ok_or_else(wrong)).transpose()
    }

    /// A parameter that is `true` or `false`.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.parameter(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::bad_request(format!("`{name}` is true or false"))),
        }
    }

    /// Whether it is about more than what is the caller's own: in the query of what reads, in the body of what changes.
    fn is_about_everybody(&self, operation: &Operation) -> Result<bool, Problem> {
        #[derive(Deserialize)]
        struct Reach {
            #[serde(default)]
            everybody: bool,
        }
        if operation.changes { self.json().map(|r: Reach| r.everybody) } else { self.flag("everybody") }
    }

    /// The body as a door of its own takes it: who asks is known by now, and by what is nobody's business any more.
    pub(crate) fn door_request(&self, operation: &Operation) -> DoorRequest {
        DoorRequest {
            method: operation.method,
            path: self.path.clone(),
            authorization: None,
            dpop: None,
            content_type: Some("application/json".to_owned()),
            body: Secret::new(self.body.to_vec()),
            certificate: Vec::new(),
            source: self.source,
            known: Some(self.caller.clone()),
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
    /// Things changed.
    pub(crate) affected: u64,
}

impl Done {
    /// A value as JSON.
    pub(crate) fn json(status: StatusCode, value: &impl serde::Serialize, affected: u64) -> Result<Self, Problem> {
        let body = serde_json::to_string(value)
            .map_err(|_| Problem::with_status(500, "internal error: the answer cannot be written"))?;
        Ok(Self { status, body, affected })
    }

    fn respond(self) -> Response<Body> {
        let mut response = (self.status, self.body).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// Serves one request.
pub(crate) async fn serve(
    desk: Arc<Desk>,
    behind: Behind,
    operation: &'static Operation,
    request: Request,
) -> Response<Body> {
    match served(&desk, &behind, operation, request).await {
        Ok(Said::Done(done)) => done.respond(),
        Ok(Said::Stream(response)) => response,
        Err(no) => no.respond(),
    }
}

/// What came of a request.
enum Said {
    /// All of it.
    Done(Done),
    /// It goes on.
    Stream(Response<Body>),
}

/// A refusal with what belongs to it.
pub(crate) struct No {
    problem: Problem,
    challenge: Option<String>,
}

impl From<Problem> for No {
    fn from(problem: Problem) -> Self {
        Self { problem, challenge: None }
    }
}

impl No {
    pub(crate) fn respond(self) -> Response<Body> {
        let mut response = self.problem.respond();
        if let Some(challenge) = self.challenge.and_then(|c| HeaderValue::from_str(&c).ok()) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// In the words of this API what identity said in those of OAuth.
pub(crate) fn unidentified(answer: Answer) -> No {
    let said: Option<serde_json::Value> = serde_json::from_str(&answer.body).ok();
    let said = said.as_ref().and_then(|v| v.get("error_description")?.as_str());
    let challenge = answer.headers.into_iter().find(|(name, _)| *name == "www-authenticate").map(|(_, value)| value);
    No {
        problem: Problem::with_status(answer.status, said.unwrap_or("there is no credential that is good")),
        challenge,
    }
}

async fn served(desk: &Arc<Desk>, behind: &Behind, operation: &Operation, request: Request) -> Result<Said, No> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let encrypted = request.extensions().get::<Peer>().is_some_and(|p| p.encrypted);
    let refused = |(status, why): (StatusCode, &'static str)| No::from(Problem::with_status(status.as_u16(), why));
    let key = single(request.headers(), &IDEMPOTENCY_KEY).map_err(refused)?;
    let last_event = single(request.headers(), &LAST_EVENT_ID).map_err(refused)?;
    if query.len() > QUERY_BYTES_MAX {
        return Err(Problem::with_status(414, "the query is too long").into());
    }
    let asked = read(operation.method, &path, operation.body_bytes_max, request).await.map_err(refused)?;
    let is_json = asked
        .content_type
        .as_deref()
        .is_none_or(|t| t.split(';').next().is_some_and(|t| t.trim() == "application/json"));
    let in_console = asked.known.is_some();
    let (source, body) = (asked.source, Bytes::copy_from_slice(asked.body.expose()));
    let Caller { identity: caller, key: by } = desk.callers.identify(asked).await.map_err(unidentified)?;
    if !body.is_empty() && !is_json {
        return Err(Problem::with_status(415, "the body must be application/json").into());
    }
    let now = (desk.clock)();
    let place = operation.path.split('/').position(|part| part == "{id}");
    let id = place.and_then(|n| path.split('/').nth(n)).unwrap_or_default().to_owned();
    let session = SessionId::new(now, rand::random());
    let parameters = parameters(operation, &query)?;
    let call = Call { caller, key: by, source, session, path, id, query: parameters, body, encrypted, in_console, now };
    if operation.told_once && key.is_some() {
        let why = "what this answers is told once: it takes no idempotency key, which would keep it";
        return Err(Problem::bad_request(why).into());
    }
    let act = begin(desk, operation, &call, &query).await?;
    if operation.name == "events.watch" {
        let response = events::stream(desk.clone(), behind.clone(), call, last_event).await?;
        return Ok(Said::Stream(response));
    }
    if operation.name == watching::NAME {
        return Ok(Said::Stream(watching::stream(desk.clone(), behind, call, act).await?));
    }
    let done = match key.filter(|_| operation.takes_key()) {
        None => perform(desk, behind, operation, &call).await,
        Some(key) => once(desk, behind, operation, &call, &key).await,
    };
    let Some(act) = act else { return Ok(Said::Done(done?)) };
    let (status, affected, code) = match &done {
        Ok(done) => (OutcomeStatus::Done, done.affected, None),
        Err(problem) => (OutcomeStatus::Failed, 0, Some(problem.status.to_string().into())),
    };
    let outcome = Outcome { affected: Some(affected), code, ..Outcome::of(status) };
    if let Err(denial) = act.finish(&outcome, &Bytes::new(), (desk.clock)()) {
        tracing::error!(error = %denial, detail = denial.detail, %session, "what was done could not be recorded");
    }
    Ok(Said::Done(done?))
}

/// Why locks keep the caller out, if they do; also one on the credential with which the API key was made that they came with.
pub(crate) fn kept_out(desk: &Desk, call: &Call, target: &Target, now: Timestamp) -> Option<Denial> {
    let keeps_out = |identity: &IdentityParts| {
        let what = Lockable { identity, source: call.source, target: &target.name, session: call.session };
        desk.locks.keeps_out(&what, now)
    };
    keeps_out(&call.caller).or_else(|| keeps_out(&call.key.as_ref()?.made_with))
}

/// Asks the locks, the scope of an API key and the gate, and records what is about to be done. What everybody may read who is known is not recorded.
async fn begin(desk: &Desk, operation: &Operation, call: &Call, query: &str) -> Result<Option<Act>, No> {
    let target =
        gateway_target().ok_or_else(|| Problem::with_status(500, "internal error: the gateway has no name"))?;
    let refuse = |denial: &Denial| {
        tracing::info!(session = %call.session, identity = call.caller.name, operation = operation.name, denial = %denial, "refused");
        No::from(Problem::from(denial))
    };
    let beyond = || call.key.as_ref()?.refuses(operation);
    if let Some(denial) = kept_out(desk, call, &target, call.now).or_else(beyond) {
        let refused = countersign_enforce::Refused {
            id: call.session,
            at: call.now,
            source: call.source,
            protocol: GATEWAY_TARGET,
            user: &call.caller.name,
            target: GATEWAY_TARGET,
            denial: &denial,
        };
        if let Err(e) = desk.recorder.refused(&refused) {
            tracing::error!(error = %e, detail = e.detail, "a refusal could not be recorded");
        }
        return Err(refuse(&denial));
    }
    let (access, policy): (Access, Arc<dyn Policy>) = match operation.who {
        Who::Policy(access) => (access, desk.policy.clone()),
        Who::Own(access) if call.is_about_everybody(operation)? => (access, desk.policy.clone()),
        Who::Console if !call.in_console => {
            let why = "this is done in the console, by whoever is signed in there";
            return Err(Problem::with_status(403, why).into());
        }
        Who::Known | Who::Console | Who::Anyone | Who::Own(_) if operation.changes => {
            (Access::Execute, Arc::new(Everybody))
        }
        Who::Known | Who::Console | Who::Anyone | Who::Own(_) => return Ok(None),
    };
    let shape = shape_of(operation.name, access);
    let separator = if query.is_empty() { "" } else { "?" };
    let mut text = format!("{} {}{separator}{query}", operation.method, call.path).into_bytes();
    if !call.body.is_empty() {
        text.push(b'\n');
        text.extend_from_slice(&told(operation, &call.body));
    }
    let parts = GateParts {
        identity: call.caller.clone(),
        target,
        context: call.context(),
        policy,
        alerts: desk.alerts.clone(),
        // What is asked of the gateway itself does not wait.
        reviews: None,
        ask: desk.ask.clone(),
    };
    let action = Action { shape, text: text.into(), parameters: Bytes::new() };
    Act::begin(parts, &*desk.recorder, action, call.now).await.map(Some).map_err(|denial| refuse(&denial))
}

/// Of what everybody may ask who is known: whether it is done follows from what it is about, such as a review, and is decided there.
struct Everybody;

impl Policy for Everybody {
    fn evaluate(&self, _: &Question<'_>) -> Arc<Verdict> {
        Arc::new(Verdict {
            decision: Decision::Allow,
            effects: Effects::default(),
            rules: vec![RuleId::new("known")],
            reason: None,
            denied_for: Vec::new(),
            epoch: self.epoch(),
        })
    }

    fn epoch(&self) -> u64 {
        0
    }
}

/// A body as it is recorded: without what the operation hides. What cannot be read is not recorded where something has to be hidden.
fn told(operation: &Operation, body: &Bytes) -> Bytes {
    if operation.hides.is_empty() {
        return body.clone();
    }
    let Ok(mut said) = serde_json::from_slice::<serde_json::Value>(body) else {
        return Bytes::from_static(b"(not recorded: it cannot be read)");
    };
    hide(&mut said, operation.hides);
    Bytes::from(said.to_string())
}

fn hide(value: &mut serde_json::Value, names: &[&str]) {
    match value {
        serde_json::Value::Object(members) => members.iter_mut().for_each(|(name, member)| {
            if names.contains(&name.as_str()) {
                *member = "(not recorded)".into();
            } else {
                hide(member, names);
            }
        }),
        serde_json::Value::Array(all) => all.iter_mut().for_each(|one| hide(one, names)),
        _ => {}
    }
}

/// An operation, as policy sees it.
pub(crate) fn shape_of(name: &'static str, access: Access) -> Arc<Shape> {
    let mut attributes = Attributes::new();
    attributes.insert("operation", Attribute::String(name.into()));
    Shape::new(name, vec![Use { access, attributes }], fingerprint(name))
}

/// The gateway itself, as policy sees it. What changes it is on the disk before it is done.
pub(crate) fn gateway_target() -> Option<Arc<Target>> {
    Some(Arc::new(Target {
        name: TargetName::parse(GATEWAY_TARGET)?,
        protocol: GATEWAY_TARGET.into(),
        labels: BTreeMap::new(),
        record: RecordLevel::Statements,
        durable: true,
        tagging: Arc::default(),
    }))
}

fn fingerprint(name: &str) -> Fingerprint {
    let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    let mut first = [0; 16];
    first.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    Fingerprint(u128::from_be_bytes(first))
}

/// A query's parameters, each at most once. One that is misspelt must not be taken for one that is not there.
fn parameters(operation: &Operation, query: &str) -> Result<BTreeMap<String, String>, Problem> {
    let mut all = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if !operation.knows(&name) {
            let known = operation.parameters.iter().filter(|p| p.place == Place::Query).map(|p| p.name);
            let known = known.collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none".to_owned() } else { known };
            return Err(Problem::bad_request(format!(
                "there are no such parameters; those of this operation: {known}"
            )));
        }
        if all.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(Problem::bad_request("a parameter is there twice"));
        }
    }
    Ok(all)
}
