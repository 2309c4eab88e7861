//! People of identity providers that speak SAML 2.0: the gateway as a service provider, in a browser (Web Browser SSO).
//!
//! An identity provider is an issuer like any other: what it asserts becomes claims, and the one mint makes an identity of them. All that
//! reads XML here is this crate's own (`xml`), so that what was verified and what is read cannot differ. Must never take an assertion that
//! nobody asked for, nor one without a signature.

mod answer;
mod canonical;
mod config;
mod encryption;
mod key;
mod metadata;
mod request;
mod response;
mod signature;
mod time;
mod xml;

#[cfg(test)]
mod tests;

pub use answer::{SamlAsk, SamlIssuer};
pub use config::{MetadataSource, SamlConfig};
pub use key::ServiceKey;

pub(crate) use metadata::{Metadata, Terms};
use response::RESPONSE_BYTES_MAX;

use xml::{Child, Element};

const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
const MD: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const XENC: &str = "http://www.w3.org/2001/04/xmlenc#";
const XENC11: &str = "http://www.w3.org/2009/xmlenc11#";
const BINDING_REDIRECT: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect";
const BINDING_POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";

/// Whether no text but spaces stands beside the elements in it.
fn is_blank(element: &Element) -> bool {
    element.children.iter().all(|c| match c {
        Child::Text(text) => text.bytes().all(|b| b.is_ascii_whitespace()),
        Child::Element(_) => true,
    })
}

/// Shows any bytes to whatever reads a document here, for the fuzz target: as a response, as an assertion whose signature held, as metadata.
///
/// # Errors
/// What must never be: something was believed that nobody signed, or what was read is not read the same again.
#[doc(hidden)]
pub fn exercise(document: &[u8]) -> Result<(), &'static str> {
    use crate::key_source::Document as _;

    static KEYS: std::sync::OnceLock<Option<(ServiceKey, crate::thumbprint::PublicKey)>> = std::sync::OnceLock::new();
    let now = countersign_model::Timestamp::from_unix_s(1_795_379_041);
    let keys = KEYS.get_or_init(|| {
        let key = ServiceKey::open(&ServiceKey::generate(now).ok()?).ok()?;
        let pair = rcgen::KeyPair::generate().ok()?;
        let certificate = rcgen::CertificateParams::default().self_signed(&pair).ok()?;
        Some((key, metadata::key_of(certificate.der()).ok()?))
    });
    let Some((key, nobodys)) = keys else { return Err("no keys could be made") };
    let keys = [nobodys.clone()];
    let expected = response::Expected {
        provider: "https://idp.example/saml",
        keys: &keys,
        entity_id: "https://gw.example/saml",
        acs: "https://gw.example/acs",
        request: "_8mXnQ",
        key: &key.opening,
        leeway_s: 30,
        require_encrypted: false,
        accept_response_signature: true,
        now,
    };
    if response::check(document, &expected).is_ok() {
        return Err("nobody signed this response");
    }
    let signed = Terms { entity_id: expected.provider.to_owned(), signers: keys.to_vec() };
    if Metadata::parse(document, &signed).is_ok() {
        return Err("nobody signed this metadata");
    }
    let _ = Metadata::parse(document, &Terms { signers: Vec::new(), ..signed });
    let Ok(root) = xml::parse(document, RESPONSE_BYTES_MAX) else { return Ok(()) };
    let _ = response::read(&root, String::new(), &expected);
    let Ok(once) = canonical::canonical(&root, canonical::Form::default()) else { return Ok(()) };
    let again = xml::parse(&once, usize::MAX).map_err(|_| "a canonical form is not read")?;
    match canonical::canonical(&again, canonical::Form::default()) {
        Ok(same) if same == once => Ok(()),
        _ => Err("a canonical form is not the same when it is read and written again"),
    }
}
