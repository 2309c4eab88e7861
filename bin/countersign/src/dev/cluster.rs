//! The throwaway PostgreSQL cluster `shop`: made, started, filled and stopped. It serves `countersign dev` alone and must never
//! touch a cluster that it did not make.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::failed::Failed;

/// The account that the cluster runs under when we are root, because PostgreSQL refuses to be.
const SERVER_USER: &str = "postgres";

/// How long the cluster may take to start or stop.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// The schema and the data.
const SHOP_SQL: &str = include_str!("../../../../demo/shop.sql");

/// Passwords of the target's roles, as `shop.sql` names them.
pub(super) const ROLES: [&str; 3] = ["shop_reader", "shop_writer", "shop_admin"];

/// The programs of one PostgreSQL installation.
struct Programs {
    bin: PathBuf,
}

impl Programs {
    /// The newest installation.
    fn find() -> Result<Self, Failed> {
        let mut found: Vec<(u32, PathBuf)> = Vec::new();
        for entry in fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
            let bin = entry.path().join("bin");
            let version = entry.file_name().to_str().and_then(|v| v.parse().ok());
            if let (Some(version), true) = (version, bin.join("initdb").exists()) {
                found.push((version, bin));
            }
        }
        if let Some((_, bin)) = found.into_iter().max() {
            return Ok(Self { bin });
        }
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&paths).find(|d| d.join("initdb").exists() && d.join("postgres").exists());
        on_path.map(|bin| Self { bin }).ok_or_else(|| {
            Failed::new(
                "PostgreSQL's server programs are missing: install the package \"postgresql\" (./quickstart does)",
            )
        })
    }
}

/// A cluster in a folder.
pub(super) struct Cluster {
    programs: Programs,
    /// Where its data and socket are.
    home: PathBuf,
    port: u16,
    server: Option<Child>,
    as_root: bool,
}

impl Cluster {
    /// The cluster of this data folder, made when it is not there.
    pub(super) fn prepare(data_dir: &Path, port: u16) -> Result<Self, Failed> {
        let programs = Programs::find()?;
        let as_root = is_root();
        let home = home_for(data_dir, as_root)?;
        let cluster = Self { programs, home, port, server: None, as_root };
        if !cluster.data().join("PG_VERSION").exists() {
            cluster.initdb()?;
        }
        Ok(cluster)
    }

    /// The account that it runs under.
    pub(super) fn server_user(&self) -> String {
        if self.as_root { SERVER_USER.to_owned() } else { user_name() }
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// The folder of its data, certificate and socket.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// True until the data is in.
    pub(super) fn is_new(&self) -> bool {
        !self.home.join("seeded").exists()
    }

    /// A program of the installation, under the account that the cluster runs under.
    fn program(&self, name: &str) -> Command {
        self.command(&self.programs.bin.join(name))
    }

    /// Another program, under the same account.
    pub(super) fn command(&self, path: &Path) -> Command {
        let mut command = if self.as_root {
            let mut c = Command::new("setpriv");
            c.args(["--reuid", SERVER_USER, "--regid", SERVER_USER, "--init-groups", "--pdeathsig", "INT", "--"])
                .arg(path);
            c
        } else {
            Command::new(path)
        };
        // Locale and connection settings of the caller must not reach the cluster.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("PG") || name.starts_with("LC_") || name == "LANG" {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C.UTF-8").current_dir(&self.home).stdin(Stdio::null()).process_group(0);
        command
    }

    fn initdb(&self) -> Result<(), Failed> {
        let mut initdb = self.program("initdb");
        initdb.args(["--auth-local=peer", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]);
        initdb.args(["--username", "postgres", "--no-sync", "--pgdata"]).arg(self.data());
        run(initdb, "initdb")?;
        let mut conf = fs::OpenOptions::new().append(true).open(self.data().join("postgresql.conf"))?;
        let socket_dir = self.home.to_string_lossy().replace('\'', "''");
        writeln!(
            conf,
            "\n# Written by `countersign dev`.\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{socket_dir}'\n\
             ssl = on\nssl_cert_file = '../server.pem'\nssl_key_file = '../server.key'\npassword_encryption = 'scram-sha-256'\n\
             max_connections = 200\nfsync = off\nlog_min_messages = warning\nshared_preload_libraries = ''"
        )?;
        Ok(())
    }

    /// The only ways in: the gateway's accounts, over TLS, with passwords that only the gateway knows; and the operator of this
    /// machine over the socket. This is the rule that closes the path around the gateway.
    fn write_hba(&self) -> Result<(), Failed> {
        let map = if self.as_root { " map=operator" } else { "" };
        fs::write(
            self.data().join("pg_hba.conf"),
            format!(
                "# Written by `countersign dev`: nobody reaches this database but through the gateway.\n\
                 hostssl  all  {roles}  127.0.0.1/32  scram-sha-256\n\
                 local    all  postgres                peer{map}\n\
                 host     all  all  all                reject\n",
                roles = ROLES.join(","),
            ),
        )?;
        let user = if self.as_root { "root".to_owned() } else { user_name() };
        fs::write(
            self.data().join("pg_ident.conf"),
            format!("operator  {user}  postgres\noperator  {SERVER_USER}  postgres\n"),
        )?;
        if !self.as_root && user != "postgres" {
            let hba = fs::read_to_string(self.data().join("pg_hba.conf"))?;
            fs::write(self.data().join("pg_hba.conf"), hba.replace("peer\n", "peer map=operator\n"))?;
        }
        self.own(&self.data().join("pg_hba.conf"))?;
        self.own(&self.data().join("pg_ident.conf"))
    }

    /// Gives a file to the account that the cluster runs under.
    pub(super) fn own(&self, path: &Path) -> Result<(), Failed> {
        if self.as_root {
            let (uid, gid) = server_ids()?;
            chown(path, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    /// Starts it and waits until it answers.
    pub(super) fn start(&mut self) -> Result<(), Failed> {
        self.write_hba()?;
        let log = fs::OpenOptions::new().create(true).append(true).open(self.home.join("postgres.log"))?;
        let mut server = self.program("postgres");
        server.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        server.stdout(log.try_clone()?).stderr(log);
        self.server =
            Some(server.spawn().map_err(|e| Failed::new(format!("the cluster \"shop\" could not be started: {e}")))?);
        let begun = Instant::now();
        while !self.answers() {
            let ended = self.server.as_mut().is_some_and(|s| matches!(s.try_wait(), Ok(Some(_))));
            if ended || begun.elapsed() > START_TIMEOUT {
                let log = fs::read_to_string(self.home.join("postgres.log")).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                return Err(Failed::new(format!(
                    "the cluster \"shop\" did not start; its log ({}) ends with:\n{}",
                    self.home.join("postgres.log").display(),
                    last.into_iter().rev().collect::<Vec<_>>().join("\n")
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn answers(&self) -> bool {
        let mut ready = self.program("pg_isready");
        ready.arg("-q").arg("-h").arg(&self.home).args(["-p", &self.port.to_string()]);
        ready.status().is_ok_and(|s| s.success())
    }

    /// Runs SQL as the cluster's owner over its socket; the rows come back without headings.
    pub(super) fn sql(&self, database: &str, variables: &[(&str, &str)], text: &str) -> Result<String, Failed> {
        let mut psql = self.program("psql");
        psql.arg("-h").arg(&self.home).args(["-p", &self.port.to_string(), "-U", "postgres", "-d", database]);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = psql.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // By its input, so that no password shows in the list of processes.
            for (name, value) in variables {
                writeln!(stdin, "\\set {name} '{}'", value.replace('\'', "''"))?;
            }
            // A writer that fails is a psql that stopped: its own words follow below.
            let _ = stdin.write_all(text.as_bytes());
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Failed::new(format!("psql said: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }

    /// Makes the database and its data, once. `passwords` are those of [`ROLES`].
    pub(super) fn seed(&self, passwords: &[String; 3]) -> Result<(), Failed> {
        if !self.is_new() {
            return Ok(());
        }
        self.sql("postgres", &[], "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop;")?;
        let [reader, writer, admin] = passwords;
        let variables = [("reader_password", &**reader), ("writer_password", &**writer), ("admin_password", &**admin)];
        self.sql("shop", &variables, SHOP_SQL)?;
        fs::write(self.home.join("seeded"), "")?;
        Ok(())
    }

    /// Stops it: first politely, then not.
    pub(super) fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            // PostgreSQL's fast shutdown.
            super::stop(server, "-INT", STOP_TIMEOUT);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The folder for the cluster: within the data folder, or, where the server's account cannot get there, in `/var/tmp` with a link.
fn home_for(data_dir: &Path, as_root: bool) -> Result<PathBuf, Failed> {
    let link = data_dir.join("shop");
    if let Ok(target) = fs::read_link(&link)
        && target.exists()
    {
        return Ok(target);
    }
    if link.is_dir() {
        return Ok(fs::canonicalize(link)?);
    }
    if !as_root {
        fs::create_dir_all(&link)?;
        fs::set_permissions(&link, fs::Permissions::from_mode(0o700))?;
        return Ok(fs::canonicalize(link)?);
    }
    let (uid, gid) = server_ids()?;
    let _ = fs::remove_file(&link);
    let home = Path::new("/var/tmp").join(format!("countersign-shop-{}", random_word()?));
    fs::create_dir(&home)?;
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700))?;
    chown(&home, Some(uid), Some(gid))?;
    symlink(&home, &link)?;
    Ok(home)
}

fn random_word() -> Result<String, Failed> {
    use std::io::Read as _;
    let mut bytes = [0; 8];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

fn user_name() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "postgres".to_owned())
}

/// User and group id of the server's account.
fn server_ids() -> Result<(u32, u32), Failed> {
    let passwd = fs::read_to_string("/etc/passwd")?;
    let line = passwd.lines().find_map(|l| l.strip_prefix(SERVER_USER)?.strip_prefix(':'));
    let mut fields = line.unwrap_or_default().split(':').skip(1).map(str::parse);
    match (fields.next(), fields.next()) {
        (Some(Ok(uid)), Some(Ok(gid))) => Ok((uid, gid)),
        _ => Err(Failed::new(
            "we are root, and PostgreSQL refuses to be: its account \"postgres\" is missing (the package \"postgresql\" brings it)",
        )),
    }
}

fn run(mut command: Command, what: &str) -> Result<(), Failed> {
    let output =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().map_err(|e| cannot_run(&command, &e))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failed::new(format!("{what} failed: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

fn cannot_run(command: &Command, e: &io::Error) -> Failed {
    let program = command.get_program();
    let missing = if program == OsStr::new("setpriv") { " (package \"util-linux\")" } else { "" };
    Failed::new(format!("{} could not be run{missing}: {e}", program.to_string_lossy()))
}
