//! `countersign ssh-config`: targets as OpenSSH's client knows hosts. It prints; the only file that it writes is the login's own
//! `known_hosts`, which no other connection reads.

use std::path::Path;

use clap::Args;

use super::session::{At, fresh, listener_of};
use super::state::Login;
use crate::commands::paper::Paper;
use crate::failed::Failed;

/// The most targets of one call.
const TARGETS_MAX: usize = 2_000;
/// The longest name of a target, in bytes.
const TARGET_BYTES_MAX: usize = 128;

/// `countersign ssh-config`.
#[derive(Debug, Args)]
pub(crate) struct SshConfig {
    /// The targets, by their names at the gateway; `ssh` then takes the same names.
    #[arg(value_name = "TARGET", required_unless_present = "renew")]
    targets: Vec<String>,
    #[command(flatten)]
    at: At,
    /// Only make sure that the certificate is good for a while; what is printed calls this.
    #[arg(long, conflicts_with = "targets")]
    renew: bool,
}

/// Runs it.
pub(super) async fn run(args: &SshConfig) -> Result<(), Failed> {
    let state = args.at.state()?;
    let login = fresh(&state).await?;
    if args.renew {
        return Ok(());
    }
    if args.targets.len() > TARGETS_MAX {
        return Err(Failed::new(format!("more than {TARGETS_MAX} targets")));
    }
    if let Some(odd) = args.targets.iter().find(|t| !is_name(t)) {
        return Err(Failed::new(format!("\"{}\" is no target's name", crate::commands::text::inert(odd))));
    }
    let (host, port) = listener_of(&login, "ssh")?;
    if login.ssh_certificate.is_none() {
        return Err(Failed::new(
            "the gateway gave no certificate for SSH: log in again with `countersign login`, or ask its operator for a newer gateway",
        ));
    }
    let authority = login.facts.ssh_host_authority.as_deref().ok_or_else(|| {
        Failed::new("what SSH knows the gateway by is not known here: log in again with `countersign login`")
    })?;
    let held = state.hold().await?;
    state.keep_known_hosts(&held, &format!("@cert-authority {} {authority}\n", known_as(&host, port)))?;
    drop(held);
    let program = std::env::current_exe()?;
    let mut paper = Paper::new();
    for line in lines(args, &login, &program, &state.ssh_files(), (&host, port))? {
        paper.line(&line)?;
    }
    paper.done()
}

/// What is written into OpenSSH's configuration.
fn lines(
    args: &SshConfig,
    login: &Login,
    program: &Path,
    [key, certificate, known_hosts]: &[std::path::PathBuf; 3],
    (host, port): (&str, u16),
) -> Result<Vec<String>, Failed> {
    let name = &login.facts.identity.name;
    if name.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '#' | '%' | '\\')) {
        return Err(Failed::new("the identity's name cannot be written into OpenSSH's configuration"));
    }
    let (key, certificate, known_hosts) = (quoted(key)?, quoted(certificate)?, quoted(known_hosts)?);
    let program = shell_word(program)?;
    let mut lines = vec![
        format!("# {} at {}, by `countersign ssh-config`.", name, login.facts.gateway),
        // The certificate lasts an hour; ssh asks for a fresh one ahead of the connection. The block itself sets nothing.
        format!(
            "Match originalhost {} exec \"{program} ssh-config --renew --gateway {}\"",
            args.targets.join(","),
            login.facts.gateway
        ),
    ];
    for target in &args.targets {
        lines.extend([
            format!("Host {target}"),
            format!("  HostName {host}"),
            format!("  Port {port}"),
            format!("  User {name}@{target}"),
            format!("  IdentityFile {key}"),
            format!("  CertificateFile {certificate}"),
            "  IdentitiesOnly yes".to_owned(),
            "  IdentityAgent none".to_owned(),
            "  PreferredAuthentications publickey".to_owned(),
            format!("  UserKnownHostsFile {known_hosts}"),
            "  GlobalKnownHostsFile none".to_owned(),
            "  StrictHostKeyChecking yes".to_owned(),
        ]);
    }
    Ok(lines)
}

/// A name that is one word to ssh, and no pattern.
fn is_name(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=TARGET_BYTES_MAX).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(fine)
}

/// A host as `known_hosts` names it.
fn known_as(host: &str, port: u16) -> String {
    if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") }
}

/// A path as OpenSSH's configuration takes it: in quotes, which cannot be escaped there, and without what it expands.
fn quoted(path: &Path) -> Result<String, Failed> {
    let text = path.to_str().filter(|t| !t.contains(['"', '%', '$', '\n', '\\']));
    text.map(|t| format!("\"{t}\""))
        .ok_or_else(|| Failed::new(format!("{} cannot be written into OpenSSH's configuration", path.display())))
}

/// A program within a quoted shell command of OpenSSH's configuration.
fn shell_word(path: &Path) -> Result<String, Failed> {
    let text = path.to_str().filter(|t| !t.contains(['"', '\'', '%', '\n', '\\']));
    text.map(|t| format!("'{t}'"))
        .ok_or_else(|| Failed::new(format!("{} cannot be written into OpenSSH's configuration", path.display())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_and_no_patterns() {
        for (text, fine) in [
            ("web-1", true),
            ("web_1.example", true),
            ("", false),
            ("-oProxyCommand=x", false),
            ("web*", false),
            ("web 1", false),
            ("web\nHost x", false),
            ("!web", false),
            ("a@b", false),
        ] {
            assert_eq!(is_name(text), fine, "{text:?}");
        }
        assert!(is_name(&"x".repeat(TARGET_BYTES_MAX)) && !is_name(&"x".repeat(TARGET_BYTES_MAX + 1)));
    }

    #[test]
    fn paths_are_quoted_or_refused() {
        assert_eq!(quoted(Path::new("/home/a b/key.pem")).unwrap(), "\"/home/a b/key.pem\"");
        assert_eq!(shell_word(Path::new("/opt/a b/countersign")).unwrap(), "'/opt/a b/countersign'");
        for odd in ["/x\"y", "/x%h", "/x\ny", "/x\\y"] {
            assert!(quoted(Path::new(odd)).is_err() && shell_word(Path::new(odd)).is_err(), "{odd}");
        }
        assert!(quoted(Path::new("/${HOME}")).is_err() && shell_word(Path::new("/it's")).is_err());
    }

    #[test]
    fn hosts_are_known_with_their_port() {
        assert_eq!(known_as("gw.example.com", 22), "gw.example.com");
        assert_eq!(known_as("gw.example.com", 2222), "[gw.example.com]:2222");
    }
}
