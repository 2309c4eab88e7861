//! What a key says of itself: authenticator data (WebAuthn, 6.1) and the attestation object around it (6.5).

use ciborium::Value;

use super::{AUTHENTICATOR_DATA_BYTES_MAX, CREDENTIAL_BYTES_MAX, DEPTH_MAX, Fault, PublicKey};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const NEW_CREDENTIAL: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;
/// The model of the key, which is not looked at.
const AAGUID_BYTES: usize = 16;

/// Authenticator data.
pub(super) struct AuthenticatorData {
    /// SHA-256 of the site's name.
    pub(super) site_digest: [u8; 32],
    pub(super) user_present: bool,
    pub(super) user_verified: bool,
    pub(super) sign_count: u32,
    /// The key that was made, where one was.
    pub(super) credential: Option<Credential>,
}

/// A key that was made.
pub(super) struct Credential {
    pub(super) id: Vec<u8>,
    /// As it was given, and readable.
    pub(super) public_key: Vec<u8>,
}

impl AuthenticatorData {
    /// Reads all of it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > AUTHENTICATOR_DATA_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let mut rest = bytes;
        let site_digest = take(&mut rest)?;
        let [flags] = take(&mut rest)?;
        let sign_count = u32::from_be_bytes(take(&mut rest)?);
        let is = |flag: u8| flags & flag != 0;
        // A copy is kept only of what may be copied (6.1.3).
        if is(BACKED_UP) && !is(BACKUP_ELIGIBLE) {
            return Err(Fault::Unreadable);
        }
        let credential = if is(NEW_CREDENTIAL) { Some(Credential::read(&mut rest)?) } else { None };
        if is(EXTENSIONS) && !matches!(cbor(&mut rest)?, Value::Map(_)) {
            return Err(Fault::Unreadable);
        }
        if !rest.is_empty() {
            return Err(Fault::Unreadable);
        }
        let (user_present, user_verified) = (is(USER_PRESENT), is(USER_VERIFIED));
        Ok(Self { site_digest, user_present, user_verified, sign_count, credential })
    }
}

impl Credential {
    fn read(rest: &mut &[u8]) -> Result<Self, Fault> {
        let _: [u8; AAGUID_BYTES] = take(rest)?;
        let length = usize::from(u16::from_be_bytes(take(rest)?));
        if length == 0 || length > CREDENTIAL_BYTES_MAX {
            return Err(Fault::Unreadable);
        }
        let (id, after) = rest.split_at_checked(length).ok_or(Fault::Unreadable)?;
        *rest = after;
        let before = *rest;
        cbor(rest)?;
        let key = before.get(..before.len() - rest.len()).ok_or(Fault::Unreadable)?;
        PublicKey::read(key)?;
        Ok(Self { id: id.to_vec(), public_key: key.to_vec() })
    }
}

/// The authenticator data in an attestation object. What a key's maker vouches for was not asked for, and is not looked at.
pub(super) fn of_attestation(mut bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let Value::Map(members) = cbor(&mut bytes)? else { return Err(Fault::Unreadable) };
    if !bytes.is_empty() {
        return Err(Fault::Unreadable);
    }
    let (mut format, mut statement, mut data) = (false, false, None);
    for (name, value) in members {
        let again = match (name.as_text(), value) {
            (Some("fmt"), Value::Text(_)) => std::mem::replace(&mut format, true),
            (Some("attStmt"), Value::Map(_)) => std::mem::replace(&mut statement, true),
            (Some("authData"), Value::Bytes(bytes)) => data.replace(bytes).is_some(),
            _ => true,
        };
        if again {
            return Err(Fault::Unreadable);
        }
    }
    data.filter(|_| format && statement).ok_or(Fault::Unreadable)
}

/// The next item, and what comes after it.
pub(super) fn cbor(rest: &mut &[u8]) -> Result<Value, Fault> {
    ciborium::de::from_reader_with_recursion_limit(rest, DEPTH_MAX).map_err(|_| Fault::Unreadable)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Fault> {
    let (first, after) = rest.split_first_chunk().ok_or(Fault::Unreadable)?;
    *rest = after;
    Ok(*first)
}
