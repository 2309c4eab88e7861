//! Attacks on grants, on the real store: each with a control that shows that the honest way works.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod world;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use countersign_approvals::{
    GRANT_LEASE, GRANT_POLL, Grant, GrantDesk, GrantKeeper, GrantState, LIVING_MAX, NewGrant, No, Said, Status, Verb,
    Window,
};
use countersign_enforce::{Alert, AlertSink, Standing};
use countersign_model::{
    Access, Actor, DenialCode, GrantSpec, Grants as _, IdentityKind, IdentityParts, RuleId, SessionId, Severity,
    TargetName, Timestamp,
};

use world::{World, person, spec, through};

#[derive(Default)]
struct Told(Mutex<Vec<Alert>>);

impl AlertSink for Told {
    fn raise(&self, alert: Alert) {
        self.0.lock().unwrap().push(alert);
    }
}

/// A world with grants, on two gateways.
struct Here {
    w: World,
    desk: GrantDesk,
    keepers: [GrantKeeper; 2],
    told: Arc<Told>,
}

const HOUR_MS: i64 = 3_600_000;

impl Here {
    async fn new() -> Self {
        let w = World::new().await;
        let told = Arc::new(Told::default());
        let desk = GrantDesk::new(w.reviews.clone(), told.clone());
        let keeper = async || GrantKeeper::open(w.store.clone(), w.now()).await.unwrap();
        let keepers = [keeper().await, keeper().await];
        Self { w, desk, keepers, told }
    }

    fn ask(&self, change: impl FnOnce(&mut NewGrant)) -> NewGrant {
        let review = spec(&[("dba", 2)]);
        let mut new = NewGrant {
            asker: person("ana", &[]),
            target: "orders".to_owned(),
            protocol: "toy".to_owned(),
            accesses: vec![Access::Write],
            rules: vec![RuleId::new("oncall")],
            spec: GrantSpec { review, longest_s: 7200, uses_max: None, at_once: false },
            reason: "ticket 4711".to_owned(),
            lasts_s: Some(3600),
            uses: None,
            starts_at: None,
            at_once: false,
        };
        change(&mut new);
        new
    }

    async fn request(&self, change: impl FnOnce(&mut NewGrant)) -> String {
        self.desk.request(self.ask(change)).await.unwrap().record.id
    }

    async fn say(&self, id: &str, verb: Verb, who: &[&str]) {
        for name in who {
            self.w.reviews.answer(id, verb, &self.w.someone(name), Said::default()).await.unwrap();
        }
        self.refresh().await;
    }

    async fn given(&self, change: impl FnOnce(&mut NewGrant)) -> String {
        let id = self.request(change).await;
        self.say(&id, Verb::Approve, &["rita", "rolf"]).await;
        id
    }

    async fn refresh(&self) {
        for keeper in &self.keepers {
            keeper.refresh(self.w.now()).await.unwrap();
            keeper.look(self.w.now());
        }
    }

    /// The grants that somebody holds, at both gateways alike.
    fn held(&self, who: &IdentityParts) -> Vec<String> {
        let target = TargetName::parse("orders").unwrap();
        let [a, b] = [0, 1].map(|n| self.keepers[n].held(who, &target, self.w.now()));
        assert_eq!(a, b);
        a.into_iter().map(|h| h.id.to_string()).collect()
    }

    /// Runs something by a grant.
    async fn runs(&self, gateway: usize, session: u128, id: &str) -> bool {
        let keeper = &self.keepers[gateway];
        match keeper.take(SessionId::from_u128(session), &[id.into()], true, self.w.now()) {
            Err(_) => false,
            Ok(None) => true,
            Ok(Some(taking)) => taking.await.is_ok(),
        }
    }

    async fn state(&self, id: &str) -> GrantState {
        self.desk.show(id, &person("ana", &[]), true).await.unwrap().0.state(self.w.now())
    }

    fn ends(&self, session: u128) -> bool {
        self.keepers[0].ends(SessionId::from_u128(session), self.w.now()).is_some()
    }
}

#[tokio::test]
async fn the_honest_way_lasts_from_its_first_use_to_its_end() {
    let h = Here::new().await;
    let ana = person("ana", &[]);
    let id = h.request(|_| {}).await;
    assert_eq!((h.state(&id).await, h.held(&ana).len()), (GrantState::Requested, 0));
    h.say(&id, Verb::Approve, &["rita"]).await;
    assert_eq!(h.held(&ana), [""; 0], "one of two is not enough");
    h.say(&id, Verb::Approve, &["rolf"]).await;
    assert_eq!((h.state(&id).await, h.held(&ana)), (GrantState::Given, vec![id.clone()]));
    // It waits for its first use; housekeeping is none.
    h.w.pass(HOUR_MS);
    assert!(h.keepers[0].take(SessionId::from_u128(1), &[id.as_str().into()], false, h.w.now()).unwrap().is_none());
    assert_eq!(h.state(&id).await, GrantState::Given);
    assert!(h.runs(0, 1, &id).await);
    assert_eq!(h.state(&id).await, GrantState::Active);
    h.refresh().await;
    assert!(h.runs(1, 2, &id).await);
    h.w.pass(HOUR_MS - 1);
    assert!(h.runs(0, 1, &id).await && !h.ends(1));
    h.w.pass(1);
    assert_eq!((h.held(&ana), h.state(&id).await), (vec![], GrantState::Over));
    assert!(!h.runs(0, 1, &id).await && !h.runs(1, 2, &id).await);
    h.refresh().await;
    assert!(h.ends(1), "the session that lived by it");
    assert!(!h.ends(3), "and no other");
}

#[tokio::test]
async fn a_clock_that_is_set_back_gives_no_time() {
    let h = Here::new().await;
    let ana = person("ana", &[]);
    let id = h.given(|_| {}).await;
    assert!(h.runs(0, 1, &id).await);
    h.refresh().await;
    h.w.pass(HOUR_MS);
    assert_eq!(h.held(&ana), [""; 0]);
    h.w.pass(-HOUR_MS / 2);
    assert_eq!(h.held(&ana), [""; 0], "its end has been seen");
    assert!(!h.runs(0, 1, &id).await);
    assert!(h.ends(1));
}

#[tokio::test]
async fn uses_are_counted_over_all_gateways() {
    let h = Here::new().await;
    let id = h.given(|n| n.uses = Some(5)).await;
    let all = futures_of(&h, &id, 20).await;
    assert_eq!(all.iter().filter(|ran| **ran).count(), 5);
    assert_eq!(h.state(&id).await, GrantState::UsedUp);
    h.refresh().await;
    assert_eq!(h.held(&person("ana", &[])), [""; 0]);
    assert!(!h.ends(1), "its time is not over: what ran last may end by itself");
}

/// Everybody at once, at both gateways.
async fn futures_of(h: &Here, id: &str, n: u128) -> Vec<bool> {
    let mut set = tokio::task::JoinSet::new();
    for k in 0..n {
        let keeper = h.keepers[usize::try_from(k % 2).unwrap()].clone();
        let (id, now) = (id.to_owned(), h.w.now());
        set.spawn(async move {
            match keeper.take(SessionId::from_u128(k), &[id.as_str().into()], true, now) {
                Ok(Some(taking)) => taking.await.is_ok(),
                Ok(None) => panic!("uncounted"),
                Err(_) => false,
            }
        });
    }
    set.join_all().await
}

#[tokio::test]
async fn who_is_not_exactly_the_asker_holds_nothing() {
    let h = Here::new().await;
    let copilot = Actor { kind: IdentityKind::Agent, ..through("copilot") };
    let mut delegated = person("ana", &[]);
    delegated.delegation = vec![copilot];
    let own = h.given(|_| {}).await;
    let through_agent = h.given(|n| n.asker = delegated.clone()).await;
    assert_eq!(h.held(&person("ana", &[])), [own], "not what was given to her agent with her");
    assert_eq!(h.held(&delegated), [through_agent], "nor the agent what was given to her");
    let mut namesake = person("ana", &[]);
    namesake.issuer = "https://other".to_owned();
    assert_eq!(h.held(&namesake), [""; 0]);
    assert_eq!(h.held(&person("bob", &[])), [""; 0]);
    let elsewhere = TargetName::parse("order").unwrap();
    assert_eq!(h.keepers[0].held(&person("ana", &[]), &elsewhere, h.w.now()), []);
    // The gateway's own API is not theirs to give.
    let api = h.given(|n| n.target = "countersign".to_owned()).await;
    let target = TargetName::parse("countersign").unwrap();
    assert_eq!(h.keepers[0].held(&person("ana", &[]), &target, h.w.now()), [], "{api}");
}

#[tokio::test]
async fn nobody_gives_it_to_themselves_and_who_may_not_say_so_any_more_gives_nothing() {
    let h = Here::new().await;
    let id = h.request(|n| n.asker = h.w.someone("ana")).await;
    let own = h.w.reviews.answer(&id, Verb::Approve, &h.w.someone("ana"), Said::default()).await;
    assert_eq!(own.err(), Some(No::OwnRequest));
    h.say(&id, Verb::Approve, &["rita"]).await;
    h.w.people.ended.lock().unwrap().insert("rita".to_owned(), Standing::Ended(World::denial()));
    h.say(&id, Verb::Approve, &["rolf"]).await;
    assert_eq!((h.state(&id).await, h.held(&h.w.someone("ana"))), (GrantState::Requested, vec![]));
    h.say(&id, Verb::Approve, &["ruth"]).await;
    assert_eq!(h.held(&h.w.someone("ana")), [id]);
}

#[tokio::test]
async fn what_is_denied_withdrawn_or_late_is_never_given() {
    let h = Here::new().await;
    let ana = person("ana", &[]);
    let (denied, withdrawn, late) = (h.request(|_| {}).await, h.request(|_| {}).await, h.request(|_| {}).await);
    h.say(&denied, Verb::Approve, &["rita"]).await;
    h.say(&denied, Verb::Deny, &["rolf"]).await;
    h.w.reviews.withdraw(&withdrawn, &ana).await.unwrap();
    h.say(&late, Verb::Approve, &["rita"]).await;
    h.w.pass(900_000);
    let said = h.w.reviews.answer(&late, Verb::Approve, &h.w.someone("rolf"), Said::default()).await;
    assert!(matches!(said, Err(No::Over(_))), "{said:?}");
    h.desk.maintain().await;
    h.refresh().await;
    assert_eq!(h.held(&ana), [""; 0]);
    for (id, expected) in [(denied, GrantState::Ended), (withdrawn, GrantState::Ended), (late, GrantState::Ended)] {
        assert_eq!(h.state(&id).await, expected);
        assert!(!h.w.store.give_grant(&id, h.w.now(), h.w.now(), None).await.unwrap());
    }
    // Given, and not used in time.
    let unused = h.given(|_| {}).await;
    h.w.pass(24 * HOUR_MS);
    assert_eq!((h.held(&ana), h.state(&unused).await), (vec![], GrantState::Over));
    assert!(!h.runs(0, 1, &unused).await);
}

#[tokio::test]
async fn a_time_to_start_is_kept() {
    let h = Here::new().await;
    let at = Timestamp::from_unix_us(h.w.now().unix_us() + 2 * HOUR_MS * 1000);
    let id = h.given(|n| n.starts_at = Some(at)).await;
    assert_eq!((h.held(&person("ana", &[])), h.state(&id).await), (vec![], GrantState::Given));
    assert!(!h.runs(0, 1, &id).await);
    h.w.pass(2 * HOUR_MS);
    assert_eq!(h.held(&person("ana", &[])), std::slice::from_ref(&id));
    assert!(h.runs(0, 1, &id).await);
    h.w.pass(HOUR_MS);
    assert!(!h.runs(0, 1, &id).await);
}

#[tokio::test]
async fn revocation_ends_it_everywhere_and_whoever_lives_by_it() {
    let h = Here::new().await;
    let ana = person("ana", &[]);
    let id = h.given(|_| {}).await;
    assert!(h.runs(0, 7, &id).await);
    for (who, no) in [(person("mona", &["marketing"]), No::Unknown), (person("bob", &[]), No::Unknown)] {
        assert_eq!(h.desk.revoke(&id, &who, false, "x").await.err(), Some(no));
    }
    assert!(matches!(h.desk.revoke(&id, &ana, false, " ").await, Err(No::Reason(_))));
    let changed = h.keepers[0].clone();
    let seen = changed.changed(u64::MAX).await;
    h.desk.revoke(&id, &h.w.someone("ruth"), false, "not needed").await.unwrap();
    assert!(!h.ends(7), "this gateway has not looked yet");
    h.refresh().await;
    assert!(h.ends(7) && h.held(&ana).is_empty());
    assert_ne!(changed.changed(seen).await, seen, "whoever ends sessions is told");
    assert!(matches!(h.desk.revoke(&id, &ana, false, "again").await, Err(No::Over(_))));
    let (grant, _) = h.desk.show(&id, &ana, false).await.unwrap();
    assert!(grant.record.ended.unwrap().by.starts_with("ruth (https://id#"), "who did it is kept");
}

#[tokio::test]
async fn approvals_of_a_window_are_found_and_revoked_together() {
    let h = Here::new().await;
    let before = h.given(|_| {}).await;
    h.w.pass(HOUR_MS);
    let since = h.w.now();
    let by_rita = h.given(|n| n.asker = person("bob", &[])).await;
    let by_ruth = h.request(|_| {}).await;
    h.say(&by_ruth, Verb::Approve, &["rolf", "ruth"]).await;
    let window = Window { answered_by: "rita".to_owned(), since: Some(since), until: None };
    let ruth = h.w.someone("ruth");
    let ids = |all: Vec<Grant>| all.into_iter().map(|g| g.record.id).collect::<Vec<_>>();
    let found = h.desk.list(&ruth, false, true, Some(&window), None).await.unwrap();
    assert_eq!(ids(found.grants), [by_rita.as_str()]);
    let reviews = h.w.reviews.list(&ruth, false, Some(&window), None).await.unwrap().reviews;
    assert_eq!(reviews.into_iter().map(|r| r.id).collect::<Vec<_>>(), [by_rita.as_str()]);
    let by_id = Window { answered_by: "https://id#sub-rita".to_owned(), ..window };
    let ended = h.desk.revoke_window(&by_id, &ruth, false, "her account was stolen").await.unwrap();
    assert_eq!(ids(ended), [by_rita]);
    h.refresh().await;
    let mut held = h.held(&person("ana", &[]));
    held.sort_unstable();
    assert_eq!(held, [before, by_ruth]);
    assert_eq!(h.held(&person("bob", &[])), [""; 0]);
}

#[tokio::test]
async fn what_is_taken_at_once_is_told_and_reviewed_afterwards() {
    let h = Here::new().await;
    let ana = person("ana", &[]);
    let glass = |n: &mut NewGrant| {
        n.at_once = true;
        n.spec.at_once = true;
    };
    assert!(
        matches!(h.desk.request(h.ask(|n| n.at_once = true)).await, Err(No::TooMuch(_))),
        "the rule does not let it be"
    );
    let first = h.request(glass).await;
    h.refresh().await;
    assert_eq!(h.held(&ana), std::slice::from_ref(&first));
    assert!(h.runs(0, 1, &first).await);
    {
        let told = h.told.0.lock().unwrap();
        assert!(
            told.len() == 1 && told[0].severity == Severity::Critical && told[0].what.contains("ticket 4711"),
            "{told:?}"
        );
    }
    // Until people have looked at it, there is no second one; nor can the asker take the review back.
    assert_eq!(h.desk.request(h.ask(glass)).await.err(), Some(No::Unreviewed(first.clone())));
    assert!(matches!(h.w.reviews.withdraw(&first, &ana).await, Err(No::Over(_))));
    h.say(&first, Verb::Approve, &["rita", "rolf"]).await;
    assert_eq!(h.held(&ana), std::slice::from_ref(&first), "they say that it was right: it goes on");
    assert_eq!(h.w.load(&first).await.status, Status::Used);
    h.w.pass(HOUR_MS);
    assert_eq!(h.held(&ana), [""; 0], "until its time");
    // Somebody says no: it ends there and then.
    let second = h.request(glass).await;
    h.refresh().await;
    assert!(h.runs(0, 2, &second).await);
    h.say(&second, Verb::Deny, &["rita"]).await;
    assert_eq!(h.held(&ana), [""; 0]);
    assert!(h.ends(2));
}

#[tokio::test]
async fn nobody_gets_more_than_the_rules_offer() {
    let h = Here::new().await;
    let wrong: [fn(&mut NewGrant); 7] = [
        |n| n.lasts_s = Some(7201),
        |n| n.lasts_s = Some(0),
        |n| n.uses = Some(0),
        |n| (n.spec.uses_max, n.uses) = (Some(5), Some(6)),
        |n| n.starts_at = Some(Timestamp::from_unix_s(1)),
        |n| n.starts_at = Some(Timestamp::from_unix_s(i64::MAX / 2_000_000)),
        |n| (n.at_once, n.spec.at_once, n.starts_at) = (true, true, Some(Timestamp::from_unix_us(i64::MAX))),
    ];
    for (n, change) in wrong.into_iter().enumerate() {
        let asked = h.desk.request(h.ask(change)).await;
        assert!(matches!(asked, Err(No::TooMuch(_))), "{n}: {asked:?}");
    }
    for reason in ["", "  ", "a\tb", &"x".repeat(1001)] {
        assert!(
            matches!(h.desk.request(h.ask(|n| n.reason = reason.to_owned())).await, Err(No::Reason(_))),
            "{reason:?}"
        );
    }
    let least = h.desk.request(h.ask(|n| (n.spec.uses_max, n.lasts_s) = (Some(5), None))).await.unwrap().record;
    assert_eq!((least.uses_max, least.lasts_us), (Some(5), 7_200_000_000), "what the rule offers, and no more");
}

#[tokio::test]
async fn of_all_that_are_taken_at_the_same_time_one_is() {
    let h = Here::new().await;
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let desk = h.desk.clone();
        let new = h.ask(|n| (n.at_once, n.spec.at_once) = (true, true));
        set.spawn(async move { desk.request(new).await });
    }
    let all = set.join_all().await;
    let (taken, not): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    assert_eq!(taken.len(), 1, "{not:?}");
    let one = taken[0].as_ref().unwrap().record.id.clone();
    assert!(not.iter().all(|no| *no == Err(No::Unreviewed(one.clone()))), "{not:?}");
    h.refresh().await;
    assert_eq!(h.held(&person("ana", &[])), std::slice::from_ref(&one));
    assert_eq!(h.told.0.lock().unwrap().len(), 1, "people are told of what was taken, and of nothing else");
    let asked = h.w.reviews.list(&h.w.someone("rita"), true, None, None).await.unwrap().reviews;
    assert_eq!(asked.into_iter().map(|r| r.id).collect::<Vec<_>>(), [one], "nor are they asked about more");
}

#[tokio::test]
async fn a_use_on_its_way_when_the_grant_is_revoked_does_not_go_on() {
    for uses in [None, Some(9)] {
        let h = Here::new().await;
        let id = h.given(|n| n.uses = uses).await;
        let (session, grants) = (SessionId::from_u128(1), [id.as_str().into()]);
        let taking = h.keepers[0].take(session, &grants, true, h.w.now()).unwrap().unwrap();
        h.desk.revoke(&id, &person("ana", &[]), false, "done").await.unwrap();
        assert!(taking.await.is_err(), "the store knows before this gateway does");
        assert_eq!(h.desk.show(&id, &person("ana", &[]), false).await.unwrap().0.record.uses, 0);
        // Of a grant that is not counted the memory decides: it is good until the next look, and the look ends the session.
        let id = h.given(|_| {}).await;
        assert!(h.runs(0, 2, &id).await);
        h.desk.revoke(&id, &person("ana", &[]), false, "done").await.unwrap();
        h.refresh().await;
        assert!(!h.runs(0, 2, &id).await && h.ends(2));
    }
}

#[tokio::test]
async fn what_is_revoked_before_anybody_said_yes_is_asked_about_no_more() {
    let h = Here::new().await;
    let id = h.request(|_| {}).await;
    h.say(&id, Verb::Approve, &["rita"]).await;
    h.desk.revoke(&id, &h.w.someone("ruth"), false, "not now").await.unwrap();
    let late = h.w.reviews.answer(&id, Verb::Approve, &h.w.someone("rolf"), Said::default()).await;
    assert!(matches!(late, Err(No::Over(_))), "{late:?}");
    h.refresh().await;
    assert_eq!((h.state(&id).await, h.held(&person("ana", &[]))), (GrantState::Ended, vec![]));
    // What was taken at once is to be looked at all the same.
    let glass = h.request(|n| (n.at_once, n.spec.at_once) = (true, true)).await;
    h.desk.revoke(&glass, &person("ana", &[]), false, "done").await.unwrap();
    assert!(h.w.load(&glass).await.status.is_open());
    let again = h.desk.request(h.ask(|n| (n.at_once, n.spec.at_once) = (true, true))).await;
    assert_eq!(again.err(), Some(No::Unreviewed(glass)));
}

#[tokio::test]
async fn a_restart_loses_nothing() {
    let mut h = Here::new().await;
    let ana = person("ana", &[]);
    let used = h.given(|n| n.uses = Some(3)).await;
    assert!(h.runs(0, 1, &used).await && h.runs(1, 1, &used).await);
    let revoked = h.given(|_| {}).await;
    h.desk.revoke(&revoked, &ana, false, "done").await.unwrap();
    // Enough have said yes, and it is not known whether they may: the process ends before it is.
    let approved = h.request(|_| {}).await;
    h.w.people.ended.lock().unwrap().insert("rita".to_owned(), Standing::Unknown);
    h.say(&approved, Verb::Approve, &["rita", "rolf"]).await;
    assert_eq!(h.state(&approved).await, GrantState::Requested);
    h.w.restart().await;
    h.desk = GrantDesk::new(h.w.reviews.clone(), h.told.clone());
    for n in 0..2 {
        h.keepers[n] = GrantKeeper::open(h.w.store.clone(), h.w.now()).await.unwrap();
    }
    assert_eq!(h.held(&ana), std::slice::from_ref(&used));
    h.w.people.ended.lock().unwrap().clear();
    h.desk.maintain().await;
    h.refresh().await;
    let held: BTreeSet<String> = h.held(&ana).into_iter().collect();
    assert_eq!(held, BTreeSet::from([used.clone(), approved]));
    assert!(h.runs(1, 2, &used).await && !h.runs(0, 3, &used).await, "two uses of three were before");
}

#[tokio::test]
async fn what_cannot_be_read_any_more_is_nobodys_after_the_lease() {
    let h = Here::new().await;
    let ana = person("ana", &[]);
    let id = h.given(|_| {}).await;
    assert!(h.runs(0, 1, &id).await);
    h.refresh().await;
    tokio::time::pause();
    tokio::time::advance(GRANT_LEASE - GRANT_POLL).await;
    assert_eq!(h.held(&ana), std::slice::from_ref(&id));
    assert!(!h.ends(1));
    tokio::time::advance(GRANT_POLL).await;
    assert_eq!(h.held(&ana), [""; 0]);
    assert!(h.keepers[0].take(SessionId::from_u128(1), &[id.as_str().into()], true, h.w.now()).is_err());
    h.keepers[0].look(h.w.now());
    assert!(h.ends(1), "the session that lived by it");
    tokio::time::resume();
    h.refresh().await;
    assert_eq!(h.held(&ana), [id], "it is read again");
    assert!(h.ends(1), "and what was to end ends");
}

#[tokio::test]
async fn sessions_that_live_by_grants_have_a_limit_and_those_that_are_over_do_not_count() {
    let h = Here::new().await;
    let id = h.given(|_| {}).await;
    assert!(h.runs(0, 0, &id).await);
    let grants = [Arc::<str>::from(id.as_str())];
    let begins = |n: usize| h.keepers[0].take(SessionId::from_u128(n as u128), &grants, false, h.w.now());
    for n in 1..LIVING_MAX {
        assert!(begins(n).is_ok(), "{n}");
    }
    let one_more = begins(LIVING_MAX).err().map(|denial| denial.code);
    assert_eq!(one_more, Some(DenialCode::Busy));
    assert!(begins(0).is_ok(), "one that is there goes on");
    h.keepers[0].leave(SessionId::from_u128(7));
    assert!(begins(LIVING_MAX).is_ok());
    let seen = h.keepers[0].changed(u64::MAX).await;
    h.keepers[0].look(h.w.now());
    h.desk.revoke(&id, &person("ana", &[]), false, "done").await.unwrap();
    h.refresh().await;
    let told = h.keepers[0].changed(seen).await;
    h.keepers[0].look(h.w.now());
    assert_eq!((told, h.keepers[0].changed(u64::MAX).await), (seen + 1, seen + 1), "told once");
    assert!(!h.ends(7) && h.ends(8));
}
