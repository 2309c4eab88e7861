//! Asks a Kubernetes cluster whether it still stands behind a service-account token: its pod or account may be gone before the token ends.
//!
//! A TokenReview (`authentication.k8s.io/v1`) takes the token itself, so that tokens of live sessions are kept, in memory, wiped when they
//! are dropped, and never beyond their end. Must never log one, send one elsewhere than to the configured cluster, nor take a missing
//! answer for a yes unless that was configured.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use countersign_model::{Identity, Secret, Timestamp};
use parking_lot::Mutex;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::config::{IssuerConfig, OnUnreachable, TokenReviewConfig};
use crate::confirmation::bound_audience;
use crate::fetch::{self, Fetcher, NoReply};
use crate::login::digest_of;
use crate::token::shown;
use crate::{Rejection, strict_json};

/// For how long an answer does for further connections with the same token, in seconds.
const ANSWER_KEPT_S: u64 = 10;
/// After this time the cluster is asked again about the token of a live session, in seconds.
pub const REVIEWED_AGAIN_S: u64 = 60;
/// The most tokens that are kept to be asked about again; with more live ones, no further one is accepted.
pub const HELD_MAX: usize = 16_384;
/// The most questions to a cluster at one time; further ones wait.
const QUESTIONS_MAX: usize = 32;
/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The longest token to ask with, in bytes.
const OWN_TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Where reviews are asked for, under the address of the API server.
const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const API_VERSION: &str = "authentication.k8s.io/v1";

/// What a token is asked about.
#[derive(Clone)]
struct Question {
    token: Arc<Secret>,
    subject: String,
    uid: Option<String>,
    audiences: Vec<String>,
}

/// A token that may be asked about again.
#[derive(Clone)]
struct Held {
    question: Question,
    ends: Timestamp,
    asked: Timestamp,
    refused: Option<String>,
}

/// Why there is no answer.
enum NoAnswer {
    /// The cluster cannot be reached, or has trouble of its own.
    Unreachable(String),
    /// It can, and does not answer the question.
    Unusable(String),
    /// It does not vouch.
    Refused(String),
}

/// The cluster behind one issuer.
pub(crate) struct TokenReview {
    label: String,
    config: TokenReviewConfig,
    address: String,
    fetcher: Fetcher,
    questions: Semaphore,
    held: Mutex<HashMap<String, Held>>,
}

impl TokenReview {
    pub(crate) fn new(label: &str, config: &TokenReviewConfig) -> Result<Self, String> {
        fetch::check_url(&config.url)?;
        Ok(Self {
            label: label.to_owned(),
            config: config.clone(),
            address: format!("{}{PATH}", config.url.trim_end_matches('/')),
            fetcher: Fetcher::new(&config.url, config.ca_file.as_deref())?,
            questions: Semaphore::new(QUESTIONS_MAX),
            held: Mutex::default(),
        })
    }

    /// Whether the cluster stands behind a token that was just verified. Keeps it, to ask again.
    pub(crate) async fn vouch(
        &self,
        c: &IssuerConfig,
        token: &str,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let key = key_of(&identity.claims);
        let known = self.held.lock().get(&key).map(|h| (h.asked, h.refused.clone()));
        match known {
            Some((_, Some(why))) => return Err(Rejection::NotVouched(why)),
            Some((asked, None)) if is_fresh(asked, now, ANSWER_KEPT_S) => return Ok(()),
            _ => {}
        }
        let question = Question {
            token: Arc::new(Secret::from(token.to_owned())),
            subject: identity.subject.clone(),
            uid: text(&identity.claims, "kubernetes_serviceaccount_uid"),
            audiences: audiences(c, identity.claims.get("aud")),
        };
        let outcome = self.settle(self.ask(&question).await);
        match &outcome {
            Ok(()) => self.hold(&key, Held { question, ends: identity.expires_at, asked: now, refused: None }, now)?,
            Err(rejection) => self.note_refusal(&key, rejection),
        }
        outcome
    }

    /// Whether the cluster still stands behind the token that an identity came from. When that token has ended, or is known to another
    /// gateway alone, nobody can ask: then the last answer holds.
    pub(crate) async fn standing(&self, claims: &BTreeMap<String, Value>, now: Timestamp) -> Result<(), Rejection> {
        let key = key_of(claims);
        let Some(held) = self.held.lock().get(&key).cloned() else { return Ok(()) };
        if let Some(why) = held.refused {
            return Err(Rejection::NotVouched(why));
        }
        if now >= held.ends || is_fresh(held.asked, now, REVIEWED_AGAIN_S) {
            return Ok(());
        }
        let outcome = self.settle(self.ask(&held.question).await);
        match &outcome {
            Ok(()) => {
                if let Some(held) = self.held.lock().get_mut(&key) {
                    held.asked = now;
                }
            }
            Err(rejection) => self.note_refusal(&key, rejection),
        }
        outcome
    }

    fn settle(&self, answer: Result<(), NoAnswer>) -> Result<(), Rejection> {
        let unavailable = |why: String| Rejection::ReviewUnavailable { issuer: self.label.clone(), why };
        match answer {
            Ok(()) => Ok(()),
            Err(NoAnswer::Refused(why)) => Err(Rejection::NotVouched(why)),
            Err(NoAnswer::Unreachable(why)) if self.config.on_unreachable == OnUnreachable::Accept => {
                tracing::warn!(issuer = %self.label, why, "the cluster could not be asked: the token goes by its signature alone");
                Ok(())
            }
            Err(NoAnswer::Unreachable(why) | NoAnswer::Unusable(why)) => Err(unavailable(why)),
        }
    }

    /// Makes room by what has ended, never by what has not.
    fn hold(&self, key: &str, new: Held, now: Timestamp) -> Result<(), Rejection> {
        let mut held = self.held.lock();
        if held.len() >= HELD_MAX && !held.contains_key(key) {
            held.retain(|_, h| now < h.ends);
            if held.len() >= HELD_MAX {
                let why = format!("{HELD_MAX} tokens are kept to be asked about again");
                return Err(Rejection::ReviewUnavailable { issuer: self.label.clone(), why });
            }
        }
        held.insert(key.to_owned(), new);
        Ok(())
    }

    /// A refusal stays, for the sessions that began before it.
    fn note_refusal(&self, key: &str, rejection: &Rejection) {
        if let Rejection::NotVouched(why) = rejection
            && let Some(held) = self.held.lock().get_mut(key)
        {
            held.refused = Some(why.clone());
        }
    }

    async fn ask(&self, question: &Question) -> Result<(), NoAnswer> {
        let unreachable = |why: String| NoAnswer::Unreachable(why);
        let Ok(Ok(_turn)) = tokio::time::timeout(fetch::FETCH_TIMEOUT, self.questions.acquire()).await else {
            return Err(unreachable(format!("{QUESTIONS_MAX} questions wait for an answer")));
        };
        let path = self.config.token_file.clone();
        let read = tokio::task::spawn_blocking(move || fetch::read_file(&path, OWN_TOKEN_BYTES_MAX)).await;
        let own = read.map_err(|e| e.to_string()).and_then(|r| r).map_err(NoAnswer::Unusable)?;
        let own = Secret::new(own.trim_ascii().to_vec());
        let token = question.token.expose_str().unwrap_or_default();
        let body = json!({
            "apiVersion": API_VERSION,
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": question.audiences},
        });
        let posted = self.fetcher.post(&self.address, &own, body.to_string(), ANSWER_BYTES_MAX).await;
        let (status, answer) = posted.map_err(|no| match no {
            NoReply::Unreachable(why) => NoAnswer::Unreachable(why),
            NoReply::Unusable(why) => NoAnswer::Unusable(why),
        })?;
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(unreachable(format!("{}: answered {status}", self.address)));
        }
        if status != StatusCode::CREATED && status != StatusCode::OK {
            let help = "may the account of token_file create tokenreviews (system:auth-delegator)?";
            return Err(NoAnswer::Unusable(format!("{}: answered {status}; {help}", self.address)));
        }
        let answer = strict_json::object(&answer).map_err(|e| NoAnswer::Unusable(format!("{}: {e}", self.address)))?;
        read_answer(&answer, question)
    }
}

fn read_answer(answer: &Map<String, Value>, question: &Question) -> Result<(), NoAnswer> {
    let is = |name: &str, want: &str| answer.get(name).and_then(Value::as_str) == Some(want);
    if !is("kind", "TokenReview") || !is("apiVersion", API_VERSION) {
        return Err(NoAnswer::Unusable("the answer is no TokenReview of authentication.k8s.io/v1".to_owned()));
    }
    let refused = |why: &str| Err(NoAnswer::Refused(why.to_owned()));
    let status = answer.get("status");
    let of = |path: &str| status.and_then(|s| s.pointer(path));
    if of("/authenticated") != Some(&Value::Bool(true)) {
        let why = of("/error").and_then(Value::as_str).unwrap_or("it gives no reason");
        // The cluster's words could quote the token.
        let token = question.token.expose_str().unwrap_or_default();
        return if why.contains(token) { refused("it is not authenticated") } else { refused(&shown(why)) };
    }
    if of("/user/username").and_then(Value::as_str) != Some(question.subject.as_str()) {
        return refused("it is of another user");
    }
    if question.uid.is_some() && of("/user/uid").and_then(Value::as_str) != question.uid.as_deref() {
        return refused("its service account is another one of the same name");
    }
    let audiences = of("/audiences").and_then(Value::as_array);
    let is_ours = |a: &Value| a.as_str().is_some_and(|a| question.audiences.iter().any(|ours| ours == a));
    if !audiences.is_some_and(|list| list.iter().any(is_ours)) {
        return refused("it is for another audience");
    }
    Ok(())
}

/// Those audiences of a token that are ours.
fn audiences(c: &IssuerConfig, aud: Option<&Value>) -> Vec<String> {
    let all: Vec<&str> = match aud {
        Some(Value::String(aud)) => vec![aud],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is_ours = |aud: &&str| c.audiences.iter().any(|ours| ours == aud) || bound_audience(c, aud).is_some();
    all.into_iter().filter(is_ours).map(str::to_owned).collect()
}

fn is_fresh(asked: Timestamp, now: Timestamp, for_s: u64) -> bool {
    asked <= now && now.since_us(asked) < for_s.saturating_mul(1_000_000)
}

/// What tells tokens apart that may be asked about again: all that they say.
fn key_of(claims: &BTreeMap<String, Value>) -> String {
    digest_of(&["review", &serde_json::to_string(claims).unwrap_or_default()])
}

fn text(claims: &BTreeMap<String, Value>, name: &str) -> Option<String> {
    claims.get(name).and_then(Value::as_str).map(str::to_owned)
}
