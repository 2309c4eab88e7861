//! Searches for bytes of a PostgreSQL client that break the machine.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(countersign_fuzz::postgres_client::run);
