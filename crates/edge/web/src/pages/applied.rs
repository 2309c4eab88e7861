//! What is applied, changed in the browser: a file with checks as it is written, the difference before it is applied, what was applied
//! before, and the way back.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use countersign_model::acts_on_readers;
use serde_json::{Value, json};

use super::difference::Difference;
use super::{Shell, because, first};
use crate::ask::{Ask, Refusal};
use crate::facts::{Facts, encoded};
use crate::guard::{Changing, Fields, Signed};
use crate::respond::{html, refused, see_other};
use crate::shown::Shown;

/// The largest file that is changed in a browser, in bytes; larger ones are applied from the command line.
pub(crate) const EDITED_BYTES_MAX: usize = 100_000;
/// Revisions on a page.
const PAGE: usize = 30;

/// The files of a revision, as the API gives and takes them; none of the revision 0.
async fn files_of(ask: &Ask, revision: u64) -> Result<Vec<Value>, Refusal> {
    if revision == 0 {
        return Ok(Vec::new());
    }
    let found = ask.get(&format!("/v1/configuration/revisions/{revision}")).await?;
    Ok(found.get("files").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn path_of(file: &Value) -> &str {
    Facts::of(file).at("path").raw()
}

#[derive(Template)]
#[template(path = "edit.html")]
struct EditPage {
    shell: Shell,
    /// As it is sent back; the template escapes it.
    path: String,
    is_new: bool,
    text: String,
    message: String,
    base: u64,
    /// Characters in it hide or reorder what is read.
    acts: bool,
    difference: Option<Difference>,
    checked: bool,
    /// The difference is that of removing the file.
    removes: bool,
    trouble: Option<Shown>,
}

/// What is being written.
struct Draft {
    path: String,
    is_new: bool,
    text: String,
    message: String,
    base: u64,
    /// The file is to go.
    removes: bool,
}

impl Draft {
    fn of(form: &Fields) -> Self {
        // Browsers end lines as terminals once did, and fields come without the space around them.
        let text = form.get("text").replace("\r\n", "\n");
        let text = if text.is_empty() { text } else { format!("{text}\n") };
        Self {
            path: form.get("path").to_owned(),
            is_new: form.get("new") == "true",
            text,
            message: form.get("message").to_owned(),
            base: form.get("base").parse().unwrap_or(0),
            removes: form.get("step").starts_with("remove"),
        }
    }

    /// Every file of the revision that it was begun on, with this one in its place; without it where it is to be removed.
    async fn files(&self, ask: &Ask) -> Result<Vec<Value>, Refusal> {
        let mut files = files_of(ask, self.base).await?;
        if self.is_new && files.iter().any(|f| path_of(f) == self.path) {
            let why = "there is a file with this path already";
            return Err(Refusal { status: 409, why: Shown::new(why), hint: Shown::default() });
        }
        files.retain(|f| path_of(f) != self.path);
        if !self.removes {
            files.push(json!({ "path": self.path, "text": self.text }));
        }
        Ok(files)
    }
}

async fn editor(
    signed: &Signed,
    draft: Draft,
    difference: Option<Difference>,
    checked: bool,
    no: Option<Refusal>,
) -> Response<Body> {
    let status = no.as_ref().and_then(|no| StatusCode::from_u16(no.status).ok()).unwrap_or(StatusCode::OK);
    let page = EditPage {
        shell: Shell::of(signed, "policies", if draft.is_new { "New file" } else { "Change a file" }).await,
        acts: draft.text.chars().any(|c| acts_on_readers(c) && !matches!(c, '\n' | '\t')),
        path: draft.path,
        is_new: draft.is_new,
        text: draft.text,
        message: draft.message,
        base: draft.base,
        difference,
        checked,
        removes: draft.removes,
        trouble: no.as_ref().map(because),
    };
    html(status, &page)
}

/// `GET /console/policies/edit`: the file that `path` names, of the latest revision; a new one without it.
pub(crate) async fn edit(signed: Signed) -> Response<Body> {
    let path = signed.query.get("path").to_owned();
    let latest = match signed.ask.get("/v1/configuration/revisions?limit=1").await {
        Ok(page) => Facts::of(&page).at("latest").number(),
        Err(no) => return refused(&no),
    };
    let files = match files_of(&signed.ask, latest).await {
        Ok(files) => files,
        Err(no) => return refused(&no),
    };
    let text = files.iter().find(|f| path_of(f) == path).map(|f| Facts::of(f).at("text").raw().to_owned());
    let (is_new, message) = (text.is_none(), String::new());
    let no = text.as_ref().filter(|t| t.len() > EDITED_BYTES_MAX).map(|_| Refusal {
        status: 413,
        why: Shown::new("the file is too large to be changed in a browser"),
        hint: Shown::new("Apply it from the command line: countersign apply -f DIR."),
    });
    if let Some(no) = no {
        return refused(&no);
    }
    let (path, text) = match (text, first::begun(&signed)) {
        (Some(text), _) => (path, text),
        (None, Some(begun)) if path.is_empty() => begun,
        (None, _) => (path, String::new()),
    };
    let draft = Draft { path, is_new, text, message, base: latest, removes: false };
    editor(&signed, draft, None, false, None).await
}

/// `POST /console/policies/edit`: checks it, shows the difference, or applies it.
pub(crate) async fn change(Changing { signed, form }: Changing) -> Response<Body> {
    let draft = Draft::of(&form);
    let step = form.get("step");
    let files = match draft.files(&signed.ask).await {
        Ok(files) => files,
        Err(no) => return editor(&signed, draft, None, false, Some(no)).await,
    };
    if matches!(step, "apply" | "remove-apply") {
        let order = json!({
            "files": files, "base": draft.base, "message": draft.message,
            "allow_lock_out": form.get("allow_lock_out") == "true",
        });
        return match signed.ask.post("/v1/configuration", &order).await {
            Ok(_) => see_other("/console/policies?did=applied", &[]),
            Err(no) => editor(&signed, draft, None, false, Some(no)).await,
        };
    }
    match signed.ask.post("/v1/configuration/diff", &json!({ "files": files })).await {
        Ok(told) => editor(&signed, draft, Some(Difference::of(&told)), step == "check", None).await,
        Err(no) => editor(&signed, draft, None, false, Some(no)).await,
    }
}

/// A revision in a list.
pub(crate) struct Row {
    pub(crate) revision: u64,
    pub(crate) by: Shown,
    pub(crate) at: Shown,
    pub(crate) message: Shown,
    pub(crate) in_force: bool,
}

fn row(r: Facts<'_>, in_force: u64) -> Row {
    let revision = r.at("revision").number();
    Row {
        revision,
        by: r.at("by").text(),
        at: super::locks::moment(r.at("at")),
        message: r.at("message").text(),
        in_force: revision == in_force,
    }
}

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    shell: Shell,
    rows: Vec<Row>,
    problem: Shown,
    older: Option<String>,
    trouble: Option<Shown>,
}

/// `GET /console/policies/history`.
pub(crate) async fn history(signed: Signed) -> Response<Body> {
    let before = signed.query.get("before").parse::<u64>().map(|n| format!("&before={n}")).unwrap_or_default();
    let (page, no) = match signed.ask.get(&format!("/v1/configuration/revisions?limit={PAGE}{before}")).await {
        Ok(page) => (page, None),
        Err(no) => (Value::Null, Some(no)),
    };
    let told = Facts::of(&page);
    let in_force = told.at("in_force").number();
    let next = told.at("next").number();
    let status = no.as_ref().and_then(|no| StatusCode::from_u16(no.status).ok()).unwrap_or(StatusCode::OK);
    let page = HistoryPage {
        shell: Shell::of(&signed, "policies", "What was applied").await,
        rows: told.at("revisions").list().map(|r| row(r, in_force)).collect(),
        problem: told.at("problem").text(),
        older: (next > 0).then(|| format!("/console/policies/history?before={next}")),
        trouble: no.as_ref().map(because),
    };
    html(status, &page)
}

#[derive(Template)]
#[template(path = "revision.html")]
struct RevisionPage {
    shell: Shell,
    row: Row,
    digest: Shown,
    /// What it changed.
    did: Difference,
    /// What applying it again would change, where that is something.
    back: Option<Difference>,
    message: Shown,
    trouble: Option<Shown>,
}

/// `GET /console/policies/history/{n}`.
pub(crate) async fn revision(Path(n): Path<u64>, signed: Signed) -> Response<Body> {
    shown(&signed, n, None).await
}

async fn shown(signed: &Signed, n: u64, failed: Option<Refusal>) -> Response<Body> {
    let path = format!("/v1/configuration/revisions/{n}");
    let found = match signed.ask.get(&path).await {
        Ok(found) => found,
        Err(no) => return refused(&no),
    };
    let found = Facts::of(&found);
    let before = n.saturating_sub(1);
    let did = if before == 0 {
        let files: Vec<Value> = files_of(&signed.ask, n).await.unwrap_or_default();
        // Nothing was there before: the files themselves are what it changed.
        let all = files.iter().map(|f| {
            let text = Facts::of(f).at("text").raw();
            let lines: String = text.lines().map(|l| format!("+{l}\n")).collect();
            json!({ "path": path_of(f), "change": "added", "diff": lines })
        });
        Difference::of(&json!({ "files": all.collect::<Vec<_>>() }))
    } else {
        let told = signed.ask.get(&format!("{path}/diff?from={before}")).await;
        Difference::of(&told.unwrap_or_default())
    };
    let back = signed.ask.get(&format!("{path}/diff")).await.ok().map(|told| Difference::of(&told));
    let status = failed.as_ref().and_then(|no| StatusCode::from_u16(no.status).ok()).unwrap_or(StatusCode::OK);
    let page = RevisionPage {
        shell: Shell::of(signed, "policies", &format!("Revision {n}")).await,
        row: row(found, 0),
        digest: found.at("digest").text(),
        did,
        back: back.filter(|b| !b.is_nothing()),
        message: Shown::new(&format!("back to revision {n}")),
        trouble: failed.as_ref().map(because),
    };
    html(status, &page)
}

/// `POST /console/policies/history/{n}/apply`: applies it again.
pub(crate) async fn revert(Path(n): Path<u64>, Changing { signed, form }: Changing) -> Response<Body> {
    let order = json!({
        "base": form.get("base").parse::<u64>().unwrap_or(0), "message": form.get("message"),
        "allow_lock_out": form.get("allow_lock_out") == "true",
    });
    match signed.ask.post(&format!("/v1/configuration/revisions/{n}/apply"), &order).await {
        Ok(_) => see_other("/console/policies?did=applied", &[]),
        Err(no) => shown(&signed, n, Some(no)).await,
    }
}

/// A file that is applied, in a list, with the way to change it.
pub(crate) struct FileRow {
    pub(crate) path: Shown,
    pub(crate) href: String,
}

/// What is applied now, for the page of policies.
pub(crate) struct Now {
    pub(crate) latest: Option<Row>,
    pub(crate) files: Vec<FileRow>,
    pub(crate) problem: Shown,
}

impl Now {
    /// As the API says; nothing where it says no.
    pub(crate) async fn of(ask: &Ask) -> Option<Self> {
        let page = ask.get("/v1/configuration/revisions?limit=1").await.ok()?;
        let told = Facts::of(&page);
        let files = files_of(ask, told.at("latest").number()).await.unwrap_or_default();
        let in_force = told.at("in_force").number();
        let file = |f: &Value| FileRow {
            path: Shown::new(path_of(f)),
            href: format!("/console/policies/edit?path={}", encoded(path_of(f))),
        };
        Some(Self {
            latest: told.at("revisions").list().next().map(|r| row(r, in_force)),
            files: files.iter().map(file).collect(),
            problem: told.at("problem").text(),
        })
    }
}
