//! Targets: which there are for whoever looks, how to connect, and which rules let them do what. And the rules about tags.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde_json::Value;

use super::{Shell, because};
use crate::console::Shared;
use crate::facts::{Facts, encoded};
use crate::guard::Signed;
use crate::respond::html;
use crate::shown::Shown;

/// Targets on a page.
const PAGE: usize = 100;

struct AccessRow {
    access: Shown,
    /// `may`, `asks` or `no`.
    class: &'static str,
    permits: Shown,
    forbids: Shown,
    grants: Shown,
}

struct TargetRow {
    name: Shown,
    protocol: Shown,
    labels: Vec<Shown>,
    applied: bool,
    sessions: u64,
    accesses: Vec<AccessRow>,
    may_ask: bool,
    /// Commands to paste, each with what it is for.
    lines: Vec<(&'static str, Shown)>,
    query: String,
}

#[derive(Template)]
#[template(path = "targets.html")]
struct TargetsPage {
    shell: Shell,
    rows: Vec<TargetRow>,
    everybody: bool,
    /// Where the gateway is, for the command that logs in.
    base: Shown,
    /// The gateway's certificate is of an authority of its own.
    own_ca: bool,
    more: Option<String>,
    trouble: Option<Shown>,
}

fn access(a: Facts<'_>) -> AccessRow {
    let (permits, grants) = (a.at("permits").texts(), a.at("grants").texts());
    let class = match (permits.is_empty(), grants.is_empty()) {
        (false, _) => "may",
        (true, false) => "asks",
        (true, true) => "no",
    };
    AccessRow { access: a.at("access").text(), class, permits, forbids: a.at("forbids").texts(), grants }
}

/// Whether a text means the same to a shell and in a connection string as it reads.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.@-".contains(&b))
        && !text.starts_with('-')
}

/// The host of an address that browsers reach the gateway under.
fn host(base: &str) -> &str {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    let end = rest.rfind(':').filter(|at| rest.get(at + 1..).is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit())));
    end.and_then(|at| rest.get(..at)).unwrap_or(rest).trim_matches(['[', ']'])
}

pub(super) fn lines(t: Facts<'_>, who: &str, base: &str, own_ca: bool) -> Vec<(&'static str, Shown)> {
    let name = t.at("name").raw();
    if !is_plain(name) {
        return Vec::new();
    }
    match t.at("protocol").raw() {
        "postgres" => {
            let mut all = vec![("With your login", format!("countersign connect {name} -- psql"))];
            let port = t.at("listeners").list().next().and_then(|l| l.raw().rsplit(':').next()).unwrap_or_default();
            if is_plain(who) && is_plain(host(base)) && is_plain(port) {
                // A certificate that the gateway made itself is vouched for by nobody that a system knows.
                let ca = if own_ca { "gateway-ca.pem" } else { "system" };
                let (host, tls) = (host(base), format!("sslmode=verify-full sslrootcert={ca}"));
                let line = format!("psql \"host={host} port={port} dbname={name} user={who} {tls}\"");
                all.push(("With a token as the password", line));
            }
            all.into_iter().map(|(what, line)| (what, Shown::new(&line))).collect()
        }
        "ssh" => vec![
            ("Once", Shown::new(&format!("countersign ssh-config {name} >> ~/.ssh/countersign.conf"))),
            ("Then", Shown::new(&format!("ssh {name}"))),
        ],
        _ => Vec::new(),
    }
}

/// `GET /console/targets`.
pub(crate) async fn list(State(console): State<Arc<Shared>>, signed: Signed) -> Response<Body> {
    let everybody = signed.query.get("everybody") == "true";
    let after = signed.query.get("after");
    let after = if is_plain(after) { format!("&after={after}") } else { String::new() };
    let (page, no) = match signed.ask.get(&format!("/v1/targets?everybody={everybody}&limit={PAGE}{after}")).await {
        Ok(page) => (page, None),
        Err(no) => (Value::Null, Some(no)),
    };
    let status = no.as_ref().and_then(|no| StatusCode::from_u16(no.status).ok()).unwrap_or(StatusCode::OK);
    let base = console.parts.gateway();
    let who = &signed.entered.identity.name;
    let facts = signed.ask.get("/v1/login").await.unwrap_or_default();
    let own_ca = Facts::of(&facts).at("gateway_ca_pem").is_there();
    let told = Facts::of(&page);
    let row = |t: Facts<'_>| {
        let accesses: Vec<AccessRow> = t.at("accesses").list().map(access).collect();
        TargetRow {
            name: t.at("name").text(),
            protocol: t.at("protocol").text(),
            labels: t.at("labels").members().map(|(k, v)| Shown::new(&format!("{k}: {}", v.text()))).collect(),
            applied: t.at("applied").flag(),
            sessions: t.at("sessions").number(),
            may_ask: accesses.iter().any(|a| !a.grants.is_empty()),
            accesses,
            lines: lines(t, who, base, own_ca),
            query: encoded(t.at("name").raw()),
        }
    };
    let next = told.at("next").raw();
    let page = TargetsPage {
        shell: Shell::of(&signed, "targets", "Targets").await,
        rows: told.at("targets").list().map(row).collect(),
        everybody,
        base: Shown::new(base),
        own_ca,
        more: is_plain(next).then(|| format!("/console/targets?everybody={everybody}&after={next}")),
        trouble: no.as_ref().map(because),
    };
    html(status, &page)
}

struct RuleRow {
    column: Shown,
    data_type: Shown,
    tag: Shown,
    applied: bool,
    idle_in: Shown,
}

struct TagsRow {
    target: Shown,
    rules: Vec<RuleRow>,
    comments: bool,
    detect: Shown,
}

#[derive(Template)]
#[template(path = "tags.html")]
struct TagsPage {
    shell: Shell,
    rows: Vec<TagsRow>,
    trouble: Option<Shown>,
}

/// `GET /console/tags`.
pub(crate) async fn tags(signed: Signed) -> Response<Body> {
    let (page, no) = match signed.ask.get("/v1/tags").await {
        Ok(page) => (page, None),
        Err(no) => (Value::Null, Some(no)),
    };
    let status = no.as_ref().and_then(|no| StatusCode::from_u16(no.status).ok()).unwrap_or(StatusCode::OK);
    let rule = |r: Facts<'_>| RuleRow {
        column: r.at("column").text(),
        data_type: r.at("type").text(),
        tag: r.at("tag").text(),
        applied: r.at("applied").flag(),
        idle_in: r.at("idle_in").texts(),
    };
    let row = |t: Facts<'_>| TagsRow {
        target: t.at("target").text(),
        rules: t.at("rules").list().map(rule).collect(),
        comments: t.at("comments").flag(),
        detect: t.at("detect").texts(),
    };
    let page = TagsPage {
        shell: Shell::of(&signed, "tags", "Tags").await,
        rows: Facts::of(&page).at("targets").list().map(row).collect(),
        trouble: no.as_ref().map(because),
    };
    html(status, &page)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_pasted_means_what_it_reads() {
        for (text, plain) in [
            ("ana", true),
            ("ana@example.com", true),
            ("ci-1.x_y", true),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("$(id)", false),
            ("a'b", false),
            ("-x", false),
            ("a;b", false),
            ("ä", false),
        ] {
            assert_eq!(is_plain(text), plain, "{text:?}");
        }
        for (base, want) in [
            ("https://gw.example.com", "gw.example.com"),
            ("https://gw.example.com:7070", "gw.example.com"),
            ("http://127.0.0.1:7070", "127.0.0.1"),
            ("https://[::1]:7070", "::1"),
            ("", ""),
        ] {
            assert_eq!(host(base), want, "{base}");
        }
        let shop = json!({ "name": "shop", "protocol": "postgres", "listeners": ["0.0.0.0:6432"] });
        let of = |who: &str| lines(Facts::of(&shop), who, "https://gw.example.com:7070", true).len();
        assert_eq!((of("ana"), of("ana\" -c evil \"")), (2, 1));
        let odd = json!({ "name": "$(id)", "protocol": "postgres", "listeners": ["0.0.0.0:6432"] });
        assert!(lines(Facts::of(&odd), "ana", "https://gw.example.com", false).is_empty());
    }
}
