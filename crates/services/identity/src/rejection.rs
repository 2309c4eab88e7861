//! Why a credential was not accepted: one word for metrics, a sentence for operators, and the little that its bearer may know.
//!
//! Must never hold the token, a key, or a claim that the bearer could not read in its own token.

use countersign_model::{ClientText, Culprit, Denial, DenialCode, Severity};

/// Why a credential was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Longer than a token may be.
    #[error("the token is longer than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// Not a compact JWS of well-formed parts.
    #[error("not a well-formed signed token: {0}")]
    Malformed(String),
    /// A JWE, or a token inside another one.
    #[error("encrypted or nested tokens are not accepted")]
    Encrypted,
    /// A header parameter that would let the token choose its own key or change what is signed.
    #[error("the token's header has \"{0}\", which is never accepted")]
    Header(&'static str),
    /// No configured issuer has this `iss`.
    #[error("no issuer \"{0}\" is configured")]
    UnknownIssuer(String),
    /// Not an algorithm that is allowed for this issuer and this key.
    #[error("the signature algorithm \"{0}\" is not allowed here")]
    Algorithm(String),
    /// The header's `typ`, or the `typ` or `token_use` claim, says that it is another kind of token.
    #[error("the token is not an access token: {0}")]
    Type(String),
    /// An ID token where an access token is due.
    #[error("this is an ID token (it has \"{0}\"), not an access token")]
    IdToken(&'static str),
    /// No key of the issuer has this `kid`, or the token names none and several would fit.
    #[error("no key of the issuer fits the token: {0}")]
    UnknownKey(&'static str),
    /// The issuer's keys cannot be had.
    #[error("the keys of issuer \"{issuer}\" are not available: {why}")]
    KeysUnavailable {
        /// Which issuer.
        issuer: String,
        /// The last fault.
        why: String,
    },
    /// The signature is not the issuer's.
    #[error("the signature does not verify")]
    Signature,
    /// `exp` has passed.
    #[error("the token expired {ago_s} s ago")]
    Expired {
        /// How long ago.
        ago_s: u64,
    },
    /// `nbf` or `iat` is ahead.
    #[error("the token is not valid for another {in_s} s ({claim})")]
    NotYetValid {
        /// Which claim.
        claim: &'static str,
        /// How far ahead.
        in_s: u64,
    },
    /// It lives longer than this issuer's tokens may.
    #[error("the token lives {lifetime_s} s, more than the {limit_s} s allowed")]
    Lifetime {
        /// `exp` less `iat`.
        lifetime_s: u64,
        /// The limit.
        limit_s: u64,
    },
    /// It is meant for somebody else.
    #[error("the token's audience is not this gateway")]
    Audience,
    /// `azp` or `client_id` is not on the list.
    #[error("the token was issued to a client (azp) that is not on the list")]
    AuthorizedParty,
    /// It is bound to a key (`cnf`) and the key was not proved.
    #[error("the token is bound to a key (cnf) that was not proved")]
    Unproven,
    /// A claim is missing or has a value that is not acceptable.
    #[error("claim \"{claim}\" {why}")]
    Claim {
        /// Which.
        claim: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No mapping of the issuer fits the claims.
    #[error("no mapping of issuer \"{0}\" fits the token's claims")]
    Unmapped(String),
    /// It is good once and was used before, or it was used with a key before and comes with another, or with none.
    #[error("it was used before: with another key, or it is good once")]
    Replayed,
    /// Whether it was used before cannot be told.
    #[error("whether the token was used before cannot be told: {0}")]
    ReplayUnknown(String),
    /// The issuer's tokens are to be exchanged, not presented as they are.
    #[error("tokens of issuer \"{0}\" are taken only with a key")]
    BearerRefused(String),
    /// A proof of possession (DPoP) that does not hold.
    #[error("the proof of possession (DPoP): {0}")]
    Proof(&'static str),
    /// A client certificate that does not hold.
    #[error("the client certificate: {0}")]
    Certificate(&'static str),
    /// A client certificate that has ended.
    #[error("the client certificate expired {ago_s} s ago")]
    CertificateExpired {
        /// How long ago.
        ago_s: u64,
    },
    /// The login was ended before its time.
    #[error("the login was ended: {0}")]
    LoginEnded(String),
    /// The login's time is over.
    #[error("the login is over")]
    LoginOver,
    /// There is no such login.
    #[error("there is no such login")]
    LoginGone,
    /// Whether the login stands cannot be told.
    #[error("whether the login stands cannot be told: {0}")]
    LoginUnknown(String),
    /// There is no such API key, or its secret is another.
    #[error("there is no such API key")]
    ApiKeyUnknown,
    /// The API key was revoked.
    #[error("the API key was revoked")]
    ApiKeyRevoked,
    /// The API key has ended by itself.
    #[error("the API key expired {ago_s} s ago")]
    ApiKeyExpired {
        /// How long ago.
        ago_s: u64,
    },
    /// It was used from two networks at once.
    #[error("it is in use from two networks at once")]
    Cloned,
    /// A certificate request that cannot be granted.
    #[error("the certificate request: {0}")]
    Request(&'static str),
    /// The actor's token does not fit the subject's.
    #[error("the actor: {0}")]
    Actor(&'static str),
    /// The user name that was given is not the token's.
    #[error("the token is for \"{name}\", the user name given is \"{given}\"")]
    OtherUser {
        /// The identity's name.
        name: String,
        /// The user name as given.
        given: String,
    },
    /// The gateway's own clock went back, so that ended tokens would come alive again.
    #[error("the gateway's clock went back by {by_s} s: correct it, or restart the gateway")]
    ClockWentBack {
        /// How far.
        by_s: u64,
    },
    /// What an identity provider answered by SAML does not hold. The text is a literal: nothing of the answer is in it.
    #[error("the SAML response: {0}")]
    Saml(&'static str),
    /// The account behind a local token is gone or disabled.
    #[error("the account is disabled or gone, or its sign-in has ended")]
    AccountEnded,
    /// The account's name, kind or groups are not what the token says any more.
    #[error("the account was changed since")]
    AccountChanged,
    /// Whether the account stands cannot be told.
    #[error("whether the account stands cannot be told")]
    AccountUnknown,
    /// The issuer took away the key that signed the credential, before the credential had ended.
    #[error("its issuer revoked the key that signed it")]
    KeyRevoked,
    /// The cluster that issued the token does not stand behind it any more: its pod or service account is gone.
    #[error("the cluster does not vouch for the token: {0}")]
    NotVouched(String),
    /// A lock keeps its bearer out, or it cannot be told whether one does.
    #[error("{}", .0.message)]
    Locked(Box<Denial>),
    /// The cluster cannot be asked about the token.
    #[error("the cluster of issuer \"{issuer}\" cannot be asked about the token: {why}")]
    ReviewUnavailable {
        /// Which issuer.
        issuer: String,
        /// What happened.
        why: String,
    },
}

impl Rejection {
    /// A claim's fault.
    pub(crate) fn claim(claim: &str, why: &'static str) -> Self {
        Self::Claim { claim: claim.to_owned(), why }
    }

    /// One word, for metrics and records.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::Malformed(_) => "malformed",
            Self::Encrypted => "encrypted",
            Self::Header(_) => "header",
            Self::UnknownIssuer(_) => "unknown_issuer",
            Self::Algorithm(_) => "algorithm",
            Self::Type(_) => "type",
            Self::IdToken(_) => "id_token",
            Self::UnknownKey(_) => "unknown_key",
            Self::KeysUnavailable { .. } => "keys_unavailable",
            Self::Signature => "signature",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Lifetime { .. } => "lifetime",
            Self::Audience => "audience",
            Self::AuthorizedParty => "authorized_party",
            Self::Unproven => "unproven",
            Self::Claim { .. } => "claim",
            Self::Unmapped(_) => "unmapped",
            Self::Replayed => "replayed",
            Self::ReplayUnknown(_) => "replay_unknown",
            Self::BearerRefused(_) => "bearer_refused",
            Self::Proof(_) => "proof",
            Self::Certificate(_) => "certificate",
            Self::CertificateExpired { .. } => "certificate_expired",
            Self::LoginEnded(_) => "login_ended",
            Self::LoginOver => "login_over",
            Self::LoginGone => "login_gone",
            Self::LoginUnknown(_) => "login_unknown",
            Self::ApiKeyUnknown => "api_key_unknown",
            Self::ApiKeyRevoked => "api_key_revoked",
            Self::ApiKeyExpired { .. } => "api_key_expired",
            Self::Cloned => "cloned",
            Self::Request(_) => "request",
            Self::Actor(_) => "actor",
            Self::OtherUser { .. } => "other_user",
            Self::ClockWentBack { .. } => "clock_went_back",
            Self::Saml(_) => "saml",
            Self::AccountEnded => "account_ended",
            Self::AccountChanged => "account_changed",
            Self::AccountUnknown => "account_unknown",
            Self::KeyRevoked => "key_revoked",
            Self::NotVouched(_) => "not_vouched",
            Self::Locked(_) => "locked",
            Self::ReviewUnavailable { .. } => "review_unavailable",
        }
    }

    /// How loudly people should be told: what a thief would cause, and an honest client hardly ever.
    pub const fn severity(&self) -> Option<Severity> {
        match self {
            Self::Locked(denial) => denial.alarm,
            Self::Replayed
            | Self::Unproven
            | Self::Cloned
            | Self::LoginEnded(_)
            | Self::LoginGone
            | Self::ApiKeyRevoked
            | Self::Certificate(_)
            | Self::Signature
            | Self::Header(_) => Some(Severity::High),
            Self::Algorithm(_)
            | Self::Encrypted
            | Self::UnknownKey(_)
            | Self::UnknownIssuer(_)
            | Self::Audience
            | Self::AuthorizedParty
            | Self::Type(_)
            | Self::IdToken(_)
            | Self::Proof(_)
            | Self::Actor(_)
            | Self::KeyRevoked
            | Self::NotVouched(_)
            | Self::Saml(_)
            | Self::ApiKeyUnknown
            | Self::AccountEnded => Some(Severity::Medium),
            Self::Expired { .. } | Self::ApiKeyExpired { .. } | Self::BearerRefused(_) => Some(Severity::Low),
            _ => None,
        }
    }

    /// True when it is our own fault: trying again may help.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Locked(denial) if denial.culprit == Culprit::Us)
            || matches!(
                self,
                Self::KeysUnavailable { .. }
                    | Self::ClockWentBack { .. }
                    | Self::ReplayUnknown(_)
                    | Self::LoginUnknown(_)
                    | Self::AccountUnknown
                    | Self::ReviewUnavailable { .. }
            )
    }

    /// The refusal: the reasons that help an honest bearer are told, the others are for operators.
    pub fn to_denial(&self) -> Denial {
        if let Self::Locked(denial) = self {
            return Denial::clone(denial);
        }
        let culprit = if self.is_ours() { Culprit::Us } else { Culprit::Client };
        let says = |why: &'static str| ClientText::new("the token was not accepted: ").and(why);
        let (message, hint) = match self {
            Self::Expired { ago_s } => (
                says("it expired ").number(*ago_s).and(" s ago"),
                Some(ClientText::new("Get a fresh token and connect again.")),
            ),
            Self::NotYetValid { in_s, .. } => (
                says("it is not valid for another ").number(*in_s).and(" s"),
                Some(ClientText::new("Check the clock of the machine that issued it.")),
            ),
            Self::Audience => (
                says("it is for another audience"),
                Some(ClientText::new("Ask the issuer for a token whose audience is this gateway.")),
            ),
            Self::UnknownIssuer(_) => (says("its issuer is not known here"), None),
            Self::IdToken(_) => (
                says("it is an ID token"),
                Some(ClientText::new("Present the access token, which is the one made for other services.")),
            ),
            Self::TooLarge { limit_bytes } => {
                (says("it is longer than ").number(*limit_bytes as u64).and(" bytes"), None)
            }
            Self::Malformed(_) => (
                says("it is not a signed token (JWT)"),
                Some(ClientText::new("The password must be a token: three parts with dots between them.")),
            ),
            Self::OtherUser { name, given } => (
                ClientText::new("this token is for \"")
                    .name(name)
                    .and("\", the user name given is \"")
                    .name(given)
                    .and("\""),
                Some(ClientText::new("Connect with the user name \"").name(name).and("\".")),
            ),
            Self::KeysUnavailable { .. } => (
                says("its issuer cannot be reached to check it"),
                Some(ClientText::new("Try again in a minute; if it goes on, tell the gateway's operator.")),
            ),
            Self::ClockWentBack { .. } => (says("the gateway's clock is wrong"), None),
            Self::ReplayUnknown(_) | Self::LoginUnknown(_) | Self::AccountUnknown | Self::ReviewUnavailable { .. } => (
                ClientText::new("the gateway cannot check logins now"),
                Some(ClientText::new("Try again in a minute; if it goes on, tell the gateway's operator.")),
            ),
            Self::Unproven => (
                says("it is bound to a key that was not proved"),
                Some(ClientText::new("Log in with `countersign login`, on the machine that the token was made for.")),
            ),
            Self::BearerRefused(_) => (
                says("tokens of its issuer are taken only with a key"),
                Some(ClientText::new("Log in with `countersign login`, and connect with `countersign connect`.")),
            ),
            Self::CertificateExpired { ago_s } => (
                ClientText::new("the client certificate expired ").number(*ago_s).and(" s ago"),
                Some(ClientText::new("Log in again with `countersign login`.")),
            ),
            Self::LoginOver | Self::LoginEnded(_) | Self::LoginGone => (
                ClientText::new("the login has ended"),
                Some(ClientText::new("Log in again with `countersign login`.")),
            ),
            Self::KeyRevoked => (
                ClientText::new("the key that signed this login was revoked"),
                Some(ClientText::new("Log in again with `countersign login`, or get a fresh token.")),
            ),
            Self::AccountChanged => {
                (ClientText::new("the account was changed since the login"), Some(ClientText::new("Log in again.")))
            }
            Self::ApiKeyUnknown => (ClientText::new("there is no such API key"), None),
            Self::ApiKeyRevoked => (ClientText::new("the API key was revoked"), None),
            Self::ApiKeyExpired { ago_s } => (
                ClientText::new("the API key expired ").number(*ago_s).and(" s ago"),
                Some(ClientText::new("Make another one with `countersign api-keys create`.")),
            ),
            Self::Saml(why) => (ClientText::new("the identity provider's answer was not accepted: ").and(why), None),
            Self::Certificate(_) => (ClientText::new("the client certificate was not accepted"), None),
            Self::Proof(why) => {
                (ClientText::new("the proof of possession (DPoP) was not accepted: it ").and(why), None)
            }
            Self::Request(why) => (ClientText::new("the certificate request was not accepted: ").and(why), None),
            Self::Actor(why) => (ClientText::new("the actor was not accepted: ").and(why), None),
            _ => (ClientText::new("the token was not accepted"), None),
        };
        let denial =
            Denial::new(culprit, DenialCode::Unauthenticated, message).detail(format!("{}: {self}", self.as_str()));
        match hint {
            Some(hint) => denial.hint(hint),
            None => denial,
        }
    }
}
