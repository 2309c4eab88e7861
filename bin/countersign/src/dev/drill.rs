//! The stolen-token drill of `countersign dev --check`: a CI job logs in as it would in real life, and a thief tries whatever can be
//! copied from it. It must never reach into the gateway: both use its doors, as anybody could.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use countersign_identity::local::{GithubJob, LocalIssuer};
use countersign_model::Secret;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::{Place, identities};
use crate::clock;
use crate::failed::Failed;
use crate::house::Cellar;

/// The longest request line or header that the CI system's token service reads, in bytes.
const LINE_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;
/// How long a job's token lives, in seconds.
const TOKEN_LIFETIME_S: u64 = 600;

/// The CI system's token service, as GitHub's: a running job asks it for a token and names the audience.
pub(super) struct TokenService {
    url: String,
    request_token: String,
    given: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl TokenService {
    /// Starts it, for one job.
    pub(super) async fn start(cellar: &Cellar, job: GithubJob) -> Result<Self, Failed> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}/token?api-version=2.0", listener.local_addr()?);
        let request_token: String = identities::random::<16>()?.iter().map(|b| format!("{b:02x}")).collect();
        let issuer = identities::ci_issuer(cellar).await?;
        let given: Arc<Mutex<Vec<String>>> = Arc::default();
        let (expected, kept) = (format!("authorization: bearer {request_token}"), given.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Err(e) = answer(stream, &issuer, &job, &expected, &kept).await {
                    tracing::warn!("the CI system's token service: {e}");
                }
            }
        });
        Ok(Self { url, request_token, given, task })
    }

    /// The token that it gave last: what a thief finds in the job's memory or log.
    pub(super) fn last(&self) -> String {
        self.given.lock().ok().and_then(|g| g.last().cloned()).unwrap_or_default()
    }

    fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("ACTIONS_ID_TOKEN_REQUEST_URL", self.url.clone()),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", self.request_token.clone()),
        ]
    }
}

impl Drop for TokenService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    stream: tokio::net::TcpStream,
    issuer: &LocalIssuer,
    job: &GithubJob,
    authorization: &str,
    given: &Mutex<Vec<String>>,
) -> Result<(), Failed> {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    for _ in 0..HEADERS_MAX {
        let mut line = String::new();
        // One byte more than fits, so that a longer line shows.
        let mut limited = tokio::io::AsyncReadExt::take(&mut stream, LINE_BYTES_MAX as u64 + 1);
        limited.read_line(&mut line).await?;
        let line = line.trim_end().to_owned();
        if line.is_empty() || line.len() > LINE_BYTES_MAX {
            break;
        }
        lines.push(line);
    }
    let asked = lines.first().and_then(|l| l.split(' ').nth(1)).and_then(|path| path.split_once('?'));
    let audience = asked.and_then(|(_, query)| query.split('&').find_map(|pair| pair.strip_prefix("audience=")));
    let allowed = lines.iter().any(|l| l.eq_ignore_ascii_case(authorization));
    let (status, body) = match audience.filter(|_| allowed) {
        None => ("401 Unauthorized", "{}".to_owned()),
        Some(audience) => {
            // Of what is escaped in a query, only this occurs in an audience here.
            let audience = audience.replace("%23", "#");
            let token = identities::job_token(issuer, job, Some(audience), TOKEN_LIFETIME_S, clock::now())?;
            let token = token.expose_str().unwrap_or_default().to_owned();
            if let Ok(mut given) = given.lock() {
                given.push(token.clone());
            }
            ("200 OK", serde_json::json!({ "value": token }).to_string())
        }
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
    stream.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

/// Somebody's machine: a folder of its own for what `countersign login` keeps.
pub(super) struct Machine<'a> {
    place: &'a Place,
    home: PathBuf,
}

impl<'a> Machine<'a> {
    /// A fresh one.
    pub(super) fn new(place: &'a Place, name: &str) -> Result<Self, Failed> {
        let home = place.dir.join("machines").join(name);
        if home.exists() {
            std::fs::remove_dir_all(&home)?;
        }
        super::make_private_folder(&home)?;
        Ok(Self { place, home })
    }

    fn gateway(&self) -> String {
        format!("https://localhost:{}", self.place.api_port)
    }

    /// Where the certificate and its key are.
    pub(super) fn login_folder(&self) -> PathBuf {
        self.home.join("countersign").join(format!("localhost_{}", self.place.api_port))
    }

    /// What `countersign ssh-config` prints there for a target, in a file.
    pub(super) async fn ssh_config(&self, target: &str) -> Result<PathBuf, Failed> {
        let output = self.run(&["ssh-config", target], &[]).await?;
        if !output.status.success() {
            return Err(Failed::new(format!("countersign ssh-config: {}", said(&output))));
        }
        let path = self.home.join("ssh_config");
        std::fs::write(&path, output.stdout)?;
        Ok(path)
    }

    /// Has a program run as if it were there.
    pub(super) fn as_here(&self, command: &mut Command) {
        command.env("XDG_CONFIG_HOME", &self.home);
    }

    /// Runs this program there.
    async fn run(&self, arguments: &[&str], environment: &[(&'static str, String)]) -> Result<Output, Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["PG", "COUNTERSIGN_", "ACTIONS_"].iter().any(|p| name.starts_with(p)) {
                command.env_remove(name);
            }
        }
        self.as_here(&mut command);
        command.args(arguments).envs(environment.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::null());
        // The gateway's own doors are served by this thread.
        let output = tokio::task::spawn_blocking(move || command.output()).await.map_err(Failed::new)?;
        Ok(output?)
    }

    /// A command of somebody who has logged in there.
    pub(super) async fn countersign(&self, arguments: &[&str]) -> Result<Output, Failed> {
        self.run(arguments, &[]).await
    }

    /// `countersign login --workload`, asking the CI system for a token that is good with the key made here alone.
    pub(super) async fn login_as_job(&self, service: &TokenService) -> Result<Output, Failed> {
        self.login(&[], &service.environment()).await
    }

    /// `countersign login --workload` with a token that somebody has.
    pub(super) async fn login_with(&self, token: &str) -> Result<Output, Failed> {
        self.login(&["--token-env", "TOKEN"], &[("TOKEN", token.to_owned())]).await
    }

    async fn login(&self, more: &[&str], environment: &[(&'static str, String)]) -> Result<Output, Failed> {
        let (gateway, ca) = (self.gateway(), self.place.ca());
        let ca = ca.to_string_lossy().into_owned();
        let arguments = [&["login", "--workload", "--gateway", gateway.as_str(), "--ca", ca.as_str()], more].concat();
        self.run(&arguments, environment).await
    }

    /// `countersign whoami`.
    pub(super) async fn whoami(&self) -> Result<Output, Failed> {
        self.run(&["whoami"], &[]).await
    }

    /// `countersign connect shop -- psql …`.
    pub(super) async fn connect(&self, sql: &str) -> Result<Output, Failed> {
        self.run(&["connect", "shop", "--", "psql", "-X", "-A", "-t", "-v", "VERBOSITY=verbose", "-c", sql], &[]).await
    }

    /// `countersign logout`.
    pub(super) async fn logout(&self) -> Result<Output, Failed> {
        self.run(&["logout"], &[]).await
    }

    /// What a thief copies who has been on the machine itself: certificate and key.
    pub(super) fn keep(&self, victim: &Path) -> Result<PathBuf, Failed> {
        let folder = self.home.join("kept");
        super::make_private_folder(&folder)?;
        for name in ["certificate.pem", "key.pem"] {
            std::fs::copy(victim.join(name), folder.join(name))?;
        }
        Ok(folder)
    }

    /// What a thief makes of a copied certificate: it, with a key of their own.
    pub(super) fn copy_certificate_of(&self, victim: &Path) -> Result<PathBuf, Failed> {
        let folder = self.home.join("copied");
        super::make_private_folder(&folder)?;
        std::fs::copy(victim.join("certificate.pem"), folder.join("certificate.pem"))?;
        let key = rcgen::KeyPair::generate().map_err(Failed::new)?;
        crate::certificates::write_private(&folder.join("key.pem"), key.serialize_pem().as_bytes())?;
        Ok(folder)
    }
}

/// Tokens that a thief bends: what is said of each, and the token.
pub(super) async fn bent(cellar: &Cellar, token: &str) -> Result<Vec<(&'static str, String)>, Failed> {
    let issuer = identities::ci_issuer(cellar).await?;
    let job = GithubJob::example();
    let now = clock::now();
    let mint = |audience: Option<&str>, at| -> Result<String, Failed> {
        let token = identities::job_token(&issuer, &job, audience.map(str::to_owned), TOKEN_LIFETIME_S, at)?;
        Ok(token.expose_str().unwrap_or_default().to_owned())
    };
    let two_hours_us = 7_200_000_000;
    let past = countersign_model::Timestamp::from_unix_us(now.unix_us() - two_hours_us);
    Ok(vec![
        ("a token of the job that has expired", mint(None, past)?),
        ("a token of the job for another gateway", mint(Some("https://other-gateway.example"), now)?),
        ("the token with alg=none", with_header(token, r#"{"alg":"none","typ":"JWT"}"#, Some(""))),
        ("the token with alg=HS256, signed with the public key", with_hmac(token, &issuer.jwks().body)),
        (
            "the token with a kid that is a path",
            with_header(token, r#"{"alg":"ES256","typ":"JWT","kid":"../../dev/null"}"#, None),
        ),
        (
            "the token with a jku of the thief's",
            with_header(token, r#"{"alg":"ES256","typ":"JWT","jku":"https://thief.example/jwks.json"}"#, None),
        ),
    ])
}

/// The token with another header, and another signature if one is given.
fn with_header(token: &str, header: &str, signature: Option<&str>) -> String {
    let mut parts = token.split('.').skip(1);
    let claims = parts.next().unwrap_or_default();
    let signature = signature.unwrap_or_else(|| parts.next().unwrap_or_default());
    format!("{}.{claims}.{signature}", base64url(header.as_bytes()))
}

/// The token signed symmetrically, with what is published as if it were a shared secret.
fn with_hmac(token: &str, jwks: &str) -> String {
    let unsigned = with_header(token, r#"{"alg":"HS256","typ":"JWT"}"#, Some(""));
    let signed = unsigned.trim_end_matches('.');
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, jwks.as_bytes());
    format!("{signed}.{}", base64url(aws_lc_rs::hmac::sign(&key, signed.as_bytes()).as_ref()))
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// What a command said, in a line for the table: its error, else the first line of its answer.
pub(super) fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let errors = ["FATAL", "ERROR", "countersign: ", "error: "];
    let error = err.lines().find(|l| errors.iter().any(|e| l.contains(e)));
    let error = error.filter(|_| !output.status.success());
    error.or_else(|| out.lines().find(|l| !l.is_empty())).unwrap_or("(nothing)").to_owned()
}

/// A secret as the text that it is.
pub(super) fn plain(secret: &Secret) -> String {
    secret.expose_str().unwrap_or_default().to_owned()
}
