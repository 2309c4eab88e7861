//! The programs that people sign in to: the built-in command line, and those of the configuration.
//!
//! Must never send anybody to an address that was not registered, nor take a client for another.

use countersign_model::Secret;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::LocalFault;

/// The built-in public client: `countersign login`.
pub const CLI_CLIENT_ID: &str = "countersign-cli";
/// The gateway itself, where it asks for a connection without a browser. No program may ask under this name.
pub(super) const GATEWAY_CLIENT_ID: &str = "countersign-gateway";
/// What the built-in client asks for.
pub const CLI_SCOPES: &str = "openid profile offline_access";
/// Where the built-in client may be called back, on any port (RFC 8252, 7.3).
const CLI_REDIRECT_URIS: [&str; 4] =
    ["http://127.0.0.1/callback", "http://[::1]/callback", "http://127.0.0.1/", "http://[::1]/"];
/// The most clients.
pub const CLIENTS_MAX: usize = 64;
/// The most addresses of a client.
const REDIRECT_URIS_MAX: usize = 16;
/// The longest name or address of a client, in bytes.
const CLIENT_TEXT_BYTES_MAX: usize = 500;
/// The hosts of this machine: there the port is the client's to choose.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];

/// A client to register.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Its `client_id`.
    pub id: String,
    /// Where people may be sent back to: https, or http on a loopback address, where any port is fine.
    pub redirect_uris: Vec<String>,
    /// Its secret; `None` makes it a public client.
    pub secret: Option<Secret>,
}

/// A registered client.
pub(super) struct Client {
    pub(super) id: String,
    redirect_uris: Vec<String>,
    /// SHA-256 of the secret: clients' secrets are made by machines, so that they need no slow hash.
    secret: Option<[u8; 32]>,
}

impl Client {
    /// True when it proves itself with a secret.
    pub(super) fn is_confidential(&self) -> bool {
        self.secret.is_some()
    }

    /// Whether this is what the client proves itself with: its secret, or nothing when it has none.
    pub(super) fn accepts(&self, secret: Option<&Secret>) -> bool {
        match (&self.secret, secret) {
            (Some(ours), Some(given)) => bool::from(ours.ct_eq(&Sha256::digest(given.expose()))),
            (None, given) => given.is_none_or(Secret::is_empty),
            (Some(_), None) => false,
        }
    }

    /// Whether people may be sent back there: exactly a registered address, but for the port on a loopback address (RFC 8252, 7.3).
    pub(super) fn may_redirect_to(&self, uri: &str) -> bool {
        let Some(asked) = Place::parse(uri) else { return false };
        self.redirect_uris.iter().any(|known| {
            known == uri
                || Place::parse(known).is_some_and(|k| {
                    k.is_loopback() && k.scheme == asked.scheme && k.host == asked.host && k.rest == asked.rest
                })
        })
    }
}

/// All clients.
pub(super) struct Clients {
    programs: Vec<Client>,
    gateway: Client,
}

impl Clients {
    /// The built-in client and the given ones.
    pub(super) fn new(configured: Vec<ClientConfig>, audience: &str) -> Result<Self, LocalFault> {
        let built_in = ClientConfig {
            id: CLI_CLIENT_ID.to_owned(),
            redirect_uris: CLI_REDIRECT_URIS.map(str::to_owned).to_vec(),
            secret: None,
        };
        if configured.len() >= CLIENTS_MAX {
            return Err(LocalFault::Client(format!("there are {} clients, at most {CLIENTS_MAX}", configured.len())));
        }
        let mut all: Vec<Client> = Vec::new();
        for c in std::iter::once(built_in).chain(configured) {
            let fault = |why: &str| LocalFault::Client(format!("the client \"{}\" {why}", crate::token::shown(&c.id)));
            if c.id.is_empty() || c.id.len() > CLIENT_TEXT_BYTES_MAX || !c.id.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(fault("needs an id of printable ASCII characters"));
            }
            // Otherwise its ID tokens would have the audience of access tokens.
            if c.id == audience {
                return Err(fault("cannot have the audience of tokens as its id"));
            }
            if c.id == GATEWAY_CLIENT_ID || all.iter().any(|known| known.id == c.id) {
                return Err(fault("is there already"));
            }
            if c.redirect_uris.is_empty() || c.redirect_uris.len() > REDIRECT_URIS_MAX {
                return Err(fault("needs between 1 and 16 redirect_uris"));
            }
            for uri in &c.redirect_uris {
                match Place::parse(uri) {
                    Some(p) if p.scheme == "https" || p.is_loopback() => {}
                    _ => return Err(fault("has a redirect URI that is neither https nor http on this machine")),
                }
            }
            if c.secret.as_ref().is_some_and(|s| s.expose().len() < super::PASSWORD_CHARS_MIN) {
                return Err(fault("has a secret of less than 10 characters"));
            }
            let secret = c.secret.as_ref().map(|s| Sha256::digest(s.expose()).into());
            all.push(Client { id: c.id, redirect_uris: c.redirect_uris, secret });
        }
        let gateway = Client { id: GATEWAY_CLIENT_ID.to_owned(), redirect_uris: Vec::new(), secret: None };
        Ok(Self { programs: all, gateway })
    }

    /// The client with exactly this id, of those that may ask.
    pub(super) fn find(&self, id: &str) -> Option<&Client> {
        self.programs.iter().find(|c| c.id == id)
    }

    /// Who asked under this id: a client, or the gateway.
    pub(super) fn asker(&self, id: &str) -> Option<&Client> {
        if id == self.gateway.id { Some(&self.gateway) } else { self.find(id) }
    }
}

/// Where a redirect URI leads, as far as it must be known. What cannot be read so is no place.
pub(super) struct Place<'u> {
    scheme: &'u str,
    host: &'u str,
    port: Option<&'u str>,
    rest: &'u str,
}

impl<'u> Place<'u> {
    /// Reads an absolute http or https URI of a host without user information or fragment.
    pub(super) fn parse(uri: &'u str) -> Option<Self> {
        let plain =
            |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}');
        if uri.len() > CLIENT_TEXT_BYTES_MAX || !uri.bytes().all(plain) || uri.contains(['#', '@', '\'']) {
            return None;
        }
        let (scheme, after) = uri.split_once("://").filter(|(s, _)| matches!(*s, "http" | "https"))?;
        let end = after.find(['/', '?']).unwrap_or(after.len());
        let (authority, rest) = after.split_at_checked(end)?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if let Some(port) = port {
            let number = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0);
            if !number {
                return None;
            }
        }
        let name =
            |h: &str| !h.is_empty() && h.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        (LOOPBACK.contains(&host) || name(host)).then_some(Self { scheme, host, port, rest })
    }

    fn is_loopback(&self) -> bool {
        self.scheme == "http" && LOOPBACK.contains(&self.host)
    }

    /// Host and port, for people.
    pub(super) fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_owned(),
        }
    }

    /// What a content security policy calls it. IPv6 addresses have no name there: their scheme must do.
    pub(super) fn policy_source(&self) -> String {
        if self.host.starts_with('[') {
            format!("{}:", self.scheme)
        } else {
            format!("{}://{}", self.scheme, self.authority())
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn client(id: &str, uris: &[&str], secret: Option<&str>) -> ClientConfig {
        let redirect_uris = uris.iter().map(|u| (*u).to_owned()).collect();
        ClientConfig { id: id.to_owned(), redirect_uris, secret: secret.map(|s| Secret::from(s.to_owned())) }
    }

    #[test]
    fn people_are_sent_only_where_was_registered() {
        let given = vec![client("console", &["https://console.example/back?x=1"], Some("a long enough secret"))];
        let clients = Clients::new(given, "countersign").unwrap();
        for (id, uri, fine) in [
            (CLI_CLIENT_ID, "http://127.0.0.1:43117/callback", true),
            (CLI_CLIENT_ID, "http://127.0.0.1/callback", true),
            (CLI_CLIENT_ID, "http://[::1]:1/callback", true),
            (CLI_CLIENT_ID, "http://127.0.0.1:9/", true),
            (CLI_CLIENT_ID, "http://localhost:9/callback", false),
            (CLI_CLIENT_ID, "http://127.0.0.1:0/callback", false),
            (CLI_CLIENT_ID, "http://127.0.0.1:99999/callback", false),
            (CLI_CLIENT_ID, "http://127.0.0.1:+9/callback", false),
            (CLI_CLIENT_ID, "http://127.0.0.1:9/callback/", false),
            (CLI_CLIENT_ID, "http://127.0.0.1:9/callback?x=1", false),
            (CLI_CLIENT_ID, "http://127.0.0.1:9/callback#x", false),
            (CLI_CLIENT_ID, "http://127.0.0.1:9@evil.example/callback", false),
            (CLI_CLIENT_ID, "http://127.0.0.1.evil.example/callback", false),
            (CLI_CLIENT_ID, "http://127.0.0.2:9/callback", false),
            (CLI_CLIENT_ID, "https://127.0.0.1:9/callback", false),
            (CLI_CLIENT_ID, "HTTP://127.0.0.1:9/callback", false),
            (CLI_CLIENT_ID, "http://127.0.0.1:9/callback\r\nx: y", false),
            (CLI_CLIENT_ID, "javascript:alert(1)", false),
            (CLI_CLIENT_ID, "", false),
            ("console", "https://console.example/back?x=1", true),
            ("console", "https://console.example:443/back?x=1", false),
            ("console", "https://console.example/back", false),
            ("console", "https://console.example/back?x=1&y", false),
            ("console", "http://127.0.0.1:9/callback", false),
        ] {
            assert_eq!(clients.find(id).unwrap().may_redirect_to(uri), fine, "{id} {uri}");
        }
        assert!(clients.find("Console").is_none());
    }

    #[test]
    fn a_client_proves_itself_with_its_own_secret_alone() {
        let given = vec![client("console", &["https://console.example/"], Some("a long enough secret"))];
        let clients = Clients::new(given, "countersign").unwrap();
        let secret = |s: &str| Secret::from(s.to_owned());
        let console = clients.find("console").unwrap();
        assert!(console.accepts(Some(&secret("a long enough secret"))));
        assert!(!console.accepts(Some(&secret("a long enough secre"))));
        assert!(!console.accepts(None) && !console.accepts(Some(&secret(""))));
        let cli = clients.find(CLI_CLIENT_ID).unwrap();
        assert!(cli.accepts(None) && cli.accepts(Some(&secret(""))) && !cli.accepts(Some(&secret("x"))));
    }

    #[test]
    fn what_cannot_be_a_client_is_refused() {
        let fine = || client("console", &["https://console.example/"], None);
        assert!(Clients::new(vec![fine()], "countersign").is_ok());
        for (what, given) in [
            ("the built-in one again", client(CLI_CLIENT_ID, &["https://x.example/"], None)),
            ("the tokens' audience", client("countersign", &["https://x.example/"], None)),
            ("no name", client("", &["https://x.example/"], None)),
            ("a name with a space", client("a b", &["https://x.example/"], None)),
            ("no address", client("x", &[], None)),
            ("an open wire", client("x", &["http://console.example/"], None)),
            ("another scheme", client("x", &["countersign:/back"], None)),
            ("a fragment", client("x", &["https://x.example/#a"], None)),
            ("a short secret", client("x", &["https://x.example/"], Some("short"))),
        ] {
            assert!(Clients::new(vec![fine(), given], "countersign").is_err(), "{what}");
        }
        let crowd = |n: usize| (0..n).map(|i| client(&format!("c{i}"), &["https://x.example/"], None)).collect();
        assert!(Clients::new(crowd(CLIENTS_MAX - 1), "countersign").is_ok());
        assert!(Clients::new(crowd(CLIENTS_MAX), "countersign").is_err());
    }
}
