//! The lock of the tour: a statement runs at the database, its identity is locked out, and within a second nothing of it is left.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use countersign_locks::{LockKind, Matcher, NewLock};

use super::Place;
use super::check::{Way, psql_command};
use super::cluster::Cluster;
use crate::clock;
use crate::failed::Failed;
use crate::serve::Running;

/// What is looked for at the database.
const WORK: &str = "select count(*) from order_items a, order_items b, order_items c";
/// Nobody waits longer for the statement to begin, or to be gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// What happened, and whether it was right.
pub(super) struct Played {
    pub(super) happened: String,
    pub(super) right: bool,
    /// How many refusals it left in the recording.
    pub(super) refusals: usize,
}

/// Locks `user` out while a statement of theirs runs, and lets them in again.
pub(super) async fn play(
    place: &Place,
    cluster: &Cluster,
    running: &Running,
    user: &str,
    token: &str,
) -> Result<Played, Failed> {
    let client = start(place, user, token, WORK)?;
    let count = format!(
        "select count(*) from pg_stat_activity where state = 'active' and query like '{WORK}%' and pid <> pg_backend_pid()"
    );
    let works = || Ok::<_, Failed>(cluster.sql("postgres", &[], &count)?.trim() != "0");
    let began = wait(works).await?;
    let matcher = Matcher { name: Some(user.to_owned()), ..Matcher::default() };
    let new = NewLock { matcher, kind: LockKind::Lock, reason: "the tour".to_owned(), expires_at: None };
    let locked = Instant::now();
    let lock = running.house.locks.add(new, "the tour", clock::now()).await.map_err(Failed::new)?;
    let gone = wait(|| Ok(!works()?)).await?;
    let took_ms = locked.elapsed().as_millis();
    let told = finish(client).await?;
    let again = finish(start(place, user, token, "select 1")?).await?;
    let refused = again.contains("FATAL") && again.contains(&lock.id);
    running.house.locks.end(&lock.id, "the tour", "it is over", clock::now()).await.map_err(Failed::new)?;
    let back = finish(start(place, user, token, "select 1")?).await?;
    let right = began
        && gone
        && took_ms < 1_000
        && told.contains("57P01")
        && told.contains(&lock.id)
        && refused
        && back.is_empty();
    let happened = if right {
        format!("57P01; gone from the database after {took_ms} ms; let in again after it")
    } else {
        format!("began {began}, gone {gone} after {took_ms} ms, told {told:?}, then {again:?}, then {back:?}")
    };
    Ok(Played { happened, right, refusals: 1 })
}

fn start(place: &Place, user: &str, token: &str, sql: &str) -> Result<Child, Failed> {
    let mut command = psql_command(place, user, Way::Token(token), &[sql]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    child.map_err(|e| Failed::new(format!("psql could not be run (package \"postgresql-client\"): {e}")))
}

/// What it said on standard error.
async fn finish(client: Child) -> Result<String, Failed> {
    // Connections to the store come back to their pool on this thread: while it waits, nobody else has one.
    let output = tokio::task::spawn_blocking(move || client.wait_with_output()).await.map_err(Failed::new)?;
    Ok(String::from_utf8_lossy(&output?.stderr).into_owned())
}

async fn wait(mut done: impl FnMut() -> Result<bool, Failed>) -> Result<bool, Failed> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if done()? {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(false)
}
