//! The login that a command uses: found, renewed ahead of need, and turned into TLS towards the gateway.
//!
//! A refresh token is used by one command at a time and what it gave is kept before anything else happens: an issuer takes a second use
//! for theft.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use countersign_model::Timestamp;
use reqwest::Url;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::gateway::{Exchanged, Gateway, Issuer, LoginFacts, TokenKind};
use super::http::{Credential, DIAL_TIMEOUT, check_url, said, tls};
use super::key::LoginKey;
use super::oidc::Provider;
use super::state::{Held, Listener, Login, Origin, State, last};
use crate::clock;
use crate::commands::text::lasted;
use crate::failed::Failed;
use crate::output;

/// A certificate is renewed when this part of its life is left.
const RENEW_PART: u32 = 3;
/// A renewal that gives less than this is not worth asking for.
const RENEW_GAIN_MIN: Duration = Duration::from_secs(5);

/// Which gateway.
#[derive(Clone, Debug, Args)]
pub(crate) struct At {
    /// The gateway's URL; without it, the gateway that was logged in to at last.
    #[arg(long, value_name = "URL", env = "COUNTERSIGN_GATEWAY")]
    pub(crate) gateway: Option<String>,
}

impl At {
    /// The gateway's URL.
    pub(crate) fn url(&self) -> Result<Url, Failed> {
        let text = match self.gateway.as_deref().filter(|t| !t.is_empty()) {
            Some(text) => text.to_owned(),
            None => last()?.ok_or_else(|| {
                Failed::new("which gateway? Name it: `countersign login --gateway https://gateway.example.com`")
            })?,
        };
        gateway_url(&text)
    }

    /// Where its login is kept.
    pub(crate) fn state(&self) -> Result<State, Failed> {
        State::of(&self.url()?)
    }
}

/// `https://` is added where there is no scheme; without TLS a certificate could not be shown.
fn gateway_url(text: &str) -> Result<Url, Failed> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = check_url(&whole).map_err(|e| Failed::new(format!("the gateway {e}")))?;
    if url.scheme() != "https" || url.query().is_some() {
        return Err(Failed::new("the gateway's URL must begin with https:// and have no query: certificates need TLS"));
    }
    Ok(url)
}

/// How a certificate can be replaced.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    Renew,
    Refresh,
    Workload,
}

/// True when it is time.
fn due(login: &Login, now: Timestamp) -> bool {
    login.facts.certificate_left(now) <= login.facts.certificate_life() / RENEW_PART
}

/// How this login's certificate can be replaced now; `None` when it cannot, or when nothing would be gained.
fn way(login: &Login, now: Timestamp) -> Option<Way> {
    let left = login.facts.certificate_left(now);
    let gains = login.facts.login_left(now) > left + RENEW_GAIN_MIN;
    let renewable = login.facts.renewable && gains && !left.is_zero();
    match &login.facts.origin {
        Origin::Workload { from, .. } => from.lasts().then_some(Way::Workload),
        Origin::Person { .. } if renewable => Some(Way::Renew),
        Origin::Person { .. } => login.refresh.is_some().then_some(Way::Refresh),
    }
}

/// The login of this gateway, good for a while.
pub(crate) async fn fresh(state: &State) -> Result<Login, Failed> {
    let login = loaded(state)?;
    if !due(&login, clock::now()) {
        return Ok(login);
    }
    let held = state.hold().await?;
    // Another command may have renewed it meanwhile.
    let login = loaded(state)?;
    let now = clock::now();
    if !due(&login, now) {
        return Ok(login);
    }
    let ended = |why: &str| {
        let gateway = &login.facts.gateway;
        Failed::new(format!("the login at {gateway} has ended{why}: log in again with `countersign login`"))
    };
    let left = login.facts.certificate_left(now);
    let renewed = match way(&login, now) {
        None if left.is_zero() => return Err(ended("")),
        None => return Ok(login),
        Some(way) => replaced(state, &held, &login, &way).await,
    };
    match renewed {
        Ok(new) => {
            state.keep(&held, &new)?;
            Ok(new)
        }
        Err(e) if left.is_zero() => Err(ended(&format!(" ({e})"))),
        Err(e) => {
            let us = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
            output::note(&format!("the certificate could not be renewed, it is good for {} more: {e}", lasted(us)));
            Ok(login)
        }
    }
}

fn loaded(state: &State) -> Result<Login, Failed> {
    let nobody = || Failed::new("you are not logged in: `countersign login --gateway https://gateway.example.com`");
    state.load()?.ok_or_else(nobody)
}

async fn replaced(state: &State, held: &Held, login: &Login, way: &Way) -> Result<Login, Failed> {
    let key = LoginKey::from_pem(login.credential.key.expose_str().unwrap_or_default())?;
    let (url, trust) = (login.facts.url()?, login.trust());
    let plain = || Gateway::new(&url, &trust, None);
    let mut next = login.clone();
    let issued = match (way, &login.facts.origin) {
        (Way::Renew, _) => Gateway::new(&url, &trust, Some(&login.credential))?.renew(&key).await?,
        (Way::Refresh, Origin::Person { label }) => {
            let gateway = plain()?;
            let facts = gateway.login_facts().await?;
            let issuer = chosen(&facts, Some(label))?;
            let provider = Provider::discover(issuer, &issuer_trust(login), Some(&key)).await?;
            let refresh = login.refresh.as_ref().ok_or_else(|| Failed::new("there is no refresh token"))?;
            let obtained = provider.refresh(refresh).await?;
            // An issuer that does not rotate gives none: the old one stays good.
            next.refresh = obtained.refresh.or_else(|| next.refresh.take());
            state.keep(held, &next)?;
            gateway.exchange(&obtained.token, issuer.token, &key).await?
        }
        (_, Origin::Workload { from, audience }) => {
            let token = from.token(audience, &key.thumbprint(), &issuer_trust(login)).await?;
            plain()?.exchange(&token, TokenKind::Jwt, &key).await?
        }
        (Way::Workload, Origin::Person { .. }) => return Err(Failed::new("there is no way to renew it")),
    };
    take_over(&mut next, issued, clock::now());
    Ok(next)
}

/// Issuers may be signed by the system's authorities or, where the gateway is itself one, by the gateway's.
pub(crate) fn issuer_trust(login: &Login) -> super::http::Trust {
    super::http::Trust { system: true, ..login.trust() }
}

/// What was issued becomes the login's.
pub(crate) fn take_over(login: &mut Login, issued: Exchanged, now: Timestamp) {
    let at = now.unix_s();
    let after = |s: u64| at.saturating_add(i64::try_from(s).unwrap_or(i64::MAX));
    login.credential.chain = issued.access_token;
    login.ssh_certificate = issued.ssh_certificate;
    login.facts.certificate_issued = at;
    login.facts.certificate_ends = after(issued.expires_in);
    login.facts.login_ends = after(issued.login_expires_in);
    login.facts.renewable = issued.renewable;
    if let Some(who) = issued.identity {
        login.facts.identity = who;
    }
    if !issued.login.is_empty() {
        login.facts.login = issued.login;
    }
}

/// The issuer with this label, or the only one.
pub(crate) fn chosen<'a>(facts: &'a LoginFacts, label: Option<&str>) -> Result<&'a Issuer, Failed> {
    let labels = || {
        let all: Vec<String> = facts.issuers.iter().map(|i| said(&i.label)).collect();
        all.join(", ")
    };
    match (label, facts.issuers.as_slice()) {
        (_, []) => Err(Failed::new(
            "this gateway names no issuer that people can log in at: ask its operator for a `login` there",
        )),
        (Some(label), all) => all.iter().find(|i| i.label == label).ok_or_else(|| {
            Failed::not_found(format!(
                "the gateway has no issuer \"{}\" to log in at; it has: {}",
                said(label),
                labels()
            ))
        }),
        (None, [one]) => Ok(one),
        (None, _) => Err(Failed::new(format!("which issuer? Name one with --issuer: {}", labels()))),
    }
}

/// The way to one listener of the gateway.
#[derive(Clone)]
pub(crate) struct Road {
    host: String,
    port: u16,
    tls: TlsConnector,
}

impl std::fmt::Debug for Road {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Road({}:{})", self.host, self.port)
    }
}

impl Road {
    /// The way to the listener of this protocol, with the login's certificate.
    pub(crate) fn new(login: &Login, protocol: &str, alpn: &[u8]) -> Result<Self, Failed> {
        let (host, port) = listener_of(login, protocol)?;
        let config = tls(&login.trust(), Some(&login.credential), &[alpn])?;
        Ok(Self { host, port, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Dials. The name that is verified is the gateway's.
    pub(crate) async fn dial(&self) -> Result<TlsStream<TcpStream>, String> {
        let fault = |e: &dyn std::fmt::Display| {
            said(&format!("the gateway cannot be reached at {}:{}: {e}", self.host, self.port))
        };
        let name = ServerName::try_from(self.host.clone()).map_err(|e| fault(&e))?;
        let dialled = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.set_nodelay(true)?;
            self.tls.connect(name, stream).await
        };
        match timeout(DIAL_TIMEOUT, dialled).await {
            Ok(stream) => stream.map_err(|e| fault(&e)),
            Err(_) => Err(fault(&format!("no answer within {} s", DIAL_TIMEOUT.as_secs()))),
        }
    }
}

/// Host and port of the gateway's listener for this protocol.
pub(crate) fn listener_of(login: &Login, protocol: &str) -> Result<(String, u16), Failed> {
    let listener = login.facts.listeners.iter().find(|l| l.protocol == protocol);
    let listener = listener.ok_or_else(|| {
        Failed::not_found(format!("the gateway {} has no listener for {protocol}", login.facts.gateway))
    })?;
    place(listener, &login.facts.url()?)
}

/// Host and port of a listener. An address that only means something on the gateway's own machine (`0.0.0.0`, loopback) stands for the
/// host that the gateway is known by here.
fn place(listener: &Listener, gateway: &Url) -> Result<(String, u16), Failed> {
    let odd = || Failed::new(format!("the gateway's listener \"{}\" is no address", said(&listener.address)));
    let (host, port) = listener.address.rsplit_once(':').ok_or_else(odd)?;
    let port: u16 = port.parse().map_err(|_| odd())?;
    let host = host.trim_matches(['[', ']']);
    let known = gateway.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let here = match host.parse::<std::net::IpAddr>() {
        Ok(ip) => ip.is_unspecified() || ip.is_loopback(),
        Err(_) => host.is_empty() || host == "localhost",
    };
    let host = if here { known } else { host };
    if host.is_empty() || port == 0 || ServerName::try_from(host).is_err() {
        return Err(odd());
    }
    Ok((host.to_owned(), port))
}

/// A login with nothing in it but the key.
pub(crate) fn empty(facts: super::state::Facts, key: &LoginKey, authorities: String) -> Login {
    let credential = Credential { chain: String::new(), key: key.to_pem() };
    Login { facts, credential, authorities, refresh: None, ssh_certificate: None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use countersign_model::Secret;

    use super::super::state::Facts;
    use super::super::workload::Source;
    use super::*;

    fn login(origin: Origin, certificate_ends: i64, login_ends: i64, refresh: bool) -> Login {
        let mut facts = Facts::new(&Url::parse("https://gw.example.com").unwrap(), true, origin);
        (facts.certificate_issued, facts.certificate_ends, facts.login_ends) = (0, certificate_ends, login_ends);
        let mut login = empty(facts, &LoginKey::generate().unwrap(), String::new());
        login.refresh = refresh.then(|| Secret::from("r".to_owned()));
        login.facts.renewable = true;
        login
    }

    #[test]
    fn certificates_are_replaced_ahead_of_need() {
        let person = || Origin::Person { label: "corp".to_owned() };
        let workload = |from: Source| Origin::Workload { from, audience: "a".to_owned() };
        let long = 100_000;
        for (what, login, now, is_due, how) in [
            ("new", login(person(), 3600, long, true), 2399, false, Some(Way::Renew)),
            ("a third left", login(person(), 3600, long, true), 2400, true, Some(Way::Renew)),
            ("ended", login(person(), 3600, long, true), 3600, true, Some(Way::Refresh)),
            ("ended, nothing else", login(person(), 3600, long, false), 3600, true, None),
            ("the login ends with it", login(person(), 3600, 3605, false), 3000, true, None),
            ("the login ends a little later", login(person(), 3600, 3606, false), 3000, true, Some(Way::Renew)),
            ("the login ends with it, refresh", login(person(), 3600, 3600, true), 3000, true, Some(Way::Refresh)),
            ("a job", login(workload(Source::Github), 600, 600, false), 400, true, Some(Way::Workload)),
            (
                "a job whose certificate ended",
                login(workload(Source::Github), 600, 600, false),
                900,
                true,
                Some(Way::Workload),
            ),
            ("a token from standard input", login(workload(Source::Stdin), 600, 600, false), 500, true, None),
        ] {
            let now = Timestamp::from_unix_s(now);
            assert_eq!((due(&login, now), way(&login, now)), (is_due, how), "{what}");
            let mut fixed = login;
            fixed.facts.renewable = false;
            assert_ne!(way(&fixed, now), Some(Way::Renew), "{what}");
        }
    }

    #[test]
    fn gateways_are_talked_to_over_tls() {
        for (text, expected) in [
            ("gw.example.com", Some("https://gw.example.com/")),
            ("gw.example.com:7070", Some("https://gw.example.com:7070/")),
            ("https://gw.example.com/x", Some("https://gw.example.com/x")),
            ("http://localhost:7070", None),
            ("http://gw.example.com", None),
            ("https://gw.example.com/?x=1", None),
            ("https://ana@gw.example.com", None),
            ("", None),
        ] {
            assert_eq!(gateway_url(text).ok().map(String::from), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn listeners_are_where_the_gateway_is_known() {
        for (address, gateway, expected) in [
            ("0.0.0.0:6432", "https://gw.example.com:7070", Some(("gw.example.com", 6432))),
            ("[::]:6432", "https://gw.example.com", Some(("gw.example.com", 6432))),
            (":6432", "https://gw.example.com", Some(("gw.example.com", 6432))),
            ("127.0.0.1:6432", "https://localhost:7070", Some(("localhost", 6432))),
            ("127.0.0.1:6432", "https://gw.example.com", Some(("gw.example.com", 6432))),
            ("0.0.0.0:6432", "https://[::1]:7070", Some(("::1", 6432))),
            ("192.0.2.7:6432", "https://gw.example.com", Some(("192.0.2.7", 6432))),
            ("db.example.com:5432", "https://gw.example.com", Some(("db.example.com", 5432))),
            ("[2001:db8::1]:5432", "https://gw.example.com", Some(("2001:db8::1", 5432))),
            ("db.example.com", "https://gw.example.com", None),
            ("db.example.com:0", "https://gw.example.com", None),
            ("db.example.com:65536", "https://gw.example.com", None),
            ("a b:5432", "https://gw.example.com", None),
            ("", "https://gw.example.com", None),
        ] {
            let listener = Listener { protocol: "postgres".to_owned(), address: address.to_owned() };
            let got = place(&listener, &Url::parse(gateway).unwrap());
            assert_eq!(got.ok(), expected.map(|(h, p)| (h.to_owned(), p)), "{address}");
        }
    }

    #[test]
    fn an_issuer_is_chosen() {
        let facts = |labels: &[&str]| -> LoginFacts {
            let issuers: Vec<_> = labels
                .iter()
                .map(|l| serde_json::json!({ "label": l, "issuer": "https://id.example", "client_id": "c" }))
                .collect();
            serde_json::from_value(serde_json::json!({ "audience": "a", "issuers": issuers })).unwrap()
        };
        for (labels, wanted, expected) in [
            (&["a"][..], None, Ok("a")),
            (&["a", "b"], Some("b"), Ok("b")),
            (&["a", "b"], None, Err("a, b")),
            (&["a\u{1b}"], Some("b"), Err("a\\u{1b}")),
            (&[], None, Err("no issuer")),
            (&[], Some("a"), Err("no issuer")),
        ] {
            match (chosen(&facts(labels), wanted).map(|i| i.label.clone()), expected) {
                (Ok(got), Ok(want)) => assert_eq!(got, want),
                (Err(got), Err(want)) => assert!(got.to_string().contains(want), "{got}"),
                (got, want) => panic!("{got:?} {want:?}"),
            }
        }
    }
}
