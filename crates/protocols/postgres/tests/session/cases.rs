//! Cases: what is sent, what is waited for, and what must come of it.

use std::sync::Arc;

use countersign_postgres::Postgres;

use crate::bench::through::{Through, Wire};
use crate::bench::wire;
use crate::bench::world::Rules;
use crate::cluster::{Direct, Server, database};

/// Bytes to send, and how many messages of which kind to wait for after them.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tag: u8,
    pub(crate) count: usize,
}

/// Sends, and waits for so many `ReadyForQuery`.
pub(crate) fn send(parts: &[Vec<u8>], ready: usize) -> Step {
    until(parts, b'Z', ready)
}

/// Sends, and waits for so many messages of a kind.
pub(crate) fn until(parts: &[Vec<u8>], tag: u8, count: usize) -> Step {
    Step { bytes: parts.concat(), tag, count }
}

/// Carries the steps out and gives what came, in words.
pub(crate) fn play(wire: &mut impl Wire, steps: &[Step]) -> Vec<String> {
    let mut out = Vec::new();
    for step in steps {
        wire.send(&step.bytes);
        wire.wait(step.tag, step.count);
        out.extend(wire.take().iter().map(wire::words));
    }
    out
}

/// Two equal databases: one is reached directly, one through the machine.
pub(crate) struct Pair {
    direct: String,
    pub(crate) ours: String,
    pub(crate) protocol: Arc<Postgres>,
    pub(crate) rules: Rules,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(Rules::default())
    }

    pub(crate) fn with(rules: Rules) -> Self {
        Self { direct: database(), ours: database(), protocol: crate::bench::through::protocol(), rules }
    }

    /// A session through the machine.
    pub(crate) fn open(&self) -> Through<Server> {
        let mut t = Through::logged_in(&self.protocol, Server::dial(), &self.ours, &self.rules);
        t.take();
        t
    }

    /// A session that goes straight to the other database.
    pub(crate) fn open_direct(&self) -> Direct {
        Direct::connect(&self.direct)
    }

    /// The client must get what the real server gives.
    #[track_caller]
    pub(crate) fn same(&self, name: &str, steps: &[Step]) -> Through<Server> {
        let want = play(&mut self.open_direct(), steps);
        let mut ours = self.open();
        let got = play(&mut ours, steps);
        assert_eq!(got, want, "{name}: got (left) is not what PostgreSQL gives (right)");
        ours.goodbye();
        ours
    }

    /// The client must get this.
    #[track_caller]
    pub(crate) fn want(&self, name: &str, steps: &[Step], want: &[&str]) -> Through<Server> {
        let mut ours = self.open();
        let got = play(&mut ours, steps);
        assert_eq!(got, want, "{name}");
        ours.goodbye();
        ours
    }

    /// What a query gives in the database that no machine is in front of.
    pub(crate) fn peek_direct(&self, sql: &str) -> Vec<String> {
        let words = self.open_direct().run(sql);
        words.into_iter().filter_map(|w| w.strip_prefix("D:").map(str::to_owned)).collect()
    }

    /// What a query gives in the database behind the machine, asked past it.
    pub(crate) fn peek(&self, sql: &str) -> Vec<String> {
        let words = Direct::connect(&self.ours).run(sql);
        words.into_iter().filter_map(|w| w.strip_prefix("D:").map(str::to_owned)).collect()
    }
}
