//! SSH, hosted on russh: a server for clients, a client for targets, and between them the gate.
//!
//! Each channel's request is an action of its own: `exec` with its text read by the shell's grammar, a shell, a subsystem. Whatever is
//! not known is refused. What goes on to the target is in [`target`] alone, and only as a cleared action or as bytes of its channel.
//!
//! It must never send a client's request, environment or forwarding to the target by itself, nor claim that what an interactive shell
//! is typed was enforced: an admitted shell is one action.

mod algorithms;
mod channel;
mod client;
mod names;
mod pump;
mod sftp;
mod shape;
mod target;
mod visit;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use countersign_enforce::{Arrival, BoxFuture, BoxWire, End, Host, Hosted};
use countersign_model::{Denial, Secret};
use russh::keys::PrivateKey;

pub use shape::VOCABULARY;

/// SSH, with the key that proves the gateway to its clients.
pub struct Ssh {
    server: Arc<russh::server::Config>,
}

/// Why the protocol cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadKey(String);

impl std::fmt::Display for BadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadKey {}

/// A new Ed25519 host key in OpenSSH's format, and its public half as one line.
///
/// # Errors
/// When the system gives no randomness or the key cannot be written.
pub fn new_host_key() -> Result<(Secret, String), BadKey> {
    let fault = |e: &dyn std::fmt::Display| BadKey(format!("a host key cannot be made: {e}"));
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), russh::keys::Algorithm::Ed25519)
        .map_err(|e| fault(&e))?;
    let text = key.to_openssh(russh::keys::ssh_key::LineEnding::LF).map_err(|e| fault(&e))?;
    let public = key.public_key().to_openssh().map_err(|e| fault(&e))?;
    Ok((Secret::from(text.to_string()), public))
}

/// Whether a text is a public key or the fingerprint of one, as targets' keys are pinned.
pub fn is_host_key(text: &str) -> bool {
    target::Pin::parse(text).is_some()
}

impl Ssh {
    /// Serves with this host key (OpenSSH's private key format).
    ///
    /// # Errors
    /// When it is no such key.
    pub fn new(host_key: &Secret) -> Result<Self, BadKey> {
        let key = PrivateKey::from_openssh(host_key.expose())
            .map_err(|e| BadKey(format!("the host key cannot be read: {e}")))?;
        Ok(Self { server: Arc::new(algorithms::server(key)) })
    }
}

impl Hosted for Ssh {
    fn name(&self) -> &'static str {
        "ssh"
    }

    fn serve(&self, client: BoxWire, arrival: Arrival, host: Arc<dyn Host>) -> BoxFuture<'static, End> {
        Box::pin(visit::serve(self.server.clone(), client, arrival, host))
    }

    fn turn_away(&self, denial: &Denial) -> Bytes {
        // Lines ahead of the version are shown by clients as they are (RFC 4253, 4.2); they must be ASCII without control characters.
        let text: String =
            denial.message.as_str().chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(200).collect();
        Bytes::from(format!("{text}\r\n"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_made_host_key_serves() {
        let (key, public) = new_host_key().unwrap();
        assert!(Ssh::new(&key).is_ok());
        assert!(public.starts_with("ssh-ed25519 "));
        assert!(is_host_key(&public));
        assert!(Ssh::new(&Secret::from("nonsense".to_owned())).is_err());
    }
}
