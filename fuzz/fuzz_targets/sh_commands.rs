//! Searches for texts that break the classifier, or that the cache answers differently.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(countersign_fuzz::sh_commands::run);
