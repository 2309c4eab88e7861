//! `countersign reviews`: what waits for people, and their answers.

use clap::{Args, Subcommand};
use countersign_model::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::gateway::Gateway;
use super::grants::Answered;
use super::session::{At, fresh};
use super::sheet::Sheet;
use super::watch::{Changes, clear};
use crate::cli::Format;
use crate::clock;
use crate::commands::paper::Paper;
use crate::commands::prompt;
use crate::commands::table::{Column, Table};
use crate::commands::text::{inert_lines, lasted, moment, one_line, short_moment, wrap};
use crate::commands::whole_parameters;
use crate::failed::Failed;

/// How far the text of a statement is from the edge.
const INDENT: usize = 2;

/// `countersign reviews`.
#[derive(Debug, Subcommand)]
pub(crate) enum Reviews {
    /// Lists what you asked for and what you may be asked, latest first.
    #[command(
        after_help = "Example: countersign reviews list\nExample: countersign reviews list --all --answered-by rita --since 2h --output json"
    )]
    List(List),
    /// Shows one: who asks, the whole statement with its parameters, what was said.
    #[command(after_help = "Example: countersign reviews show 01J9ZQ4T7Y")]
    Show(Chosen),
    /// Says yes. Exactly what you are shown goes on, once, when enough people say so.
    #[command(after_help = "Example: countersign reviews approve 01J9ZQ4T7Y --comment 'ticket 4711'\n\n\
                      Where a second factor is asked for, the code of your authenticator app is asked for on a terminal, or given with \
                      --code. What needs a security key is approved in the console: then it prints where, and exits with 5.")]
    Approve(Approve),
    /// Says no: the statement is refused, its session goes on.
    #[command(after_help = "Example: countersign reviews deny 01J9ZQ4T7Y --comment 'not on a Friday'")]
    Deny(Said),
    /// Says something, for everybody who may see it.
    #[command(after_help = "Example: countersign reviews comment 01J9ZQ4T7Y --comment 'why all rows?'")]
    Comment(Said),
    /// Takes back what you asked for.
    #[command(after_help = "Example: countersign reviews withdraw 01J9ZQ4T7Y")]
    Withdraw(Chosen),
}

/// Which ones.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    at: At,
    /// Also those that are over.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    answered: Answered,
    /// Those older than this one: where the list before ended.
    #[arg(long, value_name = "REVIEW")]
    before: Option<String>,
    /// Goes on: the list again, each time that a review is asked for or changes.
    #[arg(long)]
    watch: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// One of them.
#[derive(Debug, Args)]
pub(crate) struct Chosen {
    #[command(flatten)]
    at: At,
    /// The review's id.
    #[arg(value_name = "REVIEW")]
    review: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// An answer to one of them.
#[derive(Debug, Args)]
pub(crate) struct Said {
    #[command(flatten)]
    chosen: Chosen,
    /// What you have to say; the asker reads it.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// The digest of what you looked at (`action` in `show --output json`): anything else is not answered. Without it, it is what the
    /// gateway shows now.
    #[arg(long, value_name = "DIGEST")]
    action: Option<String>,
}

/// A yes to one of them.
#[derive(Debug, Args)]
pub(crate) struct Approve {
    #[command(flatten)]
    said: Said,
    /// The code that your authenticator app shows, where a second factor is asked for.
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
}

/// Runs one of them.
pub(super) async fn run(command: &Reviews) -> Result<(), Failed> {
    match command {
        Reviews::List(args) if args.watch => {
            let mut changes = Changes::open(&args.at.clone().into()).await?;
            let mut paper = Paper::new();
            while !paper.gone() {
                clear()?;
                list(args, &mut paper).await?;
                changes.wait("review").await?;
            }
            Ok(())
        }
        Reviews::List(args) => list(args, &mut Paper::new()).await,
        Reviews::Show(args) => {
            let review = find(&open(&args.at).await?, &args.review).await?;
            print(&review, args.output)
        }
        Reviews::Approve(args) => approve(args).await,
        Reviews::Deny(args) => say(args, "deny").await,
        Reviews::Comment(args) if args.comment.is_none() => Err(Failed::new("a comment needs --comment TEXT")),
        Reviews::Comment(args) => say(args, "comment").await,
        Reviews::Withdraw(args) => {
            let gateway = open(&args.at).await?;
            let path = format!("/v1/reviews/{}/withdraw", id(&args.review)?);
            let review: Value = gateway.operation(Method::POST, &path, &[], None, None).await?;
            print(&review, args.output)
        }
    }
}

pub(super) async fn open(at: &At) -> Result<Gateway, Failed> {
    Ok(open_with_url(at).await?.0)
}

/// The gateway, and where it is.
async fn open_with_url(at: &At) -> Result<(Gateway, String), Failed> {
    let login = fresh(&at.state()?).await?;
    let url = login.facts.url()?;
    let gateway = Gateway::new(&url, &login.trust(), Some(&login.credential))?;
    Ok((gateway, url.as_str().trim_end_matches('/').to_owned()))
}

/// An id as it may stand in a path.
pub(super) fn id(text: &str) -> Result<&str, Failed> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok(text);
    }
    Err(Failed::new("the id of a review is letters and digits: `countersign reviews list` shows them"))
}

async fn find(gateway: &Gateway, review: &str) -> Result<Value, Failed> {
    Ok(gateway.operation(Method::GET, &format!("/v1/reviews/{}", id(review)?), &[], None, None).await?)
}

/// What a yes is shown with, where the review asks for something: a code that was given, or is asked for here.
fn factor(review: &Value, id: &str, code: Option<&str>, gateway: &str) -> Result<Option<Value>, Failed> {
    let shown = |code: &str| Some(json!({ "code": code.trim() }));
    match (text_of(review, "factor").as_deref(), code) {
        (None, None) => Ok(None),
        (None | Some("totp"), Some(code)) => Ok(shown(code)),
        (Some("totp"), None) => {
            let typed = prompt::ask("Code of your authenticator app")?;
            let needs = || {
                Failed::needs_factor(format!(
                    "a yes to this needs a second factor: give --code, or approve it with a security key at\n{gateway}/console/inbox/{id}"
                ))
            };
            Ok(shown(typed.ok_or_else(needs)?.expose_str().unwrap_or_default()))
        }
        (Some(_), _) => Err(Failed::needs_factor(format!(
            "a yes to this is signed by a security key: approve it at\n{gateway}/console/inbox/{id}"
        ))),
    }
}

async fn approve(args: &Approve) -> Result<(), Failed> {
    let Chosen { at, review, .. } = &args.said.chosen;
    let (gateway, url) = open_with_url(at).await?;
    let shown = find(&gateway, review).await?;
    let action = args.said.action.clone().or_else(|| text_of(&shown, "action"));
    let mut body = json!({ "comment": args.said.comment, "action": action });
    let may = shown.get("may_answer").and_then(Value::as_bool).unwrap_or(false);
    // Who may not say yes is told why, and asked for nothing.
    let factor = if may { factor(&shown, id(review)?, args.code.as_deref(), &url)? } else { None };
    if let (Some(members), Some(factor)) = (body.as_object_mut(), factor) {
        members.insert("factor".to_owned(), factor);
    }
    send(&gateway, &args.said.chosen, "approve", &body).await
}

async fn say(args: &Said, verb: &str) -> Result<(), Failed> {
    let gateway = open(&args.chosen.at).await?;
    let looked_at = match &args.action {
        Some(action) => Some(action.clone()),
        None => text_of(&find(&gateway, &args.chosen.review).await?, "action"),
    };
    let body = json!({ "comment": args.comment, "action": looked_at });
    send(&gateway, &args.chosen, verb, &body).await
}

async fn send(gateway: &Gateway, chosen: &Chosen, verb: &str, body: &Value) -> Result<(), Failed> {
    let Chosen { review, output, .. } = chosen;
    let path = format!("/v1/reviews/{}/{verb}", id(review)?);
    let review: Value = gateway.operation(Method::POST, &path, &[], Some(body), None).await?;
    print(&review, *output)
}

async fn list(args: &List, paper: &mut Paper) -> Result<(), Failed> {
    let mut query = args.answered.query();
    if args.all {
        query.push(("all", "true".to_owned()));
    }
    query.extend(args.before.clone().map(|before| ("before", before)));
    let listed: Value = open(&args.at).await?.operation(Method::GET, "/v1/reviews", &query, None, None).await?;
    let none = if args.all { "there are no reviews that you may see" } else { "nothing waits" };
    print_list(paper, &listed, "reviews", table, args.output, none)
}

/// A page of a list: its members under `name` as a table, and where the next page begins; `none` where there are no members.
pub(super) fn print_list(
    paper: &mut Paper,
    listed: &Value,
    name: &str,
    table: impl Fn(&[Value], Timestamp) -> Table,
    output: Format,
    none: &str,
) -> Result<(), Failed> {
    let members = listed.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let next = text_of(listed, "next");
    paper.page(output, listed, (members, none), |members| table(members, clock::now()), next.as_deref())?;
    paper.done()
}

fn table(reviews: &[Value], now: Timestamp) -> Table {
    let mut table = Table::new(vec![
        Column::whole("REVIEW"),
        Column::whole("ASKED"),
        Column::text("STATUS"),
        Column::text("WHO"),
        Column::text("TARGET"),
        Column::text("WHAT"),
    ]);
    for r in reviews {
        let asked = seconds(r, "created_at").map(|at| short_moment(at, now)).unwrap_or_default();
        let who = r.get("asker").and_then(|a| text_of(a, "name")).unwrap_or_default();
        let what = text_of(r, "text").map(|t| one_line(t.as_bytes())).unwrap_or_default();
        let text = |name: &str| text_of(r, name).unwrap_or_default();
        table.row([text("id"), asked, text("status"), who, text("target"), what]);
    }
    table
}

fn print(review: &Value, output: Format) -> Result<(), Failed> {
    let mut paper = Paper::new();
    match output {
        Format::Json => paper.json(review)?,
        Format::Text => {
            sheet(review, clock::now()).print(&mut paper)?;
            statement(review, &mut paper)?;
        }
    }
    paper.done()
}

pub(super) fn text_of(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

pub(super) fn seconds(value: &Value, name: &str) -> Option<Timestamp> {
    value.get(name).and_then(Value::as_i64).map(Timestamp::from_unix_s)
}

pub(super) fn texts(value: Option<&Value>) -> String {
    let all = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    all.collect::<Vec<_>>().join(", ")
}

/// Who asks, through whom.
pub(super) fn add_asker(sheet: &mut Sheet, value: &Value) {
    let Some(asker) = value.get("asker") else { return };
    let part = |name: &str| text_of(asker, name).unwrap_or_default();
    let through = texts(asker.get("acting"));
    let through = if through.is_empty() { String::new() } else { format!(" through {through}") };
    sheet.add("who", &format!("{} ({}){through}, vouched for by {}", part("name"), part("kind"), part("issuer")));
}

fn sheet(r: &Value, now: Timestamp) -> Sheet {
    let mut sheet = Sheet::default();
    let text = |name: &str| text_of(r, name).unwrap_or_default();
    sheet.add("review", &text("id"));
    let status = text("status");
    let open = matches!(status.as_str(), "pending" | "approved");
    let more = match (open, seconds(r, "expires_at")) {
        (true, Some(at)) => format!(", {} left", lasted(at.since_us(now))),
        _ => text_of(r, "ended_why").map(|why| format!(": {why}")).unwrap_or_default(),
    };
    sheet.add("status", &format!("{status}{more}"));
    add_asker(&mut sheet, r);
    let part = text("part");
    let part = if part.is_empty() { String::new() } else { format!("/{part}") };
    sheet.add("target", &format!("{}{part} ({})", text("target"), text("protocol")));
    if let Some(at) = seconds(r, "created_at") {
        sheet.add("asked", &format!("{} UTC", moment(at)));
    }
    sheet.add("rules", &texts(r.get("rules")));
    let needed = r.get("requirements").and_then(Value::as_array).into_iter().flatten().map(|one| {
        format!(
            "{} of {}",
            one.get("people").and_then(Value::as_u64).unwrap_or(0),
            text_of(one, "group").unwrap_or_default()
        )
    });
    let with = match text_of(r, "factor").as_deref() {
        None => "",
        Some("totp") => ", each with a second factor",
        Some(_) => ", each with a security key",
    };
    sheet.add("needs", &format!("{}{with}", needed.collect::<Vec<_>>().join(" and ")));
    sheet.add("approved by", &texts(r.get("approved_by")));
    for said in r.get("answers").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| text_of(said, name).unwrap_or_default();
        let at = seconds(said, "at").map(|at| short_moment(at, now)).unwrap_or_default();
        let what = match part("verb").as_str() {
            "approve" => "approved",
            "deny" => "denied",
            "comment" => "said",
            "void" => "may not approve any more",
            _ => "answered",
        };
        let how = part("factor");
        let how = if how.is_empty() { how } else { format!(" with {how}") };
        let comment = part("comment");
        let comment = if comment.is_empty() { String::new() } else { format!(": {comment}") };
        sheet.add("answer", &format!("{at} {} {what}{how}{comment}", part("by")));
    }
    sheet.add("session", &text("session"));
    sheet.add("action", &text("action"));
    if open {
        sheet.add("you", &text_of(r, "why_not").unwrap_or_else(|| "may answer".to_owned()));
    }
    sheet
}

/// The statement whole, with its parameters: what is approved.
fn statement(r: &Value, paper: &mut Paper) -> Result<(), Failed> {
    let Some(text) = text_of(r, "text") else { return Ok(()) };
    paper.line("")?;
    let room = paper.width().saturating_sub(INDENT);
    let parameters = text_of(r, "parameters").unwrap_or_default();
    let protocol = text_of(r, "protocol").unwrap_or_default();
    let lines = inert_lines(text.as_bytes()).into_iter().chain(whole_parameters(&protocol, &parameters));
    for line in lines {
        for part in wrap(&line, room) {
            paper.line(&format!("{:INDENT$}{part}", ""))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_review_is_shown_whole_and_inert() {
        let r = json!({
            "id": "01J", "status": "pending", "created_at": 1_767_614_400, "expires_at": 1_767_615_300,
            "asker": { "name": "ana\u{1b}[2J", "kind": "human", "issuer": "https://id", "acting": ["copilot"] },
            "target": "shop", "part": "orders", "protocol": "postgres", "session": "01S", "action": "ab",
            "text": "update orders set a = 1", "rules": ["writes"], "approved_by": ["dora"],
            "requirements": [{ "group": "dbas", "people": 2 }, { "group": "lead", "people": 1 }],
            "answers": [{ "at": 1_767_614_460, "verb": "approve", "by": "dora", "comment": "fine", "factor": "webauthn" }],
            "factor": "webauthn",
            "why_not": null,
        });
        let now = Timestamp::from_unix_s(1_767_614_700);
        let whole = sheet(&r, now).lines(80).join("\n");
        for part in [
            "pending, 10 min 00 s left",
            "ana\\u{1b}[2J (human) through copilot, vouched for by https://id",
            "shop/orders (postgres)",
            "2 of dbas and 1 of lead, each with a security key",
            "dora approved with webauthn: fine",
            "may answer",
        ] {
            assert!(whole.contains(part), "{part} in\n{whole}");
        }
        let lines = table(&[r], now).lines(80);
        assert!(lines.iter().all(|l| crate::commands::text::width(l) <= 80), "{lines:#?}");
        assert!(sheet(&Value::Null, now).lines(80).len() < 5, "what is missing is left out");
    }

    #[test]
    fn a_factor_is_asked_for_only_where_it_does() {
        let needs = |factor: Value, code| factor_of(factor, code).map_err(|no| no.to_string());
        let code = Some(json!({ "code": "123456" }));
        assert_eq!(needs(Value::Null, None), Ok(None));
        assert_eq!(needs(Value::Null, Some("123456")), Ok(code.clone()));
        assert_eq!(needs(json!("totp"), Some(" 123456\n")), Ok(code));
        let key = needs(json!("webauthn"), Some("123456")).unwrap_err();
        assert!(key.contains("security key") && key.ends_with("https://gw/console/inbox/01J"), "{key}");
    }

    fn factor_of(factor: Value, code: Option<&str>) -> Result<Option<Value>, Failed> {
        super::factor(&json!({ "factor": factor }), "01J", code, "https://gw")
    }

    #[test]
    fn an_id_is_no_path() {
        assert!(id("01J9ZQ4T7Y").is_ok());
        for bad in ["", "..", "a/b", "a?b", "a%2e", "é"] {
            assert!(id(bad).is_err(), "{bad}");
        }
    }
}
