//! SSH, hosted on russh: a server for clients, a client for targets, and between them the gate.
//!
//! Each channel's request is an action of its own: `exec` with its text read by the shell's grammar, a shell, a subsystem. Whatever is
//! not known is refused. What goes on to the target is in [`target`] alone, and only as a cleared action or as bytes of its channel.
//!
//! It must never send a client's request, environment or forwarding to the target by itself, nor claim that what an interactive shell
//! is typed was enforced: an admitted shell is one action.

mod algorithms;
mod browser;
mod channel;
mod client;
mod known;
mod names;
mod pump;
mod sftp;
mod shape;
mod target;
mod visit;
mod watched;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use countersign_enforce::{Arrival, BoxFuture, BoxWire, End, Host, Hosted};
use countersign_model::{Denial, Secret};
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::{Certificate, PrivateKey};

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

/// The public line of a private key in OpenSSH's format.
///
/// # Errors
/// When it is no such key.
pub fn public_key(private: &Secret) -> Result<String, BadKey> {
    let key = PrivateKey::from_openssh(private.expose()).map_err(|e| BadKey(format!("the key cannot be read: {e}")))?;
    key.public_key().to_openssh().map_err(|e| BadKey(format!("the key has no public line: {e}")))
}

/// What a target is known by, as it is written: a public key, the fingerprint of one, or `@cert-authority [NAME] KEY`, whose certificates
/// are for the name or, without one, for `host`. The line that [`Ssh`] takes of it.
///
/// # Errors
/// Why it is none, to be read behind it.
pub fn host_key(text: &str, host: &str) -> Result<String, &'static str> {
    known::Pin::parse(text, host)?.line().ok_or("cannot be written")
}

impl Ssh {
    /// Serves with this host key, certified by this authority (both in OpenSSH's private key format), so that clients that know the
    /// authority are never asked whether they trust a key.
    ///
    /// # Errors
    /// When one is no such key.
    pub fn new(host_key: &Secret, authority: &Secret) -> Result<Self, BadKey> {
        let read = |what: &str, key: &Secret| {
            PrivateKey::from_openssh(key.expose()).map_err(|e| BadKey(format!("the {what} cannot be read: {e}")))
        };
        let (key, authority) = (read("host key", host_key)?, read("host authority's key", authority)?);
        let certificate = certify(&key, &authority).map_err(|e| BadKey(format!("the host key: {e}")))?;
        Ok(Self { server: Arc::new(algorithms::server(key, certificate)) })
    }
}

/// A certificate for a host key. It names no host, because a gateway does not know what it is called by its clients: their `known_hosts`
/// say for which names they take the authority. Nor does it end: key and authority are kept, and changed, together.
fn certify(key: &PrivateKey, authority: &PrivateKey) -> Result<Certificate, russh::keys::ssh_key::Error> {
    const NEVER: u64 = u64::MAX;
    let mut builder = Builder::new_with_random_nonce(&mut russh::keys::key::safe_rng(), key.public_key(), 0, NEVER)?;
    builder.cert_type(CertType::Host)?.key_id("countersign gateway")?.all_principals_valid()?;
    builder.sign(authority)
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
        let (authority, _) = new_host_key().unwrap();
        assert!(Ssh::new(&key, &authority).is_ok());
        assert!(public.starts_with("ssh-ed25519 "));
        assert_eq!(public_key(&key).unwrap(), public);
        assert_eq!(host_key(&public, "").unwrap(), public);
        let nonsense = Secret::from("nonsense".to_owned());
        assert!(Ssh::new(&nonsense, &authority).is_err() && Ssh::new(&key, &nonsense).is_err());
    }
}
