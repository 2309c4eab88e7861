//! What waits for people: the list, one of them, and the answers.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, Response, StatusCode};
use countersign_model::{Identity, Timestamp};
use serde_json::{Value, json};

use super::factors::{origin, shown, told};
use super::{Shell, because, is_id};
use crate::ask::{Ask, Refusal};
use crate::facts::{Facts, encoded};
use crate::guard::{Changing, Signed};
use crate::respond::{html, refused, see_other, trouble};
use crate::shown::Shown;
use crate::statement::{Piece, pieces};
use crate::when::When;

/// The longest beginning of a statement in a list, in characters.
const GLIMPSE_CHARS: usize = 160;
/// Claims that say which pipeline asks, with what people call them.
const PROVENANCE: [(&str, &str); 12] = [
    ("repository", "Repository"),
    ("project_path", "Project"),
    ("workflow", "Workflow"),
    ("job_workflow_ref", "Workflow file"),
    ("ref", "Ref"),
    ("sha", "Commit"),
    ("actor", "Started by"),
    ("user_login", "Started by"),
    ("run_id", "Run"),
    ("pipeline_id", "Pipeline"),
    ("job_id", "Job"),
    ("environment", "Environment"),
];

/// A review in a list.
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) status: Shown,
    pub(crate) who: Shown,
    pub(crate) kind: Shown,
    pub(crate) target: Shown,
    pub(crate) what: Shown,
    pub(crate) glimpse: Shown,
    pub(crate) asked: Option<When>,
    pub(crate) ends: Option<When>,
    pub(crate) needs: Shown,
    pub(crate) mine: bool,
    pub(crate) open: bool,
}

impl Row {
    pub(crate) fn of(r: Facts<'_>, who: &Identity, now: Timestamp) -> Option<Self> {
        let id = r.at("id").raw();
        is_id(id).then(|| Self {
            id: id.to_owned(),
            status: r.at("status").text(),
            who: r.at("asker").at("name").text(),
            kind: r.at("asker").at("kind").text(),
            target: place(r),
            what: if r.at("grant").is_there() { Shown::new("access") } else { r.at("kind").text() },
            glimpse: glimpse(r.at("text").raw()),
            asked: r.at("created_at").when_s(now),
            ends: r.at("expires_at").when_s(now),
            needs: needs(r),
            mine: waits_for(r, who),
            open: is_open(r),
        })
    }
}

/// Whether this person may answer, and has not said yes yet.
pub(crate) fn waits_for(r: Facts<'_>, who: &Identity) -> bool {
    let mut answers = r.at("answers").list();
    let theirs = |a: Facts<'_>| a.at("by").raw() == who.name && a.at("issuer").raw() == who.issuer;
    r.at("may_answer").flag() && !answers.any(|a| a.at("verb").raw() == "approve" && theirs(a))
}

fn is_open(r: Facts<'_>) -> bool {
    matches!(r.at("status").raw(), "pending" | "approved")
}

fn place(r: Facts<'_>) -> Shown {
    let (target, part) = (r.at("target").text(), r.at("part").text());
    if part.is_empty() { target } else { Shown::new(&format!("{target}/{part}")) }
}

fn glimpse(text: &str) -> Shown {
    let words: Vec<&str> = text.split_whitespace().take(GLIMPSE_CHARS).collect();
    Shown::new(&words.join(" ")).cut(GLIMPSE_CHARS)
}

/// `2 of dbas and 1 of leads; 1 said yes`.
fn needs(r: Facts<'_>) -> Shown {
    let all: Vec<String> = r
        .at("requirements")
        .list()
        .map(|one| format!("{} of {}", one.at("people").number(), one.at("group").text()))
        .collect();
    let yes = r.at("approved_by").list().count();
    let yes = if yes == 0 { String::new() } else { format!("; {yes} said yes") };
    let with = match r.at("factor").raw() {
        "" => "",
        "totp" => ", each with a second factor",
        _ => ", each with a security key",
    };
    Shown::new(&format!("{}{with}{yes}", all.join(" and ")))
}

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage {
    shell: Shell,
    mine: Vec<Row>,
    others: Vec<Row>,
    over: Vec<Row>,
    all: bool,
    older: Option<String>,
    trouble: Option<Shown>,
}

/// `GET /console/inbox`.
pub(crate) async fn list(signed: Signed) -> Response<Body> {
    let all = signed.query.get("all") == "true";
    let before = signed.query.get("before");
    let before = if is_id(before) { format!("&before={before}") } else { String::new() };
    let (listed, trouble) = match signed.ask.get(&format!("/v1/reviews?all={all}{before}")).await {
        Ok(listed) => (listed, None),
        Err(no) => (Value::Null, Some(because(&no))),
    };
    let rows = Facts::of(&listed).at("reviews").list().filter_map(|r| Row::of(r, &signed.entered.identity, signed.now));
    let (mut mine, mut others, mut over) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        match (row.mine, row.open) {
            (true, _) => mine.push(row),
            (false, true) => others.push(row),
            (false, false) => over.push(row),
        }
    }
    let older = Facts::of(&listed).at("next").raw();
    let older = is_id(older).then(|| format!("/console/inbox?all={all}&before={older}"));
    let shell = Shell::with(&signed, "inbox", "Inbox", &listed);
    html(StatusCode::OK, &InboxPage { shell, mine, others, over, all, older, trouble })
}

struct Said {
    at: Option<When>,
    by: Shown,
    did: &'static str,
    /// What they showed beside their login.
    how: &'static str,
    comment: Shown,
}

struct Fact {
    name: &'static str,
    value: Shown,
    href: Option<String>,
}

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    shell: Shell,
    row: Row,
    text: Vec<Piece>,
    parameters: Shown,
    facts: Vec<Fact>,
    provenance: Vec<Fact>,
    said: Vec<Said>,
    action: Shown,
    why_not: Shown,
    ended: Shown,
    /// It asks for access, and nothing waits to run.
    grant: bool,
    /// That has been taken already.
    at_once: bool,
    /// What a yes has to be shown with.
    needs: Needs,
    may_withdraw: bool,
    trouble: Option<Shown>,
}

/// What a yes has to be shown with, and what whoever looks could show.
#[derive(Default)]
struct Needs {
    /// Something has to be shown.
    any: bool,
    /// A key alone does.
    key: bool,
    /// They have a key.
    has_key: bool,
    /// They have codes, and these do.
    has_codes: bool,
}

impl Needs {
    async fn of(r: Facts<'_>, ask: &Ask) -> Self {
        let key = match r.at("factor").raw() {
            "" => return Self::default(),
            word => word != "totp",
        };
        let listed = ask.get("/v1/factors").await.unwrap_or_default();
        let has = |kind: &str| Facts::of(&listed).at("factors").list().any(|f| f.at("kind").raw() == kind);
        Self { any: true, key, has_key: has("webauthn"), has_codes: !key && has("totp") }
    }
}

/// `GET /console/inbox/{id}`.
pub(crate) async fn show(signed: Signed, Path(id): Path<String>) -> Response<Body> {
    sheet(&signed, &id, None).await
}

async fn sheet(signed: &Signed, id: &str, failed: Option<Refusal>) -> Response<Body> {
    if !is_id(id) {
        return missing();
    }
    let review = match signed.ask.get(&format!("/v1/reviews/{id}")).await {
        Ok(review) => review,
        Err(no) => return refused(&no),
    };
    let r = Facts::of(&review);
    let Some(row) = Row::of(r, &signed.entered.identity, signed.now) else { return missing() };
    let status = failed.as_ref().and_then(|no| StatusCode::from_u16(no.status).ok()).unwrap_or(StatusCode::OK);
    let asker = &signed.entered.identity;
    let own = r.at("asker").at("subject").raw() == asker.subject && r.at("asker").at("issuer").raw() == asker.issuer;
    let page = ReviewPage {
        shell: Shell::of(signed, "inbox", "Review").await,
        text: pieces(r.at("text").raw()),
        parameters: r.at("parameters").text(),
        facts: facts(r, &signed.ask).await,
        provenance: provenance(r),
        said: r.at("answers").list().map(|a| said(a, signed.now)).collect(),
        action: r.at("action").text(),
        why_not: r.at("why_not").text(),
        ended: r.at("ended_why").text(),
        grant: r.at("grant").is_there(),
        at_once: r.at("grant").at("at_once").flag(),
        needs: if row.mine { Needs::of(r, &signed.ask).await } else { Needs::default() },
        may_withdraw: own && row.open && !r.at("grant").at("at_once").flag(),
        trouble: failed.as_ref().map(because),
        row,
    };
    html(status, &page)
}

fn missing() -> Response<Body> {
    trouble(StatusCode::NOT_FOUND, "Not there", "There is no such review, or it is none of yours.", "", false)
}

fn said(a: Facts<'_>, now: Timestamp) -> Said {
    let did = match a.at("verb").raw() {
        "approve" => "approved",
        "deny" => "denied",
        "comment" => "said",
        "void" => "may not approve any more",
        _ => "answered",
    };
    let how = match a.at("factor").raw() {
        "" => "",
        "webauthn" => " with a security key",
        _ => " with a code",
    };
    Said { at: a.at("at").when_s(now), by: a.at("by").text(), did, how, comment: Shown::lines(a.at("comment").raw()) }
}

/// Who asks, and what the record knows of it, as far as whoever looks may read the record.
async fn facts(r: Facts<'_>, ask: &Ask) -> Vec<Fact> {
    let asker = r.at("asker");
    let fact = |name, value: Shown| Fact { name, value, href: None };
    let name = asker.at("name").raw();
    let through = asker.at("acting").texts();
    let mut all = vec![
        Fact {
            name: "Who asks",
            value: Shown::new(&format!("{name} ({})", asker.at("kind").text())),
            href: Some(format!("/console/sessions?identity={}", encoded(name))),
        },
        fact("Acting for them", through),
        fact("Groups", asker.at("groups").texts()),
        fact("Vouched for by", asker.at("issuer").text()),
        fact("Target", place(r)),
    ];
    let session = r.at("session").raw();
    if is_id(session) {
        let recorded = ask.get(&format!("/v1/recordings/{session}?limit=1000")).await.unwrap_or_default();
        let recorded = Facts::of(&recorded);
        all.push(fact("Address", recorded.at("session").at("source").text()));
        all.push(fact("Program", recorded.at("session").at("application").text()));
        all.push(fact("Relations", relations(recorded, r.at("text").raw())));
        let href = recorded.is_there().then(|| format!("/console/sessions/{session}"));
        all.push(Fact { name: "Session", value: Shown::new(session), href });
    }
    all.push(fact("Rules", r.at("rules").texts()));
    all.push(fact("Needs", needs(r)));
    all.retain(|f| !f.value.is_empty());
    all
}

/// What the held statement touches, as it was judged.
fn relations(recorded: Facts<'_>, text: &str) -> Shown {
    let mut found: Vec<String> = Vec::new();
    let statements = recorded.at("timeline").list().filter(|i| i.at("type").raw() == "statement");
    for statement in statements.filter(|s| s.at("text").raw() == text) {
        for one in statement.at("uses").list() {
            let all = one.at("attributes").at("relations_all").list();
            for name in all.map(|n| n.text().to_string()) {
                if !found.contains(&name) {
                    found.push(name);
                }
            }
        }
    }
    Shown::new(&found.join(", "))
}

fn provenance(r: Facts<'_>) -> Vec<Fact> {
    let claims = r.at("asker").at("claims");
    let known =
        PROVENANCE.iter().map(|(claim, name)| Fact { name, value: claims.at(claim).text().cut(200), href: None });
    known.filter(|f| !f.value.is_empty()).collect()
}

/// `POST /console/inbox/{id}/challenge`: what a key is asked, for the script.
pub(crate) async fn challenge(
    Path(id): Path<String>,
    headers: HeaderMap,
    Changing { signed, form }: Changing,
) -> Response<Body> {
    if !is_id(&id) {
        return missing();
    }
    // Never without what they look at.
    let body = json!({ "action": form.get("action"), "origin": origin(&headers) });
    told(signed.ask.post(&format!("/v1/reviews/{id}/challenge"), &body).await)
}

/// `POST /console/inbox/{id}/{verb}`.
pub(crate) async fn answer(
    Path((id, verb)): Path<(String, String)>,
    Changing { signed, form }: Changing,
) -> Response<Body> {
    if !is_id(&id) || !matches!(verb.as_str(), "approve" | "deny" | "comment" | "withdraw") {
        return missing();
    }
    let mut body = json!({});
    if let Some(body) = body.as_object_mut() {
        for name in ["comment", "action"] {
            if !form.get(name).is_empty() {
                body.insert(name.to_owned(), json!(form.get(name)));
            }
        }
    }
    if let (Some(members), Some(factor), "approve") = (body.as_object_mut(), shown(&form), verb.as_str()) {
        members.insert("factor".to_owned(), factor);
    }
    match signed.ask.post(&format!("/v1/reviews/{id}/{verb}"), &body).await {
        Ok(_) => see_other(&format!("/console/inbox/{id}?did={verb}"), &[]),
        Err(no) => sheet(&signed, &id, Some(no)).await,
    }
}
