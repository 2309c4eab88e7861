//! Assertions whose signature holds, and that are not meant for here, for now, or for this request.

use super::*;

/// The usual answer with an edit of the assertion before it is signed.
fn edited(idp: &Idp, from: &str, to: &str) -> String {
    let xml = assertion();
    assert!(xml.contains(from), "{from}");
    bare_response(&idp.sign(&xml.replace(from, to), "_a"))
}

fn check_edits(cases: &[(&str, String, &str)]) {
    let idp = Idp::new();
    for (from, to, want) in cases {
        says(idp.check(&edited(&idp, from, to)), want).unwrap_or_else(|e| panic!("{from} to {to}: {e}"));
    }
}

#[test]
fn adv_089_an_assertion_is_for_this_place_and_this_request() {
    let evil = "https://evil.example/acs".to_owned();
    let recipient = format!("Recipient=\"{ACS}\"");
    let request = format!("InResponseTo=\"{REQUEST}\"");
    let audience = format!("<saml:Audience>{OURS}</saml:Audience>");
    let restriction = format!("<saml:AudienceRestriction>{audience}</saml:AudienceRestriction>");
    let other = "<saml:Audience>https://other.example</saml:Audience>";
    let issuer = format!("<saml:Issuer>{PROVIDER}</saml:Issuer>");
    check_edits(&[
        (ACS, evil, "Recipient"),
        (&recipient, String::new(), "Recipient"),
        (ACS, format!("{ACS}/"), "Recipient"),
        (&request, "InResponseTo=\"_other\"".to_owned(), "not for the request"),
        (&request, String::new(), "not for the request"),
        (&audience, other.to_owned(), "audience"),
        (&audience, String::new(), "audience"),
        (&audience, format!("<saml:Audience>{OURS} </saml:Audience>"), "audience"),
        (&audience, format!("<saml:Audience>{OURS}<!---->x</saml:Audience>"), "audience"),
        (&restriction, String::new(), "audience"),
        (
            &restriction,
            format!("{restriction}<saml:AudienceRestriction>{other}</saml:AudienceRestriction>"),
            "audience",
        ),
        (&restriction, format!("{restriction}<saml:Condition/>"), "condition that is not known"),
        (&issuer, "<saml:Issuer>https://evil.example</saml:Issuer>".to_owned(), "another identity provider"),
        (&issuer, format!("<saml:Issuer>{PROVIDER}<!-- -->/x</saml:Issuer>"), "another identity provider"),
        (&issuer, format!("<saml:Issuer Format=\"urn:x\">{PROVIDER}</saml:Issuer>"), "another identity provider"),
        (&issuer, String::new(), "no issuer"),
        (&issuer, format!("{issuer}{issuer}"), "twice"),
        ("cm:bearer", "cm:sender-vouches".to_owned(), "bearer"),
        ("Version=\"2.0\"", "Version=\"1.1\"".to_owned(), "not of SAML 2.0"),
        (&recipient, format!("{recipient} NotBefore=\"{}\"", at(-5)), "what it may not"),
        ("<saml:Subject>", "<saml:Subject><saml:EncryptedID/>".to_owned(), "part that is not known"),
        ("nameid-format:persistent", "nameid-format:transient".to_owned(), "transient"),
        ("<saml:NameID ", "<saml:NameID NameQualifier=\"https://evil.example\" ".to_owned(), "somebody else"),
        ("<saml:NameID ", "<saml:NameID SPNameQualifier=\"https://evil.example\" ".to_owned(), "somebody else"),
    ]);
    let idp = Idp::new();
    let usual = usual(&idp);
    for (from, to, want) in [
        (format!("Destination=\"{ACS}\""), "Destination=\"https://evil.example\"", "Destination"),
        (format!("Destination=\"{ACS}\" "), "", "Destination"),
        (
            format!("InResponseTo=\"{REQUEST}\"><saml:Issuer>"),
            "InResponseTo=\"_x\"><saml:Issuer>",
            "not to the request",
        ),
        (format!(" InResponseTo=\"{REQUEST}\"><saml:Issuer>"), "><saml:Issuer>", "not to the request"),
        ("status:Success".to_owned(), "status:Responder", "sign-in failed"),
        (
            format!("<saml:Issuer>{PROVIDER}</saml:Issuer><samlp:Status>"),
            "<saml:Issuer>x</saml:Issuer><samlp:Status>",
            "another",
        ),
        ("samlp:Response".to_owned(), "samlp:LogoutResponse", "not a Response"),
    ] {
        assert!(usual.contains(&from), "{from}");
        says(idp.check(&usual.replace(&from, to)), want).unwrap_or_else(|e| panic!("{from}: {e}"));
    }
    // Both names qualified by those whom they are of.
    let qualified = format!("<saml:NameID NameQualifier=\"{PROVIDER}\" SPNameQualifier=\"{OURS}\" ");
    assert!(idp.check(&edited(&idp, "<saml:NameID ", &qualified)).is_ok());
}

#[test]
fn adv_089_times_hold_at_their_edges() {
    let idp = Idp::new();
    // The leeway is 30 s; ends are not reached, beginnings are.
    for (from, to, good) in [
        (at(300), at(-29), true),
        (at(300), at(-30), false),
        (at(300), at(-300), false),
        (at(-5), at(30), true),
        (at(-5), at(31), false),
        (format!("IssueInstant=\"{}\"", at(0)), format!("IssueInstant=\"{}\"", at(30)), true),
        (format!("IssueInstant=\"{}\"", at(0)), format!("IssueInstant=\"{}\"", at(31)), false),
        (format!("AuthnInstant=\"{}\"", at(0)), format!("AuthnInstant=\"{}\"", at(31)), false),
        (format!("AuthnInstant=\"{}\"", at(0)), String::new(), false),
        (at(300), at(86_400), true),
        (at(300), at(86_401), false),
        (at(300), "soon".to_owned(), false),
        (at(300), at(300).replace('Z', "+00:00"), false),
        (format!("NotOnOrAfter=\"{}\" Recipient", at(300)), "Recipient".to_owned(), false),
        (format!("NotOnOrAfter=\"{}\"><saml:Aud", at(300)), "><saml:Aud".to_owned(), false),
        ("<saml:AuthnStatement ".to_owned(), format!("<saml:AuthnStatement SessionNotOnOrAfter=\"{}\" ", at(60)), true),
        (
            "<saml:AuthnStatement ".to_owned(),
            format!("<saml:AuthnStatement SessionNotOnOrAfter=\"{}\" ", at(-30)),
            false,
        ),
    ] {
        let outcome = idp.check(&edited(&idp, &from, &to));
        assert_eq!(outcome.is_ok(), good, "{from} to {to}: {outcome:?}");
    }
    // A response that was made later than it came.
    let later =
        usual(&idp).replacen(&format!("IssueInstant=\"{}\"", at(0)), &format!("IssueInstant=\"{}\"", at(31)), 1);
    says(idp.check(&later), "not valid").unwrap();
}

#[test]
fn adv_089_a_name_is_read_to_its_end() {
    let idp = Idp::new();
    for (from, to, want) in [
        (">mia<", ">root<!-- -->@evil.example<", "root@evil.example"),
        (">mia<", "><!-- -->root<!----><", "root"),
        (">mia<", ">a&amp;b&lt;c<", "a&b<c"),
    ] {
        assert_eq!(idp.check(&edited(&idp, from, to)).unwrap().name_id, want);
    }
    // The same from outside, after signing: a comment changes nothing of what was signed, and nothing of what is read.
    let usual = usual(&idp).replace(">mia<", ">m<!-- x -->ia<");
    assert_eq!(idp.check(&usual).unwrap().name_id, "mia");
    says(idp.check(&edited(&idp, ">mia<", ">mia<x/>root<")), "only text").unwrap();
    says(idp.check(&super::usual(&idp).replace(">mia<", ">mia<?x root?><")), "not read").unwrap();
}

#[test]
fn adv_089_nothing_is_there_twice_and_nothing_is_endless() {
    let name = "<saml:AttributeStatement>";
    let one = "<saml:Attribute Name=\"groups\"><saml:AttributeValue>root</saml:AttributeValue></saml:Attribute>";
    check_edits(&[
        (name, format!("{name}{one}"), "attribute is there twice"),
        (name, format!("<saml:AttributeStatement>{one}</saml:AttributeStatement>{name}"), "attribute is there twice"),
        (name, format!("{name}<saml:EncryptedAttribute/>"), "encrypted"),
        (name, format!("{name}<saml:Attribute/>"), "no name"),
        (">dba<", "><x>dba</x><".to_owned(), "only text"),
        ("<saml:Conditions ", "<saml:Conditions/><saml:Conditions ".to_owned(), "twice"),
        ("<saml:Subject>", "<saml:Subject></saml:Subject><saml:Subject>".to_owned(), "twice"),
        (
            "<saml:AuthnStatement ",
            format!("<saml:AuthnStatement AuthnInstant=\"{}\"/><saml:AuthnStatement ", at(0)),
            "twice",
        ),
        ("<saml:SubjectConfirmation ", "<saml:SubjectConfirmation/><saml:SubjectConfirmation ".to_owned(), "twice"),
        ("<saml:NameID ", "<saml:NameID>root</saml:NameID><saml:NameID ".to_owned(), "twice"),
    ]);
    let idp = Idp::new();
    let attributes = |n: usize| (1..n).map(|i| format!("<saml:Attribute Name=\"a{i}\"/>")).collect::<String>();
    let values = |n: usize| "<saml:AttributeValue>x</saml:AttributeValue>".repeat(n - 1);
    let long = |n: usize| "x".repeat(n);
    use super::super::response::{ATTRIBUTES_MAX, VALUE_BYTES_MAX, VALUES_MAX};
    let dba = "<saml:AttributeValue>dba</saml:AttributeValue>";
    for (from, make, most) in [
        (name, Box::new(|n| format!("{name}{}", attributes(n))) as Box<dyn Fn(usize) -> String>, ATTRIBUTES_MAX),
        (dba, Box::new(values), VALUES_MAX),
        (">dba<", Box::new(|n| format!(">{}<", long(n))), VALUE_BYTES_MAX),
        (">mia<", Box::new(|n| format!(">{}<", long(n))), VALUE_BYTES_MAX),
    ] {
        assert!(idp.check(&edited(&idp, from, &make(most))).is_ok(), "{from}");
        assert!(idp.check(&edited(&idp, from, &make(most + 1))).is_err(), "{from}");
    }
    use super::super::response::RESPONSE_BYTES_MAX;
    let usual = usual(&idp);
    let fill = |n: usize| usual.replacen("<samlp:Status>", &format!("<!--{}--><samlp:Status>", long(n)), 1);
    let spare = RESPONSE_BYTES_MAX - fill(0).len();
    assert!(idp.check(&fill(spare)).is_ok());
    says(idp.check(&fill(spare + 1)), "too long").unwrap();
}
