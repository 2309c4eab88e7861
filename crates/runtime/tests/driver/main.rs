//! The driver proved on real sockets with a toy protocol, so that nothing here depends on a real one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod certificates;
mod forwarding;
mod grants;
mod hosted;
mod inside;
mod lifetime;
mod locks;
mod memory;
mod target;
mod tls;
mod toy;
mod world;
