//! Devices, and the page on which a person answers them.

use countersign_identity::local::{CLI_CLIENT_ID, DEVICE_LIFETIME_S};

use crate::world::*;

const DEVICE_TWICE: &str = "a device code was used a second time";

#[tokio::test]
async fn adv_084_a_device_is_signed_in_once() {
    let (house, other) = two_houses().await;
    let asked = ask(&house, 0).await;
    assert_eq!(asked["verification_uri"], format!("{ISSUER}/device"));
    assert_eq!(asked["verification_uri_complete"], format!("{ISSUER}/device?user_code={}", text(&asked["user_code"])));
    let (device, user) = (text(&asked["device_code"]), text(&asked["user_code"]));
    assert_eq!(poll(&house, &device, 1).await["error"], "authorization_pending");
    assert_eq!(poll(&other, &device, 5).await["error"], "slow_down", "four seconds later");
    assert_eq!(poll(&house, &device, 14).await["error"], "slow_down", "the wait has grown to ten");
    assert_eq!(poll(&house, &device, 29).await["error"], "authorization_pending");

    let mut browser = Browser::default();
    let page = browser.type_code(&house, &user.to_lowercase().replace('-', " "), 130).await;
    for told in [
        CLI_CLIENT_ID,
        "192.0.2.7 (the same as yours)",
        "2 minutes ago",
        &user,
        "Go on only if you started this yourself",
    ] {
        assert!(page.body.contains(told), "{told}: {}", page.body);
    }
    let wrong = browser.answer(&house, &page, "ana", "wrong password", "allow", 130).await;
    assert_eq!(wrong.status, 403);
    assert_eq!(poll(&house, &device, 130).await["error"], "authorization_pending");
    // The page comes from one gateway, its answer goes to another.
    let done = browser.answer(&other, &page, "ana", PASSWORD, "allow", 131).await;
    assert!(done.status == 200 && done.body.contains("is signed in"), "{}", done.body);
    assert_eq!(browser.type_code(&house, &user, 132).await.status, 403, "the code is used");
    assert_eq!(browser.answer(&house, &page, "bo", PASSWORD, "allow", 132).await.status, 403);

    let given = poll(&house, &device, 133).await;
    let access = text(&given["access_token"]);
    assert_eq!(house.auth.verify(&access, at(133)).await.unwrap().name, "ana");
    assert_eq!(poll(&other, &device, 140).await["error"], "invalid_grant");
    assert_eq!(house.alarms.heard(), [DEVICE_TWICE]);
    assert_eq!(accepted(&house, &access, 140).await, "account_ended");
}

#[tokio::test]
async fn a_device_may_be_refused_forgotten_or_guessed_at() {
    let house = house().await;
    let asked = ask(&house, 0).await;
    let (device, user) = (text(&asked["device_code"]), text(&asked["user_code"]));
    let mut browser = Browser::default();
    let page = browser.type_code(&house, &user, 1).await;
    assert!(browser.answer(&house, &page, "", "", "refuse", 1).await.body.contains("was refused"));
    assert_eq!(poll(&house, &device, 2).await["error"], "access_denied");
    assert_eq!(browser.answer(&house, &page, "ana", PASSWORD, "allow", 3).await.status, 403);
    assert_eq!(poll(&house, &device, 20).await["error"], "access_denied");

    let asked = ask(&house, 0).await;
    let lifetime_s = i64::try_from(DEVICE_LIFETIME_S).unwrap();
    assert_eq!(browser.type_code(&house, &text(&asked["user_code"]), lifetime_s - 1).await.status, 200);
    assert_eq!(browser.type_code(&house, &text(&asked["user_code"]), lifetime_s).await.status, 403);
    assert_eq!(poll(&house, &text(&asked["device_code"]), lifetime_s).await["error"], "expired_token");
    assert_eq!(poll(&house, "never-was-one", lifetime_s).await["error"], "invalid_grant");

    let asked = ask(&house, 1000).await;
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", "console"),
        ("client_secret", CLIENT_SECRET),
        ("device_code", asked["device_code"].as_str().unwrap()),
    ];
    assert_eq!(json(&token(&house, &fields, 1000).await)["error"], "invalid_grant", "another client's");
    for _ in 0..10 {
        assert_eq!(browser.type_code(&house, "BBBB-BBBB", 1000).await.status, 403);
    }
    let slowed = browser.type_code(&house, &text(&asked["user_code"]), 1000).await;
    assert_eq!((slowed.status, header(&slowed, "retry-after")), (429, "30"));
    assert_eq!(browser.type_code(&house, &text(&asked["user_code"]), 1030).await.status, 200);
    let mut answers = Vec::new();
    for _ in 0..21 {
        answers.push(ask(&house, 2000).await);
    }
    assert!(answers[19]["user_code"].is_string() && answers[20]["error"] == "slow_down", "{:?}", &answers[19..]);
    assert_eq!(house.alarms.heard(), [""; 0]);
}
