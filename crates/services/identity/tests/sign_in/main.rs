//! How people sign in at the local issuer: codes, devices, refresh tokens, revocation; each thing that is good once, used twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod codes;
mod devices;
mod invitations;
mod orders;
mod world;
