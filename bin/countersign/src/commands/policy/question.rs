//! What is asked of the policies: who, on what, doing what, when. Described by a person, or taken from a recording.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use clap::Args;
use countersign_config::Config;
use countersign_credentials::AccountMatch;
use countersign_model::{
    Access, Actor, Attribute, AttributeKind, Attributes, CredentialBinding, Disclosure, Fingerprint, IdentityKind,
    IdentityParts, RecordLevel, SessionContext, SessionId, Shape, Tag, Tagging, Target, TargetName, Timestamp, Use,
};
use countersign_policy::{Language, Question};
use countersign_recording::{Definition, IntentRecord, SessionHeader};
use serde_json::Value;

use crate::failed::Failed;
use crate::house::Cellar;
use crate::{clock, output};

use super::super::text::parse_time;

/// How old a credential is if nothing says otherwise, and how long it lives.
const TOKEN_AGE_S: i64 = 60;
const TOKEN_LIFETIME_S: i64 = 3600;

/// Who is asking, as far as it is described.
#[derive(Debug, Args)]
pub(super) struct Who {
    /// The name of the identity. A local account brings its kind and groups, unless some are given.
    #[arg(long, value_name = "NAME", required_unless_present = "session", conflicts_with = "session")]
    pub(super) identity: Option<String>,
    /// A group that it is in; may be given several times.
    #[arg(long = "group", value_name = "GROUP", conflicts_with = "session")]
    groups: Vec<String>,
    /// What it is: human, machine or agent.
    #[arg(long, value_parser = parse_kind, conflicts_with = "session")]
    kind: Option<IdentityKind>,
    /// A claim of its token, NAME=TEXT, or NAME:=JSON; may be given several times.
    #[arg(long = "claim", value_name = "NAME=TEXT", value_parser = parse_claim, conflicts_with = "session")]
    claims: Vec<(String, Value)>,
    /// Who vouches for it.
    #[arg(long, value_name = "URL", conflicts_with = "session")]
    issuer: Option<String>,
    /// Its stable identifier at the issuer; its name when left out.
    #[arg(long, value_name = "SUBJECT", conflicts_with = "session")]
    subject: Option<String>,
    /// How old its token is, in seconds.
    #[arg(long, value_name = "SECONDS", conflicts_with = "session", default_value_t = TOKEN_AGE_S)]
    token_age_s: i64,
    /// How its credential is tied to its holder: bearer, bound or hardware.
    #[arg(long, value_parser = parse_credential, conflicts_with = "session", default_value = "bearer")]
    credential: CredentialBinding,
    /// Who acts for it, as name=NAME,kind=agent,group=GROUP,issuer=URL,subject=SUBJECT,claim.NAME=TEXT, of which only the name is
    /// needed; nearest first, may be given several times.
    #[arg(long = "actor", value_name = "name=NAME,…", value_parser = parse_actor, conflicts_with = "session")]
    actors: Vec<Described>,
}

/// An actor, described. Without an issuer it is of the identity's own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Described {
    actor: Actor,
    issuer: Option<String>,
}

/// On what, and from where.
#[derive(Debug, Args)]
pub(super) struct Where {
    /// The target.
    #[arg(long, value_name = "TARGET", required_unless_present = "session", conflicts_with = "session")]
    pub(super) target: Option<String>,
    /// A label of a target that is not in the configuration, KEY=VALUE; may be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_pair, conflicts_with = "session")]
    labels: Vec<(String, String)>,
    /// Which part of the target, such as a database.
    #[arg(long, value_name = "NAME", conflicts_with = "session")]
    pub(super) part: Option<String>,
    /// Where the client comes from.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "session", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    source: IpAddr,
    /// The client's connection is not encrypted.
    #[arg(long, conflicts_with = "session")]
    plaintext: bool,
    /// What the client says it is.
    #[arg(long, value_name = "NAME", conflicts_with = "session", default_value = "")]
    application: String,
    /// When, instead of now, or instead of when it was recorded.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(super) at: Option<Timestamp>,
}

/// An access, described.
#[derive(Debug, Args)]
pub(super) struct What {
    /// The access, instead of a text: connect, read, write, execute or admin.
    #[arg(long, value_parser = parse_access, conflicts_with_all = ["session", "text"])]
    pub(super) access: Option<Access>,
    /// An attribute of the access, NAME=VALUE; several values of a set with commas, or by giving it several times.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = parse_pair, requires = "access")]
    attributes: Vec<(String, String)>,
    /// A tag of the data that it has to do with, TAG=shown, matched, chosen or copied; may be given several times.
    #[arg(long = "tag", value_name = "TAG=HOW", value_parser = parse_tag, requires = "access")]
    tags: Vec<(Tag, How)>,
}

/// What an action does with tagged data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Shown,
    Matched,
    Chosen,
    Copied,
}

/// Everything that a question borrows from.
pub(super) struct Asked {
    pub(super) identity: IdentityParts,
    pub(super) target: Target,
    pub(super) session: SessionContext,
    pub(super) shape: Arc<Shape>,
    pub(super) now: Timestamp,
}

impl Asked {
    pub(super) fn question(&self) -> Question<'_> {
        Question {
            identity: &self.identity,
            target: &self.target,
            session: &self.session,
            shape: &self.shape,
            now: self.now,
            grants: &[],
        }
    }

    /// A statement as it was recorded: it needs no target to be read again.
    pub(super) fn recorded(
        header: &SessionHeader,
        intent: &IntentRecord,
        at: Timestamp,
        language: &Language,
    ) -> Result<Self, Failed> {
        Ok(Self::of(header, shape_of(&intent.definition, language)?, at))
    }

    /// An action in a recorded session.
    pub(super) fn of(header: &SessionHeader, shape: Arc<Shape>, at: Timestamp) -> Self {
        Self {
            identity: header.identity.clone(),
            target: Target {
                name: header.target.clone(),
                protocol: header.protocol.as_str().into(),
                labels: header.labels.clone(),
                record: header.record,
                durable: header.durable,
                tagging: Arc::new(Tagging { detect: header.detect.clone(), ..Tagging::default() }),
            },
            session: SessionContext {
                id: header.id,
                source: header.source,
                encrypted: header.encrypted,
                application: header.application.clone(),
                part: header.part.clone(),
                started_at: header.started_at,
            },
            shape,
            now: at,
        }
    }
}

impl Who {
    /// An identity of that name, a person in these groups unless a local account says otherwise.
    pub(super) fn named(name: &str, groups: &[String]) -> Self {
        Self {
            identity: Some(name.to_owned()),
            groups: groups.to_vec(),
            kind: None,
            claims: Vec::new(),
            issuer: None,
            subject: None,
            token_age_s: TOKEN_AGE_S,
            credential: CredentialBinding::Bearer,
            actors: Vec::new(),
        }
    }

    /// The identity that is described.
    pub(super) async fn describe(&self, config: Option<&Config>, now: Timestamp) -> Result<IdentityParts, Failed> {
        let name = self.identity.clone().unwrap_or_default();
        let described =
            !self.groups.is_empty() || self.kind.is_some() || !self.claims.is_empty() || self.issuer.is_some();
        let account = match config.filter(|c| !described && c.local_issuer.is_some()) {
            None => None,
            Some(config) => {
                let store = Cellar::open(config).await?.store;
                let found = store.find_account_by_name(&name).await.map_err(Failed::new)?;
                if found.is_none() {
                    output::note(&format!(
                        "there is no local account \"{name}\", so it is judged as a person without groups: describe it with \
                         --group, --kind and --claim"
                    ));
                }
                found
            }
        };
        let mut claims: BTreeMap<String, Value> = BTreeMap::new();
        for (name, value) in &self.claims {
            // Given again, a claim becomes a list.
            match claims.remove(name) {
                None => claims.insert(name.clone(), value.clone()),
                Some(Value::Array(mut all)) => {
                    all.push(value.clone());
                    claims.insert(name.clone(), all.into())
                }
                Some(first) => claims.insert(name.clone(), vec![first, value.clone()].into()),
            };
        }
        let issued_at = Timestamp::from_unix_s(now.unix_s().saturating_sub(self.token_age_s));
        let local = || config.and_then(local_issuer).unwrap_or_else(|| "https://issuer.invalid".to_owned());
        let (kind, groups, subject) = match account {
            Some(a) => (a.kind, a.groups, a.id),
            None => (IdentityKind::Human, BTreeSet::from_iter(self.groups.iter().cloned()), name.clone()),
        };
        let issuer = self.issuer.clone().unwrap_or_else(local);
        let actors = self.actors.iter().map(|described| Actor {
            issuer: described.issuer.clone().unwrap_or_else(|| issuer.clone()),
            ..described.actor.clone()
        });
        Ok(IdentityParts {
            subject: self.subject.clone().unwrap_or(subject),
            delegation: actors.collect(),
            issuer,
            name,
            kind: self.kind.unwrap_or(kind),
            groups,
            claims,
            credential: self.credential,
            token_id: None,
            key: None,
            signer: None,
            login: None,
            issued_at,
            expires_at: Timestamp::from_unix_s(issued_at.unix_s().saturating_add(TOKEN_LIFETIME_S)),
        })
    }
}

/// The URL of the local issuer.
fn local_issuer(config: &Config) -> Option<String> {
    let local = config.local_issuer.as_ref()?;
    let scheme = if config.api.tls.is_some() { "https" } else { "http" };
    Some(local.url.clone().unwrap_or_else(|| format!("{scheme}://{}", config.api.address)))
}

/// True when an account of a target is meant for the identity.
pub(super) fn is_meant_for(account: &AccountMatch, identity: &IdentityParts) -> bool {
    match account {
        AccountMatch::Default => true,
        AccountMatch::Any { groups, identities } => {
            identities.contains(&identity.name) || groups.iter().any(|g| identity.groups.contains(g))
        }
    }
}

impl Where {
    /// When it is judged.
    pub(super) fn moment(&self) -> Timestamp {
        self.at.unwrap_or_else(clock::now)
    }

    /// The target: one of the configuration, or as described.
    pub(super) fn target(&self, known: &dyn Fn(&str) -> Option<Target>) -> Result<Target, Failed> {
        let name = self.target.as_deref().unwrap_or_default();
        if self.labels.is_empty()
            && let Some(target) = known(name)
        {
            return Ok(target);
        }
        let parsed = TargetName::parse(name).ok_or_else(|| Failed::new(format!("\"{name}\" is not a target name")))?;
        if self.labels.is_empty() {
            output::note(&format!(
                "\"{name}\" is not in the configuration, so it is judged as a target without labels"
            ));
        }
        Ok(Target {
            name: parsed,
            protocol: "".into(),
            labels: self.labels.iter().cloned().collect(),
            record: RecordLevel::default(),
            durable: false,
            tagging: Arc::default(),
        })
    }

    /// The session.
    pub(super) fn session(&self, now: Timestamp, part: Option<&str>) -> SessionContext {
        SessionContext {
            id: SessionId::from_u128(0),
            source: SocketAddr::from((self.source, 0)),
            encrypted: !self.plaintext,
            application: self.application.clone(),
            part: self.part.as_deref().or(part).unwrap_or_default().to_owned(),
            started_at: now,
        }
    }
}

impl What {
    /// The access that is described.
    pub(super) fn shape(&self, access: Access, language: &Language) -> Result<Arc<Shape>, Failed> {
        let mut given: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in &self.attributes {
            given.entry(name).or_default().push(value);
        }
        let mut attributes = Attributes::new();
        for (name, values) in given {
            let spec = language.attribute(name).ok_or_else(|| {
                let names: Vec<&str> = language.attributes().map(|a| a.name).collect();
                Failed::new(format!("there is no attribute \"{name}\"; there are {}", names.join(", ")))
            })?;
            let value = match (spec.kind, values.as_slice()) {
                (AttributeKind::Set, all) => Some(Attribute::set(all.iter().flat_map(|v| v.split(',')))),
                (AttributeKind::String, [one]) => Some(Attribute::String((*one).into())),
                (AttributeKind::Bool, [one]) => one.parse().ok().map(Attribute::Bool),
                (AttributeKind::Long, [one]) => one.parse().ok().map(Attribute::Long),
                _ => None,
            };
            let value = value.ok_or_else(|| {
                let form = match spec.kind {
                    AttributeKind::Bool => "true or false",
                    AttributeKind::Long => "one whole number",
                    AttributeKind::String => "one text",
                    AttributeKind::Set => "texts",
                };
                Failed::new(format!("the attribute \"{name}\" is {form}"))
            })?;
            attributes.insert(spec.name, value);
        }
        let of = |how| self.tags.iter().filter(move |(_, h)| *h == how).map(|(tag, _)| tag.clone()).collect();
        let mut disclosure = Disclosure::default();
        disclosure.absorb(&Disclosure {
            shown: of(How::Shown),
            matched: of(How::Matched),
            chosen: of(How::Chosen),
            copied: of(How::Copied),
            ..Disclosure::default()
        });
        Ok(Shape::disclosing("described", vec![Use { access, attributes }], Fingerprint(0), disclosure))
    }
}

/// The shape of a recorded statement.
pub(super) fn shape_of(definition: &Definition, language: &Language) -> Result<Arc<Shape>, Failed> {
    let fingerprint = Fingerprint(u128::from_str_radix(&definition.fingerprint, 16).unwrap_or(0));
    if let Some(why) = &definition.unreadable {
        return Ok(Shape::unreadable(why, fingerprint));
    }
    let mut uses = Vec::new();
    for used in &definition.uses {
        let mut attributes = Attributes::new();
        for (name, value) in &used.attributes {
            let spec = language.attribute(name);
            let (Some(spec), Some(value)) = (spec, spec.and_then(|s| attribute(s.kind, value))) else {
                return Err(Failed::new(format!(
                    "the recording has an attribute \"{name}\" that this version of Countersign does not know as it was \
                     written: explain it with the version that recorded it"
                )));
            };
            attributes.insert(spec.name, value);
        }
        uses.push(Use { access: used.access, attributes });
    }
    Ok(Shape::disclosing(&definition.kind, uses, fingerprint, definition.disclosure.clone()))
}

fn attribute(kind: AttributeKind, value: &Value) -> Option<Attribute> {
    match kind {
        AttributeKind::Bool => value.as_bool().map(Attribute::Bool),
        AttributeKind::Long => value.as_i64().map(Attribute::Long),
        AttributeKind::String => value.as_str().map(|s| Attribute::String(s.into())),
        AttributeKind::Set => {
            let texts: Option<Vec<&str>> = value.as_array()?.iter().map(Value::as_str).collect();
            texts.map(Attribute::set)
        }
    }
}

fn parse_tag(text: &str) -> Result<(Tag, How), String> {
    let (tag, how) = text.split_once('=').ok_or("expected TAG=HOW, such as pii.email=shown")?;
    let how = match how {
        "shown" => How::Shown,
        "matched" => How::Matched,
        "chosen" => How::Chosen,
        "copied" => How::Copied,
        _ => return Err("HOW is shown, matched, chosen or copied".to_owned()),
    };
    Ok((Tag::parse(tag).ok_or("a tag is parts of a-z, 0-9, '_' or '-' joined by dots")?, how))
}

fn parse_kind(word: &str) -> Result<IdentityKind, String> {
    let all = [IdentityKind::Human, IdentityKind::Machine, IdentityKind::Agent];
    all.into_iter().find(|k| k.as_str() == word).ok_or_else(|| "it is human, machine or agent".to_owned())
}

fn parse_credential(word: &str) -> Result<CredentialBinding, String> {
    let all = [CredentialBinding::Bearer, CredentialBinding::Bound, CredentialBinding::Hardware];
    all.into_iter().find(|c| c.as_str() == word).ok_or_else(|| "it is bearer, bound or hardware".to_owned())
}

fn parse_actor(text: &str) -> Result<Described, String> {
    const FORM: &str = "it is name=NAME, with kind, group, issuer, subject or claim.NAME after commas";
    let mut actor = Actor {
        subject: String::new(),
        issuer: String::new(),
        name: String::new(),
        kind: IdentityKind::Agent,
        groups: BTreeSet::new(),
        claims: BTreeMap::new(),
        signer: None,
    };
    let mut issuer = None;
    for pair in text.split(',') {
        let (key, value) = parse_pair(pair).map_err(|_| FORM.to_owned())?;
        match key.as_str() {
            "name" => actor.name = value,
            "kind" => actor.kind = parse_kind(&value)?,
            "group" => drop(actor.groups.insert(value)),
            "issuer" => issuer = Some(value),
            "subject" => actor.subject = value,
            _ => match key.strip_prefix("claim.").filter(|claim| !claim.is_empty()) {
                Some(claim) => drop(actor.claims.insert(claim.to_owned(), value.into())),
                None => return Err(format!("there is no \"{key}\": {FORM}")),
            },
        }
    }
    if actor.name.is_empty() {
        return Err(FORM.to_owned());
    }
    if actor.subject.is_empty() {
        actor.subject.clone_from(&actor.name);
    }
    Ok(Described { actor, issuer })
}

fn parse_access(word: &str) -> Result<Access, String> {
    let known = Access::ALL.into_iter().filter(|a| *a != Access::Opaque);
    known
        .into_iter()
        .find(|a| a.as_str() == word)
        .ok_or_else(|| "it is connect, read, write, execute or admin".to_owned())
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it is NAME=VALUE".to_owned()),
    }
}

fn parse_claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("it is NAME=TEXT or NAME:=JSON")?;
    let (name, value) = match name.strip_suffix(':') {
        Some(name) => (name, serde_json::from_str(value).map_err(|e| format!("after := comes JSON: {e}"))?),
        None => (name, Value::from(value)),
    };
    if name.is_empty() { Err("the claim has no name".to_owned()) } else { Ok((name.to_owned(), value)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use serde_json::json;

    use super::{parse_actor, parse_claim, parse_pair};

    #[test]
    fn actors_are_described_by_pairs() {
        let full = "name=bot,kind=machine,group=a,group=b,issuer=https://x,subject=s-1,claim.ref=main";
        let got = parse_actor(full).unwrap();
        assert_eq!(got.issuer.as_deref(), Some("https://x"));
        assert_eq!(
            (got.actor.subject.as_str(), got.actor.kind.as_str(), got.actor.groups.len()),
            ("s-1", "machine", 2)
        );
        assert_eq!(got.actor.claims["ref"], json!("main"));
        let least = parse_actor("name=bot").unwrap();
        assert_eq!((least.actor.subject.as_str(), least.actor.kind.as_str(), least.issuer), ("bot", "agent", None));
        for (bad, why) in [
            ("", "name=NAME"),
            ("group=a", "name=NAME"),
            ("name=", "name=NAME"),
            ("name=bot,,", "name=NAME"),
            ("name=bot,kind=robot", "human, machine or agent"),
            ("name=bot,claim.=x", "no \"claim.\""),
            ("name=bot,groups=a", "no \"groups\""),
        ] {
            assert!(parse_actor(bad).unwrap_err().contains(why), "{bad}: {:?}", parse_actor(bad));
        }
    }

    #[test]
    fn claims_are_text_or_json() {
        for (text, expected) in [
            ("ref=refs/heads/main", Some(("ref", json!("refs/heads/main")))),
            ("n=1", Some(("n", json!("1")))),
            ("n:=1", Some(("n", json!(1)))),
            ("amr:=[\"otp\"]", Some(("amr", json!(["otp"])))),
            ("a=b=c", Some(("a", json!("b=c")))),
            ("empty=", Some(("empty", json!("")))),
            ("n:=[", None),
            ("=x", None),
            ("x", None),
        ] {
            assert_eq!(parse_claim(text).ok(), expected.map(|(n, v)| (n.to_owned(), v)), "{text}");
        }
        assert!(parse_pair("=x").is_err());
    }
}
