//! One session of the SQL console: a task that speaks as a client, and what is known of it.
//!
//! It must never outlive its use: nobody who runs nothing for a while keeps a session, and what came in one that was cut off is gone.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use countersign_api::{RunSqlBody, SqlCaller, SqlErrorView, SqlView};
use countersign_model::{SessionId, Timestamp};
use countersign_runtime::{Entrance, Visitor};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::ran::{Next, Ran};
use super::wire::{self, Body, Wire};
use crate::clock;

/// What its sessions say they are.
pub(super) const APPLICATION: &str = "countersign console";
/// The longest that the target may take to let a session in: a page waits for it.
pub(super) const OPEN_S_MAX: u64 = 12;
/// The longest that a session is kept in which nothing is run.
pub(super) const IDLE_S_MAX: u64 = 600;
/// The longest that a statement may run or wait.
pub(super) const RUN_S_MAX: u64 = 3_600;
/// How long is waited for what comes of a statement, before it is told that it runs.
const ANSWER_WAIT: Duration = Duration::from_millis(1_500);
/// The longest that a cancel order may take.
const CANCEL_WAIT: Duration = Duration::from_secs(5);

/// Whose it is. A login of a browser is one: whoever signs in again finds nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    issuer: String,
    subject: String,
    login: Option<String>,
}

impl Owner {
    pub(super) fn of(caller: &SqlCaller) -> Self {
        let who = &caller.identity;
        Self { issuer: who.issuer.clone(), subject: who.subject.clone(), login: who.login.clone() }
    }
}

enum Order {
    Run(String),
    Close,
}

#[derive(Default)]
struct State {
    ran: Option<Ran>,
    in_transaction: bool,
    ended: Option<String>,
}

/// A session of the SQL console.
pub(super) struct Tab {
    id: String,
    target: String,
    database: Option<String>,
    opened_at: Timestamp,
    entrance: Entrance,
    visitor: Visitor,
    key: Vec<u8>,
    state: Mutex<State>,
    orders: mpsc::Sender<Order>,
    changed: watch::Sender<()>,
}

impl Tab {
    /// Opens a session on a target, as any client would: what the gateway says is what the error says.
    pub(super) async fn open(
        id: &str,
        entrance: &Entrance,
        caller: &SqlCaller,
        target: &str,
        database: Option<&str>,
    ) -> Result<Arc<Self>, SqlErrorView> {
        let session = Arc::new(OnceLock::new());
        let identity = caller.identity.clone();
        let visitor = Visitor { identity, source: caller.source, encrypted: caller.encrypted, session };
        let login = log_in(entrance, &visitor, target, database);
        let login = timeout(Duration::from_secs(OPEN_S_MAX), login).await;
        let (wire, key) = login.unwrap_or_else(|_| Err(failed("the target did not answer in time")))?;
        let (orders, next) = mpsc::channel(1);
        let tab = Arc::new(Self {
            id: id.to_owned(),
            target: target.to_owned(),
            database: database.map(str::to_owned),
            opened_at: caller.now,
            entrance: entrance.clone(),
            visitor,
            key,
            state: Mutex::default(),
            orders,
            changed: watch::channel(()).0,
        });
        tokio::spawn(tab.clone().live(wire, next));
        Ok(tab)
    }

    /// What is known of it, with the rows after so many.
    pub(super) fn view(&self, after: u64) -> SqlView {
        self.seen(|ran| ran.page(after))
    }

    /// The same without rows.
    pub(super) fn brief(&self) -> SqlView {
        self.seen(Ran::without_rows)
    }

    fn seen(&self, ran: impl Fn(&Ran) -> countersign_api::SqlStatementView) -> SqlView {
        let state = self.state.lock();
        SqlView {
            id: self.id.clone(),
            target: self.target.clone(),
            database: self.database.clone(),
            session: self.visitor.session.get().map(SessionId::to_string).unwrap_or_default(),
            opened_at: self.opened_at.rfc3339(),
            in_transaction: state.in_transaction,
            ended: state.ended.clone(),
            statement: state.ran.as_ref().map(ran),
        }
    }

    /// Returns when it is over.
    pub(super) async fn over(&self) {
        let mut changed = self.changed.subscribe();
        while !self.is_over() && changed.changed().await.is_ok() {}
    }

    pub(super) fn is_over(&self) -> bool {
        self.state.lock().ended.is_some()
    }

    /// What ran last, when it is through.
    pub(super) fn last<T>(&self, read: impl FnOnce(&Ran) -> T) -> Option<T> {
        self.state.lock().ran.as_ref().filter(|ran| !ran.is_under_way()).map(read)
    }

    /// Has a text run, and waits a moment for what comes of it; says why not.
    pub(super) async fn run(&self, body: &RunSqlBody) -> Result<(), &'static str> {
        let mut changed = self.changed.subscribe();
        {
            let mut state = self.state.lock();
            if state.ended.is_some() {
                return Err("this session is over: open another");
            }
            if state.ran.as_ref().is_some_and(Ran::is_under_way) {
                return Err("a statement is under way here: wait for it, or cancel it");
            }
            if self.orders.try_send(Order::Run(body.statement.clone())).is_err() {
                return Err("this session is busy: try again");
            }
            state.ran = Some(Ran::new(&body.statement, body.export, clock::now()));
        }
        let settled = async { while self.runs() && changed.changed().await.is_ok() {} };
        // It goes on, whether it is waited for or not.
        let _ = timeout(ANSWER_WAIT, settled).await;
        Ok(())
    }

    /// Whether something runs, and waits for nobody.
    fn runs(&self) -> bool {
        let state = self.state.lock();
        let is_running = |ran: &Ran| ran.view.state == countersign_api::SqlState::Running;
        state.ended.is_none() && state.ran.as_ref().is_some_and(is_running)
    }

    /// Cancels what is under way, as a client does: on a connection of its own.
    pub(super) async fn cancel(&self) {
        if !self.state.lock().ran.as_ref().is_some_and(Ran::is_under_way) {
            return;
        }
        let mut changed = self.changed.subscribe();
        let order = async { wire::cancel(self.entrance.enter(self.visitor.clone()).await?, &self.key).await };
        match timeout(CANCEL_WAIT, order).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, tab = self.id, "a statement of the SQL console was not cancelled"),
            Err(_) => tracing::warn!(tab = self.id, "cancelling a statement of the SQL console took too long"),
        }
        let settled = async { while self.last(|_| ()).is_none() && changed.changed().await.is_ok() {} };
        // Until then it is told as it is.
        let _ = timeout(ANSWER_WAIT, settled).await;
    }

    /// Ends it.
    pub(super) async fn close(&self) {
        // An order before it, or its end, means that it is not idle: the task looks for this one then.
        let _ = timeout(ANSWER_WAIT, self.orders.send(Order::Close)).await;
        let _ = timeout(ANSWER_WAIT, self.over()).await;
    }

    /// The task of the session.
    async fn live(self: Arc<Self>, mut wire: Wire, mut orders: mpsc::Receiver<Order>) {
        let why = loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Run(text)) => match self.carry_out(&mut wire, &text, &mut orders).await {
                        Ok(()) => {}
                        Err(why) => break why,
                    },
                    Some(Order::Close) | None => break "you closed it".to_owned(),
                },
                frame = wire.next() => match frame {
                    Ok(Some(frame)) if frame.tag == b'E' => break told(&wire::error(&frame.body).0),
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => break lost(),
                },
                () = sleep(Duration::from_secs(IDLE_S_MAX)) => {
                    break format!("nothing was run in it for {} minutes", IDLE_S_MAX / 60);
                }
            }
        };
        wire.end().await;
        self.change(|state| {
            state.ended = Some(why);
            // Whoever is cut off looks at nothing more.
            if let Some(ran) = &mut state.ran {
                ran.view.results = Vec::new();
            }
        });
    }

    /// Has a text run to its end; says why the session is over, when it is.
    async fn carry_out(&self, wire: &mut Wire, text: &str, orders: &mut mpsc::Receiver<Order>) -> Result<(), String> {
        let over = |error: SqlErrorView| {
            let why = told(&error);
            self.change(|state| {
                if let Some(ran) = &mut state.ran {
                    ran.lost(error);
                }
            });
            Err(why)
        };
        if wire.query(text).await.is_err() {
            return over(failed(&lost()));
        }
        let mut late = Instant::now() + Duration::from_secs(RUN_S_MAX);
        loop {
            let frame = tokio::select! {
                frame = wire.next() => frame,
                order = orders.recv() => match order {
                    // None comes while another is under way.
                    Some(Order::Run(_)) => continue,
                    Some(Order::Close) | None => return over(failed("you closed the session")),
                },
                () = sleep_until(late) => {
                    late += Duration::from_secs(RUN_S_MAX);
                    self.cancel_aside();
                    continue;
                }
            };
            let frame = match frame {
                Ok(Some(frame)) => frame,
                Ok(None) | Err(_) => return over(failed(&lost())),
            };
            let mut next = Next::Nothing;
            self.change(|state| {
                if let Some(ran) = &mut state.ran {
                    next = ran.take(&frame, clock::now());
                }
                if let Next::Through(in_transaction) = next {
                    state.in_transaction = in_transaction;
                }
            });
            match next {
                Next::Nothing => {}
                Next::RefuseCopy => {
                    if wire.refuse_copy().await.is_err() {
                        return over(failed(&lost()));
                    }
                }
                Next::Cancel => self.cancel_aside(),
                Next::Through(_) => return Ok(()),
                Next::Over(error) => return over(error),
            }
        }
    }

    /// Cancels what is under way, beside it: its answers are read meanwhile.
    fn cancel_aside(&self) {
        let (entrance, visitor, key) = (self.entrance.clone(), self.visitor.clone(), self.key.clone());
        tokio::spawn(async move {
            let order = async { wire::cancel(entrance.enter(visitor).await?, &key).await };
            if !matches!(timeout(CANCEL_WAIT, order).await, Ok(Ok(()))) {
                tracing::warn!("a statement of the SQL console was not cancelled");
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut MutexGuard<'_, State>)) {
        change(&mut self.state.lock());
        self.changed.send_replace(());
    }
}

/// Asks for the target, and reads until it may begin: the connection, and the key that cancels what runs there.
async fn log_in(
    entrance: &Entrance,
    visitor: &Visitor,
    target: &str,
    database: Option<&str>,
) -> Result<(Wire, Vec<u8>), SqlErrorView> {
    let broken = |e: std::io::Error| failed(&format!("the gateway lets nobody in now: {e}"));
    let stream = entrance.enter(visitor.clone()).await.map_err(broken)?;
    let whole = database.map_or_else(|| target.to_owned(), |database| format!("{target}/{database}"));
    let mut wire = Wire::start(stream, &visitor.identity.name, &whole, APPLICATION).await.map_err(broken)?;
    let mut key = Vec::new();
    loop {
        let frame = wire.next().await.map_err(broken)?.ok_or_else(|| failed(&lost()))?;
        match frame.tag {
            b'E' => return Err(wire::error(&frame.body).0),
            b'R' if Body(&frame.body).i32() != Some(0) => return Err(failed("the gateway asks who it is again")),
            b'K' => key = frame.body,
            b'Z' => return Ok((wire, key)),
            _ => {}
        }
    }
}

fn lost() -> String {
    "the gateway closed the connection".to_owned()
}

fn failed(why: &str) -> SqlErrorView {
    SqlErrorView { code: "08006".to_owned(), message: why.to_owned(), hint: None, position: None }
}

fn told(error: &SqlErrorView) -> String {
    match &error.hint {
        Some(hint) => format!("{}. {hint}", error.message.trim_end_matches('.')),
        None => error.message.clone(),
    }
}
