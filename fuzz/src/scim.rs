//! Any bytes as what an identity provider sends to its directory: a user, a change in part, a filter, a path.

use countersign_directory::exercise;

/// Shows it to everything that reads a body or a query.
///
/// # Panics
/// When what was kept is not read the same again.
pub fn run(data: &[u8]) {
    assert_eq!(exercise(data), Ok(()));
}
