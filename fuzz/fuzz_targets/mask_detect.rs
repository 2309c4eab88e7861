//! Searches for what breaks the content detectors, or makes a stream differ from the whole.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(countersign_fuzz::mask_detect::run);
