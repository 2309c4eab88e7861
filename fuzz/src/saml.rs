//! Any bytes as what an identity provider sends: responses, assertions, metadata.
//!
//! Nobody has the key that is known, so that nothing may be believed; and whatever can be read has one canonical form.

use countersign_identity::saml::exercise;

/// Shows it to everything that reads a document.
///
/// # Panics
/// When something is believed that was not signed, or a canonical form is not stable.
pub fn run(data: &[u8]) {
    let outcome = exercise(data);
    assert_eq!(outcome, Ok(()));
}
