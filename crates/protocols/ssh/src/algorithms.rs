//! What is agreed on, both ways: nothing with SHA-1, CBC or a classic Diffie-Hellman group, post-quantum key exchange first. Strict
//! key exchange closes the prefix truncation attack with peers that know it; the cipher that it breaks is not spoken at all.

use std::borrow::Cow;
use std::time::Duration;

use russh::keys::{Algorithm, Certificate, EcdsaCurve, PrivateKey};
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};

/// Bytes that a peer may send on a channel before it must wait.
const WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// The longest payload of one packet.
const PACKET_BYTES_MAX: u32 = 32 * 1024;
/// Messages of one channel that wait here; the connection is not read beyond.
const CHANNEL_MESSAGES_MAX: usize = 1024;
/// How often a quiet peer is asked whether it lives, and how many times before it is given up.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVES_MAX: usize = 4;
/// Tries of one connection.
const TRIES_MAX: usize = 3;
/// What a failed try costs, whatever it failed on.
const REJECTION: Duration = Duration::from_millis(500);

fn preferred() -> Preferred {
    Preferred {
        kex: Cow::Borrowed(&[
            kex::MLKEM768X25519_SHA256,
            kex::CURVE25519,
            kex::CURVE25519_PRE_RFC_8731,
            kex::EXTENSION_SUPPORT_AS_CLIENT,
            kex::EXTENSION_SUPPORT_AS_SERVER,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
        ]),
        key: Cow::Borrowed(&[
            Algorithm::Ed25519,
            Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
            Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
            Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
        ]),
        host_key_certificates: Cow::Borrowed(&[]),
        // No ChaCha20-Poly1305: with peers that do not know strict key exchange it is open to prefix truncation (CVE-2023-48795), and
        // which those are is known only after it was agreed on. AES-GCM is not.
        cipher: Cow::Borrowed(&[cipher::AES_256_GCM, cipher::AES_256_CTR]),
        mac: Cow::Borrowed(&[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM]),
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

fn id() -> SshId {
    SshId::Standard(Cow::Borrowed("SSH-2.0-Countersign"))
}

pub(crate) fn server(host_key: PrivateKey, certificate: Certificate) -> russh::server::Config {
    let mut methods = MethodSet::empty();
    methods.push(MethodKind::PublicKey);
    methods.push(MethodKind::KeyboardInteractive);
    methods.push(MethodKind::Password);
    russh::server::Config {
        server_id: id(),
        methods,
        auth_rejection_time: REJECTION,
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![host_key],
        certificates: vec![certificate],
        window_size: WINDOW_BYTES,
        maximum_packet_size: PACKET_BYTES_MAX,
        channel_buffer_size: CHANNEL_MESSAGES_MAX,
        preferred: preferred(),
        max_auth_attempts: TRIES_MAX,
        // The host has its own deadline for the login, and keepalives find who is gone.
        inactivity_timeout: None,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES_MAX,
        nodelay: true,
        ..russh::server::Config::default()
    }
}

/// Certificates are asked for where there is an authority that the target is known by.
pub(crate) fn client(certificates: bool) -> russh::client::Config {
    let mut preferred = preferred();
    if certificates {
        preferred.host_key_certificates = preferred.key.clone();
    }
    russh::client::Config {
        client_id: id(),
        window_size: WINDOW_BYTES,
        maximum_packet_size: PACKET_BYTES_MAX,
        channel_buffer_size: CHANNEL_MESSAGES_MAX,
        preferred,
        inactivity_timeout: None,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES_MAX,
        nodelay: true,
        ..russh::client::Config::default()
    }
}
