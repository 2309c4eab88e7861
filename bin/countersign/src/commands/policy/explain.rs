//! `countersign policy explain`: every rule that mattered to a recorded statement, a text, or an access that is described.

use std::collections::BTreeSet;

use clap::Args;
use countersign_model::{CredentialBinding, RuleId, SessionId, Verdict};
use countersign_policy::Explanation;
use countersign_recording::{IntentRecord, RecordEntry, RecordFilter};

use crate::cli::Format;
use crate::failed::Failed;

use super::super::paper::Paper;
use super::super::sessions::{Recordings, parse_session, recording_failed};
use super::super::text::{inert, moment, one_line, wrap};
use super::catalog::fetch;
use super::question::{Asked, What, Where, Who, is_meant_for};
use super::{Output, Rules, folder};

/// `countersign policy explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    rules: Rules,
    /// The session of a recorded statement.
    #[arg(long, value_name = "SESSION", value_parser = parse_session, requires = "seq")]
    session: Option<SessionId>,
    /// The number of the statement in its session.
    #[arg(long, value_name = "N", requires = "session")]
    seq: Option<u64>,
    /// The folder with the recordings, instead of the configuration's.
    #[arg(long, value_name = "DIR", requires = "session")]
    dir: Option<std::path::PathBuf>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    on: Where,
    #[command(flatten)]
    what: What,
    /// The text of a statement, as a client would send it.
    #[arg(value_name = "TEXT", required_unless_present_any = ["session", "access"], conflicts_with = "session")]
    text: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// What was asked, in words, beside the answer.
struct Answer {
    asked: Asked,
    text: Option<Vec<u8>>,
    recorded: Option<Verdict>,
    /// A name in the text that the target does not have.
    missing: Option<String>,
    explanation: Explanation,
}

/// Runs it.
pub(super) async fn run(args: Explain, paper: &mut Paper) -> Result<(), Failed> {
    let loaded = args.rules.load()?;
    let language = loaded.set.language();
    let mut missing = None;
    let (asked, text, recorded) = if let (Some(session), Some(seq)) = (args.session, args.seq) {
        let recordings = Recordings { config: args.rules.config.clone(), dir: args.dir.clone() };
        let (header, intent, at) = find(&recordings, session, seq)?;
        let asked = Asked::recorded(&header, &intent, args.on.at.unwrap_or(at), language)?;
        (asked, Some(intent.text), Some(intent.definition.verdict.clone()))
    } else {
        let now = args.on.moment();
        let identity = args.who.describe(loaded.config.as_ref(), now).await?;
        let target = args.on.target(&|name| loaded.target(name))?;
        let config = loaded.config.as_ref();
        let own_part = config.and_then(|c| c.targets.iter().find(|t| t.name == target.name)?.database.as_deref());
        let session = args.on.session(now, own_part);
        let shape = match (&args.text, args.what.access) {
            (Some(text), _) => {
                let config = config.ok_or_else(|| {
                    Failed::invalid(
                        "a text is read against the catalog of its target: name the configuration that has the target with \
                         --config, or describe the action with --access and --attribute",
                    )
                })?;
                let part = args.on.part.as_deref();
                let snapshot = fetch(config, target.name.as_str(), part, &|m| is_meant_for(m, &identity)).await?;
                let (shape, name) = snapshot.read(text);
                missing = name;
                shape
            }
            (None, Some(access)) => args.what.shape(access, language)?,
            (None, None) => return Err(Failed::new("give a text, --access, or --session and --seq")),
        };
        (Asked { identity, target, session, shape, now }, args.text.map(String::into_bytes), None)
    };
    let explanation = loaded.set.explain(&asked.question());
    let answer = Answer { asked, text, recorded, missing, explanation };
    if args.output.output == Format::Json { json(&answer, paper) } else { print(&answer, folder(&loaded.paths), paper) }
}

type Found = (std::sync::Arc<countersign_recording::SessionHeader>, IntentRecord, countersign_model::Timestamp);

/// A recorded statement.
fn find(recordings: &Recordings, session: SessionId, seq: u64) -> Result<Found, Failed> {
    let filter = RecordFilter { session: Some(session), ..RecordFilter::default() };
    for record in recordings.reader()?.records(&filter).map_err(recording_failed)? {
        let record = record.map_err(recording_failed)?;
        if let (Some(header), RecordEntry::Intent(intent)) = (record.header, record.entry)
            && intent.seq == seq
        {
            return Ok((header, intent, record.at));
        }
    }
    Err(Failed::not_found(format!(
        "session {session} has no statement {seq}: `countersign sessions show {session}` lists them"
    )))
}

pub(super) fn verdict_words(verdict: &Verdict) -> String {
    let decision = verdict.decision.as_str();
    let rules: Vec<&str> = verdict.rules.iter().map(RuleId::as_str).collect();
    let mut words = match (rules.is_empty(), &verdict.reason) {
        (false, _) => format!("{decision} by {}", rules.join(", ")),
        (true, Some(reason)) => format!("{decision}: {reason}"),
        (true, None) => format!("{decision}: no rule allowed it"),
    };
    if !verdict.denied_for.is_empty() {
        words.push_str(&format!("; for {}", verdict.denied_for.join(", ")));
    }
    words
}

/// Says it to a person; files are named without the folder that they are all in.
fn print(answer: &Answer, folder: &str, paper: &mut Paper) -> Result<(), Failed> {
    let Asked { identity, target, shape, now, .. } = &answer.asked;
    let labels: Vec<String> = target.labels.iter().map(|(k, v)| format!("{k}:{v}")).collect();
    let credential = match identity.credential {
        CredentialBinding::Bearer => "",
        CredentialBinding::Bound => ", by a bound credential",
        CredentialBinding::Hardware => ", by a credential bound to hardware",
    };
    let kind = identity.kind.as_str();
    field(paper, "who", &format!("{} ({kind}, {}){credential}", identity.name, groups(&identity.groups)))?;
    for actor in &identity.delegation {
        field(paper, "by", &format!("{} ({}, {})", actor.name, actor.kind.as_str(), groups(&actor.groups)))?;
    }
    field(paper, "on", &format!("{} {}", target.name, labels.join(" ")))?;
    field(paper, "when", &format!("{} UTC", moment(*now)))?;
    field(paper, "what", shape.kind())?;
    if let Some(text) = &answer.text {
        field(paper, "text", &one_line(text))?;
    }
    if let Some(recorded) = &answer.recorded {
        let then = verdict_words(recorded);
        let same = recorded.decision == answer.explanation.verdict.decision
            && recorded.rules == answer.explanation.verdict.rules;
        field(paper, "then", &if same { then } else { format!("{then}  (these policies answer otherwise)") })?;
    }
    if let Some(name) = &answer.missing {
        let what = format!("the target has no \"{name}\", so the gateway denies it, whatever the rules say");
        field(paper, "but", &what)?;
    }
    paper.line("")?;
    for line in answer.explanation.to_string().replace(folder, "").lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        let room = paper.width().saturating_sub(indent + 2);
        for (n, part) in wrap(&inert(text), room).iter().enumerate() {
            paper.line(&format!("{}{part}", " ".repeat(if n == 0 { indent } else { indent + 2 })))?;
        }
    }
    Ok(())
}

fn groups(groups: &BTreeSet<String>) -> String {
    let names: Vec<&str> = groups.iter().map(String::as_str).collect();
    if names.is_empty() { "in no group".to_owned() } else { format!("in {}", names.join(", ")) }
}

fn field(paper: &mut Paper, name: &str, value: &str) -> Result<(), Failed> {
    const NAME_WIDTH: usize = 6;
    let lines = wrap(inert(value).trim(), paper.width().saturating_sub(NAME_WIDTH));
    for (n, part) in lines.iter().enumerate() {
        let label = if n == 0 { name } else { "" };
        paper.line(&format!("{label:NAME_WIDTH$}{part}"))?;
    }
    Ok(())
}

fn json(answer: &Answer, paper: &mut Paper) -> Result<(), Failed> {
    let Asked { identity, target, session, shape, now } = &answer.asked;
    paper.json(&serde_json::json!({
        "identity": identity,
        "target": target,
        "source": session.source.ip(),
        "part": session.part,
        "at_unix_us": now.unix_us(),
        "text": answer.text.as_deref().map(String::from_utf8_lossy),
        "kind": shape.kind(),
        "fingerprint": shape.fingerprint().to_string(),
        "unreadable": shape.why_unreadable(),
        "recorded_verdict": answer.recorded,
        "missing": answer.missing,
        "explanation": answer.explanation,
    }))
}
