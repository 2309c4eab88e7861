//! The key that a verdict is kept under: the shape, and the very facts that the rules read, written so that different facts
//! never give the same bytes.
//!
//! It must never leave out a fact that evaluation is given; `facts` and this file go over the same [`Reads`].

use smallvec::SmallVec;

use crate::calendar::{hour, weekday};
use crate::facts::{Question, claim_set, claim_text, has_label};
use crate::language::{ClaimKind, PrincipalField, SessionAttribute};
use crate::principal::Principal;
use crate::reads::{Memberships, Reads};
use crate::tags;

/// Longer keys are not kept: the facts of an ordinary identity take a few hundred bytes.
pub(crate) const KEY_BYTES_MAX: usize = 4096;

/// Most keys fit without an allocation.
const KEY_BYTES_INLINE: usize = 256;

/// The bytes of a key.
pub(crate) struct Key(SmallVec<[u8; KEY_BYTES_INLINE]>);

impl Key {
    /// Starts with what the action means.
    pub(crate) fn new(q: &Question<'_>) -> Self {
        let mut key = Self(SmallVec::new());
        let id = q.shape.id().as_u64().to_le_bytes();
        let detect = tags::detected(q);
        // How many tags follow is told where the length of the id is, so that without any nothing is added.
        key.count(id.len() + detect.len());
        key.0.extend_from_slice(&id);
        detect.iter().for_each(|tag| key.text(tag.as_str()));
        key
    }

    /// The key, when it is short enough to be kept.
    pub(crate) fn finish(&self) -> Option<&[u8]> {
        (self.0.len() <= KEY_BYTES_MAX).then_some(self.0.as_slice())
    }

    /// Adds who one of several parties is: the verdict says for whom it is a deny.
    pub(crate) fn add_party(&mut self, id: &Principal<'_>) {
        self.text(id.issuer);
        self.text(id.subject);
        self.text(id.name);
    }

    /// Adds the facts of one principal.
    pub(crate) fn add_principal(&mut self, id: &Principal<'_>, reads: &Reads) {
        if reads.identity_id {
            self.text(id.issuer);
            self.text(id.subject);
        }
        for field in &reads.fields {
            match field {
                PrincipalField::Name => self.text(id.name),
                PrincipalField::Subject => self.text(id.subject),
                PrincipalField::Issuer => self.text(id.issuer),
                PrincipalField::Kind => self.text(id.kind.as_str()),
                PrincipalField::Credential => self.text(id.credential.as_str()),
                PrincipalField::Groups => self.texts(id.groups.iter().map(String::as_str)),
                PrincipalField::Actors => {
                    self.count(id.actors.len());
                    for actor in id.actors {
                        self.text(&actor.issuer);
                        self.text(&actor.subject);
                    }
                }
            }
        }
        for (name, kind) in &reads.claims {
            match kind {
                ClaimKind::String => self.text(&claim_text(id, name)),
                ClaimKind::Set => self.texts(claim_set(id, name).iter()),
            }
        }
        match &reads.groups {
            Memberships::All => self.texts(id.groups.iter().map(String::as_str)),
            // Where no rule names a group there is nothing to tell.
            Memberships::Of(read) if read.is_empty() => {}
            Memberships::Of(read) => {
                read.held(id.groups).for_each(|(_, number)| self.number(number));
                self.number(u32::MAX);
            }
        }
    }

    /// Adds the facts of the target and the session; false when a verdict on them may not be kept.
    pub(crate) fn add_rest(&mut self, q: &Question<'_>, reads: &Reads) -> bool {
        match &reads.labels {
            Memberships::All => {
                self.texts(q.target.labels.keys());
                self.texts(q.target.labels.values());
            }
            Memberships::Of(read) => read.names().for_each(|l| self.flag(has_label(q.target, l))),
        }
        if reads.target_name {
            self.text(q.target.name.as_str());
        }
        if reads.protocol {
            self.text(&q.target.protocol);
        }
        if reads.grants {
            self.count(q.grants.len());
            for held in q.grants {
                self.text(&held.id);
                self.text(held.rule.as_str());
                self.texts(held.accesses.iter().map(|a| a.as_str()));
            }
        }
        reads.session.iter().all(|attribute| self.session(q, *attribute))
    }

    fn session(&mut self, q: &Question<'_>, attribute: SessionAttribute) -> bool {
        match attribute {
            SessionAttribute::SourceIp => match q.session.source.ip().to_canonical() {
                std::net::IpAddr::V4(ip) => self.bytes(&ip.octets()),
                std::net::IpAddr::V6(ip) => self.bytes(&ip.octets()),
            },
            SessionAttribute::Encrypted => self.flag(q.session.encrypted),
            SessionAttribute::Application => self.text(&q.session.application),
            SessionAttribute::Part => self.text(&q.session.part),
            SessionAttribute::HourUtc => self.bytes(&hour(q.now.unix_s()).to_le_bytes()),
            SessionAttribute::Weekday => self.count(weekday(q.now.unix_s())),
            SessionAttribute::Now | SessionAttribute::TokenAge => return false,
        }
        true
    }

    fn text(&mut self, s: &str) {
        self.bytes(s.as_bytes());
    }

    fn texts<I, S>(&mut self, items: I)
    where
        I: ExactSizeIterator<Item = S>,
        S: AsRef<str>,
    {
        self.count(items.len());
        items.for_each(|s| self.text(s.as_ref()));
    }

    /// Length first, so that two neighbours cannot be read as one.
    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        // A key that is too long is not kept, so it need not grow further.
        if self.0.len() <= KEY_BYTES_MAX {
            self.0.extend_from_slice(bytes);
        }
    }

    fn count(&mut self, n: usize) {
        if self.0.len() <= KEY_BYTES_MAX {
            self.0.extend_from_slice(&(n as u64).to_le_bytes());
        }
    }

    fn number(&mut self, n: u32) {
        if self.0.len() <= KEY_BYTES_MAX {
            self.0.extend_from_slice(&n.to_le_bytes());
        }
    }

    fn flag(&mut self, b: bool) {
        if self.0.len() <= KEY_BYTES_MAX {
            self.0.push(u8::from(b));
        }
    }
}
