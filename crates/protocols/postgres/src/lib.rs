//! PostgreSQL, protocol 3.0 and 3.2, as a machine without I/O: every statement is read, proposed to the gate, and forwarded only
//! when admitted; replies pass as the target gave them.
//!
//! It must never forward a client's bytes but through a proposal or under a permit, and never do I/O or read a clock.
//!
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol".

mod knowledge;
mod login;
mod machine;
mod probe;
mod session;
mod startup;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use countersign_enforce::{Arrival, Protocol};
use countersign_model::{ClientText, Culprit, Denial, DenialCode};

pub use machine::PostgresMachine;

use knowledge::Knowledge;

/// The protocol; clones share what they know of the databases.
#[derive(Clone, Default)]
pub struct Postgres {
    knowledge: Arc<Knowledge>,
}

impl Postgres {
    /// The protocol, knowing nothing yet.
    pub fn new() -> Self {
        Self::default()
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
        PostgresMachine::accept(self.knowledge.clone(), arrival)
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
