//! What the doors of identity take and answer, as the OpenAPI document shows it. The doors themselves are services/identity's.
//!
//! Nothing here ever holds a token: these types are never made from a request.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::PartyView;

/// An exchange (RFC 8693, 2.1).
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is a description")]
pub(crate) struct ExchangeForm {
    /// `urn:ietf:params:oauth:grant-type:token-exchange`.
    #[schemars(extend("const" = "urn:ietf:params:oauth:grant-type:token-exchange"))]
    grant_type: String,
    /// The token of whoever it is about.
    subject_token: String,
    /// What sort of token that is.
    subject_token_type: String,
    /// The token of whoever acts for it.
    actor_token: Option<String>,
    /// What sort of token that is.
    actor_token_type: Option<String>,
    /// `urn:countersign:token-type:x509`.
    requested_token_type: Option<String>,
    /// A certificate request (PKCS #10, DER in base64): it proves the key.
    csr: String,
}

/// A renewal.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is a description")]
pub(crate) struct RenewForm {
    /// A certificate request of the login's key.
    csr: String,
}

/// A certificate (RFC 8693, 2.2.1).
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is a description")]
pub(crate) struct ExchangedView {
    /// The chain, PEM.
    access_token: String,
    /// `urn:countersign:token-type:x509`.
    issued_token_type: String,
    /// `N_A`.
    token_type: String,
    /// Seconds that the certificate is good for.
    expires_in: i64,
    /// Whose it is.
    identity: DescribedView,
    /// The login.
    login: String,
    /// Seconds that the login lasts.
    login_expires_in: i64,
    /// Whether the gateway gives another certificate for this one.
    renewable: bool,
}

/// An identity with those who act for it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is a description")]
pub(crate) struct DescribedView {
    #[serde(flatten)]
    party: PartyView,
    /// Who acts for it, nearest first.
    delegation: Vec<PartyView>,
}

/// The caller. Times are seconds since the Unix epoch.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is a description")]
pub(crate) struct WhoamiView {
    #[serde(flatten)]
    described: DescribedView,
    /// How firmly the credential is tied to a key.
    credential: String,
    /// The claims of its token.
    claims: BTreeMap<String, serde_json::Value>,
    /// The token's id, or the certificate's serial number.
    token_id: Option<String>,
    /// The thumbprint of the key.
    key: Option<String>,
    /// The login.
    login: Option<String>,
    /// When it was proved.
    issued_at: i64,
    /// Until when it holds.
    expires_at: i64,
    /// Until when the certificate is good.
    certificate_expires_at: Option<i64>,
    /// Until when the login is.
    login_expires_at: Option<i64>,
}

/// The end of a login.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is a description")]
pub(crate) struct LogoutView {
    /// False when it had ended before.
    ended: bool,
}

/// Where a protocol is spoken.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is a description")]
pub(crate) struct ListenerView {
    protocol: String,
    address: String,
}

/// Where people log in.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is a description")]
pub(crate) struct IssuerView {
    /// Its name here.
    label: String,
    /// Its URL, exactly as in tokens.
    issuer: String,
    /// What the command line is called there.
    client_id: String,
    /// What to ask for.
    scopes: Vec<String>,
    /// Which of its tokens is taken: `access_token` or `id_token`.
    token: String,
    /// What tokens must be for.
    audience: Option<String>,
    /// The resource to name (RFC 8707).
    resource: Option<String>,
}

/// What a client needs to log in.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is a description")]
pub(crate) struct LoginFactsView {
    /// What tokens for this gateway are for.
    audience: String,
    /// The authority of the listeners' certificates, when it is the gateway's own; PEM.
    gateway_ca_pem: Option<String>,
    /// Where protocols are spoken.
    listeners: Vec<ListenerView>,
    /// Where people log in.
    issuers: Vec<IssuerView>,
}

/// An error of OAuth (RFC 6749, 5.2).
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is a description")]
pub(crate) struct OauthError {
    /// Its code.
    error: String,
    /// What is wrong, for people.
    error_description: Option<String>,
}
