//! Who is told what happens: which keys belong to which way.

use countersign_model::Severity;

use super::{Decoder, taken};
use crate::model::{MailEncryption, ReceiverSpec, ReceiverWay, SecretSource};
use crate::read::{At, Fault, Table};
use crate::schema;

/// The keys that belong to some ways only, and to which.
const OF_WAYS: [(&str, &[&str]); 13] = [
    ("url", &["webhook", "slack", "teams"]),
    ("secret", &["webhook"]),
    ("previous_secret", &["webhook"]),
    ("token", &["slack"]),
    ("channel", &["slack"]),
    ("api_url", &["slack"]),
    ("host", &["email"]),
    ("port", &["email"]),
    ("encryption", &["email"]),
    ("username", &["email"]),
    ("password", &["email"]),
    ("from", &["email"]),
    ("to", &["email"]),
];

impl Decoder<'_, '_> {
    pub(super) fn receiver(&mut self, mut t: Table<'_>) -> Option<ReceiverSpec> {
        let name = t.text(self.sink, "name");
        let kind = t.text(self.sink, "kind").map(|k| k.value);
        if let Some(kind) = &kind {
            self.fits_way(&t, kind);
        }
        let mut source = |d: &mut Self, name| t.table(d.sink, name, &schema::SECRET).and_then(|s| d.secret(s));
        let (url, secret) = (source(self, "url"), source(self, "secret"));
        let (previous_secret, token) = (source(self, "previous_secret"), source(self, "token"));
        let password = source(self, "password");
        let channel = t.text(self.sink, "channel").map(|c| c.value);
        let api_url = t.text(self.sink, "api_url");
        if let Some(api_url) = &api_url {
            self.plain_http(api_url, "the token");
        }
        let mail = self.mail(&mut t, password);
        let ca = self.file(&mut t, "ca");
        let kinds = taken(t.texts(self.sink, "kinds"));
        let severity = match t.text(self.sink, "severity").as_ref().map(|s| s.value.as_str()) {
            Some("medium") => Severity::Medium,
            Some("high") => Severity::High,
            Some("critical") => Severity::Critical,
            _ => Severity::Low,
        };
        let targets = t.texts(self.sink, "targets");
        for pattern in targets.iter().flat_map(|a| &a.value) {
            if let Err(e) = glob::Pattern::new(pattern) {
                let fault =
                    Fault::new(t.span_of("targets"), t.path_of("targets"), "a pattern cannot be read".to_owned());
                self.sink.error(fault.found(format!("\"{}\": {e}", crate::read::cut(pattern))));
            }
        }
        let groups = taken(t.texts(self.sink, "groups"));
        let shape = t.text(self.sink, "text").is_some_and(|w| w.value == "shape");
        let per_minute = u32::try_from(taken(t.count(self.sink, "max_per_minute"))).unwrap_or(1);
        t.finish(self.sink);
        let name = name?;
        self.places.receivers.push(name.clone());
        let way = match kind.as_deref()? {
            "webhook" => ReceiverWay::Webhook { url: url?, secret: secret?, previous_secret },
            "slack" => match (token, url) {
                (Some(token), _) => ReceiverWay::SlackBot { token, channel: channel?, api_url: api_url?.value },
                (None, url) => ReceiverWay::SlackIncoming { url: url? },
            },
            "teams" => ReceiverWay::Teams { url: url? },
            _ => mail?,
        };
        let targets = taken(targets);
        Some(ReceiverSpec { name: name.value, way, kinds, severity, targets, groups, shape, per_minute, ca })
    }

    /// Complains of keys that its way has no use for, and of those that it lacks.
    fn fits_way(&mut self, t: &Table<'_>, kind: &str) {
        for (name, ways) in OF_WAYS {
            if t.has(name) && !ways.contains(&kind) {
                let fault = Fault::new(t.span_of(name), t.path_of(name), format!("`{name}` has no use here"));
                let others: Vec<String> = ways.iter().map(|w| format!("\"{w}\"")).collect();
                self.sink.error(
                    fault.found(format!("kind = \"{kind}\"")).expected(format!("kind = {}", others.join(" or "))),
                );
            }
        }
        let both = kind == "slack" && t.has("token") && t.has("url");
        if both {
            let fault = Fault::new(t.span_of("url"), t.path_of("url"), "both `token` and `url` are given".to_owned());
            self.sink.error(fault.expected("one of them"));
        }
        let needed: &[&str] = match kind {
            "webhook" => &["url", "secret"],
            "slack" if t.has("url") => &["url"],
            "slack" => &["token", "channel"],
            "teams" => &["url"],
            _ => &["host", "from", "to"],
        };
        for name in needed.iter().filter(|n| !t.has(n)) {
            let message = format!("`{name}` is missing for kind = \"{kind}\"");
            let fault = Fault::new(t.span.clone(), t.path_of(name), message);
            self.sink.missing(if *name == "token" { fault.expected("`token` and `channel`, or `url`") } else { fault });
        }
    }

    fn mail(&mut self, t: &mut Table<'_>, password: Option<SecretSource>) -> Option<ReceiverWay> {
        let host = t.text(self.sink, "host");
        let port = t.count(self.sink, "port").and_then(|p| u16::try_from(p.value).ok());
        let encryption = t.text(self.sink, "encryption");
        let username = t.text(self.sink, "username").map(|u| u.value);
        let from = t.text(self.sink, "from");
        let to = t.texts(self.sink, "to");
        if let Some(f) = &from {
            self.mail_address(f.value.as_str(), f);
        }
        for address in to.iter().flat_map(|to| &to.value) {
            if let Some(to) = &to {
                self.mail_address(address, to);
            }
        }
        if let Some(empty) = to.as_ref().filter(|to| to.value.is_empty()) {
            let fault = Fault::new(empty.span.clone(), empty.key.clone(), "nobody would get it".to_owned());
            self.sink.error(fault.expected("at least one address"));
        }
        if username.is_some() != (password.is_some() || t.has("password")) {
            let fault = Fault::new(t.span_of("username"), t.path_of("username"), "half of a login is given".to_owned());
            self.sink.error(fault.expected("both `username` and `password`, or neither"));
        }
        let way = match encryption.as_ref().map(|e| e.value.as_str()) {
            Some("implicit") => MailEncryption::Implicit,
            Some("none") => MailEncryption::None,
            _ => MailEncryption::StartTls,
        };
        if let (Some(e), Some(host), MailEncryption::None) = (&encryption, &host, way) {
            let near = host.value == "localhost"
                || host.value.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
            if !near {
                let message = "mail would cross the network in the clear".to_owned();
                let fault = Fault::new(e.span.clone(), e.key.clone(), message);
                self.sink.error(
                    fault
                        .found(format!("encryption = \"none\" for {}", host.value))
                        .expected("\"starttls\" or \"implicit\""),
                );
            }
        }
        let usual = if way == MailEncryption::Implicit { 465 } else { 587 };
        Some(ReceiverWay::Email {
            host: host?.value,
            port: port.unwrap_or(usual),
            encryption: way,
            username,
            password,
            from: from?.value,
            to: to?.value,
        })
    }

    /// `a@b`, or `Name <a@b>`; the mail library reads it once more.
    fn mail_address<T>(&mut self, text: &str, at: &At<T>) {
        let address = text.rsplit_once('<').map_or(Some(text), |(_, rest)| rest.strip_suffix('>'));
        let fine = address.is_some_and(|a| {
            a.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'))
                && !a.chars().any(|c| c.is_control() || c.is_whitespace() || c == ',')
        });
        if !fine || text.chars().any(char::is_control) {
            let fault = Fault::new(at.span.clone(), at.key.clone(), "this is not an address".to_owned());
            let found = format!("\"{}\"", crate::read::cut(text));
            self.sink
                .error(fault.found(found).expected("one such as \"dba@example.org\" or \"Name <dba@example.org>\""));
        }
    }
}
