//! Issuers and what their tokens become.

use std::time::Duration;

use countersign_model::{IdentityKind, TargetName};

use super::{Decoder, taken};
use crate::model::{Clones, Identity, Issuer, LocalClient, LocalIssuer, LoginToken, Mapping, SessionLife};
use crate::read::{At, Fault, Table, url_host};
use crate::schema;

/// Clocks that differ more than this are wrong, and so is a configuration that allows for it.
const LEEWAY_MAX: Duration = Duration::from_secs(60);

/// The client that is always there.
const LOCAL_CLI: &str = "countersign-cli";

impl Decoder<'_, '_> {
    pub(super) fn issuer(&mut self, mut t: Table<'_>) -> Option<Issuer> {
        let label = t.text(self.sink, "label");
        let url = t.text(self.sink, "url");
        let audiences = t.texts(self.sink, "audiences");
        if let Some(a) = audiences.as_ref().filter(|a| a.value.iter().all(String::is_empty)) {
            let fault = Fault::new(a.span.clone(), a.key.clone(), "a token for anybody would be accepted".to_owned());
            self.sink.error(fault.expected("at least one audience, such as [\"countersign\"]"));
        }
        let algorithms = t.texts(self.sink, "algorithms");
        if let Some(a) = algorithms.as_ref().filter(|a| a.value.is_empty()) {
            let fault = Fault::new(a.span.clone(), a.key.clone(), "no signature could be verified".to_owned());
            self.sink.error(fault.expected("at least one algorithm"));
        }
        let jwks_uri = t.text(self.sink, "jwks_uri");
        let jwks_file = self.file(&mut t, "jwks_file");
        let ca = self.file(&mut t, "ca");
        let types = t.texts(self.sink, "types");
        if let Some(a) = types.as_ref().filter(|a| a.value.is_empty()) {
            let fault = Fault::new(a.span.clone(), a.key.clone(), "no token could be accepted".to_owned());
            self.sink.error(fault.expected("at least one type; an empty text stands for tokens without one"));
        }
        let accept_id_tokens = taken(t.flag(self.sink, "accept_id_tokens"));
        let authorized_parties = taken(t.texts(self.sink, "authorized_parties"));
        let name_claim = taken(t.text(self.sink, "name_claim"));
        let name_prefix = taken(t.text(self.sink, "name_prefix"));
        let groups_claim = t.text(self.sink, "groups_claim").map(|g| g.value);
        let groups_prefix = t.text(self.sink, "groups_prefix").map(|g| g.value);
        let kind = kind(t.text(self.sink, "kind").as_ref()).unwrap_or(IdentityKind::Human);
        let kind_claim = t.text(self.sink, "kind_claim").map(|k| k.value);
        let accept_unmapped = t.text(self.sink, "unmapped").map(|u| u.value == "accept");
        let single_use = taken(t.flag(self.sink, "single_use"));
        let require_bound = taken(t.flag(self.sink, "require_bound"));
        let client_id = t.text(self.sink, "client_id").map(|c| c.value);
        let scopes = taken(t.texts(self.sink, "scopes"));
        let resource = t.text(self.sink, "resource");
        if let Some(r) = resource.as_ref().filter(|r| !is_absolute_uri(&r.value)) {
            let fault = Fault::new(r.span.clone(), r.key.clone(), "it does not name a resource".to_owned());
            self.sink
                .error(fault.expected("an absolute URI without a fragment (RFC 8707), such as https://gw.example.com"));
        }
        let login_token = match t.text(self.sink, "login_token").as_ref().map(|w| w.value.as_str()) {
            Some("id_token") => LoginToken::Id,
            Some(_) => LoginToken::Access,
            None if accept_id_tokens => LoginToken::Id,
            None => LoginToken::Access,
        };
        let leeway = t.seconds(self.sink, "leeway_s");
        if let Some(l) = leeway.as_ref().filter(|l| l.value > LEEWAY_MAX) {
            let fault =
                Fault::new(l.span.clone(), l.key.clone(), "expired tokens would be accepted for too long".to_owned())
                    .found(format!("{} seconds", l.value.as_secs()))
                    .expected(format!("at most {} seconds", LEEWAY_MAX.as_secs()))
                    .help("set the clocks right (NTP) instead");
            self.sink.error(fault);
        }
        let token_lifetime_max = taken(t.seconds(self.sink, "max_token_lifetime_s"));
        let keys_refresh = taken(t.seconds(self.sink, "keys_refresh_s"));
        let keys_age = t.seconds(self.sink, "max_keys_age_s");
        if let Some(k) = keys_age.as_ref().filter(|k| k.value < keys_refresh) {
            let message = "keys would be dropped before they are fetched anew".to_owned();
            let fault = Fault::new(k.span.clone(), k.key.clone(), message);
            self.sink.error(fault.expected("at least `keys_refresh_s`"));
        }
        if let (Some(uri), Some(_)) = (&jwks_uri, &jwks_file) {
            let fault =
                Fault::new(uri.span.clone(), uri.key.clone(), "both `jwks_uri` and `jwks_file` are given".to_owned());
            self.sink.error(fault.expected("one of them, or none for discovery"));
        }
        let token_review = t.table(self.sink, "token_review", &schema::TOKEN_REVIEW).and_then(|r| self.token_review(r));
        let tables = t.tables(self.sink, "mapping", &schema::MAPPING);
        let mappings = tables.into_iter().map(|m| self.mapping(m)).collect();
        for u in [&url, &jwks_uri].into_iter().flatten() {
            self.plain_http(u, "the issuer's keys");
        }
        let label = url.as_ref().and_then(|u| self.label(label, u, &t));
        t.finish(self.sink);
        let (url, label) = (url?, label?);
        self.places.issuers.push(url.clone());
        self.places.issuer_labels.push(label.clone());
        Some(Issuer {
            label: label.value,
            url: url.value,
            audiences: taken(audiences),
            algorithms: taken(algorithms),
            jwks_uri: jwks_uri.map(|u| u.value),
            jwks_file,
            ca,
            types: taken(types),
            accept_id_tokens,
            authorized_parties,
            name_claim,
            name_prefix,
            groups_claim,
            groups_prefix,
            kind,
            kind_claim,
            accept_unmapped,
            single_use,
            require_bound,
            client_id,
            scopes,
            resource: resource.map(|r| r.value),
            login_token,
            leeway: taken(leeway),
            token_lifetime_max,
            keys_refresh,
            keys_age_max: taken(keys_age),
            token_review,
            mappings,
        })
    }

    /// As written, or the host of the URL.
    fn label(&mut self, written: Option<At<String>>, url: &At<String>, t: &Table<'_>) -> Option<At<String>> {
        if written.is_some() || t.has("label") {
            return written;
        }
        let host = url_host(&url.value, &["https", "http"]).filter(|h| TargetName::parse(h).is_some());
        if host.is_none() {
            let fault = Fault::new(t.span.clone(), t.path_of("label"), "`label` is missing in [[issuer]]".to_owned());
            self.sink.missing(fault.expected("a short word, because the host of `url` makes none"));
        }
        host.map(|h| At { value: h.to_owned(), span: url.span.clone(), key: t.path_of("label"), given: false })
    }

    /// Keys that come over plain HTTP are anybody's keys.
    pub(super) fn plain_http(&mut self, url: &At<String>, what: &str) {
        let Some(host) = url_host(&url.value, &["http"]) else { return };
        let local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if !local {
            let fault = Fault::new(url.span.clone(), url.key.clone(), format!("{what} would come over plain HTTP"));
            self.sink.error(
                fault
                    .found(format!("the host {}", crate::read::cut(host)))
                    .expected("https://, or a host on this machine"),
            );
        }
    }

    pub(super) fn mapping(&mut self, mut t: Table<'_>) -> Mapping {
        let claims = t.claims(self.sink, "when");
        if let Some(c) = claims.as_ref().filter(|c| c.value.is_empty()) {
            let fault = Fault::new(c.span.clone(), c.key.clone(), "the mapping would match every token".to_owned());
            let help = "for all identities of an issuer use `kind` and `groups_claim` of [[issuer]]";
            self.sink.error(fault.expected("at least one claim").help(help));
        }
        let name = t.text(self.sink, "name").map(|n| n.value);
        let groups = taken(t.texts(self.sink, "groups"));
        let kind = kind(t.text(self.sink, "kind").as_ref());
        if name.is_none() && groups.is_empty() && kind.is_none() && claims.is_some() {
            let fault = Fault::new(t.span.clone(), t.path.clone(), "the mapping changes nothing".to_owned());
            self.sink.error(fault.expected("`name`, `groups` or `kind`"));
        }
        t.finish(self.sink);
        Mapping { when: taken(claims), name, groups, kind }
    }

    pub(super) fn identity(&mut self, mut t: Table<'_>) -> Identity {
        let url = t.text(self.sink, "url").map(|u| u.value);
        let certificate_lifetime = taken(t.seconds(self.sink, "certificate_lifetime_s"));
        let login_lifetime = taken(t.seconds(self.sink, "login_lifetime_s"));
        let session_life = match t.text(self.sink, "session_life").as_ref().map(|w| w.value.as_str()) {
            Some("token") => SessionLife::Token,
            _ => SessionLife::Identity,
        };
        let clones = match t.text(self.sink, "clones").as_ref().map(|w| w.value.as_str()) {
            Some("refuse") => Clones::Refuse,
            _ => Clones::Alert,
        };
        t.finish(self.sink);
        Identity { url, certificate_lifetime, login_lifetime, session_life, clones }
    }

    pub(super) fn local_issuer(&mut self, mut t: Table<'_>) -> LocalIssuer {
        let url = t.text(self.sink, "url").map(|u| u.value);
        let audience = taken(t.text(self.sink, "audience"));
        let token_lifetime = taken(t.seconds(self.sink, "token_lifetime_s"));
        let refresh_lifetime = taken(t.seconds(self.sink, "refresh_lifetime_s"));
        let tables = t.tables(self.sink, "client", &schema::LOCAL_CLIENT);
        let clients: Vec<At<LocalClient>> =
            tables.into_iter().filter_map(|c| self.local_client(c, &audience)).collect();
        for (i, c) in clients.iter().enumerate() {
            if clients.iter().take(i).any(|earlier| earlier.value.id == c.value.id) {
                let fault = Fault::new(c.span.clone(), c.key.clone(), "there are two clients with this id".to_owned());
                self.sink.error(fault.expected("another"));
            }
        }
        let clients = clients.into_iter().map(|c| c.value).collect();
        self.places.local_issuer = Some(t.span.clone());
        t.finish(self.sink);
        LocalIssuer { url, audience, token_lifetime, refresh_lifetime, clients }
    }

    fn local_client(&mut self, mut t: Table<'_>, audience: &str) -> Option<At<LocalClient>> {
        let id = t.text(self.sink, "id");
        let redirect_uris = t.texts(self.sink, "redirect_uris");
        let secret = t.table(self.sink, "secret", &schema::SECRET).and_then(|s| self.secret(s));
        let taken_ids =
            [(LOCAL_CLI, "it is the id of `countersign login`"), (audience, "it is the audience of tokens")];
        for (id, (_, why)) in
            id.iter().flat_map(|id| taken_ids.iter().filter(|(t, _)| *t == id.value).map(move |t| (id, t)))
        {
            let fault = Fault::new(id.span.clone(), id.key.clone(), format!("a client cannot be named so: {why}"));
            self.sink.error(fault.expected("another"));
        }
        if let Some(uris) = &redirect_uris {
            if uris.value.is_empty() {
                let message = "people could not be sent back to the client".to_owned();
                let fault = Fault::new(uris.span.clone(), uris.key.clone(), message);
                self.sink.error(fault.expected("at least one redirect URI"));
            }
            for uri in uris.value.iter().filter(|u| !may_be_sent_back_to(u)) {
                let message =
                    "a code must not cross an open wire, nor reach whoever takes a scheme of its own".to_owned();
                let fault = Fault::new(uris.span.clone(), uris.key.clone(), message);
                let found = format!("the text \"{}\"", crate::read::cut(uri));
                self.sink.error(
                    fault.found(found).expected("https://, or http:// on 127.0.0.1, [::1] or localhost; no fragment"),
                );
            }
        }
        t.finish(self.sink);
        let id = id?;
        let client = LocalClient { id: id.value, redirect_uris: redirect_uris?.value, secret };
        Some(At { value: client, span: id.span, key: id.key, given: id.given })
    }
}

/// RFC 3986, 4.3: a scheme and something behind it, in the characters of URIs.
fn is_absolute_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let fits =
        |c: char| c.is_ascii_graphic() && !matches!(c, '#' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}');
    named && !rest.is_empty() && rest.chars().all(fits)
}

fn may_be_sent_back_to(uri: &str) -> bool {
    let local = |host: &str| matches!(host, "127.0.0.1" | "::1" | "[::1]" | "localhost");
    !uri.contains(['#', '@']) && (url_host(uri, &["https"]).is_some() || url_host(uri, &["http"]).is_some_and(local))
}

fn kind(word: Option<&At<String>>) -> Option<IdentityKind> {
    Some(match word?.value.as_str() {
        "machine" => IdentityKind::Machine,
        "agent" => IdentityKind::Agent,
        _ => IdentityKind::Human,
    })
}
