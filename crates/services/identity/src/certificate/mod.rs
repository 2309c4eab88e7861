//! Client certificates of the gateway's own authority: made for a login's key, good for an hour at most, and without rights of their own.
//!
//! `request` reads what a client asks with, `authority` signs and verifies, `openssh` does so in the form that SSH clients take, `ring` keeps the authority's keys. Must never sign a key
//! whose holder did not prove it, nor read a right from a certificate: the store's login has them.

mod authority;
mod openssh;
mod request;
mod ring;

pub use authority::{AuthorityFault, CERTIFICATE_LIFETIME_S_MAX, IdentityAuthority};
pub(crate) use authority::{Leaf, hex};
pub(crate) use request::read_request;
pub(crate) use ring::set_times;
