//! Requests that may come twice: the answer to the first one with a key is the answer to all with it.
//!
//! It must never do something a second time because an answer got lost, nor give one caller what another was answered.

use axum::http::StatusCode;
use countersign_model::Timestamp;
use countersign_store::{ShortLivedAdded, ShortLivedRecord};
use sha2::{Digest as _, Sha256};

use super::call::{Call, Done};
use super::operation::Operation;
use super::problem::Problem;
use super::{Behind, Desk, perform};

/// The longest idempotency key.
pub(crate) const KEY_BYTES_MAX: usize = 255;
/// For how long a request with the same key is the same request.
const KEY_KEPT_US: i64 = 24 * 3600 * 1_000_000;
/// Kept answers at one time; more and keys are refused.
const KEYS_MAX: u32 = 100_000;
/// What is kept while the first request is under way.
const UNDER_WAY: &str = "{}";
/// The longest answer that is kept.
const KEPT_BYTES_MAX: usize = 32 * 1024;
const KEPT_KIND: &str = "api_answer";

/// The answer to the first request with this key, for every request with it.
pub(crate) async fn once(
    desk: &Desk,
    behind: &Behind,
    operation: &Operation,
    call: &Call,
    key: &str,
) -> Result<Done, Problem> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Problem::bad_request(format!(
            "an idempotency key has 1 to {KEY_BYTES_MAX} characters of ASCII, and no blanks"
        )));
    }
    let unavailable = |e: countersign_store::StoreError| {
        tracing::warn!(error = %e, "an idempotency key could not be looked up");
        Problem::unavailable("the store cannot be asked now: try again with the same key")
    };
    let whose = [&call.caller.issuer, &call.caller.subject, operation.name, key].map(|p| format!("{}:{p}", p.len()));
    let name = hex(&Sha256::digest(whose.concat().as_bytes()));
    let mut said = Sha256::new();
    said.update(call.path.as_bytes());
    for (parameter, value) in &call.query {
        said.update(format!("\0{}:{parameter}{}:{value}", parameter.len(), value.len()).as_bytes());
    }
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
    let done = perform(desk, behind, operation, call).await;
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
