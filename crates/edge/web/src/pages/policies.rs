//! The policies in force, to read.

use askama::Template;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::Value;

use super::applied::Now;
use super::{Shell, because};
use crate::facts::Facts;
use crate::guard::Signed;
use crate::respond::html;
use crate::shown::Shown;

/// The most of one file that is shown, in characters: the file has the rest.
const FILE_CHARS_MAX: usize = 40_000;

struct Rule {
    id: Shown,
    effect: Shown,
    description: Shown,
    line: u64,
    file: usize,
    effects: Shown,
}

struct File {
    number: usize,
    path: Shown,
    lines: Vec<Shown>,
    cut: bool,
}

#[derive(Template)]
#[template(path = "policies.html")]
struct PoliciesPage {
    shell: Shell,
    epoch: u64,
    rules: Vec<Rule>,
    files: Vec<File>,
    warnings: Vec<Shown>,
    now: Option<Now>,
    trouble: Option<Shown>,
}

fn effects(r: Facts<'_>) -> Shown {
    let mut all: Vec<String> = r
        .at("limits")
        .members()
        .filter(|(_, n)| n.is_there())
        .map(|(name, n)| format!("at most {} {name}", n.number()))
        .collect();
    let masks: Vec<String> = r.at("masks").list().map(|m| m.at("tag").text().to_string()).collect();
    if !masks.is_empty() {
        all.push(format!("masks {}", masks.join(", ")));
    }
    if r.at("alert").is_there() {
        all.push(format!("alert: {}", r.at("alert").text()));
    }
    let needs: Vec<String> = r
        .at("review")
        .at("requirements")
        .list()
        .map(|one| format!("{} of {}", one.at("people").number(), one.at("group").text()))
        .collect();
    if !needs.is_empty() {
        all.push(format!("holds for {}", needs.join(" and ")));
    }
    Shown::new(&all.join("; "))
}

/// `GET /console/policies`.
pub(crate) async fn show(signed: Signed) -> Response<Body> {
    let (page, trouble) = match signed.ask.get("/v1/policies").await {
        Ok(page) => (page, None),
        Err(no) => (Value::Null, Some(because(&no))),
    };
    let page = Facts::of(&page);
    let paths: Vec<&str> = page.at("files").list().map(|f| f.at("path").raw()).collect();
    let rule = |r: Facts<'_>| Rule {
        id: r.at("id").text(),
        effect: r.at("effect").text(),
        description: r.at("description").text(),
        line: r.at("line").number(),
        file: paths.iter().position(|p| *p == r.at("file").raw()).unwrap_or(0),
        effects: effects(r),
    };
    let file = |(number, f): (usize, Facts<'_>)| {
        let text = f.at("text").raw();
        let shown: String = text.chars().take(FILE_CHARS_MAX).collect();
        File {
            number,
            path: f.at("path").text(),
            cut: shown.len() < text.len(),
            lines: shown.lines().map(Shown::lines).collect(),
        }
    };
    let page = PoliciesPage {
        shell: Shell::of(&signed, "policies", "Policies").await,
        epoch: page.at("epoch").number(),
        rules: page.at("rules").list().map(rule).collect(),
        files: page.at("files").list().enumerate().map(file).collect(),
        warnings: page.at("warnings").list().map(Facts::text).collect(),
        now: Now::of(&signed.ask).await,
        trouble,
    };
    html(StatusCode::OK, &page)
}
