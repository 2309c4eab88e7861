//! From what goes wrong below to what people are told.

use countersign_enforce::NoFactor;
use countersign_store::StoreError;

use crate::webauthn::Fault;

/// What the store says.
pub(crate) fn unavailable(e: StoreError) -> NoFactor {
    NoFactor::Unavailable(e.to_string())
}

/// What is wrong with something that a key signed.
impl From<Fault> for NoFactor {
    fn from(fault: Fault) -> Self {
        Self::Wrong(fault.as_str())
    }
}
