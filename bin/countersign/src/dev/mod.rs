//! `countersign dev`: everything on one machine, to try it. It makes what is missing below its data folder, starts a throwaway
//! database, a throwaway SSH server and a gateway in front of them, and says what to paste.
//!
//! It must never be a second way of running a gateway: it writes an ordinary configuration and runs that.

mod check;
mod cluster;
mod drill;
mod identities;
mod locked;
mod reviewed;
mod server;
mod shell;
mod tour;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use countersign_credentials::create_key_file;
use countersign_model::Secret;

use crate::certificates::Authority;
use crate::cli::{Dev, DevCommand};
use crate::failed::Failed;
use crate::house::{Cellar, load_config};
use crate::{clock, logging, output, serve};
use cluster::{Cluster, ROLES};
use server::Server;

const CONFIG: &str = include_str!("../../../../demo/countersign.toml");
const POLICY: &str = include_str!("../../../../demo/policy.cedar");
const POLICY_TESTS: &str = include_str!("../../../../demo/policy.test.toml");

/// Ports that are tried first, so that what was pasted yesterday works today.
const GATEWAY_PORT: u16 = 6432;
const DATABASE_PORT: u16 = 6433;
const API_PORT: u16 = 7070;
const SSH_PORT: u16 = 6422;
const SERVER_PORT: u16 = 6423;

/// The SSH server's name as a target, and its account's key in the vault.
const SERVER: &str = "web-1";

/// Ends a server of ours: by this signal, and by force when it takes longer than that.
fn stop(mut server: Child, signal: &str, timeout: Duration) {
    // The shell's kill spares us a dependency for one signal.
    let _ = Command::new("kill").args([signal, &server.id().to_string()]).status();
    let begun = Instant::now();
    while begun.elapsed() < timeout {
        if matches!(server.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = server.kill();
    let _ = server.wait();
}

/// Where everything of a demo is.
pub(crate) struct Place {
    /// The data folder.
    pub(crate) dir: PathBuf,
    /// The gateway's port.
    pub(crate) gateway_port: u16,
    /// The database's port.
    pub(crate) database_port: u16,
    /// The port of the HTTP side.
    pub(crate) api_port: u16,
    /// The gateway's port for SSH.
    pub(crate) ssh_port: u16,
    /// The SSH server's port.
    pub(crate) server_port: u16,
}

impl Place {
    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("countersign.toml")
    }

    /// The file of host keys that SSH clients trust.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.dir.join("known_hosts")
    }

    /// The certificate that clients trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.join("gateway-ca.pem")
    }
}

/// `countersign dev`.
pub(crate) async fn run(args: Dev) -> Result<(), Failed> {
    if let Some(DevCommand::Token { name, audience }) = args.command {
        return print_token(&args.data_dir, &name, audience).await;
    }
    let began = Instant::now();
    make_private_folder(&args.data_dir)?;
    let mut dir = fs::canonicalize(&args.data_dir)?;
    if args.check {
        // Beside the demo that a person plays with: what they changed there must not be judged, nor be lost.
        dir.push("check");
        make_private_folder(&dir)?;
        for name in ["countersign.toml", "policy.cedar", "policy.test.toml"] {
            let _ = fs::remove_file(dir.join(name));
        }
    }
    let mut ports = Ports::default();
    // Whoever pasted a line of the last start may use it again.
    let last = fs::read_to_string(dir.join("countersign.toml")).unwrap_or_default();
    let wished = |section, about, key, otherwise| port_in(&last, section, about, key).unwrap_or(otherwise);
    let place = Place {
        gateway_port: ports.free(wished("[[listener]]", "postgres", "address", GATEWAY_PORT))?,
        database_port: ports.free(wished("[[target]]", "shop", "port", DATABASE_PORT))?,
        api_port: ports.free(wished("[api]", "", "address", API_PORT))?,
        ssh_port: ports.free(wished("[[listener]]", "ssh", "address", SSH_PORT))?,
        server_port: ports.free(wished("[[target]]", SERVER, "port", SERVER_PORT))?,
        dir,
    };

    step("the database \"shop\"");
    let mut cluster = Cluster::prepare(&place.dir, place.database_port)?;
    step("keys and configuration");
    let mut server = Server::prepare(&cluster, place.server_port)?;
    prepare_files(&place, &server)?;
    certify_database(&place, &cluster)?;
    ports.release(place.database_port);
    cluster.start()?;
    let loaded = load_config(&place.config())?;
    let config = loaded.config.clone();
    let cellar = Cellar::open(&config).await?;
    let passwords = passwords(&cellar).await?;
    if cluster.is_new() {
        step("the database's data, about 50,000 rows");
    }
    cluster.seed(&passwords)?;
    // A demo of an earlier version has no such target.
    if config.targets.iter().any(|t| t.name.as_str() == SERVER) {
        step("the server \"web-1\"");
        ports.release(place.server_port);
        server.start(&cluster, &account_key(&cellar).await?)?;
        let key = countersign_ssh::public_key(&cellar.ssh_host_authority().await?).map_err(Failed::new)?;
        fs::write(place.known_hosts(), format!("@cert-authority [localhost]:{} {key}\n", place.ssh_port))?;
    }
    // The gateway opens its own.
    drop(cellar);
    step("the gateway");
    let _traces = if args.check {
        // The table is what counts: log lines would tear it apart.
        fs::write(place.dir.join("gateway.log"), "")?;
        logging::to_file(&place.dir.join("gateway.log"))?;
        None
    } else {
        Some(logging::start(&config.telemetry)?)
    };
    identities::prepare(&Cellar::open(&config).await?, &place.dir).await?;
    drop(ports);
    let running = serve::start(loaded).await?;
    output::note(&format!("ready after {:.1} s", began.elapsed().as_secs_f64()));

    if args.check {
        let passed = check::play(&place, &cluster, &server, &running).await;
        running.stop().await;
        server.stop();
        cluster.stop();
        return passed?.then_some(()).ok_or_else(|| Failed::new("not every step came out right: see the table above"));
    }
    tour::print(&place, &running.house.cellar).await?;
    serve::until_stopped(running, &place.config()).await?;
    step("stopping the database and the server");
    server.stop();
    cluster.stop();
    Ok(())
}

fn step(what: &str) {
    output::note(&format!("· {what}"));
}

fn make_private_folder(dir: &Path) -> Result<(), Failed> {
    fs::create_dir_all(dir)?;
    Ok(fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?)
}

/// Ports that nobody listens on, held until they are needed, so that neither this program nor another takes one twice.
#[derive(Default)]
struct Ports(Vec<TcpListener>);

impl Ports {
    fn free(&mut self, wished: u16) -> Result<u16, Failed> {
        let listener = TcpListener::bind(("127.0.0.1", wished)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
        let port = listener.local_addr()?.port();
        self.0.push(listener);
        Ok(port)
    }

    fn release(&mut self, port: u16) {
        self.0.retain(|listener| listener.local_addr().is_ok_and(|held| held.port() != port));
    }
}

/// Configuration, policies and the vault's key. What a person may have changed is left as it is: only the ports are put right.
fn prepare_files(place: &Place, server: &Server) -> Result<(), Failed> {
    let key = place.dir.join("vault.key");
    if !key.exists() {
        create_key_file(&key).map_err(Failed::new)?;
    }
    for (name, text) in [("policy.cedar", POLICY), ("policy.test.toml", POLICY_TESTS)] {
        let path = place.dir.join(name);
        if !path.exists() {
            fs::write(path, text)?;
        }
    }
    let before = fs::read_to_string(place.config()).unwrap_or_else(|_| format!("{CONFIG}{}", identities::CI_ISSUER));
    let after = with_ports(&before, place, server.host_key(), server.user());
    fs::write(place.config(), after)?;
    let jwks = place.dir.join("ci-jwks.json");
    if !jwks.exists() {
        // The keys come once the vault is open; the file must be there for the configuration to be read.
        fs::write(jwks, "{\"keys\":[]}")?;
    }
    let ca = place.dir.join("shop-ca.pem");
    if !ca.exists() {
        fs::write(ca, "")?;
    }
    Ok(())
}

/// The configuration with the ports and keys of this start; every other line as it was.
fn with_ports(text: &str, place: &Place, host_key: &str, user: &str) -> String {
    let mut section = String::new();
    // The target or protocol that the section is about: both are said first.
    let mut about = String::new();
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        if line.starts_with('[') {
            line.trim().clone_into(&mut section);
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let key = key.trim();
        if is_about(&section, key) {
            value.trim().trim_matches('"').clone_into(&mut about);
        }
        let of_server = about == SERVER;
        match (section.as_str(), key) {
            ("[[listener]]", "address") if about == "ssh" => {
                out.push_str(&format!("address = \"127.0.0.1:{}\"", place.ssh_port));
            }
            ("[[target]]", "port") if of_server => out.push_str(&format!("port = {}", place.server_port)),
            ("[[target]]", "host_keys") if of_server => {
                out.push_str(&format!("host_keys = [\"{host_key}\"]"));
            }
            ("[[target.account]]", "user") if of_server => out.push_str(&format!("user = \"{user}\"")),
            ("[[listener]]", "address") => out.push_str(&format!("address = \"127.0.0.1:{}\"", place.gateway_port)),
            ("[api]", "address") => out.push_str(&format!("address = \"127.0.0.1:{}\"", place.api_port)),
            ("[local_issuer]", "url") => out.push_str(&format!("url = \"http://localhost:{}\"", place.api_port)),
            ("[[target]]", "port") => out.push_str(&format!("port = {}", place.database_port)),
            ("[target.tls]", "ca") => out.push_str("ca = \"shop-ca.pem\""),
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// The port at the end of such a line of a configuration: of the listener with this protocol, of the target with this name.
fn port_in(text: &str, section: &str, about: &str, key: &str) -> Option<u16> {
    let (mut inside, mut whose) = ("", "");
    text.lines().find_map(|line| {
        if line.starts_with('[') {
            (inside, whose) = (line.trim(), "");
        }
        let (name, value) = line.split_once('=')?;
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        if is_about(inside, name) {
            whose = value;
        }
        (inside == section && whose == about && name == key).then(|| value.rsplit(':').next()?.parse().ok()).flatten()
    })
}

/// Whether a line says what its section is about; it stands first in it.
fn is_about(section: &str, key: &str) -> bool {
    matches!((section, key), ("[[listener]]", "protocol") | ("[[target]]", "name"))
}

/// The public line of the key that the gateway has an account on the server with; made once and kept in the vault alone.
async fn account_key(cellar: &Cellar) -> Result<String, Failed> {
    let vault =
        cellar.vault.as_ref().ok_or_else(|| Failed::invalid("the demo's configuration has lost its [vault]"))?;
    if !vault.list().await.map_err(Failed::new)?.iter().any(|k| k.name == SERVER) {
        let (fresh, _) = countersign_ssh::new_host_key().map_err(Failed::new)?;
        vault.put(SERVER, &fresh, clock::now()).await.map_err(Failed::new)?;
    }
    let key = vault.fetch(SERVER).await.map_err(Failed::new)?;
    countersign_ssh::public_key(&key).map_err(Failed::new)
}

/// A certificate for the database, and its authority where the gateway looks for it.
fn certify_database(place: &Place, cluster: &Cluster) -> Result<(), Failed> {
    let (certificate, key) = (cluster.home().join("server.pem"), cluster.home().join("server.key"));
    let ca = place.dir.join("shop-ca.pem");
    if certificate.exists() && key.exists() && fs::metadata(&ca).is_ok_and(|m| m.len() > 0) {
        return Ok(());
    }
    let authority = Authority::new("Countersign demo: the database shop")?;
    authority.issue_server(&certificate, &key)?;
    authority.write(&ca)?;
    cluster.own(&certificate)?;
    cluster.own(&key)
}

/// The passwords of the database's roles, made once and kept in the vault alone.
async fn passwords(cellar: &Cellar) -> Result<[String; 3], Failed> {
    let vault =
        cellar.vault.as_ref().ok_or_else(|| Failed::invalid("the demo's configuration has lost its [vault]"))?;
    let known = vault.list().await.map_err(Failed::new)?;
    let mut out: [String; 3] = Default::default();
    for (slot, role) in out.iter_mut().zip(ROLES) {
        if !known.iter().any(|k| k.name == role) {
            let random: [u8; 16] = identities::random()?;
            let word: String = random.iter().map(|b| format!("{b:02x}")).collect();
            vault.put(role, &Secret::from(word), clock::now()).await.map_err(Failed::new)?;
        }
        let secret = vault.fetch(role).await.map_err(Failed::new)?;
        secret.expose_str().unwrap_or_default().clone_into(slot);
    }
    Ok(out)
}

async fn print_token(data_dir: &Path, name: &str, audience: Option<String>) -> Result<(), Failed> {
    let path = data_dir.join("countersign.toml");
    if !path.exists() {
        return Err(Failed::not_found(format!(
            "there is no demo in {}: start it with `countersign dev`",
            data_dir.display()
        )));
    }
    let config = load_config(&path)?.config;
    let cellar = Cellar::open(&config).await?;
    let token = identities::token(&cellar, name, audience).await?;
    output::say(token.expose_str().unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_those_of_the_last_start() {
        let place = Place {
            gateway_port: 40_001,
            database_port: 40_002,
            api_port: 40_003,
            ssh_port: 40_004,
            server_port: 40_005,
            dir: "/nowhere".into(),
        };
        let text = with_ports(CONFIG, &place, "ssh-ed25519 AAAA", "ops");
        assert_eq!(port_in(&text, "[[listener]]", "postgres", "address"), Some(40_001));
        assert_eq!(port_in(&text, "[[listener]]", "ssh", "address"), Some(40_004));
        assert_eq!(port_in(&text, "[[target]]", SERVER, "port"), Some(40_005));
        assert!(
            text.contains("host_keys = [\"ssh-ed25519 AAAA\"]")
                && text.contains("user = \"ops\"")
                && text.contains("user = \"shop_admin\"")
        );
        assert_eq!(port_in(&text, "[[target]]", "shop", "port"), Some(40_002));
        assert_eq!(port_in(&text, "[api]", "", "address"), Some(40_003));
        assert_eq!(port_in("", "[api]", "", "address"), None);
        assert_eq!(port_in("[api]\naddress = \"127.0.0.1:http\"", "[api]", "", "address"), None);
    }
}
