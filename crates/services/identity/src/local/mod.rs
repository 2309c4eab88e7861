//! A small issuer of our own: accounts, keys that rotate, and the documents of OpenID Connect.
//!
//! It is a real issuer: others can verify its tokens from its public documents alone. Must never keep a password in clear, show a
//! private key, or let somebody guess passwords quickly.

mod accounts;
mod endpoints;
mod issuer;
mod limiter;
mod memory;
mod ports;
mod ring;
mod workload;

pub use accounts::{LoginFailure, NewAccount, PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, hash_password};
pub use endpoints::{FORM_BYTES_MAX, Reply, TokenRequest};
pub use issuer::{LocalFault, LocalIssuer, LocalIssuerConfig, MINT_LIFETIME_S_MAX, MintRequest};
pub use limiter::{Limiter, LimiterConfig};
pub use memory::{MemoryAccounts, MemoryKeys};
pub use ports::{Account, AccountStore, KeyStore, SigningKey, StoreFault};
pub use workload::GithubJob;
