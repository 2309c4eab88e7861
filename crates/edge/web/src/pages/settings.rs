//! Settings: one's own API keys, and who may come to this gateway.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use countersign_api::OPERATIONS;
use serde_json::{Value, json};

use super::locks::moment;
use super::{Shell, because, is_id};
use crate::ask::Refusal;
use crate::facts::Facts;
use crate::guard::{Changing, Fields, Signed};
use crate::respond::{html, see_other};
use crate::shown::Shown;

/// How long a key may live, with its seconds.
const SPANS: [(&str, u64); 4] =
    [("1 day", 86_400), ("7 days", 604_800), ("30 days", 2_592_000), ("90 days", 7_776_000)];

struct KeyRow {
    id: String,
    name: Shown,
    scope: Shown,
    live: bool,
    made: Shown,
    ends: Shown,
    used: Shown,
    ended: Shown,
}

/// A key that was just made.
struct Made {
    name: Shown,
    secret: Shown,
    ends: Shown,
}

struct Issuer {
    label: Shown,
    url: Shown,
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    shell: Shell,
    rows: Vec<KeyRow>,
    all: bool,
    older: Option<String>,
    made: Option<Made>,
    /// What a key may be for, and whether it is chosen.
    operations: Vec<(&'static str, bool)>,
    spans: Vec<(&'static str, u64, bool)>,
    name: Shown,
    issuers: Vec<Issuer>,
    listeners: Vec<Shown>,
    trouble: Option<Shown>,
}

fn row(k: Facts<'_>) -> Option<KeyRow> {
    let id = k.at("id").raw();
    let ended = k.at("ended");
    let ended = if ended.is_there() {
        format!("revoked {} by {}: {}", moment(ended.at("at")), ended.at("by").text(), ended.at("why").text())
    } else {
        String::new()
    };
    let used = k.at("used");
    let used = if used.is_there() {
        format!("last used {} from {}", moment(used.at("at")), used.at("from").text())
    } else {
        "never used".to_owned()
    };
    is_id(id).then(|| KeyRow {
        id: id.to_owned(),
        name: k.at("name").text(),
        scope: k.at("scope").texts(),
        live: k.at("live").flag(),
        made: moment(k.at("created_at")),
        ends: moment(k.at("expires_at")),
        used: Shown::new(&used),
        ended: Shown::new(&ended),
    })
}

async fn page(signed: &Signed, form: &Fields, made: Option<Made>, failed: Option<Refusal>) -> Response<Body> {
    let all = signed.query.get("all") == "true";
    let before = signed.query.get("before");
    let before = if is_id(before) { format!("&before={before}") } else { String::new() };
    let (keys, no) = match signed.ask.get(&format!("/v1/api-keys?all={all}&limit=50{before}")).await {
        Ok(keys) => (keys, failed),
        Err(no) => (Value::Null, failed.or(Some(no))),
    };
    let facts = signed.ask.get("/v1/login").await.unwrap_or_default();
    let facts = Facts::of(&facts);
    let status = no.as_ref().and_then(|no| StatusCode::from_u16(no.status).ok()).unwrap_or(StatusCode::OK);
    let older = Facts::of(&keys).at("next").raw();
    let lasts: u64 = form.get("expires_in_s").parse().unwrap_or(604_800);
    let listener = |l: Facts<'_>| Shown::new(&format!("{} at {}", l.at("protocol").text(), l.at("address").text()));
    let page = SettingsPage {
        shell: Shell::of(signed, "settings", "Settings").await,
        rows: Facts::of(&keys).at("keys").list().filter_map(row).collect(),
        all,
        older: is_id(older).then(|| format!("/console/settings?all={all}&before={older}")),
        made,
        operations: OPERATIONS.iter().filter(|o| o.by_key).map(|o| (o.name, form.get(o.name) == "true")).collect(),
        spans: SPANS.map(|(label, seconds)| (label, seconds, seconds == lasts)).into(),
        name: Shown::new(form.get("name")),
        issuers: facts
            .at("issuers")
            .list()
            .map(|i| Issuer { label: i.at("label").text(), url: i.at("issuer").text() })
            .collect(),
        listeners: facts.at("listeners").list().map(listener).collect(),
        trouble: no.as_ref().map(because),
    };
    html(status, &page)
}

/// `GET /console/settings`.
pub(crate) async fn show(signed: Signed) -> Response<Body> {
    page(&signed, &Fields::default(), None, None).await
}

/// `POST /console/settings/keys`: the key is on the page that answers, and nowhere else.
pub(crate) async fn create(Changing { signed, form }: Changing) -> Response<Body> {
    let scope: Vec<&str> =
        OPERATIONS.iter().filter(|o| o.by_key && form.get(o.name) == "true").map(|o| o.name).collect();
    let seconds: u64 = form.get("expires_in_s").parse().unwrap_or(0);
    let body = json!({ "name": form.get("name"), "scope": scope, "expires_in_s": seconds });
    match signed.ask.post("/v1/api-keys", &body).await {
        Ok(told) => {
            let told = Facts::of(&told);
            let made = Made {
                name: told.at("name").text(),
                secret: told.at("secret").text(),
                ends: moment(told.at("expires_at")),
            };
            page(&signed, &Fields::default(), Some(made), None).await
        }
        Err(no) => page(&signed, &form, None, Some(no)).await,
    }
}

/// `POST /console/settings/keys/{id}/revoke`.
pub(crate) async fn revoke(Path(id): Path<String>, Changing { signed, form }: Changing) -> Response<Body> {
    if !is_id(&id) {
        return see_other("/console/settings", &[]);
    }
    match signed.ask.post(&format!("/v1/api-keys/{id}/revoke"), &json!({ "reason": form.get("reason") })).await {
        Ok(_) => see_other("/console/settings?did=key-revoked", &[]),
        Err(no) => page(&signed, &Fields::default(), None, Some(no)).await,
    }
}
