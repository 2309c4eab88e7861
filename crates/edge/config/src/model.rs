//! The configuration as typed values. They hold no secret, only where secrets are.

mod identities;
mod notices;
mod process;
mod storage;
mod targets;

pub use identities::{
    BundleSource, ClaimValue, Clones, Identity, Issuer, LocalClient, LocalIssuer, LoginToken, Mapping, MetadataSource,
    NameIdFormat, Saml, Scim, SessionLife, Spiffe, TokenReview,
};
pub use notices::{MailEncryption, ReceiverSpec, ReceiverWay};
pub use process::{Api, Certificate, Gateway, ListenerLogin, ListenerSpec, LogFormat, Plaintext, Telemetry};
pub use storage::{KeySource, PolicyFiles, Recording, StoreSpec, UrlSource, Vault};
pub use targets::{Account, Endpoint, Match, SecretSource, TargetSpec, TlsMode, UpstreamTls};

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[gateway]`.
    pub gateway: Gateway,
    /// `[[listener]]`, at least one.
    pub listeners: Vec<ListenerSpec>,
    /// `[api]`.
    pub api: Api,
    /// `[store]`.
    pub store: StoreSpec,
    /// `[[target]]`.
    pub targets: Vec<TargetSpec>,
    /// `[[issuer]]`.
    pub issuers: Vec<Issuer>,
    /// `[[spiffe]]`.
    pub spiffe: Vec<Spiffe>,
    /// `[[saml]]`.
    pub saml: Vec<Saml>,
    /// `[[scim]]`.
    pub scim: Vec<Scim>,
    /// `[local_issuer]`, when there is one.
    pub local_issuer: Option<LocalIssuer>,
    /// `[identity]`.
    pub identity: Identity,
    /// `[policy]`.
    pub policy: PolicyFiles,
    /// `[recording]`.
    pub recording: Recording,
    /// `[[receiver]]`.
    pub receivers: Vec<ReceiverSpec>,
    /// `[telemetry]`.
    pub telemetry: Telemetry,
    /// `[vault]`, when there is one.
    pub vault: Option<Vault>,
}
