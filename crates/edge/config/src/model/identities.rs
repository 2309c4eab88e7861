//! Who may come: issuers, trust domains, the local issuer, logins.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use countersign_model::IdentityKind;

use super::SecretSource;

/// An OIDC issuer whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// A short word for it.
    pub label: String,
    /// Its `iss`, exactly.
    pub url: String,
    /// A token must be for one of these.
    pub audiences: Vec<String>,
    /// Signature algorithms that are accepted (JWA names).
    pub algorithms: Vec<String>,
    /// Where its keys are; `None` asks discovery.
    pub jwks_uri: Option<String>,
    /// Its keys in a file instead.
    pub jwks_file: Option<PathBuf>,
    /// PEM file of the authorities of its HTTPS certificate; `None` is the system's.
    pub ca: Option<PathBuf>,
    /// Values of the header's `typ` that are accepted; an empty text stands for a missing one.
    pub types: Vec<String>,
    /// Whether its ID tokens are accepted like access tokens.
    pub accept_id_tokens: bool,
    /// Clients that its tokens may have been issued to; empty for any.
    pub authorized_parties: Vec<String>,
    /// The claim that becomes the identity's name.
    pub name_claim: String,
    /// Put before names taken from a claim.
    pub name_prefix: String,
    /// The claim that lists groups; `None` takes none from the token.
    pub groups_claim: Option<String>,
    /// Put before each group taken from the token; `None` is the label and a colon.
    pub groups_prefix: Option<String>,
    /// What its identities are, unless a mapping or `kind_claim` says otherwise.
    pub kind: IdentityKind,
    /// A claim that says what an identity is.
    pub kind_claim: Option<String>,
    /// Whether a token that no mapping fits is accepted; `None` accepts where there is no mapping at all.
    pub accept_unmapped: Option<bool>,
    /// Whether each of its tokens is good for one key only, or for one connection without a key.
    pub single_use: bool,
    /// Whether its tokens are taken only with a key.
    pub require_bound: bool,
    /// The client that `countersign login` is at this issuer; `None` where nobody logs in through it.
    pub client_id: Option<String>,
    /// The scopes that `countersign login` asks for.
    pub scopes: Vec<String>,
    /// The resource that `countersign login` asks for a token for (RFC 8707); `None` names none.
    pub resource: Option<String>,
    /// Which token of a login is exchanged.
    pub login_token: LoginToken,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Tokens that live longer are refused.
    pub token_lifetime_max: Duration,
    /// How old its keys may be before they are fetched anew.
    pub keys_refresh: Duration,
    /// How long its cached keys are used while it cannot be reached.
    pub keys_age_max: Duration,
    /// The cluster that is asked about its tokens besides.
    pub token_review: Option<TokenReview>,
    /// Mappings, in order: all that fit add their groups, the first that has a name or kind gives it.
    pub mappings: Vec<Mapping>,
}

/// A Kubernetes cluster that is asked about its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenReview {
    /// The address of its API server.
    pub url: String,
    /// PEM file of the authorities of its HTTPS certificate; `None` is the system's.
    pub ca: Option<PathBuf>,
    /// The token with which the gateway asks.
    pub token_file: PathBuf,
    /// Whether a token goes by its signature alone while the cluster cannot be reached.
    pub accept_unreachable: bool,
}

/// A SPIFFE trust domain whose workloads are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spiffe {
    /// Its name.
    pub trust_domain: String,
    /// A JWT-SVID must be for one of these.
    pub audiences: Vec<String>,
    /// Where its bundle is.
    pub bundle: BundleSource,
    /// How old the bundle may be before it is fetched anew, where it does not say.
    pub bundle_refresh: Duration,
    /// How long a cached bundle is used while it cannot be fetched.
    pub bundle_age_max: Duration,
    /// Whether each JWT-SVID is good for one key only, or for one connection without a key.
    pub single_use: bool,
    /// Whether JWT-SVIDs are taken only with a key.
    pub require_bound: bool,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// JWT-SVIDs that live longer are refused.
    pub token_lifetime_max: Duration,
    /// Put before the path where no mapping gives a name; `None` is the trust domain.
    pub name_prefix: Option<String>,
    /// Whether a workload that no mapping fits is accepted; `None` accepts where there is no mapping at all.
    pub accept_unmapped: Option<bool>,
    /// Mappings, in order.
    pub mappings: Vec<Mapping>,
}

/// Where a trust bundle is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleSource {
    /// In a file.
    File(PathBuf),
    /// At an address.
    Url {
        /// The address.
        url: String,
        /// PEM file of the authorities of its HTTPS certificate; `None` is the system's.
        ca: Option<PathBuf>,
    },
}

/// An identity provider that people sign in at by SAML 2.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saml {
    /// A short word for it.
    pub label: String,
    /// Its entity id.
    pub entity_id: String,
    /// What the gateway is called there; `None` is where its metadata is.
    pub sp_entity_id: Option<String>,
    /// Where its metadata is.
    pub metadata: MetadataSource,
    /// PEM file of the certificate whose key must have signed the metadata.
    pub metadata_signed_by: Option<PathBuf>,
    /// How old the metadata may be before it is fetched anew.
    pub metadata_refresh: Duration,
    /// How long cached metadata is used while it cannot be fetched.
    pub metadata_age_max: Duration,
    /// The attribute that is the subject; `None` is the NameID.
    pub subject_attribute: Option<String>,
    /// The attribute that is the name; `None` is the NameID.
    pub name_attribute: Option<String>,
    /// Put before names taken from an assertion.
    pub name_prefix: String,
    /// The attribute that is the mail address.
    pub email_attribute: Option<String>,
    /// The attribute that lists groups; `None` takes none from an assertion.
    pub groups_attribute: Option<String>,
    /// Put before each group of an assertion; `None` is the label and a colon.
    pub groups_prefix: Option<String>,
    /// Which format of NameID is asked for; `None` leaves it to the identity provider.
    pub name_id_format: Option<NameIdFormat>,
    /// Whether requests are signed.
    pub sign_requests: bool,
    /// Whether an assertion must be encrypted.
    pub require_encrypted: bool,
    /// Whether an assertion without a signature of its own is accepted where the response around it has one.
    pub accept_response_signature: bool,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Whether a person that no mapping fits is accepted; `None` accepts where there is no mapping at all.
    pub accept_unmapped: Option<bool>,
    /// Mappings, in order.
    pub mappings: Vec<Mapping>,
}

/// A directory that an identity provider keeps current by SCIM 2.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scim {
    /// The label of the issuer whose people it is about.
    pub issuer: String,
    /// The token that opens it.
    pub token: SecretSource,
    /// Whether people are known by `userName` rather than `externalId`.
    pub by_name: bool,
    /// The claim that has the same value.
    pub claim: String,
}

/// Where an identity provider's metadata is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataSource {
    /// In a file.
    File(PathBuf),
    /// At an address.
    Url {
        /// The address.
        url: String,
        /// PEM file of the authorities of its HTTPS certificate; `None` is the system's.
        ca: Option<PathBuf>,
    },
}

/// How an identity provider is asked to name people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameIdFormat {
    /// By an opaque name that stays.
    Persistent,
    /// By a mail address.
    Email,
}

/// A token that an issuer gives to `countersign login`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginToken {
    /// The one made for other services.
    Access,
    /// The one made for the application that logs a person in.
    Id,
}

/// How identities live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Where clients reach the API; `None` derives it from the API's address.
    pub url: Option<String>,
    /// How long a client certificate lives.
    pub certificate_lifetime: Duration,
    /// How long a login lives.
    pub login_lifetime: Duration,
    /// How long a session may live.
    pub session_life: SessionLife,
    /// What becomes of a credential that is live from two networks at once.
    pub clones: Clones,
}

/// How long a session may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionLife {
    /// As long as its identity stands.
    Identity,
    /// No longer than the token or certificate that it began with.
    Token,
}

/// What becomes of a credential that is live from two networks at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clones {
    /// People are told.
    Alert,
    /// People are told, and both are refused.
    Refuse,
}

/// What tokens with certain claims become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// All of these claims must be there and equal, in type and value.
    pub when: BTreeMap<String, ClaimValue>,
    /// The identity's name.
    pub name: Option<String>,
    /// Groups added.
    pub groups: Vec<String>,
    /// What the identity is.
    pub kind: Option<IdentityKind>,
}

/// What a claim must be equal to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimValue {
    /// This text.
    Text(String),
    /// This truth value.
    Bool(bool),
    /// This whole number.
    Integer(i64),
    /// One of these texts.
    AnyOf(Vec<String>),
}

/// The issuer inside the gateway, with its own accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalIssuer {
    /// Its `iss`; `None` derives it from the API's address.
    pub url: Option<String>,
    /// The `aud` of its tokens.
    pub audience: String,
    /// How long its tokens live.
    pub token_lifetime: Duration,
    /// How long a person stays signed in.
    pub refresh_lifetime: Duration,
    /// Programs that people sign in to, besides the built-in one.
    pub clients: Vec<LocalClient>,
}

/// A program that people sign in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalClient {
    /// Its `client_id`.
    pub id: String,
    /// Where people are sent back to.
    pub redirect_uris: Vec<String>,
    /// Where its secret is; `None` for a public client.
    pub secret: Option<SecretSource>,
}
