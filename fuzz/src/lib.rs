//! What is fuzzed, one function a target: it takes any bytes and must neither panic, nor hang, nor grow without bound.
//!
//! `cargo +nightly fuzz run NAME` searches; `cargo test -p countersign-fuzz` replays the seeds in `corpus/NAME/` with cuts and changes on
//! any toolchain; `cargo run -p countersign-fuzz --bin NAME FILE...` replays single inputs. A new target is a module here, a line in
//! [`TARGETS`], a file in `fuzz_targets/`, a `[[bin]]` and at least one seed. An input that once broke something joins the seeds.

#[allow(
    dead_code,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the bench of the protocol's own tests, which uses more of it"
)]
#[path = "../../crates/protocols/postgres/tests/bench/mod.rs"]
mod bench;

pub mod config;
pub mod identity_doors;
pub mod jwt;
pub mod mask_detect;
pub mod mask_json;
pub mod postgres_client;
pub mod postgres_server;
pub mod recording_segment;
pub mod saml;
pub mod scim;
pub mod sh_commands;
pub mod sql_classify;
pub mod webauthn;

/// A fuzz target: its name and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by name.
pub const TARGETS: &[Target] = &[
    ("config", config::run),
    ("identity_doors", identity_doors::run),
    ("jwt", jwt::run),
    ("mask_detect", mask_detect::run),
    ("mask_json", mask_json::run),
    ("postgres_client", postgres_client::run),
    ("postgres_server", postgres_server::run),
    ("recording_segment", recording_segment::run),
    ("saml", saml::run),
    ("scim", scim::run),
    ("sh_commands", sh_commands::run),
    ("sql_classify", sql_classify::run),
    ("webauthn", webauthn::run),
];

/// Makes the `main` of a file in `fuzz_targets/`: the fuzzing engine's, or without one a replay of the files that are named.
#[macro_export]
macro_rules! target {
    ($run:path) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $run(data));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            std::env::args_os().skip(1).try_for_each(|path| std::fs::read(path).map(|data| $run(&data)))
        }
    };
}
