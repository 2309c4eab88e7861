//! Searches for tokens that break the verifier, or that it should not have believed.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(countersign_fuzz::jwt::run);
