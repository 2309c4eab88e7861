//! Searches for segments of a recording that break its reader.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(countersign_fuzz::recording_segment::run);
