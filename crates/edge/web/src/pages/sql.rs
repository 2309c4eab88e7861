//! The SQL console: a session on a target, a text to run there, and what came of it. All of it is asked of the API, whose sessions are judged,
//! masked and recorded as those of every other client.
//!
//! It must never show a value that acts, null as a text, a masked value as one in clear, or a part as the whole.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use serde_json::{Value, json};

use super::locks::moment;
use super::{Shell, because, is_id};
use crate::ask::Refusal;
use crate::facts::{Facts, encoded};
use crate::guard::{Changing, Signed};
use crate::respond::{html, refused, see_other};
use crate::shown::Shown;

/// The longest value on the page, in characters.
const CELL_CHARS_MAX: usize = 300;
/// The longest text of a session in the list, in characters.
const GLIMPSE_CHARS_MAX: usize = 120;

struct Open {
    id: String,
    target: Shown,
    opened: Shown,
    ended: Shown,
    glimpse: Shown,
    state: Shown,
}

#[derive(Template)]
#[template(path = "sql.html")]
struct SqlPage {
    shell: Shell,
    targets: Vec<(Shown, bool)>,
    database: Shown,
    open: Vec<Open>,
    trouble: Option<Shown>,
}

/// `GET /console/sql`.
pub(crate) async fn list(signed: Signed) -> Response<Body> {
    listed(&signed, signed.query.get("target"), "", None).await
}

async fn listed(signed: &Signed, wanted: &str, database: &str, failed: Option<Refusal>) -> Response<Body> {
    let found = signed.ask.get("/v1/targets?limit=1000").await.unwrap_or_default();
    let (sessions, no) = match signed.ask.get("/v1/sql").await {
        Ok(sessions) => (sessions, failed),
        Err(no) => (Value::Null, Some(no)),
    };
    let status = no.as_ref().and_then(|no| StatusCode::from_u16(no.status).ok()).unwrap_or(StatusCode::OK);
    let mut targets: Vec<(Shown, bool)> = Vec::new();
    for t in Facts::of(&found).at("targets").list().filter(|t| t.at("protocol").raw() == "postgres") {
        let connects = |a: &Facts<'_>| a.at("access").raw() == "connect" && a.at("permits").list().next().is_some();
        if t.at("accesses").list().any(|a| connects(&a)) {
            targets.push((t.at("name").text(), t.at("name").raw() == wanted));
        }
    }
    let open = Facts::of(&sessions).at("sessions").list().filter_map(|s| {
        let id = s.at("id").raw();
        let statement = s.at("statement");
        is_id(id).then(|| Open {
            id: id.to_owned(),
            target: s.at("target").text(),
            opened: moment(s.at("opened_at")),
            ended: s.at("ended").text(),
            glimpse: statement.at("text").text().cut(GLIMPSE_CHARS_MAX),
            state: statement.at("state").text(),
        })
    });
    let page = SqlPage {
        shell: Shell::of(signed, "sql", "SQL").await,
        targets,
        database: Shown::new(database),
        open: open.collect(),
        trouble: no.as_ref().map(because),
    };
    html(status, &page)
}

/// `POST /console/sql`.
pub(crate) async fn open(Changing { signed, form }: Changing) -> Response<Body> {
    let (target, database) = (form.get("target"), form.get("database"));
    let mut body = json!({ "target": target });
    if let (Some(members), false) = (body.as_object_mut(), database.is_empty()) {
        members.insert("database".to_owned(), database.into());
    }
    match signed.ask.post("/v1/sql", &body).await {
        Ok(made) => see_other(&place(Facts::of(&made).at("id").raw()), &[]),
        Err(no) => listed(&signed, target, database, Some(no)).await,
    }
}

fn place(id: &str) -> String {
    if is_id(id) { format!("/console/sql/{id}") } else { "/console/sql".to_owned() }
}

struct Column {
    name: Shown,
    /// Why and how its values are masked; empty where they are not.
    masked: Shown,
}

struct Cell {
    text: Shown,
    null: bool,
    masked: bool,
}

struct Gave {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    command: Shown,
    /// What part of the rows is here.
    part: String,
    next: Option<String>,
    first: Option<String>,
}

struct Problem {
    code: Shown,
    message: Shown,
    hint: Shown,
    position: u64,
    /// Access may be asked for.
    refused: bool,
}

struct Review {
    id: String,
    reviewers: Shown,
    until: Shown,
}

#[derive(Template)]
#[template(path = "sql_session.html")]
struct SessionPage {
    shell: Shell,
    id: String,
    target: Shown,
    query: String,
    database: Shown,
    session: Shown,
    ended: Shown,
    in_transaction: bool,
    text: Shown,
    /// `running`, `waiting`, `done`, `failed`, or empty.
    state: &'static str,
    review: Option<Review>,
    results: Vec<Gave>,
    error: Option<Problem>,
    notices: Vec<Shown>,
    cut: bool,
    export: bool,
    exportable: bool,
    trouble: Option<Shown>,
}

impl SessionPage {
    fn under_way(&self) -> bool {
        matches!(self.state, "running" | "waiting")
    }
}

/// `GET /console/sql/{id}`.
pub(crate) async fn show(signed: Signed, Path(id): Path<String>) -> Response<Body> {
    shown(&signed, &id, None, None).await
}

async fn shown(signed: &Signed, id: &str, typed: Option<&str>, failed: Option<Refusal>) -> Response<Body> {
    if !is_id(id) {
        return see_other("/console/sql", &[]);
    }
    let after: u64 = signed.query.get("after").parse().unwrap_or(0);
    let found = match signed.ask.get(&format!("/v1/sql/{id}?after={after}")).await {
        Ok(found) => found,
        Err(no) => return refused(&no),
    };
    let facts = Facts::of(&found);
    let statement = facts.at("statement");
    let review = statement.at("review");
    let error = statement.at("error");
    let results: Vec<Gave> = statement.at("results").list().map(|r| gave(r, id, after)).collect();
    let status = failed.as_ref().and_then(|no| StatusCode::from_u16(no.status).ok()).unwrap_or(StatusCode::OK);
    let text = typed.map_or_else(|| Shown::lines(statement.at("text").raw()), Shown::lines);
    let page = SessionPage {
        shell: Shell::of(signed, "sql", "SQL").await,
        id: id.to_owned(),
        target: facts.at("target").text(),
        query: encoded(facts.at("target").raw()),
        database: facts.at("database").text(),
        session: facts.at("session").text(),
        ended: facts.at("ended").text(),
        in_transaction: facts.at("in_transaction").flag(),
        text,
        state: match statement.at("state").raw() {
            "running" => "running",
            "waiting" => "waiting",
            "done" => "done",
            "failed" => "failed",
            _ => "",
        },
        review: is_id(review.at("id").raw()).then(|| Review {
            id: review.at("id").raw().to_owned(),
            reviewers: review.at("reviewers").text(),
            until: moment(review.at("ends_at")),
        }),
        exportable: results.iter().any(|r| !r.columns.is_empty()),
        results,
        error: error.is_there().then(|| Problem {
            code: error.at("code").text(),
            message: error.at("message").text(),
            hint: error.at("hint").text(),
            position: error.at("position").number(),
            refused: error.at("code").raw() == "42501",
        }),
        notices: statement.at("notices").list().map(Facts::text).collect(),
        cut: statement.at("cut").flag(),
        export: statement.at("export").flag(),
        trouble: failed.as_ref().map(because),
    };
    html(status, &page)
}

fn gave(result: Facts<'_>, id: &str, after: u64) -> Gave {
    let rows: Vec<Vec<Cell>> = result.at("rows").list().map(|row| row.list().map(cell).collect()).collect();
    let (all, kept) = (result.at("row_count").number(), result.at("kept").number());
    let (from, to) = (after + 1, after + rows.len() as u64);
    let part = match (all, rows.len()) {
        (0, _) => "no rows".to_owned(),
        (_, 0) => format!("none of its {all} rows here; {kept} are kept"),
        (1, _) => "1 row".to_owned(),
        _ if to == all && after == 0 => format!("{all} rows"),
        _ if kept < all => format!("rows {from} to {to} of the first {kept} that are kept; there are {all}"),
        _ => format!("rows {from} to {to} of {all}"),
    };
    let next = result.at("next");
    Gave {
        columns: result.at("columns").list().map(column).collect(),
        rows,
        command: result.at("command").text(),
        part,
        next: next.is_there().then(|| format!("{}?after={}", place(id), next.number())),
        first: (after > 0).then(|| place(id)),
    }
}

fn column(c: Facts<'_>) -> Column {
    let how = c.at("masked");
    let (how, tags) = (how.raw(), c.at("tags").texts());
    let masked = match how {
        "" => String::new(),
        "content" => "masked where something was found".to_owned(),
        how if tags.is_empty() => format!("masked: {how}"),
        how => format!("masked: {how}, {tags}"),
    };
    Column { name: c.at("name").text(), masked: Shown::new(&masked) }
}

fn cell(c: Facts<'_>) -> Cell {
    let text = c.at("text");
    let cut = if c.at("cut").flag() { "…" } else { "" };
    Cell {
        text: Shown::lines(&format!("{}{cut}", text.raw())).cut(CELL_CHARS_MAX),
        null: !text.is_there(),
        masked: c.at("masked").flag(),
    }
}

/// `POST /console/sql/{id}/{verb}`.
pub(crate) async fn act(
    Path((id, verb)): Path<(String, String)>,
    Changing { signed, form }: Changing,
) -> Response<Body> {
    if !is_id(&id) {
        return see_other("/console/sql", &[]);
    }
    let text = form.get("statement");
    let (path, body) = match verb.as_str() {
        "run" => ("run", json!({ "statement": text })),
        "run-export" => ("run", json!({ "statement": text, "export": true })),
        "cancel" => ("cancel", json!({})),
        "close" => ("close", json!({})),
        "csv" => ("export", json!({})),
        _ => return see_other(&place(&id), &[]),
    };
    match signed.ask.post(&format!("/v1/sql/{id}/{path}"), &body).await {
        Ok(_) if path == "close" => see_other("/console/sql", &[]),
        Ok(taken) if path == "export" => attached(&id, Facts::of(&taken).at("csv").raw()),
        Ok(_) => see_other(&place(&id), &[]),
        Err(no) => shown(&signed, &id, (path == "run").then_some(text), Some(no)).await,
    }
}

/// A file to be kept. Its name is of letters and digits, and no browser shows it as a page.
fn attached(id: &str, csv: &str) -> Response<Body> {
    let mut response = csv.to_owned().into_response();
    let kept = format!("attachment; filename=\"countersign-{id}.csv\"");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    if let Ok(kept) = HeaderValue::from_str(&kept) {
        headers.insert(header::CONTENT_DISPOSITION, kept);
    }
    response
}
