//! What a JWT-SVID must keep besides its signature (JWT-SVID, 2 and 3).
//!
//! Its `iss` is not looked at: who vouches is the trust domain of its `sub`, by the keys of that domain's bundle.

use countersign_model::Timestamp;

use crate::Rejection;
use crate::claims::{self, Times};
use crate::config::IssuerConfig;
use crate::token::{Unverified, shown};

/// Checks header, audience and times. `sub` was read, to find the trust domain.
pub(crate) fn check_svid(c: &IssuerConfig, token: &Unverified<'_>, now: Timestamp) -> Result<Times, Rejection> {
    if token.has_more_parameters {
        return Err(Rejection::Header("something besides alg, kid and typ"));
    }
    match token.token_type.as_deref() {
        None | Some("JWT" | "JOSE") => {}
        Some(other) => return Err(Rejection::Type(format!("its typ is \"{}\", not JWT or JOSE", shown(other)))),
    }
    claims::check_svid_claims(c, token, now)
}
