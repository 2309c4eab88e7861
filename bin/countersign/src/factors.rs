//! What fits second factors to the vault, the configuration and their HTTP doors. It must never decide anything.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_api::{
    Answer, CodesView, DoorRequest as Asked, FactorBody, FactorCall, FactorChallengeBody, FactorChallengeView,
    FactorDoors, FactorPage, FactorUse, FactorView, ResetFactorsView,
};
use countersign_config::Config;
use countersign_credentials::Vault;
use countersign_enforce::{
    Assertion, BoxFuture, FactorAsk, FactorChallenge, FactorProof, FactorPurpose, Factors as _, NoFactor,
};
use countersign_factors::webauthn::{ALGORITHMS, Registration, Site};
use countersign_factors::{Listed, Sealer, SecondFactors, user_handle};
use countersign_identity::IdentityService;
use countersign_locks::LockService;
use countersign_model::{Factor, Identity, IdentityParts, Secret, Timestamp};
use countersign_policy::{PolicyProblem, PolicySet};
use serde::Serialize;
use serde_json::{Value, json};

use crate::clock;
use crate::console::bases;
use crate::reviews::{caller, private, problem};

/// The secrets of codes, sealed by the vault.
pub(crate) struct SealedCodes(pub(crate) Vault);

impl Sealer for SealedCodes {
    fn seal(&self, name: &str, secret: &Secret) -> Result<Vec<u8>, String> {
        self.0.seal(name, secret).map_err(|e| e.to_string())
    }

    fn unseal(&self, name: &str, sealed: &[u8]) -> Result<Secret, String> {
        self.0.unseal(name, sealed).map_err(|e| e.to_string())
    }
}

/// Where browsers use security keys, the usual place first.
pub(crate) fn sites(config: &Config) -> Vec<Site> {
    bases(config).iter().filter_map(|base| Site::of(base)).collect()
}

/// The rules that ask for a factor that nobody could show here.
pub(crate) fn missing(set: &PolicySet, config: &Config) -> Vec<PolicyProblem> {
    let (keys, codes) = (!sites(config).is_empty(), config.vault.is_some());
    let can = |needed: Factor| match needed {
        Factor::Webauthn => keys,
        Factor::Totp => keys || codes,
    };
    let mut all = Vec::new();
    for rule in set.rules() {
        let asked = rule.review.as_ref().and_then(|r| r.factor);
        let asked = asked.max(rule.grant.as_ref().and_then(|g| g.review.factor));
        let Some(factor) = asked.filter(|f| !can(*f)) else { continue };
        let help = match factor {
            Factor::Webauthn => {
                "security keys need an address by name: set `url` in [identity] to https://NAME, where browsers reach the console"
            }
            Factor::Totp => "the secrets of codes are kept sealed: add [vault] key = { file = \"vault.key\" }",
        };
        all.push(PolicyProblem {
            file: rule.file.to_string(),
            line: rule.line,
            column: 1,
            message: format!(
                "{}: it asks for factor={}, which nobody could show to this gateway",
                rule.id.as_str(),
                factor.as_str()
            ),
            help: Some(help.to_owned()),
        });
    }
    all
}

/// Why a second factor does not do.
pub(crate) fn no_factor(no: &NoFactor) -> Answer {
    let (status, title) = match no {
        NoFactor::Needed(_)
        | NoFactor::NotAPerson
        | NoFactor::None(_)
        | NoFactor::Wrong(_)
        | NoFactor::LockedOut(_)
        | NoFactor::NotHere(_) => (403, "Forbidden"),
        NoFactor::Unknown => (404, "Not Found"),
        NoFactor::Full(_) | NoFactor::Unfit(_) => (409, "Conflict"),
        NoFactor::Busy | NoFactor::Unavailable(_) => (503, "Service Unavailable"),
    };
    if let NoFactor::Unavailable(why) = no {
        tracing::error!(why, "factors could not be read or written");
    }
    problem(status, title, &no.to_string())
}

fn bytes(text: &str) -> Result<Vec<u8>, NoFactor> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| NoFactor::Wrong("what the key gave cannot be read"))
}

/// What is shown, from its written form.
pub(crate) fn proof(shown: &FactorBody) -> Result<FactorProof, NoFactor> {
    Ok(match shown {
        FactorBody::Code(code) => FactorProof::Code(Secret::from(code.0.clone())),
        FactorBody::Assertion(a) => FactorProof::Assertion(Assertion {
            credential: bytes(&a.credential)?,
            client_data: bytes(&a.client_data)?,
            authenticator_data: bytes(&a.authenticator_data)?,
            signature: bytes(&a.signature)?,
        }),
    })
}

/// What a key is to sign, in its written form.
pub(crate) fn challenge(who: &IdentityParts, asked: &FactorChallenge) -> Value {
    shown(&FactorChallengeView {
        challenge: URL_SAFE_NO_PAD.encode(asked.challenge),
        site: asked.site.clone(),
        credentials: asked.credentials.iter().map(|c| URL_SAFE_NO_PAD.encode(c)).collect(),
        user: URL_SAFE_NO_PAD.encode(user_handle(who)),
        name: who.name.clone(),
        algorithms: ALGORITHMS.to_vec(),
        expires_at: asked.expires_at.unix_s(),
    })
}

fn shown(view: &impl Serialize) -> Value {
    serde_json::to_value(view).unwrap_or_else(|_| json!({}))
}

fn view(listed: Listed) -> FactorView {
    FactorView {
        id: listed.id,
        kind: listed.kind.as_str().to_owned(),
        name: listed.name,
        created_at: listed.created_at.unix_s(),
        used_at: listed.used_at.map(Timestamp::unix_s),
        site: listed.site,
        sign_count: listed.sign_count,
    }
}

/// The factors of people behind their HTTP doors.
pub(crate) struct FactorCounter {
    pub(crate) factors: SecondFactors,
    pub(crate) identity: Arc<IdentityService>,
    pub(crate) locks: Arc<LockService>,
}

impl FactorCounter {
    async fn served(&self, request: &Asked, call: FactorCall) -> Result<Answer, Answer> {
        let who: Arc<Identity> = caller(&self.identity, &*self.locks, request, "factors").await?;
        let (factors, now) = (&self.factors, clock::now());
        let done = async {
            Ok(match call {
                FactorCall::List => {
                    let available = factors.available().into_iter().map(|f| f.as_str().to_owned()).collect();
                    let factors = factors.list(&who).await?.into_iter().map(view).collect();
                    (200, shown(&FactorPage { factors, available }))
                }
                FactorCall::Challenge(body) => (200, self.asked(&who, &body, now).await?),
                FactorCall::AddKey(body) => {
                    let made =
                        Registration { client_data: bytes(&body.client_data)?, attestation: bytes(&body.attestation)? };
                    let proof = body.factor.as_ref().map(proof).transpose()?;
                    (201, shown(&view(factors.add_key(&who, &body.name, &made, proof.as_ref(), now).await?)))
                }
                FactorCall::AddCodes(body) => {
                    let proof = body.factor.as_ref().map(proof).transpose()?;
                    let fresh = factors.begin_codes(&who, &body.name, proof.as_ref(), now).await?;
                    let text = |secret: &Secret| secret.expose_str().unwrap_or_default().to_owned();
                    let (secret, uri) = (text(&fresh.secret), text(&fresh.uri));
                    (201, shown(&CodesView { id: fresh.id, secret, uri, expires_at: fresh.expires_at.unix_s() }))
                }
                FactorCall::Confirm(id, body) => {
                    let code = Secret::from(body.code.0);
                    (200, shown(&view(factors.confirm_codes(&who, &id, &code, now).await?)))
                }
                FactorCall::Remove(id, body) => {
                    let proof = body.factor.as_ref().map(proof).transpose()?;
                    (200, shown(&view(factors.remove(&who, &id, proof.as_ref(), now).await?)))
                }
                FactorCall::Reset(body) => {
                    let by = format!("{} ({}#{}): {}", who.name, who.issuer, who.subject, body.reason);
                    let removed = factors.reset(&body.person, &by, now).await?;
                    (200, shown(&ResetFactorsView { removed }))
                }
            })
        };
        let (status, body) = done.await.map_err(|no: NoFactor| no_factor(&no))?;
        Ok(private(status, &body))
    }

    async fn asked(&self, who: &Identity, body: &FactorChallengeBody, now: Timestamp) -> Result<Value, NoFactor> {
        let purpose = match (body.r#use, body.factor.as_deref()) {
            (FactorUse::Register, None) => FactorPurpose::Register,
            (FactorUse::Add, None) => FactorPurpose::Add,
            (FactorUse::Remove, Some(id)) => FactorPurpose::Remove(id),
            _ => return Err(NoFactor::Wrong("`factor` names what is removed, and nothing else")),
        };
        let ask = FactorAsk { person: who, purpose, now };
        Ok(challenge(who, &self.factors.challenge(ask, body.origin.as_deref()).await?))
    }
}

impl FactorDoors for FactorCounter {
    fn serve(&self, request: Asked, call: FactorCall) -> BoxFuture<'_, Answer> {
        Box::pin(async move { self.served(&request, call).await.unwrap_or_else(|no| no) })
    }
}
