//! Any bytes as a token: only the two that were signed for this may be believed.
//!
//! It must never fetch a key: the issuer's keys are written out in `jwks.json`, and their private halves are gone.

use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use countersign_identity::{Algorithm, IssuerConfig, TokenAuthenticator};
use countersign_model::Timestamp;

/// Signed with the two keys; everything else is a forgery.
const GENUINE: [&str; 2] = [include_str!("../corpus/jwt/valid-rs256"), include_str!("../corpus/jwt/valid-es256")];
/// A minute after they were issued.
const NOW: Timestamp = Timestamp::from_unix_s(1_767_614_460);

/// Verifies the input as a token.
///
/// # Panics
/// When a forgery is believed, or verification waits for something although all keys are here.
pub fn run(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    let Some(believed) = verify(token) else { return };
    // ECDSA signatures have two forms; what was signed has one.
    let signed = |t: &str| t.rsplit_once('.').map(|(s, _)| s.to_owned());
    assert!(GENUINE.iter().any(|g| signed(g) == signed(token)), "a forgery was believed to be {believed}");
}

/// Who a token makes its bearer; `None` when it is refused.
fn verify(token: &str) -> Option<String> {
    let mut verification = pin!(authenticator().verify(token, NOW));
    match verification.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome.ok().map(|identity| identity.subject.clone()),
        Poll::Pending => refuse("verification waits for something although all keys are here"),
    }
}

fn authenticator() -> &'static TokenAuthenticator {
    static AUTHENTICATOR: OnceLock<TokenAuthenticator> = OnceLock::new();
    AUTHENTICATOR.get_or_init(|| {
        let config = IssuerConfig {
            jwks: Some(include_str!("jwks.json").to_owned()),
            algorithms: vec![Algorithm::RS256, Algorithm::ES256],
            groups_claim: Some("groups".to_owned()),
            ..IssuerConfig::new("test", "https://issuer.test", &["countersign"])
        };
        match TokenAuthenticator::new(vec![config.into()]) {
            Ok(authenticator) => authenticator,
            Err(findings) => refuse(&format!("the issuer is refused: {findings:?}")),
        }
    })
}

#[allow(clippy::panic)] // A fuzz target reports by panicking.
fn refuse(why: &str) -> ! {
    panic!("{why}")
}

#[cfg(test)]
mod tests {
    use super::{GENUINE, verify};

    #[test]
    fn the_genuine_tokens_are_believed_so_that_the_target_can_tell_a_forgery() {
        for token in GENUINE {
            assert_eq!(verify(token).as_deref(), Some("ci"));
        }
    }
}
