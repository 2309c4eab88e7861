//! The server's part of `countersign dev --check`: OpenSSH's own client through the gateway, and past it.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::drill::Machine;
use super::server::Server;
use super::{Place, SERVER};
use crate::failed::Failed;

/// What a shell says of a command that may not be run.
const EXIT_REFUSED: i32 = 126;

/// One step.
pub(super) struct Step<'a> {
    pub(super) title: &'a str,
    way: Way<'a>,
    arguments: &'a [&'a str],
    want: Want<'a>,
}

/// What somebody shows to be let in.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    /// A token, as the password of this user.
    Token(&'a str, &'a str),
    /// What `countersign ssh-config` printed for a login, in this file of the machine.
    Login(&'a Machine<'a>),
}

/// What it must lead to.
#[derive(Clone, Copy)]
enum Want<'a> {
    /// ssh succeeds and prints this.
    Prints(&'a str),
    /// ssh says this on the standard error, prints nothing, and fails.
    Refused(&'a str),
}

/// What came of it.
pub(super) struct Played {
    pub(super) happened: String,
    pub(super) right: bool,
}

/// How many of the steps leave a refusal in the recording.
pub(super) fn refusals(steps: &[Step<'_>]) -> usize {
    steps.iter().filter(|s| matches!(s.want, Want::Refused(_))).count()
}

/// What is played.
pub(super) fn steps<'a>(ana: &'a str, job: &'a Machine<'a>, dora: &'a Machine<'a>) -> [Step<'a>; 8] {
    let step = |title, way, arguments, want| Step { title, way, arguments, want };
    let (ana, job, dora) = (Way::Token("ana", ana), Way::Login(job), Way::Login(dora));
    let no_rule = Want::Refused("denied: no rule allows it");
    [
        step("ana looks at web-1", ana, &["shopctl status web"], Want::Prints("web is up")),
        step("ana hides a command behind it", ana, &["shopctl status web; id"], no_rule),
        step("ana asks for a shell", ana, &["-T"], no_rule),
        step("ana tunnels through web-1", ana, &["-W", "127.0.0.1:5432"], Want::Refused("stdio forwarding failed")),
        step("ci-deploy restarts the shop", job, &["shopctl restart web"], Want::Prints("web is up again")),
        step("ci-deploy restarts it with a terminal", job, &["-tt", "shopctl restart web"], no_rule),
        step("ci-deploy hides a command in it", job, &["shopctl restart \"$(id)\""], no_rule),
        step("dora counts what was done", dora, &["uptime | wc -l"], Want::Prints("1")),
    ]
}

/// Plays one.
pub(super) async fn play(place: &Place, step: &Step<'_>) -> Result<Played, Failed> {
    let (command, options): (Vec<&str>, Vec<&str>) = step.arguments.iter().partition(|a| a.contains(' '));
    let mut ssh = Command::new("ssh");
    let destination = match step.way {
        Way::Token(user, token) => {
            plain(&mut ssh, place.ssh_port, Some(place));
            ssh.args(["-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1"]);
            ssh.env("SSH_ASKPASS", askpass(place)?).env("SSH_ASKPASS_REQUIRE", "force");
            ssh.env("COUNTERSIGN_DEMO_TOKEN", token);
            format!("{user}@{SERVER}@localhost")
        }
        Way::Login(machine) => {
            machine.as_here(&mut ssh);
            ssh.arg("-F").arg(machine.ssh_config(SERVER).await?);
            ssh.args(["-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"]);
            SERVER.to_owned()
        }
    };
    ssh.args(options).arg(destination).args(command).stdin(Stdio::null());
    Ok(judge(&run(ssh).await?, &step.want))
}

/// The path around the gateway must be closed.
pub(super) async fn around(place: &Place, server: &Server) -> Result<Played, Failed> {
    let mut ssh = Command::new("ssh");
    plain(&mut ssh, place.server_port, None);
    ssh.args(["-o", "BatchMode=yes"]).arg(format!("{}@localhost", server.user())).arg("true").stdin(Stdio::null());
    Ok(judge(&run(ssh).await?, &Want::Refused("Permission denied")))
}

/// How often the shop was restarted, as the server itself noted.
pub(super) fn restarts(server: &Server) -> usize {
    server.journal().lines().filter(|l| *l == "restarted web").count()
}

/// With nobody's settings but these, and either the gateway known by its authority or any host.
fn plain(ssh: &mut Command, port: u16, known: Option<&Place>) {
    let (strict, file) = known.map_or(("no", PathBuf::from("/dev/null")), |place| ("yes", place.known_hosts()));
    ssh.args(["-F", "none", "-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes"]);
    ssh.args(["-o", "IdentityAgent=none", "-o"]).arg(format!("UserKnownHostsFile={}", file.display()));
    ssh.args(["-o", &format!("StrictHostKeyChecking={strict}"), "-p", &port.to_string()]);
}

/// The program that gives ssh the token where it asks for a password.
fn askpass(place: &Place) -> Result<PathBuf, Failed> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = place.dir.join("askpass");
    if !path.exists() {
        std::fs::write(&path, "#!/bin/sh\nprintf '%s\\n' \"$COUNTERSIGN_DEMO_TOKEN\"\n")?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(path)
}

async fn run(mut ssh: Command) -> Result<Output, Failed> {
    // The gateway's own doors are served by this thread.
    let output = tokio::task::spawn_blocking(move || ssh.output()).await.map_err(Failed::new)?;
    output.map_err(|e| Failed::new(format!("ssh could not be run (package \"openssh-client\"): {e}")))
}

fn judge(output: &Output, want: &Want<'_>) -> Played {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let right = match want {
        Want::Prints(text) => output.status.success() && out.lines().any(|l| l == *text),
        Want::Refused(text) => {
            // ssh itself fails with 255.
            let code = output.status.code();
            (code == Some(EXIT_REFUSED) || code == Some(255)) && err.contains(text) && out.trim().is_empty()
        }
    };
    let said = if output.status.success() { out.lines().next_back() } else { err.lines().find(|l| !l.is_empty()) };
    Played { happened: said.unwrap_or("(nothing)").to_owned(), right }
}
