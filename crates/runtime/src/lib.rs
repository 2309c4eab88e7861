//! Drives wire protocols: listeners, TLS, dialling, the loop of each session, cancel orders, drain and telemetry.
//!
//! A protocol is a [`countersign_enforce::Protocol`]; the services behind it are the ports in [`Services`]. This crate must never
//! mention a protocol by name, judge anything itself, or put a byte on the way to a target except through
//! [`countersign_enforce::Upstream`].

mod buffers;
mod cancel;
mod cutting;
mod dial;
mod gateway;
mod hosted;
mod inside;
mod listener;
mod memory;
mod possession;
mod registry;
mod rlimit;
mod route;
mod services;
mod session;
mod socket;
mod standing;
mod telemetry;
mod tls;
mod upstream_tls;
mod watching;
mod worker;

pub use gateway::{Drained, Gateway, GatewayConfig};
pub use inside::{Entrance, Visitor};
pub use listener::{
    CONNECTIONS_MAX_DEFAULT, IDLE_WRITE_TIMEOUT_DEFAULT, LOGIN_TIMEOUT_DEFAULT, ListenerConfig, Plaintext,
};
pub use registry::{SessionInfo, SessionRegistry};
pub use rlimit::raise_file_limit;
pub use route::{CONNECT_TIMEOUT_DEFAULT, Endpoint, Route, RouteTable};
pub use services::{Services, Targets};
pub use telemetry::Metric;
pub use tls::{TlsError, TlsReload, install_crypto, server_config};
pub use upstream_tls::{ClientCertificate, Roots, TlsMode, UpstreamTls};
pub use watching::{NotWatched, WATCHERS_MAX, Watching};
