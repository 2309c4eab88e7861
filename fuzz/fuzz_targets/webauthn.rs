//! Searches for what is shown as a second factor that breaks its reader.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(countersign_fuzz::webauthn::run);
