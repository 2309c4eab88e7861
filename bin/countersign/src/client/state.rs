//! What a login leaves on this machine: one folder for each gateway below `$XDG_CONFIG_HOME/countersign`, for its owner alone.
//!
//! Files are written whole or not at all, and are not used when somebody else could have read or written them.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use countersign_model::{Secret, Timestamp};
use reqwest::Url;
use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};

use super::http::{Credential, Trust, check_url};
use super::key::LoginKey;
use super::workload::Source;
use crate::commands::text::inert;
use crate::failed::Failed;

/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How long a command waits for another one that changes the same state; longer than an exchange takes.
const LOCK_WAIT: Duration = Duration::from_secs(90);
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// The form of `login.json`; another one is not guessed at.
const VERSION: u32 = 1;

const FACTS: &str = "login.json";
const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";
const AUTHORITIES: &str = "ca.pem";
const REFRESH: &str = "refresh-token";
const SSH_CERTIFICATE: &str = "ssh-certificate.pub";
/// OpenSSH looks for the public half of a key under this name, and joins key and certificate by it.
const SSH_PUBLIC: &str = "key.pem.pub";
const KNOWN_HOSTS: &str = "known_hosts";
const LAST: &str = "last";
const LOCK: &str = "lock";

/// Who logged in, as the gateway said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Who {
    /// The name, which clients give as their user name.
    pub(crate) name: String,
    /// `human`, `machine` or `agent`.
    pub(crate) kind: String,
    /// Groups after mapping.
    #[serde(default)]
    pub(crate) groups: Vec<String>,
}

/// Where a protocol is spoken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listener {
    /// Its name, such as `postgres`.
    pub(crate) protocol: String,
    /// Host and port, as the gateway says.
    pub(crate) address: String,
}

/// Where the token of a login comes from, for the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// A person, at this issuer.
    Person {
        /// The issuer's label at the gateway.
        label: String,
    },
    /// A workload.
    Workload {
        /// Where its token is found.
        from: Source,
        /// What the gateway's tokens are for.
        audience: String,
    },
}

/// The facts of a login; no secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    version: u32,
    /// The gateway's URL.
    pub(crate) gateway: String,
    /// The system's authorities are trusted besides those of `ca.pem`.
    pub(crate) system_authorities: bool,
    /// Where its token came from.
    pub(crate) origin: Origin,
    /// Who it is.
    pub(crate) identity: Who,
    /// The login's id.
    pub(crate) login: String,
    /// When the login ends, in Unix seconds by this machine's clock.
    pub(crate) login_ends: i64,
    /// When the certificate was issued and when it ends, in Unix seconds by this machine's clock.
    pub(crate) certificate_issued: i64,
    /// See `certificate_issued`.
    pub(crate) certificate_ends: i64,
    /// The gateway gives another certificate for this one.
    pub(crate) renewable: bool,
    /// Where protocols are spoken.
    pub(crate) listeners: Vec<Listener>,
    /// The public key, as a line, that signed the host keys of the gateway's SSH listeners; `None` where it has none.
    #[serde(default)]
    pub(crate) ssh_host_authority: Option<String>,
}

impl Facts {
    /// The facts of a login at this gateway, of which nothing else is known yet.
    pub(crate) fn new(gateway: &Url, system_authorities: bool, origin: Origin) -> Self {
        Self {
            version: VERSION,
            gateway: gateway.as_str().to_owned(),
            system_authorities,
            origin,
            identity: Who::default(),
            login: String::new(),
            login_ends: 0,
            certificate_issued: 0,
            certificate_ends: 0,
            renewable: false,
            listeners: Vec::new(),
            ssh_host_authority: None,
        }
    }

    /// The gateway's URL, checked again: the file may have been edited.
    pub(crate) fn url(&self) -> Result<Url, Failed> {
        check_url(&self.gateway).map_err(Failed::new)
    }

    /// How long the certificate is still good; zero when it has ended.
    pub(crate) fn certificate_left(&self, now: Timestamp) -> Duration {
        left(self.certificate_ends, now)
    }

    /// How long the certificate is good for from its issue on.
    pub(crate) fn certificate_life(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.certificate_ends.saturating_sub(self.certificate_issued)).unwrap_or(0))
    }

    /// How long the login still lasts.
    pub(crate) fn login_left(&self, now: Timestamp) -> Duration {
        left(self.login_ends, now)
    }
}

fn left(ends_s: i64, now: Timestamp) -> Duration {
    Duration::from_micros(Timestamp::from_unix_s(ends_s).since_us(now))
}

/// A login with its secrets.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// What is known of it.
    pub(crate) facts: Facts,
    /// The certificate chain and the key.
    pub(crate) credential: Credential,
    /// Authorities that were given, or that the gateway named.
    pub(crate) authorities: String,
    /// The refresh token, if the issuer gave one.
    pub(crate) refresh: Option<Secret>,
    /// The certificate in OpenSSH's form, as a line, if the gateway gave one.
    pub(crate) ssh_certificate: Option<String>,
}

impl Login {
    /// Whom this login trusts to be its gateway.
    pub(crate) fn trust(&self) -> Trust {
        Trust { pem: self.authorities.clone(), system: self.facts.system_authorities }
    }
}

/// The folder of one gateway's login.
#[derive(Clone, Debug)]
pub(crate) struct State {
    dir: PathBuf,
}

/// Held while the state of one gateway is changed; other commands wait.
#[derive(Debug)]
pub(crate) struct Held {
    /// The lock goes with the file.
    _file: File,
}

impl State {
    /// The folder for this gateway.
    pub(crate) fn of(gateway: &Url) -> Result<Self, Failed> {
        Ok(Self { dir: base()?.join(folder_name(gateway)) })
    }

    /// The folder for this gateway, below another base.
    #[cfg(test)]
    pub(crate) fn below(base: &Path, gateway: &Url) -> Self {
        Self { dir: base.join(folder_name(gateway)) }
    }

    /// Where it is, for people.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until no other command changes this state.
    pub(crate) async fn hold(&self) -> Result<Held, Failed> {
        self.hold_within(LOCK_WAIT).await
    }

    async fn hold_within(&self, wait: Duration) -> Result<Held, Failed> {
        private_folder(&self.dir)?;
        let path = self.dir.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(no_follow())
            .open(&path)
            .map_err(|e| at(&path, &e))?;
        let began = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Held { _file: file }),
                Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < wait => {
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(Failed::new(format!("another command holds {}: is it stuck?", path.display())));
                }
                Err(e) => return Err(at(&path, &e.into())),
            }
        }
    }

    /// The login that is kept here; `None` when there is none.
    pub(crate) fn load(&self) -> Result<Option<Login>, Failed> {
        if !self.dir.exists() {
            return Ok(None);
        }
        check_folder(&self.dir)?;
        let Some(facts) = self.read(FACTS)? else { return Ok(None) };
        let path = self.dir.join(FACTS);
        let broken =
            |what: String| Failed::new(format!("{}: {what}: log in again with `countersign login`", path.display()));
        let facts: Facts = serde_json::from_slice(facts.expose()).map_err(|e| broken(inert(&e.to_string())))?;
        if facts.version != VERSION {
            return Err(broken(format!("version {} is not known", facts.version)));
        }
        let text = |name: &str| -> Result<Option<String>, Failed> {
            let Some(bytes) = self.read(name)? else { return Ok(None) };
            bytes.expose_str().map(|t| Some(t.to_owned())).ok_or_else(|| broken(format!("{name} is no text")))
        };
        let missing = |name: &str| broken(format!("{name} is missing beside it"));
        let credential = Credential {
            chain: text(CERTIFICATE)?.ok_or_else(|| missing(CERTIFICATE))?,
            key: self.read(KEY)?.ok_or_else(|| missing(KEY))?,
        };
        let authorities = text(AUTHORITIES)?.unwrap_or_default();
        let ssh_certificate = text(SSH_CERTIFICATE)?;
        Ok(Some(Login { facts, credential, authorities, refresh: self.read(REFRESH)?, ssh_certificate }))
    }

    /// Keeps a login in the place of what was there. The facts come last: without them there is no login.
    pub(crate) fn keep(&self, _held: &Held, login: &Login) -> Result<(), Failed> {
        let facts = serde_json::to_string_pretty(&login.facts).map_err(Failed::new)?;
        let same_key = self.read(KEY)?.is_some_and(|k| k.expose() == login.credential.key.expose());
        if !same_key {
            // A reader in between must not put the old certificate together with the new key.
            self.remove(FACTS)?;
            self.write(KEY, login.credential.key.expose())?;
        }
        self.write(CERTIFICATE, login.credential.chain.as_bytes())?;
        self.write(AUTHORITIES, login.authorities.as_bytes())?;
        match &login.refresh {
            Some(token) => self.write(REFRESH, token.expose())?,
            None => self.remove(REFRESH)?,
        }
        match &login.ssh_certificate {
            Some(line) => {
                let key = LoginKey::from_pem(login.credential.key.expose_str().unwrap_or_default())?;
                self.write(SSH_PUBLIC, key.ssh_public().as_bytes())?;
                self.write(SSH_CERTIFICATE, line.as_bytes())?;
            }
            None => self.remove(SSH_CERTIFICATE)?,
        }
        self.write(FACTS, facts.as_bytes())?;
        if let Some(base) = self.dir.parent() {
            write(base, LAST, login.facts.gateway.as_bytes())?;
        }
        Ok(())
    }

    /// The files that SSH clients are pointed at: the key, its certificate, and the hosts that are known.
    pub(crate) fn ssh_files(&self) -> [PathBuf; 3] {
        [KEY, SSH_CERTIFICATE, KNOWN_HOSTS].map(|name| self.dir.join(name))
    }

    /// Keeps what SSH clients know hosts by.
    pub(crate) fn keep_known_hosts(&self, _held: &Held, text: &str) -> Result<(), Failed> {
        self.write(KNOWN_HOSTS, text.as_bytes())
    }

    /// Forgets the login.
    pub(crate) fn forget(&self, _held: &Held) -> Result<(), Failed> {
        let all = [FACTS, REFRESH, KEY, CERTIFICATE, AUTHORITIES, SSH_CERTIFICATE, SSH_PUBLIC, KNOWN_HOSTS];
        all.into_iter().try_for_each(|name| self.remove(name))
    }

    fn read(&self, name: &str) -> Result<Option<Secret>, Failed> {
        read(&self.dir.join(name))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failed> {
        write(&self.dir, name, bytes)
    }

    fn remove(&self, name: &str) -> Result<(), Failed> {
        let path = self.dir.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(&path, &e)),
            _ => Ok(()),
        }
    }
}

/// The gateway that was logged in to at last; `None` when there was none.
pub(crate) fn last() -> Result<Option<String>, Failed> {
    let base = base()?;
    if !base.exists() {
        return Ok(None);
    }
    check_folder(&base)?;
    let kept = read(&base.join(LAST))?;
    Ok(kept.and_then(|k| k.expose_str().map(|t| t.trim().to_owned())).filter(|t| !t.is_empty()))
}

/// `$XDG_CONFIG_HOME/countersign`, or `~/.config/countersign`. Relative paths do not count, as the XDG base directory specification says.
fn base() -> Result<PathBuf, Failed> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    let config =
        config.ok_or_else(|| Failed::new("neither XDG_CONFIG_HOME nor HOME is set: there is no place for a login"))?;
    Ok(config.join("countersign"))
}

/// Host and port as the name of a folder. Hosts of URLs hold no `/`; the `:` of IPv6 addresses and ports becomes `_`.
fn folder_name(gateway: &Url) -> String {
    let host = gateway.host_str().unwrap_or_default();
    let port = gateway.port_or_known_default().unwrap_or_default();
    let path = gateway.path().trim_matches('/');
    let name = if path.is_empty() { format!("{host}:{port}") } else { format!("{host}:{port}:{path}") };
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' }).collect()
}

fn at(path: &Path, e: &io::Error) -> Failed {
    Failed::new(format!("{}: {e}", path.display()))
}

fn no_follow() -> i32 {
    i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

/// Makes the folder, and those above it, for their owner alone; one that is there must be so already.
fn private_folder(dir: &Path) -> Result<(), Failed> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| at(dir, &e))?;
    check_folder(dir)
}

fn check_folder(dir: &Path) -> Result<(), Failed> {
    let meta = fs::symlink_metadata(dir).map_err(|e| at(dir, &e))?;
    if !meta.is_dir() {
        return Err(Failed::new(format!("{} is no folder", dir.display())));
    }
    check_private(dir, &meta, "0700")
}

/// Ours, and nobody else's.
fn check_private(path: &Path, meta: &fs::Metadata, mode: &str) -> Result<(), Failed> {
    let shown = path.display();
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(Failed::new(format!("{shown} belongs to another user: it is not used")));
    }
    if meta.mode() & 0o077 != 0 {
        let is = meta.mode() & 0o777;
        return Err(Failed::new(format!(
            "{shown} is open to others (mode {is:04o}): it is not used. What is in it may be known to others: log in again \
             after `chmod {mode} {shown}`"
        )));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Option<Secret>, Failed> {
    let file = match OpenOptions::new().read(true).custom_flags(no_follow()).open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| at(path, &e))?,
    };
    let meta = file.metadata().map_err(|e| at(path, &e))?;
    if !meta.is_file() {
        return Err(Failed::new(format!("{} is no ordinary file", path.display())));
    }
    check_private(path, &meta, "0600")?;
    if meta.len() > FILE_BYTES_MAX {
        return Err(Failed::new(format!("{} is longer than {FILE_BYTES_MAX} bytes", path.display())));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|e| at(path, &e))?;
    Ok(Some(Secret::new(bytes)))
}

/// Writes beside the place, then moves into it: a reader sees the old file or the new one.
fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Failed> {
    let (path, new) = (dir.join(name), dir.join(format!("{name}.{}.new", std::process::id())));
    // Left by a command of the same number that was cut off.
    let _ = fs::remove_file(&new);
    let written = (|| {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, &path)
    })();
    written.map_err(|e| {
        let _ = fs::remove_file(&new);
        at(&path, &e)
    })
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
