//! Why a credential cannot be had. Texts name variables, files and secrets by name, never their contents.

use std::path::PathBuf;

use countersign_store::StoreError;

/// Why a credential cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The variable is not set, or empty.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// The file cannot be used.
    #[error("the file {} cannot be used: {why}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not, and what to do.
        why: String,
    },
    /// The command failed.
    #[error("the command {program} failed: {why}; run it by hand to see what it says")]
    Command {
        /// Which program; its arguments are left out.
        program: String,
        /// How it failed.
        why: String,
    },
    /// What should be a key is none.
    #[error("this is no key: {0}")]
    Key(String),
    /// The key does not open the vault.
    #[error("the key does not fit the vault: it is another key, or the store was changed")]
    WrongKey,
    /// A sealed secret does not open although the key fits.
    #[error("the stored secret \"{0}\" was changed or moved by somebody without the key: set it anew")]
    Tampered(String),
    /// There is no secret with this name.
    #[error("there is no secret \"{0}\" in the vault: `countersign credentials set {0}`")]
    NoSecret(String),
    /// A secret is wanted from the vault, and there is none.
    #[error("the secret \"{0}\" is in the vault, but no vault is configured")]
    NoVault(String),
    /// The name or the value of a secret cannot be as it is.
    #[error("{0}")]
    Unfit(String),
    /// The system has no random numbers, or its cryptography failed.
    #[error("sealing failed")]
    Sealing,
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
    /// The authority for logins at SSH targets cannot be used.
    #[error("the authority for logins at SSH targets cannot be used: {0}")]
    Authority(String),
    /// A certificate is wanted from the authority, and there is none.
    #[error("the account logs in with a certificate, and without a [vault] there is no authority that signs one")]
    NoAuthority,
    /// It took too long.
    #[error("no answer within {0} seconds")]
    TooSlow(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
