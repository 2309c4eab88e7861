//! Requests in any order, at two gateways.

use countersign_identity::local::CLI_CLIENT_ID;
use proptest::prelude::*;
use serde_json::Value;

use crate::world::*;

/// Something that somebody may do in any order.
#[derive(Clone, Debug)]
enum Act {
    Redeem(usize),
    RedeemWrongly(usize),
    RedeemTwiceAtOnce(usize),
    Poll(usize),
    PollTwiceAtOnce(usize),
    Type(usize),
    Allow(usize),
    Refuse(usize),
    Wait(i64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let which = 0..2_usize;
    let one = prop_oneof![
        which.clone().prop_map(Act::Redeem),
        which.clone().prop_map(Act::RedeemWrongly),
        which.clone().prop_map(Act::RedeemTwiceAtOnce),
        which.clone().prop_map(Act::Poll),
        which.clone().prop_map(Act::PollTwiceAtOnce),
        which.clone().prop_map(Act::Type),
        which.clone().prop_map(Act::Allow),
        which.prop_map(Act::Refuse),
        (0..40_i64).prop_map(Act::Wait),
    ];
    proptest::collection::vec(one, 0..16)
}

fn count(replies: &[Value], given: &mut Vec<String>) {
    given.extend(replies.iter().filter_map(|r| r["access_token"].as_str()).map(str::to_owned));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// No order of requests, at two gateways, gives two answers with tokens for one code or for one device; and after a second use
    /// nothing that was given is good.
    #[test]
    fn adv_084_no_order_of_requests_gives_tokens_twice(acts in acts()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(play(acts));
    }
}

async fn play(acts: Vec<Act>) {
    let (a, b) = two_houses().await;
    let (mut codes, mut devices) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        codes.push(code(&a, ALL, 0).await);
        let asked = ask(&a, 0).await;
        devices.push((text(&asked["device_code"]), text(&asked["user_code"])));
    }
    let (mut of_codes, mut of_devices) = (vec![Vec::new(), Vec::new()], vec![Vec::new(), Vec::new()]);
    let (mut pages, mut browser, mut s) = ([None, None], Browser::default(), 1);
    // At the end everything is tried twice at once, so that no order leaves that out.
    let end = (0..2).flat_map(|n| [Act::RedeemTwiceAtOnce(n), Act::Type(n), Act::Allow(n), Act::PollTwiceAtOnce(n)]);
    for act in acts.into_iter().chain(end) {
        match act {
            Act::Redeem(n) => count(&[json(&redeem(&a, &codes[n], s).await)], &mut of_codes[n]),
            Act::RedeemWrongly(n) => {
                let fields = [
                    ("grant_type", "authorization_code"),
                    ("client_id", CLI_CLIENT_ID),
                    ("code", codes[n].as_str()),
                    ("redirect_uri", CALLBACK),
                    ("code_verifier", "not-the-verifier-not-the-verifier-not-the-verifier"),
                ];
                count(&[json(&token(&b, &fields, s).await)], &mut of_codes[n]);
            }
            Act::RedeemTwiceAtOnce(n) => {
                let (x, y) = tokio::join!(redeem(&a, &codes[n], s), redeem(&b, &codes[n], s));
                count(&[json(&x), json(&y)], &mut of_codes[n]);
            }
            Act::Poll(n) => count(&[poll(&b, &devices[n].0, s).await], &mut of_devices[n]),
            Act::PollTwiceAtOnce(n) => {
                let (x, y) = tokio::join!(poll(&a, &devices[n].0, s), poll(&b, &devices[n].0, s));
                count(&[x, y], &mut of_devices[n]);
            }
            Act::Type(n) => pages[n] = Some(browser.type_code(&a, &devices[n].1, s).await),
            Act::Allow(n) => {
                if let Some(page) = &pages[n] {
                    browser.answer(&b, page, "ana", PASSWORD, "allow", s).await;
                }
            }
            Act::Refuse(n) => {
                if let Some(page) = &pages[n] {
                    browser.answer(&a, page, "", "", "refuse", s).await;
                }
            }
            Act::Wait(more) => s += more,
        }
    }
    for n in 0..2 {
        assert!(of_codes[n].len() <= 1, "code {n}");
        assert!(of_devices[n].len() <= 1, "device {n}");
        // One more use of each: it gives nothing, and ends what was given.
        assert!(json(&redeem(&b, &codes[n], s).await)["access_token"].is_null() || of_codes[n].is_empty());
        redeem(&a, &codes[n], s).await;
        for token in &of_codes[n] {
            assert_ne!(accepted(&a, token, s).await, "ok");
        }
        if let Some(token) = of_devices[n].first() {
            assert!(poll(&a, &devices[n].0, s).await["access_token"].is_null());
            assert_ne!(accepted(&b, token, s).await, "ok");
        }
    }
}
