//! The factors of people in the store.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_enforce::{
    Alert, AlertSink, Assertion, BoxFuture, FactorAsk, FactorChallenge, FactorProof, FactorPurpose, Factors, NoFactor,
};
use countersign_model::{Factor, FactorUsed, IdentityKind, IdentityParts, Secret, SessionId, Severity, Timestamp};
use countersign_store::Store;

use crate::error::unavailable;
use crate::kept::{FACTORS_MAX, How, Kept, One, PENDING_S, Pending, named};
use crate::nonce::{self, later};
use crate::totp;
use crate::webauthn::{self, Fault, KnownKey, Registration, Site, challenge_of};

/// How often a change is made anew because somebody else was faster.
const TRIES_MAX: usize = 16;

/// Seals the secrets of codes, under a key that is not in the store.
pub trait Sealer: Send + Sync {
    /// Sealed bytes that open under the same name alone.
    ///
    /// # Errors
    /// Why not, for operators.
    fn seal(&self, name: &str, secret: &Secret) -> Result<Vec<u8>, String>;

    /// Back from them.
    ///
    /// # Errors
    /// Why not, for operators.
    fn unseal(&self, name: &str, sealed: &[u8]) -> Result<Secret, String>;
}

/// What the service is made of.
#[derive(Clone)]
pub struct SecondFactorsParts {
    /// Where factors are kept.
    pub store: Store,
    /// Seals the secrets of codes; without it there are no codes.
    pub sealer: Option<Arc<dyn Sealer>>,
    /// Tells people.
    pub alerts: Arc<dyn AlertSink>,
    /// Where browsers reach the gateway, the usual place first; without any there are no keys.
    pub sites: Vec<Site>,
}

/// The factors of people. Cloning it shares it.
#[derive(Clone)]
pub struct SecondFactors(Arc<SecondFactorsParts>);

impl fmt::Debug for SecondFactors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecondFactors({:?})", self.0.sites)
    }
}

/// What may be shown of a factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Its sort.
    pub kind: Factor,
    /// What its owner calls it.
    pub name: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was shown last.
    pub used_at: Option<Timestamp>,
    /// The site of a key.
    pub site: Option<String>,
    /// How often a key has signed, by its own count.
    pub sign_count: Option<u32>,
}

/// A new secret of codes, to be shown once.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// Its id, for its first code.
    pub id: String,
    /// As people type it.
    pub secret: Secret,
    /// As apps read it.
    pub uri: Secret,
    /// Until when its first code is waited for.
    pub expires_at: Timestamp,
}

impl From<&One> for Listed {
    fn from(one: &One) -> Self {
        let (site, sign_count) = match &one.how {
            How::Webauthn { site, sign_count, .. } => (Some(site.clone()), Some(*sign_count)),
            How::Totp { .. } => (None, None),
        };
        Self {
            id: one.id.clone(),
            kind: one.kind(),
            name: one.name.clone(),
            created_at: one.created_at,
            used_at: one.used_at,
            site,
            sign_count,
        }
    }
}

/// What comes of looking at what is kept: nothing is kept of a `Look`, and the answer is known.
enum Step<T> {
    /// It changes, and then this is so.
    Change(Box<Kept>, T),
    /// It stays.
    Look(T),
}

/// What a wrong code leads to.
enum Code {
    Right(FactorUsed),
    Wrong,
    /// It was one too many.
    Locked(Timestamp),
}

const NO_CODES: NoFactor =
    NoFactor::NotHere("this gateway keeps no secrets of codes, because it has no vault: use a security key");
const NO_KEYS: NoFactor = NoFactor::NotHere(
    "security keys work only where this gateway is reached by its name, over https or on its own machine",
);
const NO_PERSON: NoFactor = NoFactor::NotAPerson;

fn speaks(person: &IdentityParts) -> Result<(), NoFactor> {
    if person.kind == IdentityKind::Human && person.delegation.is_empty() { Ok(()) } else { Err(NO_PERSON) }
}

fn decoded(text: &str) -> Result<Vec<u8>, NoFactor> {
    STANDARD.decode(text).map_err(|_| NoFactor::Unavailable("what is kept of a factor is damaged".to_owned()))
}

impl SecondFactors {
    /// The service.
    pub fn new(parts: SecondFactorsParts) -> Self {
        Self(Arc::new(parts))
    }

    /// The sorts of factors that can be had here.
    pub fn available(&self) -> Vec<Factor> {
        let has = |factor: &Factor| match factor {
            Factor::Totp => self.0.sealer.is_some(),
            Factor::Webauthn => !self.0.sites.is_empty(),
        };
        Factor::ALL.into_iter().filter(has).collect()
    }

    /// What somebody has.
    ///
    /// # Errors
    /// When they cannot have any, or it cannot be told.
    pub async fn list(&self, who: &IdentityParts) -> Result<Vec<Listed>, NoFactor> {
        speaks(who)?;
        Ok(self.load(who).await?.1.factors.iter().map(Listed::from).collect())
    }

    /// Adds a key that was made for [`FactorPurpose::Register`]. Who has a factor shows it for [`FactorPurpose::Add`].
    ///
    /// # Errors
    /// Why not; nothing was added then.
    pub async fn add_key(
        &self,
        who: &IdentityParts,
        name: &str,
        made: &Registration,
        proof: Option<&FactorProof>,
        now: Timestamp,
    ) -> Result<Listed, NoFactor> {
        speaks(who)?;
        let name = named(name)?;
        let ask = FactorAsk { person: who, purpose: FactorPurpose::Register, now };
        let said = challenge_of(&made.client_data)?;
        let challenge = nonce::take(&self.0.store, &ask, &said).await?;
        let key = webauthn::register(made, &challenge, &self.0.sites)?;
        let proven = self.proven(who, proof, FactorPurpose::Add, now).await?;
        let one = One {
            id: new_id(now),
            name,
            created_at: now,
            used_at: None,
            how: How::Webauthn {
                site: key.site,
                credential: STANDARD.encode(&key.credential),
                public_key: STANDARD.encode(&key.public_key),
                sign_count: key.sign_count,
            },
        };
        self.add(who, one, proven, now).await
    }

    /// Makes a secret of codes, which is a factor once its first code is shown. Who has a factor shows it for [`FactorPurpose::Add`].
    ///
    /// # Errors
    /// Why not.
    pub async fn begin_codes(
        &self,
        who: &IdentityParts,
        name: &str,
        proof: Option<&FactorProof>,
        now: Timestamp,
    ) -> Result<Fresh, NoFactor> {
        speaks(who)?;
        let name = named(name)?;
        let sealer = self.0.sealer.as_ref().ok_or(NO_CODES)?;
        let proven = self.proven(who, proof, FactorPurpose::Add, now).await?;
        let bytes: [u8; totp::SECRET_BYTES] = rand::random();
        let secret = Secret::new(bytes.to_vec());
        let id = new_id(now);
        let sealed = sealer.seal(&sealed_as(who, &id), &secret).map_err(NoFactor::Unavailable)?;
        let expires_at = later(now, PENDING_S);
        let pending = Pending { id: id.clone(), name, sealed: STANDARD.encode(sealed), expires_at, proven };
        self.change(who, |kept| {
            kept.room(proven)?;
            Ok(Step::Change(Box::new(Kept { pending: Some(pending.clone()), ..kept.clone() }), ()))
        })
        .await?;
        let site = self.0.sites.first().map_or("countersign", |s| s.name.as_str());
        Ok(Fresh { id, secret: totp::base32(&secret), uri: totp::uri(&secret, site, &who.name), expires_at })
    }

    /// Takes the first code of a new secret: from now on it is a factor.
    ///
    /// # Errors
    /// Why not.
    pub async fn confirm_codes(
        &self,
        who: &IdentityParts,
        id: &str,
        code: &Secret,
        now: Timestamp,
    ) -> Result<Listed, NoFactor> {
        speaks(who)?;
        let (_, kept) = self.load(who).await?;
        let pending = kept.pending.as_ref().filter(|p| p.id == id && now < p.expires_at).ok_or(NoFactor::Unknown)?;
        let secret = self.secret(who, id, &pending.sealed)?;
        let one = |step| One {
            id: id.to_owned(),
            name: pending.name.clone(),
            created_at: now,
            used_at: Some(now),
            how: How::Totp { sealed: pending.sealed.clone(), step },
        };
        let confirmed = self
            .change(who, |kept| {
                kept.unlocked(now)?;
                let pending = kept.pending.as_ref().filter(|p| p.id == id).ok_or(NoFactor::Unknown)?;
                // Of two that were begun as the first, one is.
                kept.room(pending.proven)?;
                let mut next = kept.clone();
                match totp::matching(&secret, code.expose(), now, None) {
                    Some(step) => {
                        next.pending = None;
                        next.factors.push(one(step));
                        Ok(Step::Change(Box::new(next), Code::Right(one(step).used())))
                    }
                    None => {
                        let locked = next.failed(now);
                        Ok(Step::Change(Box::new(next), locked.map_or(Code::Wrong, Code::Locked)))
                    }
                }
            })
            .await?;
        self.right(who, confirmed, now)?;
        self.tell_added(who, &pending.name, pending.proven, now);
        let kept = self.load(who).await?.1;
        kept.find(id).map(Listed::from).ok_or(NoFactor::Unknown)
    }

    /// Removes a factor of somebody who shows one of theirs for [`FactorPurpose::Remove`] of it: this one or another.
    ///
    /// # Errors
    /// Why not.
    pub async fn remove(
        &self,
        who: &IdentityParts,
        id: &str,
        proof: Option<&FactorProof>,
        now: Timestamp,
    ) -> Result<Listed, NoFactor> {
        speaks(who)?;
        if self.load(who).await?.1.find(id).is_none() {
            return Err(NoFactor::Unknown);
        }
        if !self.proven(who, proof, FactorPurpose::Remove(id), now).await? {
            return Err(NoFactor::Needed(Factor::Totp));
        }
        let removed = self
            .change(who, |kept| {
                let one = kept.find(id).ok_or(NoFactor::Unknown)?;
                let listed = Listed::from(one);
                let mut next = kept.clone();
                next.factors.retain(|f| f.id != id);
                Ok(Step::Change(Box::new(next), listed))
            })
            .await?;
        self.tell(who, Severity::Medium, format!("removed the second factor \"{}\"", removed.name), now);
        Ok(removed)
    }

    /// Removes all factors of somebody who lost them, by an operator's order; says how many there were. Their next is trusted as their first.
    ///
    /// # Errors
    /// [`NoFactor::Unknown`] when there is nobody with factors of this name, [`NoFactor::Unfit`] when there are several.
    pub async fn reset(&self, person: &str, by: &str, now: Timestamp) -> Result<usize, NoFactor> {
        let found = self.0.store.factor_owners(person).await.map_err(unavailable)?;
        let (issuer, subject) = match found.as_slice() {
            [] => return Err(NoFactor::Unknown),
            [one] => one.clone(),
            _ => return Err(NoFactor::Unfit("there are several people of this name: write ISSUER#SUBJECT")),
        };
        for _ in 0..TRIES_MAX {
            let Some((version, text)) = self.0.store.factors(&issuer, &subject).await.map_err(unavailable)? else {
                return Err(NoFactor::Unknown);
            };
            let kept = read(&text)?;
            let text = written(&Kept::default())?;
            if self.0.store.save_factors(&issuer, &subject, None, &text, Some(version)).await.map_err(unavailable)? {
                let what = format!("all second factors of {issuer}#{subject} were removed by {by}");
                self.raise(person, Severity::High, what, now);
                return Ok(kept.factors.len());
            }
        }
        Err(NoFactor::Busy)
    }

    /// Whether what is shown is good, where something has to be shown: nothing shown is not, and says so by `false`.
    async fn proven(
        &self,
        who: &IdentityParts,
        proof: Option<&FactorProof>,
        purpose: FactorPurpose<'_>,
        now: Timestamp,
    ) -> Result<bool, NoFactor> {
        let Some(proof) = proof else {
            // Said here already, so that a person is asked for it before anything is made.
            return if self.load(who).await?.1.factors.is_empty() {
                Ok(false)
            } else {
                Err(NoFactor::Needed(Factor::Totp))
            };
        };
        self.check(FactorAsk { person: who, purpose, now }, proof).await.map(|_| true)
    }

    async fn add(&self, who: &IdentityParts, one: One, proven: bool, now: Timestamp) -> Result<Listed, NoFactor> {
        self.change(who, |kept| {
            kept.room(proven)?;
            let same = |f: &One| matches!((&f.how, &one.how), (How::Webauthn { credential: a, .. }, How::Webauthn { credential: b, .. }) if a == b);
            if kept.factors.iter().any(same) {
                return Err(NoFactor::Unfit("you have registered this key already"));
            }
            let mut next = kept.clone();
            next.factors.push(one.clone());
            Ok(Step::Change(Box::new(next), ()))
        })
        .await?;
        self.tell_added(who, &one.name, proven, now);
        Ok(Listed::from(&one))
    }

    async fn check(&self, ask: FactorAsk<'_>, proof: &FactorProof) -> Result<FactorUsed, NoFactor> {
        speaks(ask.person)?;
        match proof {
            FactorProof::Code(code) => self.check_code(ask, code).await,
            FactorProof::Assertion(assertion) => self.check_assertion(ask, assertion).await,
        }
    }

    async fn check_code(&self, ask: FactorAsk<'_>, code: &Secret) -> Result<FactorUsed, NoFactor> {
        let (who, now) = (ask.person, ask.now);
        let came = self
            .change(who, |kept| {
                let mut codes = kept.factors.iter().filter(|f| f.kind() == Factor::Totp).peekable();
                if codes.peek().is_none() {
                    return Err(NoFactor::None(Factor::Totp));
                }
                kept.unlocked(now)?;
                let mut next = kept.clone();
                for one in codes {
                    let How::Totp { sealed, step } = &one.how else { continue };
                    let secret = self.secret(who, &one.id, sealed)?;
                    if let Some(step) = totp::matching(&secret, code.expose(), now, Some(*step)) {
                        next.shown(&one.id, now, How::Totp { sealed: sealed.clone(), step });
                        return Ok(Step::Change(Box::new(next), Code::Right(one.used())));
                    }
                }
                let locked = next.failed(now);
                Ok(Step::Change(Box::new(next), locked.map_or(Code::Wrong, Code::Locked)))
            })
            .await?;
        self.right(who, came, now)
    }

    fn right(&self, who: &IdentityParts, came: Code, now: Timestamp) -> Result<FactorUsed, NoFactor> {
        match came {
            Code::Right(used) => Ok(used),
            Code::Wrong => Err(NoFactor::Wrong("the code is wrong, too old, or was used before")),
            Code::Locked(until) => {
                self.tell(
                    who,
                    Severity::High,
                    "guesses codes of a second factor, or somebody else does".to_owned(),
                    now,
                );
                Err(NoFactor::LockedOut(until))
            }
        }
    }

    async fn check_assertion(&self, ask: FactorAsk<'_>, assertion: &Assertion) -> Result<FactorUsed, NoFactor> {
        let said = challenge_of(&assertion.client_data)?;
        let challenge = nonce::take(&self.0.store, &ask, &said).await?;
        let credential = STANDARD.encode(&assertion.credential);
        let came = self
            .change(ask.person, |kept| {
                let is_it = |f: &&One| matches!(&f.how, How::Webauthn { credential: c, .. } if *c == credential);
                let Some(one) = kept.factors.iter().find(is_it) else { return Err(Fault::Credential.into()) };
                let How::Webauthn { site, credential, public_key, sign_count } = &one.how else {
                    return Err(NoFactor::None(Factor::Webauthn));
                };
                let (name, public) = (decoded(credential)?, decoded(public_key)?);
                let key = KnownKey { site, credential: &name, public_key: &public, sign_count: *sign_count };
                match webauthn::verify(assertion, key, &challenge, &self.0.sites) {
                    Ok(sign_count) => {
                        let (site, credential, public_key) = (site.clone(), credential.clone(), public_key.clone());
                        let mut next = kept.clone();
                        next.shown(&one.id, ask.now, How::Webauthn { site, credential, public_key, sign_count });
                        Ok(Step::Change(Box::new(next), Ok(one.used())))
                    }
                    Err(fault) => Ok(Step::Look(Err((fault, one.name.clone())))),
                }
            })
            .await?;
        came.map_err(|(fault, name)| {
            if fault == Fault::Counter {
                let what = format!("the counter of the security key \"{name}\" went back: there may be a copy of it");
                self.tell(ask.person, Severity::High, what, ask.now);
            }
            fault.into()
        })
    }

    fn secret(&self, who: &IdentityParts, id: &str, sealed: &str) -> Result<Secret, NoFactor> {
        let sealer = self.0.sealer.as_ref().ok_or(NO_CODES)?;
        sealer.unseal(&sealed_as(who, id), &decoded(sealed)?).map_err(NoFactor::Unavailable)
    }

    fn tell_added(&self, who: &IdentityParts, name: &str, proven: bool, now: Timestamp) {
        let (severity, what) = if proven {
            (Severity::Low, format!("added the second factor \"{name}\", showing another"))
        } else {
            (
                Severity::Medium,
                format!("registered a first second factor, \"{name}\", which is trusted because it is the first"),
            )
        };
        self.tell(who, severity, what, now);
    }

    fn tell(&self, who: &IdentityParts, severity: Severity, what: String, now: Timestamp) {
        self.raise(&who.name, severity, what, now);
    }

    fn raise(&self, who: &str, severity: Severity, what: String, now: Timestamp) {
        self.0.alerts.raise(Alert {
            at: now,
            severity,
            session: None,
            identity: who.to_owned(),
            target: String::new(),
            rules: Vec::new(),
            what,
        });
    }

    async fn load(&self, who: &IdentityParts) -> Result<(Option<u64>, Kept), NoFactor> {
        match self.0.store.factors(&who.issuer, &who.subject).await.map_err(unavailable)? {
            None => Ok((None, Kept::default())),
            Some((version, text)) => Ok((Some(version), read(&text)?)),
        }
    }

    /// Makes a change of whatever is kept now, until it is made of what is kept.
    async fn change<T>(
        &self,
        who: &IdentityParts,
        step: impl Fn(&Kept) -> Result<Step<T>, NoFactor>,
    ) -> Result<T, NoFactor> {
        for _ in 0..TRIES_MAX {
            let (version, kept) = self.load(who).await?;
            let (next, came) = match step(&kept)? {
                Step::Look(came) => return Ok(came),
                Step::Change(next, came) => (next, came),
            };
            let (text, name) = (written(&next)?, Some(who.name.as_str()));
            if self.0.store.save_factors(&who.issuer, &who.subject, name, &text, version).await.map_err(unavailable)? {
                return Ok(came);
            }
        }
        Err(NoFactor::Busy)
    }

    async fn asked(&self, ask: FactorAsk<'_>, origin: Option<&str>) -> Result<FactorChallenge, NoFactor> {
        speaks(ask.person)?;
        let site = match origin {
            None => self.0.sites.first(),
            Some(origin) => self.0.sites.iter().find(|s| s.origin == origin),
        };
        let site = site.ok_or(NO_KEYS)?;
        let (_, kept) = self.load(ask.person).await?;
        let mut credentials = Vec::new();
        for one in &kept.factors {
            if let How::Webauthn { site: theirs, credential, .. } = &one.how
                && *theirs == site.name
            {
                credentials.push(decoded(credential)?);
            }
        }
        if credentials.is_empty() && ask.purpose != FactorPurpose::Register {
            return Err(NoFactor::None(Factor::Webauthn));
        }
        if ask.purpose == FactorPurpose::Register && kept.factors.len() >= FACTORS_MAX {
            return Err(NoFactor::Full(FACTORS_MAX));
        }
        let (challenge, expires_at) = nonce::ask(&self.0.store, &ask).await?;
        Ok(FactorChallenge { challenge, site: site.name.clone(), credentials, expires_at })
    }
}

impl Factors for SecondFactors {
    fn challenge<'a>(
        &'a self,
        ask: FactorAsk<'a>,
        origin: Option<&'a str>,
    ) -> BoxFuture<'a, Result<FactorChallenge, NoFactor>> {
        Box::pin(self.asked(ask, origin))
    }

    fn prove<'a>(&'a self, ask: FactorAsk<'a>, proof: &'a FactorProof) -> BoxFuture<'a, Result<FactorUsed, NoFactor>> {
        Box::pin(self.check(ask, proof))
    }

    fn stands<'a>(&'a self, person: &'a IdentityParts, used: &'a FactorUsed) -> BoxFuture<'a, Result<bool, NoFactor>> {
        Box::pin(async move { Ok(self.load(person).await?.1.has(used)) })
    }
}

/// What a sealed secret is, so that it opens for one factor of one person alone.
fn sealed_as(who: &IdentityParts, id: &str) -> String {
    format!("totp:{}:{}:{}:{id}", who.issuer.len(), who.issuer, who.subject)
}

fn new_id(now: Timestamp) -> String {
    SessionId::new(now, rand::random()).to_string()
}

fn read(text: &str) -> Result<Kept, NoFactor> {
    serde_json::from_str(text).map_err(|_| NoFactor::Unavailable("what is kept of factors is damaged".to_owned()))
}

fn written(kept: &Kept) -> Result<String, NoFactor> {
    serde_json::to_string(kept).map_err(|e| NoFactor::Unavailable(e.to_string()))
}
