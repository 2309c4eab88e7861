//! What is issued verifies, and what others made does not, however close it comes. Keys and times are made here.

use std::collections::{BTreeMap, BTreeSet};

use countersign_model::{CredentialBinding, IdentityKind};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls_pki_types::pem::PemObject as _;

use super::*;
use crate::certificate::read_request;
use crate::local::MemoryKeys;

const NOW_S: i64 = 1_800_000_000;
const LOGIN: &str = "01JD0000000000000000000000";

fn at(s: i64) -> Timestamp {
    Timestamp::from_unix_s(NOW_S + s)
}

/// Somebody of this name.
pub(crate) fn whose(name: &str) -> IdentityParts {
    IdentityParts {
        subject: name.into(),
        issuer: "https://id.example".into(),
        name: name.into(),
        kind: IdentityKind::Human,
        groups: BTreeSet::new(),
        claims: BTreeMap::new(),
        delegation: Vec::new(),
        credential: CredentialBinding::Bearer,
        token_id: None,
        key: None,
        signer: None,
        login: None,
        issued_at: at(0),
        expires_at: at(600),
    }
}

async fn authority() -> IdentityAuthority {
    IdentityAuthority::open(Arc::new(MemoryKeys::default()), at(0)).await.unwrap()
}

fn key(pair: &KeyPair) -> PublicKey {
    let request = CertificateParams::default().serialize_request(pair).unwrap();
    read_request(request.der()).unwrap()
}

fn chain(issued: &Issued) -> Vec<Bytes> {
    CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes()).map(|c| Bytes::copy_from_slice(&c.unwrap())).collect()
}

async fn outcome(a: &IdentityAuthority, chain: &[Bytes], now: Timestamp) -> &'static str {
    a.verify(chain, now).await.err().map_or("ok", |r| r.as_str())
}

#[tokio::test]
async fn what_is_issued_verifies_until_it_ends() {
    let a = authority().await;
    for algorithm in
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519, &rcgen::PKCS_RSA_SHA256]
    {
        let key = key(&KeyPair::generate_for(algorithm).unwrap());
        let issued = a.issue(LOGIN, &whose("ana"), &key, 600, at(0)).unwrap();
        assert_eq!(issued.expires_at, at(600));
        let chain = chain(&issued);
        assert_eq!(chain.len(), 2);
        assert!(IdentityAuthority::recognises(&chain) && IdentityAuthority::recognises(&chain[..1]));
        let leaf = a.verify(&chain, at(0)).await.unwrap();
        let want = Leaf { login: LOGIN.into(), key: key.thumbprint, serial: issued.serial, expires_at: at(600) };
        assert_eq!(leaf, want);
        for (now, want) in [
            (-61, "not_yet_valid"),
            (-60, "ok"),
            (600, "ok"),
            (601, "certificate_expired"),
            (9999, "certificate_expired"),
        ] {
            assert_eq!(outcome(&a, &chain[..1], at(now)).await, want, "at {now}");
        }
    }
    let longest = a.issue(LOGIN, &whose("ana"), &key(&KeyPair::generate().unwrap()), u64::MAX, at(0)).unwrap();
    assert_eq!(longest.expires_at, at(3600));
}

#[tokio::test]
async fn keys_change_with_an_overlap_and_are_found_by_other_gateways() {
    let store = Arc::new(MemoryKeys::default());
    let here = IdentityAuthority::open(store.clone(), at(0)).await.unwrap();
    let there = IdentityAuthority::open(store, at(0)).await.unwrap();
    let key = key(&KeyPair::generate().unwrap());
    let before = chain(&here.issue(LOGIN, &whose("ana"), &key, 3600, at(100)).unwrap());
    here.rotate(at(100)).await.unwrap();
    let after = chain(&here.issue(LOGIN, &whose("ana"), &key, 3600, at(101)).unwrap());
    assert_eq!(outcome(&here, &before, at(102)).await, "ok", "the overlap");
    assert_eq!(outcome(&there, &before, at(102)).await, "ok");
    assert_eq!(outcome(&there, &after, at(102)).await, "ok", "the other gateway looks into the store");
    // It does not look again for each certificate that it does not know.
    let foreign = authority().await;
    let unknown = chain(&foreign.issue(LOGIN, &whose("eve"), &key, 3600, at(102)).unwrap());
    here.rotate(at(103)).await.unwrap();
    let newest = chain(&here.issue(LOGIN, &whose("ana"), &key, 3600, at(103)).unwrap());
    assert_eq!(outcome(&there, &unknown, at(104)).await, "certificate");
    assert_eq!(outcome(&there, &newest, at(104)).await, "certificate", "too soon after the last look");
    assert_eq!(outcome(&there, &newest, at(108)).await, "ok");
}

#[tokio::test]
async fn adv_083_certificates_that_others_made_are_refused() {
    let a = authority().await;
    let pair = KeyPair::generate().unwrap();
    let public = key(&pair);
    let good = chain(&a.issue(LOGIN, &whose("ana"), &public, 3600, at(0)).unwrap());
    assert_eq!(outcome(&a, &good, at(1)).await, "ok", "the control");

    let other = authority().await;
    let theirs = chain(&other.issue(LOGIN, &whose("ana"), &public, 3600, at(0)).unwrap());
    assert!(IdentityAuthority::recognises(&theirs));

    // An authority of the same name, and one that the thief's own certificate claims to be.
    let ca_name = X509Certificate::from_der(&good[1])
        .unwrap()
        .1
        .subject()
        .iter_common_name()
        .next()
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned();
    let made = |ca: &str, edit: &dyn Fn(&mut CertificateParams)| {
        let mut ca_params = CertificateParams::default();
        ca_params.distinguished_name.push(DnType::CommonName, ca);
        ca_params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_pair = KeyPair::generate().unwrap();
        let ca_certificate = ca_params.self_signed(&ca_pair).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(format!("{LOGIN_URI}{LOGIN}").try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        set_times(&mut params, NOW_S - 10, NOW_S + 3600);
        edit(&mut params);
        let leaf = params.signed_by(&pair, &Issuer::new(ca_params, ca_pair)).unwrap();
        vec![Bytes::copy_from_slice(leaf.der()), Bytes::copy_from_slice(ca_certificate.der())]
    };
    let same_name = made(&ca_name, &|_| {});
    let foreign = made("Somebody else", &|_| {});
    assert!(!IdentityAuthority::recognises(&foreign), "left aside");

    // A client certificate as an authority: it is none.
    let mut issuer_params = CertificateParams::default();
    issuer_params.distinguished_name.push(DnType::CommonName, format!("{CA_NAME} mine"));
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    set_times(&mut params, NOW_S - 10, NOW_S + 3600);
    let below = params.signed_by(&pair, &Issuer::new(issuer_params, KeyPair::generate().unwrap())).unwrap();
    let under_a_leaf = vec![Bytes::copy_from_slice(below.der()), good[0].clone(), good[1].clone()];

    let mut bent = good[0].to_vec();
    let last = bent.len() - 1;
    bent[last] ^= 1;
    for (what, chain) in [
        ("another gateway's", theirs),
        ("an authority of the same name", same_name),
        ("another authority", foreign),
        ("a leaf as an authority", under_a_leaf),
        ("a bent signature", vec![Bytes::from(bent)]),
        ("none", Vec::new()),
        ("junk", vec![Bytes::from_static(b"junk")]),
        ("something behind it", vec![Bytes::from([&good[0][..], &[0]].concat())]),
        ("too many", vec![good[0].clone(); CHAIN_MAX + 1]),
        ("too long", vec![Bytes::from([&good[0][..], &vec![0; CERTIFICATE_BYTES_MAX][..]].concat())]),
        ("the authority itself", vec![good[1].clone()]),
    ] {
        assert_eq!(outcome(&a, &chain, at(1)).await, "certificate", "{what}");
    }
    let most = vec![good[0].clone(); CHAIN_MAX];
    assert_eq!(outcome(&a, &most, at(1)).await, "ok");
}

/// Signed by the very authority, but not as it signs.
#[tokio::test]
async fn adv_083_a_certificate_must_be_for_a_client_and_name_one_login() {
    let a = authority().await;
    let pair = KeyPair::generate().unwrap();
    let uri = |s: &str| SanType::URI(s.to_owned().try_into().unwrap());
    let login = format!("{LOGIN_URI}{LOGIN}");
    let critical = || {
        let mut e = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        e.set_criticality(true);
        vec![e]
    };
    let client = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for (what, names, usages, extensions, want) in [
        ("the control", vec![uri(&login)], client.clone(), Vec::new(), "ok"),
        ("for servers", vec![uri(&login)], vec![ExtendedKeyUsagePurpose::ServerAuth], Vec::new(), "certificate"),
        ("for nothing", vec![uri(&login)], Vec::new(), Vec::new(), "certificate"),
        ("no name", Vec::new(), client.clone(), Vec::new(), "certificate"),
        ("two names", vec![uri(&login), uri(&login)], client.clone(), Vec::new(), "certificate"),
        ("another name", vec![uri("spiffe://x/y")], client.clone(), Vec::new(), "certificate"),
        ("no ULID", vec![uri("countersign:login:x")], client.clone(), Vec::new(), "certificate"),
        ("a ULID in small letters", vec![uri(&login.to_lowercase())], client.clone(), Vec::new(), "certificate"),
        ("an unknown critical extension", vec![uri(&login)], client.clone(), critical(), "certificate"),
    ] {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.extended_key_usages = usages;
        params.custom_extensions = extensions;
        set_times(&mut params, NOW_S - 10, NOW_S + 3600);
        let made = params.signed_by(&pair, &a.ring.load().signer).unwrap();
        assert_eq!(outcome(&a, &[Bytes::copy_from_slice(made.der())], at(0)).await, want, "{what}");
    }
}
