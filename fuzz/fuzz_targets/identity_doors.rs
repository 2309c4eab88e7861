//! Searches for what breaks the doors of identity, or lets somebody in.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(countersign_fuzz::identity_doors::run);
