//! Secrets sealed in the store. A data key, itself sealed under the configured key, seals them: changing the configured key seals one
//! value anew, not all.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_model::{Secret, TargetName, Timestamp};
use countersign_store::{SealedSecret, Store};

use crate::sealing::Binding;
use crate::{CredentialError, Sealed, SealingKey};

/// The longest secret.
pub const SECRET_BYTES_MAX: usize = 16 * 1024;

/// Where the sealed data key is kept.
const DATA_KEY: &str = "vault.data_key";
const DATA_KEY_BINDING: Binding<'static> = Binding { purpose: "data-key", name: "", version: 1 };
const SECRET_PURPOSE: &str = "secret";
const OTHER_PURPOSE: &str = "other";

/// The open vault.
#[derive(Clone)]
pub struct Vault {
    store: Store,
    key: Arc<SealingKey>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({})", self.store.label())
    }
}

/// What may be shown of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretListing {
    /// Its name.
    pub name: String,
    /// Its version: how often it was set.
    pub version: u64,
    /// When this version was set.
    pub created_at: Timestamp,
}

impl Vault {
    /// Opens the vault in a store, and makes it when there is none.
    ///
    /// # Errors
    /// [`CredentialError::WrongKey`] when it was made under another key; when the store fails.
    pub async fn open(store: Store, key: &SealingKey) -> Result<Self, CredentialError> {
        let kept = match store.meta(DATA_KEY).await? {
            Some(kept) => kept,
            // Of two gateways that make it at the same moment, one is first, and both take its key.
            None => store.meta_or_insert(DATA_KEY, &wrap(key, &SealingKey::generate()?)?).await?,
        };
        let data_key = unwrap(key, &kept)?;
        Ok(Self { store, key: Arc::new(data_key) })
    }

    /// Seals the data key under `new` in the place of `old`. Secrets stay as they are; gateways need `new` when they start again.
    ///
    /// # Errors
    /// [`CredentialError::WrongKey`] when `old` is not the key; when the store fails or somebody else did the same.
    pub async fn change_key(store: &Store, old: &SealingKey, new: &SealingKey) -> Result<(), CredentialError> {
        let Some(kept) = store.meta(DATA_KEY).await? else {
            return Err(CredentialError::Unfit("there is no vault in this store yet".to_owned()));
        };
        let wrapped = wrap(new, &unwrap(old, &kept)?)?;
        if store.replace_meta(DATA_KEY, &kept, &wrapped).await? {
            Ok(())
        } else {
            Err(CredentialError::Unfit("the key of the vault was changed by somebody else: look again".to_owned()))
        }
    }

    /// Sets a secret, new or not, and gives its version.
    ///
    /// # Errors
    /// When the name or value cannot be as it is, or the store fails; on a conflict nothing was changed.
    pub async fn put(&self, name: &str, secret: &Secret, now: Timestamp) -> Result<u64, CredentialError> {
        fit(name, secret)?;
        let old = self.store.sealed_secret(name).await?.map(|s| s.version);
        self.save(name, secret, old, now).await
    }

    /// Sets a secret that is there already, and gives its version.
    ///
    /// # Errors
    /// [`CredentialError::NoSecret`] when it is not there; else as [`Vault::put`].
    pub async fn rotate(&self, name: &str, secret: &Secret, now: Timestamp) -> Result<u64, CredentialError> {
        fit(name, secret)?;
        let old = self.store.sealed_secret(name).await?.map(|s| s.version);
        if old.is_none() {
            return Err(CredentialError::NoSecret(name.to_owned()));
        }
        self.save(name, secret, old, now).await
    }

    async fn save(
        &self,
        name: &str,
        secret: &Secret,
        old: Option<u64>,
        now: Timestamp,
    ) -> Result<u64, CredentialError> {
        let version = old.unwrap_or(0).saturating_add(1);
        let sealed = self.key.seal(Binding { purpose: SECRET_PURPOSE, name, version }, secret)?;
        let record = SealedSecret {
            name: name.to_owned(),
            version,
            nonce: sealed.nonce.to_vec(),
            ciphertext: sealed.ciphertext,
            created_at: now,
        };
        self.store.save_sealed_secret(&record, old).await?;
        Ok(version)
    }

    /// Names, versions and times; no values.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self) -> Result<Vec<SecretListing>, CredentialError> {
        let listed = self.store.list_sealed_secrets().await?;
        let show = |l: countersign_store::SealedSecretListing| SecretListing {
            name: l.name,
            version: l.version,
            created_at: l.created_at,
        };
        Ok(listed.into_iter().map(show).collect())
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// [`CredentialError::NoSecret`] when it is not there; when the store fails.
    pub async fn remove(&self, name: &str) -> Result<(), CredentialError> {
        if self.store.remove_sealed_secret(name).await? {
            Ok(())
        } else {
            Err(CredentialError::NoSecret(name.to_owned()))
        }
    }

    /// The secret itself, for the dialler.
    ///
    /// # Errors
    /// When it is not there, was tampered with, or the store fails.
    pub async fn fetch(&self, name: &str) -> Result<Secret, CredentialError> {
        let Some(s) = self.store.sealed_secret(name).await? else {
            return Err(CredentialError::NoSecret(name.to_owned()));
        };
        let binding = Binding { purpose: SECRET_PURPOSE, name, version: s.version };
        self.key.open(binding, &s.nonce, &s.ciphertext)?.ok_or_else(|| CredentialError::Tampered(name.to_owned()))
    }

    /// Seals bytes that are kept elsewhere in the store, such as a signing key. They open under the same `name` alone.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn seal(&self, name: &str, bytes: &Secret) -> Result<Vec<u8>, CredentialError> {
        Ok(self.key.seal(Binding { purpose: OTHER_PURPOSE, name, version: 1 }, bytes)?.to_bytes())
    }

    /// Back from [`Vault::seal`].
    ///
    /// # Errors
    /// [`CredentialError::Tampered`] when the bytes or the name are others.
    pub fn unseal(&self, name: &str, sealed: &[u8]) -> Result<Secret, CredentialError> {
        let tampered = || CredentialError::Tampered(name.to_owned());
        let sealed = Sealed::from_bytes(sealed).ok_or_else(tampered)?;
        let binding = Binding { purpose: OTHER_PURPOSE, name, version: 1 };
        self.key.open(binding, &sealed.nonce, &sealed.ciphertext)?.ok_or_else(tampered)
    }
}

fn wrap(key: &SealingKey, data_key: &SealingKey) -> Result<String, CredentialError> {
    Ok(STANDARD.encode(key.seal(DATA_KEY_BINDING, data_key.material())?.to_bytes()))
}

fn unwrap(key: &SealingKey, kept: &str) -> Result<SealingKey, CredentialError> {
    let bytes = STANDARD.decode(kept).map_err(|_| CredentialError::WrongKey)?;
    let sealed = Sealed::from_bytes(&bytes).ok_or(CredentialError::WrongKey)?;
    let material = key.open(DATA_KEY_BINDING, &sealed.nonce, &sealed.ciphertext)?.ok_or(CredentialError::WrongKey)?;
    SealingKey::parse(&material)
}

/// The name is one that the configuration can say; the value is not empty and not too long.
fn fit(name: &str, secret: &Secret) -> Result<(), CredentialError> {
    if TargetName::parse(name).is_none() {
        let why = "a secret's name has 1 to 63 letters, digits, `_`, `-` or `.`, and starts with a letter or digit";
        return Err(CredentialError::Unfit(why.to_owned()));
    }
    match secret.expose().len() {
        0 => Err(CredentialError::Unfit("the secret is empty".to_owned())),
        n if n > SECRET_BYTES_MAX => {
            Err(CredentialError::Unfit(format!("the secret has {n} bytes, at most {SECRET_BYTES_MAX}")))
        }
        _ => Ok(()),
    }
}
