//! The process's limit of open files, raised as far as an unprivileged process may. It must never lower it.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one and returns the limit now in force (`u64::MAX` when there is none). A
/// session needs two descriptors and its recording one.
///
/// # Errors
/// When the system refuses; the old limit stays.
pub fn raise_file_limit() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return Ok(maximum.unwrap_or(u64::MAX));
    }
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_ends_at_the_hard_one() {
        let n = raise_file_limit().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum);
        assert!(n >= 256);
    }
}
