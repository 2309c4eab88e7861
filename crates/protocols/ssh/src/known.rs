//! What a target is known by: its keys, or the authority that certifies them. It must never take a key that neither is.

use countersign_model::Timestamp;
use parking_lot::Mutex;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};

/// How an authority's line begins, as in OpenSSH's `known_hosts`.
const AUTHORITY: &str = "@cert-authority";
/// The longest name that a certificate may be asked for, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// What a target may prove to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    Key(Box<PublicKey>),
    /// `SHA256:...` as OpenSSH prints it.
    Fingerprint(String),
    /// Whoever has a certificate of this key for this name.
    Authority {
        key: Box<PublicKey>,
        name: String,
    },
}

impl Pin {
    /// Reads one; an authority that names nothing certifies `host`.
    pub(crate) fn parse(text: &str, host: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if let Some(digest) = text.strip_prefix("SHA256:") {
            const BASE64_CHARS: usize = 43;
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
            let whole = digest.len() == BASE64_CHARS && digest.bytes().all(plain);
            return whole.then(|| Self::Fingerprint(text.to_owned())).ok_or("is no fingerprint");
        }
        if let Some(rest) = text.strip_prefix(AUTHORITY) {
            return Self::authority(rest, host);
        }
        let key = PublicKey::from_openssh(text).map_err(|_| "is no public key and no fingerprint")?;
        Ok(Self::Key(Box::new(key)))
    }

    fn authority(rest: &str, host: &str) -> Result<Self, &'static str> {
        if !rest.starts_with(char::is_whitespace) {
            return Err("is no public key and no fingerprint");
        }
        let rest = rest.trim_start();
        let (name, key) = match PublicKey::from_openssh(rest) {
            Ok(key) => (host, key),
            Err(_) => {
                let (name, rest) = rest.split_once(char::is_whitespace).unwrap_or_default();
                (name, PublicKey::from_openssh(rest.trim_start()).map_err(|_| "has no public key of an authority")?)
            }
        };
        if name.is_empty() {
            return Err("needs the name that certificates are for: @cert-authority NAME KEY");
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
        if name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
            return Err("has a name that is none: patterns, lists and hashes are not taken");
        }
        if !matches!(key.algorithm(), Algorithm::Ed25519 | Algorithm::Ecdsa { .. }) {
            return Err("is of an authority with a kind of key that is not taken: Ed25519 and ECDSA are");
        }
        Ok(Self::Authority { key: Box::new(key), name: name.to_ascii_lowercase() })
    }

    /// As [`Pin::parse`] reads it, whatever the target is called.
    pub(crate) fn line(&self) -> Option<String> {
        match self {
            Self::Key(key) => key.to_openssh().ok(),
            Self::Fingerprint(text) => Some(text.clone()),
            Self::Authority { key, name } => Some(format!("{AUTHORITY} {name} {}", key.to_openssh().ok()?)),
        }
    }

    fn is(&self, key: &PublicKey) -> bool {
        match self {
            Self::Key(pinned) => pinned.key_data() == key.key_data(),
            Self::Fingerprint(pinned) => key.fingerprint(HashAlg::Sha256).to_string() == *pinned,
            Self::Authority { .. } => false,
        }
    }
}

/// Whether this authority says that a host with this name has the key (PROTOCOL.certkeys; `now` is when).
fn vouches(authority: &PublicKey, name: &str, shown: &Certificate, now: Timestamp) -> Result<(), &'static str> {
    if shown.signature_key() != authority.key_data() {
        return Err("its certificate is of another authority");
    }
    if shown.cert_type() != CertType::Host {
        return Err("its certificate is for a user, not for a host");
    }
    if !shown.critical_options().is_empty() {
        return Err("its certificate has a critical option, and none is known");
    }
    // One that names nobody would be good for every host.
    if !shown.valid_principals().iter().any(|p| p.eq_ignore_ascii_case(name)) {
        return Err("its certificate is for other names");
    }
    let now_s = u64::try_from(now.unix_s()).unwrap_or(0);
    if now_s < shown.valid_after() || now_s >= shown.valid_before() {
        return Err("its certificate is over, or not good yet");
    }
    let signer = authority.fingerprint(HashAlg::Sha256);
    shown.validate_at(now_s, [&signer]).map_err(|_| "its certificate's signature is wrong")
}

/// Says whether a target is the one that is meant.
pub(crate) struct Known {
    pins: Vec<Pin>,
    now: Timestamp,
    why: Mutex<Option<&'static str>>,
}

impl Known {
    /// By these lines, at this time. A line that cannot be read counts for nothing.
    pub(crate) fn new(lines: &[String], now: Timestamp) -> Self {
        let pins = lines.iter().filter_map(|line| Pin::parse(line, "").ok()).collect();
        Self { pins, now, why: Mutex::default() }
    }

    /// Whether certificates are to be asked for.
    pub(crate) fn has_authority(&self) -> bool {
        self.pins.iter().any(|p| matches!(p, Pin::Authority { .. }))
    }

    /// Whether it is. The exchange of keys proved that the target has the key that it showed.
    pub(crate) fn is(&self, shown: &PublicKeyOrCertificate) -> bool {
        let known = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.has(key),
            PublicKeyOrCertificate::Certificate(certificate) => {
                // A key that is pinned is good with whatever certificate.
                let key = PublicKey::from(certificate.public_key().clone());
                self.has(&key).or_else(|_| self.certified(certificate))
            }
        };
        known.map_err(|why| *self.why.lock() = Some(why)).is_ok()
    }

    /// Why it was not, for operators.
    pub(crate) fn why(&self) -> &'static str {
        self.why.lock().unwrap_or("it showed no key")
    }

    fn has(&self, key: &PublicKey) -> Result<(), &'static str> {
        self.pins.iter().any(|p| p.is(key)).then_some(()).ok_or("it has another key")
    }

    fn certified(&self, shown: &Certificate) -> Result<(), &'static str> {
        let mut result = Err("it has another key");
        for pin in &self.pins {
            if let Pin::Authority { key, name } = pin {
                let vouched = vouches(key, name, shown, self.now);
                if vouched.is_ok() || result.is_err() {
                    result = vouched;
                }
                if result.is_ok() {
                    break;
                }
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::certificate::Builder;

    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    fn key() -> PrivateKey {
        PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap()
    }

    fn line(key: &PrivateKey) -> String {
        key.public_key().to_openssh().unwrap()
    }

    fn known(lines: &[&str]) -> Known {
        let lines: Vec<_> = lines.iter().map(|l| Pin::parse(l, "10.0.0.7").unwrap().line().unwrap()).collect();
        Known::new(&lines, Timestamp::from_unix_s(NOW_S as i64))
    }

    fn plain(key: &PrivateKey) -> PublicKeyOrCertificate {
        PublicKeyOrCertificate::from(key.public_key().clone())
    }

    #[test]
    fn adv_060_a_pin_is_one_key_and_no_other() {
        let (mine, other) = (key(), key());
        let print = mine.public_key().fingerprint(HashAlg::Sha256).to_string();
        for (pin, fits) in [(line(&mine).as_str(), true), (line(&other).as_str(), false), (print.as_str(), true)] {
            assert_eq!(known(&[pin]).is(&plain(&mine)), fits, "{pin}");
        }
        let authority = line(&mine);
        for nonsense in [
            "",
            "SHA256:",
            "SHA256:short",
            "MD5:00",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "@cert-authority",
            "@cert-authority web-1",
            &format!("@cert-authority{authority}"),
            &format!("@cert-authority * {authority}"),
            &format!("@cert-authority a,b {authority}"),
            &format!("@cert-authority |1|x= {authority}"),
            &format!("@revoked {authority}"),
            &format!("@cert-authority {} {authority}", "x".repeat(NAME_BYTES_MAX + 1)),
        ] {
            assert!(Pin::parse(nonsense, "h").is_err(), "{nonsense}");
        }
        let longest = format!("@cert-authority {} {authority}", "x".repeat(NAME_BYTES_MAX));
        assert!(Pin::parse(&longest, "h").is_ok());
        assert!(Pin::parse(&format!("@cert-authority {authority}"), "").is_err(), "of a socket, and without a name");
    }

    struct Made {
        name: Option<&'static str>,
        kind: CertType,
        begins: u64,
        ends: u64,
        option: bool,
    }

    fn good() -> Made {
        Made { name: Some("10.0.0.7"), kind: CertType::Host, begins: NOW_S, ends: NOW_S + 1, option: false }
    }

    fn certificate(of: &PrivateKey, by: &PrivateKey, made: &Made) -> PublicKeyOrCertificate {
        let mut builder = Builder::new([7; 32], of.public_key(), made.begins, made.ends).unwrap();
        builder.cert_type(made.kind).unwrap().key_id("x").unwrap();
        match made.name {
            Some(name) => builder.valid_principal(name).unwrap(),
            None => builder.all_principals_valid().unwrap(),
        };
        if made.option {
            builder.critical_option("source-address", "10.0.0.0/8").unwrap();
        }
        PublicKeyOrCertificate::Certificate(builder.sign(by).unwrap())
    }

    #[test]
    fn adv_060_an_authority_vouches_for_a_name_and_a_time() {
        let (host, authority, other) = (key(), key(), key());
        let by_host = format!("@cert-authority {}", line(&authority));
        let by_name = format!("@cert-authority Web-1.example {}", line(&authority));
        let other_authority = format!("@cert-authority {}", line(&other));
        let check = |lines: &[&str], by: &PrivateKey, made: Made, want: Result<(), &str>| {
            let known = known(lines);
            let got = known.is(&certificate(&host, by, &made));
            assert_eq!(got, want.is_ok(), "{lines:?}");
            if let Err(why) = want {
                assert!(known.why().contains(why), "{} is not {why}", known.why());
            }
        };
        check(&[&by_host], &authority, good(), Ok(()));
        check(&[&other_authority, &by_host], &authority, good(), Ok(()));
        check(&[&by_name], &authority, Made { name: Some("web-1.EXAMPLE"), ..good() }, Ok(()));
        check(&[&by_name], &authority, good(), Err("other names"));
        check(&[&by_host], &authority, Made { name: Some("10.0.0.70"), ..good() }, Err("other names"));
        check(&[&by_host], &authority, Made { name: Some("*"), ..good() }, Err("other names"));
        check(&[&by_host], &authority, Made { name: None, ..good() }, Err("other names"));
        check(&[&by_host], &authority, Made { kind: CertType::User, ..good() }, Err("for a user"));
        check(&[&by_host], &authority, Made { option: true, ..good() }, Err("critical option"));
        check(&[&by_host], &authority, Made { begins: NOW_S + 1, ends: NOW_S + 2, ..good() }, Err("not good yet"));
        check(&[&by_host], &authority, Made { begins: NOW_S - 1, ends: NOW_S, ..good() }, Err("over"));
        check(&[&by_host], &other, good(), Err("another authority"));
        // The target's own key does not vouch for it.
        check(&[&by_host], &host, good(), Err("another authority"));
        // A pinned key is good with whatever certificate, and an authority's own key is no host's.
        check(&[&line(&host)], &other, good(), Ok(()));
        assert!(!known(&[&by_host]).is(&plain(&authority)));
        assert!(!known(&[&by_host]).is(&plain(&host)));
    }

    #[test]
    fn adv_060_a_bent_certificate_vouches_for_nothing() {
        let (host, authority) = (key(), key());
        let known = known(&[&format!("@cert-authority {}", line(&authority))]);
        let PublicKeyOrCertificate::Certificate(made) = certificate(&host, &authority, &good()) else { return };
        let whole = made.to_bytes().unwrap();
        assert!(known.is(&PublicKeyOrCertificate::Certificate(made)), "the control");
        for i in 0..whole.len() {
            let mut bent = whole.clone();
            if let Some(byte) = bent.get_mut(i) {
                *byte ^= 1;
            }
            if let Ok(bent) = Certificate::from_bytes(&bent) {
                assert!(!known.is(&PublicKeyOrCertificate::Certificate(bent)), "byte {i}");
            }
        }
    }
}
