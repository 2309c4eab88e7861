//! A small issuer of our own: accounts, keys that rotate, the documents of OpenID Connect, and the pages on which people sign in.
//!
//! It is a real issuer: others can verify its tokens from its public documents alone. Must never keep a password in clear, show a
//! private key, or let somebody guess passwords quickly.

mod accounts;
mod clients;
mod code;
mod device;
mod endpoints;
mod invitation;
mod issuer;
mod limiter;
mod memory;
mod messages;
mod page;
mod ports;
mod revocation;
mod ring;
mod sign_in;
mod workload;

pub use accounts::{LoginFailure, NewAccount, PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, hash_password};
pub use clients::{CLI_CLIENT_ID, CLI_SCOPES, CLIENTS_MAX, ClientConfig};
pub use code::CODE_LIFETIME_S;
pub use device::{DEVICE_INTERVAL_S, DEVICE_LIFETIME_S};
pub use issuer::{LocalFault, LocalIssuer, LocalIssuerConfig, MINT_LIFETIME_S_MAX, MintRequest};
pub use limiter::{Limiter, LimiterConfig};
pub use memory::{MemoryAccounts, MemoryKeys, MemoryShortLived};
pub use messages::{FORM_BYTES_MAX, PageRequest, Reply, TokenRequest};
pub use ports::{
    Account, AccountStore, Added, KeyStore, ShortLived, ShortLivedKind, ShortLivedStore, SigningKey, StoreFault,
};
pub(crate) use ring::{KEY_LIFETIME_S, current as current_key, is_over as key_is_over, load_keys};
pub use sign_in::{FAMILIES_MAX, REFRESH_LIFETIME_S_MAX, SignInConfig};
pub use workload::GithubJob;
