//! The SQL console: what is behind its door. A person who is signed in gets sessions on targets, through a listener's own acceptor, for which
//! the gateway's client here is a client like any other: every statement is judged, masked, held, limited and recorded there.
//!
//! It must never decide anything of that, nor show anybody a session that is not theirs.

mod csv;
mod ran;
mod tab;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use countersign_api::{
    OpenSqlBody, Problem, RunSqlBody, SqlCaller, SqlDoors, SqlErrorView, SqlExportView, SqlPage, SqlView,
};
use countersign_enforce::BoxFuture;
use countersign_model::SessionId;
use countersign_runtime::Entrance;
use parking_lot::Mutex;

use self::tab::{Owner, Tab};

/// Sessions of one person at a time, and of all.
const TABS_OF_ONE_MAX: usize = 8;
const TABS_MAX: usize = 64;
/// How long one that is over is still told of.
const KEPT: Duration = Duration::from_secs(600);

/// A place among the sessions.
struct Place {
    owner: Owner,
    /// What is there; nothing while it is being opened.
    tab: Option<Arc<Tab>>,
}

impl Place {
    fn is_over(&self) -> bool {
        self.tab.as_ref().is_some_and(|tab| tab.is_over())
    }
}

type Places = Arc<Mutex<HashMap<String, Place>>>;

/// The sessions of the SQL console at this gateway.
pub(crate) struct SqlCounter {
    entrance: Entrance,
    places: Places,
}

/// A place that is taken for as long as nothing came of it.
struct Taken {
    id: String,
    places: Places,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut places = self.places.lock();
        if places.get(&self.id).is_some_and(|place| place.tab.is_none()) {
            places.remove(&self.id);
        }
    }
}

impl SqlCounter {
    /// With the way in to the listener of the targets' protocol.
    pub(crate) fn new(entrance: Entrance) -> Self {
        Self { entrance, places: Places::default() }
    }

    /// A place for one more session of theirs. Those that are over make room.
    fn take(&self, caller: &SqlCaller) -> Result<Taken, Problem> {
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random)
            .map_err(|_| Problem::with_status(500, "internal error: the system gives no random bytes"))?;
        let id = SessionId::new(caller.now, u128::from_be_bytes(random)).to_string();
        let owner = Owner::of(caller);
        let mut places = self.places.lock();
        let of_owner = |places: &HashMap<String, Place>| places.values().filter(|p| p.owner == owner).count();
        if of_owner(&places) >= TABS_OF_ONE_MAX {
            places.retain(|_, place| place.owner != owner || !place.is_over());
        }
        if places.len() >= TABS_MAX {
            places.retain(|_, place| !place.is_over());
        }
        if of_owner(&places) >= TABS_OF_ONE_MAX {
            let why = format!("you have {TABS_OF_ONE_MAX} sessions open here, and may have no more: close one");
            return Err(Problem::with_status(409, why));
        }
        if places.len() >= TABS_MAX {
            let why = format!("{TABS_MAX} sessions of the SQL console are open at this gateway, and it takes no more");
            return Err(Problem::with_status(503, why));
        }
        places.insert(id.clone(), Place { owner, tab: None });
        Ok(Taken { id, places: self.places.clone() })
    }

    fn find(&self, caller: &SqlCaller, id: &str) -> Result<Arc<Tab>, Problem> {
        let places = self.places.lock();
        let theirs = places.get(id).filter(|place| place.owner == Owner::of(caller));
        let tab = theirs.and_then(|place| place.tab.clone());
        tab.ok_or_else(|| Problem::with_status(404, "there is no such session of yours at this gateway: open another"))
    }
}

/// What a client was told, as a problem.
fn problem(error: &SqlErrorView) -> Problem {
    let status = match error.code.get(..2) {
        Some("42" | "28" | "57") => 403,
        _ => 503,
    };
    Problem { hint: error.hint.clone(), ..Problem::with_status(status, error.message.clone()) }
}

impl SqlDoors for SqlCounter {
    fn open(&self, caller: SqlCaller, body: OpenSqlBody) -> BoxFuture<'_, Result<SqlView, Problem>> {
        Box::pin(async move {
            let taken = self.take(&caller)?;
            let database = body.database.as_deref().filter(|d| !d.is_empty());
            let opened = Tab::open(&taken.id, &self.entrance, &caller, &body.target, database).await;
            let tab = opened.map_err(|error| problem(&error))?;
            if let Some(place) = self.places.lock().get_mut(&taken.id) {
                place.tab = Some(tab.clone());
            }
            let (places, id) = (Arc::downgrade(&self.places), taken.id.clone());
            let watched = tab.clone();
            tokio::spawn(async move {
                watched.over().await;
                drop(watched);
                tokio::time::sleep(KEPT).await;
                if let Some(places) = places.upgrade() {
                    places.lock().remove(&id);
                }
            });
            Ok(tab.view(0))
        })
    }

    fn list(&self, caller: SqlCaller) -> BoxFuture<'_, Result<SqlPage, Problem>> {
        Box::pin(async move {
            let owner = Owner::of(&caller);
            let places = self.places.lock();
            let theirs = places.values().filter(|place| place.owner == owner);
            let mut sessions: Vec<SqlView> = theirs.filter_map(|p| p.tab.as_ref()).map(|tab| tab.brief()).collect();
            // Their ids begin with the time.
            sessions.sort_by(|a, b| a.id.cmp(&b.id));
            Ok(SqlPage { sessions })
        })
    }

    fn show(&self, caller: SqlCaller, id: String, after: u64) -> BoxFuture<'_, Result<SqlView, Problem>> {
        Box::pin(async move { Ok(self.find(&caller, &id)?.view(after)) })
    }

    fn run(&self, caller: SqlCaller, id: String, body: RunSqlBody) -> BoxFuture<'_, Result<SqlView, Problem>> {
        Box::pin(async move {
            let tab = self.find(&caller, &id)?;
            tab.run(&body).await.map_err(|why| Problem::with_status(409, why))?;
            Ok(tab.view(0))
        })
    }

    fn cancel(&self, caller: SqlCaller, id: String) -> BoxFuture<'_, Result<SqlView, Problem>> {
        Box::pin(async move {
            let tab = self.find(&caller, &id)?;
            tab.cancel().await;
            Ok(tab.view(0))
        })
    }

    fn close(&self, caller: SqlCaller, id: String) -> BoxFuture<'_, Result<SqlView, Problem>> {
        Box::pin(async move {
            let tab = self.find(&caller, &id)?;
            tab.close().await;
            Ok(tab.brief())
        })
    }

    fn export(&self, caller: SqlCaller, id: String) -> BoxFuture<'_, Result<SqlExportView, Problem>> {
        Box::pin(async move {
            let tab = self.find(&caller, &id)?;
            let last = tab.last(|ran| {
                let result = ran.view.results.iter().rev().find(|r| !r.columns.is_empty());
                let cut = ran.view.cut || result.is_some_and(|r| r.rows.iter().flatten().any(|cell| cell.cut));
                result.map(|result| if cut { Err(ran.view.export) } else { Ok(csv::of(result)) })
            });
            match last.flatten() {
                Some(Ok(export)) => Ok(export),
                Some(Err(false)) => {
                    Err(Problem::with_status(409, "not all of the result is kept: run it to be exported"))
                }
                Some(Err(true)) => Err(Problem::with_status(
                    409,
                    "the result is too large to be exported here: narrow it, or use a client",
                )),
                None => Err(Problem::with_status(409, "there is no result with rows to export")),
            }
        })
    }
}
