//! `countersign config`: whether a configuration can be used, with what it refers to, and what every key means.

use clap::Subcommand;
use countersign_config::{Loaded, Severity};
use countersign_identity::FindingLevel;
use countersign_policy::{PolicyProblem, PolicySet};
use serde_json::Value;

use crate::cli::{ConfigFile, Format};
use crate::factors::missing;
use crate::failed::Failed;
use crate::house::{PROTOCOLS, language, policy_files};
use crate::{convert, output};

use super::paper::Paper;
use super::text::count;

/// `countersign config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Says everything that is wrong with a configuration, its policies and its issuers at once; exits 3 when something is.
    #[command(after_help = "Example: countersign config check --config /etc/countersign/countersign.toml")]
    Check {
        #[command(flatten)]
        config: ConfigFile,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Prints every section and key of the configuration, as Markdown.
    #[command(after_help = "Example: countersign config reference | less")]
    Reference,
}

/// Something to be said, for people and for programs.
struct Remark {
    error: bool,
    text: String,
    json: Value,
}

/// Runs it.
pub(crate) async fn run(command: ConfigCommand) -> Result<(), Failed> {
    let mut paper = Paper::new();
    match command {
        ConfigCommand::Reference => paper.line(countersign_config::reference().trim_end())?,
        ConfigCommand::Check { config, output } => check(&config, output, &mut paper).await?,
    }
    paper.done()
}

async fn check(file: &ConfigFile, format: Format, paper: &mut Paper) -> Result<(), Failed> {
    let mut remarks = Vec::new();
    match countersign_config::load(&file.config, &PROTOCOLS) {
        Err(problems) => {
            remarks.extend(problems.iter().map(of_config));
            if problems.more() > 0 {
                remarks.push(plain(&file.config.display().to_string(), &format!("and {} more", problems.more())));
            }
        }
        Ok(loaded) => {
            remarks.extend(loaded.warnings.iter().map(of_config));
            issuers(&loaded, &mut remarks);
            policies(&loaded, &mut remarks)?;
            conversions(&loaded, &mut remarks).await;
        }
    }
    let errors = remarks.iter().filter(|r| r.error).count() as u64;
    let warnings = remarks.len() as u64 - errors;
    let name = file.config.display();
    if format == Format::Json {
        paper.json(&serde_json::json!({
            "file": name.to_string(),
            "errors": errors,
            "warnings": warnings,
            "problems": remarks.into_iter().map(|r| r.json).collect::<Vec<_>>(),
        }))?;
    } else {
        for remark in &remarks {
            output::note(&format!("{}\n", remark.text.trim_end()));
        }
        if errors == 0 {
            paper.line(&format!("{name} can be used: no errors, {}", count(warnings, "warning")))?;
        }
    }
    paper.done()?;
    if errors == 0 {
        return Ok(());
    }
    Err(Failed::invalid(format!("{name}: {}, {}", count(errors, "error"), count(warnings, "warning"))))
}

fn of_config(problem: &countersign_config::Problem) -> Remark {
    Remark {
        error: problem.severity == Severity::Error,
        text: problem.to_string(),
        json: serde_json::to_value(problem).unwrap_or_default(),
    }
}

/// An error that stands nowhere in particular.
fn plain(file: &str, message: &str) -> Remark {
    Remark {
        error: true,
        text: format!("error: {message}"),
        json: serde_json::json!({ "severity": "error", "file": file, "line": 0, "column": 0, "message": message }),
    }
}

/// A problem of a policy, with the keys of a problem of the configuration.
fn of_policy(problem: &PolicyProblem, error: bool) -> Remark {
    let severity = if error { "error" } else { "warning" };
    let mut json = serde_json::json!({
        "severity": severity,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "key": "",
        "message": problem.message,
    });
    if let (Some(help), Some(map)) = (&problem.help, json.as_object_mut()) {
        map.insert("suggestion".to_owned(), help.as_str().into());
    }
    Remark { error, text: format!("{severity}: {problem}"), json }
}

fn issuers(loaded: &Loaded, remarks: &mut Vec<Remark>) {
    let issuers = match convert::issuers(&loaded.config) {
        Ok(issuers) => issuers,
        Err(e) => return remarks.push(plain("", &e.to_string())),
    };
    for finding in countersign_identity::check(&issuers) {
        let severity = match finding.level {
            FindingLevel::Error => Severity::Error,
            FindingLevel::Warning => Severity::Warning,
        };
        let key = format!("issuer.{}.{}", finding.issuer + 1, key_of(&finding.field));
        let mut problem = loaded.source.problem(severity, &key, &finding.message);
        problem.found = issuers.get(finding.issuer).map(|i| format!("the issuer {}", i.issuer));
        remarks.push(of_config(&problem));
    }
    for (n, domain) in convert::trust_domains(&loaded.config).iter().enumerate() {
        for (level, field, message) in domain.findings() {
            let severity = match level {
                FindingLevel::Error => Severity::Error,
                FindingLevel::Warning => Severity::Warning,
            };
            let key = format!("spiffe.{}.{}", n + 1, key_of(&field));
            let mut problem = loaded.source.problem(severity, &key, &message);
            problem.found = Some(format!("the trust domain {}", domain.trust_domain));
            remarks.push(of_config(&problem));
        }
    }
}

/// A finding's field as a key of the configuration, which counts from 1 and calls the issuer's URL so.
fn key_of(field: &str) -> String {
    let field = if field == "issuer" { "url" } else { field };
    let Some((list, rest)) = field.split_once('[') else { return field.to_owned() };
    let Some((index, rest)) = rest.split_once(']') else { return field.to_owned() };
    match index.parse::<usize>() {
        Ok(n) => format!("{list}.{}{rest}", n + 1),
        Err(_) => field.to_owned(),
    }
}

fn policies(loaded: &Loaded, remarks: &mut Vec<Remark>) -> Result<(), Failed> {
    match policy_files(&loaded.config) {
        Err(e) => remarks.push(plain("", &e.to_string())),
        Ok(files) => match PolicySet::load(&files, &language()?, 1) {
            Ok(set) => {
                remarks.extend(missing(&set, &loaded.config).iter().map(|p| of_policy(p, true)));
                remarks.extend(set.warnings().iter().map(|w| of_policy(w, false)));
            }
            Err(problems) => remarks.extend(problems.iter().map(|p| of_policy(p, true))),
        },
    }
    Ok(())
}

/// What only shows when the services take their settings: certificates that are none, keys that do not fit, limits.
async fn conversions(loaded: &Loaded, remarks: &mut Vec<Remark>) {
    let config = &loaded.config;
    let mut problems = Vec::new();
    problems.extend(convert::routes(config).err().map(|e| ("target", e.to_string())));
    problems.extend(convert::store(&config.store).err().map(|e| ("store", e.to_string())));
    problems.extend(convert::recording(config).check().err().map(|e| ("recording", e.to_string())));
    if let Some(vault) = &config.vault {
        let key = convert::vault_key(&vault.key).load().await;
        problems.extend(key.err().map(|e| ("vault.key", e.to_string())));
    }
    if config.local_issuer.is_some() && config.vault.is_none() {
        let what = "[local_issuer] needs a [vault]: its signing keys are kept sealed";
        problems.push(("local_issuer", what.to_owned()));
    }
    for (key, message) in problems {
        remarks.push(of_config(&loaded.source.problem(Severity::Error, key, &message)));
    }
}

#[cfg(test)]
mod tests {
    use super::key_of;

    #[test]
    fn fields_become_keys() {
        for (field, key) in [
            ("audiences", "audiences"),
            ("issuer", "url"),
            ("mapping[0].when", "mapping.1.when"),
            ("mapping[11].groups", "mapping.12.groups"),
            ("odd[x].y", "odd[x].y"),
        ] {
            assert_eq!(key_of(field), key);
        }
    }
}
