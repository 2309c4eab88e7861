//! `countersign dev --check`: plays the tour with a real psql, says what was tried and what happened, and judges it.
//!
//! Every step must be able to fail: what is expected is compared with what psql printed, what the database holds, and what the
//! recording says.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use countersign_identity::local::GithubJob;
use countersign_model::Timestamp;
use countersign_recording::{Event, Reader, RecordEntry, RecordFilter};

use super::cluster::Cluster;
use super::drill::{self, Machine, TokenService, plain, said};
use super::server::Server;
use super::{Place, identities, locked, reviewed, shell};
use crate::failed::Failed;
use crate::house::Cellar;
use crate::output;
use crate::serve::Running;

/// Why the thief's tokens and certificates are refused, as the recording has it.
const REASONS: [&str; 9] =
    ["signature", "unproven", "replayed", "expired", "audience", "algorithm", "unknown_key", "header", "login_ended"];

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
    way: Way<'a>,
    sql: &'a [&'a str],
    want: Want<'a>,
}

/// What somebody shows to be let in.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    /// A token, as the password.
    Token(&'a str),
    /// The certificate of a login, in this folder with its key.
    Login(&'a Path),
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
pub(super) async fn play(place: &Place, cluster: &Cluster, server: &Server, running: &Running) -> Result<bool, Failed> {
    let cellar = &running.house.cellar;
    let began = crate::clock::now();
    let token = async |name: &str| Ok::<_, Failed>(plain(&identities::token(cellar, name, None).await?));
    let (ana, ci) = (token("ana").await?, token("ci-deploy").await?);
    let branch = GithubJob { git_ref: "refs/heads/try".to_owned(), ..GithubJob::example() };
    let branch = identities::ci_token(cellar, &branch, 600).await?;
    let branch = plain(&branch);
    let forged = forge(&ana);
    let before = cluster.sql("shop", &[], "select md5(string_agg(o::text, ',' order by id)) from orders o")?;

    let mut table = Table { rows: Vec::new() };
    let service = TokenService::start(cellar, GithubJob::example()).await?;
    let (job, dora) = (Machine::new(place, "job")?, Machine::new(place, "dora")?);
    let login = job.login_as_job(&service).await?;
    table.add("ci-deploy logs in: its own key, a token for that key", &said(&login), login.status.success());
    let login = dora.login_with(&token("dora").await?).await?;
    table.add("dora logs in with a key of her own", &said(&login), login.status.success());
    let otto = Machine::new(place, "otto")?;
    let login = otto.login_with(&token("otto").await?).await?;
    table.add("otto, another DBA, logs in", &said(&login), login.status.success());
    let (job_login, dora_login) = (job.login_folder(), dora.login_folder());
    let (job_way, dora_way) = (Way::Login(&job_login), Way::Login(&dora_login));

    let steps = [
        Step {
            title: "ana reads orders",
            user: "ana",
            way: Way::Token(&ana),
            sql: &["select count(*) > 0 as some from orders"],
            want: Want::Prints("t"),
        },
        Step {
            title: "ana asks for more rows than her limit",
            user: "ana",
            way: Way::Token(&ana),
            sql: &["select order_id, product_id from order_items"],
            want: Want::Refused(&["limit exceeded: at most 1000 rows"]),
        },
        Step {
            title: "ana asks for salaries, hidden behind *",
            user: "ana",
            way: Way::Token(&ana),
            sql: &["select * from staff"],
            want: Want::Refused(&["42501", "personal-numbers-stay"]),
        },
        Step {
            title: "ana reads a card and an SSN under other names: masked",
            user: "ana",
            way: Way::Token(&ana),
            sql: &[
                "select c.a || '' as b, c.d from (select card_number, ssn, id from customers) c (a, d, id) where id = 1",
            ],
            want: Want::Prints("[redacted]|[redacted]"),
        },
        Step {
            title: "ana reads the card itself: its last digits",
            user: "ana",
            way: Way::Token(&ana),
            sql: &["select card_number, born_on from customers where id = 1"],
            want: Want::Prints("************6767|1952-01-01"),
        },
        Step {
            title: "ana tries whose card it is",
            user: "ana",
            way: Way::Token(&ana),
            sql: &["select name from customers where card_number = '4000009471116767'"],
            want: Want::Refused(&["42501", "pii.card", "masked for you"]),
        },
        Step {
            title: "ana sorts by SSN",
            user: "ana",
            way: Way::Token(&ana),
            sql: &["select id from customers order by ssn limit 1"],
            want: Want::Refused(&["42501", "pii.ssn", "masked for you"]),
        },
        Step {
            title: "dora reads the same: as it is stored",
            user: "dora",
            way: dora_way,
            sql: &["select card_number, ssn, born_on from customers where id = 1"],
            want: Want::Prints("4000009471116767|925-00-0001|1952-03-09"),
        },
        Step {
            title: "ana deletes, is refused, and her session goes on",
            user: "ana",
            way: Way::Token(&ana),
            sql: &["delete from orders", "select 'still here'"],
            want: Want::RefusedThenPrints(&["42501", "analysts-only-read"], "still here"),
        },
        Step {
            title: "ana hides a drop behind a select",
            user: "ana",
            way: Way::Token(&ana),
            sql: &["select 1; drop table orders"],
            want: Want::Refused(&["42501", "analysts-only-read"]),
        },
        Step {
            title: "ana hides a delete in a WITH",
            user: "ana",
            way: Way::Token(&ana),
            sql: &["with gone as (delete from orders returning *) select count(*) from gone"],
            want: Want::Refused(&["42501", "analysts-only-read"]),
        },
        Step {
            title: "ana's token with one letter changed",
            user: "ana",
            way: Way::Token(&forged),
            sql: &["select 1"],
            want: Want::Refused(&["token was not accepted"]),
        },
        Step {
            title: "ana's token under dora's name",
            user: "dora",
            way: Way::Token(&ana),
            sql: &["select 1"],
            want: Want::Refused(&["FATAL"]),
        },
        Step {
            title: "a token of ci-deploy without its key changes an order",
            user: "ci-deploy",
            way: Way::Token(&ci),
            sql: &["update orders set status = status where id = 1"],
            want: Want::Refused(&["42501", "machines-change-with-a-bound-credential", "countersign login"]),
        },
        Step {
            title: "ci-deploy changes one order",
            user: "ci-deploy",
            way: job_way,
            sql: &["update orders set status = status where id = 1"],
            want: Want::Prints("UPDATE 1"),
        },
        Step {
            title: "ci-deploy changes them all: undone",
            user: "ci-deploy",
            way: job_way,
            sql: &["update orders set status = 'cancelled' where id > 0"],
            want: Want::Refused(&["limit exceeded: at most 100 changed rows"]),
        },
        Step {
            title: "ci-deploy hides the change where nobody counts it",
            user: "ci-deploy",
            way: job_way,
            sql: &["with x as (update orders set note = 'x' where id > 0 returning 1) select count(*) from x"],
            want: Want::Refused(&["42501", "does not count"]),
        },
        Step {
            title: "ci-deploy reads customers",
            user: "ci-deploy",
            way: job_way,
            sql: &["select name from customers"],
            want: Want::Refused(&["42501", "no rule allows it"]),
        },
        Step {
            title: "the same job from another branch",
            user: "ci-deploy",
            way: Way::Token(&branch),
            sql: &["select 1"],
            want: Want::Refused(&["FATAL"]),
        },
        Step {
            title: "dora changes and takes back",
            user: "dora",
            way: dora_way,
            sql: &["begin; update staff set salary = salary + 1 where id = 1; rollback"],
            want: Want::Prints("ROLLBACK"),
        },
        Step {
            title: "dora runs a program on the server",
            user: "dora",
            way: dora_way,
            sql: &["copy orders to program 'cat >/tmp/orders'"],
            want: Want::Refused(&["42501", "no-programs-no-files"]),
        },
    ];
    let mut refusals = 0;
    for step in &steps {
        let output = psql(place, step.user, step.way, step.sql)?;
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
    refusals += on_server(place, server, &shell::steps(&ana, &job, &dora), &mut table).await?;
    for played in reviewed::play(place, cluster, &dora, &otto).await? {
        table.add(played.title, &played.happened, played.right);
    }
    let locked = locked::play(place, cluster, running, "ana", &ana).await?;
    table.add("ana is locked out while her statement runs", &locked.happened, locked.right);
    refusals += locked.refusals;
    refusals += stolen(place, cellar, &job, &service, &mut table).await?;
    recorded(running, began, refusals, &ana, &mut table)?;

    for line in render(&table) {
        output::say(&line)?;
    }
    Ok(table.rows.iter().all(|(_, _, right)| *right))
}

/// What is tried at the server; how many refusals there must be.
async fn on_server(
    place: &Place,
    server: &Server,
    steps: &[shell::Step<'_>],
    table: &mut Table,
) -> Result<usize, Failed> {
    let before = shell::restarts(server);
    for step in steps {
        let played = shell::play(place, step).await?;
        table.add(step.title, &played.happened, played.right);
    }
    let times = shell::restarts(server) - before;
    table.add("the shop was restarted", &format!("{times} time(s)"), times == 1);
    let played = shell::around(place, server).await?;
    table.add("straight to web-1, past the gateway", &played.happened, played.right);
    Ok(shell::refusals(steps))
}

/// A token that differs in one letter of its signature.
fn forge(token: &str) -> String {
    let mut forged = token.to_owned();
    let at = token.rfind('.').map_or(0, |dot| dot + 5);
    let other = if token.get(at..=at) == Some("A") { "B" } else { "A" };
    forged.replace_range(at..=at, other);
    forged
}

/// The drill: a thief has copied all that can be copied from the job's machine, but not its key. How many refusals there must be.
async fn stolen(
    place: &Place,
    cellar: &Cellar,
    job: &Machine<'_>,
    service: &TokenService,
    table: &mut Table,
) -> Result<usize, Failed> {
    const SQL: &[&str] = &["select count(*) from orders"];
    let mut refusals = 0;
    let mut refused = |table: &mut Table, title: &str, output: &Output, words: &[&str]| {
        let err = String::from_utf8_lossy(&output.stderr);
        let right = !output.status.success() && words.iter().all(|w| err.contains(w));
        refusals += 1;
        let last = said(output);
        table.add(title, last.split_once(" failed: ").map_or(last.as_str(), |(_, after)| after), right);
    };
    let seen = job.whoami().await?;
    let out = String::from_utf8_lossy(&seen.stdout);
    let right = seen.status.success() && ["ci-deploy", "bound", "deploy.yml"].iter().all(|w| out.contains(w));
    table.add("the job asks who it is: bound, with its workflow", if right { "as it should" } else { "not so" }, right);
    let output = job.connect(SQL.first().copied().unwrap_or_default()).await?;
    table.add("the job's psql, by countersign connect", &said(&output), output.status.success());

    let thief = Machine::new(place, "thief")?;
    let stolen = service.last();
    let output = psql(place, "ci-deploy", Way::Token(&stolen), SQL)?;
    refused(table, "a thief shows the job's token", &output, &["FATAL", "token was not accepted"]);
    let output = thief.login_with(&stolen).await?;
    refused(table, "a thief exchanges it with a key of their own", &output, &["not accepted"]);
    let copied = thief.copy_certificate_of(&job.login_folder())?;
    let output = psql(place, "ci-deploy", Way::Login(&copied), SQL)?;
    // psql itself sees that the two do not belong together; the gateway sees a handshake that breaks off.
    refused(table, "a thief shows the job's certificate without its key", &output, &["key"]);

    let unbound = identities::ci_token(cellar, &GithubJob::example(), 600).await?;
    let unbound = plain(&unbound);
    let other = Machine::new(place, "other-job")?;
    let login = other.login_with(&unbound).await?;
    table.add("a job whose issuer fixes the audience logs in", &said(&login), login.status.success());
    let output = psql(place, "ci-deploy", Way::Token(&unbound), SQL)?;
    refused(table, "a thief shows that token, used by now", &output, &["FATAL", "token was not accepted"]);
    let output = thief.login_with(&unbound).await?;
    refused(table, "a thief exchanges it", &output, &["not accepted"]);
    for (title, token) in drill::bent(cellar, &unbound).await? {
        let output = psql(place, "ci-deploy", Way::Token(&token), SQL)?;
        refused(table, title, &output, &["FATAL", "token was not accepted"]);
    }

    let logout = job.logout().await?;
    let folder = other.login_folder();
    let kept = thief.keep(&folder)?;
    table.add("the job is over and logs out", &said(&logout), logout.status.success());
    let logout = other.logout().await?;
    table.add("so does the other", &said(&logout), logout.status.success());
    let output = psql(place, "ci-deploy", Way::Login(&kept), SQL)?;
    refused(table, "a thief with its certificate and its key, afterwards", &output, &["FATAL"]);
    Ok(refusals)
}

fn psql(place: &Place, user: &str, way: Way<'_>, sql: &[&str]) -> Result<Output, Failed> {
    let output = psql_command(place, user, way, sql).output();
    output.map_err(|e| Failed::new(format!("psql could not be run (package \"postgresql-client\"): {e}")))
}

/// psql with these statements one after the other, as somebody.
pub(super) fn psql_command(place: &Place, user: &str, way: Way<'_>, sql: &[&str]) -> Command {
    let mut command = Command::new("psql");
    command.args(["-X", "-A", "-t", "-v", "VERBOSITY=verbose", "-P", "pager=off"]);
    for statement in sql {
        command.args(["-c", statement]);
    }
    let mut way_in = format!(
        "host=localhost port={} dbname=shop user={user} sslmode=verify-full sslrootcert={}",
        place.gateway_port,
        place.ca().display()
    );
    if let Way::Login(folder) = way {
        let folder = folder.display();
        way_in.push_str(&format!(" sslcert={folder}/certificate.pem sslkey={folder}/key.pem"));
    }
    command.arg("-w").arg(way_in);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    if let Way::Token(token) = way {
        command.env("PGPASSWORD", token);
    }
    command.env("PGCONNECT_TIMEOUT", "20").stdin(Stdio::null());
    command
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
    let (mut denied, mut limited, mut rejected, mut refused) = (0, 0, 0, 0);
    let mut reasons = BTreeSet::new();
    for record in
        reader.records(&RecordFilter { since: Some(began), ..RecordFilter::default() }).map_err(Failed::new)?
    {
        match record.map_err(Failed::new)?.entry {
            RecordEntry::Intent(intent) if intent.definition.verdict.decision == countersign_model::Decision::Deny => {
                denied += 1
            }
            RecordEntry::Outcome(outcome) if outcome.status == "limited" => limited += 1,
            RecordEntry::Event(Event::Rejected { .. }) => rejected += 1,
            RecordEntry::Refused(one) => {
                refused += 1;
                let detail = one.denial.detail.unwrap_or_default();
                reasons.extend(detail.split(':').next().map(str::to_owned));
            }
            _ => {}
        }
    }
    let found = denied + limited + rejected + refused;
    let happened = format!("{} denied, {limited} over a limit, {refused} not let in", denied + rejected);
    table.add("the recording tells of every refusal", &happened, found == refusals);
    let missing: Vec<&str> = REASONS.into_iter().filter(|r| !reasons.contains(*r)).collect();
    let happened = if missing.is_empty() { REASONS.join(", ") } else { format!("MISSING: {}", missing.join(", ")) };
    table.add("and of the reason for each thing that the thief tried", &happened, missing.is_empty());
    let alarms = std::fs::read_to_string(config.gateway.data_dir.join("gateway.log"))?;
    let alarms = alarms.lines().filter(|l| l.contains(" alert ")).count();
    // The policy's own alerts are five; of what the thief tried, each kind is alarmed at least once.
    table.add("people were told", &format!("{alarms} alerts"), alarms >= 10);
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
