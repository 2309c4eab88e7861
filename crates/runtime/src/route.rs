//! The way to a target: address, encryption, timeouts. It must never hold a credential except a TLS client key.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use countersign_model::Target;

use crate::{Targets, UpstreamTls};

/// How long a dial may take when the configuration says nothing.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Where a target listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// TCP: a host name or an address, and a port.
    Tcp {
        /// Name or address; an IPv6 address without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket. TLS is never used on it.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The way to one target.
#[derive(Clone, Debug)]
pub struct Route {
    /// The target as policy and the record see it.
    pub target: Arc<Target>,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// How the connection to it is encrypted.
    pub tls: UpstreamTls,
    /// The part (such as a database) that a client gets who names none; may be empty.
    pub default_part: String,
    /// The longest that resolving and dialling may take, together.
    pub connect_timeout: Duration,
    /// The name that the target's certificate must carry; `None` for the host that is dialled.
    pub server_name: Option<String>,
    /// What a denied person is told to do; `None` for the gateway's words.
    pub ask: Option<Arc<str>>,
    /// The keys of which the target must prove one, where its protocol has such keys; in the form that its protocol writes them.
    pub host_keys: Arc<[String]>,
    label: Arc<str>,
}

impl Route {
    /// A way with default timeouts and words.
    pub fn new(target: Arc<Target>, endpoint: Endpoint, tls: UpstreamTls, default_part: &str) -> Self {
        let label = format!("{} at {endpoint}", target.name).into();
        Self {
            target,
            endpoint,
            tls,
            default_part: default_part.to_owned(),
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            server_name: None,
            ask: None,
            host_keys: Arc::default(),
            label,
        }
    }

    /// The same for as long as the name and the endpoint are: what a protocol learnt about a target is kept under it.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// True when the connection must be encrypted before anything secret is said.
    pub fn tls_required(&self) -> bool {
        matches!(self.endpoint, Endpoint::Tcp { .. }) && !self.tls.is_disabled()
    }
}

/// The routes of a configuration, replaced as a whole.
#[derive(Debug, Default)]
pub struct RouteTable(ArcSwap<HashMap<String, Arc<Route>>>);

impl RouteTable {
    /// A table of these routes; of two with one name, the later stays.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        let table = Self::default();
        table.replace(routes);
        table
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<Route>> {
        let mut all: Vec<Arc<Route>> = self.0.load().values().cloned().collect();
        all.sort_by(|a, b| a.target.name.as_str().cmp(b.target.name.as_str()));
        all
    }

    /// Puts other routes in force, for sessions that begin from now on.
    pub fn replace(&self, routes: impl IntoIterator<Item = Route>) {
        let routes = routes.into_iter().map(|r| (r.target.name.as_str().to_owned(), Arc::new(r))).collect();
        self.0.store(Arc::new(routes));
    }
}

impl Targets for RouteTable {
    fn find(&self, name: &str) -> Option<Arc<Route>> {
        self.0.load().get(name).cloned()
    }
}
