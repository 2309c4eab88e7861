//! The configuration as typed values. They hold no secret, only where secrets are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use countersign_model::{IdentityKind, RecordLevel, TargetName};

/// The most policy files that patterns may match together.
const POLICY_FILES_MAX: usize = 1_000;
/// The most files and folders that patterns may touch together.
const POLICY_PATHS_MAX: usize = 20_000;

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
    /// `[[target]]`, at least one.
    pub targets: Vec<TargetSpec>,
    /// `[[issuer]]`.
    pub issuers: Vec<Issuer>,
    /// `[[spiffe]]`.
    pub spiffe: Vec<Spiffe>,
    /// `[local_issuer]`, when there is one.
    pub local_issuer: Option<LocalIssuer>,
    /// `[identity]`.
    pub identity: Identity,
    /// `[policy]`.
    pub policy: PolicyFiles,
    /// `[recording]`.
    pub recording: Recording,
    /// `[telemetry]`.
    pub telemetry: Telemetry,
    /// `[vault]`, when there is one.
    pub vault: Option<Vault>,
}

/// The process itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Where generated keys, the SQLite store and, unless told otherwise, recordings are.
    pub data_dir: PathBuf,
    /// Worker threads; `None` is one for each processor.
    pub workers: Option<usize>,
    /// Added to denials: how people ask for access. May be empty.
    pub ask: String,
    /// How long sessions may go on after the order to stop.
    pub drain_timeout: Duration,
    /// Client connections at one time, over all listeners.
    pub connections_max: usize,
    /// From the first byte to a proven identity.
    pub login_timeout: Duration,
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSpec {
    /// Which protocol is spoken there.
    pub protocol: String,
    /// The address; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Who may come without TLS.
    pub plaintext: Plaintext,
    /// How clients give their token.
    pub login: ListenerLogin,
    /// The issuer that clients without a token are sent to; `None` for the local one.
    pub oauth_issuer: Option<String>,
    /// The scope that they are told to ask it for.
    pub oauth_scope: String,
    /// The certificate shown to clients.
    pub tls: Certificate,
}

/// How clients of a listener give their token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerLogin {
    /// As the password.
    Password,
    /// By SASL OAUTHBEARER.
    OAuthBearer,
}

/// Who may come without TLS. A token on an open wire is a token given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plaintext {
    /// Clients whose address is a loopback address.
    Loopback,
    /// Nobody.
    Never,
    /// Everybody.
    Always,
}

/// Where a server certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Made at the first start and kept in the data folder.
    Generated,
    /// PEM files.
    Files {
        /// The chain, leaf first.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
}

/// The HTTP server for health, metrics and the local issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// The address.
    pub address: SocketAddr,
    /// The certificate; `None` is plain HTTP.
    pub tls: Option<Certificate>,
    /// Connections at one time.
    pub connections_max: usize,
}

/// Where state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSpec {
    /// One file, one gateway.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The longest that an operation may take.
        timeout: Duration,
    },
    /// A PostgreSQL database that several gateways share.
    Postgres {
        /// Where its URL is; the URL holds a password.
        url: UrlSource,
        /// The longest that an operation may take.
        timeout: Duration,
    },
}

/// Where the URL of a database is. It is not in the configuration itself, because it holds a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlSource {
    /// In an environment variable.
    Env(String),
    /// In a file.
    File(PathBuf),
}

/// A system behind the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSpec {
    /// The name that clients use.
    pub name: TargetName,
    /// Its protocol.
    pub protocol: String,
    /// Where it is.
    pub endpoint: Endpoint,
    /// The database used when a client names none.
    pub database: Option<String>,
    /// Labels for policy.
    pub labels: BTreeMap<String, String>,
    /// What is recorded.
    pub record: RecordLevel,
    /// Whether the record of a write is on the disk before the write reaches the target.
    pub durable: bool,
    /// Recordings older than this many days are removed; `None` keeps them.
    pub retention_days: Option<u32>,
    /// The oldest recordings are removed beyond this size; `None` has no limit.
    pub budget_bytes: Option<u64>,
    /// The longest that dialling and logging in may take.
    pub connect_timeout: Duration,
    /// How the connection to it is protected.
    pub tls: UpstreamTls,
    /// Accounts, in order: the first that matches is used.
    pub accounts: Vec<Account>,
}

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// By TCP.
    Tcp {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
    },
    /// By a Unix socket on this machine.
    Unix(PathBuf),
}

/// How the connection to a target is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// How much is verified.
    pub mode: TlsMode,
    /// PEM file of the authorities; `None` is the system's.
    pub ca: Option<PathBuf>,
    /// PEM file of our client certificate.
    pub certificate: Option<PathBuf>,
    /// PEM file of its key; there when `certificate` is.
    pub key: Option<PathBuf>,
    /// The name to verify; `None` is the host.
    pub server_name: Option<String>,
}

/// How much of the target's certificate is verified, from nothing to everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS with any certificate.
    Require,
    /// The certificate must come from a known authority.
    VerifyCa,
    /// It must also carry the target's name.
    VerifyFull,
}

/// An account at a target, and who goes on under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Who uses it.
    pub matches: Match,
    /// The account's name at the target.
    pub user: String,
    /// Where its password is; `None` where a client certificate or the network is the proof.
    pub password: Option<SecretSource>,
}

/// Who uses an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// Everybody whom no earlier account matched.
    Default,
    /// Whoever is in one of the groups or has one of the names.
    Any {
        /// Groups, after mapping.
        groups: Vec<String>,
        /// Names of identities.
        identities: Vec<String>,
    },
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In an environment variable.
    Env(String),
    /// In a file.
    File(PathBuf),
    /// In the encrypted store, under this name.
    Vault(String),
}

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

/// Where the policies are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFiles {
    /// Patterns, already joined to the folder of the configuration.
    pub patterns: Vec<String>,
}

impl PolicyFiles {
    /// The files that the patterns match now, sorted, without repeats.
    ///
    /// # Errors
    /// A pattern that matches nothing or is malformed, a folder that cannot be read, too many files.
    pub fn files(&self) -> Result<Vec<PathBuf>, String> {
        let mut out = Vec::new();
        let mut touched = 0;
        for pattern in &self.patterns {
            let before = out.len();
            let paths = glob::glob(pattern).map_err(|e| format!("`{pattern}` is not a pattern: {}", e.msg))?;
            for path in paths {
                let path = path.map_err(|e| format!("cannot look into {}: {}", e.path().display(), e.error()))?;
                if path.is_file() {
                    out.push(path);
                }
                touched += 1;
                if out.len() > POLICY_FILES_MAX || touched > POLICY_PATHS_MAX {
                    return Err(format!(
                        "`{pattern}` matches too much (at most {POLICY_FILES_MAX} files, {POLICY_PATHS_MAX} paths)"
                    ));
                }
            }
            if out.len() == before {
                return Err(format!("`{pattern}` matches no file"));
            }
        }
        out.sort();
        out.dedup();
        Ok(out)
    }
}

/// Where and how sessions are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The folder.
    pub dir: PathBuf,
    /// A segment is closed at about this size.
    pub segment_bytes: u64,
    /// Written data reaches the disk at least this often.
    pub sync_interval: Duration,
    /// How old records of refused connections may become, in days.
    pub refused_days: u32,
    /// How large they may become, in bytes.
    pub refused_budget_bytes: u64,
}

/// What the gateway tells about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// How log lines look.
    pub log: LogFormat,
    /// Which of them are written: a level, or a list such as `info,countersign_runtime=debug`.
    pub level: String,
    /// Where traces are sent (OTLP over HTTP); `None` sends none.
    pub otlp_endpoint: Option<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The encrypted store of target passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vault {
    /// Where its key is: never in the store itself.
    pub key: KeySource,
}

/// Where the key of the vault is: 32 bytes, or their base64 or hexadecimal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
    /// On the standard output of a command, such as a KMS client: the program and its arguments; no shell is involved.
    Command(Vec<String>),
}
