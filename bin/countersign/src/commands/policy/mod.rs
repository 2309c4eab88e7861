//! `countersign policy`: are the rules right, do they answer as their tests say, and why is an answer what it is.
//!
//! Nothing here lets anybody in: identities are described, not verified.

pub(super) mod catalog;
mod check;
mod explain;
mod lineage;
mod question;
mod replay;
mod test;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use countersign_config::Config;
use countersign_model::Target;
use countersign_policy::{PolicyFile, PolicySet};

use crate::cli::{ConfigFile, Format};
use crate::failed::Failed;
use crate::house::{language, policy_file, policy_files, policy_problems};

pub(super) use lineage::{Judged, judge_text};

use super::config_alone;
use super::paper::Paper;

/// `countersign policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Checks policies against everything that this build can enforce; every problem at once, exits 3 when there is one.
    #[command(after_help = "Examples: countersign policy check policies/*.cedar\n          \
                            countersign policy check --config countersign.toml")]
    Check(check::Check),
    /// Runs policy tests; exits 1 when one fails.
    #[command(after_help = "Examples: countersign policy test policy.test.toml --policy policy.cedar\n          \
                            countersign policy test --config countersign.toml\n\n\
                            Without test files, those named *.test.toml beside the policies are run. A case with `text` is read \
                            against the target's own catalog, which is fetched with --live.")]
    Test(test::Test),
    /// Says why something is allowed or denied, with every rule that mattered.
    #[command(after_help = "Examples:\n  \
                            countersign policy explain --session 01JGV2… --seq 7\n  \
                            countersign policy explain --identity ana --target shop 'select salary from staff'\n  \
                            countersign policy explain --identity bot --kind machine --claim ref=refs/heads/main \\\n      \
                            --target shop --access write --attribute relations=public.orders\n\n\
                            A statement given as text is read against the target's own catalog: the gateway's account for such an \
                            identity is used, and nothing but the catalog is asked for. The exit code is 0 whatever the answer is.")]
    Explain(Box<explain::Explain>),
    /// Judges what was recorded by the policies on disk and says what would change; exits 1 when something would.
    #[command(after_help = "Examples:\n  \
                            countersign policy replay --config countersign.toml --since 7d\n  \
                            countersign policy replay --policy new.cedar --session 01JGV2… --output json\n\n\
                            Statements are judged as they were understood when they were recorded, for the identity as it was, at that \
                            time. Logins that were refused, and what clients would have done after another answer, are not part of it.")]
    Replay(Box<replay::Replay>),
    /// Prints the Cedar schema: everything that policies may talk about.
    #[command(after_help = "Example: countersign policy schema > countersign.cedarschema")]
    Schema,
}

/// Which policies.
#[derive(Clone, Debug, Args)]
pub(super) struct Rules {
    #[command(flatten)]
    config: ConfigFile,
    /// A policy file, instead of those of the configuration; may be given several times.
    #[arg(long = "policy", value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Policies, and the configuration they came with, if there is one.
struct Loaded {
    set: Arc<PolicySet>,
    paths: Vec<String>,
    config: Option<Config>,
}

impl Rules {
    /// Those of a configuration.
    pub(super) fn of(config: PathBuf) -> Self {
        Self { config: ConfigFile { config }, files: Vec::new() }
    }

    fn load(&self) -> Result<Loaded, Failed> {
        // With files given, a configuration is welcome for its targets, and not needed.
        let config = if self.files.is_empty() || self.config.config.exists() {
            Some(config_alone(&self.config.config)?)
        } else {
            None
        };
        let files = self.files(config.as_ref())?;
        let set = PolicySet::load(&files, &language()?, 1).map_err(|p| policy_problems(&p))?;
        Ok(Loaded { set, paths: files.into_iter().map(|f| f.path).collect(), config })
    }

    fn files(&self, config: Option<&Config>) -> Result<Vec<PolicyFile>, Failed> {
        match config {
            Some(config) if self.files.is_empty() => policy_files(config),
            _ => self.files.iter().map(policy_file).collect(),
        }
    }
}

impl Loaded {
    /// A target of the configuration.
    fn target(&self, name: &str) -> Option<Target> {
        let spec = self.config.as_ref()?.targets.iter().find(|t| t.name.as_str() == name)?;
        Some(Target {
            name: spec.name.clone(),
            protocol: spec.protocol.as_str().into(),
            labels: spec.labels.clone(),
            record: spec.record,
            durable: spec.durable,
            tagging: Arc::new(spec.tagging.clone()),
        })
    }
}

/// The folder that all files are in, with its slash; a text that is in no path when they are in several.
fn folder<S: AsRef<str>>(paths: &[S]) -> &str {
    fn of(path: &str) -> Option<&str> {
        path.rfind('/').and_then(|slash| path.get(..=slash))
    }
    let first = paths.first().and_then(|p| of(p.as_ref()));
    let all = paths.iter().all(|p| of(p.as_ref()) == first);
    first.filter(|_| all).unwrap_or("\0")
}

/// How to print, for those who list and show.
#[derive(Clone, Copy, Debug, Args)]
struct Output {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(crate) async fn run(command: Policy) -> Result<(), Failed> {
    let mut paper = Paper::new();
    let result = match command {
        Policy::Check(args) => check::run(&args, &mut paper),
        Policy::Test(args) => test::run(&args, &mut paper).await,
        Policy::Explain(args) => explain::run(*args, &mut paper).await,
        Policy::Replay(args) => replay::run(&args, &mut paper),
        Policy::Schema => paper.line(language()?.schema_text().trim_end()),
    };
    paper.done()?;
    result
}

#[cfg(test)]
mod tests {
    use super::folder;

    #[test]
    fn files_of_one_folder_share_it() {
        for (paths, expected) in [
            (&["/a/x.cedar", "/a/y.cedar"][..], "/a/"),
            (&["b/x.cedar"], "b/"),
            (&["/a/x.cedar", "/b/y.cedar"], "\0"),
            (&["x.cedar"], "\0"),
            (&[], "\0"),
        ] {
            assert_eq!(folder(paths), expected, "{paths:?}");
        }
    }
}
