//! What an identity provider answers (SAML Core, 3.3; the Web Browser SSO profile, SAML Profiles, 4.1), checked to the last word.
//!
//! The order is fixed: form, signatures, decryption, and then meaning. After a signature holds, only the bytes that it is over are read
//! again and used; whatever stood beside them is gone. Must never read a value from an element that no verified signature covers, choose
//! between two, or take an answer that nobody asked for.

use std::collections::HashSet;

use aws_lc_rs::rsa::PrivateDecryptingKey;
use countersign_model::Timestamp;

use super::canonical::{Form, canonical};
use super::encryption::decrypt;
use super::signature::verify;
use super::time::instant;
use super::xml::{Attribute, Element, Fault, parse};
use super::{ASSERTION, DSIG, PROTOCOL};
use crate::Rejection;
use crate::thumbprint::PublicKey;

/// The longest response, in bytes of XML.
pub(crate) const RESPONSE_BYTES_MAX: usize = 256 * 1024;
/// How long an assertion may be good at most, in seconds (a day): its id is remembered for so long.
pub(crate) const ASSERTION_LIFETIME_S_MAX: u64 = 86_400;
/// The most attributes of an assertion.
pub(crate) const ATTRIBUTES_MAX: usize = 256;
/// The most values of all attributes together.
pub(crate) const VALUES_MAX: usize = 2_048;
/// The longest value of an attribute, and the longest name identifier, in bytes.
pub(crate) const VALUE_BYTES_MAX: usize = 4 * 1024;

const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const TRANSIENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";
const ENTITY: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity";

/// What an answer must fit.
pub(crate) struct Expected<'e> {
    /// The identity provider that was asked.
    pub(crate) provider: &'e str,
    /// Its signing keys.
    pub(crate) keys: &'e [PublicKey],
    /// What this gateway is called there.
    pub(crate) entity_id: &'e str,
    /// Where answers come to.
    pub(crate) acs: &'e str,
    /// The request that is answered.
    pub(crate) request: &'e str,
    /// What opens encrypted assertions.
    pub(crate) key: &'e PrivateDecryptingKey,
    /// How far clocks may differ, in seconds.
    pub(crate) leeway_s: u64,
    /// Whether an assertion must be encrypted.
    pub(crate) require_encrypted: bool,
    /// Whether an assertion without a signature of its own is taken where the response around it has one.
    pub(crate) accept_response_signature: bool,
    /// When it is.
    pub(crate) now: Timestamp,
}

/// What was asserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asserted {
    /// The assertion's id.
    pub(crate) id: String,
    /// The name identifier.
    pub(crate) name_id: String,
    /// Its format, where it says one.
    pub(crate) name_id_format: Option<String>,
    /// The attributes, each name once.
    pub(crate) attributes: Vec<(String, Vec<String>)>,
    /// When it was made.
    pub(crate) issued_at: Timestamp,
    /// When it ends.
    pub(crate) ends_at: Timestamp,
    /// When the person signed in there.
    pub(crate) authenticated_at: Timestamp,
    /// How (`AuthnContextClassRef`).
    pub(crate) context: Option<String>,
    /// When the session there ends.
    pub(crate) session_ends_at: Option<Timestamp>,
    /// The thumbprint of the key that signed it.
    pub(crate) signer: String,
}

const fn no(why: Fault) -> Rejection {
    Rejection::Saml(why)
}

/// Checks an answer.
pub(crate) fn check(xml: &[u8], e: &Expected<'_>) -> Result<Asserted, Rejection> {
    let sent = parse(xml, RESPONSE_BYTES_MAX).map_err(no)?;
    check_form(&sent)?;
    let verified = verify(&sent, e.keys)?;
    // From here on there is only what the signature is over, where there is one.
    let response = match &verified {
        Some(v) => parse(&v.bytes, usize::MAX).map_err(no)?,
        None => sent,
    };
    let (assertion, signer) = assertion(&response, verified.map(|v| v.signer), e)?;
    check_response(&response, e)?;
    read(&assertion, signer, e)
}

/// One response with one assertion, signatures where they belong, and no identifier twice.
fn check_form(response: &Element) -> Result<(), Rejection> {
    if !response.is(PROTOCOL, "Response") {
        return Err(no("it is not a Response"));
    }
    let (mut assertions, mut encrypted, mut signatures) = (0_usize, 0_usize, 0_usize);
    let (mut ids, mut twice) = (HashSet::new(), false);
    response.visit(&mut |e| {
        assertions = assertions.saturating_add(usize::from(e.name.local == "Assertion"));
        encrypted = encrypted.saturating_add(usize::from(e.name.local == "EncryptedAssertion"));
        signatures = signatures.saturating_add(usize::from(e.is(DSIG, "Signature")));
        twice |= e.attributes.iter().filter(|a| is_id(a)).any(|a| !ids.insert(a.value.clone()));
    });
    let mine = |of: &Element| of.all(DSIG, "Signature").count();
    let direct = response.all(ASSERTION, "Assertion").count();
    let placed = response.all(ASSERTION, "Assertion").map(mine).sum::<usize>().saturating_add(mine(response));
    let sealed = response.all(ASSERTION, "EncryptedAssertion").count();
    if twice {
        return Err(no("an identifier is there twice"));
    }
    if assertions.saturating_add(encrypted) != 1 || direct.saturating_add(sealed) != 1 {
        return Err(no("there is not exactly one assertion, directly in the response"));
    }
    if signatures != placed {
        return Err(no("a signature stands where none belongs"));
    }
    Ok(())
}

/// Whether an attribute could be what a reference means.
fn is_id(attribute: &Attribute) -> bool {
    attribute.name.local.eq_ignore_ascii_case("id") || attribute.name.local == "AssertionID"
}

/// The assertion as it was signed, and by which key.
fn assertion(
    response: &Element,
    response_signer: Option<String>,
    e: &Expected<'_>,
) -> Result<(Element, String), Rejection> {
    let sealed = response.only(ASSERTION, "EncryptedAssertion").map_err(no)?;
    let found = match sealed {
        Some(sealed) => {
            let plain = decrypt(sealed, e.key, response_signer.is_some())?;
            let plain = parse(&plain, RESPONSE_BYTES_MAX).map_err(no)?;
            check_decrypted(&plain)?;
            plain
        }
        None if e.require_encrypted => return Err(no("the assertion is not encrypted")),
        None => response.only(ASSERTION, "Assertion").map_err(no)?.ok_or(no("there is no assertion"))?.clone(),
    };
    match (verify(&found, e.keys)?, response_signer) {
        (Some(verified), _) => Ok((parse(&verified.bytes, usize::MAX).map_err(no)?, verified.signer)),
        (None, Some(signer)) if e.accept_response_signature => {
            let bytes = canonical(&found, Form::default()).map_err(no)?;
            Ok((parse(&bytes, usize::MAX).map_err(no)?, signer))
        }
        (None, Some(_)) => Err(no("the assertion is not signed: only the response around it is")),
        (None, None) => Err(no("the assertion is not signed")),
    }
}

/// The same of what was encrypted: one assertion and its signature, no more.
fn check_decrypted(assertion: &Element) -> Result<(), Rejection> {
    let (mut assertions, mut signatures) = (0_usize, 0_usize);
    let (mut ids, mut twice) = (HashSet::new(), false);
    assertion.visit(&mut |e| {
        let is_one = matches!(e.name.local.as_str(), "Assertion" | "EncryptedAssertion" | "Response");
        assertions = assertions.saturating_add(usize::from(is_one));
        signatures = signatures.saturating_add(usize::from(e.is(DSIG, "Signature")));
        twice |= e.attributes.iter().filter(|a| is_id(a)).any(|a| !ids.insert(a.value.clone()));
    });
    let one = assertion.is(ASSERTION, "Assertion") && assertions == 1 && !twice;
    let fits = one && signatures == assertion.all(DSIG, "Signature").count();
    if fits { Ok(()) } else { Err(no("what was encrypted is not exactly one assertion")) }
}

fn check_response(response: &Element, e: &Expected<'_>) -> Result<(), Rejection> {
    version(response)?;
    if response.attribute("InResponseTo") != Some(e.request) {
        return Err(no("the response is not to the request that was made"));
    }
    if response.attribute("Destination") != Some(e.acs) {
        return Err(no("the response is meant for another address (Destination)"));
    }
    not_ahead(response, "IssueInstant", e)?;
    if let Some(issuer) = response.only(ASSERTION, "Issuer").map_err(no)? {
        check_issuer(issuer, e)?;
    }
    let status = response.only(PROTOCOL, "Status").map_err(no)?.ok_or(no("the response has no status"))?;
    let code = status.only(PROTOCOL, "StatusCode").map_err(no)?;
    if code.and_then(|c| c.attribute("Value")) != Some(SUCCESS) {
        return Err(no("the identity provider says that the sign-in failed"));
    }
    Ok(())
}

fn version(of: &Element) -> Result<(), Rejection> {
    if of.attribute("Version") == Some("2.0") { Ok(()) } else { Err(no("it is not of SAML 2.0")) }
}

fn check_issuer(issuer: &Element, e: &Expected<'_>) -> Result<(), Rejection> {
    let named = issuer.text().map_err(no)?;
    let plain = issuer.attribute("Format").is_none_or(|f| f == ENTITY);
    if plain && named == e.provider { Ok(()) } else { Err(no("it is of another identity provider (Issuer)")) }
}

/// A time that must be there.
fn time(of: &Element, name: &'static str) -> Result<Timestamp, Rejection> {
    of.attribute(name).and_then(instant).ok_or(no("a time is missing, or is not in UTC"))
}

fn leeway_us(e: &Expected<'_>) -> i64 {
    i64::try_from(e.leeway_s.saturating_mul(1_000_000)).unwrap_or(0)
}

/// A time of the past.
fn not_ahead(of: &Element, name: &'static str, e: &Expected<'_>) -> Result<Timestamp, Rejection> {
    let at = time(of, name)?;
    let ahead_us = at.since_us(Timestamp::from_unix_us(e.now.unix_us().saturating_add(leeway_us(e))));
    match ahead_us {
        0 => Ok(at),
        us => Err(Rejection::NotYetValid { claim: name, in_s: us.div_ceil(1_000_000) }),
    }
}

/// An end that has not come.
fn not_over(at: Timestamp, e: &Expected<'_>) -> Result<Timestamp, Rejection> {
    let ends = Timestamp::from_unix_us(at.unix_us().saturating_add(leeway_us(e)));
    if e.now < ends { Ok(at) } else { Err(Rejection::Expired { ago_s: e.now.since_us(ends) / 1_000_000 }) }
}

/// What an assertion says, whose signature held.
pub(super) fn read(assertion: &Element, signer: String, e: &Expected<'_>) -> Result<Asserted, Rejection> {
    version(assertion)?;
    let id = assertion.attribute("ID").filter(|id| !id.is_empty() && id.len() <= VALUE_BYTES_MAX);
    let id = id.ok_or(no("the assertion has no ID"))?.to_owned();
    let issued_at = not_ahead(assertion, "IssueInstant", e)?;
    let issuer = assertion.only(ASSERTION, "Issuer").map_err(no)?.ok_or(no("the assertion has no issuer"))?;
    check_issuer(issuer, e)?;
    let (name_id, name_id_format, confirmed_until) = subject(assertion, e)?;
    let conditions_until = conditions(assertion, e)?;
    let ends_at = confirmed_until.min(conditions_until);
    let lifetime_s = ends_at.since_us(issued_at) / 1_000_000;
    if lifetime_s > ASSERTION_LIFETIME_S_MAX {
        return Err(Rejection::Lifetime { lifetime_s, limit_s: ASSERTION_LIFETIME_S_MAX });
    }
    let statement = assertion.only(ASSERTION, "AuthnStatement").map_err(no)?;
    let statement = statement.ok_or(no("the assertion does not say that somebody signed in"))?;
    let authenticated_at = not_ahead(statement, "AuthnInstant", e)?;
    let session_ends_at = match statement.attribute("SessionNotOnOrAfter") {
        None => None,
        Some(_) => Some(not_over(time(statement, "SessionNotOnOrAfter")?, e)?),
    };
    let context = statement.only(ASSERTION, "AuthnContext").map_err(no)?;
    let context = context.map(|c| c.only(ASSERTION, "AuthnContextClassRef")).transpose().map_err(no)?.flatten();
    Ok(Asserted {
        id,
        name_id,
        name_id_format,
        attributes: attributes(assertion)?,
        issued_at,
        ends_at,
        authenticated_at,
        context: context.map(|c| bounded(c.text())).transpose()?,
        session_ends_at,
        signer,
    })
}

fn bounded(text: Result<String, Fault>) -> Result<String, Rejection> {
    let text = text.map_err(no)?;
    if text.len() > VALUE_BYTES_MAX { Err(no("a value is too long")) } else { Ok(text) }
}

/// Whom it is about, and until when whoever brings it is taken for them.
fn subject(assertion: &Element, e: &Expected<'_>) -> Result<(String, Option<String>, Timestamp), Rejection> {
    let subject = assertion.only(ASSERTION, "Subject").map_err(no)?.ok_or(no("the assertion is about nobody"))?;
    let known = |s: &Element| s.is(ASSERTION, "NameID") || s.is(ASSERTION, "SubjectConfirmation");
    if !subject.elements().all(known) {
        return Err(no("the subject has a part that is not known, such as an encrypted name"));
    }
    let name = subject.only(ASSERTION, "NameID").map_err(no)?.ok_or(no("the subject has no NameID"))?;
    let format = name.attribute("Format").map(str::to_owned);
    if format.as_deref() == Some(TRANSIENT) {
        return Err(no("the NameID is another one at each sign-in (transient)"));
    }
    // A name that is one only beside another name.
    let qualified = [("NameQualifier", e.provider), ("SPNameQualifier", e.entity_id)];
    if qualified.into_iter().any(|(name_of, whose)| name.attribute(name_of).is_some_and(|q| q != whose)) {
        return Err(no("the NameID belongs to somebody else (NameQualifier, SPNameQualifier)"));
    }
    let name_id = bounded(name.text())?;
    let confirmation = subject.only(ASSERTION, "SubjectConfirmation").map_err(no)?;
    let confirmation = confirmation.ok_or(no("the subject has no confirmation"))?;
    if confirmation.attribute("Method") != Some(BEARER) {
        return Err(no("the subject is not to be confirmed by bringing the assertion (bearer)"));
    }
    let data = confirmation.only(ASSERTION, "SubjectConfirmationData").map_err(no)?;
    let data = data.ok_or(no("the subject's confirmation says nothing"))?;
    if data.attribute("Recipient") != Some(e.acs) {
        return Err(no("the assertion is for another address (Recipient)"));
    }
    if data.attribute("InResponseTo") != Some(e.request) {
        return Err(no("the assertion is not for the request that was made"));
    }
    if data.attribute("NotBefore").is_some() || data.elements().next().is_some() {
        return Err(no("the subject's confirmation says what it may not"));
    }
    Ok((name_id, format, not_over(time(data, "NotOnOrAfter")?, e)?))
}

/// For whom and until when it is.
fn conditions(assertion: &Element, e: &Expected<'_>) -> Result<Timestamp, Rejection> {
    let conditions = assertion.only(ASSERTION, "Conditions").map_err(no)?;
    let conditions = conditions.ok_or(no("the assertion has no conditions"))?;
    if conditions.attribute("NotBefore").is_some() {
        not_ahead(conditions, "NotBefore", e)?;
    }
    let until = not_over(time(conditions, "NotOnOrAfter")?, e)?;
    let mut restricted = false;
    for condition in conditions.elements() {
        if condition.is(ASSERTION, "AudienceRestriction") {
            let mut ours = false;
            for audience in condition.elements() {
                ours |= audience.is(ASSERTION, "Audience") && audience.text().map_err(no)? == e.entity_id;
            }
            if !ours {
                return Err(Rejection::Audience);
            }
            restricted = true;
        } else if !condition.is(ASSERTION, "OneTimeUse") && !condition.is(ASSERTION, "ProxyRestriction") {
            return Err(no("the assertion has a condition that is not known"));
        }
    }
    if restricted { Ok(until) } else { Err(Rejection::Audience) }
}

fn attributes(assertion: &Element) -> Result<Vec<(String, Vec<String>)>, Rejection> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    let mut seen = HashSet::new();
    let mut count = 0_usize;
    for attribute in assertion.all(ASSERTION, "AttributeStatement").flat_map(Element::elements) {
        if !attribute.is(ASSERTION, "Attribute") {
            return Err(no("an attribute is encrypted, or is none"));
        }
        let name = attribute.attribute("Name").filter(|n| !n.is_empty() && n.len() <= VALUE_BYTES_MAX);
        let name = name.ok_or(no("an attribute has no name"))?;
        if !seen.insert(name.to_owned()) {
            return Err(no("an attribute is there twice"));
        }
        let mut values = Vec::new();
        for value in attribute.elements() {
            if !value.is(ASSERTION, "AttributeValue") {
                return Err(no("an attribute has a part that is not known"));
            }
            values.push(bounded(value.text())?);
        }
        count = count.saturating_add(values.len());
        if all.len() >= ATTRIBUTES_MAX || count > VALUES_MAX {
            return Err(no("there are too many attributes"));
        }
        all.push((name.to_owned(), values));
    }
    Ok(all)
}
