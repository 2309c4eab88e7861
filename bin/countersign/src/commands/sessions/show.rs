//! `countersign sessions show`: one session from its beginning to its end.

use clap::Args;
use countersign_model::Timestamp;
use countersign_recording::{SessionState, SessionSummary, StatementView, TimelineItem};

use crate::cli::Format;
use crate::failed::Failed;

use super::super::paper::Paper;
use super::super::text::{count, cut, inert, inert_lines, lasted, moment, one_line, wrap};
use super::{Chosen, Damaged, Recordings, is_json, recording_failed, words};

/// Lines of a statement that are shown without --full.
const TEXT_LINES_MAX: usize = 3;
/// Parameters that are shown without --full.
const PARAMETERS_MAX: usize = 8;
const INDENT: usize = 10;

/// `countersign sessions show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    recordings: Recordings,
    /// The session's id, or "latest".
    #[arg(value_name = "SESSION", value_parser = Chosen::parse)]
    session: Chosen,
    /// The most things to show, 1 to 10000.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    /// Pass over so many: where the page before ended.
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: u64,
    /// Show statements and parameters whole.
    #[arg(long)]
    full: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(super) fn run(args: &Show, paper: &mut Paper) -> Result<(), Failed> {
    let reader = args.recordings.reader()?;
    let id = args.session.find(&reader)?;
    let summary = reader.session(id).map_err(recording_failed)?;
    let page = reader.timeline(id, args.after, usize::from(args.limit)).map_err(recording_failed)?;
    let mut damaged = Damaged::default();
    page.problems.iter().for_each(|p| damaged.say(p));
    if is_json(args.output) {
        paper.json(&serde_json::json!({
            "session": summary, "timeline": page.items, "next": page.next, "problems": page.problems,
        }))?;
    } else {
        if args.after == 0 {
            head(&summary, paper)?;
        }
        for item in &page.items {
            print(item, &summary, args.full, paper)?;
            if paper.gone() {
                break;
            }
        }
        if let Some(next) = page.next {
            paper.line(&format!("\nmore: --after {next}"))?;
        }
    }
    paper.done()?;
    damaged.end()
}

fn head(s: &SessionSummary, paper: &mut Paper) -> Result<(), Failed> {
    let state = match s.state {
        SessionState::Live => "goes on".to_owned(),
        SessionState::Closed => format!("lasted {}", lasted(s.last_at.since_us(s.started_at))),
        SessionState::Unfinished => "was cut off: its gateway ended first".to_owned(),
    };
    let part = if s.part.is_empty() { String::new() } else { format!("/{}", s.part) };
    let mut counts =
        vec![count(s.statements, "statement"), format!("{} denied", s.denied), format!("{} failed", s.failed)];
    counts.push(count(s.rows, "row"));
    let login = s.login.as_deref().map(|login| format!(", login {login}")).unwrap_or_default();
    for (name, value) in [
        ("session", s.id.to_string()),
        ("who", format!("{} ({}), vouched for by {}", s.identity, s.kind.as_str(), s.issuer)),
        ("by", format!("a credential that is {}{login}", s.credential.as_str())),
        ("target", format!("{}{part} ({})", s.target, s.protocol)),
        ("from", format!("{} {}", s.source, s.application)),
        ("began", format!("{} UTC, {state}", moment(s.started_at))),
        ("counts", counts.join(", ")),
    ] {
        paper.line(&cut(&format!("{name:INDENT$}{}", inert(&value)), paper.width()))?;
    }
    if s.truncated {
        paper.line("          its beginning is not kept any more, so the counts are of the rest")?;
    }
    paper.line("")
}

fn print(item: &TimelineItem, s: &SessionSummary, full: bool, paper: &mut Paper) -> Result<(), Failed> {
    match item {
        TimelineItem::Opened { at, header } => {
            let groups: Vec<&str> = header.identity.groups.iter().map(String::as_str).collect();
            let groups = if groups.is_empty() { "in no group".to_owned() } else { format!("in {}", groups.join(", ")) };
            let tls = if header.encrypted { "encrypted" } else { "in plain text" };
            let mut who = format!("opened by {}, {groups}, {tls}", header.identity.name);
            for actor in &header.identity.delegation {
                who.push_str(&format!(", through {} ({})", actor.name, actor.kind.as_str()));
            }
            note(*at, s, &who, paper)
        }
        TimelineItem::Statement(view) => statement(view, s, full, paper),
        TimelineItem::Event { at, event } => note(*at, s, &words::event(event), paper),
        TimelineItem::LateOutcome { at, outcome } => {
            note(*at, s, &format!("#{} {}", outcome.seq, words::outcome(outcome)), paper)
        }
        TimelineItem::Closed { at, closed } => note(*at, s, &format!("closed: {}", words::closed(closed)), paper),
        TimelineItem::Abandoned { at } => note(*at, s, "its recording was dropped without an end", paper),
        _ => Ok(()),
    }
}

/// Since the session's beginning.
fn since(at: Timestamp, s: &SessionSummary) -> String {
    let us = at.since_us(s.started_at);
    format!("{:>8}", format!("+{}.{:03}", us / 1_000_000, us / 1000 % 1000))
}

fn note(at: Timestamp, s: &SessionSummary, what: &str, paper: &mut Paper) -> Result<(), Failed> {
    let room = paper.width().saturating_sub(INDENT);
    for (n, line) in wrap(&inert(what), room).iter().enumerate() {
        let at = if n == 0 { since(at, s) } else { String::new() };
        paper.line(&format!("{at:INDENT$}{line}"))?;
    }
    Ok(())
}

fn statement(view: &StatementView, s: &SessionSummary, full: bool, paper: &mut Paper) -> Result<(), Failed> {
    let intent = &view.intent;
    let verdict = &intent.definition.verdict;
    let mut first =
        format!("#{} {} {} ({})", intent.seq, words::decision(verdict), words::what(intent), words::because(intent));
    let effects = words::effects(verdict);
    if !effects.is_empty() {
        first.push_str(&format!("; {effects}"));
    }
    note(view.at, s, &first, paper)?;
    let room = paper.width().saturating_sub(INDENT + 2);
    let indented = |line: &str, paper: &mut Paper| paper.line(&format!("{:1$}{line}", "", INDENT + 2));
    let mut lines: Vec<String> = if full {
        inert_lines(&intent.text).iter().flat_map(|l| wrap(l, room)).collect()
    } else {
        wrap(&one_line(&intent.text), room)
    };
    if !full && lines.len() > TEXT_LINES_MAX {
        lines.truncate(TEXT_LINES_MAX);
        if let Some(last) = lines.last_mut() {
            *last = cut(&format!("{last}{}", " ".repeat(room)), room);
        }
    }
    for line in lines.iter().filter(|l| !l.is_empty()) {
        indented(line, paper)?;
    }
    let parameters = words::parameters(&s.protocol, &intent.parameters);
    let shown = if full { parameters.len() } else { PARAMETERS_MAX };
    for parameter in parameters.iter().take(shown) {
        indented(&cut(parameter, if full { usize::MAX } else { room }), paper)?;
    }
    if parameters.len() > shown {
        indented(&format!("… and {} more", parameters.len() - shown), paper)?;
    }
    match &view.outcome {
        Some((_, outcome)) => indented(&format!("→ {}", words::outcome(outcome)), paper),
        None if verdict.decision != countersign_model::Decision::Deny => match s.state {
            SessionState::Live => indented("→ still runs, or waits for a review", paper),
            _ => indented("→ how it ended is not known", paper),
        },
        None => Ok(()),
    }
}
