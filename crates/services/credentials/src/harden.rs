//! Keeps secrets in memory from reaching a disk or another process.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids core dumps of this process, and keeps other processes of the same user from reading its memory. To be called once, at the
/// start, before any secret is read.
///
/// # Errors
/// When the system refuses; then the process should not go on.
pub fn harden_process() -> std::io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
