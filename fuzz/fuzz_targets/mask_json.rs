//! Searches for what breaks the masking of JSON.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(countersign_fuzz::mask_json::run);
