//! Prepared statements and portals by name, as the target has them.
//!
//! Protocol-level and SQL-level names share one space each (`PREPARE x` and `Parse x`; `DECLARE c` and `Bind c`). A name that was
//! given but not yet confirmed by the target may only be used where its failure would also stop the use: within the same run of
//! messages up to Sync. Which of several holders of a name was confirmed is told by the intent's number or the portal's id, never by the
//! name: in `Parse "" A, Bind (fails), Parse "" B` the target keeps A.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use countersign_enforce::Permit;
use countersign_model::Shape;
use countersign_sql::{Analysis, Outputs};

use super::masked::Described;
use crate::masking::Guard;

/// The most names of each kind in one session; PostgreSQL would run out of memory sooner.
pub(crate) const NAMES_MAX: usize = 10_000;

/// The longest name, in bytes: of a longer one PostgreSQL looks at the first 63 alone (`NAMEDATALEN`), so that two names here would be one
/// there.
pub(crate) const NAME_BYTES_MAX: usize = 63;

/// The most that the texts of all prepared statements of a session hold together.
pub(crate) const TEXTS_BYTES_MAX: usize = 64 << 20;

/// The most descriptions of statements and portals that a session keeps, of those where masks may apply. Others are asked for again.
pub(crate) const DESCRIPTIONS_MAX: usize = 500;

/// The most that all portals of a session keep of what was bound to them; one message may bind nearly as much.
pub(crate) const PARAMETERS_BYTES_MAX: usize = 64 << 20;

/// A prepared statement.
#[derive(Clone)]
pub(crate) struct Prepared {
    /// Proof that its text was admitted.
    pub(crate) permit: Permit,
    /// What running it means, with what it refers to joined in.
    pub(crate) shape: Arc<Shape>,
    /// The analysis of the text; `None` for one that SQL made (`PREPARE`, `DECLARE`), whose effects are those of its shape alone.
    pub(crate) analysis: Option<Arc<Analysis>>,
    /// The facts under which it was judged.
    pub(crate) epoch: u64,
    /// The run of messages in which it was given.
    pub(crate) run: u64,
    /// True once the target confirmed it.
    pub(crate) confirmed: bool,
    /// The name under which SQL made it, when SQL did.
    pub(crate) sql_name: Option<Arc<str>>,
    /// What it gives, of one that SQL made.
    pub(crate) outputs: Option<Outputs>,
    /// Its columns, as soon as somebody asks for them where they matter.
    pub(crate) described: Option<Described>,
    /// What the target's words about it may quote, when something of it is masked.
    pub(crate) guard: Option<Guard>,
}

impl Prepared {
    /// True when its columns are the same whenever it runs: the target refuses to run it otherwise. What it only names may be given anew.
    pub(crate) fn is_fixed(&self) -> bool {
        self.analysis.as_ref().is_some_and(|a| a.references().next().is_none())
    }
}

/// A portal or cursor.
#[derive(Clone)]
pub(crate) struct Portal {
    /// Tells it from others that had or will have its name.
    pub(crate) id: u64,
    /// What it runs, judged under the names that held when it was bound.
    pub(crate) statement: Prepared,
    /// The bound parameters, for the record.
    pub(crate) parameters: Option<Arc<Parameters>>,
    /// Rows that it gave so far: a limit counts over all fetches.
    pub(crate) rows: u64,
    /// Bytes of those rows.
    pub(crate) bytes: u64,
    /// Declared in SQL.
    pub(crate) cursor: bool,
    /// Declared `WITH HOLD`: it outlives its transaction.
    pub(crate) outlives: bool,
    /// The run of messages in which it was bound.
    pub(crate) run: u64,
    /// True once the target confirmed it.
    pub(crate) confirmed: bool,
    /// Its columns in the formats that were asked for, as soon as somebody asks for them where they matter.
    pub(crate) described: Option<Described>,
}

/// What was bound to a portal. Wherever the portal is kept, and by whatever it ends, this is counted once, and as long as it lives.
pub(crate) struct Parameters {
    bytes: Bytes,
    held: Arc<AtomicUsize>,
}

impl Parameters {
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// What a Close under way takes away.
pub(crate) enum Closing {
    /// A statement of this name.
    Statement(Bytes, Box<Prepared>),
    /// A portal of this name.
    Portal(Bytes, Box<Portal>),
}

/// Looked up several times a message; whoever finds names that collide slows down their own session alone.
type ByName<T> = HashMap<Bytes, T, foldhash::fast::RandomState>;

/// The names of one session. The unnamed statement and portal have the empty name.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) statements: ByName<Prepared>,
    pub(crate) portals: ByName<Portal>,
    /// Bytes of all [`Parameters`] that live.
    held: Arc<AtomicUsize>,
    /// Bytes of the texts that were given, at most: those that ended since it was last counted are in it, too.
    texts_bytes_at_most: usize,
    /// Descriptions that were kept, at most.
    descriptions_at_most: usize,
}

impl Names {
    /// A statement, and whether it may be used now: confirmed, or given in this very run.
    pub(crate) fn statement(&self, name: &[u8], run: u64) -> Option<(&Prepared, bool)> {
        let s = self.statements.get(name)?;
        Some((s, s.confirmed || s.run == run))
    }

    /// A portal, and whether it may be used now.
    pub(crate) fn portal(&self, name: &[u8], run: u64) -> Option<(&Portal, bool)> {
        let p = self.portals.get(name)?;
        Some((p, p.confirmed || p.run == run))
    }

    /// True when one more name of either kind may be given.
    pub(crate) fn has_room(&self) -> bool {
        self.statements.len() < NAMES_MAX && self.portals.len() < NAMES_MAX
    }

    /// True when one more statement with so long a text may be given; it then counts.
    pub(crate) fn take_room_for_text(&mut self, bytes: usize) -> bool {
        if self.texts_bytes_at_most.saturating_add(bytes) > TEXTS_BYTES_MAX {
            // A portal keeps the text of a statement that is gone; of one that is there it keeps the same bytes.
            let named = self.statements.values().chain(self.portals.values().map(|p| &p.statement));
            let texts: HashMap<*const u8, usize> =
                named.map(|s| (s.permit.text().as_ptr(), s.permit.text().len())).collect();
            self.texts_bytes_at_most = texts.values().sum();
        }
        let fits = self.texts_bytes_at_most.saturating_add(bytes) <= TEXTS_BYTES_MAX;
        if fits {
            self.texts_bytes_at_most += bytes;
        }
        fits
    }

    /// True when one more description may be kept; it then counts.
    pub(crate) fn take_room_for_description(&mut self) -> bool {
        if self.descriptions_at_most >= DESCRIPTIONS_MAX {
            let statements = self.statements.values().filter(|s| s.described.is_some()).count();
            self.descriptions_at_most = statements + self.portals.values().filter(|p| p.described.is_some()).count();
        }
        let fits = self.descriptions_at_most < DESCRIPTIONS_MAX;
        self.descriptions_at_most += usize::from(fits);
        fits
    }

    /// True when so many more bytes may be bound. The unnamed portal makes room when it is bound again.
    pub(crate) fn has_room_for(&self, portal: &[u8], bytes: usize) -> bool {
        let replaced = self.portals.get(portal).filter(|_| portal.is_empty()).and_then(|p| p.parameters.as_ref());
        let freed = replaced.map_or(0, |p| p.bytes.len());
        self.held.load(Ordering::Relaxed).saturating_sub(freed).saturating_add(bytes) <= PARAMETERS_BYTES_MAX
    }

    /// Keeps what is bound to a portal.
    pub(crate) fn keep(&self, bytes: Bytes) -> Option<Arc<Parameters>> {
        if bytes.is_empty() {
            return None;
        }
        self.held.fetch_add(bytes.len(), Ordering::Relaxed);
        Some(Arc::new(Parameters { bytes, held: self.held.clone() }))
    }

    /// A simple query does away with the unnamed statement, and with the unnamed portal if it has a statement to run in its place.
    pub(crate) fn drop_unnamed(&mut self, runs: bool) {
        self.statements.remove(&b""[..]);
        if runs {
            self.portals.remove(&b""[..]);
        }
    }

    /// When no transaction is open after `run`: portals are gone, but for cursors that outlive it.
    pub(crate) fn end_transaction_if(&mut self, ended: bool, run: u64) {
        if ended && !self.portals.is_empty() {
            self.portals.retain(|_, p| p.outlives || p.run > run);
        }
    }

    /// The run in which these were given failed: what is not confirmed never came to be.
    pub(crate) fn drop_unconfirmed(&mut self, run: u64) {
        self.statements.retain(|_, s| s.confirmed || s.run != run);
        self.portals.retain(|_, p| p.confirmed || p.run != run);
    }

    /// The target skipped the closing of this: it still has it.
    pub(crate) fn keep_after_all(&mut self, closing: Closing) {
        match closing {
            Closing::Statement(name, s) if s.confirmed => {
                self.statements.entry(name).or_insert(*s);
            }
            Closing::Portal(name, p) if p.confirmed => {
                self.portals.entry(name).or_insert(*p);
            }
            Closing::Statement(..) | Closing::Portal(..) => {}
        }
    }
}
