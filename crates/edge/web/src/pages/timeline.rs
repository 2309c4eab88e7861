//! One session from its beginning to its end, and the way to cut it off.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use countersign_model::Timestamp;
use serde_json::json;

use super::sessions::Row;
use super::{Shell, because, count, is_id};
use crate::ask::Refusal;
use crate::facts::{Facts, encoded};
use crate::guard::{Changing, Signed};
use crate::respond::{html, refused, see_other, trouble};
use crate::shown::Shown;
use crate::statement::{Piece, pieces};
use crate::when::lasted;

/// The longest text of a statement on this page, in characters; the record has the rest.
const TEXT_CHARS_MAX: usize = 1_500;
/// Things in one page of a session's life.
const ITEMS: u64 = 60;
/// How long the lock lasts that cuts a session off, in seconds: sessions do not come back.
const CUT_S: u64 = 86_400;

/// One thing in the life of a session.
struct Item {
    /// Since the beginning: `+1.250`.
    since: String,
    /// `allow`, `hold`, `deny`, or empty for what is no statement.
    decision: &'static str,
    /// What it is, or what happened.
    what: Shown,
    text: Vec<Piece>,
    cut: bool,
    rules: Vec<Shown>,
    /// The reason where no rule says it, limits, masks.
    notes: Vec<Shown>,
    outcome: Shown,
    bad: bool,
    review: Option<String>,
}

#[derive(Template)]
#[template(path = "timeline.html")]
struct TimelinePage {
    shell: Shell,
    row: Row,
    facts: Vec<(&'static str, Shown)>,
    lock_href: String,
    items: Vec<Item>,
    older: Option<String>,
    problems: Vec<Shown>,
    trouble: Option<Shown>,
}

/// `GET /console/sessions/{id}`.
pub(crate) async fn show(signed: Signed, Path(id): Path<String>) -> Response<Body> {
    life(&signed, &id, None).await
}

async fn life(signed: &Signed, id: &str, failed: Option<Refusal>) -> Response<Body> {
    if !is_id(id) {
        return missing();
    }
    let after: u64 = signed.query.get("after").parse().unwrap_or(0);
    let page = match signed.ask.get(&format!("/v1/recordings/{id}?after={after}&limit={ITEMS}")).await {
        Ok(page) => page,
        Err(no) => return refused(&no),
    };
    let page = Facts::of(&page);
    let s = page.at("session");
    let Some(row) = Row::of(s, signed.now) else { return missing() };
    let began = s.at("started_at").us().unwrap_or(signed.now);
    let facts = vec![
        ("Vouched for by", s.at("issuer").text()),
        ("Credential", s.at("credential").text()),
        ("Login", s.at("login").text()),
        ("From", s.at("source").text()),
        ("Program", s.at("application").text()),
        ("Counts", Shown::new(&counts(s))),
    ];
    let status = failed.as_ref().and_then(|no| StatusCode::from_u16(no.status).ok()).unwrap_or(StatusCode::OK);
    let title = format!("{} on {}", row.who, row.target);
    let page = TimelinePage {
        shell: Shell::of(signed, "sessions", &title).await,
        facts: facts.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        lock_href: format!(
            "/console/locks/new?name={}&issuer={}",
            encoded(s.at("identity").raw()),
            encoded(s.at("issuer").raw())
        ),
        items: page.at("timeline").list().filter_map(|i| item(i, began, &row)).collect(),
        older: Some(page.at("next").number()).filter(|n| *n > 0).map(|n| format!("/console/sessions/{id}?after={n}")),
        problems: page.at("problems").list().map(Facts::text).collect(),
        trouble: failed.as_ref().map(because),
        row,
    };
    html(status, &page)
}

fn missing() -> Response<Body> {
    trouble(
        StatusCode::NOT_FOUND,
        "Not there",
        "There is no such session in the recordings of this gateway.",
        "",
        false,
    )
}

fn counts(s: Facts<'_>) -> String {
    let number = |name: &str| s.at(name).number();
    format!(
        "{}, {} denied, {} failed, {}",
        count(number("statements"), "statement"),
        number("denied"),
        number("failed"),
        count(number("rows"), "row")
    )
}

fn since(at: Option<Timestamp>, began: Timestamp) -> String {
    let us = at.map_or(0, |at| at.since_us(began));
    format!("+{}.{:03}", us / 1_000_000, us / 1000 % 1000)
}

fn item(i: Facts<'_>, began: Timestamp, row: &Row) -> Option<Item> {
    let note = |what: Shown, bad: bool| Item {
        since: since(i.at("at").us(), began),
        decision: "",
        what,
        text: Vec::new(),
        cut: false,
        rules: Vec::new(),
        notes: Vec::new(),
        outcome: Shown::default(),
        bad,
        review: None,
    };
    Some(match i.at("type").raw() {
        "statement" => statement(i, began, row),
        "opened" => {
            let who = i.at("header").at("identity");
            let wire = if i.at("header").at("encrypted").flag() { "encrypted" } else { "in plain text" };
            let through: Vec<String> = who.at("delegation").list().map(|a| a.at("name").text().to_string()).collect();
            let through = if through.is_empty() { String::new() } else { format!(", through {}", through.join(", ")) };
            let groups = who.at("groups").texts();
            let groups = if groups.is_empty() { "no group".to_owned() } else { groups.to_string() };
            note(Shown::new(&format!("opened by {} ({groups}), {wire}{through}", who.at("name").text())), false)
        }
        "event" => return event(i, note),
        "late_outcome" => note(
            Shown::new(&format!("#{} ended: {}", i.at("outcome").at("seq").number(), ended(i.at("outcome")))),
            false,
        ),
        "closed" => {
            let denial = i.at("denial");
            let why = if denial.is_there() { format!(": {}", denial.at("message").text()) } else { String::new() };
            note(Shown::new(&format!("closed ({}){why}", i.at("reason").text())), denial.is_there())
        }
        "abandoned" => note(Shown::new("its recording was dropped without an end"), true),
        _ => return None,
    })
}

fn event(i: Facts<'_>, note: impl Fn(Shown, bool) -> Item) -> Option<Item> {
    Some(match i.at("event").raw() {
        "connected" => note(Shown::new(&format!("connected to the target as {}", i.at("account").text())), false),
        "cancelled" => note(Shown::new("the client asked to cancel what ran"), false),
        "alert" => {
            let text = format!("alert ({}) about #{}", i.at("severity").text(), i.at("intent").number());
            note(Shown::new(&text), true)
        }
        "rejected" => {
            note(Shown::new(&format!("a message was refused: {}", i.at("denial").at("message").text())), true)
        }
        "review" => {
            let by = i.at("by").texts();
            let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
            let more = i.at("note").text();
            let more = if more.is_empty() { String::new() } else { format!(" ({more})") };
            let text = format!("review of #{}: {}{by}{more}", i.at("intent").number(), i.at("step").text());
            let review = i.at("review").raw();
            Item {
                review: is_id(review).then(|| review.to_owned()),
                ..note(Shown::new(&text), matches!(i.at("step").raw(), "denied" | "expired"))
            }
        }
        _ => return None,
    })
}

fn statement(i: Facts<'_>, began: Timestamp, row: &Row) -> Item {
    let (decision, bad) = match i.at("decision").raw() {
        "allow" => ("allow", false),
        "hold" => ("hold", false),
        _ => ("deny", true),
    };
    let text = i.at("text").raw();
    let shown: String = text.chars().take(TEXT_CHARS_MAX).collect();
    let outcome = i.at("outcome");
    let outcome = match (outcome.is_there(), decision) {
        (true, _) => ended(outcome),
        (false, "deny") => String::new(),
        (false, _) if row.is_live() => "still runs, or waits for a review".to_owned(),
        (false, _) => "how it ended is not known".to_owned(),
    };
    let prepared = if i.at("prepares").flag() { ", prepared only" } else { "" };
    let mut notes = Vec::new();
    for name in ["reason", "unreadable"] {
        let why = i.at(name).text();
        if !why.is_empty() && !notes.contains(&why) {
            notes.push(why);
        }
    }
    let denied_for = i.at("denied_for").texts();
    if !denied_for.is_empty() {
        notes.push(Shown::new(&format!("denied for {denied_for}")));
    }
    notes.extend(effects(i.at("effects")));
    Item {
        since: since(i.at("at_unix_us").us(), began),
        decision,
        what: Shown::new(&format!("#{} {}{prepared}", i.at("seq").number(), i.at("kind").text())),
        cut: shown.len() < text.len(),
        text: pieces(&shown),
        rules: i.at("rules").list().map(Facts::text).collect(),
        notes,
        outcome: Shown::new(&outcome),
        bad,
        review: None,
    }
}

/// What goes with a verdict: limits, masks, tags seen in clear, an alert, a review.
fn effects(e: Facts<'_>) -> Vec<Shown> {
    let mut all = Vec::new();
    for (name, limit) in e.at("limits").members().filter(|(_, limit)| limit.is_there()) {
        all.push(format!("at most {} {name}", limit.number()));
    }
    let masks: Vec<String> = e.at("masks").list().map(|m| m.at("tag").text().to_string()).collect();
    if !masks.is_empty() {
        all.push(format!("masks {}", masks.join(", ")));
    }
    let seen = e.at("unmasked").texts();
    if !seen.is_empty() {
        all.push(format!("shows {seen} in clear"));
    }
    let withheld: Vec<String> = e.at("withheld").list().map(|w| w.at("tag").text().to_string()).collect();
    if !withheld.is_empty() {
        all.push(format!("would tell of {}", withheld.join(", ")));
    }
    if e.at("alert").is_there() {
        all.push(format!("alert: {}", e.at("alert").text()));
    }
    all.iter().map(|text| Shown::new(text)).collect()
}

/// `done, 2 rows, 4 masked, 3 ms`.
fn ended(o: Facts<'_>) -> String {
    let code = o.at("code").text();
    let mut parts = vec![if code.is_empty() {
        o.at("status").text().to_string()
    } else {
        format!("{} with {code}", o.at("status").text())
    }];
    if o.at("rows").number() > 0 {
        parts.push(count(o.at("rows").number(), "row"));
    }
    if o.at("affected").is_there() {
        parts.push(format!("{} changed", o.at("affected").number()));
    }
    let masked: u64 = o.at("masked").members().map(|(_, n)| n.number()).sum();
    if masked > 0 {
        parts.push(format!("{masked} masked"));
    }
    parts.push(lasted(o.at("duration_us").number()));
    parts.join(", ")
}

/// `POST /console/sessions/{id}/cut`: a lock on this session, so that it ends wherever it is.
pub(crate) async fn cut(Path(id): Path<String>, Changing { signed, form }: Changing) -> Response<Body> {
    if !is_id(&id) {
        return missing();
    }
    let lock = json!({ "matcher": { "session": id }, "reason": form.get("reason"), "expires_in_s": CUT_S });
    match signed.ask.post("/v1/locks", &lock).await {
        Ok(_) => see_other(&format!("/console/sessions/{id}?did=cut"), &[]),
        Err(no) => life(&signed, &id, Some(no)).await,
    }
}
