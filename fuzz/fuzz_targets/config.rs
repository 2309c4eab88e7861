//! Searches for configurations that break the reader.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(countersign_fuzz::config::run);
