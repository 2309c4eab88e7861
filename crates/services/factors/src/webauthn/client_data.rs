//! What a browser says that it asked a key for (WebAuthn, 5.8.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::{CLIENT_DATA_BYTES_MAX, Fault};

/// As it is written. What else there is does not matter: browsers add to it.
#[derive(Deserialize)]
struct Written {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: bool,
    #[serde(default, rename = "topOrigin")]
    top_origin: Option<String>,
}

/// What counts of it.
pub(super) struct ClientData {
    pub(super) kind: String,
    pub(super) challenge: [u8; 32],
    pub(super) origin: String,
    /// It was asked from within a page of another site.
    pub(super) framed: bool,
}

impl ClientData {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > CLIENT_DATA_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let said: Written = serde_json::from_slice(bytes).map_err(|_| Fault::Unreadable)?;
        let challenge = URL_SAFE_NO_PAD.decode(&said.challenge).map_err(|_| Fault::Challenge)?;
        Ok(Self {
            kind: said.r#type,
            challenge: challenge.try_into().map_err(|_| Fault::Challenge)?,
            origin: said.origin,
            framed: said.cross_origin || said.top_origin.is_some(),
        })
    }
}

/// The challenge that a browser says a key was asked with. It is believed of nothing: by it is found what was asked.
///
/// # Errors
/// When it cannot be read.
pub fn challenge_of(client_data: &[u8]) -> Result<[u8; 32], Fault> {
    ClientData::read(client_data).map(|said| said.challenge)
}
