//! PostgreSQL, protocol 3.0 and 3.2, as a machine without I/O: every statement is read, proposed to the gate, and forwarded only
//! when admitted; replies pass as the target gave them.
//!
//! It must never forward a client's bytes but through a proposal or under a permit, and never do I/O or read a clock.
//!
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol".

pub mod aside;
mod bearer;
mod knowledge;
mod login;
mod machine;
mod masking;
mod probe;
mod session;
mod startup;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use countersign_enforce::{Arrival, Protocol};
use countersign_mask::Masker;
use countersign_model::{ClientText, Culprit, Denial, DenialCode};

pub use machine::PostgresMachine;

pub use knowledge::IdleRules;
use knowledge::Knowledge;

/// How clients say who they are when no certificate of theirs is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoginMethod {
    /// A token in the place of the password.
    #[default]
    Password,
    /// A token by SASL OAUTHBEARER (RFC 7628), as PostgreSQL 18's method `oauth` has it.
    OAuthBearer,
}

impl LoginMethod {
    /// By the word used in the configuration and in the start-up option `countersign.login`.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "password" => Some(Self::Password),
            "oauthbearer" => Some(Self::OAuthBearer),
            _ => None,
        }
    }
}

/// What is the same for all clients of a listener.
pub(crate) struct Door {
    pub(crate) method: LoginMethod,
    /// Puts masks on; without it no result can be masked.
    pub(crate) masker: Option<Arc<Masker>>,
    /// What a client is told that comes by OAUTHBEARER without a token.
    pub(crate) discovery: Bytes,
}

impl Default for Door {
    fn default() -> Self {
        Self { method: LoginMethod::default(), masker: None, discovery: bearer::challenge("", "") }
    }
}

/// The protocol; clones share what they know of the databases.
#[derive(Clone, Default)]
pub struct Postgres {
    knowledge: Arc<Knowledge>,
    door: Arc<Door>,
}

impl Postgres {
    /// The protocol, knowing nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with the way that clients log in by unless they ask for another, and what a client is told by OAUTHBEARER that has no
    /// token: the URL of an issuer, under which its discovery document is, and the scope to ask it for; each may be empty.
    #[must_use]
    pub fn login_by(self, method: LoginMethod, oauth_issuer: &str, oauth_scope: &str) -> Self {
        let discovery = bearer::challenge(oauth_issuer, oauth_scope);
        let masker = self.door.masker.clone();
        Self { door: Arc::new(Door { method, masker, discovery }), ..self }
    }

    /// The same, with what puts masks on results. Without it, what policy wants masked is denied.
    #[must_use]
    pub fn mask_by(self, masker: Arc<Masker>) -> Self {
        let door = Door { method: self.door.method, masker: Some(masker), discovery: self.door.discovery.clone() };
        Self { door: Arc::new(door), ..self }
    }

    /// Which rules about tags fit no column, of each target with a database whose catalog is new or has changed since this was asked last.
    pub fn idle_rules(&self) -> Vec<IdleRules> {
        self.knowledge.idle_rules()
    }
}

impl Protocol for Postgres {
    type Machine = PostgresMachine;

    fn name(&self) -> &'static str {
        "postgres"
    }

    fn alpn(&self) -> &'static [&'static [u8]] {
        &[machine::ALPN]
    }

    fn accept(&self, arrival: Arrival) -> PostgresMachine {
        PostgresMachine::accept(self.knowledge.clone(), self.door.clone(), arrival)
    }

    fn canceller(&self, order: Bytes, tls_required: bool) -> PostgresMachine {
        PostgresMachine::canceller(self.knowledge.clone(), order, tls_required)
    }
}

/// The words of a shutdown (SQLSTATE 57P01, as PostgreSQL's own).
pub(crate) fn draining() -> Denial {
    Denial::new(
        Culprit::Us,
        DenialCode::Draining,
        ClientText::new("terminating connection: the gateway is shutting down"),
    )
    .hint(ClientText::new("Connect again: another gateway, or the next one here, will take over."))
}
