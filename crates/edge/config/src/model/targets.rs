//! Where clients are let through to, and as whom.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use countersign_model::{RecordLevel, Tagging, TargetName};

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
    /// The keys of which it must prove one, for protocols that have such keys.
    pub host_keys: Vec<String>,
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
    /// How its data is known to be sensitive; the rules of its files follow its own.
    pub tagging: Tagging,
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
    /// The authorities themselves, as PEM; not there when `ca` is.
    pub ca_pem: Option<String>,
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
    /// Where its private key is, for protocols that have such keys.
    pub key: Option<SecretSource>,
    /// Whether each session logs in with a certificate made for it, for protocols that have such.
    pub certificate: bool,
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
