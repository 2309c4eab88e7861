//! The same logins as certificates in OpenSSH's form (PROTOCOL.certkeys): made for a login's key beside the X.509 certificate, because SSH
//! clients present no other.
//!
//! The authority has keys of its own, kept sealed, for all gateways. Must never sign for longer than the X.509 certificate lives, nor take
//! a certificate that another key signed, that has an option which is not known, or that is for hosts.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_model::{IdentityKind, IdentityParts, Timestamp};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use ssh_key::certificate::{CertType, Certificate};
use ssh_key::public::{EcdsaPublicKey, KeyData};
use ssh_key::{Fingerprint, HashAlg};

use super::authority::{AuthorityFault, BEGINS_BEFORE_S, CERTIFICATE_BYTES_MAX, LOOK_AGAIN_S, Leaf};
use crate::Rejection;
use crate::local::{KeyStore, SigningKey, StoreFault, current_key, key_is_over, load_keys};
use crate::thumbprint::{KeyKind, PublicKey};
use crate::token::shown;

/// Under which name the authority's keys are kept.
const KEYS_OF: &str = "countersign:ssh-user-ca";
/// The extension that names a certificate's login. Servers that do not know it leave it aside.
const LOGIN_EXTENSION: &str = "login@countersign.dev";
/// The extension with what was verified of a workload, as a JSON object: for servers and people who look at a certificate. The gateway
/// itself asks the login.
const CLAIMS_EXTENSION: &str = "claims@countersign.dev";
/// The longest that it gets, in bytes; claims that would not fit are left out.
const CLAIMS_BYTES_MAX: usize = 2048;
/// The longest claim in it, in bytes.
const CLAIM_BYTES_MAX: usize = 256;
/// The most authorities at one time.
const AUTHORITIES_MAX: usize = 32;
/// A certificate of a user (PROTOCOL.certkeys).
const USER: u32 = 1;

/// The authorities in force.
struct Ring {
    signer: EcdsaKeyPair,
    /// The signer's public key as the format writes it.
    signer_blob: Vec<u8>,
    known: Vec<Fingerprint>,
}

impl Ring {
    fn new(keys: &[SigningKey], now: Timestamp) -> Result<Self, AuthorityFault> {
        let signing = current_key(keys, now).ok_or(AuthorityFault::Key("there is no key to sign with"))?;
        let unusable = AuthorityFault::Key("a stored key cannot be used");
        let mut known = Vec::new();
        let mut signer = None;
        for key in keys.iter().filter(|k| !key_is_over(k, now)).rev().take(AUTHORITIES_MAX) {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.private_key.expose())
                .map_err(|_| unusable.clone())?;
            let point = pair.public_key().as_ref().to_vec();
            let public = EcdsaPublicKey::from_sec1_bytes(&point).map_err(|_| unusable.clone())?;
            known.push(KeyData::from(public).fingerprint(HashAlg::Sha256));
            if key.id == signing.id {
                signer = Some((pair, public_blob(KeyKind::P256, &point).ok_or(unusable.clone())?));
            }
        }
        let (signer, signer_blob) = signer.ok_or(AuthorityFault::Key("the signing key is not in force"))?;
        Ok(Self { signer, signer_blob, known })
    }
}

/// Signs and verifies certificates in OpenSSH's form.
pub(super) struct SshAuthority {
    keys: Arc<dyn KeyStore>,
    ring: ArcSwap<Ring>,
    loading: tokio::sync::Mutex<()>,
    looked_at: Mutex<Timestamp>,
}

impl SshAuthority {
    pub(super) async fn open(keys: Arc<dyn KeyStore>, now: Timestamp) -> Result<Self, AuthorityFault> {
        let ring = load(&*keys, false, now).await?;
        Ok(Self {
            keys,
            ring: ArcSwap::from_pointee(ring),
            loading: tokio::sync::Mutex::new(()),
            looked_at: Mutex::new(now),
        })
    }

    pub(super) async fn load(&self, force: bool, now: Timestamp) -> Result<(), AuthorityFault> {
        let _one_at_a_time = self.loading.lock().await;
        let ring = load(&*self.keys, force, now).await?;
        self.ring.store(Arc::new(ring));
        *self.looked_at.lock() = now;
        Ok(())
    }

    /// Makes a certificate, as the line that clients keep beside their key; `None` for a kind of key that SSH is not spoken with here.
    pub(super) fn issue(
        &self,
        login: &str,
        whose: &IdentityParts,
        key: &PublicKey,
        ends_s: i64,
        now: Timestamp,
    ) -> Result<Option<String>, AuthorityFault> {
        let name = &whose.name;
        let Some((algorithm, members)) = public_members(key.kind, &key.bits) else { return Ok(None) };
        let seconds = |s: i64| u64::try_from(s).unwrap_or(0);
        let nonce: [u8; 32] = rand::random();
        let serial: u64 = rand::random();
        let algorithm = format!("{algorithm}-cert-v01@openssh.com");
        let ring = self.ring.load();
        let mut blob = Wire::default();
        blob.text(algorithm.as_bytes()).text(&nonce).raw(&members);
        blob.raw(&serial.to_be_bytes()).raw(&USER.to_be_bytes());
        blob.text(format!("{name} by login {login}").as_bytes());
        blob.text(&Wire::default().text(name.as_bytes()).0);
        blob.raw(&seconds(now.unix_s().saturating_sub(BEGINS_BEFORE_S)).to_be_bytes());
        blob.raw(&seconds(ends_s).to_be_bytes());
        // No critical options, and as extensions who it is: what it may do is for policy to say. In the order of their names.
        let login_value = Wire::default().text(login.as_bytes()).0.clone();
        let mut extensions = Wire::default();
        if let Some(claims) = claims_of(whose) {
            extensions.text(CLAIMS_EXTENSION.as_bytes()).text(&Wire::default().text(claims.as_bytes()).0);
        }
        extensions.text(LOGIN_EXTENSION.as_bytes()).text(&login_value);
        blob.text(b"").text(&extensions.0).text(b"").text(&ring.signer_blob);
        let signature = ring
            .signer
            .sign(&SystemRandom::new(), &blob.0)
            .map_err(|_| AuthorityFault::Key("a certificate could not be signed"))?;
        let (r, s) = signature.as_ref().split_at(signature.as_ref().len() / 2);
        let numbers = Wire::default().number(r).number(s).0.clone();
        let signature = Wire::default().text(b"ecdsa-sha2-nistp256").text(&numbers).0.clone();
        blob.text(&signature);
        Ok(Some(format!("{algorithm} {} {}\n", STANDARD.encode(&blob.0), comment(name))))
    }

    /// Verifies a certificate whose key the connection proved: of one of the authority's keys, in time, for users, and naming one login.
    pub(super) async fn verify(&self, blob: &[u8], now: Timestamp) -> Result<Leaf, Rejection> {
        if blob.len() > CERTIFICATE_BYTES_MAX {
            return Err(Rejection::Certificate("it is too long"));
        }
        let certificate =
            Certificate::from_bytes(blob).map_err(|_| Rejection::Certificate("it is no certificate of OpenSSH's"))?;
        if certificate.cert_type() != CertType::User {
            return Err(Rejection::Certificate("it is for hosts"));
        }
        if !certificate.critical_options().is_empty() {
            return Err(Rejection::Certificate("it has a critical option, and none is known"));
        }
        let signer = certificate.signature_key().fingerprint(HashAlg::Sha256);
        if !self.knows(&signer) && self.may_look_again(now) {
            self.load(false, now).await.map_err(|f| Rejection::LoginUnknown(f.to_string()))?;
        }
        if !self.knows(&signer) {
            return Err(Rejection::Certificate("no key of this gateway's authority signed it"));
        }
        let seconds = |s: u64| i64::try_from(s).unwrap_or(i64::MAX);
        let (begins_s, ends_s) = (seconds(certificate.valid_after()), seconds(certificate.valid_before()));
        let ends = Timestamp::from_unix_s(ends_s);
        if now.unix_s() >= ends_s {
            return Err(Rejection::CertificateExpired { ago_s: now.since_us(ends) / 1_000_000 });
        }
        if now.unix_s() < begins_s {
            let in_s = u64::try_from(begins_s.saturating_sub(now.unix_s())).unwrap_or(0);
            return Err(Rejection::NotYetValid { claim: "valid after", in_s });
        }
        let at = u64::try_from(now.unix_s()).unwrap_or(0);
        certificate
            .validate_at(at, [&signer])
            .map_err(|_| Rejection::Certificate("its signature is not of the key that it names"))?;
        let key = match certificate.public_key() {
            KeyData::Ecdsa(EcdsaPublicKey::NistP256(p)) => PublicKey::point(KeyKind::P256, p.as_bytes().to_vec()),
            KeyData::Ecdsa(EcdsaPublicKey::NistP384(p)) => PublicKey::point(KeyKind::P384, p.as_bytes().to_vec()),
            _ => Err("is of a kind that is not taken"),
        };
        let key = key.map_err(|_| Rejection::Certificate("its key is of a kind that is not taken"))?;
        let login = certificate.extensions().get(LOGIN_EXTENSION).cloned().unwrap_or_default();
        let login = ulid::Ulid::from_string(&login)
            .ok()
            .filter(|u| u.to_string() == login)
            .ok_or(Rejection::Certificate("it names no login"))?;
        let serial = format!("{:016x}", certificate.serial());
        Ok(Leaf { login: login.to_string(), key: key.thumbprint, serial, expires_at: ends })
    }

    fn knows(&self, signer: &Fingerprint) -> bool {
        self.ring.load().known.contains(signer)
    }

    /// At most once in a while, however many unknown certificates come.
    fn may_look_again(&self, now: Timestamp) -> bool {
        let mut looked_at = self.looked_at.lock();
        let may = now.since_us(*looked_at) >= LOOK_AGAIN_S.saturating_mul(1_000_000);
        if may {
            *looked_at = now;
        }
        may
    }
}

/// The plain claims of a workload or an agent, as far as they fit; of people none, whose claims are personal data.
fn claims_of(whose: &IdentityParts) -> Option<String> {
    if whose.kind == IdentityKind::Human {
        return None;
    }
    let mut fitting = Map::new();
    for (name, value) in &whose.claims {
        if value.is_object() || value.is_array() || value.is_null() {
            continue;
        }
        let bytes = name.len() + value.to_string().len();
        fitting.insert(name.clone(), value.clone());
        if bytes > CLAIM_BYTES_MAX || Value::Object(fitting.clone()).to_string().len() > CLAIMS_BYTES_MAX {
            fitting.remove(name);
        }
    }
    (!fitting.is_empty()).then(|| Value::Object(fitting).to_string())
}

/// Whose a certificate claims to be, unverified: to tell alarms apart, and for operators.
pub(super) fn claimed(blob: &[u8]) -> String {
    match Certificate::from_bytes(blob.get(..CERTIFICATE_BYTES_MAX).unwrap_or(blob)) {
        Ok(certificate) => shown(certificate.key_id()),
        Err(_) => "nobody: it is no certificate of OpenSSH's that can be read".to_owned(),
    }
}

async fn load(keys: &dyn KeyStore, force: bool, now: Timestamp) -> Result<Ring, AuthorityFault> {
    let keys = load_keys(keys, KEYS_OF, force, now)
        .await
        .map_err(|fault| AuthorityFault::Store(StoreFault(fault.to_string())))?;
    Ring::new(&keys, now)
}

/// A name as the comment of a line: nothing that could end it.
fn comment(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).collect()
}

/// The name of a key's algorithm, and its members as the format writes them (RFC 5656, 3.1).
fn public_members(kind: KeyKind, point: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    let (algorithm, curve) = match kind {
        KeyKind::P256 => ("ecdsa-sha2-nistp256", "nistp256"),
        KeyKind::P384 => ("ecdsa-sha2-nistp384", "nistp384"),
        KeyKind::Ed25519 | KeyKind::Rsa => return None,
    };
    Some((algorithm, Wire::default().text(curve.as_bytes()).text(point).0.clone()))
}

fn public_blob(kind: KeyKind, point: &[u8]) -> Option<Vec<u8>> {
    let (algorithm, members) = public_members(kind, point)?;
    Some(Wire::default().text(algorithm.as_bytes()).raw(&members).0.clone())
}

/// Bytes as SSH writes them (RFC 4251, 5).
#[derive(Default)]
struct Wire(Vec<u8>);

impl Wire {
    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A `string`. What is written here is far shorter than its length could say.
    fn text(&mut self, bytes: &[u8]) -> &mut Self {
        self.raw(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()).raw(bytes)
    }

    /// An `mpint` of an unsigned number.
    fn number(&mut self, bytes: &[u8]) -> &mut Self {
        let mut rest = bytes;
        while let Some((0, shorter)) = rest.split_first() {
            rest = shorter;
        }
        let sign = rest.first().is_some_and(|b| b & 0x80 != 0);
        let mut whole = Vec::with_capacity(rest.len() + 1);
        whole.extend(sign.then_some(0));
        whole.extend_from_slice(rest);
        self.text(&whole)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use serde_json::json;

    use super::*;
    use crate::certificate::read_request;
    use crate::local::MemoryKeys;

    const NOW_S: i64 = 1_800_000_000;
    const LOGIN: &str = "01JD0000000000000000000000";

    fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_s(NOW_S + s)
    }

    async fn authority() -> SshAuthority {
        SshAuthority::open(Arc::new(MemoryKeys::default()), at(0)).await.unwrap()
    }

    fn key(algorithm: &'static rcgen::SignatureAlgorithm) -> PublicKey {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        let request = CertificateParams::default().serialize_request(&pair).unwrap();
        read_request(request.der()).unwrap()
    }

    fn whose(kind: IdentityKind, claims: &[(&str, Value)]) -> IdentityParts {
        let claims = claims.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        IdentityParts { kind, claims, ..crate::certificate::authority::tests::whose("ana") }
    }

    #[tokio::test]
    async fn a_workloads_plain_claims_are_in_its_certificate() {
        let a = authority().await;
        let key = key(&rcgen::PKCS_ECDSA_P256_SHA256);
        let read = |whose: &IdentityParts| {
            let line = a.issue(LOGIN, whose, &key, NOW_S + 600, at(0)).unwrap().unwrap();
            let certificate = Certificate::from_openssh(line.trim()).unwrap();
            let names: Vec<_> = certificate.extensions().keys().cloned().collect();
            assert!(names.is_sorted(), "{names:?}");
            (
                blob(&line),
                certificate.extensions().get(CLAIMS_EXTENSION).map(|c| serde_json::from_str::<Value>(c).unwrap()),
            )
        };
        let claims = [
            ("repository", json!("acme/orders")),
            ("run_attempt", json!(2)),
            ("nested", json!({ "a": 1 })),
            ("list", json!(["a"])),
            ("long", json!("x".repeat(CLAIM_BYTES_MAX))),
        ];
        let (made, found) = read(&whose(IdentityKind::Machine, &claims));
        assert_eq!(found, Some(json!({ "repository": "acme/orders", "run_attempt": 2 })));
        assert_eq!(a.verify(&made, at(1)).await.unwrap().login, LOGIN);
        assert_eq!(read(&whose(IdentityKind::Human, &claims)).1, None);
        assert_eq!(read(&whose(IdentityKind::Machine, &[])).1, None);
        // As many as fit, and the certificate is still one that is read.
        let names: Vec<_> = (0..100).map(|n| format!("claim-{n:03}")).collect();
        let many: Vec<_> = names.iter().map(|n| (n.as_str(), json!("y".repeat(200)))).collect();
        let (made, found) = read(&whose(IdentityKind::Agent, &many));
        let bytes = found.as_ref().unwrap().to_string().len();
        assert!(bytes <= CLAIMS_BYTES_MAX && bytes > CLAIMS_BYTES_MAX - 220, "{bytes}");
        assert!(a.verify(&made, at(1)).await.is_ok());
    }

    fn blob(line: &str) -> Vec<u8> {
        STANDARD.decode(line.split(' ').nth(1).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn what_is_issued_verifies_until_it_ends() {
        let a = authority().await;
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
            // Numbers of a signature are of different lengths: several, so that short ones and those with a sign are among them.
            for _ in 0..20 {
                let key = key(algorithm);
                let line = a.issue(LOGIN, &whose(IdentityKind::Human, &[]), &key, NOW_S + 600, at(0)).unwrap().unwrap();
                let certificate = Certificate::from_openssh(line.trim()).unwrap();
                assert_eq!(certificate.valid_principals(), ["ana"]);
                let leaf = a.verify(&blob(&line), at(0)).await.unwrap();
                assert_eq!((leaf.login.as_str(), &leaf.key, leaf.expires_at), (LOGIN, &key.thumbprint, at(600)));
            }
        }
        let line = a
            .issue(LOGIN, &whose(IdentityKind::Human, &[]), &key(&rcgen::PKCS_ECDSA_P256_SHA256), NOW_S + 600, at(0))
            .unwrap()
            .unwrap();
        for (s, want) in [(-61, "not_yet_valid"), (-60, "ok"), (599, "ok"), (600, "certificate_expired")] {
            let got = a.verify(&blob(&line), at(s)).await.err().map_or("ok", |r| r.as_str());
            assert_eq!(got, want, "at {s}");
        }
        assert_eq!(
            a.issue(LOGIN, &whose(IdentityKind::Human, &[]), &key(&rcgen::PKCS_ED25519), NOW_S + 600, at(0)).unwrap(),
            None
        );
    }

    #[tokio::test]
    async fn adv_060_certificates_that_others_made_are_refused() {
        let (a, other) = (authority().await, authority().await);
        let key = key(&rcgen::PKCS_ECDSA_P256_SHA256);
        let theirs = other.issue(LOGIN, &whose(IdentityKind::Human, &[]), &key, NOW_S + 600, at(0)).unwrap().unwrap();
        let refused = a.verify(&blob(&theirs), at(1)).await.unwrap_err();
        assert_eq!(refused.as_str(), "certificate");
        let mine = blob(&a.issue(LOGIN, &whose(IdentityKind::Human, &[]), &key, NOW_S + 600, at(0)).unwrap().unwrap());
        assert!(a.verify(&mine, at(1)).await.is_ok(), "the control");
        // Whatever byte is changed, it is none of ours any more.
        for i in 0..mine.len() {
            let mut bent = mine.clone();
            bent[i] ^= 1;
            assert!(a.verify(&bent, at(1)).await.is_err(), "byte {i}");
        }
        for cut in 0..mine.len() {
            assert!(a.verify(&mine[..cut], at(1)).await.is_err(), "cut at {cut}");
        }
        assert!(a.verify(&[&mine[..], &[0]].concat(), at(1)).await.is_err());
        assert!(a.verify(&vec![0; CERTIFICATE_BYTES_MAX + 1], at(1)).await.is_err());
    }

    #[tokio::test]
    async fn keys_change_with_an_overlap() {
        let a = authority().await;
        let key = key(&rcgen::PKCS_ECDSA_P256_SHA256);
        let before = a.issue(LOGIN, &whose(IdentityKind::Human, &[]), &key, NOW_S + 600, at(0)).unwrap().unwrap();
        a.load(true, at(1)).await.unwrap();
        let after = a.issue(LOGIN, &whose(IdentityKind::Human, &[]), &key, NOW_S + 600, at(1)).unwrap().unwrap();
        for line in [before, after] {
            assert!(a.verify(&blob(&line), at(2)).await.is_ok());
        }
    }
}
