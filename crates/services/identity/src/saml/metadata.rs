//! An identity provider's metadata (SAML Metadata 2.0): where people sign in, and the keys that it signs with.
//!
//! The keys are those of the certificates in it and no others; a certificate is only a way to write a key down, so that its own dates and
//! issuer say nothing (SAML Metadata Interoperability Profile). Must never take a document of somebody else, one whose time is over, or one
//! without a signature where one is asked for.

use countersign_model::Timestamp;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::signature::{decoded, verify};
use super::time::instant;
use super::xml::{Element, parse};
use super::{BINDING_REDIRECT, DSIG, MD, PROTOCOL};
use crate::fetch;
use crate::key_source::Document;
use crate::keys::JWKS_BYTES_MAX;
use crate::thumbprint::PublicKey;

/// The most certificates that are taken from one document.
pub(crate) const CERTIFICATES_MAX: usize = 16;

/// What a document must be to be taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Whose it is.
    pub(crate) entity_id: String,
    /// The keys one of which must have signed it; empty where it comes by a way that is trusted.
    pub(crate) signers: Vec<PublicKey>,
}

/// What is known of an identity provider.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    /// The keys that it signs with.
    pub(crate) keys: Vec<PublicKey>,
    /// Where people sign in, by the binding HTTP-Redirect.
    pub(crate) sign_in: String,
    /// Whether it wants requests signed.
    pub(crate) wants_signed_requests: bool,
    /// From when on it says nothing any more.
    pub(crate) valid_until: Option<Timestamp>,
    digest: [u8; 32],
}

impl Document for Metadata {
    type Terms = Terms;

    fn parse(bytes: &[u8], terms: &Terms) -> Result<Self, String> {
        let sent = parse(bytes, JWKS_BYTES_MAX)?;
        if terms.signers.is_empty() {
            return Self::read(&sent, terms, bytes);
        }
        let verified = verify(&sent, &terms.signers).map_err(|why| format!("its signature: {why}"))?;
        let verified = verified.ok_or("it is not signed")?;
        Self::read(&parse(&verified.bytes, JWKS_BYTES_MAX)?, terms, bytes)
    }

    fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    fn keys(&self) -> usize {
        self.keys.len()
    }

    fn signers(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|k| k.thumbprint.as_str())
    }

    fn refresh_s(&self) -> Option<u64> {
        None
    }
}

impl Metadata {
    fn read(entity: &Element, terms: &Terms, bytes: &[u8]) -> Result<Self, String> {
        if !entity.is(MD, "EntityDescriptor") {
            return Err("it is not an EntityDescriptor: give the metadata of one identity provider".to_owned());
        }
        let whose = entity.attribute("entityID").unwrap_or_default();
        if whose != terms.entity_id {
            let (whose, want) = (crate::token::shown(whose), &terms.entity_id);
            return Err(format!("its entityID is \"{whose}\", not \"{want}\""));
        }
        let provider = entity.only(MD, "IDPSSODescriptor")?.ok_or("it has no IDPSSODescriptor")?;
        let protocols = provider.attribute("protocolSupportEnumeration").unwrap_or_default();
        if !protocols.split_ascii_whitespace().any(|p| p == PROTOCOL) {
            return Err("its IDPSSODescriptor is not for SAML 2.0".to_owned());
        }
        let mut valid_until: Option<Timestamp> = None;
        for text in [entity, provider].into_iter().filter_map(|e| e.attribute("validUntil")) {
            let at = instant(text).ok_or("its validUntil is not a time in UTC")?;
            valid_until = Some(valid_until.map_or(at, |other| other.min(at)));
        }
        let mut keys: Vec<PublicKey> = Vec::new();
        for descriptor in provider.all(MD, "KeyDescriptor") {
            if !matches!(descriptor.attribute("use"), None | Some("signing")) {
                continue;
            }
            let info = descriptor.only(DSIG, "KeyInfo")?.ok_or("a KeyDescriptor has no KeyInfo")?;
            for certificate in info.all(DSIG, "X509Data").flat_map(|d| d.all(DSIG, "X509Certificate")) {
                let der = decoded(certificate).map_err(|_| "a certificate is not base64")?;
                let key = key_of(&der)?;
                if keys.iter().all(|known| known.thumbprint != key.thumbprint) {
                    keys.push(key);
                }
                if keys.len() > CERTIFICATES_MAX {
                    return Err(format!("it has more than {CERTIFICATES_MAX} signing keys"));
                }
            }
        }
        if keys.is_empty() {
            return Err("it has no certificate to sign with".to_owned());
        }
        let mut services = provider.all(MD, "SingleSignOnService");
        let service = services.find(|s| s.attribute("Binding") == Some(BINDING_REDIRECT));
        let sign_in = service.and_then(|s| s.attribute("Location"));
        let sign_in = sign_in.ok_or("it has no SingleSignOnService for HTTP-Redirect")?;
        fetch::check_url(sign_in)?;
        let wants_signed_requests = matches!(provider.attribute("WantAuthnRequestsSigned"), Some("true" | "1"));
        let digest = Sha256::digest(bytes).into();
        Ok(Self { keys, sign_in: sign_in.to_owned(), wants_signed_requests, valid_until, digest })
    }

    /// Whether it still says something.
    pub(crate) fn is_valid(&self, now: Timestamp) -> bool {
        self.valid_until.is_none_or(|until| now < until)
    }
}

/// The key of a certificate.
pub(crate) fn key_of(der: &[u8]) -> Result<PublicKey, String> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|_| "a certificate is not an X.509 certificate")?;
    if !rest.is_empty() {
        return Err("there is something behind a certificate".to_owned());
    }
    let key = PublicKey::from_spki(certificate.public_key());
    key.map_err(|why| format!("the key of a certificate {why}"))
}
