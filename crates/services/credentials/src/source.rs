//! Where the password of an account comes from. It is read at each use, so that a rotated file or secret needs no restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign_model::Secret;
use tokio::sync::Semaphore;

use crate::{CredentialError, Vault, secret_file};

/// The longest that reading a file may take: it may be on a network.
const FILE_TIMEOUT: Duration = Duration::from_secs(5);
/// Files read at one time; a stuck network folder must not use up all threads.
const FILE_READS_MAX: usize = 16;

static FILE_READS: std::sync::LazyLock<Arc<Semaphore>> =
    std::sync::LazyLock::new(|| Arc::new(Semaphore::new(FILE_READS_MAX)));

/// Where the password of an account comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file that others cannot read; one line end at its end is left out.
    File(PathBuf),
    /// The vault, by name.
    Vault(String),
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// When it is not there or cannot be read in time.
    pub async fn fetch(&self, vault: Option<&Vault>) -> Result<Secret, CredentialError> {
        match self {
            Self::Env(name) => variable(name),
            Self::File(path) => Ok(secret_file::without_line_end(&read_file(path.clone()).await?)),
            Self::Vault(name) => match vault {
                Some(vault) => vault.fetch(name).await,
                None => Err(CredentialError::NoVault(name.clone())),
            },
        }
    }
}

/// Reads a variable that is set and not empty.
pub(crate) fn variable(name: &str) -> Result<Secret, CredentialError> {
    use std::os::unix::ffi::OsStringExt as _;
    let value = std::env::var_os(name).map(|v| Secret::new(v.into_vec()));
    value.filter(|v| !v.is_empty()).ok_or_else(|| CredentialError::NotSet(name.to_owned()))
}

/// Reads a secret file without holding up the others.
pub(crate) async fn read_file(path: PathBuf) -> Result<Secret, CredentialError> {
    let slow = || CredentialError::File {
        path: path.clone(),
        why: format!("it could not be read within {} s", FILE_TIMEOUT.as_secs()),
    };
    let reading = async {
        let Ok(permit) = FILE_READS.clone().acquire_owned().await else { return Err(slow()) };
        let path = path.clone();
        let read = tokio::task::spawn_blocking(move || {
            // Held until the read ends, even when nobody waits for it any more.
            let _permit = permit;
            secret_file::read(&path)
        });
        read.await.unwrap_or_else(|_| Err(slow()))
    };
    tokio::time::timeout(FILE_TIMEOUT, reading).await.unwrap_or_else(|_| Err(slow()))
}
