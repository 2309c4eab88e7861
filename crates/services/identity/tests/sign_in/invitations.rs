//! Sign-ins that the gateway asks for itself, for connections without a browser.

use std::net::SocketAddr;

use countersign_enforce::{Invitation, SignIns as _};
use countersign_identity::local::DEVICE_LIFETIME_S;
use countersign_model::Secret;

use crate::world::*;

/// The name that it asks under.
const GATEWAY: &str = "countersign-gateway";

fn from() -> SocketAddr {
    SocketAddr::new(source(), 40_000)
}

async fn invite(house: &House, s: i64) -> Result<Invitation, String> {
    let invited = house.issuer.invite("open web-1 by SSH as ana <b>\u{202e}\n", from(), at(s)).await;
    invited.map_err(|denial| denial.message.as_str().to_owned())
}

async fn said(house: &House, ticket: &Secret, s: i64) -> Result<Option<String>, String> {
    let answer = house.issuer.answer(ticket, at(s)).await;
    answer
        .map(|token| token.map(|t| t.expose_str().unwrap().to_owned()))
        .map_err(|denial| denial.message.as_str().to_owned())
}

#[tokio::test]
async fn adv_084_an_invitation_lets_one_person_in_once() {
    let (house, other) = two_houses().await;
    let invitation = invite(&house, 0).await.unwrap();
    assert_eq!(invitation.page, format!("{ISSUER}/device?user_code={}", invitation.code));
    assert_eq!(invitation.lifetime_s, DEVICE_LIFETIME_S);
    assert!(!format!("{invitation:?}").contains(invitation.ticket.expose_str().unwrap()));
    // Asking often costs nothing and gives nothing.
    for s in [1, 1, 2, 3] {
        assert_eq!(said(&house, &invitation.ticket, s).await, Ok(None));
    }
    let mut browser = Browser::default();
    let page = browser.type_code(&other, &invitation.code, 60).await;
    for told in [GATEWAY, "192.0.2.7", "open web-1 by SSH as ana &lt;b&gt;", &invitation.code] {
        assert!(page.body.contains(told), "{told}: {}", page.body);
    }
    let done = browser.answer(&other, &page, "ana", PASSWORD, "allow", 61).await;
    assert!(done.status == 200 && done.body.contains("is signed in"), "{}", done.body);
    let token = said(&house, &invitation.ticket, 62).await.unwrap().unwrap();
    assert_eq!(house.auth.verify(&token, at(62)).await.unwrap().name, "ana");
    // Whoever had the ticket as well gets nothing, and what was given ends: somebody has what never leaves the process.
    assert!(said(&other, &invitation.ticket, 63).await.unwrap_err().contains("not good any more"));
    assert_eq!(accepted(&house, &token, 63).await, "account_ended");
}

#[tokio::test]
async fn an_invitation_may_be_refused_forgotten_or_made_up() {
    let house = house().await;
    let invitation = invite(&house, 0).await.unwrap();
    let mut browser = Browser::default();
    let page = browser.type_code(&house, &invitation.code, 1).await;
    browser.answer(&house, &page, "", "", "refuse", 1).await;
    assert!(said(&house, &invitation.ticket, 2).await.unwrap_err().contains("refused in the browser"));

    let invitation = invite(&house, 0).await.unwrap();
    let lifetime_s = i64::try_from(DEVICE_LIFETIME_S).unwrap();
    assert_eq!(said(&house, &invitation.ticket, lifetime_s - 1).await, Ok(None));
    assert!(said(&house, &invitation.ticket, lifetime_s).await.unwrap_err().contains("not answered in time"));
    assert!(said(&house, &Secret::from("never-was-one".to_owned()), 1).await.is_err());

    // No program asks in the gateway's name, nor takes what a person said to it, nor the other way round.
    let body = encode(&[("client_id", GATEWAY), ("scope", "openid")]);
    let asked = house.issuer.device_authorization(post(None, &body), at(1)).await;
    assert_eq!((asked.status, json(&asked)["error"].as_str()), (401, Some("invalid_client")));
    let invitation = invite(&house, 1).await.unwrap();
    let ticket = invitation.ticket.expose_str().unwrap();
    assert_eq!(poll(&house, ticket, 2).await["error"], "invalid_grant");
    let asked = ask(&house, 2).await;
    let device = Secret::from(text(&asked["device_code"]));
    assert!(said(&house, &device, 3).await.is_err());
}

#[tokio::test]
async fn adv_084_invitations_of_one_network_are_limited() {
    let house = house().await;
    let mut refused = None;
    for n in 0..=20 {
        refused = invite(&house, 0).await.err().map(|why| (n, why));
    }
    let (n, why) = refused.unwrap();
    assert!(n == 20 && why.contains("too many") && why.contains("10 seconds"), "{n}: {why}");
    assert!(invite(&house, 10).await.is_ok());
}
