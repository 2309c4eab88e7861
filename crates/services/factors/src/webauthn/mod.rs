//! What a security key signed, checked as WebAuthn Level 3 says (7.1 and 7.2), without I/O or clock.
//!
//! It is asked for user verification always, and nothing is believed of what a key says about its maker (attestation). Must never take what
//! was signed for another challenge, site, type or key, nor read on where bytes are left over.

mod authenticator;
mod client_data;
mod key;

use countersign_enforce::Assertion;
use sha2::{Digest as _, Sha256};

use authenticator::AuthenticatorData;
use client_data::ClientData;

pub use client_data::challenge_of;
pub use key::{ALGORITHMS, PublicKey};

/// The longest client data, in bytes.
pub const CLIENT_DATA_BYTES_MAX: usize = 4096;
/// The longest authenticator data, in bytes.
pub const AUTHENTICATOR_DATA_BYTES_MAX: usize = 4096;
/// The longest attestation object, in bytes: certificates may be in it.
pub const ATTESTATION_BYTES_MAX: usize = 32 * 1024;
/// The longest name of a key, in bytes (WebAuthn, 4).
pub const CREDENTIAL_BYTES_MAX: usize = 1023;
/// The longest signature, in bytes: that of an RSA key of 8,192 bits.
pub const SIGNATURE_BYTES_MAX: usize = 1024;
/// The deepest nesting of CBOR that is read.
const DEPTH_MAX: usize = 8;

/// A site that keys are registered at (relying party).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its origin, as browsers write it: `https://gw.example:8443`.
    pub origin: String,
    /// Its name, as keys know it: `gw.example`.
    pub name: String,
}

impl Site {
    /// The site at an address; `None` for one that keys cannot be registered at, such as one by number.
    pub fn of(base: &str) -> Option<Self> {
        let base = base.to_ascii_lowercase();
        let (scheme, rest) = base.split_once("://")?;
        let default = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => return None,
        };
        let rest = rest.strip_suffix(default).unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        };
        if port.is_some_and(|p| p.is_empty() || !p.bytes().all(|b| b.is_ascii_digit())) {
            return None;
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
        let is_name = !host.is_empty() && host.bytes().all(plain) && !host.starts_with(['.', '-']);
        // The last part of a name has a letter; that of an address by number has not.
        let by_number = host.rsplit('.').next().is_none_or(|last| last.bytes().all(|b| b.is_ascii_digit()));
        // A browser lets only its own machine register keys without TLS.
        let fits = is_name && !by_number && (scheme == "https" || host == "localhost");
        fits.then(|| Self { origin: format!("{scheme}://{rest}"), name: host.to_owned() })
    }
}

/// What is wrong with something that a key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is longer than such a thing is.
    TooLong,
    /// It cannot be read.
    Unreadable,
    /// It was signed for something else.
    Challenge,
    /// It was made to register a key, not to use one; or the other way round.
    Type,
    /// Another site asked.
    Origin,
    /// It is for another site.
    Site,
    /// Nobody touched it.
    Presence,
    /// It did not ask for a PIN or a finger.
    Verification,
    /// The signature does not fit.
    Signature,
    /// Its counter went back: there may be two of it.
    Counter,
    /// It signs in a way that is not known.
    Algorithm,
    /// It is another key than the one it was asked of.
    Credential,
}

impl Fault {
    /// In words, for the person.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "what the key gave is too long",
            Self::Unreadable => "what the key gave cannot be read",
            Self::Challenge => "the key signed something else, or too late: try again",
            Self::Type => "the key was asked for something else",
            Self::Origin => "the key was used at another site",
            Self::Site => "the key is for another site",
            Self::Presence => "nobody touched the key",
            Self::Verification => "the key did not verify who uses it: set a PIN or a fingerprint on it",
            Self::Signature => "the signature of the key is wrong",
            Self::Counter => "the counter of the key went back: there may be a copy of it, so that it is not believed",
            Self::Algorithm => "the key signs in a way that is not accepted: ES256, EdDSA and RS256 are",
            Self::Credential => "it is another key",
        }
    }
}

/// What a browser gives when a key was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// What the browser says that it asked the key for: JSON.
    pub client_data: Vec<u8>,
    /// What the key says: CBOR.
    pub attestation: Vec<u8>,
}

/// A key that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// The name of its site.
    pub site: String,
    /// The key's name, as it chose it.
    pub credential: Vec<u8>,
    /// The public key as it gave it (COSE, RFC 9052).
    pub public_key: Vec<u8>,
    /// How often it signed.
    pub sign_count: u32,
}

/// A key that is known.
#[derive(Clone, Copy, Debug)]
pub struct KnownKey<'a> {
    /// The name of its site.
    pub site: &'a str,
    /// Its name.
    pub credential: &'a [u8],
    /// Its public key (COSE).
    pub public_key: &'a [u8],
    /// How often it had signed.
    pub sign_count: u32,
}

/// A new key (7.1), if it was made for this challenge at one of these sites.
///
/// # Errors
/// What is wrong.
pub fn register(r: &Registration, challenge: &[u8; 32], sites: &[Site]) -> Result<NewKey, Fault> {
    if r.attestation.len() > ATTESTATION_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let site = asked(&r.client_data, "webauthn.create", challenge, sites)?;
    let bytes = authenticator::of_attestation(&r.attestation)?;
    let data = AuthenticatorData::read(&bytes)?;
    present(&data, &site.name)?;
    let sign_count = data.sign_count;
    let new = data.credential.ok_or(Fault::Unreadable)?;
    Ok(NewKey { site: site.name.clone(), credential: new.id, public_key: new.public_key, sign_count })
}

/// How often a key has signed by now (7.2), if it signed this challenge at its site.
///
/// # Errors
/// What is wrong.
pub fn verify(a: &Assertion, key: KnownKey<'_>, challenge: &[u8; 32], sites: &[Site]) -> Result<u32, Fault> {
    if a.signature.len() > SIGNATURE_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    if a.credential != key.credential {
        return Err(Fault::Credential);
    }
    let site = asked(&a.client_data, "webauthn.get", challenge, sites)?;
    if site.name != key.site {
        return Err(Fault::Site);
    }
    let data = AuthenticatorData::read(&a.authenticator_data)?;
    if data.credential.is_some() {
        return Err(Fault::Unreadable);
    }
    present(&data, key.site)?;
    let mut signed = a.authenticator_data.clone();
    signed.extend_from_slice(&Sha256::digest(&a.client_data));
    PublicKey::read(key.public_key)?.verify(&signed, &a.signature)?;
    // A key without a counter says zero always.
    if (data.sign_count, key.sign_count) != (0, 0) && data.sign_count <= key.sign_count {
        return Err(Fault::Counter);
    }
    Ok(data.sign_count)
}

/// The site at which a browser asked the key for exactly this.
fn asked<'a>(client_data: &[u8], kind: &str, challenge: &[u8; 32], sites: &'a [Site]) -> Result<&'a Site, Fault> {
    let said = ClientData::read(client_data)?;
    if said.kind != kind {
        return Err(Fault::Type);
    }
    if said.challenge != *challenge {
        return Err(Fault::Challenge);
    }
    if said.framed {
        return Err(Fault::Origin);
    }
    sites.iter().find(|s| s.origin == said.origin).ok_or(Fault::Origin)
}

/// Somebody used the key for this site, and it knew who.
fn present(data: &AuthenticatorData, site: &str) -> Result<(), Fault> {
    if data.site_digest != <[u8; 32]>::from(Sha256::digest(site.as_bytes())) {
        return Err(Fault::Site);
    }
    if !data.user_present {
        return Err(Fault::Presence);
    }
    if !data.user_verified {
        return Err(Fault::Verification);
    }
    Ok(())
}
