//! Answers of an identity provider that is made here, whole and broken in every way that was ever tried on somebody.

mod encrypted;
mod meaning;
mod service;
mod wrapping;

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_model::Timestamp;

use super::canonical::{Form, canonical};
use super::metadata::{Metadata, Terms, key_of};
use super::response::{Asserted, Expected, check};
use super::xml::parse;
use super::{DSIG, ServiceKey};
use crate::Rejection;
use crate::key_source::Document as _;
use crate::thumbprint::PublicKey;

pub(super) const PROVIDER: &str = "https://idp.example/saml";
pub(super) const OURS: &str = "https://gw.example/console/saml/corp/metadata";
pub(super) const ACS: &str = "https://gw.example/console/saml/corp/acs";
pub(super) const REQUEST: &str = "_8mXnQ";
/// 2026-11-22T20:24:01Z.
pub(super) const NOW_S: i64 = 1_795_379_041;

pub(super) fn now() -> Timestamp {
    Timestamp::from_unix_s(NOW_S)
}

/// A time so many seconds from now, as it is written.
pub(super) fn at(s: i64) -> String {
    Timestamp::from_unix_s(NOW_S + s).rfc3339()
}

/// One key for all tests: an RSA key takes a moment to make.
pub(super) fn ours() -> Arc<ServiceKey> {
    static KEY: OnceLock<Arc<ServiceKey>> = OnceLock::new();
    KEY.get_or_init(|| Arc::new(ServiceKey::open(&ServiceKey::generate(now()).unwrap()).unwrap())).clone()
}

/// An identity provider.
pub(super) struct Idp {
    key: EcdsaKeyPair,
    pub(super) certificate: Vec<u8>,
    pub(super) public: PublicKey,
}

impl Idp {
    pub(super) fn new() -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&pair).unwrap().der().to_vec();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pair.serialize_der()).unwrap();
        Self { key, public: key_of(&certificate).unwrap(), certificate }
    }

    /// Puts a signature over an element in the place of `@SIG@`.
    pub(super) fn sign(&self, xml: &str, id: &str) -> String {
        xml.replace("@SIG@", &self.signature(xml, id, &Signing::default()))
    }

    pub(super) fn signature(&self, xml: &str, id: &str, s: &Signing) -> String {
        let element = parse(xml.replace("@SIG@", "").as_bytes(), usize::MAX).unwrap();
        let bytes = canonical(&element, Form::default()).unwrap();
        let digest = STANDARD.encode(digest::digest(&digest::SHA256, &bytes));
        let Signing { form, method, transforms, digest_method, uri, .. } = s;
        let uri = uri.clone().unwrap_or_else(|| format!("#{id}"));
        let info = format!(
            "<ds:SignedInfo xmlns:ds=\"{DSIG}\"><ds:CanonicalizationMethod Algorithm=\"{form}\"/>\
             <ds:SignatureMethod Algorithm=\"{method}\"/><ds:Reference URI=\"{uri}\">{transforms}\
             <ds:DigestMethod Algorithm=\"{digest_method}\"/><ds:DigestValue>{digest}</ds:DigestValue></ds:Reference>{}\
             </ds:SignedInfo>",
            s.more_info,
        );
        let signed = canonical(&parse(info.as_bytes(), usize::MAX).unwrap(), Form::default()).unwrap();
        let value = STANDARD.encode(self.key.sign(&SystemRandom::new(), &signed).unwrap());
        format!(
            "<ds:Signature xmlns:ds=\"{DSIG}\">{info}<ds:SignatureValue>{value}</ds:SignatureValue>{}</ds:Signature>",
            s.more
        )
    }

    pub(super) fn metadata(&self, more: &str) -> String {
        format!(
            "<md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"{PROVIDER}\" ID=\"_m\" {more}>\
             @SIG@<md:IDPSSODescriptor protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">\
             <md:KeyDescriptor use=\"signing\"><ds:KeyInfo xmlns:ds=\"{DSIG}\"><ds:X509Data><ds:X509Certificate>{}\
             </ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>\
             <md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" \
             Location=\"https://idp.example/sso?a=1\"/></md:IDPSSODescriptor></md:EntityDescriptor>",
            STANDARD.encode(&self.certificate)
        )
    }

    pub(super) fn check(&self, xml: &str) -> Result<Asserted, Rejection> {
        self.check_with(xml, |_| ())
    }

    pub(super) fn check_with(&self, xml: &str, edit: impl FnOnce(&mut Expected<'_>)) -> Result<Asserted, Rejection> {
        let (keys, ours) = ([self.public.clone()], ours());
        let mut expected = Expected {
            provider: PROVIDER,
            keys: &keys,
            entity_id: OURS,
            acs: ACS,
            request: REQUEST,
            key: &ours.opening,
            leeway_s: 30,
            require_encrypted: false,
            accept_response_signature: false,
            now: now(),
        };
        edit(&mut expected);
        check(xml.as_bytes(), &expected)
    }
}

/// How a signature is written.
#[derive(Clone)]
pub(super) struct Signing {
    pub(super) form: String,
    pub(super) method: String,
    pub(super) transforms: String,
    pub(super) digest_method: String,
    pub(super) uri: Option<String>,
    pub(super) more: String,
    pub(super) more_info: String,
}

pub(super) const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
pub(super) const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";

pub(super) fn transforms(all: &[&str]) -> String {
    let all: String = all.iter().map(|t| format!("<ds:Transform Algorithm=\"{t}\"/>")).collect();
    format!("<ds:Transforms>{all}</ds:Transforms>")
}

impl Default for Signing {
    fn default() -> Self {
        Self {
            form: EXCLUSIVE.to_owned(),
            method: "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256".to_owned(),
            transforms: transforms(&[ENVELOPED, EXCLUSIVE]),
            digest_method: "http://www.w3.org/2001/04/xmlenc#sha256".to_owned(),
            uri: None,
            more: String::new(),
            more_info: String::new(),
        }
    }
}

/// An assertion that is good, with the place of its signature.
pub(super) fn assertion() -> String {
    format!(
        "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_a\" Version=\"2.0\" IssueInstant=\"{now}\">\
         <saml:Issuer>{PROVIDER}</saml:Issuer>@SIG@<saml:Subject>\
         <saml:NameID Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\">mia</saml:NameID>\
         <saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><saml:SubjectConfirmationData \
         InResponseTo=\"{REQUEST}\" NotOnOrAfter=\"{end}\" Recipient=\"{ACS}\"/></saml:SubjectConfirmation></saml:Subject>\
         <saml:Conditions NotBefore=\"{begin}\" NotOnOrAfter=\"{end}\"><saml:AudienceRestriction><saml:Audience>{OURS}\
         </saml:Audience></saml:AudienceRestriction></saml:Conditions>\
         <saml:AuthnStatement AuthnInstant=\"{now}\"><saml:AuthnContext><saml:AuthnContextClassRef>urn:mfa\
         </saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>\
         <saml:AttributeStatement><saml:Attribute Name=\"groups\"><saml:AttributeValue>dba</saml:AttributeValue>\
         <saml:AttributeValue>ops</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion>",
        now = at(0),
        begin = at(-5),
        end = at(300),
    )
}

/// A response around it, with the place of its signature.
pub(super) fn response(inside: &str) -> String {
    format!(
        "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" \
         xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_r\" Version=\"2.0\" IssueInstant=\"{}\" \
         Destination=\"{ACS}\" InResponseTo=\"{REQUEST}\"><saml:Issuer>{PROVIDER}</saml:Issuer>@RSIG@<samlp:Status>\
         <samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/></samlp:Status>{inside}</samlp:Response>",
        at(0)
    )
}

/// The same with a signature over the whole.
pub(super) fn signed_response(idp: &Idp, inside: &str) -> String {
    idp.sign(&response(inside).replace("@RSIG@", "@SIG@"), "_r")
}

/// The same without one.
pub(super) fn bare_response(inside: &str) -> String {
    response(inside).replace("@RSIG@", "")
}

/// What everybody sends: a signed assertion in a bare response.
pub(super) fn usual(idp: &Idp) -> String {
    bare_response(&idp.sign(&assertion(), "_a"))
}

/// Whether a refusal says this.
pub(super) fn says(outcome: Result<Asserted, Rejection>, want: &str) -> Result<(), String> {
    match outcome {
        Ok(a) => Err(format!("it was accepted, as \"{}\"", a.name_id)),
        Err(why) if why.to_string().contains(want) => Ok(()),
        Err(why) => Err(format!("\"{why}\", not \"{want}\"")),
    }
}

#[test]
fn the_usual_answer_is_read() {
    let idp = Idp::new();
    let a = idp.check(&usual(&idp)).unwrap();
    assert_eq!((a.id.as_str(), a.name_id.as_str(), a.context.as_deref()), ("_a", "mia", Some("urn:mfa")));
    assert_eq!(a.attributes, [("groups".to_owned(), vec!["dba".to_owned(), "ops".to_owned()])]);
    assert_eq!((a.issued_at, a.ends_at.since_us(now())), (now(), 300_000_000));
    assert_eq!(a.signer, idp.public.thumbprint);
    // Both signed, too, and spread over lines, which the signature is over as well.
    let both = signed_response(&idp, &idp.sign(&assertion(), "_a"));
    assert_eq!(idp.check(&both).unwrap(), a);
    let spread = assertion().replace("><saml:", ">\n  <saml:");
    assert_eq!(idp.check(&bare_response(&idp.sign(&spread, "_a"))).unwrap(), a);
}

#[test]
fn adv_088_metadata_is_taken_whole_or_not_at_all() {
    let (idp, federation, other) = (Idp::new(), Idp::new(), Idp::new());
    let parse = |xml: &str, signers: &[&Idp]| {
        let signers = signers.iter().map(|i| i.public.clone()).collect();
        Metadata::parse(xml.as_bytes(), &Terms { entity_id: PROVIDER.to_owned(), signers })
    };
    let bare = idp.metadata("").replace("@SIG@", "");
    let read = parse(&bare, &[]).unwrap();
    assert_eq!(
        (read.keys.as_slice(), read.sign_in.as_str()),
        ([idp.public.clone()].as_slice(), "https://idp.example/sso?a=1")
    );
    assert!(read.valid_until.is_none() && !read.wants_signed_requests);
    let signed = federation.sign(&idp.metadata(""), "_m");
    assert!(parse(&signed, &[&federation]).is_ok());
    assert!(parse(&signed, &[&other, &federation]).is_ok());
    let ends = parse(&idp.metadata(&format!("validUntil=\"{}\"", at(10))).replace("@SIG@", ""), &[]).unwrap();
    assert!(ends.is_valid(now()) && !ends.is_valid(Timestamp::from_unix_s(NOW_S + 10)));
    let key = |n: usize| {
        let one = bare.split_once("<md:KeyDescriptor").unwrap().1.split_once("</md:KeyDescriptor>").unwrap().0;
        let others: String = (0..n)
            .map(|_| {
                format!(
                    "<md:KeyDescriptor{}</md:KeyDescriptor>",
                    one.replace(&STANDARD.encode(&idp.certificate), &STANDARD.encode(Idp::new().certificate))
                )
            })
            .collect();
        bare.replace("<md:SingleSignOnService", &format!("{others}<md:SingleSignOnService"))
    };
    assert!(parse(&key(super::metadata::CERTIFICATES_MAX - 1), &[]).is_ok());
    for (xml, signers, want) in [
        (bare.clone(), &[&federation][..], "not signed"),
        (signed.clone(), &[&other], "does not verify"),
        (signed.replace("idp.example/sso", "evil.example/sso"), &[&federation], "does not verify"),
        (bare.replace(PROVIDER, "https://evil.example"), &[], "its entityID is \"https://evil.example\""),
        (bare.replace("EntityDescriptor", "EntitiesDescriptor"), &[], "one identity provider"),
        (bare.replace("IDPSSODescriptor", "SPSSODescriptor"), &[], "no IDPSSODescriptor"),
        (bare.replace("SAML:2.0:protocol", "SAML:1.1:protocol"), &[], "not for SAML 2.0"),
        (bare.replace("use=\"signing\"", "use=\"encryption\""), &[], "no certificate"),
        (bare.replace("HTTP-Redirect", "SOAP"), &[], "no SingleSignOnService"),
        (bare.replace("https://idp.example/sso", "http://idp.example/sso"), &[], "https://"),
        (bare.replace("https://idp.example/sso?a=1", "javascript:alert(1)"), &[], "https://"),
        (format!("<!DOCTYPE x>{bare}"), &[], "DTD"),
        (key(super::metadata::CERTIFICATES_MAX), &[], "more than 16"),
        (bare.replace(" entityID", " validUntil=\"soon\" entityID"), &[], "validUntil"),
    ] {
        let got = parse(&xml, signers).unwrap_err();
        assert!(got.contains(want), "{got}, not {want}");
    }
}
