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
    Action, Attribute, Attributes, Denial, Fingerprint, GATEWAY_TARGET, Identity, RecordLevel, SessionContext,
    SessionId, Shape, Target, TargetName, Timestamp, Use,
};
use countersign_store::{ShortLivedAdded, ShortLivedRecord};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::problem::Problem;
use super::{Desk, Operation, perform};
use crate::identity::{read, single};
use crate::issuer::Answer;
use crate::serve::Peer;

/// The longest query.
const QUERY_BYTES_MAX: usize = 4 * 1024;
/// The longest idempotency key.
const KEY_BYTES_MAX: usize = 255;
/// For how long a request with the same key is the same request.
const KEY_KEPT_US: i64 = 24 * 3600 * 1_000_000;
/// Kept answers at one time; more and keys are refused.
const KEYS_MAX: u32 = 100_000;
/// What is kept while the first request is under way.
const UNDER_WAY: &str = "{}";
/// The longest answer that is kept.
const KEPT_BYTES_MAX: usize = 32 * 1024;
const KEPT_KIND: &str = "api_answer";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request to an operation.
#[derive(Debug)]
pub(crate) struct Call {
    /// Who asks.
    pub(crate) caller: Arc<Identity>,
    /// From where.
    pub(crate) source: SocketAddr,
    /// The session that it is recorded as.
    pub(crate) session: SessionId,
    /// The last part of the path.
    pub(crate) id: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) body: Bytes,
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
        by
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

    /// A parameter that is `true` or `false`.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.parameter(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::bad_request(format!("`{name}` is true or false"))),
        }
    }

    /// Refuses parameters that mean nothing here: one that is misspelt must not be taken for one that is not there.
    pub(crate) fn knows(&self, names: &[&str]) -> Result<(), Problem> {
        match self.query.keys().find(|k| !names.contains(&k.as_str())) {
            Some(_) => Err(Problem::bad_request(format!("there are no parameters but: {}", names.join(", ")))),
            None => Ok(()),
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
pub(crate) async fn serve(desk: Arc<Desk>, operation: Operation, request: Request) -> Response<Body> {
    match served(&desk, &operation, request).await {
        Ok(done) => done.respond(),
        Err(no) => no.respond(),
    }
}

/// A refusal with what belongs to it.
struct No {
    problem: Problem,
    challenge: Option<String>,
}

impl From<Problem> for No {
    fn from(problem: Problem) -> Self {
        Self { problem, challenge: None }
    }
}

impl No {
    fn respond(self) -> Response<Body> {
        let mut response = self.problem.respond();
        if let Some(challenge) = self.challenge.and_then(|c| HeaderValue::from_str(&c).ok()) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// In the words of this API what identity said in those of OAuth.
fn unidentified(answer: Answer) -> No {
    let said: Option<serde_json::Value> = serde_json::from_str(&answer.body).ok();
    let said = said.as_ref().and_then(|v| v.get("error_description")?.as_str());
    let challenge = answer.headers.into_iter().find(|(name, _)| *name == "www-authenticate").map(|(_, value)| value);
    No {
        problem: Problem::with_status(answer.status, said.unwrap_or("there is no credential that is good")),
        challenge,
    }
}

async fn served(desk: &Desk, operation: &Operation, request: Request) -> Result<Done, No> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let encrypted = request.extensions().get::<Peer>().is_some_and(|p| p.encrypted);
    let refused = |(status, why): (StatusCode, &'static str)| No::from(Problem::with_status(status.as_u16(), why));
    let key = single(request.headers(), &IDEMPOTENCY_KEY).map_err(refused)?;
    if query.len() > QUERY_BYTES_MAX {
        return Err(Problem::with_status(414, "the query is too long").into());
    }
    let asked = read(operation.method, &path, request).await.map_err(refused)?;
    let is_json = asked
        .content_type
        .as_deref()
        .is_none_or(|t| t.split(';').next().is_some_and(|t| t.trim() == "application/json"));
    let (source, body) = (asked.source, Bytes::copy_from_slice(asked.body.expose()));
    let caller = desk.callers.identify(asked).await.map_err(unidentified)?;
    if !body.is_empty() && !is_json {
        return Err(Problem::with_status(415, "the body must be application/json").into());
    }
    let now = (desk.clock)();
    let id = path.rsplit('/').next().unwrap_or_default().to_owned();
    let session = SessionId::new(now, rand::random());
    let call = Call { caller, source, session, id, query: parameters(&query)?, body, now };
    let act = begin(desk, operation, &call, &path, &query, encrypted).await?;
    let done = match key {
        None => perform(desk, operation, &call).await,
        Some(key) => once(desk, operation, &call, &key, &path).await,
    };
    let (status, affected, code) = match &done {
        Ok(done) => (OutcomeStatus::Done, done.affected, None),
        Err(problem) => (OutcomeStatus::Failed, 0, Some(problem.status.to_string().into())),
    };
    let outcome = Outcome { affected: Some(affected), code, ..Outcome::of(status) };
    if let Err(denial) = act.finish(&outcome, &Bytes::new(), (desk.clock)()) {
        tracing::error!(error = %denial, detail = denial.detail, %session, "what was done could not be recorded");
    }
    Ok(done?)
}

/// Asks the locks and the gate, and records what is about to be done.
async fn begin(
    desk: &Desk,
    operation: &Operation,
    call: &Call,
    path: &str,
    query: &str,
    encrypted: bool,
) -> Result<Act, No> {
    let target =
        gateway_target().ok_or_else(|| Problem::with_status(500, "internal error: the gateway has no name"))?;
    let what = Lockable { identity: &call.caller, source: call.source, target: &target.name, session: call.session };
    let refuse = |denial: &Denial| {
        tracing::info!(session = %call.session, identity = call.caller.name, operation = operation.name, denial = %denial, "refused");
        No::from(Problem::from(denial))
    };
    if let Some(denial) = desk.locks.keeps_out(&what, call.now) {
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
    let mut attributes = Attributes::new();
    attributes.insert("operation", Attribute::String(operation.name.into()));
    let uses = vec![Use { access: operation.access, attributes }];
    let shape = Shape::new(operation.name, uses, fingerprint(operation.name));
    let separator = if query.is_empty() { "" } else { "?" };
    let mut text = format!("{} {path}{separator}{query}", operation.method).into_bytes();
    if !call.body.is_empty() {
        text.push(b'\n');
        text.extend_from_slice(&call.body);
    }
    let parts = GateParts {
        identity: call.caller.clone(),
        target,
        context: SessionContext {
            id: call.session,
            source: call.source,
            encrypted,
            application: String::new(),
            part: String::new(),
            started_at: call.now,
        },
        policy: desk.policy.clone(),
        alerts: desk.alerts.clone(),
        // What is asked of the gateway itself does not wait.
        reviews: None,
        ask: desk.ask.clone(),
    };
    let action = Action { shape, text: text.into(), parameters: Bytes::new() };
    Act::begin(parts, &*desk.recorder, action, call.now).await.map_err(|denial| refuse(&denial))
}

/// The gateway itself, as policy sees it. What changes it is on the disk before it is done.
fn gateway_target() -> Option<Arc<Target>> {
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

/// A query's parameters, each at most once.
fn parameters(query: &str) -> Result<BTreeMap<String, String>, Problem> {
    let mut all = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if all.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(Problem::bad_request("a parameter is there twice"));
        }
    }
    Ok(all)
}

/// The answer to the first request with this key, for every request with it.
async fn once(desk: &Desk, operation: &Operation, call: &Call, key: &str, path: &str) -> Result<Done, Problem> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Problem::bad_request(format!("an idempotency key has 1 to {KEY_BYTES_MAX} bytes")));
    }
    let unavailable = |e: countersign_store::StoreError| {
        tracing::warn!(error = %e, "an idempotency key could not be looked up");
        Problem::unavailable("the store cannot be asked now: try again with the same key")
    };
    let whose = [&call.caller.issuer, &call.caller.subject, operation.name, key].map(|p| format!("{}:{p}", p.len()));
    let name = hex(&Sha256::digest(whose.concat().as_bytes()));
    let mut said = Sha256::new();
    said.update(path.as_bytes());
    said.update([0]);
    said.update(&call.body);
    let said = hex(&said.finalize());
    let entry = ShortLivedRecord {
        content: UNDER_WAY.to_owned(),
        expires_at: Timestamp::from_unix_us(call.now.unix_us().saturating_add(KEY_KEPT_US)),
        consumed_at: None,
    };
    match desk.store.add_short_lived(KEPT_KIND, &name, &entry, KEYS_MAX, call.now).await.map_err(unavailable)? {
        ShortLivedAdded::Full => {
            return Err(Problem::unavailable("too many idempotency keys are kept: try again without one"));
        }
        ShortLivedAdded::Taken => {
            let kept = desk.store.short_lived(KEPT_KIND, &name).await.map_err(unavailable)?;
            let kept = kept.map(|k| k.content).unwrap_or_default();
            if kept == UNDER_WAY {
                return Err(Problem::conflict("the first request with this idempotency key has no answer yet"));
            }
            let Ok((of, status, body)) = serde_json::from_str::<(String, u16, String)>(&kept) else {
                return Err(Problem::conflict("what was answered to this idempotency key is not known"));
            };
            if of != said {
                return Err(Problem::with_status(422, "this idempotency key was used for another request"));
            }
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            if status.is_success() {
                return Ok(Done { status, body, affected: 0 });
            }
            return Err(serde_json::from_str(&body).unwrap_or_else(|_| Problem::conflict("it failed before")));
        }
        ShortLivedAdded::Kept => {}
    }
    let done = perform(desk, operation, call).await;
    let answer = match &done {
        Ok(done) => Some((done.status.as_u16(), done.body.clone())),
        // What could not be done now may be done later, under another key.
        Err(problem) if problem.status >= 500 => None,
        Err(problem) => Some((problem.status, serde_json::to_string(problem).unwrap_or_default())),
    };
    let kept = answer.filter(|(_, body)| body.len() <= KEPT_BYTES_MAX);
    let kept = kept.and_then(|(status, body)| serde_json::to_string(&(&said, status, body)).ok());
    let kept = kept.unwrap_or_else(|| "[]".to_owned());
    if let Err(e) = desk.store.replace_short_lived(KEPT_KIND, &name, UNDER_WAY, &kept, call.now).await {
        tracing::warn!(error = %e, "the answer to an idempotency key could not be kept");
    }
    done
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
