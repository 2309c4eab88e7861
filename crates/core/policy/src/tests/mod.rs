//! Tests of whole sets: fixtures here, one file for each promise. It must never be built into the product.

mod absence;
mod adversarial;
mod delegation;
mod documentation;
mod grants;
mod kept;
mod loading;
mod reviews;
mod speed;
mod suites;
mod tags;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_model::{
    Access, Attribute, AttributeKind, AttributeSpec, Attributes, CredentialBinding, Disclosure, Fingerprint, Identity,
    IdentityKind, IdentityParts, RecordLevel, Request, SessionContext, SessionId, Shape, Tag, Target, TargetName,
    Timestamp, Use, Vocabulary,
};

use crate::{ClaimKind, ClaimSpec, Language, PolicyFile, PolicyProblem, PolicySet};

/// Monday, 5 January 2026, 12:00 UTC.
pub(super) const NOON_S: i64 = 1_767_614_400;

pub(super) const TOY: Vocabulary = &[
    AttributeSpec { name: "relations", kind: AttributeKind::Set, doc: "What it touches." },
    AttributeSpec { name: "verb", kind: AttributeKind::String, doc: "Which verb." },
    AttributeSpec { name: "bounded", kind: AttributeKind::Bool, doc: "True when it names what it changes." },
    AttributeSpec { name: "depth", kind: AttributeKind::Long, doc: "How deep it goes." },
];

pub(super) fn language() -> Arc<Language> {
    let claims = [
        ClaimSpec { name: "team".to_owned(), kind: ClaimKind::Set, doc: "Teams.".to_owned() },
        ClaimSpec { name: "https://acme.test/tier".to_owned(), kind: ClaimKind::String, doc: String::new() },
    ];
    Arc::new(Language::new(&[TOY], &claims).unwrap())
}

pub(super) fn try_load(texts: &[&str]) -> Result<Arc<PolicySet>, Vec<PolicyProblem>> {
    let file = |(i, text): (usize, &&str)| PolicyFile { path: format!("{i}.cedar"), text: (*text).to_owned() };
    let files: Vec<PolicyFile> = texts.iter().enumerate().map(file).collect();
    PolicySet::load(&files, &language(), 1)
}

pub(super) fn load(text: &str) -> Arc<PolicySet> {
    match try_load(&[text]) {
        Ok(set) => set,
        Err(problems) => panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) identity: Identity,
    pub(super) target: Target,
    pub(super) session: SessionContext,
    pub(super) now: Timestamp,
}

impl World {
    /// ana, an analyst, on `orders`, which is production, at noon.
    pub(super) fn new() -> Self {
        Self {
            identity: Identity::mint(parts()),
            target: Target {
                name: TargetName::parse("orders").unwrap(),
                protocol: "toy".into(),
                labels: BTreeMap::from([("env".to_owned(), "prod".to_owned())]),
                record: RecordLevel::default(),
                durable: false,
                tagging: Arc::default(),
            },
            session: SessionContext {
                id: SessionId::from_u128(1),
                source: "10.1.2.3:50000".parse().unwrap(),
                encrypted: true,
                application: "toyctl".to_owned(),
                part: "main".to_owned(),
                started_at: Timestamp::from_unix_s(NOON_S),
            },
            now: Timestamp::from_unix_s(NOON_S),
        }
    }

    /// The same with another identity.
    pub(super) fn who(mut self, change: impl FnOnce(&mut IdentityParts)) -> Self {
        let mut parts = IdentityParts::clone(&self.identity);
        change(&mut parts);
        self.identity = Identity::mint(parts);
        self
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(super) fn ask<'a>(&'a self, shape: &'a Shape) -> Request<'a> {
        Request { identity: &self.identity, target: &self.target, session: &self.session, shape, now: self.now }
    }
}

pub(super) fn parts() -> IdentityParts {
    IdentityParts {
        subject: "u-1".to_owned(),
        issuer: "https://id.acme.test".to_owned(),
        name: "ana".to_owned(),
        kind: IdentityKind::Human,
        groups: ["analysts".to_owned()].into(),
        claims: BTreeMap::new(),
        delegation: Vec::new(),
        credential: CredentialBinding::Bearer,
        token_id: None,
        key: None,
        signer: None,
        login: None,
        issued_at: Timestamp::from_unix_s(NOON_S - 60),
        expires_at: Timestamp::from_unix_s(NOON_S + 3600),
    }
}

pub(super) fn used(access: Access, attributes: &[(&'static str, Attribute)]) -> Use {
    let mut all = Attributes::new();
    for (name, value) in attributes {
        all.insert(name, value.clone());
    }
    Use { access, attributes: all }
}

pub(super) fn on(access: Access, relations: &[&str]) -> Use {
    used(access, &[("relations", Attribute::set(relations.iter().copied()))])
}

pub(super) fn tag(s: &str) -> Tag {
    Tag::parse(s).unwrap()
}

/// A read that shows, matches, chooses by and copies these.
pub(super) fn tagged(shown: &[&str], matched: &[&str], chosen: &[&str], copied: &[&str]) -> Arc<Shape> {
    let list = |tags: &[&str]| tags.iter().map(|t| tag(t)).collect();
    let disclosure = Disclosure {
        shown: list(shown),
        matched: list(matched),
        chosen: list(chosen),
        copied: list(copied),
        guesses: 0,
    };
    Shape::disclosing("toy", vec![on(Access::Read, &["r0"])], Fingerprint(0), disclosure)
}

pub(super) fn shape(uses: Vec<Use>) -> Arc<Shape> {
    Shape::new("toy", uses, Fingerprint(0))
}

/// `allow rules=a,b limits=rows=1 alert=High`, or `deny`.
pub(super) fn told(v: &countersign_model::Verdict) -> String {
    let mut out = v.decision.as_str().to_owned();
    for r in &v.rules {
        out.push_str(&format!(" {r}"));
    }
    if !v.effects.limits.is_none() {
        out.push_str(&format!(" [{}]", crate::explain::limits_words(&v.effects.limits)));
    }
    if let Some(alert) = v.effects.alert {
        out.push_str(&format!(" !{alert:?}"));
    }
    for m in v.effects.masks.iter() {
        out.push_str(&format!(" {}={}", m.tag, m.transform));
    }
    for tag in v.effects.unmasked.iter() {
        out.push_str(&format!(" +{tag}"));
    }
    for p in v.effects.probes.iter() {
        out.push_str(&format!(" ?{}:{}", p.tag, p.rate));
    }
    for w in v.effects.withheld.iter() {
        out.push_str(&format!(" -{}:{}", w.tag, w.by.as_str()));
    }
    if let Some(review) = &v.effects.review {
        out.push_str(&format!(" ?{review}"));
    }
    if v.reason.is_some() && v.effects.withheld.is_empty() {
        out.push_str(" (error)");
    }
    out
}
