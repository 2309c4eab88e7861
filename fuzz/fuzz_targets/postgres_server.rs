//! Searches for bytes of a PostgreSQL target that break the machine.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(countersign_fuzz::postgres_server::run);
