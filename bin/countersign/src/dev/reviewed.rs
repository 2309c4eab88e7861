//! The review of the tour: dora changes a customer and waits, nobody answers their own question, otto lets exactly that statement run once and
//! refuses the next, and her session goes on.

use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Place;
use super::check::{Way, psql_command};
use super::cluster::Cluster;
use super::drill::{Machine, said};
use crate::failed::Failed;

/// Runs twice, if it runs twice: the name grows each time.
const CHANGE: &str = "update customers set name = name || '+' where id = 1";
const SECOND: &str = "update customers set name = 'nobody' where id = 2";
const NAME: &str = "select name from customers where id = 1";
/// What otto writes to dora.
const WHY: &str = "not without a ticket";
/// Nobody waits longer for a question to be asked, or for an answer to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// What happened in one step, and whether it was right.
pub(super) struct Played {
    pub(super) title: &'static str,
    pub(super) happened: String,
    pub(super) right: bool,
}

/// Plays it. `dora` and `otto` have logged in.
pub(super) async fn play(
    place: &Place,
    cluster: &Cluster,
    dora: &Machine<'_>,
    otto: &Machine<'_>,
) -> Result<Vec<Played>, Failed> {
    let before = cluster.sql("shop", &[], NAME)?;
    let folder = dora.login_folder();
    let mut command = psql_command(place, "dora", Way::Login(&folder), &[CHANGE, SECOND, "select 'still here'"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let client: Child = child.map_err(|e| Failed::new(format!("psql could not be run: {e}")))?;
    let mut steps = Vec::new();
    let mut step = |title, happened: String, right| steps.push(Played { title, happened, right });

    let first = asked(otto, None).await?;
    let id = first.as_deref().unwrap_or("-");
    let waits = cluster.sql("shop", &[], NAME)? == before;
    let happened = if first.is_some() && waits { format!("review {id}") } else { "nobody was asked".to_owned() };
    step("dora changes a customer: it waits for another DBA", happened, first.is_some() && waits);

    let own = dora.countersign(&["reviews", "approve", id]).await?;
    step("dora approves it herself", said(&own), !own.status.success() && first.is_some());
    let approved = otto.countersign(&["reviews", "approve", id]).await?;
    step("otto looks at the statement and approves", said(&approved), approved.status.success());

    let second = asked(otto, first.as_deref()).await?;
    let other = second.as_deref().unwrap_or("-");
    let once = cluster.sql("shop", &[], NAME)?;
    let right = once.trim() == format!("{}+", before.trim());
    step("that statement ran, once", if right { "once".to_owned() } else { format!("now {once:?}") }, right);
    let again = otto.countersign(&["reviews", "approve", id]).await?;
    step("otto approves it again", said(&again), !again.status.success());
    let denied = otto.countersign(&["reviews", "deny", other, "--comment", WHY]).await?;
    step(
        "the next is another question, which otto refuses",
        said(&denied),
        denied.status.success() && second.is_some(),
    );

    let output = tokio::task::spawn_blocking(move || client.wait_with_output()).await.map_err(Failed::new)??;
    let (happened, right) = told(&output);
    step("dora is told why, and her session goes on", happened, right);
    cluster.sql("shop", &[], "update customers set name = rtrim(name, '+') where id = 1")?;
    Ok(steps)
}

/// The question that waits, other than one that was asked before; `None` when none comes.
async fn asked(otto: &Machine<'_>, before: Option<&str>) -> Result<Option<String>, Failed> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let listed = otto.countersign(&["reviews", "list", "--output", "json"]).await?;
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
        let reviews = listed.get("reviews").and_then(Value::as_array);
        let found = reviews.into_iter().flatten().find_map(|review| {
            let asker = review.pointer("/asker/name").and_then(Value::as_str);
            let id = review.get("id").and_then(Value::as_str).filter(|id| Some(*id) != before);
            id.filter(|_| asker == Some("dora")).map(str::to_owned)
        });
        if found.is_some() {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(None)
}

fn told(output: &Output) -> (String, bool) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = out.lines().collect();
    let right = lines == ["UPDATE 1", "still here"] && err.contains("42501") && err.contains(WHY);
    let error = err.lines().find(|l| l.contains("ERROR")).unwrap_or("(no error)");
    (if right { error.to_owned() } else { format!("{out:?} and {err:?}") }, right)
}
