//! The rich and rare parts of a recording: who and on what, what a statement meant, what happened besides. Kept as JSON.
//!
//! None of these can carry a credential: identities hold verified claims and never a token, targets hold no address.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use countersign_enforce::{CloseReason, SessionEvent, SessionOpened};
use countersign_model::{
    Access, Attribute, Attributes, Denial, Disclosure, IdentityParts, RecordLevel, SessionId, Shape, Tag, TargetName,
    Timestamp, Use, Verdict,
};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};

/// What is known when a session begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionHeader {
    /// The session.
    pub id: SessionId,
    /// When it began.
    pub started_at: Timestamp,
    /// Where the client's connection came from.
    pub source: SocketAddr,
    /// True when the client's connection was encrypted.
    pub encrypted: bool,
    /// What the client said it was; never to be trusted.
    pub application: String,
    /// Which part of the target; empty where the protocol has no such thing.
    pub part: String,
    /// Who, with the verified claims.
    pub identity: IdentityParts,
    /// On what.
    pub target: TargetName,
    /// The target's protocol: how the result bytes are to be read.
    pub protocol: String,
    /// The target's labels at the time.
    pub labels: BTreeMap<String, String>,
    /// What was recorded.
    pub record: RecordLevel,
    /// True when writes waited for the disk.
    pub durable: bool,
    /// Which tags were looked for in the content of results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detect: Vec<Tag>,
}

impl From<&SessionOpened<'_>> for SessionHeader {
    fn from(s: &SessionOpened<'_>) -> Self {
        Self {
            id: s.context.id,
            started_at: s.context.started_at,
            source: s.context.source,
            encrypted: s.context.encrypted,
            application: s.context.application.clone(),
            part: s.context.part.clone(),
            identity: (**s.identity).clone(),
            target: s.target.name.clone(),
            protocol: s.target.protocol.to_string(),
            labels: s.target.labels.clone(),
            record: s.target.record,
            durable: s.target.durable,
            detect: s.target.tagging.detect.clone(),
        }
    }
}

/// What a statement meant, and what policy said of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// A word for people: `select`, `update`.
    pub kind: String,
    /// The gravest access of its uses.
    pub access: Access,
    /// The same for texts that differ only in constants: 32 hexadecimal digits.
    pub fingerprint: String,
    /// Every access that it needed.
    pub uses: Vec<UseRecord>,
    /// Why it could not be read, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// What it did with tagged data.
    #[serde(default, skip_serializing_if = "Disclosure::is_empty")]
    pub disclosure: Disclosure,
    /// What policy said.
    pub verdict: Verdict,
}

/// One access that an action needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UseRecord {
    /// Which access.
    pub access: Access,
    /// What policy saw as `context`: booleans, whole numbers, texts and sets of texts.
    pub attributes: BTreeMap<String, serde_json::Value>,
}

/// The written side of [`Definition`]: borrows, so that defining costs no copies.
#[derive(Serialize)]
pub(crate) struct DefinitionRef<'a> {
    kind: &'a str,
    access: Access,
    #[serde(serialize_with = "as_text")]
    fingerprint: countersign_model::Fingerprint,
    #[serde(serialize_with = "uses")]
    uses: &'a [Use],
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<&'a str>,
    #[serde(skip_serializing_if = "Disclosure::is_empty")]
    disclosure: &'a Disclosure,
    verdict: &'a Verdict,
}

impl<'a> DefinitionRef<'a> {
    pub(crate) fn new(shape: &'a Shape, verdict: &'a Verdict) -> Self {
        Self {
            kind: shape.kind(),
            access: shape.access(),
            fingerprint: shape.fingerprint(),
            uses: shape.uses(),
            unreadable: shape.why_unreadable(),
            disclosure: shape.disclosure(),
            verdict,
        }
    }
}

fn as_text<T: std::fmt::Display, S: Serializer>(v: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(v)
}

fn uses<S: Serializer>(uses: &&[Use], s: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct UseRef<'a> {
        access: Access,
        #[serde(serialize_with = "attributes")]
        attributes: &'a Attributes,
    }
    let mut seq = s.serialize_seq(Some(uses.len()))?;
    for u in *uses {
        seq.serialize_element(&UseRef { access: u.access, attributes: &u.attributes })?;
    }
    seq.end()
}

fn attributes<S: Serializer>(attributes: &&Attributes, s: S) -> Result<S::Ok, S::Error> {
    let mut map = s.serialize_map(None)?;
    for (name, value) in attributes.iter() {
        match value {
            Attribute::Bool(v) => map.serialize_entry(name, v)?,
            Attribute::Long(v) => map.serialize_entry(name, v)?,
            Attribute::String(v) => map.serialize_entry(name, v)?,
            Attribute::Set(v) => map.serialize_entry(name, v)?,
        }
    }
    map.end()
}

/// Something that happened to a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The target let us in.
    Connected {
        /// The account at the target.
        account: String,
        /// The target's own words for the session, such as a process id.
        target_session: String,
    },
    /// The client asked to cancel what ran.
    Cancelled,
    /// An alert was raised.
    Alert {
        /// How loud.
        severity: String,
        /// The intent it was about.
        intent: u64,
    },
    /// A message was refused before it became an action.
    Rejected {
        /// Why.
        denial: Denial,
    },
    /// Something happened to a statement that waits, or waited, for people.
    Review {
        /// The intent it is about.
        intent: u64,
        /// The review's id; empty when it did not come to one.
        review: String,
        /// `held`, `resumed`, `released`, `denied`, `expired`, `withdrawn`, `left` or `stopped`.
        step: String,
        /// Who did it, by name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        by: Vec<String>,
        /// Who is asked, or why it ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// An action that may only run while people watch went on, or was held.
    Watched {
        /// The intent it was about.
        intent: u64,
        /// Whether all were there who had to be.
        on: bool,
        /// Who watched, by name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        by: Vec<String>,
    },
}

impl From<&SessionEvent<'_>> for Event {
    fn from(event: &SessionEvent<'_>) -> Self {
        match *event {
            SessionEvent::Connected { account, target_session } => {
                Self::Connected { account: account.to_owned(), target_session: target_session.to_owned() }
            }
            SessionEvent::Cancelled => Self::Cancelled,
            SessionEvent::Alert { severity, seq } => Self::Alert { severity: severity.to_owned(), intent: seq },
            SessionEvent::Rejected(denial) => Self::Rejected { denial: denial.clone() },
            SessionEvent::Review { seq, review, step, by, note } => Self::Review {
                intent: seq,
                review: review.to_owned(),
                step: step.as_str().to_owned(),
                by: by.iter().map(|name| (*name).to_owned()).collect(),
                note: note.map(str::to_owned),
            },
            SessionEvent::Watched { seq, on, by } => Self::Watched { intent: seq, on, by: by.to_vec() },
        }
    }
}

/// Every reason that a session can end for.
const REASONS: [CloseReason; 6] = [
    CloseReason::Client,
    CloseReason::ClientLost,
    CloseReason::Target,
    CloseReason::Denied,
    CloseReason::Drained,
    CloseReason::Failed,
];

/// The reason that a word of a record stands for.
pub(crate) fn close_reason(word: &str) -> Option<CloseReason> {
    REASONS.into_iter().find(|r| r.as_str() == word)
}

#[cfg(test)]
mod tests {
    use countersign_model::{
        Attributes, Decision, Effects, Exposure, Fingerprint, Limits, Mask, Probe, Requirement, ReviewSpec, RuleId,
        Severity, Transform, WatchSpec, Withheld,
    };

    use super::*;

    #[test]
    fn a_definition_reads_back_as_it_was_written() {
        let mut a = Attributes::new();
        a.insert("has_where", Attribute::Bool(true));
        a.insert("limit", Attribute::Long(-3));
        a.insert("role", Attribute::String("x\u{1b}".into()));
        a.insert("relations", Attribute::set(["public.b", "public.a"]));
        let uses = vec![
            Use { access: Access::Read, attributes: a },
            Use { access: Access::Write, attributes: Attributes::new() },
        ];
        let tag = |s: &str| Tag::parse(s).unwrap();
        let disclosure =
            Disclosure { shown: vec![tag("pii.email")], matched: vec![tag("pii.name")], ..Disclosure::default() };
        let shape = Shape::disclosing("update", uses, Fingerprint(0xabc), disclosure.clone());
        let verdict = Verdict {
            decision: Decision::Allow,
            effects: Effects {
                limits: Limits { rows: Some(5), bytes: None, affected: Some(0) },
                alert: Some(Severity::High),
                masks: [Mask { tag: tag("pii.email"), transform: Transform::Last(4) }].into(),
                unmasked: [tag("pii.card")].into(),
                probes: [Probe { tag: tag("pii.name"), rate: "20/1h".parse().unwrap() }].into(),
                withheld: [Withheld { tag: tag("secret"), by: Exposure::Chosen }].into(),
                watch: Some(std::sync::Arc::new(WatchSpec { groups: vec!["sre".into()], wait_s: 60 })),
                review: Some(std::sync::Arc::new(ReviewSpec {
                    requirements: vec![Requirement { group: "dba".to_owned(), people: 2 }],
                    expires_s: 900,
                    in_transaction: true,
                    factor: None,
                })),
                grants: [std::sync::Arc::from("01J")].into(),
            },
            rules: vec![RuleId::new("r1")],
            reason: Some("because".to_owned()),
            denied_for: Vec::new(),
            epoch: 9,
        };
        let json = serde_json::to_vec(&DefinitionRef::new(&shape, &verdict)).unwrap();
        let d: Definition = serde_json::from_slice(&json).unwrap();
        assert_eq!(d.access, Access::Write);
        assert_eq!(d.fingerprint, "00000000000000000000000000000abc");
        assert_eq!((&d.verdict, &d.disclosure), (&verdict, &disclosure));
        assert_eq!(d.uses[0].attributes["relations"], serde_json::json!(["public.a", "public.b"]));
        assert_eq!(d.uses[0].attributes["limit"], serde_json::json!(-3));
        assert_eq!(d.uses.len(), 2);
    }

    #[test]
    fn a_definition_from_before_tags_is_read() {
        let old = r#"{"kind":"select","access":"read","fingerprint":"00","uses":[],"verdict":{"decision":"allow",
            "effects":{"limits":{}},"rules":["r"],"epoch":1}}"#;
        let d: Definition = serde_json::from_str(old).unwrap();
        assert!(d.disclosure.is_empty() && d.verdict.effects == Effects::default());
    }

    #[test]
    fn every_close_reason_has_its_word() {
        for reason in REASONS {
            assert_eq!(close_reason(reason.as_str()), Some(reason));
        }
        assert_eq!(close_reason("nonsense"), None);
    }
}
