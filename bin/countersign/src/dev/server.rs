//! The throwaway SSH server `web-1`: made, started and stopped. It is OpenSSH's own, without privileges, on this machine alone. It serves
//! `countersign dev` and must never touch the system's server.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use crate::failed::Failed;

/// How long it may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long it gets to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// Where systems keep the program; it is not on everybody's path.
const PROGRAMS: [&str; 3] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"];
/// What people and jobs do there: a program of the shop's.
const SHOPCTL: &str = include_str!("../../../../demo/shopctl");

/// A server in a folder.
pub(super) struct Server {
    home: PathBuf,
    port: u16,
    host_key: String,
    user: String,
    process: Option<Child>,
}

impl Server {
    /// The server of this demo, made when it is not there. It runs under the account that the cluster runs under.
    pub(super) fn prepare(cluster: &Cluster, port: u16) -> Result<Self, Failed> {
        let home = cluster.home().join("web-1");
        let bin = home.join("bin");
        for folder in [&home, &bin] {
            fs::create_dir_all(folder)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
            cluster.own(folder)?;
        }
        let key = home.join("host_key");
        if !key.exists() {
            let (secret, public) = countersign_ssh::new_host_key().map_err(Failed::new)?;
            crate::certificates::write_private(&key, secret.expose())?;
            fs::write(home.join("host_key.pub"), public)?;
        }
        fs::write(bin.join("shopctl"), SHOPCTL)?;
        fs::set_permissions(bin.join("shopctl"), fs::Permissions::from_mode(0o700))?;
        let at = |name: &str| home.join(name).display().to_string();
        let config = format!(
            "# Written by `countersign dev`: nobody reaches this server but through the gateway.\n\
             ListenAddress 127.0.0.1:{port}\nHostKey \"{}\"\nPidFile none\nAuthorizedKeysFile \"{}\"\n\
             AuthenticationMethods publickey\nUsePAM no\nStrictModes no\nPermitRootLogin no\n\
             AllowTcpForwarding no\nX11Forwarding no\nSubsystem sftp internal-sftp\n\
             SetEnv \"PATH={}:/usr/bin:/bin\" \"SHOPCTL_HOME={}\"\n",
            at("host_key"),
            at("authorized_keys"),
            at("bin"),
            home.display(),
        );
        fs::write(home.join("sshd_config"), config)?;
        for name in ["host_key", "host_key.pub", "sshd_config", "bin/shopctl"] {
            cluster.own(&home.join(name))?;
        }
        let host_key = fs::read_to_string(home.join("host_key.pub"))?.trim().to_owned();
        Ok(Self { home, port, host_key, user: cluster.server_user(), process: None })
    }

    /// The line of its public key.
    pub(super) fn host_key(&self) -> &str {
        &self.host_key
    }

    /// The account on it.
    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// Starts it and waits until it answers. `account` is the line of the one key that gets in: the gateway's. That is the rule that
    /// closes the path around it.
    pub(super) fn start(&mut self, cluster: &Cluster, account: &str) -> Result<(), Failed> {
        let keys = self.home.join("authorized_keys");
        fs::write(&keys, format!("restrict,pty {account}\n"))?;
        cluster.own(&keys)?;
        let program = PROGRAMS.iter().map(Path::new).find(|p| p.exists()).ok_or_else(|| {
            Failed::new("OpenSSH's server is missing: install the package \"openssh-server\" (./quickstart does)")
        })?;
        let log = fs::OpenOptions::new().create(true).append(true).open(self.home.join("sshd.log"))?;
        let mut sshd = cluster.command(program);
        sshd.args(["-D", "-e", "-f"]).arg(self.home.join("sshd_config")).stdout(Stdio::null()).stderr(log);
        let mut process =
            sshd.spawn().map_err(|e| Failed::new(format!("the server \"web-1\" could not be started: {e}")))?;
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if matches!(process.try_wait(), Ok(Some(_))) || begun.elapsed() > START_TIMEOUT {
                let path = self.home.join("sshd.log");
                let log = fs::read_to_string(&path).unwrap_or_default();
                let last = log.lines().next_back().unwrap_or_default();
                // It is of no use, and ends with us if not now.
                let _ = process.kill();
                let _ = process.wait();
                return Err(Failed::new(format!(
                    "the server \"web-1\" did not start; its log ({}) ends with: {last}",
                    path.display()
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process = Some(process);
        Ok(())
    }

    /// What it wrote last about what was done by `shopctl`.
    pub(super) fn journal(&self) -> String {
        fs::read_to_string(self.home.join("shopctl.log")).unwrap_or_default()
    }

    /// Stops it.
    pub(super) fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            super::stop(process, "-TERM", STOP_TIMEOUT);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
