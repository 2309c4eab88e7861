//! The door of the SQL console: sessions on targets for people without a client of their own. What runs there goes through the gate as from
//! any other client; that is for the binary to see to.
//!
//! It must never be asked for anybody but whoever is signed in at the console, nor show one person what is another's.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use countersign_enforce::BoxFuture;
use countersign_model::{Identity, Timestamp};

use crate::v1::{OpenSqlBody, Problem, RunSqlBody, SqlExportView, SqlPage, SqlView};

/// Who asks, and from where: what a session of theirs is judged and recorded by.
#[derive(Clone, Debug)]
pub struct SqlCaller {
    /// Who.
    pub identity: Arc<Identity>,
    /// From where.
    pub source: SocketAddr,
    /// Whether that connection is encrypted.
    pub encrypted: bool,
    /// When.
    pub now: Timestamp,
}

/// The SQL console as its door needs it. Everything is about what is the caller's own; anything else is not there.
pub trait SqlDoors: Send + Sync {
    /// Opens a session on a target.
    fn open(&self, caller: SqlCaller, body: OpenSqlBody) -> BoxFuture<'_, Result<SqlView, Problem>>;

    /// Those that are open, or ended lately.
    fn list(&self, caller: SqlCaller) -> BoxFuture<'_, Result<SqlPage, Problem>>;

    /// One of them, with the rows of the latest results that come after so many.
    fn show(&self, caller: SqlCaller, id: String, after: u64) -> BoxFuture<'_, Result<SqlView, Problem>>;

    /// Runs a statement, and waits a moment for what comes of it.
    fn run(&self, caller: SqlCaller, id: String, body: RunSqlBody) -> BoxFuture<'_, Result<SqlView, Problem>>;

    /// Cancels the statement that runs or waits.
    fn cancel(&self, caller: SqlCaller, id: String) -> BoxFuture<'_, Result<SqlView, Problem>>;

    /// Ends the session.
    fn close(&self, caller: SqlCaller, id: String) -> BoxFuture<'_, Result<SqlView, Problem>>;

    /// The last result with rows, as CSV.
    fn export(&self, caller: SqlCaller, id: String) -> BoxFuture<'_, Result<SqlExportView, Problem>>;
}

/// The door, to be routed.
#[derive(Clone)]
pub struct SqlDoor(pub Arc<dyn SqlDoors>);

impl fmt::Debug for SqlDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqlDoor")
    }
}
