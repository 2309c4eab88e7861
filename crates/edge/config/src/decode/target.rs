//! Targets, their protection and their accounts.

use countersign_model::{GATEWAY_TARGET, RecordLevel, TargetName};

use super::{Decoder, taken};
use crate::model::{Account, Endpoint, Match, SecretSource, TargetSpec, TlsMode, UpstreamTls};
use crate::read::{At, Fault, Table};
use crate::schema;

/// Longest path of a Unix socket on Linux.
const SOCKET_PATH_BYTES_MAX: usize = 107;

impl Decoder<'_, '_> {
    pub(super) fn target(&mut self, mut t: Table<'_>) -> Option<TargetSpec> {
        let name = t.text(self.sink, "name");
        if let Some(name) = &name {
            t.path = format!("target.{}", name.value);
        }
        let protocol = t.protocol(self.sink, "protocol", &self.names());
        let endpoint = self.endpoint(&mut t, protocol.as_ref().map(|p| p.value));
        let database = t.text(self.sink, "database").map(|d| d.value);
        let host_keys = taken(t.texts(self.sink, "host_keys"));
        let labels = taken(t.labels(self.sink, "labels"));
        let results = t.text(self.sink, "record").is_some_and(|r| r.value == "results");
        let durable = taken(t.flag(self.sink, "durable"));
        // Whoever applies a target must not have its recordings removed by it.
        let retention_days = t.count(self.sink, "retention_days").filter(|n| self.is_own(n));
        let budget_bytes = t.size(self.sink, "budget_bytes").filter(|n| self.is_own(n));
        let connect_timeout = taken(t.seconds(self.sink, "connect_timeout_s"));
        let tls_table = t.table_or_default(self.sink, "tls", &schema::UPSTREAM_TLS);
        let tls = self.upstream_tls(tls_table, endpoint.as_ref());
        let accounts = self.accounts(&mut t);
        let tagging = self.tagging(&mut t);
        t.finish(self.sink);
        let (name, protocol) = (name?, protocol?);
        let parsed = TargetName::parse(&name.value)?;
        if name.value == GATEWAY_TARGET {
            let fault =
                Fault::new(name.span, name.key, format!("\"{GATEWAY_TARGET}\" is the gateway's own name in policies"));
            self.sink.error(fault.expected("another name").help("rules about its API are about this target"));
            return None;
        }
        self.places.targets.push(At { value: parsed.clone(), span: name.span, key: name.key, given: true });
        self.places.target_protocols.push(protocol.clone());
        Some(TargetSpec {
            name: parsed,
            protocol: protocol.value.to_owned(),
            endpoint: endpoint?,
            database,
            host_keys,
            labels,
            record: if results { RecordLevel::Results } else { RecordLevel::Statements },
            durable,
            retention_days: retention_days.and_then(|n| u32::try_from(n.value).ok()),
            budget_bytes: budget_bytes.map(|n| n.value),
            connect_timeout,
            tls,
            accounts,
            tagging,
        })
    }

    fn endpoint(&mut self, t: &mut Table<'_>, protocol: Option<&str>) -> Option<Endpoint> {
        let host = t.text(self.sink, "host");
        let port = t.count(self.sink, "port");
        let socket = t.text(self.sink, "socket");
        let usual = self.protocols.iter().find(|p| Some(p.name) == protocol).map(|p| p.port);
        match (host, socket) {
            (Some(host), None) => {
                if host.value.is_empty() || host.value.contains(['/', ' ', '@']) || host.value.starts_with('[') {
                    let fault = Fault::new(host.span, host.key, "`host` is not a host".to_owned())
                        .found(format!("the text \"{}\"", crate::read::cut(&host.value)))
                        .expected("a host name or an IP address, without brackets, port and path");
                    let path = host.value.starts_with('/');
                    self.sink.error(if path { fault.help("a path is given by `socket`") } else { fault });
                    return None;
                }
                let with_port = host.value.parse::<std::net::Ipv6Addr>().is_err() && host.value.contains(':');
                if with_port {
                    let fault = Fault::new(host.span, host.key, "`host` holds a port".to_owned());
                    self.sink.error(fault.expected("the host alone").help("give the port as `port = …`"));
                    return None;
                }
                let port = port.and_then(|p| u16::try_from(p.value).ok()).or(usual)?;
                Some(Endpoint::Tcp { host: host.value, port })
            }
            (None, Some(socket)) => {
                let path = self.resolve(&socket, &socket.value)?;
                if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
                    let fault = Fault::new(socket.span, socket.key, "the path of the socket is too long".to_owned());
                    self.sink.error(fault.expected(format!("at most {SOCKET_PATH_BYTES_MAX} bytes")));
                    return None;
                }
                if let Some(p) = port {
                    let fault = Fault::new(p.span, p.key, "a socket has no port".to_owned());
                    self.sink.error(fault.help("name the socket file itself, and leave `port` out"));
                }
                Some(Endpoint::Unix(path))
            }
            (Some(_), Some(socket)) => {
                let fault = Fault::new(socket.span, socket.key, "both `host` and `socket` are given".to_owned());
                self.sink.error(fault.expected("one of them"));
                None
            }
            (None, None) if !t.has("host") && !t.has("socket") => {
                let message = "the target has no address".to_owned();
                let fault = Fault::new(t.span.clone(), t.path_of("host"), message);
                self.sink.missing(fault.expected("`host`, or `socket`"));
                None
            }
            (None, None) => None,
        }
    }

    fn upstream_tls(&mut self, mut t: Table<'_>, endpoint: Option<&Endpoint>) -> UpstreamTls {
        let written = t.text(self.sink, "mode");
        let socket = matches!(endpoint, Some(Endpoint::Unix(_)));
        let mode = match written.as_ref().map(|m| m.value.as_str()) {
            Some("disable") => TlsMode::Disable,
            Some("require") => TlsMode::Require,
            Some("verify-ca") => TlsMode::VerifyCa,
            None if socket => TlsMode::Disable,
            _ => TlsMode::VerifyFull,
        };
        let ca = self.file(&mut t, "ca");
        let ca_pem = t.text(self.sink, "ca_pem");
        if let Some(pem) = ca_pem.as_ref().filter(|_| ca.is_some()) {
            let message = "both `ca` and `ca_pem` are given".to_owned();
            self.sink.error(Fault::new(pem.span.clone(), pem.key.clone(), message).expected("one of them"));
        }
        let certificate = self.file(&mut t, "certificate");
        let key = self.file(&mut t, "key");
        let server_name = t.text(self.sink, "server_name").map(|n| n.value);
        if certificate.is_some() != key.is_some() && t.has("certificate") != t.has("key") {
            let (there, gone) = if certificate.is_some() { ("certificate", "key") } else { ("key", "certificate") };
            let message = format!("`{there}` is given without `{gone}`");
            let fault = Fault::new(t.span_of(there), t.path_of(there), message);
            self.sink.error(fault.expected("both, or neither"));
        }
        if let Some(w) = &written {
            self.weak_tls(w, mode, endpoint);
        }
        t.finish(self.sink);
        UpstreamTls { mode, ca, ca_pem: ca_pem.map(|p| p.value), certificate, key, server_name }
    }

    fn weak_tls(&mut self, written: &At<String>, mode: TlsMode, endpoint: Option<&Endpoint>) {
        if matches!(endpoint, Some(Endpoint::Unix(_))) && mode != TlsMode::Disable {
            let fault = Fault::new(written.span.clone(), written.key.clone(), "a socket has no TLS".to_owned());
            self.sink.error(fault.found(format!("mode = \"{}\"", written.value)).help("leave [target.tls] out"));
            return;
        }
        let Some(Endpoint::Tcp { host, .. }) = endpoint else { return };
        let local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let risk = match mode {
            TlsMode::Disable if !local => "the target's password and data cross the network in the clear",
            TlsMode::Require if !local => "anybody on the network can pose as the target",
            _ => return,
        };
        let fault = Fault::new(written.span.clone(), written.key.clone(), risk.to_owned());
        self.sink.warning(fault.found(format!("mode = \"{}\" for {host}", written.value)).help("use \"verify-full\""));
    }

    fn accounts(&mut self, t: &mut Table<'_>) -> Vec<Account> {
        let tables = t.tables(self.sink, "account", &schema::ACCOUNT);
        let count = tables.len();
        let mut out = Vec::new();
        for (n, mut a) in tables.into_iter().enumerate() {
            a.path = format!("{}.account.{}", t.path, n + 1);
            let groups = taken(a.texts(self.sink, "groups"));
            let identities = taken(a.texts(self.sink, "identities"));
            let default = taken(a.flag(self.sink, "default"));
            let user = a.text(self.sink, "user").map(|u| u.value);
            let password = a.table(self.sink, "password", &schema::SECRET).and_then(|s| self.secret(s));
            let key = a.table(self.sink, "key", &schema::SECRET).and_then(|s| self.secret(s));
            // The authority is the gateway's own, and good for every account of every target that trusts it.
            let certificate = a.flag(self.sink, "certificate").filter(|c| c.value && self.is_own(c));
            if let Some(at) = &certificate
                && (password.is_some() || key.is_some())
            {
                let message = "an account that logs in with certificates has neither password nor key".to_owned();
                let fault = Fault::new(at.span.clone(), at.key.clone(), message);
                self.sink.error(fault.help("leave `certificate` out, or `password` and `key`"));
            } else {
                self.places.certified.extend(certificate.clone());
            }
            let certificate = certificate.is_some();
            let listed = !groups.is_empty() || !identities.is_empty();
            let wrong = match (default, listed) {
                (true, true) => Some((
                    "an entry is either for some or for everybody",
                    "`groups` and `identities`, or `default = true`",
                )),
                (false, false) => {
                    Some(("nobody would use this account", "`groups`, `identities`, or `default = true`"))
                }
                _ => None,
            };
            if let Some((message, expected)) = wrong {
                let span = if default { a.span_of("default") } else { a.span.clone() };
                self.sink.error(Fault::new(span, a.path.clone(), message.to_owned()).expected(expected));
            }
            if default && n + 1 < count {
                let fault = Fault::new(
                    a.span_of("default"),
                    a.path.clone(),
                    "the accounts after this one are never used".to_owned(),
                );
                self.sink.error(fault.help("move the entry with `default = true` to the end"));
            }
            a.finish(self.sink);
            let matches = if default { Match::Default } else { Match::Any { groups, identities } };
            out.extend(user.map(|user| Account { matches, user, password, key, certificate }));
        }
        out
    }

    pub(super) fn secret(&mut self, mut t: Table<'_>) -> Option<SecretSource> {
        let one = self.one_key(&t, &schema::SECRET);
        let env = self.variable(&mut t, "env").map(SecretSource::Env);
        let file = self.file(&mut t, "file").map(SecretSource::File);
        let vault = t.text(self.sink, "vault");
        t.finish(self.sink);
        self.places.vault_uses.extend(vault.clone());
        env.or(file).or(vault.map(|v| SecretSource::Vault(v.value))).filter(|_| one)
    }
}
