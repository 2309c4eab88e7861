//! `countersign policy replay`: what the policies on disk would say of everything that was recorded, and what would change.
//!
//! Each statement is judged as it was understood when it was recorded, for the identity as it was then, at that time. It must never
//! need a target, nor keep more of the recording in memory than its limits say.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use countersign_model::{Decision, Effects, Limits, RuleId, SessionId, Shape, Timestamp, Verdict};
use countersign_recording::{Definition, IntentRecord, Record, RecordEntry, SessionHeader};
use serde::Serialize;

use crate::cli::Format;
use crate::failed::Failed;
use crate::output;

use super::super::paper::Paper;
use super::super::sessions::{Damaged, Recordings, Which, parse_session, recording_failed};
use super::super::text::{count, inert, one_line, wrap};
use super::question::{Asked, shape_of};
use super::{Loaded, Output, Rules};

/// Kinds of change that are told apart; what comes after is only counted.
const KINDS_MAX: usize = 1000;
/// Shapes that are kept, so that texts that mean the same share a verdict.
const SHAPES_MAX: usize = 4096;
/// The most bytes of a sample's text.
const TEXT_BYTES_MAX: usize = 4096;
/// How often it is said how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// Statements between two looks at the clock.
const PROGRESS_STATEMENTS: u64 = 1024;

/// `countersign policy replay`.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    rules: Rules,
    /// The folder with the recordings, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    dir: Option<std::path::PathBuf>,
    #[command(flatten)]
    which: Which,
    /// Only of this session.
    #[arg(long, value_name = "SESSION", value_parser = parse_session)]
    session: Option<SessionId>,
    /// The most kinds of change to show, each with an example.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1000))]
    samples: u16,
    #[command(flatten)]
    output: Output,
}

/// What would be otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    AllowToDeny,
    DenyToAllow,
    OtherEffects,
}

impl Change {
    const ALL: [(Self, &'static str); 3] = [
        (Self::AllowToDeny, "allow → deny"),
        (Self::DenyToAllow, "deny → allow"),
        (Self::OtherEffects, "other limits or alerts"),
    ];
}

/// Changes that are of one kind: the same identity does the same to the same target, and the same rules decided and would decide.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    change: Change,
    identity: String,
    target: String,
    what: String,
    then: Vec<RuleId>,
    now: Vec<RuleId>,
}

/// How often, and one of them.
#[derive(Debug, Serialize)]
struct Sample {
    change: Change,
    count: u64,
    session: SessionId,
    seq: u64,
    at_unix_us: i64,
    identity: String,
    target: String,
    kind: String,
    text: String,
    then: Verdict,
    now: Verdict,
}

/// What came of a replay.
#[derive(Debug, Default, Serialize)]
struct Report {
    statements: u64,
    same: u64,
    allow_to_deny: u64,
    deny_to_allow: u64,
    other_effects: u64,
    /// Of those that are the same: how many other rules would decide.
    other_rules: u64,
    /// Recorded by a version whose attributes this one does not know.
    not_judged: u64,
    samples: Vec<Sample>,
    #[serde(skip)]
    kinds: HashMap<Kind, usize>,
    #[serde(skip)]
    why_not: Option<String>,
}

/// Runs it.
pub(super) fn run(args: &Replay, paper: &mut Paper) -> Result<(), Failed> {
    let loaded = args.rules.load()?;
    let recordings = Recordings { config: args.rules.config.clone(), dir: args.dir.clone() };
    let records = recordings.reader()?.records(&args.which.records(args.session)).map_err(recording_failed)?;
    let mut damaged = Damaged::default();
    let mut replay = Judge { loaded: &loaded, shapes: HashMap::new(), report: Report::default() };
    let mut said = Instant::now();
    for record in records {
        match record {
            Err(e) => damaged.say(&e),
            Ok(record) if !args.which.wants(&record) => {}
            Ok(Record { at, header: Some(header), entry: RecordEntry::Intent(intent) }) => {
                replay.judge(&header, &intent, at);
            }
            Ok(_) => {}
        }
        let report = &replay.report;
        if report.statements.is_multiple_of(PROGRESS_STATEMENTS) && said.elapsed() >= PROGRESS_EVERY {
            said = Instant::now();
            let changed = report.changed();
            output::note(&format!("… {} judged, {changed} would change", count(report.statements, "statement")));
        }
    }
    let mut report = replay.report;
    report.samples.sort_by_key(|s| (s.change, std::cmp::Reverse(s.count)));
    let kinds = report.samples.len();
    report.samples.truncate(usize::from(args.samples));
    if args.output.output == Format::Json {
        paper.json(&report)?
    } else {
        print(&report, kinds, paper)?
    }
    paper.done()?;
    if let Some(why) = &report.why_not {
        output::note(&format!("countersign: {} could not be judged: {why}", count(report.not_judged, "statement")));
    }
    damaged.end()?;
    match report.changed() {
        _ if report.not_judged > 0 => Err(Failed::new("not everything could be judged")),
        0 => Ok(()),
        n => Err(Failed::new(format!("{} would be answered otherwise", count(n, "statement")))),
    }
}

struct Judge<'a> {
    loaded: &'a Loaded,
    /// By the definition's address, which cannot be taken by another while it is kept here.
    shapes: HashMap<*const Definition, (Arc<Definition>, Arc<Shape>)>,
    report: Report,
}

impl Judge<'_> {
    fn judge(&mut self, header: &SessionHeader, intent: &IntentRecord, at: Timestamp) {
        self.report.statements += 1;
        let shape = match self.shape(&intent.definition) {
            Ok(shape) => shape,
            Err(why) => {
                self.report.not_judged += 1;
                self.report.why_not.get_or_insert_with(|| why.to_string());
                return;
            }
        };
        let asked = Asked::of(header, shape, at);
        let now = self.loaded.set.answer(&asked.question());
        self.report.compare(header, intent, at, &now);
    }

    fn shape(&mut self, definition: &Arc<Definition>) -> Result<Arc<Shape>, Failed> {
        let address = Arc::as_ptr(definition);
        if let Some((_, shape)) = self.shapes.get(&address) {
            return Ok(Arc::clone(shape));
        }
        let shape = shape_of(definition, self.loaded.set.language())?;
        if self.shapes.len() >= SHAPES_MAX {
            self.shapes.clear();
        }
        self.shapes.insert(address, (Arc::clone(definition), Arc::clone(&shape)));
        Ok(shape)
    }
}

impl Report {
    fn changed(&self) -> u64 {
        self.allow_to_deny + self.deny_to_allow + self.other_effects
    }

    fn compare(&mut self, header: &SessionHeader, intent: &IntentRecord, at: Timestamp, now: &Verdict) {
        let then = &intent.definition.verdict;
        let Some(change) = change(then, now) else {
            self.same += 1;
            self.other_rules += u64::from(then.rules != now.rules);
            return;
        };
        match change {
            Change::AllowToDeny => self.allow_to_deny += 1,
            Change::DenyToAllow => self.deny_to_allow += 1,
            Change::OtherEffects => self.other_effects += 1,
        }
        let kind = Kind {
            change,
            identity: header.identity.name.clone(),
            target: header.target.to_string(),
            what: intent.definition.kind.clone(),
            then: then.rules.clone(),
            now: now.rules.clone(),
        };
        if let Some(sample) = self.kinds.get(&kind).and_then(|n| self.samples.get_mut(*n)) {
            sample.count += 1;
            return;
        }
        if self.samples.len() >= KINDS_MAX {
            return;
        }
        let text = intent.text.get(..TEXT_BYTES_MAX).unwrap_or(&intent.text);
        self.samples.push(Sample {
            change,
            count: 1,
            session: header.id,
            seq: intent.seq,
            at_unix_us: at.unix_us(),
            identity: kind.identity.clone(),
            target: kind.target.clone(),
            kind: kind.what.clone(),
            text: String::from_utf8_lossy(text).into_owned(),
            then: then.clone(),
            now: now.clone(),
        });
        self.kinds.insert(kind, self.samples.len() - 1);
    }
}

/// What would be otherwise; `None` when it is the same but for the rules that decide.
fn change(then: &Verdict, now: &Verdict) -> Option<Change> {
    // Policy's own denies have no limits. With some, policy allowed it, and the gateway could not keep them on such a statement.
    let kept_back = then.decision == Decision::Deny && !then.effects.limits.is_none();
    let asked = |v: &Verdict| v.effects.review.is_some();
    let now_decision = match now.decision {
        // It was to be held, and could not be there.
        Decision::Hold if then.decision == Decision::Deny && asked(then) => Decision::Deny,
        Decision::Allow if kept_back && share_a_limit(&then.effects.limits, &now.effects.limits) => Decision::Deny,
        // Nor has policy's own deny masks or probes: such a statement could not be masked, or its probes were spent.
        Decision::Allow if then.decision == Decision::Deny && stand_in_the_way(&then.effects, &now.effects) => {
            Decision::Deny
        }
        decision => decision,
    };
    // What only puts a statement in place passes; its execution is what is held.
    let then_decision = if then.decision == Decision::Allow && asked(then) { Decision::Hold } else { then.decision };
    match (then_decision, now_decision) {
        (Decision::Allow | Decision::Hold, Decision::Deny) => Some(Change::AllowToDeny),
        (Decision::Deny, Decision::Allow | Decision::Hold) => Some(Change::DenyToAllow),
        (Decision::Allow, Decision::Hold) | (Decision::Hold, Decision::Allow) => Some(Change::OtherEffects),
        (Decision::Allow, Decision::Allow) | (Decision::Hold, Decision::Hold) if then.effects != now.effects => {
            Some(Change::OtherEffects)
        }
        (Decision::Deny, Decision::Deny) if then.effects.alert != now.effects.alert => Some(Change::OtherEffects),
        _ => None,
    }
}

fn stand_in_the_way(then: &Effects, now: &Effects) -> bool {
    then.masks.iter().any(|m| now.masks.iter().any(|n| n.tag == m.tag))
        || then.probes.iter().any(|p| now.probes.iter().any(|n| n.tag == p.tag))
}

fn share_a_limit(a: &Limits, b: &Limits) -> bool {
    [(a.rows, b.rows), (a.bytes, b.bytes), (a.affected, b.affected)].iter().any(|(a, b)| a.is_some() && b.is_some())
}

fn print(report: &Report, kinds: usize, paper: &mut Paper) -> Result<(), Failed> {
    paper.line(&format!(
        "{} judged: {} the same, {} would change",
        count(report.statements, "statement"),
        report.same,
        report.changed()
    ))?;
    if report.other_rules > 0 {
        paper.line(&format!("other rules would decide {} of the same", report.other_rules))?;
    }
    let totals = [report.allow_to_deny, report.deny_to_allow, report.other_effects];
    for ((change, words), total) in Change::ALL.into_iter().zip(totals).filter(|(_, total)| *total > 0) {
        paper.line(&format!("\n{words}: {total}"))?;
        for sample in report.samples.iter().filter(|s| s.change == change) {
            indented(
                paper,
                2,
                &format!("{} on {}, {}: {}", sample.identity, sample.target, sample.kind, count(sample.count, "time")),
            )?;
            indented(paper, 4, &format!("then  {}", words_of(&sample.then)))?;
            indented(paper, 4, &format!("now   {}", words_of(&sample.now)))?;
            indented(paper, 4, &format!("as in {} --seq {}", sample.session, sample.seq))?;
            let room = paper.width().saturating_sub(4);
            let text = super::super::text::cut(&one_line(sample.text.as_bytes()), room);
            if !text.is_empty() {
                paper.line(&format!("    {text}"))?;
            }
        }
    }
    let left = kinds - report.samples.len();
    if left > 0 {
        paper.line(&format!("\n{} not shown: --samples {kinds}", count(left as u64, "more kind")))?;
    }
    Ok(())
}

/// Verdict, rules, limits and alert.
fn words_of(verdict: &Verdict) -> String {
    let effects = super::super::sessions::effects(verdict);
    let words = super::explain::verdict_words(verdict);
    if effects.is_empty() { words } else { format!("{words}; {effects}") }
}

fn indented(paper: &mut Paper, indent: usize, text: &str) -> Result<(), Failed> {
    for (n, line) in wrap(&inert(text), paper.width().saturating_sub(indent + 2)).iter().enumerate() {
        paper.line(&format!("{}{line}", " ".repeat(if n == 0 { indent } else { indent + 2 })))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use countersign_model::{Mask, Severity, Tag, Transform};

    use super::*;

    fn verdict(decision: Decision, rows: Option<u64>, affected: Option<u64>, alert: Option<Severity>) -> Verdict {
        let effects = Effects { limits: Limits { rows, bytes: None, affected }, alert, ..Effects::default() };
        Verdict { decision, effects, rules: Vec::new(), reason: None, denied_for: Vec::new(), epoch: 1 }
    }

    #[test]
    fn only_what_a_client_or_an_alert_would_notice_is_a_change() {
        use Decision::{Allow, Deny};
        let plain = |decision| verdict(decision, None, None, None);
        let limited = |decision| verdict(decision, Some(10), None, None);
        let loud = |decision| verdict(decision, None, None, Some(Severity::High));
        let counted = |decision| verdict(decision, None, Some(5), None);
        for (then, now, expected) in [
            (plain(Allow), plain(Allow), None),
            (plain(Deny), plain(Deny), None),
            (plain(Allow), plain(Deny), Some(Change::AllowToDeny)),
            (limited(Allow), plain(Deny), Some(Change::AllowToDeny)),
            (plain(Deny), limited(Allow), Some(Change::DenyToAllow)),
            (plain(Allow), limited(Allow), Some(Change::OtherEffects)),
            (limited(Allow), plain(Allow), Some(Change::OtherEffects)),
            (plain(Allow), loud(Allow), Some(Change::OtherEffects)),
            (plain(Deny), loud(Deny), Some(Change::OtherEffects)),
            // The gateway could not keep the limit: it could not now.
            (counted(Deny), counted(Allow), None),
            (counted(Deny), limited(Allow), Some(Change::DenyToAllow)),
            (counted(Deny), plain(Allow), Some(Change::DenyToAllow)),
            (counted(Deny), plain(Deny), None),
        ] {
            assert_eq!(change(&then, &now), expected, "{then:?} {now:?}");
        }
        let masked = |decision, transform| {
            let mut verdict = plain(decision);
            verdict.effects.masks = [Mask { tag: Tag::parse("pii.email").unwrap(), transform }].into();
            verdict
        };
        for (then, now, expected) in [
            (masked(Allow, Transform::Hash), masked(Allow, Transform::Hash), None),
            (masked(Allow, Transform::Hash), masked(Allow, Transform::Redact), Some(Change::OtherEffects)),
            (masked(Allow, Transform::Hash), plain(Allow), Some(Change::OtherEffects)),
            // It could not be masked: it could not now.
            (masked(Deny, Transform::Hash), masked(Allow, Transform::Hash), None),
            (masked(Deny, Transform::Hash), plain(Allow), Some(Change::DenyToAllow)),
        ] {
            assert_eq!(change(&then, &now), expected, "{then:?} {now:?}");
        }
    }
}
