//! Attacks on approvals, on the real store: each with a control that shows that the honest way works.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod world;

use std::time::Duration;

use countersign_approvals::{HELD_MAX, No, OPEN_OF_ASKER_MAX, Review, Said, Status, Verb};
use countersign_enforce::{Leaving, ReviewEnd, ReviewEvent, Standing, binding};
use countersign_model::{Actor, IdentityKind};

use world::{World, denied, person, through};

/// Everybody says yes who must.
async fn approve(w: &World, id: &str, who: &[&str]) -> Vec<Result<Review, No>> {
    let mut said = Vec::new();
    for name in who {
        said.push(w.reviews.answer(id, Verb::Approve, &w.someone(name), Said::default()).await);
    }
    said
}

#[tokio::test]
async fn the_honest_way_works_once() {
    let w = World::new().await;
    let mut held = w.ask("update t", b"1", 1).await;
    let id = held.opened().await;
    approve(&w, &id, &["rita", "rolf"]).await.into_iter().for_each(|r| drop(r.unwrap()));
    let approval = held.approved().await;
    assert_eq!(approval.review, id);
    assert_eq!(approval.binding, binding(held.question.action, held.question.session, approval.expires_at));
    let mut names: Vec<&str> = approval.by.iter().map(|a| a.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["rita", "rolf"]);
    let review = w.load(&id).await;
    assert_eq!(review.status, Status::Used);
}

#[tokio::test]
async fn a_swapped_bind_is_another_action() {
    let w = World::new().await;
    let mut held = w.ask("update t set a = $1", b"1", 1).await;
    let id = held.opened().await;
    approve(&w, &id, &["rita", "rolf"]).await;
    held.review.take().unwrap().leave(Leaving::Left);
    w.until(&id, |r| r.session.is_none() || r.status == Status::Used).await;
    // The same session, or another one, with one bind changed: nobody has approved that.
    for (parameters, session) in [(&b"2"[..], 1), (b"2", 2), (b"", 3), (b"1\0", 4)] {
        let mut other = w.ask("update t set a = $1", parameters, session).await;
        assert_ne!(other.opened().await, id, "{parameters:?}");
        other.still_waits().await;
    }
    let (target, account) = (w.ask_with(5, |f| f.part = "other").await, w.ask_with(6, |f| f.account = "root").await);
    let (path, text) =
        (w.ask_with(7, |f| f.settings = b"evil").await, w.ask_with(8, |f| f.text = b"delete from t").await);
    for mut other in [target, account, path, text] {
        assert_ne!(other.opened().await, id);
        other.still_waits().await;
    }
}

#[tokio::test]
async fn an_approval_is_not_replayed() {
    let w = World::new().await;
    let mut held = w.ask("update t", b"1", 1).await;
    let id = held.opened().await;
    approve(&w, &id, &["rita", "rolf"]).await;
    held.approved().await;
    for session in [1, 2] {
        let mut again = w.ask("update t", b"1", session).await;
        assert_ne!(again.opened().await, id);
        again.still_waits().await;
    }
    let late = w.reviews.answer(&id, Verb::Approve, &w.someone("ruth"), Said::default()).await;
    assert!(matches!(late, Err(No::Over(_))), "{late:?}");
    // A version that was read before it was used cannot be used again either.
    let review = w.load(&id).await;
    let bound = review.binding().unwrap();
    assert!(review.redeem(held.question.session, bound, &|_| true, w.now()).is_err());
}

#[tokio::test]
async fn nobody_approves_their_own_nor_does_a_delegate_on_either_side() {
    let w = World::new().await;
    let ana = person("ana", &["dba", "security"]);
    let copilot = Actor { kind: IdentityKind::Agent, ..through("copilot") };
    let mut delegated = ana.clone();
    delegated.delegation = vec![copilot.clone()];
    let mut bot = person("copilot", &["dba"]);
    bot.kind = IdentityKind::Agent;
    let mut for_ana = person("rita", &["dba"]);
    for_ana.delegation = vec![through("ana")];
    let mut by_copilot = person("rita", &["dba"]);
    by_copilot.delegation = vec![copilot];
    let mut machine = person("robot", &["dba"]);
    machine.kind = IdentityKind::Machine;

    let direct = w.ask_as(ana.clone(), 1).await;
    let through_agent = w.ask_as(delegated.clone(), 2).await;
    for mut held in [direct, through_agent] {
        let id = held.opened().await;
        let has_agent = !held.question.identity.delegation.is_empty();
        let mut tried = vec![(&ana, No::OwnRequest), (&delegated, No::OwnRequest), (&for_ana, No::OwnRequest)];
        tried.push((&bot, if has_agent { No::OwnRequest } else { No::NotAPerson }));
        tried.push((&by_copilot, if has_agent { No::OwnRequest } else { No::NotAPerson }));
        tried.push((&machine, No::NotAPerson));
        for (who, expected) in tried {
            for verb in [Verb::Approve, Verb::Deny] {
                let said = w.reviews.answer(&id, verb, who, Said::default()).await;
                assert_eq!(said.err(), Some(expected.clone()), "{} {:?}", who.name, who.delegation);
            }
        }
        assert!(w.load(&id).await.answers.is_empty());
        // Another subject of the same name, and the same subject of another issuer, are others.
        let mut namesake = person("ana", &["dba"]);
        namesake.issuer = "https://other".to_owned();
        w.reviews.answer(&id, Verb::Approve, &namesake, Said::default()).await.unwrap();
        approve(&w, &id, &["rita"]).await[0].as_ref().unwrap();
        held.approved().await;
    }
}

#[tokio::test]
async fn one_person_in_three_groups_counts_once() {
    let w = World::new().await;
    let mut held = w.ask_of(&[("dba", 1), ("security", 1), ("lead", 1)], 1).await;
    let id = held.opened().await;
    let everything = person("eve", &["dba", "security", "lead"]);
    w.reviews.answer(&id, Verb::Approve, &everything, Said::default()).await.unwrap();
    for _ in 0..3 {
        let again = w.reviews.answer(&id, Verb::Approve, &everything, Said::default()).await;
        assert_eq!(again.err(), Some(No::Twice));
    }
    // Another login, or other groups by now, do not make another person.
    let mut elsewhere = person("eve", &["lead"]);
    elsewhere.login = Some("another".to_owned());
    assert_eq!(w.reviews.answer(&id, Verb::Approve, &elsewhere, Said::default()).await.err(), Some(No::Twice));
    held.still_waits().await;
    assert_eq!(w.load(&id).await.status, Status::Pending);
    for (name, group) in [("dan", "dba"), ("lea", "lead")] {
        w.reviews.answer(&id, Verb::Approve, &person(name, &[group]), Said::default()).await.unwrap();
    }
    assert_eq!(held.approved().await.by.len(), 3, "eve is security's");
}

#[tokio::test]
async fn a_yes_at_the_last_moment_is_not_used_after_it() {
    let w = World::new().await;
    let mut held = w.ask("update t", b"1", 1).await;
    let id = held.opened().await;
    approve(&w, &id, &["rita"]).await;
    w.pass(899_999);
    approve(&w, &id, &["rolf"]).await[0].as_ref().unwrap();
    w.pass(2);
    // Whether the session looks before or after that moment: it never goes on after it.
    match held.last().await {
        ReviewEvent::Approved(approval) => assert!(approval.expires_at > w.used_at(&id).await, "used in time"),
        ReviewEvent::Refused(refusal) => assert_eq!(refusal.end, ReviewEnd::Expired),
        ReviewEvent::Opened(_) => panic!("twice"),
    }
    let late = w.reviews.answer(&id, Verb::Approve, &w.someone("ruth"), Said::default()).await;
    assert!(matches!(late, Err(No::Over(_))), "{late:?}");
    let mut held = w.ask("update u", b"1", 2).await;
    let id = held.opened().await;
    w.pass(900_000);
    let late = w.reviews.answer(&id, Verb::Approve, &w.someone("rita"), Said::default()).await;
    assert!(matches!(late, Err(No::Over(_))), "{late:?}");
    assert_eq!(held.refused().await.end, ReviewEnd::Expired);
}

#[tokio::test]
async fn a_restart_in_between_gives_the_retry_one_run() {
    let mut w = World::new().await;
    let held = w.ask("update t", b"1", 1).await;
    let mut held = held;
    let id = held.opened().await;
    approve(&w, &id, &["rita"]).await;
    // The process dies: nobody tells the store.
    std::mem::forget(held.review.take());
    w.restart().await;
    approve(&w, &id, &["rolf"]).await[0].as_ref().unwrap();
    assert_eq!(w.load(&id).await.status, Status::Approved);
    let mut another = w.ask_as(person("bob", &[]), 9).await;
    assert_ne!(another.opened().await, id, "the same action of somebody else");
    // Two retries at once: one takes it up.
    let (mut a, mut b) = tokio::join!(w.ask("update t", b"1", 2), w.ask("update t", b"1", 3));
    let (first, second) = (a.opened().await, b.opened().await);
    assert!((first == id) != (second == id), "{first} {second} {id}");
    let (mut winner, mut loser) = if first == id { (a, b) } else { (b, a) };
    let approval = winner.approved().await;
    assert_eq!(approval.binding, binding(winner.question.action, winner.question.session, approval.expires_at));
    loser.still_waits().await;
}

#[tokio::test]
async fn of_two_who_answer_at_the_same_instant_none_is_lost_and_it_is_used_once() {
    for _ in 0..10 {
        let w = World::new().await;
        let mut held = w.ask("update t", b"1", 1).await;
        let id = held.opened().await;
        let (rita, rolf, ruth) = (w.someone("rita"), w.someone("rolf"), w.someone("ruth"));
        let (a, b) = tokio::join!(
            w.reviews.answer(&id, Verb::Approve, &rita, Said::default()),
            w.second.answer(&id, Verb::Approve, &rolf, Said::default())
        );
        a.unwrap();
        b.unwrap();
        assert_eq!(held.approved().await.by.len(), 2);
        // A yes and a no: the no counts.
        let mut held = w.ask("update u", b"1", 2).await;
        let id = held.opened().await;
        approve(&w, &id, &["rita"]).await;
        let (a, b) = tokio::join!(
            w.reviews.answer(&id, Verb::Deny, &rolf, Said { comment: Some("no"), ..Said::default() }),
            w.second.answer(&id, Verb::Approve, &ruth, Said::default())
        );
        match (a, b) {
            (Ok(_), _) => assert_eq!(denied(held.last().await), ("rolf".to_owned(), Some("no".to_owned()))),
            (Err(No::Over(_)), Ok(_)) => drop(held.approved().await),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_revoked_approver_does_not_count() {
    let w = World::new().await;
    let mut held = w.ask("update t", b"1", 1).await;
    let id = held.opened().await;
    approve(&w, &id, &["rita"]).await;
    w.people.ended.lock().unwrap().insert("rita".to_owned(), Standing::Ended(World::denial()));
    approve(&w, &id, &["rolf"]).await[0].as_ref().unwrap();
    held.still_waits().await;
    let review = w.load(&id).await;
    assert_eq!((review.status, review.approvers().len()), (Status::Pending, 1));
    // Nobody can tell whether ruth still stands: that is no yes, and no no either.
    w.people.ended.lock().unwrap().insert("ruth".to_owned(), Standing::Unknown);
    approve(&w, &id, &["ruth"]).await[0].as_ref().unwrap();
    held.still_waits().await;
    w.people.ended.lock().unwrap().remove("ruth");
    let by = held.approved().await.by;
    assert!(by.iter().all(|a| a.name != "rita"), "{by:?}");
}

#[tokio::test]
async fn a_lock_on_where_a_yes_came_from_takes_it_back() {
    let w = World::new().await;
    let mut held = w.ask("update t", b"1", 1).await;
    let id = held.opened().await;
    let (stolen, office) = ("192.0.2.1:5".parse().unwrap(), "198.51.100.1:5".parse().unwrap());
    let from = |source| Said { source: Some(source), ..Said::default() };
    w.reviews.answer(&id, Verb::Approve, &w.someone("rita"), from(stolen)).await.unwrap();
    *w.people.locked.lock().unwrap() = Some(stolen);
    w.second.answer(&id, Verb::Approve, &w.someone("rolf"), from(office)).await.unwrap();
    held.still_waits().await;
    let review = w.load(&id).await;
    assert_eq!((review.status, review.approvers().len()), (Status::Pending, 1), "rolf's alone");
    w.reviews.answer(&id, Verb::Approve, &w.someone("rita"), from(office)).await.unwrap();
    assert_eq!(held.approved().await.by.len(), 2, "rita said it again, from elsewhere");
}

#[tokio::test]
async fn who_is_not_asked_learns_nothing() {
    let w = World::new().await;
    let mut held = w.ask("update t", b"1", 1).await;
    let id = held.opened().await;
    let stranger = person("mona", &["marketing"]);
    assert_eq!(w.reviews.show(&id, &stranger).await.err(), Some(No::Unknown));
    assert_eq!(w.reviews.show("01J", &stranger).await.err(), Some(No::Unknown));
    for verb in [Verb::Approve, Verb::Deny, Verb::Comment] {
        assert_eq!(
            w.reviews.answer(&id, verb, &stranger, Said { comment: Some("x"), ..Said::default() }).await.err(),
            Some(No::Unknown)
        );
    }
    assert_eq!(w.reviews.withdraw(&id, &stranger).await.err(), Some(No::Unknown));
    assert_eq!(w.reviews.withdraw(&id, &w.someone("rita")).await.err(), Some(No::NotYours));
    assert!(w.reviews.list(&stranger, false, None, None).await.unwrap().reviews.is_empty());
    assert_eq!(w.reviews.list(&w.someone("rita"), true, None, None).await.unwrap().reviews.len(), 1);
    assert_eq!(w.reviews.list(&person("ana", &[]), true, None, None).await.unwrap().reviews.len(), 1);
    let bent = w
        .reviews
        .answer(&id, Verb::Approve, &w.someone("rita"), Said { action: Some(&"0".repeat(64)), ..Said::default() })
        .await;
    assert_eq!(bent.err(), Some(No::Changed));
    let action = held.question.action.to_string();
    w.reviews
        .answer(&id, Verb::Approve, &w.someone("rita"), Said { action: Some(&action), ..Said::default() })
        .await
        .unwrap();
}

#[tokio::test]
async fn who_leaves_takes_it_back_and_who_floods_waits() {
    let w = World::new().await;
    let mut held = w.ask("update t", b"1", 1).await;
    let id = held.opened().await;
    drop(held.review.take());
    w.until(&id, |r| r.status == Status::Withdrawn).await;
    assert!(matches!(approve(&w, &id, &["rita"]).await[0], Err(No::Over(_))));

    let mut all = Vec::new();
    for n in 0..u128::from(OPEN_OF_ASKER_MAX) {
        let mut held = w.ask("update t", &n.to_be_bytes(), n).await;
        held.opened().await;
        all.push(held);
    }
    let mut more = w.ask("update t", b"more", 1000).await;
    assert_eq!(more.refused().await.end, ReviewEnd::Full);
    w.ask_as(person("bob", &[]), 1001).await.opened().await;
    assert!(all.len() < HELD_MAX);
    for text in [vec![b'x'; 70_000], vec![0xff, 0xfe]] {
        let mut odd = w.ask_with(2000, |f| f.text = Box::leak(text.into_boxed_slice())).await;
        assert_eq!(odd.refused().await.end, ReviewEnd::Unshowable);
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_asked_approves_nothing() {
    let w = World::new().await;
    let mut held = w.ask("update t", b"1", 1).await;
    let id = held.opened().await;
    approve(&w, &id, &["rita"]).await;
    w.store.close().await;
    let said = approve(&w, &id, &["rolf"]).await;
    assert!(matches!(said[0], Err(No::Unavailable(_))), "{said:?}");
    held.still_waits().await;
    w.pass(900_000);
    assert!(matches!(held.refused().await.end, ReviewEnd::Unavailable | ReviewEnd::Expired));
    let mut more = w.ask("update u", b"1", 2).await;
    assert_eq!(more.refused().await.end, ReviewEnd::Unavailable);
    tokio::time::sleep(Duration::from_millis(1)).await;
}
