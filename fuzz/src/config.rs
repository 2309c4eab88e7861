//! Any text is a configuration, or a file to be applied, or a list of problems that can be shown.
//!
//! It must never open a file or read a variable: the reader is asked for the text alone.

use countersign_config::{Applied, PROBLEMS_MAX, ProtocolFacts, SecretSource, TargetSpec, parse_str};

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
            // A gateway may begin without a target, but not without saying so.
            assert!(
                !config.targets.is_empty() || loaded.warnings.to_string().contains("[[target]]"),
                "no word of a missing target"
            );
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
    match Applied::parse(text, "fuzzed.toml", &PROTOCOLS) {
        Ok((file, _)) => assert!(file.targets.iter().all(names_nothing_here), "something of this machine was named"),
        Err(problems) => assert!(!problems.to_string().is_empty(), "refused without a reason"),
    }
}

/// Whether a target names no file and no variable.
fn names_nothing_here(target: &TargetSpec) -> bool {
    let own = |s: &Option<SecretSource>| matches!(s, Some(SecretSource::Env(_) | SecretSource::File(_)));
    let tls = [&target.tls.ca, &target.tls.certificate, &target.tls.key];
    let socket = matches!(target.endpoint, countersign_config::Endpoint::Unix(_));
    !socket
        && tls.iter().all(|path| path.is_none())
        && target.retention_days.is_none()
        && target.budget_bytes.is_none()
        && target.accounts.iter().all(|a| !own(&a.password) && !own(&a.key))
}
