//! Signatures that are there and hold, over something else than what is read.

use super::*;

/// What an attacker wants to be: a copy of the assertion, with another name.
fn evil(id: &str) -> String {
    assertion().replace("ID=\"_a\"", &format!("ID=\"{id}\"")).replace(">mia<", ">root<").replace("@SIG@", "")
}

/// Cuts the signature out of something signed; what is left, and the signature.
fn cut(signed: &str) -> (String, String) {
    let (before, rest) = signed.split_once("<ds:Signature ").unwrap();
    let (inside, after) = rest.split_once("</ds:Signature>").unwrap();
    (format!("{before}{after}"), format!("<ds:Signature {inside}</ds:Signature>"))
}

fn within_signature(signature: &str, what: &str) -> String {
    signature.replace("</ds:Signature>", &format!("{what}</ds:Signature>"))
}

#[test]
fn adv_088_signature_wrapping_is_refused_in_every_shape() {
    let idp = Idp::new();
    let good = idp.sign(&assertion(), "_a");
    let (bare, signature) = cut(&good);
    let whole = signed_response(&idp, &evil("_a").replace(">root<", ">mia<"));
    let (whole_bare, whole_signature) = cut(&whole);
    assert!(idp.check_with(&whole, |e| e.accept_response_signature = true).is_ok(), "the control");
    assert!(idp.check(&bare_response(&good)).is_ok(), "the control");
    for id in ["_a", "_evil"] {
        let evil = evil(id);
        let with = |signature: &str| {
            evil.replace("</saml:Issuer><saml:Subject>", &format!("</saml:Issuer>{signature}<saml:Subject>"))
        };
        let around = |inside: &str| evil.replace("</saml:Assertion>", &format!("{inside}</saml:Assertion>"));
        let evil_response = |signature: &str, more: &str| {
            let response = response(&evil).replace("@RSIG@", signature);
            let response = response.replace("ID=\"_r\"", if id == "_a" { "ID=\"_r\"" } else { "ID=\"_evil_r\"" });
            response.replace("<samlp:Status>", &format!("{more}<samlp:Status>"))
        };
        let object = |what: &str| format!("<ds:Object>{what}</ds:Object>");
        for (shape, xml) in [
            (
                "1: the signed response in the signature",
                evil_response(&within_signature(&whole_signature, &whole_bare), ""),
            ),
            (
                "2: the signed response beside the signature",
                evil_response(&format!("{whole_bare}{whole_signature}"), ""),
            ),
            ("3: another assertion before", bare_response(&format!("{evil}{good}"))),
            ("3: another assertion behind", bare_response(&format!("{good}{evil}"))),
            ("4: another assertion around", bare_response(&around(&good))),
            (
                "5: the signature in another assertion, what it signs behind",
                bare_response(&format!("{}{bare}", with(&signature))),
            ),
            (
                "6: what is signed in the signature of another",
                bare_response(&with(&within_signature(&signature, &bare))),
            ),
            (
                "7: another assertion in extensions",
                bare_response(&format!("<samlp:Extensions>{evil}</samlp:Extensions>{good}")),
            ),
            (
                "8: what is signed in an object of the signature",
                bare_response(&with(&within_signature(&signature, &object(&bare)))),
            ),
            ("the signature of another assertion", bare_response(&with(&signature))),
            ("the signature of the assertion for the response", evil_response(&signature, "")),
            ("the signed one in an advice", bare_response(&around(&format!("<saml:Advice>{good}</saml:Advice>")))),
            ("the signed one in an attribute", bare_response(&evil.replace(">dba<", &format!(">{good}<")))),
            (
                "the signed one in the confirmation",
                bare_response(&evil.replace(
                    &format!("Recipient=\"{ACS}\"/>"),
                    &format!("Recipient=\"{ACS}\">{good}</saml:SubjectConfirmationData>"),
                )),
            ),
            (
                "an assertion of another namespace",
                bare_response(&format!("{}{good}", evil.replace("SAML:2.0:assertion", "SAML:1.0:assertion"))),
            ),
            ("two signatures", bare_response(&with(&format!("{signature}{signature}")))),
            ("no signature", bare_response(&evil)),
            ("nothing", bare_response("")),
        ] {
            for accept in [false, true] {
                let outcome = idp.check_with(&xml, |e| e.accept_response_signature = accept);
                assert!(outcome.is_err(), "{shape}, {id}, {accept}: accepted as {:?}", outcome.map(|a| a.name_id));
            }
        }
    }
}

#[test]
fn adv_088_a_signature_in_part_or_missing_is_none() {
    let idp = Idp::new();
    let good = idp.sign(&assertion(), "_a");
    let usual = bare_response(&good);
    let unsigned = assertion().replace("@SIG@", "");
    let drop = |from: &str, to: &str| {
        let (before, rest) = usual.split_once(from).unwrap();
        format!("{before}{}", rest.split_once(to).unwrap().1)
    };
    for (xml, want) in [
        (bare_response(&unsigned), "not signed"),
        (signed_response(&idp, &unsigned), "only the response"),
        (usual.replace(">mia<", ">root<"), "does not verify"),
        (usual.replace(">mia<", ">mia <"), "does not verify"),
        (usual.replace(">dba<", ">root<"), "does not verify"),
        (usual.replace("<saml:AttributeValue>ops</saml:AttributeValue>", ""), "does not verify"),
        (usual.replace("ID=\"_a\"", "ID=\"_b\""), "not over the element"),
        (usual.replace("ID=\"_a\"", ""), "no ID"),
        (drop("<ds:SignatureValue>", "</ds:SignatureValue>"), "not complete"),
        (drop("<ds:DigestValue>", "</ds:DigestValue>"), "not complete"),
        (drop("<ds:Transforms>", "</ds:Transforms>"), "not complete"),
        (drop("<ds:Reference", "</ds:Reference>"), "not complete"),
        (drop("<ds:SignedInfo", "</ds:SignedInfo>"), "not complete"),
        (usual.replace("<ds:SignatureValue>", "<ds:SignatureValue>!"), "not base64"),
        (usual.replace("<ds:SignatureValue>", "<ds:SignatureValue><x/>"), "only text"),
        (usual.replace("ID=\"_r\"", "ID=\"_a\""), "identifier is there twice"),
        (usual.replace("<saml:NameID", "<saml:NameID Id=\"_a\""), "identifier is there twice"),
    ] {
        says(idp.check(&xml), want).unwrap();
    }
    assert!(idp.check_with(&signed_response(&idp, &unsigned), |e| e.accept_response_signature = true).is_ok());
    // Somebody else's signature, and their certificate beside it.
    let thief = Idp::new();
    let info = format!(
        "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>",
        STANDARD.encode(&thief.certificate)
    );
    let theirs = thief.signature(&assertion(), "_a", &Signing { more: info, ..Signing::default() });
    says(idp.check(&bare_response(&assertion().replace("@SIG@", &theirs))), "does not verify").unwrap();
}

#[test]
fn adv_088_only_the_shape_that_saml_allows_is_verified() {
    let idp = Idp::new();
    let make = |s: &Signing| bare_response(&assertion().replace("@SIG@", &idp.signature(&assertion(), "_a", s)));
    let base = Signing::default;
    assert!(idp.check(&make(&base())).is_ok(), "the control");
    let sha1 = "http://www.w3.org/2000/09/xmldsig#sha1";
    let inclusive = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
    let xslt = "http://www.w3.org/TR/1999/REC-xslt-19991116";
    let xpath = "http://www.w3.org/TR/1999/REC-xpath-19991116";
    let method = |m: &str| Signing { method: m.to_owned(), ..base() };
    let chain = |t: &[&str]| Signing { transforms: transforms(t), ..base() };
    let uri = |u: &str| Signing { uri: Some(u.to_owned()), ..base() };
    let object = "<ds:Object/>".to_owned();
    let length = "<ds:HMACOutputLength>0</ds:HMACOutputLength>";
    for (s, want) in [
        (method("http://www.w3.org/2000/09/xmldsig#rsa-sha1"), "rsa-sha1"),
        (method("http://www.w3.org/2000/09/xmldsig#dsa-sha1"), "dsa-sha1"),
        (method("http://www.w3.org/2000/09/xmldsig#hmac-sha1"), "hmac-sha1"),
        (method("http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"), "hmac-sha256"),
        (method("http://www.w3.org/2001/04/xmldsig-more#rsa-md5"), "rsa-md5"),
        (method("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"), "does not verify"),
        (method("none"), "none"),
        (method(""), "\"\""),
        (Signing { digest_method: sha1.to_owned(), ..base() }, "sha1"),
        (Signing { digest_method: "http://www.w3.org/2001/04/xmlenc#sha512".to_owned(), ..base() }, "does not verify"),
        (Signing { form: inclusive.to_owned(), ..base() }, "exclusive"),
        (Signing { form: format!("{EXCLUSIVE}WithComments"), ..base() }, "exclusive"),
        (chain(&[EXCLUSIVE]), "other transforms"),
        (chain(&[ENVELOPED]), "other transforms"),
        (chain(&[EXCLUSIVE, ENVELOPED]), "other transforms"),
        (chain(&[ENVELOPED, inclusive]), "exclusive"),
        (chain(&[ENVELOPED, xslt]), "exclusive"),
        (chain(&[ENVELOPED, xpath, EXCLUSIVE]), "other transforms"),
        (chain(&[ENVELOPED, EXCLUSIVE, EXCLUSIVE]), "other transforms"),
        (chain(&[]), "other transforms"),
        (uri(""), "not over the element"),
        (uri("#"), "not over the element"),
        (uri("#_b"), "not over the element"),
        (uri("_a"), "not over the element"),
        (uri("#xpointer(id('_a'))"), "not over the element"),
        (uri("#xpointer(/)"), "not over the element"),
        (uri("https://evil.example/#_a"), "not over the element"),
        (uri("file:///etc/passwd"), "not over the element"),
        (Signing { more: object, ..base() }, "not known"),
        (Signing { more: "x".to_owned(), ..base() }, "not known"),
        (Signing { more_info: "<ds:Reference URI=\"#_a\"/>".to_owned(), ..base() }, "twice"),
        (Signing { more_info: length.to_owned(), ..base() }, "not known"),
    ] {
        says(idp.check(&make(&s)), want).unwrap_or_else(|e| panic!("{} {} {:?}: {e}", s.method, s.transforms, s.uri));
    }
    let parameters = make(&base()).replace("#ecdsa-sha256\"/>", "#ecdsa-sha256\"><x/></ds:SignatureMethod>");
    says(idp.check(&parameters), "parameters").unwrap();
}
