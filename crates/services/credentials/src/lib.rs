//! Accounts at targets: whose is used for whom, and where its password comes from, or who signs its certificate.
//!
//! Implements [`countersign_enforce::Credentials`]. Passwords come from the environment, from files, or from the [`Vault`], which keeps
//! them sealed in the store under a key that is not there. It must never put a secret in a log, an error, a `Debug` text or a core dump,
//! and never give a target's password to anything but the dialler.

mod accounts;
mod command;
mod error;
mod harden;
mod key_source;
mod sealing;
mod secret_file;
mod source;
mod ssh_authority;
mod vault;

pub use accounts::{Account, AccountBook, AccountMatch, FETCH_TIMEOUT};
pub use command::{COMMAND_OUTPUT_BYTES_MAX, COMMAND_TIMEOUT};
pub use error::CredentialError;
pub use harden::harden_process;
pub use key_source::{KeySource, create_key_file};
pub use sealing::{KEY_BYTES, Sealed, SealingKey};
pub use secret_file::SECRET_FILE_BYTES_MAX;
pub use source::SecretSource;
pub use ssh_authority::{CERTIFICATE_BEGINS_BEFORE_S, CERTIFICATE_LIFETIME_S, SshAuthority, SshLogin};
pub use vault::{SECRET_BYTES_MAX, SecretListing, Vault};
