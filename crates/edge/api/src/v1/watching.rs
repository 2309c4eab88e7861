//! `GET /v1/sessions/{id}/watch`: what a live session's terminal shows, from its beginning on, as server-sent events. It is read from the
//! recording, so that watching costs the session nothing, and nobody sees what is not recorded.
//!
//! While the stream is open, somebody watches: what policy lets run under eyes alone runs. It must never count somebody who may not
//! watch any more, or who does not read.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_enforce::{Act, Outcome, OutcomeStatus, Standing};
use countersign_model::{Access, Decision, Request as Question, SessionId, TargetName, Timestamp};
use countersign_recording::{Record, RecordEntry, RecordFilter, Tail, TailFrom};
use countersign_runtime::{NotWatched, Watching};
use futures_util::stream;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{oneshot, watch};

use super::call::{Call, gateway_target, kept_out, shape_of};
use super::events::Taken;
use super::problem::Problem;
use super::sessions::{not_here, session_id};
use super::{Behind, Caller, Desk};

/// How often it is looked for more.
const POLL: Duration = Duration::from_millis(150);
/// Records that are read at a time.
const RECORDS_MAX: usize = 256;
/// How often something is said, at least, so that it is noticed that somebody is gone.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// How often it is asked whether somebody may still watch.
const RIGHTS_EVERY: Duration = Duration::from_secs(5);
/// Who takes nothing for so long does not watch.
const TAKES_WITHIN: Duration = Duration::from_secs(10);

/// What the operation needs: it shows what others see, and may let them go on.
pub(super) const ACCESS: Access = Access::Admin;
/// Its name.
pub(super) const NAME: &str = "sessions.watch";

/// What a stream and its guard share.
struct Shared {
    /// When something was taken last.
    taken: Mutex<Instant>,
    /// True once they may not watch any more.
    over: watch::Sender<bool>,
}

/// One stream.
struct Stream {
    tail: Option<Tail>,
    shared: Arc<Shared>,
    greeting: Option<String>,
    said: Instant,
    closed: bool,
    _place: Taken,
    /// Dropping it tells the guard.
    _here: oneshot::Sender<()>,
}

/// Begins to watch; what it comes to is recorded when it ends.
pub(crate) async fn stream(
    desk: Arc<Desk>,
    behind: &Behind,
    call: Call,
    act: Option<Act>,
) -> Result<Response<Body>, Problem> {
    let (place, watching, tail, greeting) = match open(&desk, behind, &call).await {
        Ok(opened) => opened,
        Err(problem) => {
            let code = Some(problem.status.to_string().into());
            finish(&desk, act, &Outcome { code, ..Outcome::of(OutcomeStatus::Failed) });
            return Err(problem);
        }
    };
    let shared = Arc::new(Shared { taken: Mutex::new(Instant::now()), over: watch::Sender::new(false) });
    let (here, gone) = oneshot::channel();
    tokio::spawn(guard(desk, call, (watching, act), shared.clone(), gone));
    let one = Stream {
        tail: Some(tail),
        shared,
        greeting: Some(greeting),
        said: Instant::now(),
        closed: false,
        _place: place,
        _here: here,
    };
    let parts = stream::unfold(one, |mut one| async move {
        let text = one.wait().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), one))
    });
    let mut response = Response::new(Body::from_stream(parts));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

type Opened = (Taken, Watching, Tail, String);

async fn open(desk: &Desk, behind: &Behind, call: &Call) -> Result<Opened, Problem> {
    let id = session_id(&call.id)?;
    let full = || Problem::unavailable("too many watch already: ask again later");
    let place = behind.hub.take(&call.caller.issuer, &call.caller.subject)?;
    let found = desk.sessions.sessions().into_iter().find(|s| s.id == id).ok_or_else(not_here)?;
    // A program with somebody's key is not that person's eyes.
    let watching = desk.sessions.watch(id, &call.caller, call.key.is_none()).map_err(|why| match why {
        NotWatched::NoSession => not_here(),
        NotWatched::Full => full(),
    })?;
    let (target, since) = (found.target.name.clone(), found.since);
    let reader = desk.recordings.clone();
    let tail = tokio::task::spawn_blocking(move || reader.tail(&filter(id, target), TailFrom::Time(since)));
    let tail = tail.await.ok().and_then(Result::ok).ok_or_else(unread)?;
    let about = json!({
        "session": id.to_string(), "identity": found.identity.name, "target": found.target.name.as_str(),
        "protocol": &*found.target.protocol,
    });
    Ok((place, watching, tail, written("watching", &about)))
}

fn filter(session: SessionId, target: TargetName) -> RecordFilter {
    RecordFilter { session: Some(session), target: Some(target), ..RecordFilter::default() }
}

fn unread() -> Problem {
    Problem::unavailable("the recording cannot be read now")
}

fn written(kind: &str, data: &serde_json::Value) -> String {
    format!("event: {kind}\ndata: {data}\n\n")
}

/// Ends the watch when they are gone, take nothing, or may not any more.
async fn guard(
    desk: Arc<Desk>,
    call: Call,
    (watching, act): (Watching, Option<Act>),
    shared: Arc<Shared>,
    mut gone: oneshot::Receiver<()>,
) {
    loop {
        if tokio::time::timeout(RIGHTS_EVERY, &mut gone).await.is_ok() {
            break;
        }
        if shared.taken.lock().elapsed() > TAKES_WITHIN || !may(&desk, &call, (desk.clock)()).await {
            break;
        }
    }
    drop(watching);
    shared.over.send_replace(true);
    finish(&desk, act, &Outcome::of(OutcomeStatus::Done));
}

fn finish(desk: &Desk, act: Option<Act>, outcome: &Outcome) {
    if let Some(Err(denial)) = act.map(|act| act.finish(outcome, &Bytes::new(), (desk.clock)())) {
        tracing::error!(error = %denial, detail = denial.detail, "who watched could not be recorded");
    }
}

/// Whether the caller may still watch. What cannot be told now is no yes.
async fn may(desk: &Desk, call: &Call, now: Timestamp) -> bool {
    let Some(target) = gateway_target() else { return false };
    if kept_out(desk, call, &target, now).is_some() || call.caller.expires_at <= now {
        return false;
    }
    let caller = Caller { identity: call.caller.clone(), key: call.key.clone() };
    if desk.callers.standing(&caller, now).await != Standing::Stands {
        return false;
    }
    let (context, shape) = (call.context(), shape_of(NAME, ACCESS));
    let question = Question { identity: &call.caller, target: &target, session: &context, shape: &shape, now };
    desk.policy.evaluate(&question).decision == Decision::Allow
}

impl Stream {
    /// What is said next; `None` when it is over.
    async fn wait(&mut self) -> Option<String> {
        *self.shared.taken.lock() = Instant::now();
        let mut over = self.shared.over.subscribe();
        if self.closed || *over.borrow() {
            return None;
        }
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            let mut tail = self.tail.take()?;
            let read = tokio::task::spawn_blocking(move || (tail.poll(RECORDS_MAX), tail)).await;
            let (records, tail) = read.ok()?;
            self.tail = Some(tail);
            let records = match records {
                Ok(records) => records,
                Err(error) => {
                    tracing::warn!(%error, "a watched session's recording cannot be read");
                    return None;
                }
            };
            let text = self.text(records);
            if !text.is_empty() {
                self.said = Instant::now();
                return Some(text);
            }
            if self.said.elapsed() >= SIGN_OF_LIFE {
                self.said = Instant::now();
                return Some(": \n\n".to_owned());
            }
            if tokio::time::timeout(POLL, over.wait_for(|over| *over)).await.is_ok() {
                return None;
            }
        }
    }

    fn text(&mut self, records: Vec<Record>) -> String {
        let mut text = String::new();
        for Record { at, entry, .. } in records {
            let at_us = at.unix_us();
            let said = match entry {
                RecordEntry::Output { seq, bytes } => {
                    written("output", &json!({ "seq": seq, "at_us": at_us, "bytes_base64": STANDARD.encode(bytes) }))
                }
                RecordEntry::Intent(intent) => {
                    let what = String::from_utf8_lossy(&intent.text);
                    let decision = intent.definition.verdict.decision;
                    written("action", &json!({ "seq": intent.seq, "at_us": at_us, "text": what, "decision": decision }))
                }
                RecordEntry::Outcome(outcome) => {
                    written("outcome", &json!({ "seq": outcome.seq, "at_us": at_us, "status": outcome.status }))
                }
                RecordEntry::Closed(closed) => {
                    self.closed = true;
                    written("closed", &json!({ "at_us": at_us, "reason": closed.reason }))
                }
                RecordEntry::Abandoned => {
                    self.closed = true;
                    written("closed", &json!({ "at_us": at_us, "reason": "failed" }))
                }
                _ => continue,
            };
            let _ = text.write_str(&said);
        }
        text
    }
}
