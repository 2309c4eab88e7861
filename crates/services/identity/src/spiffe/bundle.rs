//! The keys of a trust domain (Trust Domain and Bundle, 4): a JWKS document whose entries say what each key is for.
//!
//! A key without a `use` that is known is nobody's. A document with a fault is refused whole, so that the one before stays in force.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_model::Timestamp;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use serde_json::{Map, Value};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::key_source::Document;
use crate::keys::{JWKS_BYTES_MAX, KeySet, entries};
use crate::strict_json;
use crate::thumbprint::of_spki;

/// A certificate authority of a trust domain.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) anchor: TrustAnchor<'static>,
    /// The thumbprint of its key.
    pub(crate) thumbprint: String,
    pub(crate) begins: Timestamp,
    pub(crate) ends: Timestamp,
}

/// What a trust domain is known by.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// The keys that sign JWT-SVIDs.
    pub(crate) tokens: KeySet,
    /// The authorities that sign X.509-SVIDs.
    pub(crate) authorities: Vec<Authority>,
    refresh_s: Option<u64>,
}

impl Document for Bundle {
    type Terms = ();

    fn parse(bytes: &[u8], (): &()) -> Result<Self, String> {
        if bytes.len() > JWKS_BYTES_MAX {
            return Err(format!("the bundle is longer than {JWKS_BYTES_MAX} bytes"));
        }
        let document = strict_json::object(bytes)?;
        let entries = entries(&document)?;
        let tokens = KeySet::of_entries(&entries, |e| is_for(e, "jwt-svid") && has_id(e), bytes)?;
        let certificates = entries.iter().filter(|e| is_for(e, "x509-svid"));
        let authorities = certificates.map(|e| authority(e)).collect::<Result<Vec<_>, _>>()?;
        if tokens.is_empty() && authorities.is_empty() {
            return Err("no key in the bundle is for jwt-svid or x509-svid".to_owned());
        }
        let refresh_s = match document.get("spiffe_refresh_hint") {
            None => None,
            Some(hint) => Some(hint.as_u64().ok_or("spiffe_refresh_hint is not a number of seconds")?),
        };
        Ok(Self { tokens, authorities, refresh_s })
    }

    fn digest(&self) -> &[u8; 32] {
        self.tokens.digest()
    }

    fn keys(&self) -> usize {
        self.tokens.len().saturating_add(self.authorities.len())
    }

    fn signers(&self) -> impl Iterator<Item = &str> {
        self.tokens.thumbprints().chain(self.authorities.iter().map(|a| a.thumbprint.as_str()))
    }

    fn refresh_s(&self) -> Option<u64> {
        self.refresh_s
    }
}

fn is_for(entry: &Map<String, Value>, usage: &str) -> bool {
    entry.get("use").and_then(Value::as_str) == Some(usage)
}

fn has_id(entry: &Map<String, Value>) -> bool {
    entry.get("kid").and_then(Value::as_str).is_some_and(|kid| !kid.is_empty())
}

/// X509-SVID, 4.1 and 4.3 with Trust Domain and Bundle, 4.2: one certificate, of an authority that may sign others.
fn authority(entry: &Map<String, Value>) -> Result<Authority, &'static str> {
    let Some(Value::Array(x5c)) = entry.get("x5c") else { return Err("an x509-svid key has no x5c") };
    let [Value::String(text)] = x5c.as_slice() else {
        return Err("the x5c of an x509-svid key is not exactly one certificate");
    };
    let der = STANDARD.decode(text).map_err(|_| "the x5c of an x509-svid key is not base64")?;
    let no_certificate = "the x5c of an x509-svid key is not an X.509 certificate";
    let (rest, parsed) = X509Certificate::from_der(&der).map_err(|_| no_certificate)?;
    if !rest.is_empty() {
        return Err(no_certificate);
    }
    let signs = parsed.key_usage().ok().flatten().is_some_and(|usage| usage.value.key_cert_sign());
    if !parsed.is_ca() || !signs {
        return Err("the certificate of an x509-svid key may not sign others");
    }
    let begins = Timestamp::from_unix_s(parsed.validity().not_before.timestamp());
    let ends = Timestamp::from_unix_s(parsed.validity().not_after.timestamp());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(der.as_slice())).map_err(|_| no_certificate)?;
    let anchor = roots.roots.pop().ok_or(no_certificate)?;
    let thumbprint = of_spki(&anchor.subject_public_key_info);
    Ok(Authority { anchor, thumbprint, begins, ends })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
    use serde_json::json;

    use super::*;

    fn certificate(is_ca: IsCa, usages: Vec<KeyUsagePurpose>) -> String {
        let mut params = CertificateParams::default();
        params.is_ca = is_ca;
        params.key_usages = usages;
        STANDARD.encode(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
    }

    #[test]
    fn adv_082_a_bundle_with_a_fault_is_refused_whole() {
        let ca = certificate(IsCa::Ca(BasicConstraints::Unconstrained), vec![KeyUsagePurpose::KeyCertSign]);
        let leaf = certificate(IsCa::ExplicitNoCa, vec![KeyUsagePurpose::DigitalSignature]);
        let signs_nothing = certificate(IsCa::Ca(BasicConstraints::Unconstrained), vec![KeyUsagePurpose::CrlSign]);
        let more = STANDARD.encode([STANDARD.decode(&ca).unwrap(), vec![0]].concat());
        let x509 = |x5c: Value| json!({"use": "x509-svid", "kty": "EC", "x5c": x5c});
        let rsa = |usage: &str, kid: Value| {
            let n = URL_SAFE_NO_PAD.encode([255; 256]);
            json!({"kty": "RSA", "use": usage, "kid": kid, "n": n, "e": "AQAB"})
        };
        for (document, want) in [
            (json!({"keys": [x509(json!([ca]))]}), Ok((0, 1))),
            (json!({"keys": [x509(json!([ca])), rsa("jwt-svid", json!("a"))], "spiffe_refresh_hint": 5}), Ok((1, 1))),
            (
                json!({"keys": [rsa("jwt-svid", json!("a")), rsa("sig", json!("b")), rsa("wit-svid", json!("c"))]}),
                Ok((1, 0)),
            ),
            (json!({"keys": [x509(json!([ca])), rsa("jwt-svid", json!(""))]}), Ok((0, 1))),
            (json!({"keys": [rsa("sig", json!("a"))]}), Err("no key in the bundle")),
            (json!({"keys": [rsa("JWT-SVID", json!("a"))]}), Err("no key in the bundle")),
            (json!({"keys": [rsa("jwt-svid", Value::Null)]}), Err("no key in the bundle")),
            (json!({"keys": []}), Err("no key in the bundle")),
            (json!({"keys": [rsa("jwt-svid", json!("a")), rsa("jwt-svid", json!("a"))]}), Err("same kid")),
            (json!({"keys": [rsa("jwt-svid", json!("a")), x509(json!([leaf]))]}), Err("may not sign")),
            (json!({"keys": [x509(json!([signs_nothing]))]}), Err("may not sign")),
            (json!({"keys": [x509(json!([ca, ca]))]}), Err("exactly one")),
            (json!({"keys": [x509(json!([]))]}), Err("exactly one")),
            (json!({"keys": [x509(json!([more]))]}), Err("not an X.509")),
            (json!({"keys": [x509(json!(["!"]))]}), Err("not base64")),
            (json!({"keys": [json!({"use": "x509-svid"})]}), Err("no x5c")),
            (json!({"keys": [x509(json!([ca]))], "spiffe_refresh_hint": "5"}), Err("refresh_hint")),
            (json!({}), Err("no \"keys\"")),
        ] {
            let got = Bundle::parse(document.to_string().as_bytes(), &());
            match (got, want) {
                (Ok(b), Ok(counts)) => assert_eq!((b.tokens.len(), b.authorities.len()), counts, "{document}"),
                (Err(e), Err(why)) => assert!(e.contains(why), "{e}: {document}"),
                (got, want) => panic!("{got:?}, not {want:?}: {document}"),
            }
        }
        let big = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(JWKS_BYTES_MAX));
        assert!(Bundle::parse(big.as_bytes(), &()).unwrap_err().contains("longer than"));
        let twice = r#"{"keys":[],"keys":[]}"#;
        assert!(Bundle::parse(twice.as_bytes(), &()).is_err());
    }
}
