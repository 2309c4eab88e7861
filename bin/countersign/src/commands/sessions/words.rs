//! Recorded things in words. Everything that came from clients or targets is inert.

use countersign_model::{Decision, Limits, RuleId, Tag, Verdict};
use countersign_recording::{ClosedRecord, Event, IntentRecord, OutcomeRecord, Parameters};

use super::super::text::{count, inert, lasted};
use super::postgres;

/// The most characters of one parameter.
const PARAMETER_WIDTH_MAX: usize = 200;

/// `allow`, `HOLD`, `DENY`: what stands out is what was stopped.
pub(super) fn decision(verdict: &Verdict) -> &'static str {
    match verdict.decision {
        Decision::Allow => "allow",
        Decision::Hold => "HOLD",
        Decision::Deny => "DENY",
    }
}

/// What it does; what runs nothing by itself says so.
pub(super) fn what(intent: &IntentRecord) -> String {
    let kind = inert(&intent.definition.kind);
    if intent.prepares { format!("{kind}, prepared only") } else { kind }
}

/// What decided: rules, or else the reason.
pub(super) fn because(intent: &IntentRecord) -> String {
    let verdict = &intent.definition.verdict;
    let rules: Vec<&str> = verdict.rules.iter().map(RuleId::as_str).collect();
    let mut why = if rules.is_empty() {
        let why = verdict.reason.as_deref().or(intent.definition.unreadable.as_deref());
        why.unwrap_or("no rule allows it").to_owned()
    } else {
        rules.join(", ")
    };
    if !verdict.denied_for.is_empty() {
        why.push_str(&format!("; for {}", verdict.denied_for.join(", ")));
    }
    inert(&why)
}

/// Limits, alert, review and what became of tags in a verdict; empty when there are none.
pub(crate) fn effects(verdict: &Verdict) -> String {
    let Limits { rows, bytes, affected } = verdict.effects.limits;
    let limits = [("rows", rows), ("bytes", bytes), ("affected", affected)];
    let mut parts: Vec<String> = limits.iter().filter_map(|(name, n)| n.map(|n| format!("{name}<={n}"))).collect();
    parts.extend(verdict.effects.alert.map(|a| format!("alert {}", format!("{a:?}").to_lowercase())));
    let tags = |tags: &[Tag]| tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(" ");
    let effects = &verdict.effects;
    if !effects.masks.is_empty() {
        let masks: Vec<String> = effects.masks.iter().map(|m| format!("{}={}", m.tag, m.transform)).collect();
        parts.push(format!("masks {}", masks.join(" ")));
    }
    if !effects.unmasked.is_empty() {
        parts.push(format!("unmasked {}", tags(&effects.unmasked)));
    }
    if !effects.probes.is_empty() {
        let probes: Vec<String> = effects.probes.iter().map(|p| format!("{} ({})", p.tag, p.rate)).collect();
        parts.push(format!("compares {}", probes.join(" ")));
    }
    if !effects.withheld.is_empty() {
        let withheld: Vec<String> = effects.withheld.iter().map(|w| format!("{} ({})", w.tag, w.by.as_str())).collect();
        parts.push(format!("withholds {}", withheld.join(" ")));
    }
    parts.extend(verdict.effects.review.as_ref().map(|r| format!("review by {r}")));
    parts.join(", ")
}

/// How a statement ended: `done, 2 rows, 1 changed, 4 masked (pii.email 4), 3 ms`.
pub(super) fn outcome(o: &OutcomeRecord) -> String {
    let mut parts = vec![match &o.code {
        Some(code) => format!("{} with {}", o.status, inert(code)),
        None => o.status.to_owned(),
    }];
    if o.rows > 0 {
        parts.push(count(o.rows, "row"));
    }
    parts.extend(o.affected.map(|n| format!("{n} changed")));
    if !o.masked.is_empty() {
        let total = o.masked.values().fold(0_u64, |sum, n| sum.saturating_add(*n));
        let each: Vec<String> = o.masked.iter().map(|(tag, n)| format!("{tag} {n}")).collect();
        parts.push(format!("{total} masked ({})", each.join(", ")));
    }
    parts.push(lasted(o.duration_us));
    parts.join(", ")
}

/// Bound parameters, each as `$1 = …`; of protocols that this binary cannot read, their size.
pub(super) fn parameters(protocol: &str, parameters: &Parameters) -> Vec<String> {
    match parameters {
        Parameters::Kept(bytes) if bytes.is_empty() => Vec::new(),
        Parameters::Digest { bytes, .. } => {
            vec![format!("parameters: {} (too long to be kept)", count(*bytes, "byte"))]
        }
        Parameters::Kept(bytes) => match (protocol == "postgres").then(|| postgres::bound(bytes)).flatten() {
            None => vec![format!("parameters: {}", count(bytes.len() as u64, "byte"))],
            Some(bound) => {
                let each = bound.values.iter().enumerate();
                each.map(|(n, v)| format!("${} = {}", n + 1, super::super::text::cut(v, PARAMETER_WIDTH_MAX))).collect()
            }
        },
    }
}

/// Bound parameters from base64, each whole as `$1 = …`: for those who decide by them.
pub(crate) fn whole_parameters(protocol: &str, base64: &str) -> Vec<String> {
    use base64::Engine as _;
    let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(base64) else {
        return vec!["parameters: they cannot be read".to_owned()];
    };
    if bytes.is_empty() {
        return Vec::new();
    }
    match (protocol == "postgres").then(|| postgres::bound(&bytes)).flatten() {
        None => vec![format!("parameters: {}, see --output json", count(bytes.len() as u64, "byte"))],
        Some(bound) => bound.values.iter().enumerate().map(|(n, v)| format!("${} = {v}", n + 1)).collect(),
    }
}

/// Something that happened to a session.
pub(super) fn event(e: &Event) -> String {
    match e {
        Event::Connected { account, target_session } => {
            inert(&format!("connected to the target as {account} (session {target_session} there)"))
        }
        Event::Cancelled => "the client asked to cancel".to_owned(),
        Event::Alert { severity, intent } => inert(&format!("alert {severity} for #{intent}")),
        Event::Rejected { denial } => inert(&format!("a message was refused: {denial}")),
        Event::Watched { intent, on: true, by } => inert(&format!("#{intent} goes on: {} watches", by.join(", "))),
        Event::Watched { intent, on: false, .. } => format!("#{intent} is held: nobody watches who has to"),
        Event::Review { intent, review, step, by, note } => {
            inert(&reviewed(*intent, review, step, by, note.as_deref()))
        }
    }
}

/// What happened to a statement that waits for people.
fn reviewed(intent: u64, review: &str, step: &str, by: &[String], note: Option<&str>) -> String {
    let (by, note) = (by.join(", "), note.unwrap_or_default());
    let what = match step {
        "held" => format!("waits for {note}"),
        "resumed" => format!("waits for {note}, asked in an earlier session"),
        "released" if note.is_empty() => format!("approved by {by}: released"),
        "released" => format!("approved by {by}, with {note}: released"),
        "denied" if note.is_empty() => format!("denied by {by}"),
        "denied" => format!("denied by {by}: {note}"),
        "expired" => "not approved in time".to_owned(),
        "withdrawn" if note.is_empty() => "withdrawn".to_owned(),
        "withdrawn" | "left" | "stopped" => note.to_owned(),
        other => format!("{other} {by} {note}"),
    };
    let review = if review.is_empty() { "review".to_owned() } else { format!("review {review}") };
    format!("#{intent} {review}: {what}")
}

/// How a session ended.
pub(super) fn closed(c: &ClosedRecord) -> String {
    let why = match c.reason.as_str() {
        "client" => "the client left",
        "client_lost" => "the client's connection broke",
        "target" => "the target ended it or broke",
        "denied" => "it was ended by a refusal",
        "drained" => "the gateway was stopped",
        "failed" => "something inside failed",
        other => other,
    };
    match &c.denial {
        None => inert(why),
        Some(denial) => inert(&format!("{why}: {denial}")),
    }
}
