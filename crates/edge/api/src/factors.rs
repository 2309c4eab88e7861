//! The doors of second factors: what somebody has, adding and removing, and an operator's order to begin anew. What they mean lives
//! elsewhere and is given by the binary.
//!
//! What somebody has is theirs alone, and changes only where they signed in at the console.

use std::fmt;
use std::sync::Arc;

use countersign_enforce::BoxFuture;

use crate::identity::DoorRequest;
use crate::issuer::Answer;
use crate::v1::{AddCodesBody, AddKeyBody, CodeBody, FactorChallengeBody, RemoveFactorBody, ResetFactorsBody};

/// What is asked of a door.
#[derive(Clone, Debug)]
pub enum FactorCall {
    /// `GET /v1/factors`: what the caller has.
    List,
    /// `POST /v1/factors/challenge`: what a key of theirs is to sign.
    Challenge(FactorChallengeBody),
    /// `POST /v1/factors/keys`: a key that was made.
    AddKey(AddKeyBody),
    /// `POST /v1/factors/codes`: a secret of codes.
    AddCodes(AddCodesBody),
    /// `POST /v1/factors/{id}/confirm`: its first code.
    Confirm(String, CodeBody),
    /// `POST /v1/factors/{id}/remove`.
    Remove(String, RemoveFactorBody),
    /// `POST /v1/factors/reset`: all that somebody has. Policy lets the caller.
    Reset(ResetFactorsBody),
}

/// Factors as their doors need them. The requests name their caller.
pub trait FactorDoors: Send + Sync {
    /// Answers one request.
    fn serve(&self, request: DoorRequest, call: FactorCall) -> BoxFuture<'_, Answer>;
}

/// The doors, to be routed.
#[derive(Clone)]
pub struct FactorDoor(pub Arc<dyn FactorDoors>);

impl fmt::Debug for FactorDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FactorDoor")
    }
}
