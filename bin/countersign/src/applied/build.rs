//! What a gateway enforces: its own configuration, and what was applied, checked together.
//!
//! It must never build anything of a set in which something is wrong, nor let what is applied take the place of what is the gateway's own.

use std::collections::HashSet;
use std::sync::Arc;

use countersign_api::{AppliedFile, FileProblemView};
use countersign_config::{Applied, Config, Loaded, Problem, SourceMap, merge};
use countersign_policy::{Language, PolicyFile, PolicyProblem, PolicySet};
use countersign_runtime::Route;

use crate::convert;
use crate::factors::missing;
use crate::failed::Failed;
use crate::house::{PROTOCOLS, policy_files};

/// Put before the paths of applied policies, so that nobody takes them for files of this machine.
const PREFIX: &str = "applied:";

/// While it is not known what was applied, nobody is let through to a target; the gateway's own API can be asked.
const SHUT: &str = r#"
@id("applied-configuration-unknown")
@description("What was applied cannot be put in force here. The gateway's log says why.")
forbid (principal, action, resource) unless { resource == Target::"countersign" };
"#;

/// The gateway's own configuration, as it was loaded last.
pub(crate) struct Own {
    pub(crate) config: Config,
    source: SourceMap,
    policies: Vec<PolicyFile>,
}

impl Own {
    /// With its policy files read.
    pub(crate) fn of(loaded: Loaded) -> Result<Self, Failed> {
        let policies = policy_files(&loaded.config)?;
        Ok(Self { config: loaded.config, source: loaded.source, policies })
    }
}

/// Everything that may change while sessions run, ready to be put in force.
pub(crate) struct Built {
    /// The configuration with the applied targets and tags.
    pub(crate) config: Config,
    /// The gateway's own policies and the applied ones.
    pub(crate) policies: Vec<PolicyFile>,
    pub(crate) set: Arc<PolicySet>,
    pub(crate) routes: Vec<Route>,
    pub(crate) warnings: Vec<FileProblemView>,
    /// What they say of secrets that they name, should these not be there.
    pub(crate) secrets: Vec<(String, FileProblemView)>,
}

/// Builds it, or says everything that is wrong. `started` is the configuration that this process started with.
pub(crate) fn build(
    own: &Own,
    started: &Config,
    files: &[AppliedFile],
    language: &Arc<Language>,
) -> Result<Built, Vec<FileProblemView>> {
    let mut problems = Vec::new();
    let mut seen = HashSet::new();
    for file in files.iter().filter(|f| !seen.insert(f.path.as_str())) {
        problems.push(of_config(&Problem::about(&file.path, "there are two files with this path")));
    }
    let (mut parts, mut warnings) = (Vec::new(), Vec::new());
    for file in files.iter().filter(|f| !is_policy(f)) {
        match Applied::parse(&file.text, &file.path, &PROTOCOLS) {
            Ok((part, doubts)) => {
                parts.push(part);
                warnings.extend(doubts.iter().map(of_config));
            }
            Err(wrong) => problems.extend(wrong.iter().map(of_config)),
        }
    }
    let merged = match merge(&own.config, &own.source, &parts) {
        Ok((config, doubts)) => {
            warnings.extend(doubts.iter().map(of_config));
            Some(config)
        }
        Err(wrong) => {
            problems.extend(wrong.iter().map(of_config));
            None
        }
    };
    let mut routes = Vec::new();
    for target in merged.iter().flat_map(|c| &c.targets) {
        match convert::route(target, &own.config.gateway.ask) {
            Ok(route) => routes.push(route),
            Err(e) => {
                let why = e.to_string();
                let applied = parts.iter().find_map(|p| p.problem_of(&target.name, &why));
                problems.push(of_config(&applied.unwrap_or_else(|| Problem::about("", &why))));
            }
        }
    }
    let policies: Vec<PolicyFile> = own.policies.iter().cloned().chain(files.iter().filter_map(policy_file)).collect();
    let set = match PolicySet::load(&policies, language, 0) {
        Ok(set) => {
            problems.extend(missing(&set, started).iter().map(of_policy));
            Some(set)
        }
        Err(wrong) => {
            problems.extend(wrong.iter().map(of_policy));
            None
        }
    };
    let (Some(config), Some(set), true) = (merged, set, problems.is_empty()) else { return Err(problems) };
    warnings.extend(set.warnings().iter().filter(|w| w.file.starts_with(PREFIX)).map(of_policy));
    let secrets = parts.iter().flat_map(Applied::secrets).map(|(name, p)| (name.to_owned(), of_config(&p))).collect();
    Ok(Built { config, policies, set, routes, warnings, secrets })
}

/// The gateway's own configuration with everything shut but the gateway's API.
pub(crate) fn build_shut(own: &Own, started: &Config, language: &Arc<Language>) -> Result<Built, Vec<FileProblemView>> {
    let shut = AppliedFile { path: "shut.cedar".to_owned(), text: SHUT.to_owned() };
    build(own, started, &[shut], language)
}

/// The policies of some files, by themselves.
pub(crate) fn policy_set(files: &[AppliedFile], language: &Arc<Language>) -> Option<Arc<PolicySet>> {
    let policies: Vec<PolicyFile> = files.iter().filter_map(policy_file).collect();
    PolicySet::load(&policies, language, 0).ok()
}

/// Whether it is one, by its name.
pub(crate) fn is_policy(file: &AppliedFile) -> bool {
    file.path.ends_with(".cedar")
}

fn policy_file(file: &AppliedFile) -> Option<PolicyFile> {
    is_policy(file).then(|| PolicyFile { path: format!("{PREFIX}{}", file.path), text: file.text.clone() })
}

/// The path of a file as it was sent.
pub(crate) fn sent_path(path: &str) -> &str {
    path.strip_prefix(PREFIX).unwrap_or(path)
}

fn of_config(p: &Problem) -> FileProblemView {
    FileProblemView {
        file: p.file.clone(),
        line: p.line as u64,
        column: p.column as u64,
        key: p.key.clone(),
        message: p.message.clone(),
        found: p.found.clone(),
        expected: p.expected.clone(),
        suggestion: p.suggestion.clone(),
    }
}

fn of_policy(p: &PolicyProblem) -> FileProblemView {
    FileProblemView {
        file: sent_path(&p.file).to_owned(),
        line: u64::from(p.line),
        column: u64::from(p.column),
        key: String::new(),
        message: p.message.replace(PREFIX, ""),
        found: None,
        expected: None,
        suggestion: p.help.clone(),
    }
}

/// A problem as text, for logs and for those who asked for one answer.
pub(crate) fn told(p: &FileProblemView) -> String {
    let mut out = p.file.clone();
    if p.line > 0 {
        out.push_str(&format!(":{}:{}", p.line, p.column));
    }
    if !out.is_empty() {
        out.push_str(": ");
    }
    out.push_str(&p.message);
    for (word, text) in [("found", &p.found), ("expected", &p.expected), ("help", &p.suggestion)] {
        if let Some(text) = text {
            out.push_str(&format!("\n  {word}: {text}"));
        }
    }
    out
}

/// All of them as one failure.
pub(crate) fn failed(problems: &[FileProblemView]) -> Failed {
    Failed::invalid(problems.iter().map(told).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use countersign_policy::RuleEffect;

    use super::*;
    use crate::house::language;

    const CONFIG: &str = r#"
[[listener]]
protocol = "postgres"
address = "127.0.0.1:6432"

[local_issuer]

[vault]
key = { file = "vault.key" }

[[target]]
name = "orders"
protocol = "postgres"
host = "127.0.0.1"
tls = { mode = "disable" }

[[target.account]]
default = true
user = "app"
"#;
    const OWN_RULES: &str =
        "@id(\"own\")\nforbid (principal, action == Action::\"admin\", resource == Target::\"orders\");";
    const TARGET: &str = "[[target]]\nname = \"web\"\nprotocol = \"ssh\"\nhost = \"web.internal\"\n\
                          [[target.account]]\ndefault = true\nuser = \"app\"\nkey = { vault = \"web\" }\n";

    fn own() -> Own {
        let loaded = countersign_config::parse_str(CONFIG, "own.toml", &PROTOCOLS).unwrap();
        let policies = vec![PolicyFile { path: "/etc/own.cedar".to_owned(), text: OWN_RULES.to_owned() }];
        Own { config: loaded.config, source: loaded.source, policies }
    }

    fn built(files: &[(&str, &str)]) -> Result<Built, String> {
        let own = own();
        let files: Vec<AppliedFile> =
            files.iter().map(|(p, t)| AppliedFile { path: (*p).to_owned(), text: (*t).to_owned() }).collect();
        let all = |p: Vec<FileProblemView>| p.iter().map(told).collect::<Vec<_>>().join("\n---\n");
        build(&own, &own.config, &files, &language().unwrap()).map_err(all)
    }

    #[test]
    fn everything_wrong_is_told_at_once_in_the_senders_paths() {
        let permit = "@id(\"mine\")\npermit (principal, action, resource);";
        let own_id = permit.replace("mine", "own");
        let told = built(&[
            ("p/a.cedar", "permit (principl, action, resource);"),
            ("p/b.cedar", &own_id),
            ("t/a.toml", "[[target]]\nname = \"x\"\nhots = \"h\"\n"),
            ("t/b.toml", &TARGET.replace("web", "orders").replace("ssh", "postgres")),
            ("t/b.toml", ""),
        ])
        .err()
        .unwrap();
        for part in [
            "p/a.cedar:1:",
            "did you mean `host`?",
            "t/a.toml:3:",
            "two targets \"orders\"",
            "t/b.toml:2:",
            "own.toml:12",
            "there are two files with this path",
        ] {
            assert!(told.contains(part), "without {part}: {told}");
        }
        let told = built(&[("p/b.cedar", &own_id)]).err().unwrap();
        assert!(told.contains("p/b.cedar:1:") && told.contains("is taken by the rule at /etc/own.cedar:1"), "{told}");
        let told = built(&[("p/b.cedar", permit), ("p/c.cedar", permit)]).err().unwrap();
        assert!(told.contains("is taken by the rule at p/b.cedar:1"), "{told}");
        // An SSH target without keys is found only when the way to it is built.
        let told = built(&[("t/a.toml", TARGET)]).err().unwrap();
        assert!(told.contains("t/a.toml:2:") && told.contains("host_keys is missing"), "{told}");
    }

    #[test]
    fn what_is_the_gateways_own_stays_in_force() {
        let permit = "@id(\"mine\")\npermit (principal, action == Action::\"admin\", resource);";
        let built = built(&[("p.cedar", permit)]).unwrap();
        let rules: Vec<_> = built.set.rules().map(|r| (r.id.as_str(), r.effect, &*r.file)).collect();
        assert_eq!(
            rules,
            [("own", RuleEffect::Forbid, "/etc/own.cedar"), ("mine", RuleEffect::Permit, "applied:p.cedar")]
        );
        assert_eq!(built.routes.len(), 1);
    }

    #[test]
    fn shut_is_shut_but_for_the_api() {
        let own = own();
        let built = build_shut(&own, &own.config, &language().unwrap()).map_err(|p| failed(&p)).unwrap();
        let rule = built.set.rules().find(|r| r.id.as_str() == "applied-configuration-unknown").unwrap();
        assert_eq!(rule.effect, RuleEffect::Forbid);
        assert_eq!(built.config, own.config);
    }
}
