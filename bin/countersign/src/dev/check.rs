//! `countersign dev --check`: plays the tour with a real psql, says what was tried and what happened, and judges it.
//!
//! Every step must be able to fail: what is expected is compared with what psql printed, what the database holds, and what the
//! recording says.

use std::process::{Command, Output, Stdio};

use countersign_identity::local::GithubJob;
use countersign_model::Timestamp;
use countersign_recording::{Reader, RecordEntry, RecordFilter};

use super::cluster::Cluster;
use super::{Place, identities};
use crate::failed::Failed;
use crate::output;
use crate::serve::Running;

/// What a step must lead to.
enum Want<'a> {
    /// psql succeeds and prints this.
    Prints(&'a str),
    /// psql fails and its errors hold all of these.
    Refused(&'a [&'a str]),
    /// psql fails with these errors, goes on, and prints this.
    RefusedThenPrints(&'a [&'a str], &'a str),
}

/// One step.
struct Step<'a> {
    title: &'a str,
    user: &'a str,
    password: &'a str,
    sql: &'a [&'a str],
    want: Want<'a>,
}

struct Table {
    rows: Vec<(String, String, bool)>,
}

impl Table {
    fn add(&mut self, title: &str, happened: &str, right: bool) {
        self.rows.push((title.to_owned(), happened.to_owned(), right));
    }
}

/// Plays the scenario; true when every step came out right.
pub(super) async fn play(place: &Place, cluster: &Cluster, running: &Running) -> Result<bool, Failed> {
    let cellar = &running.house.cellar;
    let began = crate::clock::now();
    let token = async |name: &str| -> Result<String, Failed> {
        let secret = identities::token(cellar, name).await?;
        Ok(secret.expose_str().unwrap_or_default().to_owned())
    };
    let (ana, dora, ci) = (token("ana").await?, token("dora").await?, token("ci-deploy").await?);
    let branch = GithubJob { git_ref: "refs/heads/try".to_owned(), ..GithubJob::example() };
    let branch = identities::ci_token(cellar, &branch, 600).await?;
    let branch = branch.expose_str().unwrap_or_default().to_owned();
    let forged = forge(&ana);
    let before = cluster.sql("shop", &[], "select md5(string_agg(o::text, ',' order by id)) from orders o")?;

    let steps = [
        Step {
            title: "ana reads orders",
            user: "ana",
            password: &ana,
            sql: &["select count(*) > 0 as some from orders"],
            want: Want::Prints("t"),
        },
        Step {
            title: "ana asks for more rows than her limit",
            user: "ana",
            password: &ana,
            sql: &["select order_id, product_id from order_items"],
            want: Want::Refused(&["limit exceeded: at most 1000 rows"]),
        },
        Step {
            title: "ana asks for card numbers, hidden behind *",
            user: "ana",
            password: &ana,
            sql: &["select * from customers"],
            want: Want::Refused(&["42501", "personal-numbers-stay"]),
        },
        Step {
            title: "ana deletes, is refused, and her session goes on",
            user: "ana",
            password: &ana,
            sql: &["delete from orders", "select 'still here'"],
            want: Want::RefusedThenPrints(&["42501", "analysts-only-read"], "still here"),
        },
        Step {
            title: "ana hides a drop behind a select",
            user: "ana",
            password: &ana,
            sql: &["select 1; drop table orders"],
            want: Want::Refused(&["42501", "analysts-only-read"]),
        },
        Step {
            title: "ana hides a delete in a WITH",
            user: "ana",
            password: &ana,
            sql: &["with gone as (delete from orders returning *) select count(*) from gone"],
            want: Want::Refused(&["42501", "analysts-only-read"]),
        },
        Step {
            title: "ana's token with one letter changed",
            user: "ana",
            password: &forged,
            sql: &["select 1"],
            want: Want::Refused(&["token was not accepted"]),
        },
        Step {
            title: "ana's token under dora's name",
            user: "dora",
            password: &ana,
            sql: &["select 1"],
            want: Want::Refused(&["FATAL"]),
        },
        Step {
            title: "ci-deploy changes one order",
            user: "ci-deploy",
            password: &ci,
            sql: &["update orders set status = status where id = 1"],
            want: Want::Prints("UPDATE 1"),
        },
        Step {
            title: "ci-deploy changes them all: undone",
            user: "ci-deploy",
            password: &ci,
            sql: &["update orders set status = 'cancelled' where id > 0"],
            want: Want::Refused(&["limit exceeded: at most 100 changed rows"]),
        },
        Step {
            title: "ci-deploy hides the change where nobody counts it",
            user: "ci-deploy",
            password: &ci,
            sql: &["with x as (update orders set note = 'x' where id > 0 returning 1) select count(*) from x"],
            want: Want::Refused(&["42501", "does not count"]),
        },
        Step {
            title: "ci-deploy reads customers",
            user: "ci-deploy",
            password: &ci,
            sql: &["select name from customers"],
            want: Want::Refused(&["42501", "no rule allows it"]),
        },
        Step {
            title: "the same job from another branch",
            user: "ci-deploy",
            password: &branch,
            sql: &["select 1"],
            want: Want::Refused(&["FATAL"]),
        },
        Step {
            title: "dora changes and takes back",
            user: "dora",
            password: &dora,
            sql: &["begin; update staff set salary = salary + 1 where id = 1; rollback"],
            want: Want::Prints("ROLLBACK"),
        },
        Step {
            title: "dora runs a program on the server",
            user: "dora",
            password: &dora,
            sql: &["copy orders to program 'cat >/tmp/orders'"],
            want: Want::Refused(&["42501", "no-programs-no-files"]),
        },
    ];
    let mut table = Table { rows: Vec::new() };
    let mut refusals = 0;
    for step in &steps {
        let output = psql(place, step.user, step.password, step.sql)?;
        let (happened, right) = judge(&output, &step.want);
        if !matches!(step.want, Want::Prints(_)) {
            refusals += 1;
        }
        table.add(step.title, &happened, right);
    }
    let after = cluster.sql("shop", &[], "select md5(string_agg(o::text, ',' order by id)) from orders o")?;
    table.add(
        "the database's orders afterwards",
        if before == after { "unchanged" } else { "CHANGED" },
        before == after,
    );
    around(place, &mut table)?;
    recorded(running, began, refusals, &ana, &mut table)?;

    for line in render(&table) {
        output::say(&line)?;
    }
    Ok(table.rows.iter().all(|(_, _, right)| *right))
}

/// A token that differs in one letter of its signature.
fn forge(token: &str) -> String {
    let mut forged = token.to_owned();
    let at = token.rfind('.').map_or(0, |dot| dot + 5);
    let other = if token.get(at..=at) == Some("A") { "B" } else { "A" };
    forged.replace_range(at..=at, other);
    forged
}

fn psql(place: &Place, user: &str, password: &str, sql: &[&str]) -> Result<Output, Failed> {
    let mut command = Command::new("psql");
    command.args(["-X", "-A", "-t", "-v", "VERBOSITY=verbose", "-P", "pager=off"]);
    for statement in sql {
        command.args(["-c", statement]);
    }
    command.arg(format!(
        "host=localhost port={} dbname=shop user={user} sslmode=verify-full sslrootcert={}",
        place.gateway_port,
        place.ca().display()
    ));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "20").stdin(Stdio::null());
    command.output().map_err(|e| Failed::new(format!("psql could not be run (package \"postgresql-client\"): {e}")))
}

fn judge(output: &Output, want: &Want<'_>) -> (String, bool) {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    let holds_all = |all: &[&str]| all.iter().all(|w| err.contains(w));
    let right = match want {
        Want::Prints(text) => output.status.success() && out.lines().any(|l| l == *text),
        // What a limit cuts off is not printed either: psql shows a result only when it is whole.
        Want::Refused(all) => !output.status.success() && holds_all(all) && out.trim().is_empty(),
        Want::RefusedThenPrints(all, text) => holds_all(all) && out.lines().any(|l| l == *text),
    };
    let said = err.lines().find(|l| l.contains("ERROR") || l.contains("FATAL"));
    let happened = match (want, said) {
        (Want::Prints(_), None) | (_, None) => out.lines().last().unwrap_or("(nothing)").to_owned(),
        // Where it connected to is no news.
        (_, Some(said)) => said.split_once(" failed: ").map_or(said, |(_, after)| after).to_owned(),
    };
    (happened, right)
}

/// The path around the gateway must be closed.
fn around(place: &Place, table: &mut Table) -> Result<(), Failed> {
    let mut command = Command::new("psql");
    command.args(["-X", "-A", "-t", "-c", "select 1"]);
    command.arg(format!("host=127.0.0.1 port={} dbname=shop user=postgres sslmode=require", place.database_port));
    let output = command.env("PGPASSWORD", "guess").stdin(Stdio::null()).output()?;
    let err = String::from_utf8_lossy(&output.stderr);
    let right = !output.status.success() && err.contains("pg_hba.conf rejects");
    let last = err.lines().last().unwrap_or("(let in)");
    let happened = last.split_once(" failed: ").map_or(last, |(_, after)| after).to_owned();
    table.add("straight to the database, past the gateway", &happened, right);
    Ok(())
}

/// Every refusal is in the recording, and no secret is.
fn recorded(
    running: &Running,
    began: Timestamp,
    refusals: usize,
    token: &str,
    table: &mut Table,
) -> Result<(), Failed> {
    let config = &running.house.config;
    let reader = Reader::new(&config.recording.dir);
    let (mut denied, mut limited, mut refused) = (0, 0, 0);
    for record in
        reader.records(&RecordFilter { since: Some(began), ..RecordFilter::default() }).map_err(Failed::new)?
    {
        match record.map_err(Failed::new)?.entry {
            RecordEntry::Intent(intent) if intent.definition.verdict.decision == countersign_model::Decision::Deny => {
                denied += 1
            }
            RecordEntry::Outcome(outcome) if outcome.status == "limited" => limited += 1,
            RecordEntry::Refused(_) => refused += 1,
            _ => {}
        }
    }
    let found = denied + limited + refused;
    let happened = format!("{denied} denied, {limited} over a limit, {refused} not let in");
    table.add("the recording tells of every refusal", &happened, found == refusals);
    let signature = token.rsplit('.').next().unwrap_or(token);
    let leaks = leaks(&config.gateway.data_dir, signature.as_bytes())?;
    let happened = leaks.clone().unwrap_or_else(|| "not in any file of the data folder".to_owned());
    table.add("ana's token, on disk", &happened, leaks.is_none());
    Ok(())
}

/// The first file below `dir` that holds `secret`.
fn leaks(dir: &std::path::Path, secret: &[u8]) -> Result<Option<String>, Failed> {
    const FILES_MAX: usize = 10_000;
    let mut folders = vec![dir.to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)?.flatten() {
            let kind = entry.file_type()?;
            seen += 1;
            if seen > FILES_MAX {
                return Err(Failed::new("too many files in the data folder to look through"));
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let bytes = std::fs::read(entry.path())?;
                if bytes.windows(secret.len()).any(|w| w == secret) {
                    return Ok(Some(format!("found in {}", entry.path().display())));
                }
            }
        }
    }
    Ok(None)
}

/// The table, 80 columns wide at most.
fn render(table: &Table) -> Vec<String> {
    const WIDTH: usize = 80;
    let mut lines = vec![String::new()];
    for (i, (title, happened, right)) in table.rows.iter().enumerate() {
        let mark = if *right { "ok   " } else { "WRONG" };
        lines.push(format!("{:>2}  {mark}  {title}", i + 1));
        let room = WIDTH - 11;
        let mut shown: String = happened.chars().filter(|c| !c.is_control()).take(room).collect();
        if happened.chars().count() > room {
            shown.pop();
            shown.push('…');
        }
        lines.push(format!("           {shown}"));
    }
    let right = table.rows.iter().filter(|(_, _, right)| *right).count();
    lines.push(format!("\n{right} of {} steps came out right", table.rows.len()));
    lines
}
