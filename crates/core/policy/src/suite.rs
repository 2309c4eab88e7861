//! Policy tests: cases in TOML that say what a set of rules must answer.
//!
//! It must never make an `Identity`: the identities of tests are invented, and verdicts on them let nobody in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use countersign_model::{
    Access, Actor, Attribute, AttributeKind, Attributes, CredentialBinding, Decision, Disclosure, Fingerprint,
    IdentityKind, IdentityParts, Limits, RecordLevel, RuleId, SessionContext, SessionId, Severity, Shape, Tag, Tagging,
    Target, TargetName, Timestamp, Use, Verdict, days_from_civil,
};
use serde::{Deserialize, Serialize};

use crate::calendar::DAY_S;
use crate::explain::limits_words;
use crate::facts::Question;
use crate::language::Language;
use crate::problem::{PolicyProblem, did_you_mean};
use crate::set::PolicySet;

/// The most cases in one file.
const CASES_MAX: usize = 10_000;

/// When a case is judged if it does not say: Monday, 5 January 2026, 12:00 UTC.
const NOW_S: i64 = 1_767_614_400;

/// How old a credential is if a case does not say.
const TOKEN_AGE_S: i64 = 60;

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestSuite {
    #[serde(default)]
    identity: BTreeMap<String, TestIdentity>,
    #[serde(default)]
    target: BTreeMap<String, TestTarget>,
    #[serde(default)]
    case: Vec<Case>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestIdentity {
    subject: Option<String>,
    #[serde(default = "test_issuer")]
    issuer: String,
    #[serde(default = "human")]
    kind: IdentityKind,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    claims: BTreeMap<String, serde_json::Value>,
    #[serde(default = "bearer")]
    credential: CredentialBinding,
    #[serde(default)]
    actors: Vec<TestActor>,
}

/// Who acts for an identity, nearest first.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestActor {
    name: String,
    subject: Option<String>,
    #[serde(default = "test_issuer")]
    issuer: String,
    #[serde(default = "agent")]
    kind: IdentityKind,
    #[serde(default)]
    groups: BTreeSet<String>,
    #[serde(default)]
    claims: BTreeMap<String, serde_json::Value>,
}

impl From<&TestActor> for Actor {
    fn from(a: &TestActor) -> Self {
        Self {
            subject: a.subject.clone().unwrap_or_else(|| a.name.clone()),
            issuer: a.issuer.clone(),
            name: a.name.clone(),
            kind: a.kind,
            groups: a.groups.clone(),
            claims: a.claims.clone(),
            signer: None,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestTarget {
    #[serde(default)]
    protocol: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    detect: BTreeSet<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    identity: String,
    target: String,
    text: Option<String>,
    access: Option<Access>,
    #[serde(default)]
    attributes: BTreeMap<String, toml::Value>,
    #[serde(default)]
    tags_shown: BTreeSet<Tag>,
    #[serde(default)]
    tags_matched: BTreeSet<Tag>,
    #[serde(default)]
    tags_chosen: BTreeSet<Tag>,
    #[serde(default)]
    tags_copied: BTreeSet<Tag>,
    #[serde(default = "loopback")]
    source: SocketAddr,
    #[serde(default = "yes")]
    encrypted: bool,
    #[serde(default)]
    application: String,
    #[serde(default)]
    part: String,
    now: Option<toml::value::Datetime>,
    token_age_s: Option<i64>,
    credential: Option<CredentialBinding>,
    expect: Decision,
    rules: Option<Vec<String>>,
    denied_for: Option<Vec<String>>,
    limits: Option<TestLimits>,
    alert: Option<Severity>,
    /// `TAG=TRANSFORM`.
    masks: Option<BTreeSet<String>>,
    unmasked: Option<BTreeSet<String>>,
    /// `TAG=COUNT/TIME`.
    probes: Option<BTreeSet<String>>,
    /// `TAG=chosen|matched|copied`.
    withheld: Option<BTreeSet<String>>,
    review: Option<String>,
    /// Who must be watching, as in `@watched`.
    watched: Option<String>,
}

impl Case {
    /// What the case says that the action does with tags.
    fn disclosure(&self) -> Disclosure {
        let list = |tags: &BTreeSet<Tag>| tags.iter().cloned().collect();
        Disclosure {
            shown: list(&self.tags_shown),
            matched: list(&self.tags_matched),
            chosen: list(&self.tags_chosen),
            copied: list(&self.tags_copied),
            guesses: u32::from(!self.tags_matched.is_empty()),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestLimits {
    rows: Option<u64>,
    bytes: Option<u64>,
    affected: Option<u64>,
}

fn test_issuer() -> String {
    "https://issuer.test".to_owned()
}

const fn human() -> IdentityKind {
    IdentityKind::Human
}

const fn agent() -> IdentityKind {
    IdentityKind::Agent
}

const fn bearer() -> CredentialBinding {
    CredentialBinding::Bearer
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 50_000))
}

const fn yes() -> bool {
    true
}

/// Reads a text as the protocol of the target would.
pub type Classify<'a> = &'a dyn Fn(&Target, &SessionContext, &str) -> Result<Arc<Shape>, String>;

/// Runs suites.
pub struct SuiteRunner<'a> {
    /// The rules under test.
    pub policies: &'a PolicySet,
    /// Reads the `text` of a case.
    pub classify: Classify<'a>,
    /// Targets that cases may name without describing them: those of the configuration.
    pub targets: &'a dyn Fn(&str) -> Option<Target>,
}

/// What became of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// What came out otherwise than expected, one sentence each; empty when it passed.
    pub failures: Vec<String>,
    /// Why it came out so; empty when it passed.
    pub explanation: String,
}

/// What became of a suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SuiteReport {
    /// The file.
    pub file: String,
    /// Its cases, in order.
    pub cases: Vec<CaseReport>,
}

impl SuiteReport {
    /// How many cases failed.
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|c| !c.failures.is_empty()).count()
    }
}

impl fmt::Display for SuiteReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            if case.failures.is_empty() {
                writeln!(f, "ok    {}: {}", self.file, case.name)?;
                continue;
            }
            writeln!(f, "FAIL  {}: {}", self.file, case.name)?;
            for failure in &case.failures {
                writeln!(f, "        {failure}")?;
            }
            for line in case.explanation.lines() {
                writeln!(f, "        | {line}")?;
            }
        }
        let failed = self.failed();
        writeln!(f, "{}: {} passed, {failed} failed", self.file, self.cases.len() - failed)
    }
}

impl TestSuite {
    /// Reads a suite.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub fn parse(path: &str, text: &str) -> Result<Self, PolicyProblem> {
        let suite: Self = toml::from_str(text).map_err(|e| {
            let offset = e.span().map_or(0, |s| s.start);
            PolicyProblem::at(path, text, offset, e.message().to_owned(), None)
        })?;
        match suite.case.len() {
            0 => Err(PolicyProblem::whole(path, "the file has no [[case]]".to_owned(), None)),
            n if n > CASES_MAX => Err(PolicyProblem::whole(path, format!("{n} cases; the most is {CASES_MAX}"), None)),
            _ => Ok(suite),
        }
    }
}

impl SuiteRunner<'_> {
    /// Runs every case.
    pub fn run(&self, path: &str, suite: &TestSuite) -> SuiteReport {
        let cases = suite.case.iter().map(|case| {
            let (failures, explanation) = match self.run_case(suite, case) {
                Ok(outcome) => outcome,
                Err(e) => (vec![e], String::new()),
            };
            CaseReport { name: case.name.clone(), failures, explanation }
        });
        SuiteReport { file: path.to_owned(), cases: cases.collect() }
    }

    fn run_case(&self, suite: &TestSuite, case: &Case) -> Result<(Vec<String>, String), String> {
        let now_s =
            case.now.as_ref().map_or(Ok(NOW_S), |d| unix_s(d).ok_or_else(|| format!("now = {d} is not a UTC time")))?;
        let identity = identity(suite, case, now_s)?;
        let target = self.target(suite, &case.target)?;
        let session = SessionContext {
            id: SessionId::from_u128(0),
            source: case.source,
            encrypted: case.encrypted,
            application: case.application.clone(),
            part: case.part.clone(),
            started_at: Timestamp::from_unix_s(now_s),
        };
        let shape = self.shape(case, &target, &session)?;
        let q = Question {
            identity: &identity,
            target: &target,
            session: &session,
            shape: &shape,
            now: Timestamp::from_unix_s(now_s),
            grants: &[],
        };
        let explanation = self.policies.explain(&q);
        let failures = compare(case, &explanation.verdict);
        let why = if failures.is_empty() { String::new() } else { explanation.to_string() };
        Ok((failures, why))
    }

    fn target(&self, suite: &TestSuite, name: &str) -> Result<Target, String> {
        let Some(t) = suite.target.get(name) else {
            return (self.targets)(name).ok_or_else(|| {
                unknown("target", name, suite.target.keys(), "describe it as [target.NAME], or configure it")
            });
        };
        Ok(Target {
            name: TargetName::parse(name).ok_or_else(|| format!("\"{name}\" is not a target name"))?,
            protocol: t.protocol.as_str().into(),
            labels: t.labels.clone(),
            record: RecordLevel::default(),
            durable: false,
            tagging: Arc::new(Tagging { detect: t.detect.iter().cloned().collect(), ..Tagging::default() }),
        })
    }

    fn shape(&self, case: &Case, target: &Target, session: &SessionContext) -> Result<Arc<Shape>, String> {
        let disclosure = case.disclosure();
        match (&case.text, case.access) {
            (Some(text), None) if case.attributes.is_empty() => {
                let shape = (self.classify)(target, session, text)?;
                if disclosure.is_empty() || shape.why_unreadable().is_some() {
                    return Ok(shape);
                }
                // A text that was read without the names of the target may say more than could be seen.
                let mut all = shape.disclosure().clone();
                all.absorb(&disclosure);
                Ok(Shape::disclosing(shape.kind(), shape.uses().to_vec(), shape.fingerprint(), all))
            }
            (None, Some(access)) => {
                let attributes = attributes(self.policies.language(), &case.attributes)?;
                Ok(Shape::disclosing("test", vec![Use { access, attributes }], Fingerprint(0), disclosure))
            }
            _ => Err("a case needs either text, or access (with attributes)".to_owned()),
        }
    }
}

fn identity(suite: &TestSuite, case: &Case, now_s: i64) -> Result<IdentityParts, String> {
    let name = &case.identity;
    let t = suite
        .identity
        .get(name)
        .ok_or_else(|| unknown("identity", name, suite.identity.keys(), "describe it as [identity.NAME]"))?;
    let issued_s = now_s.saturating_sub(case.token_age_s.unwrap_or(TOKEN_AGE_S));
    Ok(IdentityParts {
        subject: t.subject.clone().unwrap_or_else(|| name.clone()),
        issuer: t.issuer.clone(),
        name: name.clone(),
        kind: t.kind,
        groups: t.groups.iter().cloned().collect(),
        claims: t.claims.clone(),
        delegation: t.actors.iter().map(Actor::from).collect(),
        credential: case.credential.unwrap_or(t.credential),
        token_id: None,
        key: None,
        signer: None,
        login: None,
        issued_at: Timestamp::from_unix_s(issued_s),
        expires_at: Timestamp::from_unix_s(issued_s.saturating_add(3600)),
    })
}

fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a String>, otherwise: &str) -> String {
    let help = did_you_mean(name, known.into_iter().map(String::as_str));
    format!("unknown {what} \"{name}\": {}", help.as_deref().unwrap_or(otherwise))
}

fn attributes(language: &Language, given: &BTreeMap<String, toml::Value>) -> Result<Attributes, String> {
    let mut attributes = Attributes::new();
    for (name, value) in given {
        let spec = language.attribute(name).ok_or_else(|| {
            let help = did_you_mean(name, language.attributes().map(|a| a.name)).unwrap_or_default();
            format!("unknown attribute \"{name}\"; {help}")
        })?;
        let wrong = || format!("attribute \"{name}\" is not of its type, {}", crate::language::cedar_type(spec.kind));
        let value = match (spec.kind, value) {
            (AttributeKind::Bool, toml::Value::Boolean(b)) => Attribute::Bool(*b),
            (AttributeKind::Long, toml::Value::Integer(n)) => Attribute::Long(*n),
            (AttributeKind::String, toml::Value::String(s)) => Attribute::String(s.as_str().into()),
            (AttributeKind::Set, toml::Value::Array(items)) => {
                let texts: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
                Attribute::set(texts.ok_or_else(wrong)?)
            }
            _ => return Err(wrong()),
        };
        attributes.insert(spec.name, value);
    }
    Ok(attributes)
}

fn compare(case: &Case, verdict: &Verdict) -> Vec<String> {
    let mut failures = Vec::new();
    if verdict.decision != case.expect {
        failures.push(format!("expected {}, got {}", case.expect.as_str(), verdict.decision.as_str()));
    }
    if let Some(rules) = &case.rules {
        let mut expected: Vec<&str> = rules.iter().map(String::as_str).collect();
        expected.sort_unstable();
        let got: Vec<&str> = verdict.rules.iter().map(RuleId::as_str).collect();
        if expected != got {
            failures.push(format!("expected the rules {expected:?}, got {got:?}"));
        }
    }
    if let Some(names) = &case.denied_for {
        // By the name alone, or whole, with the issuer and the subject.
        let is = |got: &str, name: &str| got == name || got.strip_prefix(name).is_some_and(|r| r.starts_with(" ("));
        let got = &verdict.denied_for;
        if names.len() != got.len() || !names.iter().zip(got).all(|(name, got)| is(got, name)) {
            failures.push(format!("expected a deny for {names:?}, got {got:?}"));
        }
    }
    if let Some(l) = case.limits {
        let expected = Limits { rows: l.rows, bytes: l.bytes, affected: l.affected };
        let got = &verdict.effects.limits;
        if expected != *got {
            failures.push(format!("expected the limits {}, got {}", limits_words(&expected), limits_words(got)));
        }
    }
    let effects = &verdict.effects;
    let masks = effects.masks.iter().map(|m| format!("{}={}", m.tag, m.transform)).collect();
    let unmasked = effects.unmasked.iter().map(Tag::to_string).collect();
    let probes = effects.probes.iter().map(|p| format!("{}={}", p.tag, p.rate)).collect();
    let withheld = effects.withheld.iter().map(|w| format!("{}={}", w.tag, w.by.as_str())).collect();
    for (what, expected, got) in [
        ("masks", &case.masks, masks),
        ("unmasked tags", &case.unmasked, unmasked),
        ("probes", &case.probes, probes),
        ("withheld tags", &case.withheld, withheld),
    ] {
        let got: BTreeSet<String> = got;
        if let Some(expected) = expected.as_ref().filter(|e| **e != got) {
            failures.push(format!("expected the {what} {expected:?}, got {got:?}"));
        }
    }
    if case.alert.is_some() && case.alert != verdict.effects.alert {
        failures.push(format!("expected an alert {:?}, got {:?}", case.alert, verdict.effects.alert));
    }
    if let Some(expected) = &case.watched {
        let got = verdict.effects.watch.as_deref();
        match crate::watched::read(expected) {
            Ok(expected) if got == Some(&expected) => {}
            Ok(expected) => {
                let got = got.map_or_else(|| "nobody".to_owned(), |w| format!("{w}, waiting {} s", w.wait_s));
                failures.push(format!("expected {expected} to watch, waiting {} s; got {got}", expected.wait_s));
            }
            Err(fault) => failures.push(format!("watched = \"{expected}\": {}", fault.message)),
        }
    }
    if let Some(expected) = &case.review {
        let got = verdict.effects.review.as_deref();
        match crate::review::read(expected) {
            Ok(expected) if got == Some(&expected) => {}
            Ok(expected) => {
                let got = got.map_or_else(|| "none".to_owned(), ToString::to_string);
                failures.push(format!("expected a review by {expected} (with its options), got {got}"));
            }
            Err(fault) => failures.push(format!("review = \"{expected}\": {}", fault.message)),
        }
    }
    failures
}

/// A UTC date and time; a missing time is midnight. `None` for other offsets and for local times without a date.
fn unix_s(d: &toml::value::Datetime) -> Option<i64> {
    let date = d.date?;
    if !matches!(d.offset, None | Some(toml::value::Offset::Z | toml::value::Offset::Custom { minutes: 0 })) {
        return None;
    }
    let days = days_from_civil(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let s =
        d.time.map_or(0, |t| i64::from(t.hour) * 3600 + i64::from(t.minute) * 60 + i64::from(t.second.unwrap_or(0)));
    Some(days * DAY_S + s)
}
