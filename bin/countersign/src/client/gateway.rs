//! The gateway's doors for logging in: what a login needs, the exchange of a token for a certificate (RFC 8693), renewal, `whoami`,
//! the end of a login.

use countersign_model::Secret;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::http::{ANSWER_BYTES_MAX, Credential, Http, LONG_ANSWER_BYTES_MAX, Reply, Trust, said};
use super::key::LoginKey;
use super::state::{Listener, Who};
use crate::failed::Failed;

/// The most issuers and listeners that are looked at.
const ENTRIES_MAX: usize = 64;
/// The longest certificate chain, in bytes.
const CHAIN_BYTES_MAX: usize = 64 * 1024;
/// A certificate that is said to last longer is not believed, in seconds; the gateway's own last an hour.
const CERTIFICATE_S_MAX: u64 = 24 * 3600;
/// Nor a login, in seconds: a year.
const LOGIN_S_MAX: u64 = 366 * 24 * 3600;

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const X509: &str = "urn:countersign:token-type:x509";

/// What sort of token is exchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TokenKind {
    /// A JWT of a workload.
    Jwt,
    /// An OAuth access token.
    #[default]
    AccessToken,
    /// An OpenID Connect ID token.
    IdToken,
}

impl TokenKind {
    /// Its token type identifier (RFC 8693, 3).
    pub(crate) fn urn(self) -> &'static str {
        match self {
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::IdToken => "urn:ietf:params:oauth:token-type:id_token",
        }
    }
}

/// An issuer that people log in at.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Issuer {
    /// Its name at the gateway.
    pub(crate) label: String,
    /// Its URL, exactly as in tokens.
    pub(crate) issuer: String,
    /// What this program is called there.
    pub(crate) client_id: String,
    /// What is asked for.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// Which of the issuer's tokens the gateway takes.
    #[serde(default)]
    pub(crate) token: TokenKind,
    /// The resource to name (RFC 8707), for issuers that want one.
    #[serde(default)]
    pub(crate) resource: Option<String>,
}

/// What a login needs to know: the answer of `GET /v1/login`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LoginFacts {
    /// What tokens for this gateway are for.
    pub(crate) audience: String,
    /// The authority of the gateway's listeners, when clients do not know it already.
    #[serde(default)]
    pub(crate) gateway_ca_pem: Option<String>,
    /// Where protocols are spoken.
    #[serde(default)]
    pub(crate) listeners: Vec<Listener>,
    /// The public key that signed the host keys of its SSH listeners, as a line.
    #[serde(default)]
    pub(crate) ssh_host_authority: Option<String>,
    /// Where people log in.
    #[serde(default)]
    pub(crate) issuers: Vec<Issuer>,
}

/// What an exchange or a renewal gave.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Exchanged {
    /// The chain, PEM.
    pub(crate) access_token: String,
    #[serde(default)]
    issued_token_type: String,
    /// The same certificate in OpenSSH's form, as a line.
    #[serde(default)]
    pub(crate) ssh_certificate: Option<String>,
    /// Seconds that the certificate is good for.
    pub(crate) expires_in: u64,
    /// Who it is.
    #[serde(default)]
    pub(crate) identity: Option<Who>,
    /// The login's id.
    #[serde(default)]
    pub(crate) login: String,
    /// Seconds that the login lasts.
    pub(crate) login_expires_in: u64,
    /// The gateway gives another certificate for this one.
    #[serde(default)]
    pub(crate) renewable: bool,
}

/// Why the gateway refused.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It was asked and said no; asking again changes nothing.
    No(String),
    /// It was not reached, or could not answer now.
    Unreachable(String),
}

/// Why an operation was not done.
#[derive(Debug)]
pub(crate) struct OperationFailed {
    /// The gateway's answer; `None` when there is none that can be read.
    status: Option<u16>,
    why: String,
}

impl From<OperationFailed> for Failed {
    fn from(f: OperationFailed) -> Self {
        match f.status {
            Some(404) => Self::not_found(f.why),
            _ => Self::new(f.why),
        }
    }
}

impl From<Refused> for Failed {
    fn from(r: Refused) -> Self {
        match r {
            Refused::No(m) | Refused::Unreachable(m) => Self::new(m),
        }
    }
}

/// One gateway.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    url: Url,
    http: Http,
}

impl Gateway {
    /// The gateway at this URL; with a credential, by mutual TLS.
    pub(crate) fn new(url: &Url, trust: &Trust, credential: Option<&Credential>) -> Result<Self, Failed> {
        Ok(Self { url: url.clone(), http: Http::new(url, trust, credential)? })
    }

    fn door(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        url.set_query(None);
        url
    }

    /// What a login needs to know.
    pub(crate) async fn login_facts(&self) -> Result<LoginFacts, Refused> {
        let reply = self.http.get(&self.door("/v1/login")).await.map_err(|e| self.unreachable(&e))?;
        let facts: LoginFacts = self.read(&reply, "asked how to log in")?;
        if facts.issuers.len() > ENTRIES_MAX || facts.listeners.len() > ENTRIES_MAX {
            return Err(Refused::No(format!("{}: more than {ENTRIES_MAX} issuers or listeners", self.url)));
        }
        if facts.ssh_host_authority.as_deref().is_some_and(|line| !is_one_line(line)) {
            return Err(Refused::No(format!("{}: its SSH host authority is not one line", self.url)));
        }
        Ok(facts)
    }

    /// Exchanges a token for a certificate of this key.
    pub(crate) async fn exchange(&self, token: &Secret, kind: TokenKind, key: &LoginKey) -> Result<Exchanged, Refused> {
        let token = token.expose_str().ok_or_else(|| Refused::No("the token is no text".to_owned()))?;
        let csr = key.request().map_err(|e| Refused::No(e.to_string()))?;
        let form = [
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", token),
            ("subject_token_type", kind.urn()),
            ("requested_token_type", X509),
            ("csr", csr.as_str()),
        ];
        let reply = self.http.post(&self.door("/v1/exchange"), &form, None).await;
        let reply = reply.map_err(|e| self.unreachable(&e))?;
        checked(self.read(&reply, "asked for a certificate")?)
    }

    /// Asks for a new certificate of the same login and key.
    pub(crate) async fn renew(&self, key: &LoginKey) -> Result<Exchanged, Refused> {
        let csr = key.request().map_err(|e| Refused::No(e.to_string()))?;
        let reply = self.http.post(&self.door("/v1/renew"), &[("csr", csr.as_str())], None).await;
        let reply = reply.map_err(|e| self.unreachable(&e))?;
        checked(self.read(&reply, "asked for a new certificate")?)
    }

    /// Who the gateway says this is.
    pub(crate) async fn whoami(&self) -> Result<Value, Refused> {
        let reply = self.http.get(&self.door("/v1/whoami")).await.map_err(|e| self.unreachable(&e))?;
        self.read(&reply, "asked who this is")
    }

    /// An operation of the gateway's API.
    pub(crate) async fn operation<T: serde::de::DeserializeOwned>(
        &self,
        method: reqwest::Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<T, OperationFailed> {
        self.operation_up_to(ANSWER_BYTES_MAX, method, path, query, body, key).await
    }

    /// One whose answer may be long.
    pub(crate) async fn long_operation<T: serde::de::DeserializeOwned>(
        &self,
        method: reqwest::Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<T, OperationFailed> {
        self.operation_up_to(LONG_ANSWER_BYTES_MAX, method, path, query, body, key).await
    }

    async fn operation_up_to<T: serde::de::DeserializeOwned>(
        &self,
        most: usize,
        method: reqwest::Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<T, OperationFailed> {
        let mut url = self.door(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let reply = self.http.json(method, &url, body, key, most).await;
        let reply =
            reply.map_err(|e| OperationFailed { status: None, why: Failed::from(self.unreachable(&e)).to_string() })?;
        if !reply.fine() {
            let problem: Option<Value> = reply.json().ok();
            let text = |name: &str| problem.as_ref().and_then(|p| p.get(name)?.as_str()).map(said);
            let detail = text("detail").unwrap_or_else(|| "it gave no reason".to_owned());
            let hint = text("hint").map(|h| format!("\n{h}")).unwrap_or_default();
            let why = format!("the gateway answered {}: {detail}{hint}", reply.status);
            return Err(OperationFailed { status: Some(reply.status), why });
        }
        let unreadable = |e: String| OperationFailed { status: None, why: format!("its answer cannot be read: {e}") };
        reply.json().map_err(unreadable)
    }

    /// What changes, as server-sent events.
    pub(crate) async fn events(&self, last: Option<&str>) -> Result<reqwest::Response, Failed> {
        let stream = self.http.stream(&self.door("/v1/events"), last).await;
        let stream = stream.map_err(|e| Failed::from(self.unreachable(&e)))?;
        if !stream.status().is_success() {
            return Err(Failed::new(format!(
                "the gateway answered {} when asked what changes",
                stream.status().as_u16()
            )));
        }
        Ok(stream)
    }

    /// What an operation goes on saying, as server-sent events, for as long as it does.
    pub(crate) async fn stream(&self, path: &str) -> Result<reqwest::Response, Failed> {
        let stream = self.http.watch(&self.door(path)).await.map_err(|e| Failed::from(self.unreachable(&e)))?;
        let status = stream.status();
        if status.is_success() {
            return Ok(stream);
        }
        let problem: Option<serde_json::Value> = stream.json().await.ok();
        let said = |name: &str| problem.as_ref()?.get(name)?.as_str().map(crate::commands::text::inert);
        let why =
            said("detail").or_else(|| said("title")).unwrap_or_else(|| format!("it answered {}", status.as_u16()));
        let hint = said("hint").map(|h| format!("\n{h}")).unwrap_or_default();
        Err(match status.as_u16() {
            404 => Failed::not_found(format!("{why}{hint}")),
            _ => Failed::new(format!("the gateway refused: {why}{hint}")),
        })
    }

    /// Ends the login.
    pub(crate) async fn logout(&self) -> Result<(), Refused> {
        let reply = self.http.post(&self.door("/v1/logout"), &[], None).await.map_err(|e| self.unreachable(&e))?;
        if reply.fine() { Ok(()) } else { Err(self.refused(&reply, "asked to end the login")) }
    }

    fn read<T: serde::de::DeserializeOwned>(&self, reply: &Reply, when: &str) -> Result<T, Refused> {
        if !reply.fine() {
            return Err(self.refused(reply, when));
        }
        reply.json().map_err(|e| {
            Refused::No(format!("{} gave no answer that can be read when {when}: {e}. Is it a gateway?", self.url))
        })
    }

    fn refused(&self, reply: &Reply, when: &str) -> Refused {
        let said = words(reply).map(|w| format!(": {w}")).unwrap_or_default();
        let text = format!("{} answered {} when {when}{said}", self.url, reply.status);
        // 429 and 5xx pass; everything else is an answer.
        if reply.status == 429 || reply.status >= 500 { Refused::Unreachable(text) } else { Refused::No(text) }
    }

    fn unreachable(&self, e: &str) -> Refused {
        let help = if e.contains("UnknownIssuer") {
            "\nThe certificate is not signed by an authority that is trusted here: name the gateway's with --ca FILE"
        } else if e.contains("InvalidContentType") {
            "\nDoes the gateway speak https there?"
        } else {
            ""
        };
        Refused::Unreachable(format!("the gateway {} cannot be reached: {e}{help}", self.url))
    }
}

/// The words of an error: OAuth's (RFC 6749, 5.2) or a problem's (RFC 9457).
pub(crate) fn words(reply: &Reply) -> Option<String> {
    let json: Value = reply.json().ok()?;
    let text = |name: &str| json.get(name).and_then(Value::as_str).map(said).filter(|t| !t.is_empty());
    let (code, more) = (text("error"), text("error_description").or_else(|| text("detail")).or_else(|| text("title")));
    match (code, more) {
        (Some(code), Some(more)) => Some(format!("{more} ({code})")),
        (code, more) => more.or(code),
    }
}

/// Whether a text is one line of words, as OpenSSH's files have them: nothing that could begin another line.
fn is_one_line(text: &str) -> bool {
    let line = text.strip_suffix('\n').unwrap_or(text);
    line.len() <= CHAIN_BYTES_MAX
        && line.split(' ').count() >= 2
        && line.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

/// What was issued, if it can be believed.
fn checked(issued: Exchanged) -> Result<Exchanged, Refused> {
    let no = |what: &str| Err(Refused::No(format!("the gateway's answer is not understood: {what}")));
    if !issued.issued_token_type.is_empty() && issued.issued_token_type != X509 {
        return no("what it issued is no certificate");
    }
    if issued.access_token.len() > CHAIN_BYTES_MAX || !issued.access_token.contains("-----BEGIN CERTIFICATE-----") {
        return no("there is no certificate in it");
    }
    if issued.access_token.contains("PRIVATE KEY") {
        return no("there is a key in it");
    }
    if issued.ssh_certificate.as_deref().is_some_and(|line| !is_one_line(line)) {
        return no("its SSH certificate is not one line");
    }
    if !(1..=CERTIFICATE_S_MAX).contains(&issued.expires_in) || issued.login_expires_in > LOGIN_S_MAX {
        return no("its times make no sense");
    }
    Ok(issued)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn gateway(url: &str) -> Gateway {
        countersign_runtime::install_crypto();
        Gateway::new(&Url::parse(url).unwrap(), &Trust::default(), None).unwrap()
    }

    #[test]
    fn doors_are_below_the_url() {
        for (url, door) in [
            ("https://gw.example.com", "https://gw.example.com/v1/login"),
            ("https://gw.example.com:7070/", "https://gw.example.com:7070/v1/login"),
            ("https://gw.example.com/cs/?x=1", "https://gw.example.com/cs/v1/login"),
        ] {
            assert_eq!(gateway(url).door("/v1/login").as_str(), door);
        }
    }

    #[test]
    fn facts_are_read_with_what_may_be_left_out() {
        let whole = r#"{"audience":"countersign","gateway_ca_pem":null,"listeners":[{"protocol":"postgres","address":"0.0.0.0:6432"}],
            "issuers":[{"label":"corp","issuer":"https://id.example","client_id":"c","scopes":["openid"],"token":"id_token"},
                       {"label":"local","issuer":"https://gw.example","client_id":"c"}],"more":1}"#;
        let facts: LoginFacts = Reply::new(200, whole).json().unwrap();
        assert_eq!(
            facts.issuers.iter().map(|i| i.token).collect::<Vec<_>>(),
            [TokenKind::IdToken, TokenKind::AccessToken]
        );
        assert_eq!(facts.listeners[0].protocol, "postgres");
        assert!(Reply::new(200, r#"{"issuers":[]}"#).json::<LoginFacts>().is_err());
    }

    #[test]
    fn what_was_issued_is_looked_at() {
        let issued = |token: &str, kind: &str, expires_in: u64, login: u64| {
            let json = serde_json::json!({
                "access_token": token, "issued_token_type": kind, "expires_in": expires_in, "login": "01J", "login_expires_in": login,
            });
            checked(Reply::new(200, &json.to_string()).json().unwrap()).is_ok()
        };
        let pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        for (fine, got) in [
            (true, issued(pem, X509, 3600, 36_000)),
            (true, issued(pem, "", CERTIFICATE_S_MAX, LOGIN_S_MAX)),
            (false, issued(pem, "urn:ietf:params:oauth:token-type:jwt", 3600, 36_000)),
            (false, issued(pem, X509, CERTIFICATE_S_MAX + 1, 36_000)),
            (false, issued(pem, X509, 3600, LOGIN_S_MAX + 1)),
            (false, issued(pem, X509, 0, 36_000)),
            (false, issued("eyJ", X509, 3600, 36_000)),
            (false, issued(&format!("{pem}-----BEGIN PRIVATE KEY-----"), X509, 3600, 36_000)),
            (false, issued(&format!("{pem}{}", "x".repeat(CHAIN_BYTES_MAX)), X509, 3600, 36_000)),
        ] {
            assert_eq!(got, fine);
        }
    }

    #[test]
    fn lines_for_ssh_are_lines() {
        for (text, fine) in [
            ("ssh-ed25519 AAAA ana\n", true),
            ("ssh-ed25519 AAAA", true),
            ("ssh-ed25519", false),
            ("ssh-ed25519 AAAA\n@cert-authority * ssh-ed25519 BBBB", false),
            ("ssh-ed25519 AAAA\u{1b}[2J", false),
        ] {
            assert_eq!(is_one_line(text), fine, "{text:?}");
        }
    }

    #[test]
    fn refusals_are_told_in_the_gateways_words() {
        let gateway = gateway("https://gw.example.com");
        for (status, body, passes, part) in [
            (
                400,
                r#"{"error":"invalid_grant","error_description":"the token is expired"}"#,
                false,
                "the token is expired (invalid_grant)",
            ),
            (401, r#"{"error":"invalid_client"}"#, false, ": invalid_client"),
            (403, r#"{"title":"Forbidden","detail":"use https"}"#, false, ": use https"),
            (404, "<html>", false, "answered 404"),
            (429, r#"{"error":"slow_down"}"#, true, "slow_down"),
            (503, "", true, "answered 503"),
            (400, "{\"error\":\"x\\u001b[2J\"}", false, "x\\u{1b}[2J"),
        ] {
            let (got, text) = match gateway.refused(&Reply::new(status, body), "asked") {
                Refused::No(t) => (false, t),
                Refused::Unreachable(t) => (true, t),
            };
            assert!(got == passes && text.contains(part), "{text}");
        }
    }
}
