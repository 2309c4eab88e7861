//! Signatures over elements (XML Signature 1.1), in the one shape that SAML allows (SAML Core, 5.4).
//!
//! What holds is given back as the bytes that were signed, and whoever asks reads those and nothing else. Must never take a key from a
//! document, resolve a reference to anything but the element that the signature stands in, or take SHA-1.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;

use super::canonical::{Form, canonical};
use super::xml::{Element, Fault};
use super::{DSIG, is_blank};
use crate::Rejection;
use crate::thumbprint::{KeyKind, PublicKey};

const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
/// The most prefixes in `InclusiveNamespaces`.
const INCLUSIVE_MAX: usize = 16;

/// A signature that holds.
#[derive(Debug)]
pub(super) struct Verified {
    /// The canonical form of the element without its signature: what was signed.
    pub(super) bytes: Vec<u8>,
    /// The thumbprint of the key.
    pub(super) signer: String,
}

fn saml(fault: Fault) -> Rejection {
    Rejection::Saml(fault)
}

/// Verifies the signature directly in an element, which must be over the whole of it; `None` when there is none.
pub(super) fn verify(element: &Element, keys: &[PublicKey]) -> Result<Option<Verified>, Rejection> {
    let Some(signature) = element.only(DSIG, "Signature").map_err(saml)? else { return Ok(None) };
    let id = element.attribute("ID").filter(|id| !id.is_empty());
    let id = id.ok_or(Rejection::Saml("a signed element has no ID"))?;
    check_children(signature, &["SignedInfo", "SignatureValue", "KeyInfo"])?;
    let part = |of, name| only(of, name);
    let info = part(signature, "SignedInfo")?;
    check_children(info, &["CanonicalizationMethod", "SignatureMethod", "Reference"])?;
    let reference = part(info, "Reference")?;
    check_children(reference, &["Transforms", "DigestMethod", "DigestValue"])?;
    if reference.attribute("URI").and_then(|uri| uri.strip_prefix('#')) != Some(id) {
        return Err(Rejection::Saml("a signature is not over the element that it stands in"));
    }

    let inclusive = transforms(part(reference, "Transforms")?)?;
    let bytes = canonical(element, Form { inclusive: &inclusive, without_signature: true }).map_err(saml)?;
    let algorithm = digest_of(method(part(reference, "DigestMethod")?)?)?;
    let want = decoded(part(reference, "DigestValue")?)?;
    if !bool::from(digest::digest(algorithm, &bytes).as_ref().ct_eq(&want)) {
        return Err(Rejection::Signature);
    }

    let form = part(info, "CanonicalizationMethod")?;
    let inclusive = exclusive(form)?;
    let signed = canonical(info, Form { inclusive: &inclusive, without_signature: false }).map_err(saml)?;
    let value = decoded(part(signature, "SignatureValue")?)?;
    let (kind, algorithm) = signature_of(method(part(info, "SignatureMethod")?)?)?;
    let holds = |key: &&PublicKey| {
        key.kind == kind && UnparsedPublicKey::new(algorithm, &key.bits).verify(&signed, &value).is_ok()
    };
    let key = keys.iter().find(holds).ok_or(Rejection::Signature)?;
    Ok(Some(Verified { bytes, signer: key.thumbprint.clone() }))
}

fn only<'e>(of: &'e Element, name: &'static str) -> Result<&'e Element, Rejection> {
    of.only(DSIG, name).map_err(saml)?.ok_or(Rejection::Saml("a signature is not complete"))
}

/// Nothing may stand in a signature that is not read.
fn check_children(of: &Element, names: &[&str]) -> Result<(), Rejection> {
    let known = of.elements().all(|e| names.iter().any(|n| e.is(DSIG, n)));
    if known && is_blank(of) { Ok(()) } else { Err(Rejection::Saml("a signature has a part that is not known")) }
}

fn method(of: &Element) -> Result<&str, Rejection> {
    let plain = of.children.is_empty() || (of.elements().next().is_none() && is_blank(of));
    let name = of.attribute("Algorithm").filter(|_| plain);
    name.ok_or(Rejection::Saml("a signature names no algorithm, or gives it parameters"))
}

/// `enveloped-signature` and then exclusive canonicalization (SAML Core, 5.4.4), whose inclusive prefixes are given back.
fn transforms(of: &Element) -> Result<Vec<String>, Rejection> {
    let all: Vec<&Element> = of.elements().collect();
    let fits = all.iter().all(|t| t.is(DSIG, "Transform")) && is_blank(of);
    match all.as_slice() {
        [first, second] if fits && method(first)? == ENVELOPED => exclusive(second),
        _ => Err(Rejection::Saml("a signature has other transforms than SAML allows")),
    }
}

fn exclusive(of: &Element) -> Result<Vec<String>, Rejection> {
    if of.attribute("Algorithm") != Some(EXCLUSIVE) || !is_blank(of) {
        return Err(Rejection::Saml("a signature is not over the exclusive canonical form"));
    }
    let mut list = Vec::new();
    for (n, element) in of.elements().enumerate() {
        if n > 0 || !element.is(EXCLUSIVE, "InclusiveNamespaces") {
            return Err(Rejection::Saml("a signature has a part that is not known"));
        }
        let prefixes = element.attribute("PrefixList").unwrap_or_default().split_ascii_whitespace();
        list.extend(prefixes.map(|p| if p == "#default" { String::new() } else { p.to_owned() }));
    }
    if list.len() > INCLUSIVE_MAX { Err(Rejection::Saml("a signature has too many prefixes")) } else { Ok(list) }
}

/// Base64 with spaces in it, as XML has it.
pub(super) fn decoded(of: &Element) -> Result<Vec<u8>, Rejection> {
    let text: String = of.text().map_err(saml)?.split_ascii_whitespace().collect();
    STANDARD.decode(text).map_err(|_| Rejection::Saml("there is a value that is not base64"))
}

fn digest_of(name: &str) -> Result<&'static digest::Algorithm, Rejection> {
    match name {
        "http://www.w3.org/2001/04/xmlenc#sha256" => Ok(&digest::SHA256),
        "http://www.w3.org/2001/04/xmldsig-more#sha384" => Ok(&digest::SHA384),
        "http://www.w3.org/2001/04/xmlenc#sha512" => Ok(&digest::SHA512),
        other => Err(Rejection::Algorithm(crate::token::shown(other))),
    }
}

fn signature_of(name: &str) -> Result<(KeyKind, &'static dyn VerificationAlgorithm), Rejection> {
    Ok(match name {
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" => (KeyKind::Rsa, &RSA_PKCS1_2048_8192_SHA256),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384" => (KeyKind::Rsa, &RSA_PKCS1_2048_8192_SHA384),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512" => (KeyKind::Rsa, &RSA_PKCS1_2048_8192_SHA512),
        "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1" => (KeyKind::Rsa, &RSA_PSS_2048_8192_SHA256),
        "http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1" => (KeyKind::Rsa, &RSA_PSS_2048_8192_SHA384),
        "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1" => (KeyKind::Rsa, &RSA_PSS_2048_8192_SHA512),
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" => (KeyKind::P256, &ECDSA_P256_SHA256_FIXED),
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384" => (KeyKind::P384, &ECDSA_P384_SHA384_FIXED),
        other => return Err(Rejection::Algorithm(crate::token::shown(other))),
    })
}
