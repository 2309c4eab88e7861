//! Signatures of what webhooks are sent (Standard Webhooks, "Signature scheme").

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_model::Secret;

/// The lengths of a webhook's secret, in bytes (Standard Webhooks, "Signature scheme").
const SECRET_BYTES_MIN: usize = 24;
const SECRET_BYTES_MAX: usize = 64;

/// The header `webhook-signature`: one signature for each secret.
///
/// # Errors
/// When a secret is not `whsec_` and the base64 of 24 to 64 bytes.
pub fn sign(secrets: &[Secret], id: &str, at_s: i64, body: &str) -> Result<String, String> {
    let mut all = Vec::new();
    for secret in secrets {
        let key = key(secret).ok_or("the secret is not whsec_ and the base64 of 24 to 64 bytes")?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
        let tag = hmac::sign(&key, format!("{id}.{at_s}.{body}").as_bytes());
        all.push(format!("v1,{}", STANDARD.encode(tag.as_ref())));
    }
    Ok(all.join(" "))
}

fn key(secret: &Secret) -> Option<Secret> {
    let text = secret.expose_str()?.trim().strip_prefix("whsec_")?;
    let key = Secret::new(STANDARD.decode(text).ok()?);
    (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&key.expose().len()).then_some(key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn text(s: &str) -> Secret {
        Secret::from(s.to_owned())
    }

    #[test]
    fn webhooks_are_signed_as_the_standards_example() {
        // The example of the specification and its reference libraries.
        let secret = text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed = sign(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_sign_while_one_is_taken_over_and_weak_ones_do_not() {
        let one = || text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let two = text(&format!("whsec_{}", STANDARD.encode([7; 64])));
        let both = sign(&[one(), two], "i", 1, "b").unwrap();
        assert_eq!(both.split(' ').count(), 2);
        assert!(both.starts_with(&sign(&[one()], "i", 1, "b").unwrap()));
        for weak in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_!",
            &format!("whsec_{}", STANDARD.encode([7; 23])),
            &format!("whsec_{}", STANDARD.encode([7; 65])),
        ] {
            let no = sign(&[one(), text(weak)], "i", 1, "b").unwrap_err();
            assert!(weak.len() < 8 || !no.contains(weak), "{no}");
        }
    }
}
