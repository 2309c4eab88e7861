//! `countersign policy test`: runs files of cases.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use countersign_model::{SessionContext, Target};
use countersign_policy::{SuiteReport, SuiteRunner, TestSuite};

use crate::cli::Format;
use crate::failed::Failed;

use super::super::paper::Paper;
use super::super::text::{count, inert};
use super::catalog::{Snapshot, fetch};
use super::{Loaded, Output, Rules};

/// `countersign policy test`.
#[derive(Debug, Args)]
pub(crate) struct Test {
    #[command(flatten)]
    rules: Rules,
    /// Files of cases; without any, those named *.test.toml beside the policies.
    #[arg(value_name = "FILE")]
    suites: Vec<PathBuf>,
    /// Fetch the catalogs of the configuration's targets, for cases with `text`.
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub(super) async fn run(args: &Test, paper: &mut Paper) -> Result<(), Failed> {
    let loaded = args.rules.load()?;
    let files = if args.suites.is_empty() { beside(&loaded.paths) } else { args.suites.clone() };
    if files.is_empty() {
        return Err(Failed::not_found(
            "there are no *.test.toml files beside the policies: name one, as in `countersign policy test FILE.test.toml`",
        ));
    }
    let mut suites = Vec::new();
    for path in &files {
        let name = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|e| Failed::not_found(format!("{name} cannot be read: {e}")))?;
        suites.push((name.clone(), TestSuite::parse(&name, &text).map_err(Failed::invalid)?));
    }
    let reports = report(args.live, &loaded, &suites).await?;
    let failed: usize = reports.iter().map(SuiteReport::failed).sum();
    if args.output.output == Format::Json {
        paper.json(&serde_json::json!({ "failed": failed, "suites": reports }))?;
    } else {
        for report in &reports {
            report.to_string().lines().try_for_each(|l| paper.line(&inert(l)))?;
        }
    }
    paper.done()?;
    if failed > 0 {
        return Err(Failed::new(format!("{} failed", count(failed as u64, "policy test"))));
    }
    Ok(())
}

/// The test files in the folders of the policies.
fn beside(policies: &[String]) -> Vec<PathBuf> {
    let folders: BTreeSet<&Path> = policies.iter().filter_map(|p| Path::new(p).parent()).collect();
    let mut found = Vec::new();
    for folder in folders {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        found.extend(entries.map(|e| e.path()).filter(|p| p.to_string_lossy().ends_with(".test.toml")));
    }
    found.sort();
    found
}

/// Runs the suites; when texts need catalogs that may be fetched, fetches them and runs again.
async fn report(live: bool, loaded: &Loaded, suites: &[(String, TestSuite)]) -> Result<Vec<SuiteReport>, Failed> {
    let mut catalogs: BTreeMap<String, Snapshot> = BTreeMap::new();
    loop {
        let wanted = RefCell::new(BTreeSet::new());
        let classify = |target: &Target, _: &SessionContext, text: &str| {
            let name = target.name.as_str();
            if let Some(snapshot) = catalogs.get(name) {
                return match snapshot.read(text) {
                    (shape, None) => Ok(shape),
                    (_, Some(missing)) => Err(format!("\"{name}\" has no \"{missing}\", so the text means nothing")),
                };
            }
            wanted.borrow_mut().insert(name.to_owned());
            Err(format!(
                "`text` is read against the catalog of \"{name}\": run with --live and a configuration that has the \
                 target, or give `access` and `attributes` instead"
            ))
        };
        let runner = SuiteRunner { policies: &loaded.set, classify: &classify, targets: &|name| loaded.target(name) };
        let reports = suites.iter().map(|(name, suite)| runner.run(name, suite)).collect();
        let wanted = wanted.into_inner();
        if !live || wanted.is_empty() {
            return Ok(reports);
        }
        for name in wanted {
            let Some(config) = &loaded.config else {
                return Err(Failed::invalid(
                    "--live needs the configuration that has the targets: name it with --config",
                ));
            };
            // Names alone matter to a test, so any account that can read the catalog will do.
            let snapshot = fetch(config, &name, None, &|_| true).await?;
            catalogs.insert(name, snapshot);
        }
    }
}
