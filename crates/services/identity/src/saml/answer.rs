//! A person's way in: the request, the answer, and the login that comes of it.
//!
//! The answer comes from another site, which no cookie of ours comes with. So it is checked when it comes, and what it says is kept for
//! the browser that began, which proves that it did before anything is made of it (`open_browser_saml`). Must never make a login of an
//! answer by itself, nor take one a second time, at whichever gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_model::{Denial, Identity, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::config::{ATTRIBUTES, SamlConfig};
use super::request::{SignInRequest, metadata};
use super::response::{Asserted, Expected, RESPONSE_BYTES_MAX, check};
use crate::authenticator::Issuer;
use crate::claims::Times;
use crate::keys::NoKey;
use crate::login::digest_of;
use crate::provisioned::provision;
use crate::service::IdentityService;
use crate::token::shown;
use crate::{BrowserLogin, Rejection, TokenAuthenticator, mapping};

/// The longest answer as it is sent, in bytes of base64 with line ends.
const ANSWER_BYTES_MAX: usize = RESPONSE_BYTES_MAX / 3 * 4 + 8 * 1024;

/// The most of an assertion that is kept, in bytes: what the configuration asks for of it.
pub(super) const KEPT_BYTES_MAX: usize = 24 * 1024;

/// An identity provider that people may sign in at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamlIssuer {
    /// Its label.
    pub label: String,
    /// Its entity id.
    pub entity_id: String,
}

/// A sign-in under way.
#[derive(Clone, Copy, Debug)]
pub struct SamlAsk<'a> {
    /// At which identity provider.
    pub label: &'a str,
    /// Where the answer comes to.
    pub acs: &'a str,
    /// The id of the request: an XML name that nobody can guess, used once.
    pub request: &'a str,
    /// What comes back with the answer, at most 80 bytes (SAML Bindings, 3.4.3).
    pub relay_state: &'a str,
}

/// What was asserted, as it is kept until the browser that began proves itself.
#[derive(Serialize, Deserialize)]
struct Kept {
    issuer: String,
    id: String,
    claims: Map<String, Value>,
    issued_at_us: i64,
    ends_at_us: i64,
    session_ends_at_us: Option<i64>,
    signer: String,
}

impl TokenAuthenticator {
    fn saml(&self, label: &str) -> Result<Arc<Issuer>, Rejection> {
        self.saml_issuer(label).ok_or_else(|| Rejection::UnknownIssuer(shown(label)))
    }
}

impl IdentityService {
    /// The identity providers that people may sign in at.
    pub fn saml_issuers(&self) -> Vec<SamlIssuer> {
        self.tokens.saml_issuers()
    }

    /// The address at the identity provider that a browser is sent to.
    ///
    /// # Errors
    /// When there is no such identity provider, or its metadata cannot be had.
    pub async fn saml_request(&self, ask: &SamlAsk<'_>, now: Timestamp) -> Result<String, Denial> {
        let made = async {
            let issuer = self.tokens.saml(ask.label)?;
            let provider = issuer.saml.as_ref().ok_or_else(|| Rejection::UnknownIssuer(shown(ask.label)))?;
            let found = issuer.keys.ask_metadata(
                |m| {
                    if m.is_valid(now) { Ok((m.sign_in.clone(), m.wants_signed_requests)) } else { Err(NoKey::Unknown) }
                },
                now,
            );
            let (sign_in, wants_signed) = found.await?;
            let config = &provider.config;
            let request = SignInRequest {
                id: ask.request,
                entity_id: &config.sp_entity_id,
                acs: ask.acs,
                sign_in: &sign_in,
                name_id_format: config.name_id_format.as_deref(),
                relay_state: ask.relay_state,
                now,
            };
            let key = (config.sign_requests || wants_signed).then_some(&*provider.key);
            request.url(key).map_err(Rejection::Saml)
        };
        made.await.map_err(|rejection: Rejection| rejection.to_denial())
    }

    /// Checks what an identity provider answered, in base64, and gives what is to be kept of it until the browser that began comes. Nothing
    /// in it opens anything by itself.
    ///
    /// # Errors
    /// The refusal, which is recorded.
    pub async fn saml_answer(
        &self,
        ask: &SamlAsk<'_>,
        answer: &str,
        source: SocketAddr,
        now: Timestamp,
    ) -> Result<String, Denial> {
        let checked = self.saml_checked(ask, answer, now).await;
        checked.map_err(|rejection| self.say_denied(&rejection, ask.label, "console", source, now))
    }

    async fn saml_checked(&self, ask: &SamlAsk<'_>, answer: &str, now: Timestamp) -> Result<String, Rejection> {
        let now = self.tokens.steady(now)?;
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(Rejection::Saml("the response is too long"));
        }
        let xml: String = answer.split_ascii_whitespace().collect();
        let xml = STANDARD.decode(xml).map_err(|_| Rejection::Saml("the response is not base64"))?;
        let issuer = self.tokens.saml(ask.label)?;
        let provider = issuer.saml.as_ref().ok_or_else(|| Rejection::UnknownIssuer(shown(ask.label)))?;
        let config = &provider.config;
        let checked = issuer.keys.ask_metadata(
            |metadata| {
                if !metadata.is_valid(now) {
                    return Err(NoKey::Unknown);
                }
                let expected = Expected {
                    provider: &config.entity_id,
                    keys: &metadata.keys,
                    entity_id: &config.sp_entity_id,
                    acs: ask.acs,
                    request: ask.request,
                    key: &provider.key.opening,
                    leeway_s: config.leeway_s,
                    require_encrypted: config.require_encrypted,
                    accept_response_signature: config.accept_response_signature,
                    now,
                };
                // A key that is not known may be a new one: then the metadata is read once more, as often as that is allowed.
                check(&xml, &expected).map_err(|rejection| match rejection {
                    Rejection::Signature => NoKey::Unknown,
                    other => NoKey::Unfit(other),
                })
            },
            now,
        );
        let asserted = checked.await.map_err(|rejection| match rejection {
            Rejection::UnknownKey(_) => Rejection::Signature,
            other => other,
        })?;
        // It is good until its end and the leeway, and has to be known for so long.
        let leeway_us = i64::try_from(config.leeway_s.saturating_mul(1_000_000)).unwrap_or(0);
        let known_until = Timestamp::from_unix_us(asserted.ends_at.unix_us().saturating_add(leeway_us));
        let id = digest_of(&["saml", &config.entity_id, &asserted.id]);
        self.tokens.use_once(&id, known_until, now).await?;
        let kept = Kept {
            issuer: config.entity_id.clone(),
            id,
            claims: claims(config, &asserted)?,
            issued_at_us: asserted.issued_at.unix_us(),
            ends_at_us: asserted.ends_at.unix_us(),
            session_ends_at_us: asserted.session_ends_at.map(Timestamp::unix_us),
            signer: asserted.signer,
        };
        let kept = serde_json::to_string(&kept).map_err(|_| Rejection::Saml("what it says cannot be kept"))?;
        match kept.len() {
            0..=KEPT_BYTES_MAX => Ok(kept),
            _ => Err(Rejection::Saml("the attributes that are asked for say too much")),
        }
    }

    /// Begins a login of the browser that began a sign-in, with what [`IdentityService::saml_answer`] gave for it. The caller has made sure
    /// that it is that browser, and that nobody was here with the same before.
    ///
    /// # Errors
    /// The refusal, which is recorded.
    pub async fn open_browser_saml(
        &self,
        kept: &str,
        secret: &Secret,
        source: SocketAddr,
        now: Timestamp,
    ) -> Result<BrowserLogin, Denial> {
        let opened = async {
            let now = self.tokens.steady(now)?;
            let mut kept: Kept = serde_json::from_str(kept).map_err(|_| Rejection::Saml("what was kept is damaged"))?;
            let claims = std::mem::take(&mut kept.claims);
            let identity = self.tokens.saml_identity(&kept.issuer, claims, kept.times(), kept.signer.clone()).await?;
            self.tokens.accounts_stand(&identity, now).await?;
            let until = kept.session_ends_at_us.map(Timestamp::from_unix_us);
            self.begin_browser(&identity, secret, &kept.id, until, now).await
        };
        self.browser_opened(opened.await, "saml", source, now)
    }

    /// The gateway's metadata for an identity provider, where answers come to `acs`.
    pub fn saml_metadata(&self, label: &str, acs: &str) -> Option<String> {
        let issuer = self.tokens.saml_issuer(label)?;
        let provider = issuer.saml.as_ref()?;
        Some(metadata(&provider.config.sp_entity_id, acs, &provider.key, provider.config.sign_requests))
    }
}

impl Kept {
    fn times(&self) -> Times {
        Times {
            issued_at: Timestamp::from_unix_us(self.issued_at_us),
            expires_at: Timestamp::from_unix_us(self.ends_at_us),
        }
    }
}

impl TokenAuthenticator {
    /// Whom a checked assertion is about.
    async fn saml_identity(
        &self,
        entity_id: &str,
        mut claims: Map<String, Value>,
        times: Times,
        signer: String,
    ) -> Result<Identity, Rejection> {
        let issuer = self.saml_issuers().into_iter().find(|i| i.entity_id == entity_id);
        let issuer = issuer.ok_or_else(|| Rejection::UnknownIssuer(shown(entity_id)))?;
        let issuer = self.saml(&issuer.label)?;
        provision(&issuer, &mut claims).await?;
        Ok(mapping::signed_by(&mapping::identify(&issuer.config, claims, times)?, signer))
    }
}

/// What was asserted as claims: of the attributes only those that the configuration names, where no claim with a meaning can be.
fn claims(c: &SamlConfig, asserted: &Asserted) -> Result<Map<String, Value>, Rejection> {
    let values = |name: &str| asserted.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice());
    let one = |name: &str| match values(name) {
        Some([one]) if !one.is_empty() => Ok(one.clone()),
        Some(_) => Err(Rejection::claim(name, "has not exactly one value")),
        None => Err(Rejection::claim(name, "is missing")),
    };
    let subject = match &c.subject_attribute {
        Some(name) => one(name)?,
        None => asserted.name_id.clone(),
    };
    let mut attributes = Map::new();
    let named = [&c.name_attribute, &c.email_attribute].into_iter().flatten();
    for name in named.chain(c.mapping.iter().flat_map(|rule| rule.when.keys())) {
        match values(name) {
            Some([one]) => attributes.insert(name.clone(), json!(one)),
            Some(several) => attributes.insert(name.clone(), json!(several)),
            None => None,
        };
    }
    if let Some((name, groups)) = c.groups_attribute.as_ref().and_then(|name| Some((name, values(name)?))) {
        attributes.insert(name.clone(), json!(groups));
    }
    let mut claims = Map::new();
    claims.insert("iss".to_owned(), json!(c.entity_id));
    claims.insert("sub".to_owned(), json!(subject));
    claims.insert("name_id".to_owned(), json!(asserted.name_id));
    claims.insert("exp".to_owned(), json!(asserted.ends_at.unix_s()));
    claims.insert("iat".to_owned(), json!(asserted.issued_at.unix_s()));
    claims.insert("auth_time".to_owned(), json!(asserted.authenticated_at.unix_s()));
    for (name, value) in [("name_id_format", &asserted.name_id_format), ("acr", &asserted.context)] {
        if let Some(value) = value {
            claims.insert(name.to_owned(), json!(value));
        }
    }
    if let Some(name) = c.email_attribute.as_deref().filter(|name| values(name).is_some()) {
        claims.insert("email".to_owned(), json!(one(name)?));
    }
    claims.insert(ATTRIBUTES.to_owned(), Value::Object(attributes));
    Ok(claims)
}
