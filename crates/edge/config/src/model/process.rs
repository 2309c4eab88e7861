//! The process itself: where it listens, and what it tells about itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
