//! What an approval is bound to: digests over everything that decides what an action does.
//!
//! Each field goes in with its length before it, so that no two actions are written alike. It must never leave out what the target
//! would notice.

use std::fmt;

use bytes::Bytes;
use countersign_model::{Access, Identity, IdentityParts, ReviewSpec, RuleId, SessionId, Target, Timestamp};
use sha2::{Digest as _, Sha256};

/// 256 bits that stand for what was approved.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

/// 64 hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Everything that an action is, for its digest.
#[derive(Clone, Copy, Debug)]
pub struct ActionFacts<'a> {
    /// The text.
    pub text: &'a Bytes,
    /// Bound parameters as the wire has them.
    pub parameters: &'a Bytes,
    /// On what.
    pub target: &'a Target,
    /// Which part of it.
    pub part: &'a str,
    /// The account at the target.
    pub account: &'a str,
    /// What of the session decides what the text does, in the protocol's own form.
    pub settings: &'a [u8],
    /// Who asks, through whom.
    pub identity: &'a Identity,
    /// Who must say yes.
    pub spec: &'a ReviewSpec,
}

struct Fields(Sha256);

impl Fields {
    fn new(what: &str) -> Self {
        let mut fields = Self(Sha256::new());
        fields.add(what.as_bytes());
        fields
    }

    fn add(&mut self, field: &[u8]) {
        self.number(field.len() as u64);
        self.0.update(field);
    }

    fn number(&mut self, n: u64) {
        self.0.update(n.to_be_bytes());
    }

    /// Somebody, with everybody who acts for them.
    fn who(&mut self, identity: &IdentityParts) {
        self.add(identity.issuer.as_bytes());
        self.add(identity.subject.as_bytes());
        self.number(identity.delegation.len() as u64);
        for actor in &identity.delegation {
            self.add(actor.issuer.as_bytes());
            self.add(actor.subject.as_bytes());
        }
    }

    /// Who must say yes.
    fn of_whom(&mut self, spec: &ReviewSpec) {
        self.number(spec.requirements.len() as u64);
        for r in &spec.requirements {
            self.add(r.group.as_bytes());
            self.number(u64::from(r.people));
        }
        self.number(spec.expires_s);
        self.number(u64::from(spec.in_transaction));
        // The last field, so that its absence is told from it, and what was asked for before there were factors is still known.
        if let Some(factor) = spec.factor {
            self.add(factor.as_str().as_bytes());
        }
    }

    fn digest(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl ActionFacts<'_> {
    /// The same for the same action by the same identity, whatever session it comes in: what the retry after a restart is known by.
    pub fn digest(&self) -> Digest {
        let mut fields = Fields::new("countersign action 1");
        fields.add(self.text);
        fields.add(self.parameters);
        fields.add(self.target.name.as_str().as_bytes());
        fields.add(self.target.protocol.as_bytes());
        fields.add(self.part.as_bytes());
        fields.add(self.account.as_bytes());
        fields.add(self.settings);
        fields.who(self.identity);
        fields.of_whom(self.spec);
        fields.digest()
    }
}

/// Everything that a grant is, for its digest.
#[derive(Clone, Copy, Debug)]
pub struct GrantFacts<'a> {
    /// Its id.
    pub id: &'a str,
    /// Who asks, through whom.
    pub identity: &'a IdentityParts,
    /// On what.
    pub target: &'a str,
    /// What is asked for.
    pub accesses: &'a [Access],
    /// By which rules.
    pub rules: &'a [RuleId],
    /// Why.
    pub reason: &'a str,
    /// How long it is to last, in seconds.
    pub lasts_s: u64,
    /// For how many uses.
    pub uses_max: Option<u32>,
    /// From when on, where that is not its first use.
    pub starts_at: Option<Timestamp>,
    /// It is taken before anybody said yes.
    pub at_once: bool,
    /// Who must say yes.
    pub spec: &'a ReviewSpec,
}

impl GrantFacts<'_> {
    /// What an approval of it is bound to.
    pub fn digest(&self) -> Digest {
        let mut fields = Fields::new("countersign grant 1");
        fields.add(self.id.as_bytes());
        fields.who(self.identity);
        fields.add(self.target.as_bytes());
        fields.number(self.accesses.len() as u64);
        self.accesses.iter().for_each(|a| fields.add(a.as_str().as_bytes()));
        fields.number(self.rules.len() as u64);
        self.rules.iter().for_each(|r| fields.add(r.as_str().as_bytes()));
        fields.add(self.reason.as_bytes());
        fields.number(self.lasts_s);
        fields.number(u64::from(self.uses_max.unwrap_or(0)));
        fields.add(&self.starts_at.map_or([0; 8], |at| at.unix_us().to_be_bytes()));
        fields.number(u64::from(self.at_once));
        fields.of_whom(self.spec);
        fields.digest()
    }
}

/// What one approval is good for: the action, in this session, until this time.
pub fn binding(action: Digest, session: SessionId, expires_at: Timestamp) -> Digest {
    let mut fields = Fields::new("countersign review 1");
    fields.add(&action.0);
    fields.add(&session.to_u128().to_be_bytes());
    fields.add(&expires_at.unix_us().to_be_bytes());
    fields.digest()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests vouch for their own")]
mod tests {
    use std::collections::BTreeMap;

    use countersign_model::{
        Actor, CredentialBinding, Factor, IdentityKind, IdentityParts, RecordLevel, Requirement, TargetName,
    };

    use super::*;

    struct World {
        text: Bytes,
        parameters: Bytes,
        target: Target,
        part: String,
        account: String,
        settings: Vec<u8>,
        identity: IdentityParts,
        spec: ReviewSpec,
    }

    fn actor(subject: &str) -> Actor {
        Actor {
            subject: subject.to_owned(),
            issuer: "https://ai".to_owned(),
            name: subject.to_owned(),
            kind: IdentityKind::Agent,
            groups: Default::default(),
            claims: Default::default(),
            signer: None,
        }
    }

    fn world() -> World {
        World {
            text: Bytes::from_static(b"update t set a = $1"),
            parameters: Bytes::from_static(b"\0\x01"),
            target: Target {
                name: TargetName::parse("orders").unwrap(),
                protocol: "toy".into(),
                labels: BTreeMap::new(),
                record: RecordLevel::Statements,
                durable: false,
                tagging: Default::default(),
            },
            part: "main".to_owned(),
            account: "app".to_owned(),
            settings: b"public".to_vec(),
            identity: IdentityParts {
                subject: "u-1".to_owned(),
                issuer: "https://id".to_owned(),
                name: "ana".to_owned(),
                kind: IdentityKind::Human,
                groups: Default::default(),
                claims: BTreeMap::new(),
                delegation: vec![actor("one")],
                credential: CredentialBinding::Bearer,
                token_id: None,
                key: None,
                login: None,
                signer: None,
                issued_at: Timestamp::from_unix_s(1),
                expires_at: Timestamp::from_unix_s(2),
            },
            spec: ReviewSpec {
                requirements: vec![Requirement { group: "dba".to_owned(), people: 2 }],
                expires_s: 900,
                in_transaction: false,
                factor: None,
            },
        }
    }

    fn digest(change: impl FnOnce(&mut World)) -> Digest {
        let mut w = world();
        change(&mut w);
        let identity = Identity::mint(w.identity);
        ActionFacts {
            text: &w.text,
            parameters: &w.parameters,
            target: &w.target,
            part: &w.part,
            account: &w.account,
            settings: &w.settings,
            identity: &identity,
            spec: &w.spec,
        }
        .digest()
    }

    /// A change that makes another action of it.
    type Change = fn(&mut World);

    #[test]
    fn every_field_counts_and_none_runs_into_the_next() {
        let changes: [Change; 18] = [
            |_| {},
            |w| w.text = Bytes::from_static(b"update t set a = $2"),
            |w| w.parameters = Bytes::from_static(b"\0\x02"),
            |w| {
                w.text = Bytes::from_static(b"update t set a = $1\0");
                w.parameters = Bytes::from_static(b"\x01");
            },
            |w| w.target.name = TargetName::parse("order").unwrap(),
            |w| w.target.protocol = "toys".into(),
            |w| w.part = "other".to_owned(),
            |w| w.account = "root".to_owned(),
            |w| w.settings = b"public2".to_vec(),
            |w| w.identity.subject = "u-2".to_owned(),
            |w| w.identity.issuer = "https://i".to_owned(),
            |w| w.identity.delegation.clear(),
            |w| w.identity.delegation = vec![actor("two")],
            |w| w.spec.requirements.first_mut().unwrap().people = 1,
            |w| w.spec.expires_s = 901,
            |w| w.spec.in_transaction = true,
            |w| w.spec.factor = Some(Factor::Totp),
            |w| w.spec.factor = Some(Factor::Webauthn),
        ];
        let all: Vec<Digest> = changes.into_iter().map(digest).collect();
        for (n, a) in all.iter().enumerate() {
            assert!(!all.iter().skip(n + 1).any(|b| a == b), "change {n} is not seen");
        }
        assert_eq!(digest(|w| w.identity.login = Some("another".to_owned())), digest(|_| {}), "the retry is known");
    }

    #[test]
    fn an_approval_is_for_one_session_and_one_time() {
        let (a, b) = (digest(|_| {}), digest(|w| w.part.push('x')));
        let (session, at) = (SessionId::from_u128(7), Timestamp::from_unix_s(100));
        let of = |action, session, at| binding(action, SessionId::from_u128(session), Timestamp::from_unix_us(at));
        assert_eq!(binding(a, session, at), of(a, 7, 100_000_000));
        for other in [of(b, 7, 100_000_000), of(a, 8, 100_000_000), of(a, 7, 100_000_001)] {
            assert_ne!(binding(a, session, at), other);
        }
        assert_eq!(a.to_string().len(), 64);
    }
}
