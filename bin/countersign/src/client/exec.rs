//! `countersign exec`: SQL in, rows out, for scripts and agents. Simple query protocol, so that one text may hold several statements.
//!
//! What the target says reaches a terminal only as text; the statement is sent as it was given.

mod paint;

use std::future::poll_fn;
use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use futures_util::StreamExt as _;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, Connection, NoTls, SimpleQueryMessage};
use tokio_rustls::client::TlsStream;

use super::connect::name;
use super::session::{At, Road, fresh};
use crate::commands::paper::Paper;
use crate::commands::text::inert;
use crate::failed::Failed;
use crate::output;

use paint::{Painter, painter};

/// The longest text, in bytes; the gateway takes no longer statement.
const SQL_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How rows are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Rows {
    /// A table for people.
    #[default]
    Text,
    /// One JSON document: an array with one object for each statement.
    Json,
    /// Comma-separated values with a line of names (RFC 4180).
    Csv,
}

/// `countersign exec`.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// The target, or TARGET/DATABASE.
    #[arg(value_name = "TARGET", value_parser = name)]
    target: String,
    #[command(flatten)]
    at: At,
    /// The SQL; `-` reads it from standard input.
    #[arg(
        short = 'c',
        long = "command",
        value_name = "SQL",
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    sql: Option<String>,
    /// The file that holds the SQL.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The user name to give to the gateway; without it, the identity's.
    #[arg(long, value_name = "NAME", value_parser = name)]
    user: Option<String>,
    /// How to print rows.
    #[arg(long, value_enum, default_value_t)]
    output: Rows,
}

/// Runs it.
pub(super) async fn run(args: Exec) -> Result<(), Failed> {
    let sql = text(&args)?;
    let login = fresh(&args.at.state()?).await?;
    let road = Road::new(&login, "postgres", b"postgresql")?;
    let user = args.user.clone().unwrap_or_else(|| login.facts.identity.name.clone());
    let mut config = Config::new();
    config.user(&user).dbname(&args.target).application_name("countersign exec");

    let stream = road.dial().await.map_err(Failed::new)?;
    let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(|e| failed(&e))?;
    let talk = tokio::spawn(talk(connection));
    let cancelling = tokio::spawn(cancel_at_interrupt(client.cancel_token(), road));
    let done = play(&client, &sql, args.output).await;
    cancelling.abort();
    drop(client);
    // Notices that came last are still to be said; how the connection ends is no news after its work.
    let _ = talk.await;
    done
}

/// The SQL, from wherever it comes.
fn text(args: &Exec) -> Result<String, Failed> {
    let whole = |source: &mut dyn std::io::Read, place: &str| -> Result<String, Failed> {
        let mut sql = String::new();
        let read = source.take(SQL_BYTES_MAX + 1).read_to_string(&mut sql);
        read.map_err(|e| Failed::new(format!("{place}: {e}")))?;
        Ok(sql)
    };
    let sql = match (&args.sql, &args.file) {
        (Some(sql), _) if sql == "-" => whole(&mut std::io::stdin().lock(), "standard input")?,
        (Some(sql), _) => sql.clone(),
        (None, Some(path)) => {
            let at = |e| Failed::new(format!("{}: {e}", path.display()));
            whole(&mut std::fs::File::open(path).map_err(at)?, &path.display().to_string())?
        }
        (None, None) => return Err(Failed::new("there is no SQL: give it with -c or --file")),
    };
    if sql.len() as u64 > SQL_BYTES_MAX {
        return Err(Failed::new(format!("the SQL is longer than {SQL_BYTES_MAX} bytes")));
    }
    if sql.contains('\0') {
        return Err(Failed::new("the SQL has a NUL byte in it"));
    }
    Ok(sql)
}

/// Moves the connection, and says what the target says beside its answers.
async fn talk(mut connection: Connection<TlsStream<TcpStream>, tokio_postgres::tls::NoTlsStream>) {
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notice(notice) = message {
            output::note(&words(&notice));
        }
    }
}

/// Ctrl-C cancels the statement; the error that comes of it ends the command.
async fn cancel_at_interrupt(token: CancelToken, road: Road) {
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return };
    while interrupt.recv().await.is_some() {
        let asked = match road.dial().await {
            Ok(stream) => token.cancel_query_raw(stream, NoTls).await.map_err(|e| e.to_string()),
            Err(e) => Err(e),
        };
        if let Err(e) = asked {
            output::note(&format!("countersign: the statement could not be cancelled: {}", inert(&e)));
        }
    }
}

async fn play(client: &Client, sql: &str, rows: Rows) -> Result<(), Failed> {
    let mut paper = Paper::new();
    let mut painter = painter(rows);
    let outcome = print(client, sql, &mut *painter, &mut paper).await;
    // What came before a failure is printed as well.
    painter.end(&mut paper)?;
    paper.done()?;
    outcome
}

async fn print(client: &Client, sql: &str, painter: &mut dyn Painter, paper: &mut Paper) -> Result<(), Failed> {
    let answers = client.simple_query_raw(sql).await.map_err(|e| failed(&e))?;
    let mut answers = std::pin::pin!(answers);
    while let Some(answer) = answers.next().await {
        match answer.map_err(|e| failed(&e))? {
            SimpleQueryMessage::RowDescription(columns) => {
                let names: Vec<&str> = columns.iter().map(tokio_postgres::SimpleColumn::name).collect();
                painter.columns(&names, paper)?;
            }
            SimpleQueryMessage::Row(row) => {
                let cells: Vec<Option<&str>> = (0..row.len()).map(|i| row.try_get(i).ok().flatten()).collect();
                painter.row(&cells, paper)?;
            }
            SimpleQueryMessage::CommandComplete(count) => painter.done(count, paper)?,
            _ => {}
        }
        if paper.gone() {
            // Nobody reads any more: the connection's end stops the rest.
            return Ok(());
        }
    }
    Ok(())
}

/// An error for people: the target's words with SQLSTATE, detail and hint, or what went wrong on the way.
fn failed(e: &tokio_postgres::Error) -> Failed {
    match e.as_db_error() {
        Some(error) => Failed::new(words(error)),
        None => Failed::new(super::http::chain(e)),
    }
}

fn words(error: &DbError) -> String {
    let mut said = format!("{} {}: {}", inert(error.severity()), error.code().code(), inert(error.message()));
    for (name, text) in [("DETAIL", error.detail()), ("HINT", error.hint())] {
        if let Some(text) = text {
            said.push_str(&format!("\n{name}: {}", inert(text)));
        }
    }
    said
}
