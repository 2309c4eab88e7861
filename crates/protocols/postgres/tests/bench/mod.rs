//! A bench for the protocol's machine: it is driven as the runtime would, with a scripted policy, a recorder in memory, and a target that
//! is a real server or a fake one. No test of its own: see `tests/session/`, and the fuzz targets, which use it too.

pub(crate) mod fake;
pub(crate) mod through;
pub(crate) mod wire;
pub(crate) mod world;
