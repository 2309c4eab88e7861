//! Groups of a directory in the place of those that a token claims. Must never mix the two.

use serde_json::{Map, Value, json};

use crate::authenticator::Issuer;
use crate::{PROVISIONED_GROUPS_CLAIM, Provisioned, Rejection};

/// Puts what the issuer's directory knows of somebody in the place of what the claims say under that name.
pub(crate) async fn provision(issuer: &Issuer, claims: &mut Map<String, Value>) -> Result<(), Rejection> {
    claims.remove(PROVISIONED_GROUPS_CLAIM);
    let Some(accounts) = &issuer.accounts else { return Ok(()) };
    match accounts.provisioned(claims).await {
        Provisioned::AsClaimed => Ok(()),
        Provisioned::Groups(groups) => {
            claims.insert(PROVISIONED_GROUPS_CLAIM.to_owned(), json!(groups));
            Ok(())
        }
        Provisioned::Ended => Err(Rejection::AccountEnded),
        Provisioned::Unknown => Err(Rejection::AccountUnknown),
    }
}
