//! Annotations: the name of a rule and its effects.
//!
//! It must never accept a word that this build would not act on.

use std::sync::Arc;

use countersign_model::{
    Access, GrantSpec, Limits, Mask, RATE_COUNT_MAX, Rate, ReviewSpec, RuleId, Severity, Tag, Transform, WatchSpec,
};
use serde::{Deserialize, Serialize};

use crate::grant;
use crate::head::Head;
use crate::problem::did_you_mean;
use crate::review;
use crate::schema::{PROBE, UNMASK};
use crate::watched;

/// The longest `@id`, in characters.
pub(crate) const ID_CHARS_MAX: usize = 100;
/// The longest `@ask`, in characters: what a client's error can show whole.
pub(crate) const ASK_CHARS_MAX: usize = 200;
/// The longest `@description`, in characters.
pub(crate) const DESCRIPTION_CHARS_MAX: usize = 1000;

const KNOWN: [&str; 9] = ["id", "description", "ask", "limit", "alert", "mask", "review", "grant", "watched"];
const LIMITS: [&str; 4] = ["rows", "bytes", "affected", "probes"];
const TRANSFORMS: [&str; 6] = ["redact", "last4", "hash", "format", "generalise", "null"];
const SEVERITIES: [(&str, Severity); 4] =
    [("low", Severity::Low), ("medium", Severity::Medium), ("high", Severity::High), ("critical", Severity::Critical)];

/// Whether a rule permits or forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleEffect {
    /// It lets actions through.
    Permit,
    /// It stops them, whatever permits.
    Forbid,
}

/// What a rule says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleInfo {
    /// Its `@id`.
    pub id: RuleId,
    /// Permit or forbid.
    pub effect: RuleEffect,
    /// Its `@description`, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Arc<str>>,
    /// Its `@ask`: how to ask for access, for people who are denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask: Option<Arc<str>>,
    /// Its `@limit`.
    pub limits: Limits,
    /// How often what it lets compare may be compared: `probes` of its `@limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<Rate>,
    /// Its `@mask`: how tags that stay masked are shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<Mask>,
    /// Its `@alert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<Severity>,
    /// Its `@review`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<Arc<ReviewSpec>>,
    /// Its `@grant`: it applies only to those who hold one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<Arc<GrantSpec>>,
    /// Its `@watched`: somebody has to watch while what it permits runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<Arc<WatchSpec>>,
    /// The file it is in.
    pub file: Arc<str>,
    /// The line it starts on, from 1.
    pub line: u32,
}

/// What is wrong with an annotation, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

pub(crate) fn fault<T>(message: String, help: Option<String>) -> Result<T, Fault> {
    Err(Fault { message, help })
}

/// Takes one annotation into the rule; `id` is taken by [`rule_id`] instead.
pub(crate) fn apply(info: &mut RuleInfo, name: &str, value: &str) -> Result<(), Fault> {
    match name {
        "id" => Ok(()),
        "description" => text(name, value, DESCRIPTION_CHARS_MAX).map(|t| info.description = Some(t)),
        "ask" => text(name, value, ASK_CHARS_MAX).map(|t| info.ask = Some(t)),
        "limit" if info.effect == RuleEffect::Forbid => fault(
            "@limit on a forbid: what is forbidden has nothing to limit".to_owned(),
            Some("put the limit on the permit, or write the forbid as a condition of it".to_owned()),
        ),
        "limit" => limits(value).map(|(limits, probes)| {
            info.limits = limits;
            info.probes = probes;
        }),
        "mask" if info.effect == RuleEffect::Forbid => fault(
            "@mask on a forbid: what is forbidden shows nothing to mask".to_owned(),
            Some("put it on the permit; tagged data is masked without it too".to_owned()),
        ),
        "mask" => masks(value).map(|m| info.masks = m),
        "alert" => match SEVERITIES.iter().find(|(word, _)| *word == value) {
            Some((_, severity)) => {
                info.alert = Some(*severity);
                Ok(())
            }
            None => fault(
                format!("@alert(\"{value}\"): the severity is one of low, medium, high, critical"),
                did_you_mean(value, SEVERITIES.iter().map(|(word, _)| *word)),
            ),
        },
        "grant" if info.effect == RuleEffect::Forbid => fault(
            "@grant on a forbid: what is granted is permitted".to_owned(),
            Some("put it on a permit: that applies only to those who hold a grant of it".to_owned()),
        ),
        "grant" => grant::read(value).map(|g| info.grant = Some(Arc::new(g))),
        "watched" if info.effect == RuleEffect::Forbid => fault(
            "@watched on a forbid: what is forbidden does not run".to_owned(),
            Some("put it on the permit: what that permits then runs only while somebody watches".to_owned()),
        ),
        "watched" => watched::read(value).map(|w| info.watch = Some(Arc::new(w))),
        "review" => review::read(value).map(|r| info.review = Some(Arc::new(r))),
        _ => fault(
            format!("unknown annotation @{name}"),
            did_you_mean(name, KNOWN).or_else(|| Some(format!("known are @{}", KNOWN.join(", @")))),
        ),
    }
}

/// Reads an `@id`.
pub(crate) fn rule_id(value: Option<&str>) -> Result<RuleId, Fault> {
    const HELP: &str =
        "give every rule a name of its own, such as @id(\"analysts-read\"): letters, digits and . _ - : /";
    let Some(value) = value else {
        return fault("the rule has no @id".to_owned(), Some(HELP.to_owned()));
    };
    let fits = !value.is_empty() && value.chars().count() <= ID_CHARS_MAX;
    if fits && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:/".contains(&b)) {
        return Ok(RuleId::new(value));
    }
    fault(
        format!("@id(\"{}\") is not a rule name of 1 to {ID_CHARS_MAX} characters", value.escape_debug()),
        Some(HELP.to_owned()),
    )
}

fn text(name: &str, value: &str, chars_max: usize) -> Result<Arc<str>, Fault> {
    if value.trim().is_empty() || value.chars().any(char::is_control) || value.chars().count() > chars_max {
        return fault(format!("@{name} needs one line of 1 to {chars_max} characters"), None);
    }
    Ok(value.into())
}

/// What fits the annotation and not the actions of the rule: which one, and what is wrong.
pub(crate) fn against_head(info: &RuleInfo, head: &Head) -> Vec<(&'static str, Fault)> {
    let mut found = Vec::new();
    let mut wrong = |name, message: &str, help: &str| {
        found.push((name, Fault { message: message.to_owned(), help: Some(help.to_owned()) }));
    };
    match (info.effect, head.names_action(PROBE), info.probes) {
        (RuleEffect::Permit, true, None) => wrong(
            "limit",
            "a permit for probe without a limit: masked values could be found out by trying",
            "add @limit(\"probes=20/1h\")",
        ),
        (RuleEffect::Permit, false, Some(_)) => wrong(
            "limit",
            "@limit: \"probes\" on a rule that does not name probe",
            "limit probes where they are permitted: action == Action::\"probe\"",
        ),
        _ => {}
    }
    if info.review.is_some() && head.has_action(Access::Connect) {
        wrong(
            "review",
            "@review on a rule that covers connect: who connects cannot wait for people",
            "name the actions, such as: action in [Action::\"write\", Action::\"admin\"]",
        );
    }
    if info.review.is_some() && (head.names_action(PROBE) || head.names_action(UNMASK)) {
        wrong(
            "review",
            "@review on a rule about unmask or probe: what is seen of tagged data cannot wait for people",
            "put it on the rule that lets the action happen, such as action == Action::\"read\"",
        );
    }
    if info.watch.is_some() && head.has_action(Access::Connect) {
        wrong(
            "watched",
            "@watched on a rule that covers connect: there is nothing to watch yet",
            "name the actions, such as: action == Action::\"execute\"",
        );
    }
    if info.watch.is_some() && (head.names_action(PROBE) || head.names_action(UNMASK)) {
        wrong(
            "watched",
            "@watched on a rule about unmask or probe: neither runs",
            "put it on the rule that lets the action happen, such as action == Action::\"execute\"",
        );
    }
    if info.grant.is_some() && (head.names_action(PROBE) || head.names_action(UNMASK)) {
        wrong(
            "grant",
            "@grant on a rule about unmask or probe: what is granted is access to a target",
            "name the actions, such as: action in [Action::\"read\", Action::\"write\"]",
        );
    }
    if !info.masks.is_empty() && head.is_about_tags() {
        wrong(
            "mask",
            "@mask on a rule about unmask or probe alone: what it permits is not masked",
            "put it on the permit that lets the action happen, such as action == Action::\"read\"",
        );
    }
    if info.limits.affected.is_some() && head.is_about_tags() {
        wrong("limit", "@limit: \"affected\" on a rule about unmask or probe alone: neither changes rows", "remove it");
    }
    found
}

fn masks(value: &str) -> Result<Vec<Mask>, Fault> {
    const FORM: &str = "write it as @mask(\"pii.card=last4,pii.email=hash\")";
    let mut masks: Vec<Mask> = Vec::new();
    for item in value.split(',') {
        let item = item.trim();
        let Some((tag, transform)) = item.split_once('=') else {
            return fault(format!("@mask: \"{}\" is not TAG=TRANSFORM", item.escape_debug()), Some(FORM.to_owned()));
        };
        let (name, word) = (tag.trim(), transform.trim());
        let Some(tag) = Tag::parse(name) else {
            return fault(format!("@mask: \"{}\" is not a tag", name.escape_debug()), Some(FORM.to_owned()));
        };
        let transform = match word.parse::<Transform>() {
            Ok(transform) => transform,
            Err(e) => {
                let help = did_you_mean(word, TRANSFORMS).unwrap_or_else(|| FORM.to_owned());
                return fault(format!("@mask: {tag}=\"{}\" is {e}", word.escape_debug()), Some(help));
            }
        };
        if masks.iter().any(|m| m.tag == tag) {
            return fault(format!("@mask: \"{tag}\" is given twice"), None);
        }
        masks.push(Mask { tag, transform });
    }
    Ok(masks)
}

fn limits(value: &str) -> Result<(Limits, Option<Rate>), Fault> {
    const FORM: &str = "write it as @limit(\"rows=10000,bytes=10M,affected=100\"), with any of the three";
    let mut limits = Limits::NONE;
    let mut probes: Option<Rate> = None;
    for item in value.split(',') {
        let item = item.trim();
        let Some((key, number)) = item.split_once('=') else {
            return fault(format!("@limit: \"{item}\" is not KEY=NUMBER"), Some(FORM.to_owned()));
        };
        let (key, number) = (key.trim(), number.trim());
        if key == "probes" {
            match number.parse() {
                Ok(_) if probes.is_some() => return fault(format!("@limit: \"{key}\" is given twice"), None),
                Ok(rate) => probes = Some(rate),
                Err(e) => {
                    let help = format!("write it as @limit(\"probes=20/1h\"), at most {RATE_COUNT_MAX} of them");
                    return fault(format!("@limit: probes=\"{}\" is {e}", number.escape_debug()), Some(help));
                }
            }
            continue;
        }
        let slot = match key {
            "rows" => &mut limits.rows,
            "bytes" => &mut limits.bytes,
            "affected" => &mut limits.affected,
            _ => {
                let help = did_you_mean(key, LIMITS).unwrap_or_else(|| FORM.to_owned());
                return fault(format!("@limit: \"{key}\" is not one of rows, bytes, affected, probes"), Some(help));
            }
        };
        if slot.is_some() {
            return fault(format!("@limit: \"{key}\" is given twice"), None);
        }
        let Some(n) = quantity(number, key == "bytes") else {
            let what = if key == "bytes" { "a whole number, or one with K, M or G" } else { "a whole number" };
            return fault(format!("@limit: {key}=\"{number}\" is not {what}"), Some(FORM.to_owned()));
        };
        *slot = Some(n);
    }
    Ok((limits, probes))
}

/// Digits, and for bytes a binary suffix: 1K is 1024.
fn quantity(text: &str, suffix: bool) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'K' if suffix => (text.strip_suffix('K')?, 1 << 10),
        b'M' if suffix => (text.strip_suffix('M')?, 1 << 20),
        b'G' if suffix => (text.strip_suffix('G')?, 1 << 30),
        _ => (text, 1),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use countersign_model::{Limits, Rate, RuleId};

    use super::{ID_CHARS_MAX, RuleEffect, RuleInfo, apply, limits, rule_id};

    fn info(effect: RuleEffect) -> RuleInfo {
        RuleInfo {
            id: RuleId::new("r"),
            effect,
            description: None,
            ask: None,
            limits: Limits::NONE,
            probes: None,
            masks: Vec::new(),
            alert: None,
            review: None,
            grant: None,
            watch: None,
            file: "f".into(),
            line: 1,
        }
    }

    #[test]
    fn limits_are_read_or_refused() {
        let ok = |rows, bytes, affected| Ok((Limits { rows, bytes, affected }, None));
        let probes = |count, window_s| Ok((Limits::NONE, Some(Rate { count, window_s })));
        for (value, expected) in [
            ("rows=10", ok(Some(10), None, None)),
            (" rows = 0 , bytes=2K", ok(Some(0), Some(2048), None)),
            ("bytes=1G,affected=7,rows=1", ok(Some(1), Some(1 << 30), Some(7))),
            ("bytes=17179869183G", ok(None, Some(17_179_869_183 << 30), None)),
            ("bytes=17179869184G", Err("not a whole number")),
            ("rows=1K", Err("not a whole number")),
            ("rows=-1", Err("not a whole number")),
            ("rows=+1", Err("not a whole number")),
            ("rows=", Err("not a whole number")),
            ("bytes=K", Err("not a whole number")),
            ("bytes=1k", Err("not a whole number")),
            ("probes=20/1h", probes(20, 3600)),
            ("probes=20", Err("not COUNT/TIME")),
            ("probes=1/1h,probes=2/1h", Err("given twice")),
            ("rows=1,rows=2", Err("given twice")),
            ("row=1", Err("not one of")),
            ("", Err("not KEY=NUMBER")),
            ("rows=1,", Err("not KEY=NUMBER")),
        ] {
            match (limits(value), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{value}"),
                (Err(fault), Err(part)) => assert!(fault.message.contains(part), "{value}: {}", fault.message),
                (got, expected) => panic!("{value}: got {got:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn words_that_are_not_enforced_are_refused() {
        use RuleEffect::{Forbid, Permit};
        for (effect, name, value, expected) in [
            (Permit, "review", "dba:", "no number"),
            (Forbid, "mask", "pii.card=last4", "on a forbid"),
            (Forbid, "grant", "dba", "on a forbid"),
            (Permit, "grant", "dba; for=1", "not a number"),
            (Permit, "mask", "", "not TAG=TRANSFORM"),
            (Permit, "mask", "PII=hash", "not a tag"),
            (Permit, "mask", "pii=last", "not one of"),
            (Permit, "mask", "pii=hash,pii=null", "given twice"),
            (Forbid, "limit", "rows=1", "on a forbid"),
            (Permit, "alert", "hi", "one of low"),
            (Permit, "alert", "", "one of low"),
            (Permit, "limt", "rows=1", "unknown annotation"),
            (Permit, "ask", " ", "needs one line"),
            (Permit, "description", "a\nb", "needs one line"),
        ] {
            let fault = apply(&mut info(effect), name, value).expect_err(name);
            assert!(fault.message.contains(expected), "@{name}: {}", fault.message);
        }
        assert!(apply(&mut info(Forbid), "alert", "high").is_ok());
        assert!(apply(&mut info(Forbid), "review", "dba:2").is_ok());
    }

    #[test]
    fn rule_names_have_a_form() {
        assert!(rule_id(Some(&"x".repeat(ID_CHARS_MAX))).is_ok());
        let long = "x".repeat(ID_CHARS_MAX + 1);
        for bad in [None, Some(""), Some("a b"), Some("é"), Some("a\"b"), Some(long.as_str())] {
            assert!(rule_id(bad).is_err(), "{bad:?}");
        }
    }
}
