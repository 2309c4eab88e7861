//! PostgreSQL at the local port: reads a client's first packets, asks for the run's password, and then passes bytes between it and the
//! gateway.
//!
//! Nothing of a client reaches the gateway before it gave the password, but for cancel requests, which carry a secret of their own.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use countersign_model::Secret;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::time::timeout;

use super::Run;
use super::command::Environment;
use super::door::Stream;
use crate::client::http::said;
use crate::output;

/// The protocol's name, and its name in TLS (ALPN).
pub(super) const PROTOCOL: &str = "postgres";
pub(super) const ALPN: &[u8] = b"postgresql";

/// How long a client may take until it has given the password.
const LOGIN_WAIT: Duration = Duration::from_secs(60);
/// How long the gateway may take to say whether it lets us in: it may ask its issuers and its store.
const GREETING_WAIT: Duration = Duration::from_secs(60);
/// How long a cancel request may take.
const CANCEL_WAIT: Duration = Duration::from_secs(30);
/// The longest start-up packet, in bytes, as in PostgreSQL.
const STARTUP_BYTES_MAX: usize = 10_000;
/// The longest password message, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;
/// The longest message of the gateway ahead of its greeting, in bytes.
const AHEAD_BYTES_MAX: usize = 64 * 1024;
/// The most messages of the gateway ahead of its greeting.
const AHEAD_MAX: usize = 8;
/// The most requests for encryption; a client asks for each sort once.
const ENCRYPTION_REQUESTS_MAX: usize = 2;
/// Bytes on their way in each direction.
const PIPE_BYTES: usize = 64 * 1024;

const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
const MAJOR: u32 = 3;

/// Why a client is sent away: SQLSTATE and words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SentAway(&'static str, String);

fn broken(what: &str) -> SentAway {
    SentAway("08P01", what.to_owned())
}

/// A client's first packet that means something.
#[derive(Debug, PartialEq, Eq)]
enum First {
    /// Pass it on as it is.
    Cancel(Vec<u8>),
    /// The start-up message.
    Start(Startup),
}

/// A start-up message.
#[derive(Debug, PartialEq, Eq)]
struct Startup {
    version: u32,
    /// Names and values in their order, without user and database.
    settings: Vec<(Vec<u8>, Vec<u8>)>,
    /// The database that the client names.
    database: Option<String>,
}

impl Startup {
    /// Reads the part after the version.
    fn read(version: u32, body: &[u8]) -> Result<Self, SentAway> {
        let unreadable = || broken("the start-up packet cannot be read");
        let mut texts =
            body.strip_suffix(&[0, 0]).or_else(|| body.strip_suffix(&[0])).ok_or_else(unreadable)?.split(|b| *b == 0);
        let mut startup = Self { version, settings: Vec::new(), database: None };
        let mut user = false;
        while let Some(name) = texts.next() {
            if name.is_empty() && startup.settings.is_empty() && !user && startup.database.is_none() {
                // A packet without a single setting.
                break;
            }
            let value = texts.next().ok_or_else(unreadable)?;
            match name {
                b"" => return Err(unreadable()),
                b"user" if user => return Err(broken("the start-up packet names two users")),
                b"user" => user = true,
                b"database" if startup.database.is_some() => {
                    return Err(broken("the start-up packet names two databases"));
                }
                b"database" => {
                    let text = std::str::from_utf8(value).map_err(|_| broken("the database's name is not UTF-8"))?;
                    startup.database = Some(text.to_owned());
                }
                _ => startup.settings.push((name.to_vec(), value.to_vec())),
            }
        }
        Ok(startup)
    }

    /// The packet for the gateway: the same settings, with the run's user and target. What the client calls itself means nothing here,
    /// and this port leads to one target: another database's name is that of a database there.
    fn for_gateway(&self, user: &str, target: &str) -> Result<Vec<u8>, SentAway> {
        let database = match self.database.as_deref() {
            None | Some("") => target.to_owned(),
            Some(named) if named == target || named.strip_prefix(target).is_some_and(|r| r.starts_with('/')) => {
                named.to_owned()
            }
            // The run is for one database of the target.
            Some(_) if target.contains('/') => target.to_owned(),
            Some(named) => format!("{target}/{named}"),
        };
        let mut packet = vec![0; 4];
        packet.extend(self.version.to_be_bytes());
        let pairs = [(&b"user"[..], user.as_bytes()), (b"database", database.as_bytes())];
        let settings = self.settings.iter().map(|(n, v)| (n.as_slice(), v.as_slice()));
        for (name, value) in pairs.into_iter().chain(settings) {
            for text in [name, value] {
                packet.extend_from_slice(text);
                packet.push(0);
            }
        }
        packet.push(0);
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        if packet.len() > STARTUP_BYTES_MAX {
            return Err(broken("the start-up packet is too long"));
        }
        if let Some(place) = packet.first_chunk_mut() {
            *place = length.to_be_bytes();
        }
        Ok(packet)
    }
}

async fn u32_of(client: &mut (impl AsyncRead + Unpin)) -> Result<u32, SentAway> {
    client.read_u32().await.map_err(|_| broken("the client went away"))
}

/// Reads what comes first, and answers requests for encryption with no: the bytes do not leave this machine.
async fn first(client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<First, SentAway> {
    for _ in 0..=ENCRYPTION_REQUESTS_MAX {
        let length = usize::try_from(u32_of(client).await?).unwrap_or(usize::MAX);
        if !(8..=STARTUP_BYTES_MAX).contains(&length) {
            return Err(broken("the start-up packet is too long, or this is not PostgreSQL's protocol"));
        }
        let code = u32_of(client).await?;
        let mut body = vec![0; length - 8];
        client.read_exact(&mut body).await.map_err(|_| broken("the client went away"))?;
        match code {
            SSL | GSS if body.is_empty() => {
                client.write_all(b"N").await.map_err(|_| broken("the client went away"))?;
            }
            CANCEL => {
                let mut packet = u32::try_from(length).unwrap_or(0).to_be_bytes().to_vec();
                packet.extend(code.to_be_bytes());
                packet.extend(body);
                return Ok(First::Cancel(packet));
            }
            version if version >> 16 == MAJOR => return Startup::read(version, &body).map(First::Start),
            _ => return Err(SentAway("0A000", "this version of the protocol is not spoken here".to_owned())),
        }
    }
    Err(broken("the client asks for encryption again and again"))
}

/// Asks for the password and compares it.
async fn let_in(client: &mut (impl AsyncRead + AsyncWrite + Unpin), password: &Secret) -> Result<(), SentAway> {
    let gone = |_| broken("the client went away");
    // AuthenticationCleartextPassword.
    client.write_all(b"R\0\0\0\x08\0\0\0\x03").await.map_err(gone)?;
    if client.read_u8().await.map_err(gone)? != b'p' {
        return Err(broken("a password was expected"));
    }
    let length = usize::try_from(u32_of(client).await?).unwrap_or(usize::MAX);
    if !(5..=PASSWORD_BYTES_MAX).contains(&length) {
        return Err(broken("the password message is too long or too short"));
    }
    let mut given = vec![0; length - 4];
    client.read_exact(&mut given).await.map_err(gone)?;
    let given = Secret::new(given);
    let right =
        given.expose().strip_suffix(&[0]).is_some_and(|g| verify_slices_are_equal(g, password.expose()).is_ok());
    if right {
        Ok(())
    } else {
        Err(SentAway("28P01", "this is not the password that `countersign connect` printed".to_owned()))
    }
}

/// What the gateway answers to the start-up packet, up to the point from which bytes pass: to be given to the client.
async fn greeting(gateway: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, SentAway> {
    let gone = |_| SentAway("08006", "the gateway closed the connection".to_owned());
    let mut passed = Vec::new();
    for _ in 0..AHEAD_MAX {
        let kind = gateway.read_u8().await.map_err(gone)?;
        let length = gateway.read_u32().await.map_err(gone)?;
        let body = usize::try_from(length).ok().and_then(|l| l.checked_sub(4)).filter(|l| *l <= AHEAD_BYTES_MAX);
        let Some(body) = body else { return Err(broken("the gateway's answer cannot be read")) };
        let start = passed.len();
        passed.push(kind);
        passed.extend(length.to_be_bytes());
        passed.resize(start + 5 + body, 0);
        let content = passed.get_mut(start + 5..).unwrap_or_default();
        gateway.read_exact(content).await.map_err(gone)?;
        match (kind, &*content) {
            // AuthenticationOk, or an error that ends it.
            (b'R', [0, 0, 0, 0]) | (b'E', _) => return Ok(passed),
            (b'R', _) => {
                return Err(SentAway(
                    "28000",
                    "the gateway does not take the certificate of this login: log in again with `countersign login`"
                        .to_owned(),
                ));
            }
            // NegotiateProtocolVersion, a notice.
            (b'v' | b'N', _) => {}
            _ => return Err(broken("the gateway's answer is not understood")),
        }
    }
    Err(broken("the gateway says a lot and lets nobody in"))
}

/// An ErrorResponse that ends the connection.
fn farewell(why: &SentAway) -> Vec<u8> {
    let mut fields = Vec::new();
    for (kind, text) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', why.0), (b'M', &format!("countersign: {}", why.1))] {
        fields.push(kind);
        fields.extend(text.bytes().filter(|b| *b != 0));
        fields.push(0);
    }
    fields.push(0);
    let mut message = vec![b'E'];
    message.extend(u32::try_from(fields.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    message.extend(fields);
    message
}

/// Serves one client to its end.
pub(super) async fn serve(mut client: Box<dyn Stream>, run: &Run) {
    if let Err(why) = session(&mut client, run).await {
        // Who broke off, or knocked by mistake, is no news; what a person has to do is.
        if why.0 != "08P01" {
            output::note(&format!("countersign: a connection was refused: {}", why.1));
        }
        let _ = client.write_all(&farewell(&why)).await;
        let _ = client.shutdown().await;
    }
}

async fn session(client: &mut Box<dyn Stream>, run: &Run) -> Result<(), SentAway> {
    let late = |_| SentAway("57014", "the login took too long".to_owned());
    let startup = match timeout(LOGIN_WAIT, arrival(client, run)).await.map_err(late)?? {
        First::Cancel(packet) => return timeout(CANCEL_WAIT, cancel(client, run, &packet)).await.map_err(late)?,
        First::Start(startup) => startup.for_gateway(&run.user, &run.target)?,
    };
    let mut gateway = run.roads.current().dial().await.map_err(|e| SentAway("08006", e))?;
    let greeted = async {
        let gone = |e: std::io::Error| SentAway("08006", said(&format!("the gateway closed the connection: {e}")));
        gateway.write_all(&startup).await.map_err(gone)?;
        gateway.flush().await.map_err(gone)?;
        greeting(&mut gateway).await
    };
    let greeting = timeout(GREETING_WAIT, greeted).await.map_err(late)??;
    if client.write_all(&greeting).await.is_err() {
        return Ok(());
    }
    // An end is an end, whoever broke off: both sides have been told by then.
    let _ = copy_bidirectional_with_sizes(client, &mut gateway, PIPE_BYTES, PIPE_BYTES).await;
    Ok(())
}

/// The client's first packet; a session's password has been given.
async fn arrival(client: &mut Box<dyn Stream>, run: &Run) -> Result<First, SentAway> {
    let first = first(client).await?;
    if matches!(first, First::Start(_)) {
        let_in(client, &run.password).await?;
    }
    Ok(first)
}

/// Passes a cancel request on; the client hears of its end by the end of the connection.
async fn cancel(client: &mut Box<dyn Stream>, run: &Run, packet: &[u8]) -> Result<(), SentAway> {
    if let Ok(mut gateway) = run.roads.current().dial().await {
        // There is no answer to a cancel request but the end.
        let _ = gateway.write_all(packet).await;
        let _ = gateway.flush().await;
        let _ = gateway.read(&mut [0]).await;
    }
    let _ = client.shutdown().await;
    Ok(())
}

/// What a client needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) run: &'a Run,
    /// The run's password.
    pub(super) password: &'a str,
}

impl Client<'_> {
    /// libpq's variables. Others would lead elsewhere, or ask for what a local port has not got.
    pub(super) fn environment(&self) -> Environment {
        let set = vec![
            ("PGHOST", self.host.to_owned()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", self.run.user.clone()),
            ("PGDATABASE", self.run.target.clone()),
            ("PGPASSWORD", self.password.to_owned()),
            ("PGSSLMODE", "disable".to_owned()),
        ];
        let unset = &[
            "PGHOSTADDR",
            "PGSERVICE",
            "PGSSLNEGOTIATION",
            "PGCHANNELBINDING",
            "PGREQUIREAUTH",
            "PGREQUIRESSL",
            "PGREQUIREPEER",
            "PGGSSENCMODE",
            "PGTARGETSESSIONATTRS",
            "PGLOADBALANCEHOSTS",
        ];
        Environment { set, unset }
    }

    /// A line to paste into a shell.
    pub(super) fn line(&self) -> String {
        let part = |name: &str, value: &str| format!("{name}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"));
        let whole = [
            part("host", self.host),
            format!("port={}", self.port),
            part("user", &self.run.user),
            part("dbname", &self.run.target),
            "sslmode=disable".to_owned(),
        ]
        .join(" ");
        format!("PGPASSWORD={} psql {}", self.password, shell(&plain(&whole)))
    }

    /// The same for programs.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "host": self.host,
            "port": self.port,
            "user": self.run.user,
            "database": self.run.target,
            "password": self.password,
            "sslmode": "disable",
        })
    }
}

/// Without the quotes that no value needs.
fn plain(whole: &str) -> String {
    let needs = whole.split('\'').skip(1).step_by(2).any(|v| v.is_empty() || v.contains([' ', '\\', '=']));
    if needs || whole.contains("\\'") { whole.to_owned() } else { whole.replace('\'', "") }
}

/// One word of a shell.
fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
#[path = "postgres_tests.rs"]
mod tests;
