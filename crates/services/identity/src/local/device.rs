//! The device authorization grant (RFC 8628): for a terminal that has no browser.
//!
//! The device polls with a code that is not to be guessed; the person types a short one on the device page, sees who asks and from
//! where, and signs in there. Must never give tokens twice for one request, nor let anybody try short codes quickly.

use std::net::IpAddr;

use countersign_model::{Secret, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::accounts::network_of;
use super::clients::Client;
use super::issuer::{LocalFault, LocalIssuer};
use super::messages::{FORM_BYTES_MAX, PageRequest, Reply, TokenRequest};
use super::page::{self, CodeForm, DeviceFacts, Guard, SignInForm};
use super::ports::{Added, ShortLivedKind};
use super::sign_in::{
    Grant, NOT_GOOD, NoTokens, SignIn, after_s, digest, entry, fresh_token, known_scope, read, too_many,
};
use crate::form::Form;

/// How long a request waits for the person, in seconds.
pub const DEVICE_LIFETIME_S: u64 = 600;
/// How long a device waits between two questions, in seconds, until it is told to wait longer.
pub const DEVICE_INTERVAL_S: u64 = 5;
/// What each question that comes too early adds to that (RFC 8628, 3.5).
const SLOW_DOWN_S: u64 = 5;
/// The longest that it grows to.
const INTERVAL_S_MAX: u64 = 60;
/// The most requests that wait at one time.
const DEVICES_MAX: u32 = 10_000;
/// The letters of codes that people type: no vowels, so that they make no words; nothing that looks like something else (RFC 8628, 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How many of them: more than 34 bits, for ten minutes.
const USER_CODE_CHARS: usize = 8;
/// How often another code is made when there is one like it.
const USER_CODE_TRIES: usize = 5;
/// How often a change is tried again when somebody else changed the same request.
const CHANGE_TRIES: usize = 8;

/// What is kept of a request.
#[derive(Clone, Serialize, Deserialize)]
struct Request {
    client: String,
    scope: String,
    source: IpAddr,
    asked_s: i64,
    /// What it is for, where the gateway asks.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    purpose: String,
    interval_s: u64,
    /// When the device asked last, in microseconds.
    polled_us: i64,
    answer: Answer,
}

/// What the person said.
#[derive(Clone, Serialize, Deserialize)]
enum Answer {
    None,
    Refused,
    Allowed(Grant),
}

/// A request that is about to be made.
pub(super) struct Asked(Request);

impl Asked {
    /// One of the gateway itself: no tokens beyond the one that lets a connection in.
    pub(super) fn by_gateway(client: &str, purpose: String, source: IpAddr, now: Timestamp) -> Self {
        Self(Request {
            client: client.to_owned(),
            scope: known_scope("openid"),
            source,
            asked_s: now.unix_s(),
            purpose,
            interval_s: DEVICE_INTERVAL_S,
            polled_us: 0,
            answer: Answer::None,
        })
    }
}

/// A request that was made.
pub(super) struct Made {
    pub(super) device_code: Secret,
    /// The code as people are shown it.
    pub(super) shown: String,
    page: String,
    pub(super) lifetime_s: u64,
}

impl Made {
    /// The device page with the code filled in.
    pub(super) fn page_with_code(&self) -> String {
        format!("{}?user_code={}", self.page, self.shown)
    }
}

/// What the person said to a request.
pub(super) enum Said {
    /// Nothing yet.
    Nothing(Box<Waiting>),
    /// Yes: what the token endpoint answers.
    Tokens(Value),
}

/// A request without an answer.
pub(super) struct Waiting {
    device: String,
    content: String,
    request: Request,
}

/// A request that a person's code leads to.
struct Found {
    device: String,
    user_code: String,
    content: String,
    request: Request,
}

/// What came of the person's answer.
#[derive(PartialEq, Eq)]
enum Taken {
    Yes,
    /// Somebody else answered, or its time is over.
    Late,
}

impl LocalIssuer {
    /// `POST {issuer}/device_authorization` (RFC 8628, 3.1).
    pub async fn device_authorization(&self, request: TokenRequest<'_>, now: Timestamp) -> Reply {
        let (sign_in, client, form) = match self.asked_by(&request, "unauthorized_client", now) {
            Ok(asked) => asked,
            Err(reply) => return reply,
        };
        if client.is_confidential() {
            return Reply::error(400, "unauthorized_client", "this client has a browser to send people to");
        }
        let source = network_of(request.source);
        if let Some(wait_s) = sign_in.askers.wait_s(&source, now) {
            return too_many("slow_down", wait_s);
        }
        sign_in.askers.fail(source, now);
        let asked = Request {
            client: client.id.clone(),
            scope: known_scope(form.get("scope").unwrap_or_default()),
            source: request.source,
            asked_s: now.unix_s(),
            purpose: String::new(),
            interval_s: DEVICE_INTERVAL_S,
            polled_us: 0,
            answer: Answer::None,
        };
        match self.ask_person(sign_in, Asked(asked), now).await {
            Ok(made) => Reply::private(
                200,
                &json!({
                    "device_code": made.device_code.expose_str().unwrap_or_default(),
                    "user_code": made.shown,
                    "verification_uri": made.page,
                    "verification_uri_complete": made.page_with_code(),
                    "expires_in": made.lifetime_s,
                    "interval": DEVICE_INTERVAL_S,
                }),
            ),
            Err(fault) => Reply::failed(&fault),
        }
    }

    /// Keeps a request until a person answers it.
    pub(super) async fn ask_person(
        &self,
        sign_in: &SignIn,
        Asked(asked): Asked,
        now: Timestamp,
    ) -> Result<Made, LocalFault> {
        let until = after_s(now, DEVICE_LIFETIME_S);
        let device_code = fresh_token();
        let device = digest(device_code.expose());
        let full = || LocalFault::Full("requests of devices");
        if sign_in.state.add(ShortLivedKind::Device, &device, &entry(&asked, until), DEVICES_MAX, now).await?
            != Added::Kept
        {
            return Err(full());
        }
        for _ in 0..USER_CODE_TRIES {
            let user_code = new_user_code();
            let kept = entry(&device, until);
            match sign_in
                .state
                .add(ShortLivedKind::UserCode, &digest(user_code.as_bytes()), &kept, DEVICES_MAX, now)
                .await?
            {
                Added::Kept => {
                    let page = format!("{}/device", self.base());
                    let shown = shown_code(&user_code);
                    return Ok(Made { device_code, shown, page, lifetime_s: DEVICE_LIFETIME_S });
                }
                Added::Taken => {}
                Added::Full => break,
            }
        }
        Err(full())
    }

    /// The device asks whether the person has answered (RFC 8628, 3.4 and 3.5).
    pub(super) async fn poll_device(
        &self,
        sign_in: &SignIn,
        client: &Client,
        form: &Form,
        now: Timestamp,
    ) -> Result<Value, NoTokens> {
        let code = form.get("device_code").ok_or(NoTokens::Refused("invalid_request", "device_code is missing"))?;
        let Waiting { device, content, request } = match self.said(sign_in, &client.id, code.as_bytes(), now).await? {
            Said::Tokens(tokens) => return Ok(tokens),
            Said::Nothing(waiting) => *waiting,
        };
        let since_us = now.unix_us().saturating_sub(request.polled_us);
        let early = since_us < i64::try_from(request.interval_s).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let interval_s =
            if early { (request.interval_s + SLOW_DOWN_S).min(INTERVAL_S_MAX) } else { request.interval_s };
        let next = json!(Request { interval_s, polled_us: now.unix_us(), ..request }).to_string();
        let alone = sign_in.state.replace(ShortLivedKind::Device, &device, &content, &next, now).await?;
        // Not alone: either it asks twice at once, or the person answers just now; both can wait.
        Err(if early || !alone {
            NoTokens::Refused("slow_down", "ask less often")
        } else {
            NoTokens::Refused("authorization_pending", "the person has not answered yet")
        })
    }

    /// What the person said to a request of this client; what was allowed gives tokens once.
    pub(super) async fn said(
        &self,
        sign_in: &SignIn,
        client: &str,
        code: &[u8],
        now: Timestamp,
    ) -> Result<Said, NoTokens> {
        let device = digest(code);
        let Some(kept) = sign_in.state.find(ShortLivedKind::Device, &device).await? else { return Err(NOT_GOOD) };
        let request: Request = read(&kept.content)?;
        if request.client != client {
            return Err(NOT_GOOD);
        }
        if kept.consumed_at.is_some() {
            return self.used_again(sign_in, &request, now).await.map(Said::Tokens);
        }
        if kept.expires_at <= now {
            return Err(NoTokens::Refused("expired_token", "the person did not answer in time: ask again"));
        }
        match &request.answer {
            Answer::Refused => Err(NoTokens::Refused("access_denied", "the person refused")),
            Answer::Allowed(grant) => {
                if sign_in.state.consume(ShortLivedKind::Device, &device, now).await? {
                    return self.begin_family(sign_in, grant, now).await.map(Said::Tokens);
                }
                self.used_again(sign_in, &request, now).await.map(Said::Tokens)
            }
            Answer::None => Ok(Said::Nothing(Box::new(Waiting { device, content: kept.content, request }))),
        }
    }

    async fn used_again(&self, sign_in: &SignIn, request: &Request, now: Timestamp) -> Result<Value, NoTokens> {
        match &request.answer {
            Answer::Allowed(grant) => self.stolen(sign_in, grant, "a device code was used a second time", now).await,
            _ => Err(NOT_GOOD),
        }
    }

    /// `GET` and `POST {issuer}/device`: where a person types the code that a device shows, and answers.
    pub async fn device(&self, request: PageRequest<'_>, now: Timestamp) -> Reply {
        let Some(sign_in) = &self.sign_in else { return page::problem(404, "Nobody can sign in here.") };
        let guard = Guard::of(&request, &self.config.issuer);
        let ask = |code: &str, trouble: Option<String>, status| CodeForm { code, trouble }.page(status, &guard);
        if !request.posted {
            let query = Form::parse(request.query.as_bytes(), FORM_BYTES_MAX);
            let code = query.as_ref().ok().and_then(|q| q.get("user_code")).and_then(read_user_code);
            return ask(&code.map(|c| shown_code(&c)).unwrap_or_default(), None, 200);
        }
        let sent = match guard.checked(&request) {
            Ok(sent) => sent,
            Err(trouble) => return ask("", Some(trouble.to_owned()), 403),
        };
        let typed = sent.get("user_code").unwrap_or_default();
        let source = network_of(request.source);
        if let Some(wait_s) = sign_in.guessers.wait_s(&source, now) {
            let mut reply = ask("", Some(page::wait(wait_s)), 429);
            reply.headers.push(("retry-after", wait_s.to_string()));
            return reply;
        }
        let found = match self.find_request(sign_in, typed, now).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                sign_in.guessers.fail(source, now);
                return ask("", Some("There is no such code. It may have been used, or be too old.".to_owned()), 403);
            }
            Err(fault) => {
                tracing::error!(%fault, "a device's code could not be looked up");
                return ask("", Some(page::LATER.to_owned()), 503);
            }
        };
        let reply = self.answer_device(sign_in, &request, &sent, &found, &guard, now).await;
        reply.unwrap_or_else(|fault| {
            tracing::error!(%fault, "a device could not be answered");
            ask("", Some(page::LATER.to_owned()), 503)
        })
    }

    /// Shows who asks, or takes the answer.
    async fn answer_device(
        &self,
        sign_in: &SignIn,
        request: &PageRequest<'_>,
        sent: &Form,
        found: &Found,
        guard: &Guard,
        now: Timestamp,
    ) -> Result<Reply, LocalFault> {
        let asked = &found.request;
        let facts = DeviceFacts {
            code: shown_code(&found.user_code),
            source: asked.source.to_canonical(),
            here: asked.source.to_canonical() == request.source.to_canonical(),
            ago_s: u64::try_from(now.unix_s().saturating_sub(asked.asked_s)).unwrap_or(0),
            purpose: asked.purpose.clone(),
        };
        let form = SignInForm {
            program: &asked.client,
            goes_back_to: None,
            policy_source: None,
            name: "",
            device: Some(facts),
            trouble: None,
        };
        match sent.get("answer") {
            Some("refuse") => {
                let taken = self.answer(sign_in, found, &Answer::Refused, now).await?;
                let text = "The device was refused. You can close this page.";
                Ok(if taken == Taken::Yes { page::done("Refused", text) } else { late() })
            }
            Some("allow") => {
                let account = match self.person_by_password(sent, request.source, now).await {
                    Ok(account) => account,
                    Err(no) => {
                        let form =
                            SignInForm { name: sent.get("name").unwrap_or_default(), trouble: Some(no.told()), ..form };
                        return Ok(no.with_wait(form.page(no.status(), guard)));
                    }
                };
                let Some(client) = sign_in.clients.asker(&asked.client) else { return Ok(late()) };
                let grant = Grant::new(client, &account, asked.scope.clone(), None, now);
                if self.answer(sign_in, found, &Answer::Allowed(grant), now).await? == Taken::Late {
                    return Ok(late());
                }
                tracing::info!(account = %account.name, client = %client.id, device = %asked.source, source = %request.source, "signed in a device");
                Ok(page::done("Signed in", "The device is signed in. You can close this page."))
            }
            _ => Ok(form.page(200, guard)),
        }
    }

    /// The request that still waits for an answer to this code.
    async fn find_request(&self, sign_in: &SignIn, typed: &str, now: Timestamp) -> Result<Option<Found>, LocalFault> {
        let Some(user_code) = read_user_code(typed) else { return Ok(None) };
        let Some(kept) = sign_in.state.find(ShortLivedKind::UserCode, &digest(user_code.as_bytes())).await? else {
            return Ok(None);
        };
        if kept.consumed_at.is_some() || kept.expires_at <= now {
            return Ok(None);
        }
        let device: String = read(&kept.content)?;
        let Some(kept) = sign_in.state.find(ShortLivedKind::Device, &device).await? else { return Ok(None) };
        let request: Request = read(&kept.content)?;
        let waits = kept.consumed_at.is_none() && matches!(request.answer, Answer::None);
        Ok(waits.then_some(Found { device, user_code, content: kept.content, request }))
    }

    /// Takes the first answer, and no other.
    async fn answer(
        &self,
        sign_in: &SignIn,
        found: &Found,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<Taken, LocalFault> {
        let (mut content, mut request) = (found.content.clone(), found.request.clone());
        // The device may be asking meanwhile, which changes the same entry.
        for _ in 0..CHANGE_TRIES {
            let next = json!(Request { answer: answer.clone(), ..request }).to_string();
            if sign_in.state.replace(ShortLivedKind::Device, &found.device, &content, &next, now).await? {
                let user_code = digest(found.user_code.as_bytes());
                sign_in.state.consume(ShortLivedKind::UserCode, &user_code, now).await?;
                return Ok(Taken::Yes);
            }
            let Some(kept) = sign_in.state.find(ShortLivedKind::Device, &found.device).await? else { break };
            request = read(&kept.content)?;
            if kept.consumed_at.is_some() || kept.expires_at <= now || !matches!(request.answer, Answer::None) {
                break;
            }
            content = kept.content;
        }
        Ok(Taken::Late)
    }
}

fn late() -> Reply {
    page::problem(409, "This code was answered already, or is too old. Ask the device for another.")
}

fn new_user_code() -> String {
    let letter = || LETTERS.get(rand::random_range(0..LETTERS.len())).copied().map_or('B', char::from);
    std::iter::repeat_with(letter).take(USER_CODE_CHARS).collect()
}

/// As it is shown: in two halves.
fn shown_code(code: &str) -> String {
    let (a, b) = code.split_at_checked(USER_CODE_CHARS / 2).unwrap_or((code, ""));
    format!("{a}-{b}")
}

/// As people type it: in any case, with whatever between.
fn read_user_code(typed: &str) -> Option<String> {
    let code: String =
        typed.chars().filter(|c| !matches!(c, '-' | ' ' | '\u{2013}')).map(|c| c.to_ascii_uppercase()).collect();
    (code.len() == USER_CODE_CHARS && code.bytes().all(|b| LETTERS.contains(&b))).then_some(code)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_people_type_them() {
        for _ in 0..100 {
            let code = new_user_code();
            assert_eq!(read_user_code(&shown_code(&code)), Some(code));
        }
        for typed in ["WDJB-MJHT", "wdjbmjht", " wdjb mjht ", "WDJB\u{2013}MJHT"] {
            assert_eq!(read_user_code(typed).as_deref(), Some("WDJBMJHT"), "{typed}");
        }
        for typed in ["", "WDJB-MJH", "WDJB-MJHTT", "WDJB-MJHA", "WDJB-MJH1", "ＷDJB-MJHT", "WDJB_MJHT"] {
            assert_eq!(read_user_code(typed), None, "{typed}");
        }
    }
}
