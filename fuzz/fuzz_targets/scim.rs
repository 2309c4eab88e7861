//! Searches for a change of a directory that breaks its reader.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(countersign_fuzz::scim::run);
