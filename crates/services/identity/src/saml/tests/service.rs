//! From an answer to a login, at several gateways over one store.

use std::net::SocketAddr;
use std::path::PathBuf;

use countersign_enforce::{Alert, AlertSink};
use countersign_model::{Identity, IdentityKind, Secret};

use super::super::{MetadataSource, SamlAsk, SamlConfig};
use super::*;
use crate::login::{MemoryLogins, MemoryUses};
use crate::{ClaimMatch, IdentityConfig, IdentityService, IssuerConfig, IssuerEntry, MappingRule, TokenAuthenticator};

struct Silent;

impl AlertSink for Silent {
    fn raise(&self, _: Alert) {}
}

const ASK: SamlAsk<'static> = SamlAsk { label: "corp", acs: ACS, request: REQUEST, relay_state: "relay" };

struct World {
    idp: Idp,
    file: tempfile::NamedTempFile,
    uses: Arc<MemoryUses>,
    logins: Arc<MemoryLogins>,
    config: SamlConfig,
}

fn source() -> SocketAddr {
    "192.0.2.1:5".parse().unwrap()
}

impl World {
    fn new() -> Self {
        let (idp, file) = (Idp::new(), tempfile::NamedTempFile::new().unwrap());
        let metadata = MetadataSource::File(PathBuf::from(file.path()));
        let mut config = SamlConfig::new("corp", PROVIDER, OURS, metadata);
        config.groups_attribute = Some("groups".to_owned());
        config.metadata_refresh_s = 10;
        let world = Self { idp, file, uses: Arc::default(), logins: Arc::default(), config };
        world.publish(&world.idp);
        world
    }

    fn publish(&self, idp: &Idp) {
        std::fs::write(self.file.path(), idp.metadata("").replace("@SIG@", "")).unwrap();
    }

    fn gateway(&self) -> IdentityService {
        let entry = IssuerEntry::saml(self.config.clone(), ours());
        let tokens = TokenAuthenticator::with_ledger(vec![entry], self.uses.clone()).unwrap();
        let config = IdentityConfig::default();
        IdentityService::new(config, Arc::new(tokens), self.logins.clone(), None, Arc::new(Silent))
    }

    async fn enter(&self, gateway: &IdentityService, xml: &str) -> Result<Arc<Identity>, String> {
        self.enter_at(gateway, xml, now()).await
    }

    async fn enter_at(&self, gateway: &IdentityService, xml: &str, now: Timestamp) -> Result<Arc<Identity>, String> {
        let said = |d: countersign_model::Denial| d.detail.unwrap_or_default();
        let kept = gateway.saml_answer(&ASK, &STANDARD.encode(xml), source(), now).await.map_err(said)?;
        let secret = Secret::from("s".repeat(43));
        let opened = gateway.open_browser_saml(&kept, &secret, source(), now).await.map_err(said)?;
        let found = gateway.browser(&opened.id, &secret, now).await.map_err(said)?;
        Ok(found.identity)
    }
}

#[tokio::test]
async fn an_answer_becomes_an_identity_like_any_other() {
    let mut w = World::new();
    let rule = |when: &[(&str, &str)], groups: &[&str]| MappingRule {
        when: when.iter().map(|(k, v)| ((*k).to_owned(), ClaimMatch::Text((*v).to_owned()))).collect(),
        name: None,
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        kind: None,
    };
    w.config.name_attribute = Some("urn:x/mail~".to_owned());
    w.config.email_attribute = Some("urn:x/mail~".to_owned());
    w.config.unmapped = Some(crate::Unmapped::Accept);
    w.config.mapping = vec![rule(&[("name_id", "mia")], &["known"]), rule(&[("act", "x")], &["actors"])];
    let more = "<saml:Attribute Name=\"urn:x/mail~\"><saml:AttributeValue>mia@corp.example</saml:AttributeValue></saml:Attribute>\
        <saml:Attribute Name=\"act\"><saml:AttributeValue>x</saml:AttributeValue></saml:Attribute>\
        <saml:Attribute Name=\"unnamed\"><saml:AttributeValue>x</saml:AttributeValue></saml:Attribute>";
    let xml = assertion().replace("<saml:AttributeStatement>", &format!("<saml:AttributeStatement>{more}"));
    let id = w.enter(&w.gateway(), &bare_response(&w.idp.sign(&xml, "_a"))).await.unwrap();
    assert_eq!((id.name.as_str(), id.subject.as_str(), id.issuer.as_str()), ("mia@corp.example", "mia", PROVIDER));
    assert_eq!(id.kind, IdentityKind::Human);
    let groups: Vec<&str> = id.groups.iter().map(String::as_str).collect();
    assert_eq!(groups, ["actors", "corp:dba", "corp:ops", "known"]);
    assert_eq!(id.claims["email"], "mia@corp.example");
    assert_eq!(id.claims["acr"], "urn:mfa");
    assert!(id.delegation.is_empty(), "an attribute that is called act is no actor");
    let attributes = id.claims["attributes"].as_object().unwrap();
    assert!(attributes.contains_key("act") && !attributes.contains_key("unnamed"), "only what is asked for is kept");
    assert_eq!(id.signer.as_deref(), Some(w.idp.public.thumbprint.as_str()));
}

#[tokio::test]
async fn adv_088_an_assertion_is_good_once_at_all_gateways() {
    let w = World::new();
    let (one, other) = (w.gateway(), w.gateway());
    let xml = usual(&w.idp);
    w.enter(&one, &xml).await.unwrap();
    assert!(w.enter(&one, &xml).await.unwrap_err().contains("used before"));
    assert!(w.enter(&other, &xml).await.unwrap_err().contains("used before"));
    // Written in another way it is the same assertion.
    assert!(w.enter(&other, &xml.replace(">mia<", ">m<!---->ia<")).await.unwrap_err().contains("used before"));
    // What was refused was not used up.
    let next = bare_response(&w.idp.sign(&assertion().replace("\"_a\"", "\"_b\""), "_b"));
    assert!(w.enter(&one, &next.replace(">mia<", ">root<")).await.is_err());
    assert!(w.enter(&other, &next).await.is_ok());
    // Not to the request, not in base64, without end.
    let ask = SamlAsk { request: "_other", ..ASK };
    assert!(one.saml_answer(&ask, &STANDARD.encode(&next), source(), now()).await.is_err());
    assert!(one.saml_answer(&ASK, "!", source(), now()).await.is_err());
    let long = "A".repeat(super::super::response::RESPONSE_BYTES_MAX / 3 * 4 + 9 * 1024);
    assert!(one.saml_answer(&ASK, &long, source(), now()).await.unwrap_err().detail.unwrap().contains("too long"));
    assert!(
        one.saml_answer(&SamlAsk { label: "other", ..ASK }, &STANDARD.encode(&next), source(), now()).await.is_err()
    );
}

#[tokio::test]
async fn adv_090_a_key_that_left_the_metadata_ends_what_it_signed_while_that_is_young() {
    let w = World::new();
    let gateway = w.gateway();
    let id = w.enter(&gateway, &usual(&w.idp)).await.unwrap();
    let secret = Secret::from("s".repeat(43));
    let login = id.login.clone().unwrap();
    let next = Idp::new();
    w.publish(&next);
    let later = |s: i64| Timestamp::from_unix_s(NOW_S + s);
    // The new key is found when it is needed; the old one is gone, before what it signed had ended.
    let xml = bare_response(&next.sign(&assertion().replace("\"_a\"", "\"_b\""), "_b"));
    w.enter_at(&gateway, &xml, later(20)).await.unwrap();
    assert!(gateway.browser(&login, &secret, later(20)).await.unwrap_err().detail.unwrap().contains("revoked"));
    let old = bare_response(&w.idp.sign(&assertion().replace("\"_a\"", "\"_c\""), "_c"));
    assert!(w.enter_at(&gateway, &old, later(60)).await.unwrap_err().contains("does not verify"));
}

#[tokio::test]
async fn the_session_at_the_identity_provider_bounds_the_login() {
    let w = World::new();
    let gateway = w.gateway();
    let ends = format!("<saml:AuthnStatement SessionNotOnOrAfter=\"{}\" ", at(600));
    let xml = assertion().replace("<saml:AuthnStatement ", &ends);
    let id = w.enter(&gateway, &bare_response(&w.idp.sign(&xml, "_a"))).await.unwrap();
    assert_eq!(id.expires_at, Timestamp::from_unix_s(NOW_S + 600));
    let secret = Secret::from("s".repeat(43));
    let login = id.login.clone().unwrap();
    assert!(gateway.browser(&login, &secret, Timestamp::from_unix_s(NOW_S + 599)).await.is_ok());
    assert!(gateway.browser(&login, &secret, Timestamp::from_unix_s(NOW_S + 600)).await.is_err());
    assert!(gateway.browser(&login, &Secret::from("t".repeat(43)), now()).await.is_err());
}

#[tokio::test]
async fn adv_089_requests_are_signed_with_the_key_of_the_metadata() {
    let w = World::new();
    let gateway = w.gateway();
    let url = gateway.saml_request(&ASK, now()).await.unwrap();
    let (to, query) = url.split_once("&SAMLRequest=").unwrap();
    assert_eq!(to, "https://idp.example/sso?a=1");
    let query = format!("SAMLRequest={query}");
    let (signed, signature) = query.split_once("&Signature=").unwrap();
    let fields: std::collections::HashMap<String, String> =
        form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    assert_eq!((fields["RelayState"].as_str(), fields["SigAlg"].ends_with("#rsa-sha256")), ("relay", true));
    let ours_xml = gateway.saml_metadata("corp", ACS).unwrap();
    let root = parse(ours_xml.as_bytes(), usize::MAX).unwrap();
    let mut certificates = Vec::new();
    root.visit(&mut |e| {
        if e.is(DSIG, "X509Certificate") {
            certificates.push(STANDARD.decode(e.text().unwrap()).unwrap());
        }
    });
    assert_eq!(certificates.len(), 2);
    let key = key_of(&certificates[0]).unwrap();
    let verifier =
        aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256, &key.bits);
    assert!(
        signature.len() > 400
            && verifier.verify(signed.as_bytes(), &STANDARD.decode(&fields["Signature"]).unwrap()).is_ok()
    );
    let deflated = STANDARD.decode(&fields["SAMLRequest"]).unwrap();
    let request = parse(&deflated[5..], usize::MAX).unwrap();
    for (name, want) in
        [("ID", REQUEST), ("AssertionConsumerServiceURL", ACS), ("Destination", "https://idp.example/sso?a=1")]
    {
        assert_eq!(request.attribute(name), Some(want));
    }
    assert!(ours_xml.contains(&format!("entityID=\"{OURS}\"")) && ours_xml.contains(&format!("Location=\"{ACS}\"")));
}

#[test]
fn what_cannot_be_used_is_found_at_once() {
    let w = World::new();
    let findings = |edit: &dyn Fn(&mut SamlConfig), more: Vec<IssuerEntry>| {
        let mut config = w.config.clone();
        edit(&mut config);
        let mut all = vec![IssuerEntry::saml(config, ours())];
        all.extend(more);
        let found = TokenAuthenticator::new(all).err().unwrap_or_default();
        found.into_iter().map(|f| f.field).collect::<Vec<_>>()
    };
    assert!(findings(&|_| (), Vec::new()).is_empty());
    for (edit, want) in [
        (&(|c: &mut SamlConfig| c.leeway_s = 61) as &dyn Fn(&mut SamlConfig), "leeway_s"),
        (&|c| c.entity_id = String::new(), "entity_id"),
        (&|c| c.sp_entity_id = "a\nb".to_owned(), "sp_entity_id"),
        (&|c| c.metadata_refresh_s = 9, "metadata_refresh_s"),
        (&|c| c.max_metadata_age_s = 8 * 86_400, "max_metadata_age_s"),
        (&|c| c.metadata = MetadataSource::Url { url: "http://idp.example".to_owned(), ca_file: None }, "metadata_url"),
        (&|c| c.metadata_signed_by = Some(vec![0]), "metadata_signed_by"),
        (&|c| c.groups_prefix = Some("\u{202e}".to_owned()), "groups_prefix"),
    ] {
        assert_eq!(findings(edit, Vec::new()).first().map(String::as_str), Some(want));
    }
    let mut same = IssuerConfig::new("corp", "https://id.example", &["gw"]);
    same.jwks = Some("{\"keys\":[]}".to_owned());
    assert!(findings(&|_| (), vec![same.into()]).contains(&"label".to_owned()));
    assert!(
        findings(
            &|c| c.entity_id = "https://id.example".to_owned(),
            vec![IssuerConfig::new("x", "https://id.example", &["gw"]).into()]
        )
        .contains(&"entity_id".to_owned())
    );
}

#[tokio::test]
async fn adv_088_a_token_that_names_an_identity_provider_is_no_token_of_anybody() {
    let w = World::new();
    let tokens = TokenAuthenticator::new(vec![IssuerEntry::saml(w.config.clone(), ours())]).unwrap();
    let part = |json: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json);
    let token = format!(
        "{}.{}.{}",
        part("{\"alg\":\"ES256\",\"typ\":\"JWT\"}"),
        part(&format!(
            "{{\"iss\":\"{PROVIDER}\",\"sub\":\"mia\",\"aud\":\"gw\",\"iat\":{NOW_S},\"exp\":{}}}",
            NOW_S + 60
        )),
        part(&"s".repeat(64))
    );
    assert!(matches!(tokens.verify(&token, now()).await, Err(Rejection::UnknownIssuer(_))));
}
