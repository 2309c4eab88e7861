//! What people's sign-ins stand on: clients, families of tokens, and how a family begins and ends.
//!
//! All that comes of one sign-in is a family. Its id is in each of its access tokens (`sid`), and the gateway asks after it at every
//! connection, so that ending a family ends what was given out already. Must never give tokens of a family that has ended, to another
//! client than its own, or after the account's end or change of password.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_enforce::{Alert, AlertSink};
use countersign_model::{IdentityKind, Secret, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::clients::{Client, ClientConfig, Clients};
use super::issuer::{LocalFault, LocalIssuer, MINT_LIFETIME_S_MAX, MintRequest};
use super::limiter::{Limiter, LimiterConfig};
use super::messages::{Reply, TokenRequest, client_credentials};
use super::ports::{Account, Added, ShortLived, ShortLivedKind, ShortLivedStore};
use crate::form::Form;

/// The longest that a sign-in may be kept going by refresh tokens, in seconds (30 days).
pub const REFRESH_LIFETIME_S_MAX: u64 = 30 * 86_400;
/// The most families that live at one time.
pub const FAMILIES_MAX: u32 = 100_000;
/// The most refresh tokens, used ones included: they are remembered until their family ends.
const REFRESH_TOKENS_MAX: u32 = 200_000;
/// How long an ID token lives, in seconds: it tells a client who signed in, once.
const ID_TOKEN_LIFETIME_S: u64 = 300;
/// Random bytes of a code or token: not to be guessed.
const TOKEN_BYTES: usize = 32;
/// What may be asked for.
const SCOPES: [&str; 3] = ["openid", "profile", "offline_access"];

/// Requests of devices from one address.
const ONE_ASKER: LimiterConfig = LimiterConfig { burst: 20, forgive_us: 10_000_000, keys_max: 4096 };
/// Wrong codes of devices, and wrong secrets of clients, from one address.
const ONE_GUESSER: LimiterConfig = LimiterConfig { burst: 10, forgive_us: 30_000_000, keys_max: 4096 };

/// How people sign in.
pub struct SignInConfig {
    /// The clients besides the built-in one.
    pub clients: Vec<ClientConfig>,
    /// How long refresh tokens keep a sign-in going, in seconds; at most [`REFRESH_LIFETIME_S_MAX`].
    pub refresh_lifetime_s: u64,
    /// Keeps what is good once.
    pub state: Arc<dyn ShortLivedStore>,
    /// Hears of codes and tokens that were used twice.
    pub alerts: Arc<dyn AlertSink>,
}

/// The same, at work.
pub(super) struct SignIn {
    pub(super) clients: Clients,
    refresh_lifetime_s: u64,
    pub(super) state: Arc<dyn ShortLivedStore>,
    alerts: Arc<dyn AlertSink>,
    /// Requests of devices.
    pub(super) askers: Limiter<IpAddr>,
    /// Wrong codes of devices.
    pub(super) guessers: Limiter<IpAddr>,
    /// Wrong secrets of clients.
    strangers: Limiter<IpAddr>,
}

/// What a person granted to a client: kept with codes, with requests of devices and with refresh tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grant {
    /// The client's id.
    pub(super) client: String,
    /// The account's id.
    pub(super) account: String,
    /// Tells the account's password then from another.
    pub(super) mark: String,
    /// The scope, words with spaces between them.
    pub(super) scope: String,
    /// The client's nonce, for the ID token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nonce: Option<String>,
    /// When the person gave the password, in seconds.
    pub(super) auth_time_s: i64,
    /// The family that its tokens are of.
    pub(super) family: String,
}

impl Grant {
    pub(super) fn new(
        client: &Client,
        account: &Account,
        scope: String,
        nonce: Option<String>,
        now: Timestamp,
    ) -> Self {
        Self {
            client: client.id.clone(),
            account: account.id.clone(),
            mark: mark(account),
            scope,
            nonce,
            auth_time_s: now.unix_s(),
            family: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()),
        }
    }

    fn asks_for(&self, word: &str) -> bool {
        self.scope.split(' ').any(|w| w == word)
    }
}

/// Why no tokens were given.
pub(super) enum NoTokens {
    /// RFC 6749, 5.2: an error's name and its description.
    Refused(&'static str, &'static str),
    /// The store or a key failed.
    Failed(LocalFault),
}

impl<F: Into<LocalFault>> From<F> for NoTokens {
    fn from(fault: F) -> Self {
        Self::Failed(fault.into())
    }
}

impl NoTokens {
    pub(super) fn reply(&self) -> Reply {
        match self {
            Self::Refused(code, why) => Reply::error(400, code, why),
            Self::Failed(fault) => Reply::failed(fault),
        }
    }
}

/// The answer to whatever is not, or no longer, good: which of the two is nobody's business.
pub(super) const NOT_GOOD: NoTokens = NoTokens::Refused("invalid_grant", "it is unknown, was used, or has ended");

/// A new code or token.
pub(super) fn fresh_token() -> Secret {
    Secret::from(URL_SAFE_NO_PAD.encode(rand::random::<[u8; TOKEN_BYTES]>()))
}

/// What is kept of a code or token.
pub(super) fn digest(token: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token))
}

/// Tells passwords apart without holding one.
fn mark(account: &Account) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(account.secret_hash.as_deref().unwrap_or_default()))
}

/// The words of a scope that are known here, in our order.
pub(super) fn known_scope(asked: &str) -> String {
    let asked: Vec<&str> = asked.split(' ').collect();
    SCOPES.into_iter().filter(|s| asked.contains(s)).collect::<Vec<_>>().join(" ")
}

pub(super) fn entry(content: &impl Serialize, expires_at: Timestamp) -> ShortLived {
    ShortLived { content: json!(content).to_string(), expires_at, consumed_at: None }
}

pub(super) fn after_s(now: Timestamp, s: u64) -> Timestamp {
    let us = i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    Timestamp::from_unix_us(now.unix_us().saturating_add(us))
}

impl LocalIssuer {
    /// Lets people sign in, and gives clients what they need for it.
    ///
    /// # Errors
    /// When a client cannot be as configured, or the lifetime is not acceptable.
    pub fn with_sign_in(mut self, config: SignInConfig) -> Result<Self, LocalFault> {
        if config.refresh_lifetime_s == 0 || config.refresh_lifetime_s > REFRESH_LIFETIME_S_MAX {
            let why = format!("a sign-in is kept going for between 1 and {REFRESH_LIFETIME_S_MAX} s");
            return Err(LocalFault::Mint(why));
        }
        self.sign_in = Some(SignIn {
            clients: Clients::new(config.clients, &self.config.audience)?,
            refresh_lifetime_s: config.refresh_lifetime_s,
            state: config.state,
            alerts: config.alerts,
            askers: Limiter::new(ONE_ASKER),
            guessers: Limiter::new(ONE_GUESSER),
            strangers: Limiter::new(ONE_GUESSER),
        });
        Ok(self)
    }

    /// The form of a program and the client that it proves to be; `nobody` is the error's code where nobody can sign in.
    pub(super) fn asked_by(
        &self,
        request: &TokenRequest<'_>,
        nobody: &'static str,
        now: Timestamp,
    ) -> Result<(&SignIn, &Client, Form), Reply> {
        let Some(sign_in) = &self.sign_in else { return Err(Reply::error(400, nobody, "nobody can sign in here")) };
        let form = request.form()?;
        let client = self.client(sign_in, request, &form, now)?;
        Ok((sign_in, client, form))
    }

    /// The client that sends a form, when it is known and proves itself.
    pub(super) fn client<'s>(
        &self,
        sign_in: &'s SignIn,
        request: &TokenRequest<'_>,
        form: &Form,
        now: Timestamp,
    ) -> Result<&'s Client, Reply> {
        let (id, secret) = client_credentials(request.authorization, form).map_err(Reply::unauthorized)?;
        let found = sign_in.clients.find(&id);
        // Guesses from the same address must not keep out those who have nothing to guess.
        if let Some(public) = found.filter(|c| !c.is_confidential() && c.accepts(secret.as_ref())) {
            return Ok(public);
        }
        let source = super::accounts::network_of(request.source);
        if let Some(wait_s) = sign_in.strangers.wait_s(&source, now) {
            return Err(too_many("invalid_client", wait_s));
        }
        found.filter(|c| c.accepts(secret.as_ref())).ok_or_else(|| {
            sign_in.strangers.fail(source, now);
            tracing::info!(client = %crate::token::shown(&id), %source, "a client was refused");
            Reply::unauthorized("the client is unknown or its secret is wrong")
        })
    }

    /// The person behind a grant, while the account stands and has the password that the grant was given with.
    async fn person(&self, grant: &Grant) -> Result<Option<Account>, LocalFault> {
        let Some(store) = &self.accounts else { return Ok(None) };
        let account = store.find_by_id(&grant.account).await?;
        Ok(account.filter(|a| !a.disabled && a.kind == IdentityKind::Human && mark(a) == grant.mark))
    }

    /// The first tokens of a grant, for its client.
    pub(super) async fn begin_family(
        &self,
        sign_in: &SignIn,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<Value, NoTokens> {
        let Some(account) = self.person(grant).await? else { return Err(NOT_GOOD) };
        let expires_at = after_s(now, sign_in.refresh_lifetime_s.max(self.config.token_lifetime_s));
        let family = entry(grant, expires_at);
        match sign_in.state.add(ShortLivedKind::Family, &grant.family, &family, FAMILIES_MAX, now).await? {
            Added::Kept => {}
            // It was ended before it began: what it comes of was used twice.
            Added::Taken => return Err(NOT_GOOD),
            Added::Full => return Err(LocalFault::Full("sign-ins").into()),
        }
        let refresh = match grant.asks_for("offline_access") {
            true => Some(self.add_refresh(sign_in, grant, after_s(now, sign_in.refresh_lifetime_s), now).await?),
            false => None,
        };
        self.tokens(&account, grant, refresh.as_ref(), expires_at, now)
    }

    async fn add_refresh(
        &self,
        sign_in: &SignIn,
        grant: &Grant,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Secret, LocalFault> {
        let token = fresh_token();
        let kept = entry(grant, expires_at);
        let digest = digest(token.expose());
        match sign_in.state.add(ShortLivedKind::Refresh, &digest, &kept, REFRESH_TOKENS_MAX, now).await? {
            Added::Kept => Ok(token),
            Added::Taken | Added::Full => Err(LocalFault::Full("refresh tokens")),
        }
    }

    /// What the token endpoint answers (RFC 6749, 5.1; OpenID Connect Core, 3.1.3.3).
    fn tokens(
        &self,
        account: &Account,
        grant: &Grant,
        refresh: Option<&Secret>,
        family_ends: Timestamp,
        now: Timestamp,
    ) -> Result<Value, NoTokens> {
        let lifetime_s =
            self.config.token_lifetime_s.min(family_ends.since_us(now) / 1_000_000).clamp(1, MINT_LIFETIME_S_MAX);
        let mut claims = account_claims(account);
        claims.insert("client_id".to_owned(), json!(grant.client));
        claims.insert("scope".to_owned(), json!(grant.scope));
        claims.insert("auth_time".to_owned(), json!(grant.auth_time_s));
        claims.insert("sid".to_owned(), json!(grant.family));
        let request = MintRequest {
            subject: account.id.clone(),
            audience: None,
            lifetime_s: Some(lifetime_s),
            token_type: "at+jwt",
            claims,
        };
        let access = self.mint(request, now)?;
        let text = |s: &Secret| s.expose_str().unwrap_or_default().to_owned();
        let mut answer = Map::new();
        answer.insert("access_token".to_owned(), json!(text(&access)));
        answer.insert("token_type".to_owned(), json!("Bearer"));
        answer.insert("expires_in".to_owned(), json!(lifetime_s));
        answer.insert("scope".to_owned(), json!(grant.scope));
        if let Some(refresh) = refresh {
            answer.insert("refresh_token".to_owned(), json!(text(refresh)));
        }
        if grant.asks_for("openid") {
            answer.insert("id_token".to_owned(), json!(text(&self.id_token(account, grant, &access, now)?)));
        }
        Ok(Value::Object(answer))
    }

    fn id_token(
        &self,
        account: &Account,
        grant: &Grant,
        access: &Secret,
        now: Timestamp,
    ) -> Result<Secret, LocalFault> {
        let half: Vec<u8> = Sha256::digest(access.expose()).into_iter().take(16).collect();
        let mut claims = if grant.asks_for("profile") { account_claims(account) } else { Map::new() };
        claims.insert("at_hash".to_owned(), json!(URL_SAFE_NO_PAD.encode(half)));
        claims.insert("auth_time".to_owned(), json!(grant.auth_time_s));
        claims.insert("azp".to_owned(), json!(grant.client));
        claims.insert("sid".to_owned(), json!(grant.family));
        if let Some(nonce) = &grant.nonce {
            claims.insert("nonce".to_owned(), json!(nonce));
        }
        let request = MintRequest {
            subject: account.id.clone(),
            audience: Some(grant.client.clone()),
            lifetime_s: Some(ID_TOKEN_LIFETIME_S),
            token_type: "JWT",
            claims,
        };
        self.mint(request, now)
    }

    /// A refresh token for the next one (RFC 9700, 4.14.2): each is good once, and a second use ends the family.
    pub(super) async fn refresh(
        &self,
        sign_in: &SignIn,
        client: &Client,
        form: &Form,
        now: Timestamp,
    ) -> Result<Value, NoTokens> {
        let token =
            form.get("refresh_token").ok_or(NoTokens::Refused("invalid_request", "refresh_token is missing"))?;
        let digest = digest(token.as_bytes());
        let Some(kept) = sign_in.state.find(ShortLivedKind::Refresh, &digest).await? else { return Err(NOT_GOOD) };
        let grant: Grant = read(&kept.content)?;
        if grant.client != client.id {
            self.alarm(sign_in, &grant, "a refresh token was presented by another client", now).await;
            return Err(NOT_GOOD);
        }
        if kept.consumed_at.is_some() {
            return self.stolen(sign_in, &grant, "a refresh token was used a second time", now).await;
        }
        if kept.expires_at <= now || self.family_has_ended(sign_in, &grant.family).await? {
            return Err(NOT_GOOD);
        }
        let Some(account) = self.person(&grant).await? else {
            self.end_family(sign_in, &grant.family, now).await?;
            return Err(NOT_GOOD);
        };
        // The whole scope or less; what was not granted cannot be had this way.
        let scope = form.get("scope").map_or_else(|| grant.scope.clone(), known_scope);
        if scope.split(' ').any(|word| !word.is_empty() && !grant.asks_for(word)) {
            return Err(NoTokens::Refused("invalid_scope", "this scope was not granted"));
        }
        // The next one first: until the old one is used up, nobody learns it.
        let next = self.add_refresh(sign_in, &grant, kept.expires_at, now).await?;
        if !sign_in.state.consume(ShortLivedKind::Refresh, &digest, now).await? {
            return self.stolen(sign_in, &grant, "a refresh token was used a second time", now).await;
        }
        let narrowed = Grant { scope, nonce: None, ..grant };
        self.tokens(&account, &narrowed, Some(&next), kept.expires_at, now)
    }

    /// Something that is good once was used twice: one of the two is a thief, so that both are out.
    pub(super) async fn stolen(
        &self,
        sign_in: &SignIn,
        grant: &Grant,
        what: &'static str,
        now: Timestamp,
    ) -> Result<Value, NoTokens> {
        self.end_family(sign_in, &grant.family, now).await?;
        self.alarm(sign_in, grant, what, now).await;
        Err(NOT_GOOD)
    }

    /// Ends all that came, or is yet to come, of one sign-in.
    pub(super) async fn end_family(&self, sign_in: &SignIn, family: &str, now: Timestamp) -> Result<(), LocalFault> {
        let until = after_s(now, sign_in.refresh_lifetime_s.max(self.config.token_lifetime_s));
        Ok(sign_in.state.end(ShortLivedKind::Family, family, until, now).await?)
    }

    async fn family_has_ended(&self, sign_in: &SignIn, family: &str) -> Result<bool, LocalFault> {
        let kept = sign_in.state.find(ShortLivedKind::Family, family).await?;
        Ok(kept.is_none_or(|f| f.consumed_at.is_some()))
    }

    pub(super) async fn alarm(&self, sign_in: &SignIn, grant: &Grant, what: &'static str, now: Timestamp) {
        let account = match &self.accounts {
            Some(store) => store.find_by_id(&grant.account).await.ok().flatten(),
            None => None,
        };
        sign_in.alerts.raise(Alert {
            at: now,
            severity: Severity::High,
            session: None,
            identity: account.map_or_else(|| grant.account.clone(), |a| a.name),
            target: String::new(),
            rules: Vec::new(),
            what: what.to_owned(),
        });
    }

    /// Whether the sign-in behind an access token stands. A family that is not known any more has outlived all of its tokens: then it
    /// is the account alone that counts.
    pub(super) async fn sign_in_stands(
        &self,
        claims: &BTreeMap<String, Value>,
        account: &Account,
    ) -> Result<bool, LocalFault> {
        let (Some(sign_in), Some(family)) = (&self.sign_in, claims.get("sid").and_then(Value::as_str)) else {
            return Ok(true);
        };
        let Some(kept) = sign_in.state.find(ShortLivedKind::Family, family).await? else { return Ok(true) };
        Ok(kept.consumed_at.is_none() && read::<Grant>(&kept.content)?.mark == mark(account))
    }
}

/// What an account's tokens say of it.
pub(super) fn account_claims(account: &Account) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("preferred_username".to_owned(), json!(account.name));
    claims.insert("groups".to_owned(), json!(account.groups));
    claims.insert("kind".to_owned(), json!(account.kind.as_str()));
    claims
}

pub(super) fn read<T: for<'d> Deserialize<'d>>(content: &str) -> Result<T, LocalFault> {
    serde_json::from_str(content).map_err(|_| LocalFault::State)
}

pub(super) fn too_many(code: &str, wait_s: u64) -> Reply {
    let mut reply = Reply::error(429, code, "too many failed attempts");
    reply.headers.push(("retry-after", wait_s.to_string()));
    reply
}
