//! One's own second factors: what there is, adding, removing; and what a key is asked, for the script that asks it.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use super::{Shell, because, is_id};
use crate::ask::Refusal;
use crate::facts::Facts;
use crate::guard::{Changing, Fields, Signed};
use crate::qr::{Drawing, draw};
use crate::respond::{document, html, see_other, trouble};
use crate::shown::Shown;
use crate::when::When;

const HERE: &str = "/console/factors";

struct Row {
    id: String,
    kind: &'static str,
    name: Shown,
    created: Option<When>,
    used: Option<When>,
    site: Shown,
    count: u64,
}

/// A new secret of codes. It stands on one page, once.
struct Codes {
    id: String,
    secret: Shown,
    uri: Shown,
    drawing: Option<Drawing>,
}

#[derive(Template)]
#[template(path = "factors.html")]
struct FactorsPage {
    shell: Shell,
    rows: Vec<Row>,
    has_keys: bool,
    has_codes: bool,
    keys_here: bool,
    codes_here: bool,
    codes: Option<Codes>,
    trouble: Option<Shown>,
}

/// `GET /console/factors`.
pub(crate) async fn list(signed: Signed) -> Response<Body> {
    page(&signed, None, None).await
}

async fn page(signed: &Signed, codes: Option<Codes>, failed: Option<Refusal>) -> Response<Body> {
    let (listed, unread) = match signed.ask.get("/v1/factors").await {
        Ok(listed) => (listed, None),
        Err(no) => (Value::Null, Some(no)),
    };
    let facts = Facts::of(&listed);
    let row = |f: Facts<'_>| {
        let id = f.at("id").raw();
        is_id(id).then(|| Row {
            id: id.to_owned(),
            kind: if f.at("kind").raw() == "totp" { "codes" } else { "security key" },
            name: f.at("name").text(),
            created: f.at("created_at").when_s(signed.now),
            used: f.at("used_at").when_s(signed.now),
            site: f.at("site").text(),
            count: f.at("sign_count").number(),
        })
    };
    let rows: Vec<Row> = facts.at("factors").list().filter_map(row).collect();
    let here = |word: &str| facts.at("available").list().any(|a| a.raw() == word);
    let failed = failed.or(unread);
    let status = failed.as_ref().and_then(|no| StatusCode::from_u16(no.status).ok()).unwrap_or(StatusCode::OK);
    let page = FactorsPage {
        shell: Shell::of(signed, "factors", "Your second factors").await,
        has_keys: rows.iter().any(|r| r.kind == "security key"),
        has_codes: rows.iter().any(|r| r.kind == "codes"),
        keys_here: here("webauthn"),
        codes_here: here("totp"),
        codes,
        trouble: failed.as_ref().map(because),
        rows,
    };
    html(status, &page)
}

/// What a form shows beside the login: what a key signed, or a code.
pub(crate) fn shown(form: &Fields) -> Option<Value> {
    let assertion: Option<Map<String, Value>> = serde_json::from_str(form.get("assertion")).ok();
    match (assertion, form.get("code")) {
        (Some(assertion), _) => Some(json!({ "assertion": assertion })),
        (None, "") => None,
        (None, code) => Some(json!({ "code": code })),
    }
}

/// What a page says of where it is; it has been compared with where it was sent to.
pub(crate) fn origin(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ORIGIN)?.to_str().ok()
}

/// An answer of the API, for the script.
pub(crate) fn told(answer: Result<Value, Refusal>) -> Response<Body> {
    match answer {
        Ok(value) => document(StatusCode::OK, &value),
        Err(no) => {
            let status = StatusCode::from_u16(no.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            document(status, &json!({ "detail": because(&no).as_str() }))
        }
    }
}

/// `POST /console/factors/challenge`.
pub(crate) async fn challenge(headers: HeaderMap, Changing { signed, form }: Changing) -> Response<Body> {
    let mut body = json!({ "use": form.get("use"), "origin": origin(&headers) });
    if let (Some(members), factor) = (body.as_object_mut(), form.get("factor"))
        && !factor.is_empty()
    {
        members.insert("factor".to_owned(), json!(factor));
    }
    told(signed.ask.post("/v1/factors/challenge", &body).await)
}

/// `POST /console/factors/keys`.
pub(crate) async fn add_key(Changing { signed, form }: Changing) -> Response<Body> {
    let made: Map<String, Value> = serde_json::from_str(form.get("registration")).unwrap_or_default();
    let text = |name: &str| made.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let body = json!({
        "name": form.get("name"), "client_data": text("client_data"), "attestation": text("attestation"),
        "factor": shown(&form),
    });
    changed(&signed, "/v1/factors/keys", &body, "added").await
}

/// `POST /console/factors/codes`.
pub(crate) async fn add_codes(Changing { signed, form }: Changing) -> Response<Body> {
    let body = json!({ "name": form.get("name"), "factor": shown(&form) });
    match signed.ask.post("/v1/factors/codes", &body).await {
        Ok(made) => {
            let made = Facts::of(&made);
            let codes = Codes {
                id: made.at("id").raw().to_owned(),
                secret: made.at("secret").text(),
                uri: made.at("uri").text(),
                drawing: draw(made.at("uri").raw()),
            };
            page(&signed, Some(codes), None).await
        }
        Err(no) => page(&signed, None, Some(no)).await,
    }
}

/// `POST /console/factors/{id}/{verb}`.
pub(crate) async fn change(
    Path((id, verb)): Path<(String, String)>,
    Changing { signed, form }: Changing,
) -> Response<Body> {
    if !is_id(&id) {
        return missing();
    }
    let (body, did) = match verb.as_str() {
        "confirm" => (json!({ "code": form.get("code") }), "added"),
        "remove" => (json!({ "factor": shown(&form) }), "removed"),
        _ => return missing(),
    };
    changed(&signed, &format!("/v1/factors/{id}/{verb}"), &body, did).await
}

async fn changed(signed: &Signed, path: &str, body: &Value, did: &str) -> Response<Body> {
    match signed.ask.post(path, body).await {
        Ok(_) => see_other(&format!("{HERE}?did=factor-{did}"), &[]),
        Err(no) => page(signed, None, Some(no)).await,
    }
}

fn missing() -> Response<Body> {
    trouble(StatusCode::NOT_FOUND, "Not there", "There is no such factor, or it is none of yours.", "", false)
}
