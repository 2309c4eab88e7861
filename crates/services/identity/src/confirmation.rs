//! Tokens that are bound to a key: by `cnf` (RFC 7800, RFC 8705, RFC 9449), or by an audience that carries the key's thumbprint.
//!
//! A binding is never left aside: a token that names a key is good with that key alone, also where a bearer would do.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Rejection;
use crate::config::IssuerConfig;
use crate::thumbprint::is_thumbprint;

/// Where a token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// To be let in as it is.
    Session,
    /// To be exchanged for a certificate.
    Exchange,
}

/// What whoever presents a token has proved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof<'p> {
    /// Where.
    pub(crate) door: Door,
    /// The thumbprint of the key that a certificate request proved.
    pub(crate) request_key: Option<&'p str>,
    /// The thumbprint of the key that a DPoP proof proved.
    pub(crate) dpop_key: Option<&'p str>,
    /// The thumbprint of the client certificate of the connection.
    pub(crate) certificate: Option<&'p str>,
}

impl Proof<'_> {
    /// Nothing.
    pub(crate) const NONE: Self = Self { door: Door::Session, request_key: None, dpop_key: None, certificate: None };

    fn has_key(&self, thumbprint: &str) -> bool {
        self.request_key == Some(thumbprint) || self.dpop_key == Some(thumbprint)
    }
}

/// The thumbprint in an audience of the form `<audience>#<thumbprint>`.
pub(crate) fn bound_audience<'a>(c: &IssuerConfig, aud: &'a str) -> Option<&'a str> {
    if c.audiences.iter().any(|ours| ours == aud) {
        return None;
    }
    let (audience, thumbprint) = aud.rsplit_once('#')?;
    (is_thumbprint(thumbprint) && c.audiences.iter().any(|ours| ours == audience)).then_some(thumbprint)
}

/// Whether everything that the token is bound to was proved; the thumbprint of what it is bound to, `None` when to nothing.
pub(crate) fn confirm(
    c: &IssuerConfig,
    claims: &BTreeMap<String, Value>,
    proof: &Proof<'_>,
) -> Result<Option<String>, Rejection> {
    let mut bound = None;
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(aud)) => vec![aud],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    for thumbprint in audiences.into_iter().filter_map(|aud| bound_audience(c, aud)) {
        if proof.door != Door::Exchange || proof.request_key != Some(thumbprint) {
            return Err(Rejection::Unproven);
        }
        bound = Some(thumbprint.to_owned());
    }
    let Some(cnf) = claims.get("cnf") else { return Ok(bound) };
    let Value::Object(cnf) = cnf else { return Err(Rejection::claim("cnf", "is not an object")) };
    if cnf.is_empty() {
        return Err(Rejection::claim("cnf", "names no key"));
    }
    for (member, value) in cnf {
        let thumbprint =
            value.as_str().ok_or_else(|| Rejection::claim("cnf", "holds something that is not a string"))?;
        let proved = match member.as_str() {
            "jkt" => proof.has_key(thumbprint),
            "x5t#S256" => proof.certificate == Some(thumbprint),
            // A way of binding that cannot be checked here is a key that was not proved.
            _ => false,
        };
        if !proved {
            return Err(Rejection::Unproven);
        }
        bound = Some(thumbprint.to_owned());
    }
    Ok(bound)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn adv_087_what_names_a_key_is_good_with_that_key_alone() {
        let (k, l) = ("K".repeat(42) + "A", "L".repeat(42) + "A");
        let (k, l) = (k.as_str(), l.as_str());
        let c = IssuerConfig::new("t", "https://i", &["gw", "gw#odd"]);
        let none = Proof::NONE;
        let dpop = Proof { dpop_key: Some(k), ..none };
        let mtls = Proof { certificate: Some(k), ..none };
        let exchange = Proof { door: Door::Exchange, request_key: Some(k), ..none };
        let other = Proof { door: Door::Exchange, request_key: Some(l), dpop_key: Some(l), certificate: Some(l) };
        let for_key = format!("gw#{k}");
        for (claims, proof, want) in [
            (json!({"aud": "gw"}), none, Ok(None)),
            (json!({"aud": "gw#odd"}), none, Ok(None)),
            (json!({"cnf": {"jkt": k}}), dpop, Ok(Some(k))),
            (json!({"cnf": {"jkt": k}}), exchange, Ok(Some(k))),
            (json!({"cnf": {"jkt": k}}), none, Err("unproven")),
            (json!({"cnf": {"jkt": k}}), mtls, Err("unproven")),
            (json!({"cnf": {"jkt": k}}), other, Err("unproven")),
            (json!({"cnf": {"x5t#S256": k}}), mtls, Ok(Some(k))),
            (json!({"cnf": {"x5t#S256": k}}), dpop, Err("unproven")),
            (json!({"cnf": {"x5t#S256": k}}), none, Err("unproven")),
            (json!({"cnf": {"jkt": k, "x5t#S256": k}}), mtls, Err("unproven")),
            (json!({"cnf": {"jkt": k, "x5t#S256": k}}), Proof { dpop_key: Some(k), ..mtls }, Ok(Some(k))),
            (json!({"cnf": {"jkt": k, "kid": "x"}}), dpop, Err("unproven")),
            (json!({"cnf": {"kid": "x"}}), dpop, Err("unproven")),
            (json!({"cnf": {"jkt": [k]}}), dpop, Err("claim")),
            (json!({"cnf": {"jwk": {}}}), dpop, Err("claim")),
            (json!({"cnf": {}}), dpop, Err("claim")),
            (json!({"cnf": null}), dpop, Err("claim")),
            (json!({"cnf": k}), dpop, Err("claim")),
            (json!({"aud": for_key}), exchange, Ok(Some(k))),
            (json!({"aud": ["gw", for_key]}), exchange, Ok(Some(k))),
            (json!({"aud": for_key}), none, Err("unproven")),
            (json!({"aud": for_key}), dpop, Err("unproven")),
            (json!({"aud": for_key}), other, Err("unproven")),
            (json!({"aud": ["gw", for_key]}), none, Err("unproven")),
            (json!({"aud": [for_key, format!("gw#{l}")]}), exchange, Err("unproven")),
        ] {
            let object: BTreeMap<String, Value> = serde_json::from_value(claims.clone()).unwrap();
            let got = confirm(&c, &object, &proof);
            let got = got.as_ref().map(|b| b.as_deref()).map_err(Rejection::as_str);
            assert_eq!(got, want, "{claims} with {proof:?}");
        }
        assert_eq!(bound_audience(&c, &format!("other#{k}")), None);
        assert_eq!(bound_audience(&c, "gw#short"), None);
    }
}
