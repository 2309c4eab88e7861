//! What fits directories to identity and to their door: who stands, in which groups, and whose logins end. It must never decide anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_api::{Answer, SCIM_BODY_BYTES_MAX, ScimCall, ScimDoors};
use countersign_directory::{BODY_BYTES_MAX, Departures, Directory, Realm, ScimRequest};
use countersign_enforce::BoxFuture;
use countersign_identity::{AccountCheck, AccountStanding, PROVISIONED_GROUPS_CLAIM, Provisioned};
use countersign_model::{IdentityParts, Timestamp};
use countersign_store::Store;
use serde_json::{Map, Value, json};

use crate::clock;

const _: () = assert!(SCIM_BODY_BYTES_MAX <= BODY_BYTES_MAX, "what the door lets in is read");

/// Ends the logins of whoever is there no more, for all gateways.
pub(crate) struct Endings(pub(crate) Store);

/// The value of a claim that a directory knows people by.
fn known_by<'c>(realm: &Realm, claim: impl FnOnce(&str) -> Option<&'c Value>) -> Option<&'c str> {
    claim(&realm.claim).and_then(Value::as_str)
}

impl Departures for Endings {
    fn gone<'a>(&'a self, realm: &'a Realm, value: &'a str, now: Timestamp) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let why = "the identity provider took the account away";
            let ended = async {
                let mut count = 0_u32;
                for login in self.0.live_logins(now).await? {
                    let theirs = login.issuer == realm.issuer
                        && serde_json::from_str::<IdentityParts>(&login.identity).is_ok_and(|identity| {
                            let same = |v: &str| realm.same(v, value);
                            match realm.claim.as_str() {
                                "sub" => same(&identity.subject),
                                _ => known_by(realm, |claim| identity.claims.get(claim)).is_some_and(same),
                            }
                        });
                    if theirs && self.0.end_login(&login.id, now, why).await? {
                        count = count.saturating_add(1);
                    }
                }
                Ok::<u32, countersign_store::StoreError>(count)
            };
            match ended.await {
                Ok(count) => tracing::info!(realm = realm.label, count, "logins ended, because their account is gone"),
                // Whoever uses one is asked about, and is refused.
                Err(error) => tracing::warn!(%error, "the logins of somebody who is gone could not be ended"),
            }
        })
    }
}

/// An issuer's people, as its directory knows them.
pub(crate) struct OfRealm {
    pub(crate) directory: Arc<Directory>,
    pub(crate) label: String,
}

impl OfRealm {
    async fn ask(&self, value: Option<&str>) -> Provisioned {
        let Some(realm) = self.directory.realm(&self.label) else { return Provisioned::Unknown };
        let Some(value) = value else { return Provisioned::Ended };
        match self.directory.person(realm, value).await {
            Ok(Some(person)) => Provisioned::Groups(person.groups),
            Ok(None) => Provisioned::Ended,
            Err(error) => {
                tracing::warn!(%error, "a directory cannot say whether somebody is there");
                Provisioned::Unknown
            }
        }
    }

    fn realm(&self) -> Option<&Realm> {
        self.directory.realm(&self.label)
    }
}

impl AccountCheck for OfRealm {
    fn standing<'a>(&'a self, subject: &'a str, claims: &'a BTreeMap<String, Value>) -> BoxFuture<'a, AccountStanding> {
        Box::pin(async move {
            let value = self.realm().and_then(|realm| match realm.claim.as_str() {
                "sub" => Some(subject),
                _ => known_by(realm, |claim| claims.get(claim)),
            });
            match self.ask(value).await {
                Provisioned::Groups(now) if claims.get(PROVISIONED_GROUPS_CLAIM) == Some(&json!(now)) => {
                    AccountStanding::Stands
                }
                Provisioned::Groups(_) | Provisioned::AsClaimed => AccountStanding::Changed,
                Provisioned::Ended => AccountStanding::Ended,
                Provisioned::Unknown => AccountStanding::Unknown,
            }
        })
    }

    fn provisioned<'a>(&'a self, claims: &'a Map<String, Value>) -> BoxFuture<'a, Provisioned> {
        Box::pin(async move {
            let value = self.realm().and_then(|realm| known_by(realm, |claim| claims.get(claim)));
            self.ask(value).await
        })
    }
}

/// Directories behind their door.
pub(crate) struct DirectoryDoor(pub(crate) Arc<Directory>);

impl ScimDoors for DirectoryDoor {
    fn answer(&self, call: ScimCall) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            let request = ScimRequest {
                method: &call.method,
                path: &call.path,
                query: &call.query,
                authorization: call.authorization.as_ref().and_then(|a| a.expose_str()),
                body: &call.body,
            };
            let reply = self.0.answer(&request, clock::now()).await;
            let mut headers = vec![("content-type", "application/scim+json".to_owned())];
            headers.extend(reply.location.map(|l| ("location", l)));
            Answer { status: reply.status, headers, body: reply.body }
        })
    }
}
