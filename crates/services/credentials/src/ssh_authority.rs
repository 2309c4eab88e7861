//! Signs the certificates that the gateway logs in with at SSH targets (PROTOCOL.certkeys): one for each session, for a key that is made
//! for it and never leaves this process.
//!
//! Targets trust the authority's public key (`TrustedUserCAKeys`) and need none of the gateway's other keys. It must never sign for a key
//! that it did not make, for more than one account, or for longer than a login takes.

use countersign_model::{Identity, Secret, SessionId, Timestamp};
use ssh_key::certificate::{Builder, CertType};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, LineEnding, PrivateKey};

use crate::CredentialError;

/// How far the clock of a target may be ahead, in seconds.
pub const CERTIFICATE_BEGINS_BEFORE_S: u64 = 120;
/// How long a certificate is good for, in seconds: a server looks at it once, at the login.
pub const CERTIFICATE_LIFETIME_S: u64 = 120;
/// The longest key id, in bytes: servers write it into a line of their log.
const KEY_ID_BYTES_MAX: usize = 512;

/// The authority that targets trust for logins of the gateway.
pub struct SshAuthority {
    key: PrivateKey,
}

impl std::fmt::Debug for SshAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SshAuthority({})", self.fingerprint())
    }
}

/// What a session logs in with.
#[derive(Debug)]
pub struct SshLogin {
    /// The private key, in OpenSSH's format.
    pub key: Secret,
    /// Its certificate, as one line.
    pub certificate: String,
}

impl SshAuthority {
    /// The authority with this private key, in OpenSSH's format.
    ///
    /// # Errors
    /// When it is no such key.
    pub fn new(key: &Secret) -> Result<Self, CredentialError> {
        PrivateKey::from_openssh(key.expose())
            .map(|key| Self { key })
            .map_err(|e| CredentialError::Authority(e.to_string()))
    }

    /// The public key as one line, for the file that `TrustedUserCAKeys` names.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn public_key(&self) -> Result<String, CredentialError> {
        self.key.public_key().to_openssh().map_err(|e| CredentialError::Authority(e.to_string()))
    }

    /// The fingerprint of the public key, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        self.key.public_key().fingerprint(HashAlg::Sha256).to_string()
    }

    /// Makes a key and signs a certificate for it: good for this account alone, from now on and for as long as a login takes. Its key id
    /// names the session and who is behind it.
    ///
    /// # Errors
    /// When the system gives no randomness, or it cannot be written.
    pub fn issue(
        &self,
        account: &str,
        identity: &Identity,
        session: SessionId,
        now: Timestamp,
    ) -> Result<SshLogin, CredentialError> {
        let made = |e: ssh_key::Error| CredentialError::Authority(e.to_string());
        let key = KeypairData::Ed25519(Ed25519Keypair::from_seed(&random()?));
        let key = PrivateKey::new(key, "").map_err(made)?;
        let (nonce, serial): ([u8; 32], [u8; 8]) = (random()?, random()?);
        let now_s = u64::try_from(now.unix_s()).unwrap_or(0);
        let (begins, ends) =
            (now_s.saturating_sub(CERTIFICATE_BEGINS_BEFORE_S), now_s.saturating_add(CERTIFICATE_LIFETIME_S));
        let mut builder = Builder::new(nonce, key.public_key(), begins, ends).map_err(made)?;
        builder.cert_type(CertType::User).map_err(made)?;
        builder.serial(u64::from_be_bytes(serial)).map_err(made)?;
        builder.key_id(key_id(identity, session)).map_err(made)?;
        builder.valid_principal(account).map_err(made)?;
        // Terminals are for the gate to allow. What a server does not find here (forwarding of ports, of the agent, of X11) it refuses.
        builder.extension("permit-pty", "").map_err(made)?;
        let certificate = builder.sign(&self.key).and_then(|c| c.to_openssh()).map_err(made)?;
        let text = key.to_openssh(LineEnding::LF).map_err(made)?;
        Ok(SshLogin { key: Secret::from(text.to_string()), certificate })
    }
}

/// What servers write into their logs. The session comes first and nothing in it has a blank, so that no name can pose as another.
fn key_id(identity: &Identity, session: SessionId) -> String {
    let mut id = format!("countersign session={session} identity={}", word(&identity.name));
    for actor in &identity.delegation {
        id.push_str(" by=");
        id.push_str(&word(&actor.name));
    }
    // Of ASCII alone.
    id.truncate(KEY_ID_BYTES_MAX);
    id
}

/// A name as one word.
fn word(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() && c != '=' { c } else { '_' }).collect()
}

fn random<const N: usize>() -> Result<[u8; N], CredentialError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| CredentialError::NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use countersign_model::{Actor, CredentialBinding, IdentityKind, IdentityParts};
    use ssh_key::Certificate;

    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    #[allow(clippy::disallowed_methods)]
    fn identity(name: &str, actors: &[&str]) -> Identity {
        let now = Timestamp::from_unix_s(NOW_S as i64);
        let actor = |name: &&str| Actor {
            subject: (*name).to_owned(),
            issuer: "https://id.example".to_owned(),
            name: (*name).to_owned(),
            kind: IdentityKind::Agent,
            groups: BTreeSet::new(),
            claims: BTreeMap::new(),
            signer: None,
        };
        Identity::mint(IdentityParts {
            subject: name.to_owned(),
            issuer: "https://id.example".to_owned(),
            name: name.to_owned(),
            kind: IdentityKind::Human,
            groups: BTreeSet::new(),
            claims: BTreeMap::new(),
            delegation: actors.iter().map(actor).collect(),
            credential: CredentialBinding::Bearer,
            token_id: None,
            key: None,
            signer: None,
            login: None,
            issued_at: now,
            expires_at: now,
        })
    }

    fn authority(seed: u8) -> SshAuthority {
        let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&[seed; 32]));
        let text = PrivateKey::new(pair, "").unwrap().to_openssh(LineEnding::LF).unwrap();
        SshAuthority::new(&Secret::from(text.to_string())).unwrap()
    }

    fn issue(a: &SshAuthority, name: &str, actors: &[&str]) -> (PrivateKey, Certificate) {
        let now = Timestamp::from_unix_s(NOW_S as i64);
        let made = a.issue("deploy", &identity(name, actors), SessionId::new(now, 7), now).unwrap();
        (PrivateKey::from_openssh(made.key.expose()).unwrap(), Certificate::from_openssh(&made.certificate).unwrap())
    }

    #[test]
    fn a_certificate_is_for_one_account_a_short_while_and_no_forwarding() {
        let a = authority(1);
        let (key, made) = issue(&a, "ana", &[]);
        assert_eq!(made.public_key(), key.public_key().key_data());
        assert_eq!((made.cert_type(), made.valid_principals()), (CertType::User, &["deploy".to_owned()][..]));
        assert_eq!((made.valid_after(), made.valid_before()), (NOW_S - 120, NOW_S + 120));
        assert!(made.critical_options().is_empty());
        assert_eq!(made.extensions().keys().collect::<Vec<_>>(), ["permit-pty"]);
        let of = |a: &SshAuthority| a.key.fingerprint(HashAlg::Sha256);
        assert!(made.validate_at(NOW_S, [&of(&a)]).is_ok());
        assert!(made.validate_at(NOW_S, [&of(&authority(2))]).is_err());
        let (other_key, other) = issue(&a, "ana", &[]);
        assert!(other.serial() != made.serial() && other_key.public_key() != key.public_key());
        assert!(SshAuthority::new(&Secret::from("nonsense".to_owned())).is_err());
        assert_eq!(format!("{a:?}"), format!("SshAuthority({})", of(&a)));
    }

    #[test]
    fn no_name_poses_as_another_in_the_targets_log() {
        let a = authority(1);
        let session = SessionId::new(Timestamp::from_unix_s(NOW_S as i64), 7);
        for (name, actors, want) in [
            ("ana@example.com", &[][..], "identity=ana@example.com"),
            ("eve identity=root", &[], "identity=eve_identity_root"),
            ("eve\n(serial 1) CA", &[], "identity=eve_(serial_1)_CA"),
            ("d\u{e9}j\u{e0}\u{202e}", &[], "identity=d_j__"),
            ("ana", &["planner", "a b=c"], "identity=ana by=planner by=a_b_c"),
        ] {
            let (_, made) = issue(&a, name, actors);
            assert_eq!(made.key_id(), format!("countersign session={session} {want}"), "{name:?}");
        }
        let (_, made) = issue(&a, &"x".repeat(2 * KEY_ID_BYTES_MAX), &[]);
        assert_eq!(made.key_id().len(), KEY_ID_BYTES_MAX);
    }
}
