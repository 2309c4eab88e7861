//! An issuer's discovery document (OpenID Connect Discovery 1.0; RFC 8414).

use reqwest::Url;
use serde::Deserialize;

use super::super::http::{Reply, check_url, is_loopback};
use crate::commands::text::inert;

/// The most entries of a list that are looked at.
const LIST_MAX: usize = 256;

#[derive(Deserialize)]
struct Raw {
    issuer: String,
    #[serde(default)]
    authorization_endpoint: Option<String>,
    token_endpoint: String,
    #[serde(default)]
    device_authorization_endpoint: Option<String>,
    #[serde(default)]
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    dpop_signing_alg_values_supported: Vec<String>,
}

/// What is used of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    /// Where the browser goes.
    pub(super) authorization: Option<Url>,
    /// Where tokens are.
    pub(super) token: Url,
    /// Where the device code begins.
    pub(super) device_authorization: Option<Url>,
    /// The redirect carries `iss` (RFC 9207).
    pub(super) names_itself: bool,
    /// The token endpoint takes DPoP proofs of an ES256 key.
    pub(super) takes_proofs: bool,
}

/// Where the document of this issuer is.
pub(super) fn address(issuer: &str) -> Result<Url, String> {
    let url = check_url(issuer)?;
    if url.query().is_some() {
        return Err(format!("the issuer \"{}\" must have no query", inert(issuer)));
    }
    check_url(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))
}

impl Document {
    /// Reads the document of this issuer.
    ///
    /// # Errors
    /// When it is another issuer's, lacks a token endpoint, names an endpoint that would be talked to in the clear, or does not know
    /// PKCE with S256 although it says what it knows.
    pub(super) fn read(reply: &Reply, issuer: &str) -> Result<Self, String> {
        let raw: Raw = reply.json().map_err(|e| format!("it is no discovery document: {e}"))?;
        if raw.issuer != issuer {
            return Err(format!("it is the document of \"{}\", not of \"{issuer}\"", inert(&raw.issuer)));
        }
        let local = check_url(issuer).is_ok_and(|u| is_loopback(&u) && u.scheme() == "http");
        let endpoint = |name: &str, text: &str| -> Result<Url, String> {
            let url = check_url(text).map_err(|e| format!("its {name}: {e}"))?;
            // Only an issuer that is itself on this machine may send us to a port of this machine without TLS.
            if url.scheme() == "http" && !local {
                return Err(format!("its {name} does not begin with https://"));
            }
            Ok(url)
        };
        let optional = |name: &str, text: Option<&String>| text.map(|t| endpoint(name, t)).transpose();
        let lists = |values: &[String], value: &str| values.iter().take(LIST_MAX).any(|v| v == value);
        if raw.code_challenge_methods_supported.as_ref().is_some_and(|m| !lists(m, "S256")) {
            return Err("it does not offer PKCE with S256".to_owned());
        }
        Ok(Self {
            authorization: optional("authorization_endpoint", raw.authorization_endpoint.as_ref())?,
            token: endpoint("token_endpoint", &raw.token_endpoint)?,
            device_authorization: optional(
                "device_authorization_endpoint",
                raw.device_authorization_endpoint.as_ref(),
            )?,
            names_itself: raw.authorization_response_iss_parameter_supported,
            takes_proofs: lists(&raw.dpop_signing_alg_values_supported, "ES256"),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://id.example/realm";

    fn whole() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://id.example/auth",
            "token_endpoint": "https://id.example/token",
            "device_authorization_endpoint": "https://login.example/device",
            "code_challenge_methods_supported": ["plain", "S256"],
            "authorization_response_iss_parameter_supported": true,
            "dpop_signing_alg_values_supported": ["ES256", "EdDSA"],
            "jwks_uri": "https://id.example/jwks",
        })
    }

    fn read(document: &Value, issuer: &str) -> Result<Document, String> {
        Document::read(&Reply::new(200, &document.to_string()), issuer)
    }

    #[test]
    fn a_document_is_read() {
        let document = read(&whole(), ISSUER).unwrap();
        assert_eq!(document.token.as_str(), "https://id.example/token");
        assert!(document.names_itself && document.takes_proofs);
        let least = json!({ "issuer": ISSUER, "token_endpoint": "https://id.example/token" });
        let document = read(&least, ISSUER).unwrap();
        assert_eq!((document.authorization, document.device_authorization), (None, None));
        assert!(!document.names_itself && !document.takes_proofs);
    }

    #[test]
    fn hostile_documents_are_refused() {
        for (member, value, part) in [
            ("issuer", json!("https://id.example/realm/"), "it is the document of"),
            ("issuer", json!("https://evil.example\u{1b}[2J"), "\\u{1b}"),
            ("issuer", Value::Null, "no discovery document"),
            ("token_endpoint", json!("http://id.example/token"), "must begin with https"),
            ("token_endpoint", json!("http://127.0.0.1:1/token"), "does not begin with https"),
            ("token_endpoint", json!("https://u:p@id.example/token"), "user name"),
            ("token_endpoint", json!("javascript:alert(1)"), "must begin with https"),
            ("token_endpoint", json!(7), "no discovery document"),
            ("authorization_endpoint", json!("http://id.example/auth"), "authorization_endpoint"),
            ("authorization_endpoint", json!("--help"), "authorization_endpoint"),
            ("device_authorization_endpoint", json!("http://localhost/device"), "device_authorization_endpoint"),
            ("code_challenge_methods_supported", json!(["plain"]), "PKCE"),
            ("code_challenge_methods_supported", json!([]), "PKCE"),
        ] {
            let mut document = whole();
            document[member] = value.clone();
            let said = read(&document, ISSUER).unwrap_err();
            assert!(said.contains(part), "{member} = {value}: {said}");
        }
        for body in ["", "[]", "{}", "<html>", r#"{"issuer":"a","issuer":"b","token_endpoint":"https://x/"}"#] {
            assert!(Document::read(&Reply::new(200, body), ISSUER).is_err(), "{body}");
        }
        let long = vec!["x"; LIST_MAX].into_iter().chain(["S256"]).collect::<Vec<_>>();
        let mut document = whole();
        document["code_challenge_methods_supported"] = json!(long[1..]);
        assert!(read(&document, ISSUER).is_ok());
        document["code_challenge_methods_supported"] = json!(long);
        assert!(read(&document, ISSUER).is_err());
    }

    #[test]
    fn an_issuer_of_this_machine_needs_no_tls() {
        let issuer = "http://127.0.0.1:7070";
        let mut document = json!({ "issuer": issuer, "token_endpoint": "http://127.0.0.1:7070/token" });
        assert!(read(&document, issuer).is_ok());
        document["token_endpoint"] = json!("http://192.0.2.1/token");
        assert!(read(&document, issuer).is_err());
    }

    #[test]
    fn the_document_is_below_the_issuer() {
        for (issuer, expected) in [
            ("https://id.example", Some("https://id.example/.well-known/openid-configuration")),
            ("https://id.example/", Some("https://id.example/.well-known/openid-configuration")),
            ("https://id.example/a/b", Some("https://id.example/a/b/.well-known/openid-configuration")),
            ("https://id.example/?x=", None),
            ("https://id.example/#x", None),
            ("http://id.example", None),
        ] {
            assert_eq!(address(issuer).ok().map(String::from), expected.map(str::to_owned), "{issuer}");
        }
    }
}
