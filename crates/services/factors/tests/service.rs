//! What people have and show, on the real store: each attack with a control that shows that the honest way works.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod key;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use countersign_enforce::{
    Alert, AlertSink, Assertion, Digest, FactorAsk, FactorChallenge, FactorProof, FactorPurpose, Factors as _, NoFactor,
};
use countersign_factors::webauthn::{Fault, Site};
use countersign_factors::{
    CHALLENGE_S, CHALLENGES_MAX, FACTORS_MAX, FAILURES_MAX, Fresh, LOCKED_S, Listed, PENDING_S, Sealer, SecondFactors,
    SecondFactorsParts, totp,
};
use countersign_model::{
    Actor, CredentialBinding, Factor, FactorUsed, IdentityKind, IdentityParts, Secret, Severity, Timestamp,
};
use countersign_store::{Store, StoreConfig};
use tempfile::TempDir;

use key::{ORIGIN, Says, SoftKey};

const BEGIN_S: i64 = 1_767_614_400;

/// Seals by turning bits over, and knows what for.
struct Turned;

impl Sealer for Turned {
    fn seal(&self, name: &str, secret: &Secret) -> Result<Vec<u8>, String> {
        let turned = secret.expose().iter().map(|b| b ^ 0xff);
        Ok(name.bytes().chain([0]).chain(turned).collect())
    }

    fn unseal(&self, name: &str, sealed: &[u8]) -> Result<Secret, String> {
        let rest = sealed.strip_prefix(name.as_bytes()).and_then(|r| r.strip_prefix(&[0])).ok_or("another name")?;
        Ok(Secret::new(rest.iter().map(|b| b ^ 0xff).collect()))
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<(Severity, String)>>);

impl AlertSink for Told {
    fn raise(&self, alert: Alert) {
        self.0.lock().unwrap().push((alert.severity, alert.what));
    }
}

fn person(name: &str) -> IdentityParts {
    IdentityParts {
        subject: format!("sub-{name}"),
        issuer: "https://id".to_owned(),
        name: name.to_owned(),
        kind: IdentityKind::Human,
        groups: Default::default(),
        claims: BTreeMap::new(),
        delegation: Vec::new(),
        credential: CredentialBinding::Bearer,
        token_id: None,
        key: None,
        login: None,
        signer: None,
        issued_at: Timestamp::from_unix_s(BEGIN_S),
        expires_at: Timestamp::from_unix_s(BEGIN_S + 3600),
    }
}

struct World {
    _dir: TempDir,
    store: Store,
    told: Arc<Told>,
    factors: SecondFactors,
    /// Another gateway over the same store.
    second: SecondFactors,
    clock: AtomicI64,
}

const REVIEW: FactorPurpose<'static> = FactorPurpose::Approve { review: "01J", bound: Digest([1; 32]) };

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig::Sqlite { path: dir.path().join("store.db"), timeout: Duration::from_secs(20) };
        let store = Store::open(&config).await.unwrap();
        let told = Arc::<Told>::default();
        let parts = SecondFactorsParts {
            store: store.clone(),
            sealer: Some(Arc::new(Turned)),
            alerts: told.clone(),
            sites: vec![Site::of(ORIGIN).unwrap(), Site::of("https://other.example").unwrap()],
        };
        let (factors, second) = (SecondFactors::new(parts.clone()), SecondFactors::new(parts));
        Self { _dir: dir, store, told, factors, second, clock: AtomicI64::new(BEGIN_S) }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_s(self.clock.load(Ordering::SeqCst))
    }

    fn pass(&self, s: u64) {
        self.clock.fetch_add(i64::try_from(s).unwrap(), Ordering::SeqCst);
    }

    fn told(&self) -> Vec<(Severity, String)> {
        std::mem::take(&mut *self.told.0.lock().unwrap())
    }

    fn ask<'a>(&self, who: &'a IdentityParts, purpose: FactorPurpose<'a>) -> FactorAsk<'a> {
        FactorAsk { person: who, purpose, now: self.now() }
    }

    async fn challenge(&self, who: &IdentityParts, purpose: FactorPurpose<'_>) -> Result<FactorChallenge, NoFactor> {
        self.factors.challenge(self.ask(who, purpose), None).await
    }

    /// What a key signs for this.
    async fn signed(
        &self,
        key: &mut SoftKey,
        who: &IdentityParts,
        purpose: FactorPurpose<'_>,
        says: &Says,
    ) -> Assertion {
        let asked = self.challenge(who, purpose).await.unwrap();
        key.sign(&asked.challenge, says)
    }

    async fn proof(&self, key: &mut SoftKey, who: &IdentityParts, purpose: FactorPurpose<'_>) -> FactorProof {
        FactorProof::Assertion(self.signed(key, who, purpose, &Says::default()).await)
    }

    async fn prove(
        &self,
        who: &IdentityParts,
        purpose: FactorPurpose<'_>,
        proof: &FactorProof,
    ) -> Result<FactorUsed, NoFactor> {
        self.factors.prove(self.ask(who, purpose), proof).await
    }

    async fn add_key(
        &self,
        key: &mut SoftKey,
        who: &IdentityParts,
        proof: Option<&FactorProof>,
    ) -> Result<Listed, NoFactor> {
        let asked = self.challenge(who, FactorPurpose::Register).await?;
        let made = key.register(&asked.challenge, &Says::default());
        self.factors.add_key(who, "blue", &made, proof, self.now()).await
    }

    /// Somebody with a key.
    async fn keyed(&self, name: &str) -> (IdentityParts, SoftKey) {
        let (who, mut key) = (person(name), SoftKey::new(name));
        self.add_key(&mut key, &who, None).await.unwrap();
        self.told();
        (who, key)
    }

    /// Somebody with codes.
    async fn coded(&self, name: &str) -> (IdentityParts, Secret) {
        let who = person(name);
        let fresh = self.factors.begin_codes(&who, "phone", None, self.now()).await.unwrap();
        let secret = plain(&fresh);
        let code = self.code(&secret, 0);
        self.factors.confirm_codes(&who, &fresh.id, &code, self.now()).await.unwrap();
        self.told();
        self.pass(60);
        (who, secret)
    }

    fn code(&self, secret: &Secret, steps: u64) -> Secret {
        Secret::from(totp::code(secret, totp::step_at(self.now()) + steps))
    }

    fn proof_code(&self, secret: &Secret, steps: u64) -> FactorProof {
        FactorProof::Code(self.code(secret, steps))
    }
}

/// The bytes of a secret that was shown, as an app reads them.
fn plain(fresh: &Fresh) -> Secret {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bits = String::new();
    for c in fresh.secret.expose_str().unwrap().chars() {
        bits.push_str(&format!("{:05b}", alphabet.find(c).unwrap()));
    }
    let bytes =
        bits.as_bytes().chunks_exact(8).map(|c| u8::from_str_radix(std::str::from_utf8(c).unwrap(), 2).unwrap());
    Secret::new(bytes.collect())
}

const WRONG_CODE: NoFactor = NoFactor::Wrong("the code is wrong, too old, or was used before");

fn fault(fault: Fault) -> NoFactor {
    fault.into()
}

#[tokio::test]
async fn a_key_is_registered_and_shown_once_for_one_thing() {
    let w = World::new().await;
    let (rita, mut key) = (person("rita"), SoftKey::new("rita"));
    assert_eq!(w.challenge(&rita, REVIEW).await, Err(NoFactor::None(Factor::Webauthn)));
    let added = w.add_key(&mut key, &rita, None).await.unwrap();
    assert_eq!((added.kind, added.name.as_str(), added.sign_count), (Factor::Webauthn, "blue", Some(1)));
    let told = w.told();
    assert!(told.len() == 1 && told[0].0 == Severity::Medium && told[0].1.contains("first"), "{told:?}");
    let proof = w.proof(&mut key, &rita, REVIEW).await;
    let used = w.prove(&rita, REVIEW, &proof).await.unwrap();
    assert_eq!(used, FactorUsed { kind: Factor::Webauthn, id: added.id.clone() });
    assert_eq!(w.prove(&rita, REVIEW, &proof).await, Err(fault(Fault::Challenge)), "replayed");
    assert_eq!(w.second.prove(w.ask(&rita, REVIEW), &proof).await, Err(fault(Fault::Challenge)), "at another gateway");
    // Asked by one gateway, verified by another.
    let proof = w.proof(&mut key, &rita, REVIEW).await;
    w.second.prove(w.ask(&rita, REVIEW), &proof).await.unwrap();
    assert!(w.factors.stands(&rita, &used).await.unwrap());
    assert!(!w.factors.stands(&person("rolf"), &used).await.unwrap());
    let listed = w.factors.list(&rita).await.unwrap();
    assert_eq!((listed.len(), listed[0].used_at, listed[0].sign_count), (1, Some(w.now()), Some(3)));
}

#[tokio::test]
async fn what_was_signed_for_one_thing_does_for_no_other() {
    let w = World::new().await;
    let (rita, mut key) = w.keyed("rita").await;
    let (rolf, mut rolfs) = w.keyed("rolf").await;
    let other_bound = FactorPurpose::Approve { review: "01J", bound: Digest([2; 32]) };
    let other_review = FactorPurpose::Approve { review: "01K", bound: Digest([1; 32]) };
    for (signed_for, shown_for) in [
        (other_bound, REVIEW),
        (other_review, REVIEW),
        (FactorPurpose::Add, REVIEW),
        (FactorPurpose::Remove("01J"), REVIEW),
        (FactorPurpose::Register, REVIEW),
        (REVIEW, FactorPurpose::Add),
        (REVIEW, FactorPurpose::Remove("01J")),
        (FactorPurpose::Remove("01K"), FactorPurpose::Remove("01J")),
    ] {
        let proof = w.proof(&mut key, &rita, signed_for).await;
        assert_eq!(
            w.prove(&rita, shown_for, &proof).await,
            Err(fault(Fault::Challenge)),
            "{signed_for:?} for {shown_for:?}"
        );
        assert_eq!(w.prove(&rita, signed_for, &proof).await, Err(fault(Fault::Challenge)), "it is used up");
    }
    // Somebody else's challenge, somebody else's key, and somebody else's key with this one's name.
    let proof = w.proof(&mut rolfs, &rolf, REVIEW).await;
    assert_eq!(w.prove(&rita, REVIEW, &proof).await, Err(fault(Fault::Challenge)));
    w.prove(&rolf, REVIEW, &proof).await.unwrap();
    let asked = w.challenge(&rita, REVIEW).await.unwrap();
    assert_eq!(asked.credentials, [b"rita".to_vec()]);
    let theirs = FactorProof::Assertion(rolfs.sign(&asked.challenge, &Says::default()));
    assert_eq!(w.prove(&rita, REVIEW, &theirs).await, Err(fault(Fault::Credential)));
    let asked = w.challenge(&rita, REVIEW).await.unwrap();
    let mut theirs = rolfs.sign(&asked.challenge, &Says::default());
    theirs.credential = b"rita".to_vec();
    assert_eq!(w.prove(&rita, REVIEW, &FactorProof::Assertion(theirs)).await, Err(fault(Fault::Signature)));
    // A challenge that nobody asked for.
    let made_up = FactorProof::Assertion(key.sign(&[9; 32], &Says::default()));
    assert_eq!(w.prove(&rita, REVIEW, &made_up).await, Err(fault(Fault::Challenge)));
}

#[tokio::test]
async fn a_challenge_ends_soon_and_so_many_are_under_way() {
    let w = World::new().await;
    let (rita, mut key) = w.keyed("rita").await;
    let proof = w.proof(&mut key, &rita, REVIEW).await;
    w.pass(CHALLENGE_S - 1);
    w.prove(&rita, REVIEW, &proof).await.unwrap();
    let proof = w.proof(&mut key, &rita, REVIEW).await;
    w.pass(CHALLENGE_S);
    assert_eq!(w.prove(&rita, REVIEW, &proof).await, Err(fault(Fault::Challenge)));
    for _ in 0..CHALLENGES_MAX {
        w.challenge(&rita, REVIEW).await.unwrap();
    }
    assert!(matches!(w.challenge(&rita, REVIEW).await, Err(NoFactor::Wrong(why)) if why.contains("too often")));
    w.keyed("rolf").await;
    w.pass(CHALLENGE_S);
    w.challenge(&rita, REVIEW).await.unwrap();
}

#[tokio::test]
async fn another_site_a_key_that_asks_nobody_and_a_copy_are_refused() {
    let w = World::new().await;
    let (rita, mut key) = w.keyed("rita").await;
    for (says, expected) in [
        (Says { origin: "https://evil.example".to_owned(), ..Says::default() }, Fault::Origin),
        (Says { site: "evil.example".to_owned(), ..Says::default() }, Fault::Site),
        // A site of ours, and not the key's.
        (
            Says { origin: "https://other.example".to_owned(), site: "other.example".to_owned(), ..Says::default() },
            Fault::Site,
        ),
        (Says { flags: 0x01, ..Says::default() }, Fault::Verification),
        (Says { flags: 0x04, ..Says::default() }, Fault::Presence),
        (Says { count: Some(0), ..Says::default() }, Fault::Counter),
        (Says { count: Some(1), ..Says::default() }, Fault::Counter),
    ] {
        let signed = w.signed(&mut key, &rita, REVIEW, &says).await;
        assert_eq!(w.prove(&rita, REVIEW, &FactorProof::Assertion(signed)).await, Err(fault(expected)), "{says:?}");
        let told = w.told();
        assert_eq!(
            told.iter().any(|(s, what)| *s == Severity::High && what.contains("copy")),
            expected == Fault::Counter
        );
    }
    key.count = 1;
    let proof = w.proof(&mut key, &rita, REVIEW).await;
    w.prove(&rita, REVIEW, &proof).await.unwrap();
    let elsewhere = w.factors.challenge(w.ask(&rita, REVIEW), Some("https://other.example")).await;
    assert_eq!(elsewhere, Err(NoFactor::None(Factor::Webauthn)), "it has no key there");
    let nowhere = w.factors.challenge(w.ask(&rita, REVIEW), Some("https://evil.example")).await;
    assert!(matches!(nowhere, Err(NoFactor::NotHere(_))));
}

#[tokio::test]
async fn of_two_who_show_the_same_at_the_same_instant_one_is_believed() {
    for _ in 0..5 {
        let w = World::new().await;
        let (rita, mut key) = w.keyed("rita").await;
        let proof = w.proof(&mut key, &rita, REVIEW).await;
        let (a, b) =
            tokio::join!(w.factors.prove(w.ask(&rita, REVIEW), &proof), w.second.prove(w.ask(&rita, REVIEW), &proof));
        assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
        let (rolf, secret) = w.coded("rolf").await;
        let code = w.proof_code(&secret, 0);
        let (a, b) =
            tokio::join!(w.factors.prove(w.ask(&rolf, REVIEW), &code), w.second.prove(w.ask(&rolf, REVIEW), &code));
        assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    }
}

#[tokio::test]
async fn a_code_is_used_once_and_guesses_lock_it() {
    let w = World::new().await;
    let (rolf, secret) = w.coded("rolf").await;
    let code = w.proof_code(&secret, 0);
    assert_eq!(w.prove(&rolf, REVIEW, &code).await.unwrap().kind, Factor::Totp);
    assert_eq!(w.prove(&rolf, REVIEW, &code).await, Err(WRONG_CODE), "used");
    w.prove(&rolf, REVIEW, &w.proof_code(&secret, 1)).await.unwrap();
    let nobody = person("nora");
    assert_eq!(w.prove(&nobody, REVIEW, &code).await, Err(NoFactor::None(Factor::Totp)));
    w.pass(120);
    assert!(w.told().is_empty());
    for n in 1..=FAILURES_MAX {
        let wrong = FactorProof::Code(Secret::from(format!("{n:06}")));
        let said = w.prove(&rolf, REVIEW, &wrong).await;
        assert_eq!(matches!(said, Err(NoFactor::LockedOut(_))), n == FAILURES_MAX, "{n}: {said:?}");
    }
    assert!(w.told().iter().any(|(s, what)| *s == Severity::High && what.contains("guesses")));
    assert!(
        matches!(w.prove(&rolf, REVIEW, &w.proof_code(&secret, 0)).await, Err(NoFactor::LockedOut(_))),
        "the right one, too"
    );
    w.pass(LOCKED_S);
    w.prove(&rolf, REVIEW, &w.proof_code(&secret, 0)).await.unwrap();
    // Many guesses at once are counted, each.
    w.pass(120);
    let guesses = (0..2 * FAILURES_MAX).map(|n| FactorProof::Code(Secret::from(format!("{:06}", 500_000 + n))));
    let guesses: Vec<FactorProof> = guesses.collect();
    let mut wrong = 0;
    for pair in guesses.chunks(2) {
        let (a, b) = tokio::join!(
            w.factors.prove(w.ask(&rolf, REVIEW), &pair[0]),
            w.second.prove(w.ask(&rolf, REVIEW), &pair[1])
        );
        wrong += [a, b].iter().filter(|said| **said == Err(WRONG_CODE)).count();
    }
    assert_eq!(wrong, usize::try_from(FAILURES_MAX).unwrap() - 1);
}

#[tokio::test]
async fn a_session_alone_adds_nothing_to_what_somebody_has() {
    let w = World::new().await;
    let (rita, mut key) = w.keyed("rita").await;
    let mut evil = SoftKey::new("evil");
    assert!(matches!(w.add_key(&mut evil, &rita, None).await, Err(NoFactor::Needed(_))));
    assert!(matches!(w.factors.begin_codes(&rita, "evil", None, w.now()).await, Err(NoFactor::Needed(_))));
    // A key that is not registered cannot vouch for itself; nor does what was signed for something else.
    let asked = w.challenge(&rita, FactorPurpose::Add).await.unwrap();
    let own = FactorProof::Assertion(evil.sign(&asked.challenge, &Says::default()));
    assert_eq!(w.add_key(&mut evil, &rita, Some(&own)).await, Err(fault(Fault::Credential)));
    let approving = w.proof(&mut key, &rita, REVIEW).await;
    assert_eq!(w.add_key(&mut evil, &rita, Some(&approving)).await, Err(fault(Fault::Challenge)));
    let id = w.factors.list(&rita).await.unwrap()[0].id.clone();
    assert!(matches!(w.factors.remove(&rita, &id, None, w.now()).await, Err(NoFactor::Needed(_))));
    assert_eq!(w.factors.list(&rita).await.unwrap().len(), 1);
    // The honest way.
    let proof = w.proof(&mut key, &rita, FactorPurpose::Add).await;
    let mut red = SoftKey::new("red");
    w.add_key(&mut red, &rita, Some(&proof)).await.unwrap();
    assert!(w.told().iter().any(|(s, what)| *s == Severity::Low && what.contains("showing another")));
    let proof = w.proof(&mut red, &rita, FactorPurpose::Add).await;
    assert!(matches!(w.add_key(&mut red, &rita, Some(&proof)).await, Err(NoFactor::Unfit(_))), "the same key twice");
    let proof = w.proof(&mut red, &rita, FactorPurpose::Remove(&id)).await;
    w.factors.remove(&rita, &id, Some(&proof), w.now()).await.unwrap();
    let left = w.factors.list(&rita).await.unwrap();
    assert!(left.len() == 1 && left[0].id != id);
    let gone = w.signed(&mut red, &rita, REVIEW, &Says::default()).await;
    let gone = FactorProof::Assertion(key.sign(&key::challenge_in(&gone.client_data), &Says::default()));
    assert_eq!(w.prove(&rita, REVIEW, &gone).await, Err(fault(Fault::Credential)));
}

#[tokio::test]
async fn of_two_firsts_one_is_trusted() {
    let w = World::new().await;
    let rita = person("rita");
    // Both asked, and made codes, when there was nothing yet.
    let (first, second) = (
        w.challenge(&rita, FactorPurpose::Register).await.unwrap(),
        w.challenge(&rita, FactorPurpose::Register).await.unwrap(),
    );
    let thiefs = w.factors.begin_codes(&rita, "thief", None, w.now()).await.unwrap();
    let (mut a, mut b) = (SoftKey::new("a"), SoftKey::new("b"));
    let (made_a, made_b) =
        (a.register(&first.challenge, &Says::default()), b.register(&second.challenge, &Says::default()));
    let (one, two) = tokio::join!(
        w.factors.add_key(&rita, "a", &made_a, None, w.now()),
        w.second.add_key(&rita, "b", &made_b, None, w.now())
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let code = w.code(&plain(&thiefs), 0);
    let late = w.factors.confirm_codes(&rita, &thiefs.id, &code, w.now()).await;
    assert!(matches!(late, Err(NoFactor::Needed(_))), "{late:?}");
    assert_eq!(w.factors.list(&rita).await.unwrap().len(), 1);
    // What was made to register a key once does not do so again.
    let again = w.factors.add_key(&person("rolf"), "a", &made_a, None, w.now()).await;
    assert_eq!(again, Err(fault(Fault::Challenge)));
}

#[tokio::test]
async fn codes_are_a_factor_once_the_first_is_shown() {
    let w = World::new().await;
    let rolf = person("rolf");
    let fresh = w.factors.begin_codes(&rolf, "phone", None, w.now()).await.unwrap();
    let text = format!("{fresh:?}");
    assert!(text.contains("[secret]") && !text.contains(fresh.secret.expose_str().unwrap()), "{text}");
    assert!(fresh.uri.expose_str().unwrap().starts_with("otpauth://totp/gw.example:rolf?secret="));
    assert_eq!(w.prove(&rolf, REVIEW, &w.proof_code(&plain(&fresh), 0)).await, Err(NoFactor::None(Factor::Totp)));
    let wrong = w.factors.confirm_codes(&rolf, &fresh.id, &Secret::from("000000".to_owned()), w.now()).await;
    assert_eq!(wrong, Err(WRONG_CODE));
    let code = w.code(&plain(&fresh), 0);
    assert_eq!(w.factors.confirm_codes(&person("rita"), &fresh.id, &code, w.now()).await, Err(NoFactor::Unknown));
    w.factors.confirm_codes(&rolf, &fresh.id, &code, w.now()).await.unwrap();
    assert_eq!(w.factors.confirm_codes(&rolf, &fresh.id, &code, w.now()).await, Err(NoFactor::Unknown));
    assert_eq!(w.prove(&rolf, REVIEW, &FactorProof::Code(code)).await, Err(WRONG_CODE), "the first code is used");
    // In the store there is no secret that opens anything.
    let (_, kept) = w.store.factors(&rolf.issuer, &rolf.subject).await.unwrap().unwrap();
    let clear = base64::engine::general_purpose::STANDARD.encode(plain(&fresh).expose());
    assert!(!kept.contains(&clear) && !kept.contains(fresh.secret.expose_str().unwrap()));
    let rita = person("rita");
    let fresh = w.factors.begin_codes(&rita, "phone", None, w.now()).await.unwrap();
    w.pass(PENDING_S);
    let late = w.factors.confirm_codes(&rita, &fresh.id, &w.code(&plain(&fresh), 0), w.now()).await;
    assert_eq!(late, Err(NoFactor::Unknown));
}

#[tokio::test]
async fn only_people_who_speak_for_themselves_have_factors() {
    let w = World::new().await;
    let (rita, mut key) = w.keyed("rita").await;
    let proof = w.proof(&mut key, &rita, FactorPurpose::Add).await;
    let actor = Actor {
        subject: "copilot".to_owned(),
        issuer: "https://ai".to_owned(),
        name: "copilot".to_owned(),
        kind: IdentityKind::Agent,
        groups: Default::default(),
        claims: BTreeMap::new(),
        signer: None,
    };
    let through = IdentityParts { delegation: vec![actor], ..rita.clone() };
    let machine = IdentityParts { kind: IdentityKind::Machine, ..person("robot") };
    let agent = IdentityParts { kind: IdentityKind::Agent, ..person("copilot") };
    for who in [&through, &machine, &agent] {
        let mut own = SoftKey::new("own");
        assert_eq!(w.challenge(who, FactorPurpose::Register).await, Err(NoFactor::NotAPerson));
        assert_eq!(w.add_key(&mut own, who, None).await, Err(NoFactor::NotAPerson));
        let made = own.register(&[1; 32], &Says::default());
        assert_eq!(w.factors.add_key(who, "x", &made, Some(&proof), w.now()).await, Err(NoFactor::NotAPerson));
        assert!(matches!(w.factors.begin_codes(who, "x", Some(&proof), w.now()).await, Err(NoFactor::NotAPerson)));
        assert_eq!(w.factors.list(who).await, Err(NoFactor::NotAPerson));
        assert_eq!(w.factors.remove(who, "x", Some(&proof), w.now()).await, Err(NoFactor::NotAPerson));
        assert_eq!(w.prove(who, FactorPurpose::Add, &proof).await, Err(NoFactor::NotAPerson));
    }
    w.prove(&rita, FactorPurpose::Add, &proof).await.unwrap();
}

#[tokio::test]
async fn who_lost_all_begins_anew_when_an_operator_says_so() {
    let w = World::new().await;
    let (rita, mut key) = w.keyed("rita").await;
    let used = w.prove(&rita, REVIEW, &w.proof(&mut key, &rita, REVIEW).await).await.unwrap();
    assert_eq!(w.factors.reset("nobody", "otto", w.now()).await, Err(NoFactor::Unknown));
    let other = IdentityParts { issuer: "https://elsewhere".to_owned(), ..person("rita") };
    let mut theirs = SoftKey::new("theirs");
    w.add_key(&mut theirs, &other, None).await.unwrap();
    w.told();
    assert!(matches!(w.factors.reset("rita", "otto", w.now()).await, Err(NoFactor::Unfit(_))), "which of the two?");
    assert_eq!(w.factors.reset("https://id#sub-rita", "otto", w.now()).await, Ok(1));
    assert!(w.told().iter().any(|(s, what)| *s == Severity::High && what.contains("otto")));
    assert!(w.factors.list(&rita).await.unwrap().is_empty());
    assert!(!w.factors.stands(&rita, &used).await.unwrap(), "what it said yes to does not count any more");
    assert_eq!(w.challenge(&rita, REVIEW).await, Err(NoFactor::None(Factor::Webauthn)));
    w.add_key(&mut SoftKey::new("new"), &rita, None).await.unwrap();
    assert_eq!(w.factors.list(&other).await.unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_has_more_than_so_many() {
    let w = World::new().await;
    let (rita, mut key) = w.keyed("rita").await;
    for n in 1..FACTORS_MAX {
        let proof = w.proof(&mut key, &rita, FactorPurpose::Add).await;
        w.add_key(&mut SoftKey::new(&format!("k{n}")), &rita, Some(&proof)).await.unwrap();
        w.pass(CHALLENGE_S);
    }
    assert_eq!(w.challenge(&rita, FactorPurpose::Register).await, Err(NoFactor::Full(FACTORS_MAX)));
    let proof = w.proof(&mut key, &rita, FactorPurpose::Add).await;
    assert!(matches!(w.factors.begin_codes(&rita, "x", Some(&proof), w.now()).await, Err(NoFactor::Full(_))));
}

#[tokio::test]
async fn without_a_vault_there_are_no_codes_and_without_a_name_no_keys() {
    let w = World::new().await;
    let bare = SecondFactors::new(SecondFactorsParts {
        store: w.store.clone(),
        sealer: None,
        alerts: w.told.clone(),
        sites: Vec::new(),
    });
    let rita = person("rita");
    assert!(bare.available().is_empty());
    assert_eq!(w.factors.available(), [Factor::Totp, Factor::Webauthn]);
    assert!(matches!(bare.begin_codes(&rita, "x", None, w.now()).await, Err(NoFactor::NotHere(_))));
    assert!(matches!(bare.challenge(w.ask(&rita, FactorPurpose::Register), None).await, Err(NoFactor::NotHere(_))));
    w.store.close().await;
    let (who, proof) = (person("rolf"), FactorProof::Code(Secret::from("123456".to_owned())));
    assert!(matches!(w.prove(&who, REVIEW, &proof).await, Err(NoFactor::Unavailable(_))));
}
