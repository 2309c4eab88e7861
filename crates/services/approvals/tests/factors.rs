//! Answers that need a second factor, on the real store with real factors: each attack with the honest way beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

#[path = "../../factors/tests/key/mod.rs"]
mod key;
mod world;

use std::sync::Arc;

use countersign_approvals::{No, Review, Said, Status, Verb};
use countersign_enforce::{
    Alert, AlertSink, Assertion, FactorAsk, FactorProof, FactorPurpose, Factors as _, Leaving, NoFactor, ReviewEvent,
};
use countersign_factors::webauthn::{Fault, Site};
use countersign_factors::{SecondFactors, SecondFactorsParts};
use countersign_model::{Factor, IdentityParts, Secret};

use key::{ORIGIN, Says, SoftKey};
use world::{Held, World, person};

struct Deaf;

impl AlertSink for Deaf {
    fn raise(&self, _: Alert) {}
}

/// Everything of a [`World`], whose people have keys.
struct Keyed {
    w: World,
    factors: SecondFactors,
}

impl Keyed {
    async fn new() -> Self {
        let mut w = World::new().await;
        let factors = SecondFactors::new(SecondFactorsParts {
            store: w.store.clone(),
            sealer: None,
            alerts: Arc::new(Deaf),
            sites: vec![Site::of(ORIGIN).unwrap()],
        });
        w.with_factors(Arc::new(factors.clone())).await;
        Self { w, factors }
    }

    async fn key_of(&self, name: &str) -> SoftKey {
        let (who, mut key) = (self.w.someone(name), SoftKey::new(name));
        let ask = FactorAsk { person: &who, purpose: FactorPurpose::Register, now: self.w.now() };
        let asked = self.factors.challenge(ask, None).await.unwrap();
        let made = key.register(&asked.challenge, &Says::default());
        self.factors.add_key(&who, "key", &made, None, self.w.now()).await.unwrap();
        key
    }

    async fn ask(&self, needs: Option<Factor>, parameters: &[u8], session: u128) -> Held {
        let parameters = parameters.to_vec();
        self.w
            .ask_with(session, move |f| {
                f.spec.requirements[0].people = 1;
                f.spec.factor = needs;
                f.parameters = parameters;
            })
            .await
    }

    async fn sign(&self, key: &mut SoftKey, who: &IdentityParts, id: &str) -> Assertion {
        let asked = self.w.reviews.challenge(id, who, None, None).await.unwrap();
        key.sign(&asked.challenge, &Says::default())
    }

    async fn approve(&self, who: &IdentityParts, id: &str, assertion: &Assertion) -> Result<Review, No> {
        let proof = FactorProof::Assertion(assertion.clone());
        self.w.reviews.answer(id, Verb::Approve, who, Said { factor: Some(&proof), ..Said::default() }).await
    }
}

fn wrong(fault: Fault) -> Option<No> {
    Some(No::Factor(fault.into()))
}

const NEEDED: No = No::Factor(NoFactor::Needed(Factor::Webauthn));

#[tokio::test]
async fn a_yes_with_the_key_runs_it_once_and_says_so() {
    let k = Keyed::new().await;
    let (rita, mut key) = (k.w.someone("rita"), k.key_of("rita").await);
    let mut held = k.ask(Some(Factor::Webauthn), b"1", 1).await;
    let id = held.opened().await;
    // Nothing shown, a code where a key is asked for, and nothing shown with an honest digest.
    let action = held.question.action.to_string();
    for said in [Said::default(), Said { action: Some(&action), ..Said::default() }] {
        assert_eq!(k.w.reviews.answer(&id, Verb::Approve, &rita, said).await.err(), Some(NEEDED));
    }
    let code = FactorProof::Code(Secret::from("123456".to_owned()));
    let with_code =
        k.w.reviews.answer(&id, Verb::Approve, &rita, Said { factor: Some(&code), ..Said::default() }).await;
    assert_eq!(with_code.err(), Some(NEEDED));
    held.still_waits().await;
    let signed = k.sign(&mut key, &rita, &id).await;
    let review = k.approve(&rita, &id, &signed).await.unwrap();
    assert_eq!(review.answers.last().unwrap().factor.as_ref().unwrap().kind, Factor::Webauthn);
    let approval = held.approved().await;
    assert_eq!(approval.by[0].factor, Some(Factor::Webauthn));
    let shown = k.w.load(&id).await.view(&rita, k.w.now());
    assert_eq!(
        (shown["factor"].as_str(), shown["answers"][0]["factor"].as_str()),
        (Some("webauthn"), Some("webauthn"))
    );
    // A no, and words, need none.
    let mut held = k.ask(Some(Factor::Webauthn), b"2", 2).await;
    let id = held.opened().await;
    let words = Said { comment: Some("why?"), ..Said::default() };
    k.w.reviews.answer(&id, Verb::Comment, &rita, words).await.unwrap();
    k.w.reviews.answer(&id, Verb::Deny, &rita, Said::default()).await.unwrap();
    assert!(matches!(held.last().await, ReviewEvent::Refused(_)));
    // Where the greater does, and where none is asked for, it is kept that one was shown.
    for needs in [Some(Factor::Totp), None] {
        let mut held = k.ask(needs, b"3", 3).await;
        let id = held.opened().await;
        let signed = k.sign(&mut key, &rita, &id).await;
        k.approve(&rita, &id, &signed).await.unwrap();
        assert_eq!(held.approved().await.by[0].factor, Some(Factor::Webauthn));
    }
}

#[tokio::test]
async fn what_was_signed_for_one_review_does_for_no_other() {
    let k = Keyed::new().await;
    let (rita, mut key) = (k.w.someone("rita"), k.key_of("rita").await);
    let (rolf, mut rolfs) = (k.w.someone("rolf"), k.key_of("rolf").await);
    let mut held = k.ask(Some(Factor::Webauthn), b"1", 1).await;
    let mut other = k.ask(Some(Factor::Webauthn), b"2", 2).await;
    let (id, other_id) = (held.opened().await, other.opened().await);
    // Another bind.
    let signed = k.sign(&mut key, &rita, &other_id).await;
    assert_eq!(k.approve(&rita, &id, &signed).await.err(), wrong(Fault::Challenge));
    assert_eq!(k.approve(&rita, &other_id, &signed).await.err(), wrong(Fault::Challenge), "and it is used up");
    // Somebody else's, by themselves and for this one.
    let signed = k.sign(&mut rolfs, &rolf, &id).await;
    assert_eq!(k.approve(&rita, &id, &signed).await.err(), wrong(Fault::Challenge));
    let asked = k.w.reviews.challenge(&id, &rita, None, None).await.unwrap();
    let theirs = rolfs.sign(&asked.challenge, &Says::default());
    assert_eq!(k.approve(&rita, &id, &theirs).await.err(), wrong(Fault::Credential));
    // What was signed to add or remove a factor.
    for purpose in [FactorPurpose::Add, FactorPurpose::Remove(&id), FactorPurpose::Register] {
        let asked = k.factors.challenge(FactorAsk { person: &rita, purpose, now: k.w.now() }, None).await.unwrap();
        let signed = key.sign(&asked.challenge, &Says::default());
        assert_eq!(k.approve(&rita, &id, &signed).await.err(), wrong(Fault::Challenge), "{purpose:?}");
    }
    // Another session, and so another binding, of the very same action.
    let signed = k.sign(&mut key, &rita, &id).await;
    held.review.take().unwrap().leave(Leaving::Left);
    k.w.until(&id, |r| r.session.is_none()).await;
    assert_eq!(k.approve(&rita, &id, &signed).await.err(), wrong(Fault::Challenge));
    // Who does not answer is not even asked, and learns nothing.
    for (who, expected) in [(person("mona", &["marketing"]), No::Unknown), (person("ana", &["dba"]), No::OwnRequest)] {
        assert_eq!(k.w.reviews.challenge(&id, &who, None, None).await.err(), Some(expected));
    }
    let bent = k.w.reviews.challenge(&id, &rita, Some(&"0".repeat(64)), None).await;
    assert_eq!(bent.err(), Some(No::Changed));
    // The control, of a review that waits in no session.
    let signed = k.sign(&mut key, &rita, &id).await;
    k.approve(&rita, &id, &signed).await.unwrap();
    assert_eq!(k.approve(&rita, &id, &signed).await.err(), Some(No::Twice), "replayed");
    other.still_waits().await;
}

#[tokio::test]
async fn a_key_that_was_taken_away_meanwhile_does_not_count() {
    let k = Keyed::new().await;
    let (rita, mut key) = (k.w.someone("rita"), k.key_of("rita").await);
    let (rolf, mut rolfs) = (k.w.someone("rolf"), k.key_of("rolf").await);
    let mut held = k.w.ask_with(1, |f| f.spec.factor = Some(Factor::Webauthn)).await;
    let id = held.opened().await;
    let signed = k.sign(&mut key, &rita, &id).await;
    k.approve(&rita, &id, &signed).await.unwrap();
    k.factors.reset("rita", "otto", k.w.now()).await.unwrap();
    let signed = k.sign(&mut rolfs, &rolf, &id).await;
    k.approve(&rolf, &id, &signed).await.unwrap();
    held.still_waits().await;
    let review = k.w.load(&id).await;
    assert_eq!((review.status, review.approvers().len()), (Status::Pending, 1), "rolf's alone");
}

#[tokio::test]
async fn of_two_with_one_challenge_one_is_heard() {
    for _ in 0..5 {
        let k = Keyed::new().await;
        let (rita, mut key) = (k.w.someone("rita"), k.key_of("rita").await);
        let rolf = k.w.someone("rolf");
        let mut held = k.w.ask_with(1, |f| f.spec.factor = Some(Factor::Webauthn)).await;
        let id = held.opened().await;
        let proof = FactorProof::Assertion(k.sign(&mut key, &rita, &id).await);
        let said = Said { factor: Some(&proof), ..Said::default() };
        let (a, b, c) = tokio::join!(
            k.w.reviews.answer(&id, Verb::Approve, &rita, said),
            k.w.second.answer(&id, Verb::Approve, &rita, said),
            k.w.second.answer(&id, Verb::Approve, &rolf, said)
        );
        assert!(a.is_ok() != b.is_ok() && c.is_err(), "{a:?} {b:?} {c:?}");
        assert_eq!(k.w.load(&id).await.approvers().len(), 1);
        held.still_waits().await;
    }
}

#[tokio::test]
async fn a_review_without_factors_is_answered_as_ever_and_a_bent_row_is_not_counted() {
    let k = Keyed::new().await;
    let mut held = k.ask(None, b"1", 1).await;
    let id = held.opened().await;
    let rita = k.w.someone("rita");
    k.w.reviews.answer(&id, Verb::Approve, &rita, Said::default()).await.unwrap();
    assert_eq!(held.approved().await.by[0].factor, None);
    // Somebody writes a yes into the store that shows no factor: it is not counted.
    let mut held = k.ask(Some(Factor::Webauthn), b"2", 2).await;
    let id = held.opened().await;
    let mut review = k.w.load(&id).await;
    let mut loose = review.clone();
    loose.content.spec.factor = None;
    let change = loose.answer(Verb::Approve, &rita, Default::default(), k.w.now()).unwrap();
    review.answers.push(change.answer.unwrap());
    assert!(review.approvers().is_empty());
    held.still_waits().await;
}
