//! Who is asking, whatever was presented: a token, a token with the certificate that it is bound to, or a certificate of a login.
//!
//! The port that the runtime asks. What a thief would cause is alarmed, at most so often (`alarms`). Must never take a credential for
//! the identity that the client only says it has, nor an answer that could not be had for a yes.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use countersign_enforce::{
    Alert, AlertSink, Authenticator, BoxFuture, Lockable, Locks, Presented, PresentedCredential, Recorder, Refused,
    Standing,
};
use countersign_model::{
    ClientText, Culprit, Denial, DenialCode, GATEWAY_TARGET, Identity, IdentityParts, SessionId, TargetName, Timestamp,
};

use crate::alarms::Alarms;
use crate::api_keys::ApiKeyStore;
use crate::authenticator::{svid_id, use_id};
use crate::certificate::{IdentityAuthority, Leaf};
use crate::clones::Sightings;
use crate::confirmation::Proof;
use crate::login::{Login, LoginStore, Logins};
use crate::mapping;
use crate::thumbprint::of_certificate;
use crate::token::{parse_unverified, shown};
use crate::{Rejection, TokenAuthenticator};

/// How long a session may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionLife {
    /// As long as its identity stands: the account, the issuer, and the login where there is one.
    Identity,
    /// No longer than the token or certificate that it began with.
    Token,
}

/// What becomes of a credential that is live from two networks at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clones {
    /// People are told.
    Alert,
    /// People are told, the newcomer is refused, and the sessions that there are end.
    Refuse,
}

/// How identities live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityConfig {
    /// How long a client certificate lives, in seconds; at most [`CERTIFICATE_LIFETIME_S_MAX`](crate::CERTIFICATE_LIFETIME_S_MAX).
    pub certificate_lifetime_s: u64,
    /// How long a login lives, in seconds; at most [`LOGIN_LIFETIME_S_MAX`](crate::LOGIN_LIFETIME_S_MAX).
    pub login_lifetime_s: u64,
    /// How long a session may live.
    pub session_life: SessionLife,
    /// What becomes of copies.
    pub clones: Clones,
    /// The addresses that clients reach the API under, such as `https://gw.example:8443`: proofs of possession name them.
    pub urls: Vec<String>,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            certificate_lifetime_s: 3600,
            login_lifetime_s: 12 * 3600,
            session_life: SessionLife::Identity,
            clones: Clones::Alert,
            urls: Vec::new(),
        }
    }
}

/// Everything that knows who is asking.
pub struct IdentityService {
    pub(crate) tokens: Arc<TokenAuthenticator>,
    pub(crate) logins: Logins,
    pub(crate) authority: Option<Arc<IdentityAuthority>>,
    config: ArcSwap<IdentityConfig>,
    sightings: Sightings,
    alarms: Alarms,
    alerts: Arc<dyn AlertSink>,
    recorder: Option<Arc<dyn Recorder>>,
    locks: Option<Arc<dyn Locks>>,
    pub(crate) api_keys: Option<Arc<dyn ApiKeyStore>>,
}

impl std::fmt::Debug for IdentityService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdentityService")
    }
}

impl IdentityService {
    /// Puts it together. Without an authority, certificates are neither made nor taken.
    pub fn new(
        config: IdentityConfig,
        tokens: Arc<TokenAuthenticator>,
        logins: Arc<dyn LoginStore>,
        authority: Option<Arc<IdentityAuthority>>,
        alerts: Arc<dyn AlertSink>,
    ) -> Self {
        Self {
            tokens,
            logins: Logins::new(logins),
            authority,
            config: ArcSwap::from_pointee(config),
            sightings: Sightings::default(),
            alarms: Alarms::default(),
            alerts,
            recorder: None,
            locks: None,
            api_keys: None,
        }
    }

    /// Has API keys made and taken.
    #[must_use]
    pub fn with_api_keys(mut self, keys: Arc<dyn ApiKeyStore>) -> Self {
        self.api_keys = Some(keys);
        self
    }

    /// Has refusals over HTTP recorded, as those of sessions are by the runtime.
    #[must_use]
    pub fn recording(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Has no certificate made for whoever locks keep out.
    #[must_use]
    pub fn heeding(mut self, locks: Arc<dyn Locks>) -> Self {
        self.locks = Some(locks);
        self
    }

    /// That no lock keeps them out of this gateway. There is no session yet, so that a lock on one has nothing to match.
    pub(crate) fn heed_locks(
        &self,
        identity: &IdentityParts,
        source: SocketAddr,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let Some(locks) = &self.locks else { return Ok(()) };
        let Some(target) = TargetName::parse(GATEWAY_TARGET) else {
            let why = ClientText::new("the gateway has no name");
            return Err(Rejection::Locked(Box::new(Denial::new(Culprit::Us, DenialCode::Internal, why))));
        };
        let what = Lockable { identity, source, target: &target, session: SessionId::from_u128(0) };
        locks.keeps_out(&what, now).map_or(Ok(()), |denial| Err(Rejection::Locked(Box::new(denial))))
    }

    /// Records a refusal over HTTP; what cannot be recorded was refused anyway.
    pub(crate) fn record(&self, denial: &Denial, about: &str, door: &str, source: SocketAddr, now: Timestamp) {
        let Some(recorder) = &self.recorder else { return };
        let id = SessionId::new(now, rand::random());
        let refused = Refused { id, at: now, source, protocol: "http", user: about, target: door, denial };
        if let Err(fault) = recorder.refused(&refused) {
            tracing::error!(error = %fault, detail = fault.detail, "a refusal could not be recorded");
        }
    }

    /// Puts another configuration in force.
    pub fn configure(&self, config: IdentityConfig) {
        self.config.store(Arc::new(config));
    }

    pub(crate) fn config(&self) -> Arc<IdentityConfig> {
        self.config.load_full()
    }

    /// Looks after keys, logins and uses that are over. To be called every few minutes.
    pub async fn maintain(&self, now: Timestamp) {
        if let Some(authority) = &self.authority
            && let Err(fault) = authority.maintain(now).await
        {
            tracing::warn!(%fault, "the identity authority's keys could not be looked after");
        }
        for swept in [self.logins.sweep(now).await, self.tokens.sweep(now).await, self.sweep_api_keys(now).await] {
            if let Err(fault) = swept {
                tracing::warn!(%fault, "what is over could not be removed");
            }
        }
    }

    /// The login of a client certificate whose key the connection proved.
    pub(crate) async fn login_of(&self, chain: &[Bytes], now: Timestamp) -> Result<(Arc<Login>, Leaf), Rejection> {
        let authority = self.authority.as_ref().ok_or(Rejection::Certificate("this gateway makes none"))?;
        let now = self.tokens.steady(now)?;
        let leaf = authority.verify(chain, now).await?;
        self.login_named(leaf, now).await
    }

    /// The login that a verified certificate names.
    async fn login_named(&self, leaf: Leaf, now: Timestamp) -> Result<(Arc<Login>, Leaf), Rejection> {
        let login = self.logins.find(&leaf.login, now).await?.ok_or(Rejection::LoginGone)?;
        if login.key != leaf.key {
            return Err(Rejection::Certificate("its key is not its login's"));
        }
        live(&login, now)?;
        self.tokens.accounts_stand(&login.identity, now).await?;
        Ok((login, leaf))
    }

    /// Who a certificate in OpenSSH's form is whose key the connection proved.
    async fn identity_of_ssh(&self, certificate: &[u8], now: Timestamp) -> Result<Arc<Identity>, Rejection> {
        let authority = self.authority.as_ref().ok_or(Rejection::Certificate("this gateway makes none"))?;
        let now = self.tokens.steady(now)?;
        let leaf = authority.verify_ssh(certificate, now).await?;
        let (login, leaf) = self.login_named(leaf, now).await?;
        Ok(Arc::new(mapping::of_login(&login, leaf.serial, leaf.expires_at)))
    }

    /// Who a client certificate is whose key the connection proved: of a login, or an X.509-SVID.
    pub(crate) async fn identity_of(
        &self,
        chain: &[Bytes],
        now: Timestamp,
    ) -> Result<(Arc<Identity>, Option<Arc<Login>>), Rejection> {
        if !IdentityAuthority::recognises(chain) && self.tokens.recognises_svid(chain) {
            return Ok((Arc::new(self.tokens.verify_svid(chain, now).await?), None));
        }
        let (login, leaf) = self.login_of(chain, now).await?;
        Ok((Arc::new(mapping::of_login(&login, leaf.serial, leaf.expires_at)), Some(login)))
    }

    async fn identify(&self, presented: &Presented, now: Timestamp) -> Result<Arc<Identity>, Rejection> {
        let identity = match &presented.credential {
            PresentedCredential::Token { token, certificate } => {
                let token = token.expose_str().ok_or_else(|| Rejection::Malformed("not UTF-8".to_owned()))?;
                let certificate = certificate.as_deref().map(of_certificate);
                let proof = Proof { certificate: certificate.as_deref(), ..Proof::NONE };
                self.tokens.verify_with(token, &proof, now).await?
            }
            PresentedCredential::Certificate(chain) => self.identity_of(chain, now).await?.0,
            PresentedCredential::SshCertificate(blob) => self.identity_of_ssh(blob, now).await?,
        };
        if presented.user != identity.name && presented.user != identity.subject {
            return Err(Rejection::OtherUser { name: identity.name.clone(), given: shown(&presented.user) });
        }
        self.watch(&identity, presented, now).await
    }

    /// Looks whether the credential is live from elsewhere.
    async fn watch(
        &self,
        identity: &Identity,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<Arc<Identity>, Rejection> {
        let (held, elsewhere) = self.sightings.note(identity, presented.source.ip());
        if elsewhere && self.config().clones == Clones::Refuse {
            self.sightings.refuse(&held);
            let spoilt = match (&held.login, &presented.credential) {
                (Some(login), _) => {
                    self.logins.end(login, "it was in use from two networks at once", now).await.map(drop)
                }
                (None, PresentedCredential::Token { token, .. }) => {
                    let id = use_id(token.expose_str().unwrap_or_default());
                    self.tokens.spoil(&id, held.expires_at, now).await
                }
                (None, PresentedCredential::Certificate(_) | PresentedCredential::SshCertificate(_)) => {
                    let id = svid_id(&held.issuer, held.token_id.as_deref().unwrap_or_default());
                    self.tokens.spoil(&id, held.expires_at, now).await
                }
            };
            if let Err(fault) = spoilt {
                tracing::warn!(%fault, "a copied credential is refused here, other gateways could not be told");
            }
        } else if elsewhere {
            self.alarm(&Rejection::Cloned, &format!("{} ({})", held.name, held.issuer), presented.source, now);
        }
        if self.sightings.is_refused(&held) {
            return Err(Rejection::Cloned);
        }
        Ok(held)
    }

    async fn still_stands(&self, identity: &Identity, now: Timestamp) -> Result<(), Rejection> {
        if self.sightings.is_refused(identity) {
            return Err(Rejection::Cloned);
        }
        if self.config().session_life == SessionLife::Token && now >= identity.expires_at {
            let ago_s = now.since_us(identity.expires_at) / 1_000_000;
            // A certificate's end is not a claim.
            let is_token = identity.login.is_none() && identity.claims.contains_key("exp");
            return Err(if is_token { Rejection::Expired { ago_s } } else { Rejection::CertificateExpired { ago_s } });
        }
        if let Some(id) = &identity.login {
            live(&*self.logins.find(id, now).await?.ok_or(Rejection::LoginGone)?, now)?;
        }
        let stands = self.tokens.accounts_stand(identity, now).await;
        let why = match &stands {
            Err(Rejection::NotVouched(_)) => Some("its cluster does not vouch for it any more"),
            Err(Rejection::KeyRevoked) => Some("its issuer revoked the key that signed its token"),
            _ => None,
        };
        if let (Some(why), Some(login)) = (why, &identity.login)
            && let Err(fault) = self.logins.end(login, why, now).await
        {
            tracing::warn!(%fault, "a login ended here, other gateways could not be told");
        }
        stands
    }

    /// Whether somebody who said something earlier may still be taken at their word: their login, and their account with the groups that
    /// they had. That the credential of then has ended by itself does not matter.
    pub async fn party_standing(&self, party: &IdentityParts, now: Timestamp) -> Standing {
        let stands = async {
            if let Some(id) = &party.login {
                live(&*self.logins.find(id, now).await?.ok_or(Rejection::LoginGone)?, now)?;
            }
            self.tokens.accounts_stand(party, now).await
        };
        match stands.await {
            Ok(()) => Standing::Stands,
            Err(rejection) if rejection.is_ours() => Standing::Unknown,
            Err(rejection) => Standing::Ended(rejection.to_denial()),
        }
    }

    /// Raises an alarm, unless enough were raised.
    pub(crate) fn alarm(&self, rejection: &Rejection, about: &str, source: SocketAddr, now: Timestamp) {
        let Some(severity) = rejection.severity() else { return };
        let Some(held_back) = self.alarms.tell(rejection.as_str(), about, now) else { return };
        let what = format!("{}, from {}{}", rejection.as_str(), source.ip(), and_more(held_back));
        let identity = about.to_owned();
        self.alerts.raise(Alert {
            at: now,
            severity,
            session: None,
            identity,
            target: String::new(),
            rules: Vec::new(),
            what,
        });
    }

    fn refuse(&self, rejection: &Rejection, presented: &Presented, now: Timestamp) -> Denial {
        let about = match &presented.credential {
            PresentedCredential::Token { token, .. } => claimed(token.expose_str().unwrap_or_default()),
            PresentedCredential::Certificate(chain) => IdentityAuthority::claimed(chain),
            PresentedCredential::SshCertificate(blob) => IdentityAuthority::claimed_ssh(blob),
        };
        tracing::info!(
            reason = rejection.as_str(),
            detail = %rejection,
            claimed = about,
            source = %presented.source,
            "a credential was refused"
        );
        let denial = rejection.to_denial();
        let Some(severity) = rejection.severity() else { return denial };
        let detail = format!("{}: {rejection}; it claims to be {about}", rejection.as_str());
        match self.alarms.tell(rejection.as_str(), &about, now) {
            Some(held_back) => denial.detail(format!("{detail}{}", and_more(held_back))).alarming(severity),
            None => denial.detail(detail),
        }
    }
}

impl Authenticator for IdentityService {
    fn authenticate<'a>(
        &'a self,
        presented: &'a Presented,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Arc<Identity>, Denial>> {
        Box::pin(async move {
            self.identify(presented, now).await.map_err(|rejection| self.refuse(&rejection, presented, now))
        })
    }

    fn recognises(&self, chain: &[Bytes]) -> bool {
        (self.authority.is_some() && IdentityAuthority::recognises(chain)) || self.tokens.recognises_svid(chain)
    }

    fn standing<'a>(&'a self, identity: &'a Identity, now: Timestamp) -> BoxFuture<'a, Standing> {
        Box::pin(async move {
            match self.still_stands(identity, now).await {
                Ok(()) => Standing::Stands,
                Err(rejection) if rejection.is_ours() => Standing::Unknown,
                Err(rejection) => Standing::Ended(rejection.to_denial()),
            }
        })
    }
}

pub(crate) fn live(login: &Login, now: Timestamp) -> Result<(), Rejection> {
    match &login.ended {
        Some(end) => Err(Rejection::LoginEnded(end.why.clone())),
        None if now >= login.expires_at => Err(Rejection::LoginOver),
        None => Ok(()),
    }
}

/// Whose a token claims to be, unverified: to tell alarms apart, and for operators.
pub(crate) fn claimed(token: &str) -> String {
    let Ok(token) = parse_unverified(token) else { return "nobody: it is no token".to_owned() };
    let subject = token.claims.get("sub").and_then(serde_json::Value::as_str).unwrap_or_default();
    format!("{} of {}", shown(subject), shown(&token.issuer))
}

fn and_more(held_back: u64) -> String {
    if held_back == 0 { String::new() } else { format!(" (and {held_back} more like it since the last alarm)") }
}
