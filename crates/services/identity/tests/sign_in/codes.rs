//! Codes, pages, refresh tokens, revocation.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign_identity::local::{AccountStore as _, CLI_CLIENT_ID, CODE_LIFETIME_S, FORM_BYTES_MAX, PageRequest};
use countersign_model::{IdentityKind, Secret};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::world::{self, *};

const CODE_TWICE: &str = "an authorization code was used a second time";
const CODE_STOLEN: &str = "an authorization code was presented by somebody who did not ask for it";
const REFRESH_TWICE: &str = "a refresh token was used a second time";

fn claims(token: &Value) -> (Value, Value) {
    let part = |n| {
        let bytes = URL_SAFE_NO_PAD.decode(token.as_str().unwrap().split('.').nth(n).unwrap()).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    (part(0), part(1))
}

#[tokio::test]
async fn a_person_signs_in_and_the_client_learns_who_it_is() {
    let house = house().await;
    let mut browser = Browser::default();
    let back = browser.sign_in(&house, &query_of(ALL), "ana", PASSWORD, 0).await;
    assert_eq!((back.status, header(&back, "cache-control")), (303, "no-store"));
    assert!(header(&back, "location").starts_with(&format!("{CALLBACK}?code=")), "{back:?}");
    assert_eq!(sent_back(&back, "state").as_deref(), Some("a state & more"));
    assert_eq!(sent_back(&back, "iss").as_deref(), Some(ISSUER), "RFC 9207");

    let reply = redeem(&house, &sent_back(&back, "code").unwrap(), 1).await;
    assert_eq!((reply.status, header(&reply, "cache-control")), (200, "no-store"), "{}", reply.body);
    let answer = json(&reply);
    assert_eq!(
        (&answer["token_type"], &answer["expires_in"], &answer["scope"]),
        (&"Bearer".into(), &TOKEN_S.into(), &ALL.into())
    );
    let ana = house.auth.verify(answer["access_token"].as_str().unwrap(), at(1)).await.unwrap();
    assert_eq!((ana.name.as_str(), ana.kind), ("ana", IdentityKind::Human));
    assert_eq!(ana.groups.iter().collect::<Vec<_>>(), ["analysts"]);

    let (access_head, access) = claims(&answer["access_token"]);
    let (id_head, id) = claims(&answer["id_token"]);
    assert_eq!((&access_head["typ"], &id_head["typ"]), (&"at+jwt".into(), &"JWT".into()));
    assert_eq!((&access["aud"], &access["client_id"]), (&"countersign".into(), &CLI_CLIENT_ID.into()));
    assert_eq!((&id["iss"], &id["aud"], &id["sub"]), (&ISSUER.into(), &CLI_CLIENT_ID.into(), &access["sub"]));
    assert_eq!((&id["nonce"], &id["auth_time"]), (&"n-1".into(), &at(0).unix_s().into()));
    let half = &Sha256::digest(answer["access_token"].as_str().unwrap())[..16];
    assert_eq!(id["at_hash"], URL_SAFE_NO_PAD.encode(half));
    assert_eq!(accepted(&house, id_token(&answer), 1).await, "type", "an ID token is no access token");

    // Only what was asked for.
    for (scope, id, refresh) in [("", false, false), ("openid", true, false), ("offline_access unknown", false, true)] {
        let answer = json(&redeem(&house, &code(&house, scope, 2).await, 2).await);
        assert_eq!((answer["id_token"].is_string(), answer["refresh_token"].is_string()), (id, refresh), "{scope}");
    }
    assert_eq!(house.alarms.heard(), [""; 0]);
}

fn id_token(answer: &Value) -> &str {
    answer["id_token"].as_str().unwrap()
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_to_the_person_or_to_the_client() {
    let house = house().await;
    let with = |name: &str, value: Option<&str>| {
        let query = query_of("openid");
        let mut fields: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        match value {
            Some(value) => fields.insert(name.to_owned(), value.to_owned()),
            None => fields.remove(name),
        };
        form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
    };
    let long = "x".repeat(2049);
    for (what, query, want) in [
        ("fine", with("prompt", Some("login")), "page"),
        ("no client", with("client_id", None), "told"),
        ("another client", with("client_id", Some("nobody")), "told"),
        ("no redirect URI", with("redirect_uri", None), "told"),
        ("another redirect URI", with("redirect_uri", Some("https://evil.example/callback")), "told"),
        ("another client's redirect URI", with("redirect_uri", Some("https://console.example/back?x=1")), "told"),
        ("a field twice", format!("{}&client_id=nobody", query_of("openid")), "told"),
        ("too long", format!("{}&x={}", query_of("openid"), "x".repeat(FORM_BYTES_MAX)), "told"),
        ("another response type", with("response_type", Some("token")), "unsupported_response_type"),
        ("a hybrid response type", with("response_type", Some("code id_token")), "unsupported_response_type"),
        ("no response type", with("response_type", None), "invalid_request"),
        ("a fragment", with("response_mode", Some("fragment")), "invalid_request"),
        ("no challenge", with("code_challenge", None), "invalid_request"),
        ("plain PKCE", with("code_challenge_method", Some("plain")), "invalid_request"),
        ("no method, which means plain", with("code_challenge_method", None), "invalid_request"),
        ("a short challenge", with("code_challenge", Some("short")), "invalid_request"),
        ("nobody to ask", with("prompt", Some("none")), "login_required"),
        ("a request object", with("request", Some("eyJ")), "request_not_supported"),
        ("a request by reference", with("request_uri", Some("https://x")), "request_uri_not_supported"),
        ("a long state", with("state", Some(&long)), "invalid_request"),
        ("a long nonce", with("nonce", Some(&long[..513])), "invalid_request"),
    ] {
        let reply = house.issuer.authorize(Browser::default().request(false, &query, ""), at(0)).await;
        match want {
            "page" => assert_eq!((reply.status, header(&reply, "location")), (200, ""), "{what}"),
            "told" => assert_eq!((reply.status, header(&reply, "location")), (400, ""), "{what}"),
            error => {
                assert_eq!(sent_back(&reply, "error").as_deref(), Some(error), "{what}");
                assert!(header(&reply, "location").starts_with(CALLBACK), "{what}");
                assert_eq!(sent_back(&reply, "iss").as_deref(), Some(ISSUER), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn the_page_is_self_contained_and_repeats_nothing_raw() {
    let house = house().await;
    let query = format!("{}&login_hint={}", query_of("openid"), "%22%3E%3Cscript%3Ex");
    let page = house.issuer.authorize(Browser::default().request(false, &query, ""), at(0)).await;
    assert!(!page.body.contains("<script") && page.body.contains("&quot;&gt;&lt;script&gt;x"), "{}", page.body);
    assert!(!page.body.contains("http://") && !page.body.contains("https://"), "nothing to fetch: {}", page.body);
    let style = page.body.split("<style>").nth(1).and_then(|s| s.split("</style>").next()).unwrap();
    let policy = header(&page, "content-security-policy");
    let hash = STANDARD.encode(Sha256::digest(style));
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self' http://127.0.0.1:43117; base-uri 'none'; frame-ancestors 'none'"
        )
    );
    let cookie = header(&page, "set-cookie");
    assert!(
        cookie.starts_with("__Host-countersign=")
            && cookie.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure"),
        "{cookie}"
    );
    assert_eq!(header(&page, "cache-control"), "no-store");
}

#[tokio::test]
async fn wrong_names_passwords_and_kinds_are_told_the_same_and_slowed_down() {
    let house = house().await;
    house.issuer.set_disabled("bo", true).await.unwrap();
    let mut pages = Vec::new();
    for (name, password) in
        [("ana", "wrong password"), ("nobody", PASSWORD), ("bo", PASSWORD), ("robot", PASSWORD), ("ANA", PASSWORD)]
    {
        let reply = Browser::default().sign_in(&house, &query_of("openid"), name, password, 0).await;
        assert_eq!((reply.status, header(&reply, "location")), (403, ""), "{name}");
        assert!(!reply.body.contains(password), "{name}");
        assert!(reply.body.contains("The name or the password is wrong."), "{name}");
        pages.push(reply.body.replace(&format!("value=\"{name}\""), "").replace(&input(&reply.body, "form"), ""));
    }
    assert!(pages.windows(2).all(|w| w[0] == w[1]), "{pages:?}");
    for _ in 0..4 {
        Browser::default().sign_in(&house, &query_of("openid"), "ana", "wrong password", 0).await;
    }
    let slowed = Browser::default().sign_in(&house, &query_of("openid"), "ana", PASSWORD, 0).await;
    assert_eq!((slowed.status, header(&slowed, "retry-after")), (429, "30"));
    assert_eq!(Browser::default().sign_in(&house, &query_of("openid"), "ana", PASSWORD, 30).await.status, 303);
}

#[tokio::test]
async fn adv_086_look_alike_names_and_doubled_fields_sign_nobody_in() {
    let house = house().await;
    let query = query_of("openid");
    for name in ["ana ", "Ana", "ana\u{200b}", "\u{430}na", "\u{ff41}na", "ana\0", "a\u{301}na"] {
        let reply = Browser::default().sign_in(&house, &query, name, PASSWORD, 0).await;
        assert_eq!((reply.status, header(&reply, "location")), (403, ""), "{name:?}");
    }
    let mut browser = Browser::default();
    let page = house.issuer.authorize(browser.request(false, &query, ""), at(0)).await;
    browser.keep(&page);
    let right =
        encode(&[("form", &input(&page.body, "form")), ("name", "ana"), ("password", PASSWORD), ("answer", "allow")]);
    for more in ["name=bo", "name=ana", "password=x", "form=x", "answer=refuse"] {
        let sent = format!("{right}&{more}");
        assert_eq!(house.issuer.authorize(browser.request(true, &query, &sent), at(0)).await.status, 403, "{more}");
    }
    for more in
        ["client_id=console", "redirect_uri=https%3A%2F%2Fevil.example%2F", "code_challenge_method=plain", "state=x"]
    {
        let query = format!("{query}&{more}");
        let told = house.issuer.authorize(browser.request(true, &query, &right), at(0)).await;
        assert_eq!((told.status, header(&told, "location")), (400, ""), "{more}");
    }
    assert_eq!(house.issuer.authorize(browser.request(true, &query, &right), at(0)).await.status, 303);
    for more in ["grant_type=client_credentials", "code=x", "code_verifier=x", "client_id=console"] {
        let code = code(&house, "openid", 0).await;
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", CLI_CLIENT_ID),
            ("code", &code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        let body = format!("{}&{more}", encode(&fields));
        assert_eq!(json(&house.issuer.token(post(None, &body), at(0)).await)["error"], "invalid_request", "{more}");
        assert_eq!(redeem(&house, &code, 0).await.status, 200, "{more}: it was not even looked at");
    }
}

#[tokio::test]
async fn adv_079_a_form_that_another_site_sends_signs_nobody_in() {
    let house = house().await;
    let query = query_of("openid");
    let mut browser = Browser::default();
    let page = house.issuer.authorize(browser.request(false, &query, ""), at(0)).await;
    browser.keep(&page);
    let other = house.issuer.authorize(Browser::default().request(false, &query, ""), at(0)).await;
    let body = |token: &str| encode(&[("form", token), ("name", "ana"), ("password", PASSWORD), ("answer", "allow")]);
    let (ours, theirs) = (body(&input(&page.body, "form")), body(&input(&other.body, "form")));
    let none = Browser::default();
    let right = browser.request(true, &query, &ours);
    for (what, request, status) in [
        ("no cookie", none.request(true, &query, &ours), 403),
        ("another browser's form", browser.request(true, &query, &theirs), 403),
        ("no token", browser.request(true, &query, "name=ana"), 403),
        ("another origin", PageRequest { same_origin: false, ..right }, 403),
        ("another type", PageRequest { content_type: Some("text/plain"), ..right }, 403),
        ("the right one", right, 303),
    ] {
        assert_eq!(house.issuer.authorize(request, at(0)).await.status, status, "{what}");
    }
    let refuse = encode(&[("form", &input(&page.body, "form")), ("answer", "refuse")]);
    let refused = house.issuer.authorize(browser.request(true, &query, &refuse), at(0)).await;
    assert_eq!(sent_back(&refused, "error").as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn adv_084_a_code_is_good_once_for_its_client_and_a_minute() {
    let (house, other) = two_houses().await;
    let code = code(&house, ALL, 0).await;
    let given = json(&redeem(&house, &code, 1).await);
    let access = text(&given["access_token"]);
    assert_eq!(accepted(&other, &access, 1).await, "ok");
    // The second use, at another gateway, ends what the first gave.
    let again = redeem(&other, &code, 2).await;
    assert_eq!((again.status, json(&again)["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!(house.alarms.heard(), [CODE_TWICE]);
    assert_eq!(accepted(&house, &access, 2).await, "account_ended");
    assert_eq!(refresh(&house, given["refresh_token"].as_str().unwrap(), 2).await.status, 400);
    house.alarms.heard();

    let good = [
        ("grant_type", "authorization_code"),
        ("client_id", CLI_CLIENT_ID),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let basic = format!("Basic {}", STANDARD.encode(format!("console:{CLIENT_SECRET}")).replace(' ', "+"));
    for (what, change, value) in [
        ("another verifier", "code_verifier", Some(VERIFIER.replace('d', "e"))),
        ("no verifier", "code_verifier", None),
        ("another redirect URI", "redirect_uri", Some(CALLBACK.replace("43117", "43118"))),
        ("no redirect URI", "redirect_uri", None),
        ("another client", "client_id", None),
    ] {
        let code = world::code(&house, ALL, 10).await;
        let mut fields: Vec<(&str, &str)> = good.into_iter().filter(|(name, _)| *name != change).collect();
        fields.push(("code", &code));
        fields.extend(value.as_deref().map(|v| (change, v)));
        let authorization = (change == "client_id").then_some(basic.as_str());
        let reply = house.issuer.token(post(authorization, &encode(&fields)), at(10)).await;
        assert_eq!(reply.status, 400, "{what}: {}", reply.body);
        let incomplete = value.is_none() && change != "client_id";
        assert_eq!(json(&reply)["error"], if incomplete { "invalid_request" } else { "invalid_grant" }, "{what}");
        if !incomplete {
            assert_eq!(house.alarms.heard(), [CODE_STOLEN], "{what}");
            assert_eq!(redeem(&house, &code, 10).await.status, 400, "{what}: it is used up");
            house.alarms.heard();
        }
    }
    let lifetime_s = i64::try_from(CODE_LIFETIME_S).unwrap();
    for (after_s, status) in [(lifetime_s - 1, 200), (lifetime_s, 400)] {
        let code = world::code(&house, "openid", 100).await;
        assert_eq!(redeem(&house, &code, 100 + after_s).await.status, status, "{after_s}");
    }
    assert_eq!(redeem(&house, "never-was-a-code", 0).await.status, 400);
    assert_eq!(house.alarms.heard(), [""; 0]);
}

#[tokio::test]
async fn adv_084_a_stolen_refresh_token_ends_the_family() {
    let (house, other) = two_houses().await;
    let first = json(&redeem(&house, &code(&house, ALL, 0).await, 0).await);
    let second = json(&refresh(&other, &text(&first["refresh_token"]), 10).await);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    let (_, id) = claims(&second["id_token"]);
    assert_eq!((&id["auth_time"], &id["nonce"]), (&at(0).unix_s().into(), &Value::Null), "OpenID Connect Core, 12.2");
    assert_eq!(accepted(&house, &text(&second["access_token"]), 10).await, "ok");
    // A thief uses the old one: whoever has the new one is out, too.
    let theft = refresh(&house, &text(&first["refresh_token"]), 20).await;
    assert_eq!((theft.status, json(&theft)["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!(house.alarms.heard(), [REFRESH_TWICE]);
    assert_eq!(refresh(&house, &text(&second["refresh_token"]), 20).await.status, 400);
    for token in [&first["access_token"], &second["access_token"]] {
        assert_eq!(accepted(&house, &text(token), 20).await, "account_ended");
    }
    assert_eq!(house.alarms.heard(), [""; 0], "the honest one is no thief");

    // Other sign-ins of the same person go on.
    let others = json(&redeem(&house, &code(&house, ALL, 30).await, 30).await);
    assert_eq!(accepted(&house, &text(&others["access_token"]), 31).await, "ok");
    let token = text(&others["refresh_token"]);
    let console = [
        ("grant_type", "refresh_token"),
        ("client_id", "console"),
        ("client_secret", CLIENT_SECRET),
        ("refresh_token", &token),
    ];
    assert_eq!(world::token(&house, &console, 31).await.status, 400);
    assert_eq!(house.alarms.heard(), ["a refresh token was presented by another client"]);
    let wider =
        [("grant_type", "refresh_token"), ("client_id", CLI_CLIENT_ID), ("refresh_token", &token), ("scope", "openid")];
    let narrow = json(&world::token(&house, &wider, 32).await);
    assert_eq!(narrow["scope"], "openid");
}

#[tokio::test]
async fn a_sign_in_ends_with_its_time_its_account_and_its_password() {
    let house = house().await;
    let refresh_s = i64::try_from(REFRESH_S).unwrap();
    let begin = async |s| json(&redeem(&house, &code(&house, ALL, s).await, s).await);
    let given = begin(0).await;
    let late = json(&refresh(&house, &text(&given["refresh_token"]), refresh_s - 10).await);
    assert_eq!(late["expires_in"], 10, "no token outlives its sign-in");
    assert_eq!(refresh(&house, &text(&late["refresh_token"]), refresh_s).await.status, 400);

    let given = begin(0).await;
    house.issuer.set_secret("ana", Secret::from("another good password".to_owned())).await.unwrap();
    assert_eq!(accepted(&house, &text(&given["access_token"]), 1).await, "account_ended");
    assert_eq!(refresh(&house, &text(&given["refresh_token"]), 1).await.status, 400);
    house.issuer.set_secret("ana", Secret::from(PASSWORD.to_owned())).await.unwrap();
    assert_eq!(refresh(&house, &text(&given["refresh_token"]), 1).await.status, 400, "it stays ended");

    let given = begin(2).await;
    let waiting = code(&house, ALL, 2).await;
    house.issuer.set_disabled("ana", true).await.unwrap();
    assert_eq!(accepted(&house, &text(&given["access_token"]), 3).await, "account_ended");
    assert_eq!(refresh(&house, &text(&given["refresh_token"]), 3).await.status, 400);
    assert_eq!(redeem(&house, &waiting, 3).await.status, 400);
    house.issuer.set_disabled("ana", false).await.unwrap();
    let ana = house.accounts.find_by_name("ana").await.unwrap().unwrap();
    house.accounts.remove(&ana.id).await.unwrap();
    assert_eq!(accepted(&house, &text(&given["access_token"]), 3).await, "account_ended");
    assert!(house.issuer.set_disabled("ana", true).await.is_err());
    assert_eq!(house.alarms.heard(), [""; 0]);
}

#[tokio::test]
async fn what_a_client_gives_back_is_over() {
    let house = house().await;
    for which in ["refresh_token", "access_token", "id_token"] {
        let given = json(&redeem(&house, &code(&house, ALL, 0).await, 0).await);
        let token = text(&given[which]);
        let revoke = async |fields: &[(&str, &str)]| house.issuer.revoke(post(None, &encode(fields)), at(1)).await;
        let other = [("client_id", "console"), ("client_secret", CLIENT_SECRET), ("token", &token)];
        assert_eq!(revoke(&other).await.status, 400, "{which}");
        assert_eq!(revoke(&[("token", &token)]).await.status, 401, "{which}");
        let (head, tail) = token.split_at(token.len() - 2);
        let forged = format!("{head}{}{}", if tail.starts_with('A') { 'B' } else { 'A' }, &tail[1..]);
        assert_eq!(revoke(&[("client_id", CLI_CLIENT_ID), ("token", &forged)]).await.status, 200, "{which}");
        assert_eq!(accepted(&house, &text(&given["access_token"]), 1).await, "ok", "{which}");
        let revoked = revoke(&[("client_id", CLI_CLIENT_ID), ("token", &token), ("token_type_hint", "x")]).await;
        assert_eq!((revoked.status, revoked.body.as_str()), (200, ""), "{which}");
        assert_eq!(accepted(&house, &text(&given["access_token"]), 1).await, "account_ended", "{which}");
        assert_eq!(refresh(&house, &text(&given["refresh_token"]), 1).await.status, 400, "{which}");
    }
}

#[tokio::test]
async fn clients_prove_themselves() {
    let house = house().await;
    let mut browser = Browser::default();
    let query = query_of(ALL).replace(CLI_CLIENT_ID, "console");
    let uri = "https://console.example/back?x=1";
    let query = query.replace(&encode(&[("redirect_uri", CALLBACK)]), &encode(&[("redirect_uri", uri)]));
    let back = browser.sign_in(&house, &query, "ana", PASSWORD, 0).await;
    assert!(header(&back, "location").starts_with(&format!("{uri}&code=")), "{}", header(&back, "location"));
    let code = sent_back(&back, "code").unwrap();
    let fields =
        [("grant_type", "authorization_code"), ("redirect_uri", uri), ("code_verifier", VERIFIER), ("code", &code)];
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    for (what, authorization, status) in [
        ("nothing", None, 401),
        ("the wrong secret", Some(basic("console:wrong")), 401),
        ("nobody", Some(basic("nobody:wrong")), 401),
        ("the right secret", Some(basic("console:a+long+enough+secret")), 200),
    ] {
        let reply = house.issuer.token(post(authorization.as_deref(), &encode(&fields)), at(0)).await;
        assert_eq!(reply.status, status, "{what}: {}", reply.body);
    }
    let public = [("client_id", "console"), ("scope", "openid")];
    let device = house.issuer.device_authorization(post(None, &encode(&public)), at(0)).await;
    assert_eq!(device.status, 401);
    let device = house
        .issuer
        .device_authorization(post(Some(&basic("console:a+long+enough+secret")), "scope=openid"), at(0))
        .await;
    assert_eq!(json(&device)["error"], "unauthorized_client");
    for _ in 0..10 {
        house.issuer.token(post(Some(&basic("console:wrong")), &encode(&fields)), at(0)).await;
    }
    let slowed = house.issuer.token(post(Some(&basic("console:a+long+enough+secret")), &encode(&fields)), at(0)).await;
    assert_eq!(slowed.status, 429);
}
