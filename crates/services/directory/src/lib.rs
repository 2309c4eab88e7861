//! Who is there, and in which groups, as identity providers keep it current: SCIM 2.0 (RFC 7643, RFC 7644).
//!
//! Each identity provider has a realm of its own, and a token that opens this realm alone. Somebody who is switched off or removed is told of at
//! once (`Departures`), and answers about them change with the same write. Must never keep a password, change one realm by the token of
//! another, or answer about somebody from memory.

mod fixed;
mod patch;
mod resource;
mod scim;

use std::sync::Arc;

use countersign_enforce::BoxFuture;
use countersign_model::{Secret, Timestamp};
use countersign_store::{DirectoryFilter, DirectoryKind, Store, StoreError};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

pub use patch::OPERATIONS_MAX;
pub use resource::{NAME_BYTES_MAX, RESOURCE_BYTES_MAX};
pub use scim::{BODY_BYTES_MAX, ScimReply, ScimRequest};

/// The shortest token, in bytes.
pub const TOKEN_BYTES_MIN: usize = 32;

/// What of somebody in the directory is the claim that their identity provider names them by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `externalId`.
    ExternalId,
    /// `userName`, without regard to case.
    UserName,
}

/// The directory of one identity provider.
#[derive(Clone)]
pub struct Realm {
    /// Its label, which is the identity provider's.
    pub label: String,
    /// The identity provider, as identities name it.
    pub issuer: String,
    /// What people are known by here.
    pub key: Key,
    /// The claim that has the same value; `sub` is the subject.
    pub claim: String,
    token: [u8; 32],
}

impl std::fmt::Debug for Realm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Realm").field("label", &self.label).field("key", &self.key).finish_non_exhaustive()
    }
}

impl Realm {
    /// A realm that this token opens.
    ///
    /// # Errors
    /// When the token is shorter than [`TOKEN_BYTES_MIN`].
    pub fn new(label: &str, issuer: &str, key: Key, claim: &str, token: &Secret) -> Result<Self, String> {
        if token.expose().len() < TOKEN_BYTES_MIN {
            return Err(format!("the token of the directory \"{label}\" is shorter than {TOKEN_BYTES_MIN} bytes"));
        }
        Ok(Self {
            label: label.to_owned(),
            issuer: issuer.to_owned(),
            key,
            claim: claim.to_owned(),
            token: Sha256::digest(token.expose()).into(),
        })
    }

    /// Whether two values are those of one person.
    pub fn same(&self, one: &str, other: &str) -> bool {
        match self.key {
            Key::ExternalId => one == other,
            Key::UserName => one.to_lowercase() == other.to_lowercase(),
        }
    }
}

/// Somebody in a directory who is switched on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The names of their groups, in order.
    pub groups: Vec<String>,
}

/// Hears of whoever is there no more.
pub trait Departures: Send + Sync {
    /// Somebody who was known by this value in this realm was switched off or removed, or is known by another now.
    fn gone<'a>(&'a self, realm: &'a Realm, known_by: &'a str, now: Timestamp) -> BoxFuture<'a, ()>;
}

/// The directories of all identity providers that have one.
pub struct Directory {
    store: Store,
    realms: Vec<Realm>,
    departures: Arc<dyn Departures>,
    base: String,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Directory")
    }
}

impl Directory {
    /// Puts it together; `base` is where it is served, such as `https://gw.example/scim/v2`.
    pub fn new(store: Store, realms: Vec<Realm>, departures: Arc<dyn Departures>, base: String) -> Self {
        Self { store, realms, departures, base }
    }

    /// The realm of this identity provider.
    pub fn realm(&self, label: &str) -> Option<&Realm> {
        self.realms.iter().find(|r| r.label == label)
    }

    /// The realm that a token opens.
    fn opened_by(&self, token: &str) -> Option<&Realm> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.realms.iter().find(|r| bool::from(r.token.ct_eq(&digest)))
    }

    /// Who is known by this value; `None` where nobody is, or they are switched off.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn person(&self, realm: &Realm, value: &str) -> Result<Option<Person>, StoreError> {
        let filter = match realm.key {
            Key::ExternalId => DirectoryFilter::ExternalId(value),
            Key::UserName => DirectoryFilter::Name(value),
        };
        let (found, _) = self.store.directory_page(&realm.label, DirectoryKind::User, filter, 0, 1).await?;
        let Some(user) = found.into_iter().find(|u| u.active) else { return Ok(None) };
        let groups = self.store.directory_groups_of(&realm.label, &user.id).await?;
        let mut groups: Vec<String> = groups.into_iter().map(|(_, name)| name).collect();
        groups.sort();
        Ok(Some(Person { groups }))
    }
}

/// Shows any bytes to whatever reads them here, for the fuzz target: as a change in part of something that is kept, and as a filter.
///
/// # Errors
/// What must never be: a resource that was taken is not taken again as it is shown.
#[doc(hidden)]
pub fn exercise(body: &[u8]) -> Result<(), &'static str> {
    let text = String::from_utf8_lossy(body);
    let _ = patch::equal(&text);
    let _ = patch::Path::read(&text);
    let Ok(serde_json::Value::Object(map)) = serde_json::from_slice(body) else { return Ok(()) };
    let Ok(serde_json::Value::Object(mut resource)) =
        serde_json::from_str(r#"{"userName":"mia","emails":[{"type":"work","value":"m"}],"name":{"givenName":"M"}}"#)
    else {
        return Err("the resource is no object");
    };
    if let Ok(all) = patch::operations(&map).and_then(patch::spread) {
        for operation in &all {
            let _ = patch::apply(&mut resource, operation);
        }
    }
    for map in [map, resource] {
        let Ok(sent) = resource::Sent::read(DirectoryKind::User, map) else { continue };
        let record = sent.record();
        match resource::Sent::read(DirectoryKind::User, resource::whole(&record)) {
            Ok(again) if again == sent => {}
            _ => return Err("what was kept is not read the same again"),
        }
    }
    Ok(())
}
