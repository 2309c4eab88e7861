//! Any text is a configuration or a list of problems that can be shown.
//!
//! It must never open a file or read a variable: the reader is asked for the text alone.

use countersign_config::{PROBLEMS_MAX, ProtocolFacts, parse_str};

const PROTOCOLS: [ProtocolFacts; 1] = [ProtocolFacts { name: "postgres", port: 5432 }];

/// More than a screenful for every problem means that something is shown again and again.
const RENDERING_BYTES_MAX: usize = PROBLEMS_MAX * 8 * 1024;

/// Reads the input as a configuration.
///
/// # Panics
/// When the reader's answer makes no sense.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse_str(text, "fuzzed.toml", &PROTOCOLS) {
        Ok(loaded) => {
            let config = &loaded.config;
            assert!(!config.listeners.is_empty(), "a configuration without a listener was accepted");
            assert!(!config.targets.is_empty(), "a configuration without a target was accepted");
            for target in &config.targets {
                assert!(!target.accounts.is_empty(), "target {} has no account", target.name);
            }
        }
        Err(problems) => {
            let shown = problems.to_string();
            assert!(!shown.is_empty(), "refused without a reason");
            assert!(shown.len() <= RENDERING_BYTES_MAX, "{} bytes of problems", shown.len());
        }
    }
}
