//! Second factors of people: security keys (WebAuthn) and codes (TOTP), shown beside a login for one thing and once.
//!
//! [`webauthn`] and [`totp`] check what is shown, without I/O or clock; [`SecondFactors`] keeps what people have and what was shown. Must never
//! take something that was shown for one thing as shown for another, take anything twice, let a session alone add to the factors of
//! somebody who has one, or keep the secret of a code in the clear.

mod error;
mod kept;
mod nonce;
mod service;
pub mod totp;
pub mod webauthn;

pub use kept::{FACTORS_MAX, FAILURES_MAX, LOCKED_S, LOCKED_S_MAX, NAME_CHARS_MAX, PENDING_S};
pub use nonce::{CHALLENGE_S, CHALLENGES_MAX, user_handle};
pub use service::{Fresh, Listed, Sealer, SecondFactors, SecondFactorsParts};
