//! Files that are applied over the API, and how they go together with the gateway's own configuration.
//!
//! It must never let an applied file name anything of the gateway's machine, change what the operator wrote there, or use a secret
//! that it uses: whoever may apply could send it to an address of their choice.

use std::collections::HashMap;

use countersign_model::{TagRule, TargetName};

use crate::decode::{self, Places};
use crate::excerpt::Source;
use crate::model::{Config, SecretSource, TargetSpec};
use crate::problem::{Problem, Problems, Severity};
use crate::read::{At, Fault, Sink};
use crate::source_map::SourceMap;
use crate::{FILE_BYTES_MAX, ProtocolFacts, schema, suggest, surroundings};

/// A file that was read.
pub struct Applied {
    /// Its targets.
    pub targets: Vec<TargetSpec>,
    /// Its rules about tags, each with its target.
    pub tags: Vec<(TargetName, TagRule)>,
    tag_places: Vec<At<TargetName>>,
    places: Places,
    source: Source,
}

/// Without the text.
impl std::fmt::Debug for Applied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Applied({}, {} targets, {} tags)", self.source.file_name(), self.targets.len(), self.tags.len())
    }
}

impl Applied {
    /// Reads a file without looking at anything else, and warnings. Total: any text gives a file or problems.
    ///
    /// # Errors
    /// Every problem found, in the order of the text.
    pub fn parse(text: &str, file_name: &str, protocols: &[ProtocolFacts]) -> Result<(Self, Problems), Problems> {
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(Problems::unreadable(file_name, surroundings::too_large(text.len() as u64)));
        }
        let (tree, faults) = toml::de::DeTable::parse_recoverable(text);
        let source = Source::new(file_name, text, tree.get_ref());
        let mut sink = Sink::new(&source);
        sink.syntax(&faults);
        let decoded = decode::applied(tree.get_ref(), protocols, &mut sink);
        if !faults.is_empty() {
            sink.distrust();
        }
        let (errors, warnings) = sink.finish();
        if !errors.is_empty() {
            return Err(errors);
        }
        let (tag_places, tags): (Vec<_>, Vec<_>) =
            decoded.tags.into_iter().map(|(at, rule)| (at.clone(), (at.value, rule))).unzip();
        Ok((Self { targets: decoded.targets, tags, tag_places, places: decoded.places, source }, warnings))
    }

    /// A problem with one of its targets, for those who check further.
    pub fn problem_of(&self, target: &TargetName, message: &str) -> Option<Problem> {
        let at = self.places.targets.iter().find(|t| t.value == *target)?;
        Some(self.problem(Severity::Error, at, message, None, None))
    }

    /// The secrets of the vault that it names, each with a warning that it is not there.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, Problem)> {
        self.places.vault_uses.iter().map(|at| {
            let message = format!("there is no secret \"{}\" in the vault yet", crate::read::cut(&at.value));
            let help = format!("keep it: countersign credentials set {}", crate::read::cut(&at.value));
            (at.value.as_str(), self.problem(Severity::Warning, at, &message, None, Some(help)))
        })
    }

    fn problem<T>(
        &self,
        severity: Severity,
        at: &At<T>,
        message: &str,
        found: Option<String>,
        suggestion: Option<String>,
    ) -> Problem {
        let fault = Fault { found, suggestion, ..Fault::new(at.span.clone(), at.key.clone(), message.to_owned()) };
        let mut sink = Sink::new(&self.source);
        match severity {
            Severity::Error => sink.error(fault),
            Severity::Warning => sink.warning(fault),
        }
        let (errors, warnings) = sink.finish();
        let first = errors.iter().chain(&warnings).next().cloned();
        // One was just put there.
        first.unwrap_or_else(|| Problem::about(self.source.file_name(), message))
    }

    fn place<T>(&self, at: &At<T>) -> String {
        format!("{}:{}", self.source.file_name(), self.source.place(&at.span).line)
    }
}

/// The gateway's own configuration with everything that the files add to it, and warnings. What is in both is an error that names
/// both places.
///
/// # Errors
/// Every problem, in the order of the files.
pub fn merge(own: &Config, source: &SourceMap, files: &[Applied]) -> Result<(Config, Problems), Problems> {
    let mut merger = Merger { own, source, config: own.clone(), errors: Vec::new(), warnings: Vec::new() };
    merger.targets(files);
    merger.tags(files);
    merger.secrets(files);
    let Merger { config, errors, warnings, .. } = merger;
    if errors.is_empty() { Ok((config, Problems::of(warnings))) } else { Err(Problems::of(errors)) }
}

struct Merger<'a> {
    own: &'a Config,
    source: &'a SourceMap,
    config: Config,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

const OWN: &str = "the gateway's own configuration";

impl Merger<'_> {
    fn error<T>(&mut self, file: &Applied, at: &At<T>, message: &str, found: Option<String>, help: Option<String>) {
        self.errors.push(file.problem(Severity::Error, at, message, found, help));
    }

    fn targets(&mut self, files: &[Applied]) {
        let mut seen: HashMap<TargetName, String> = HashMap::new();
        for (n, t) in self.own.targets.iter().enumerate() {
            let place = self.source.place(&format!("target.{}.name", n + 1));
            seen.insert(t.name.clone(), format!("in {OWN}, {place}"));
        }
        for file in files {
            for (at, target) in file.places.targets.iter().zip(&file.targets) {
                if let Some(first) = seen.get(&at.value) {
                    let found = Some(format!("the first is {first}"));
                    self.error(file, at, &format!("there are two targets \"{}\"", at.value), found, None);
                    continue;
                }
                seen.insert(at.value.clone(), file.place(at));
                if self.config.targets.len() >= schema::TARGETS_MAX {
                    self.error(file, at, "there are too many targets", None, None);
                    return;
                }
                if !self.own.listeners.iter().any(|l| l.protocol == target.protocol) {
                    let message =
                        format!("no listener speaks {}, so that nobody can reach this target", target.protocol);
                    self.warnings.push(file.problem(Severity::Warning, at, &message, None, None));
                }
                self.config.targets.push(target.clone());
            }
        }
    }

    fn tags(&mut self, files: &[Applied]) {
        let index: HashMap<TargetName, usize> =
            self.config.targets.iter().enumerate().map(|(n, t)| (t.name.clone(), n)).collect();
        let mut seen: HashMap<(TargetName, TagRule), String> = HashMap::new();
        for (n, t) in self.config.targets.iter().enumerate() {
            let place = if n < self.own.targets.len() {
                format!("in {OWN}, {}", self.source.place(&format!("target.{}.name", n + 1)))
            } else {
                "with the target itself".to_owned()
            };
            for rule in &t.tagging.rules {
                seen.insert((t.name.clone(), rule.clone()), place.clone());
            }
        }
        for file in files {
            for (at, (name, rule)) in file.tag_places.iter().zip(&file.tags) {
                let target = index.get(name).and_then(|n| self.config.targets.get_mut(*n));
                let Some(target) = target else {
                    let names: Vec<&str> = index.keys().map(TargetName::as_str).collect();
                    let meant = suggest::nearest(name.as_str(), names.iter().copied());
                    let help = meant.map(|n| format!("did you mean \"{n}\"?"));
                    self.error(file, at, &format!("there is no target \"{name}\""), None, help);
                    continue;
                };
                if target.tagging.rules.len() >= schema::TAG_RULES_MAX {
                    let message = format!("the target has more than {} rules about tags", schema::TAG_RULES_MAX);
                    self.error(file, at, &message, None, None);
                    continue;
                }
                let key = (name.clone(), rule.clone());
                if let Some(first) = seen.get(&key) {
                    let found = Some(format!("the first is {first}"));
                    let message = format!("the rule that {} is {} is there twice", rule.column, rule.tag);
                    self.error(file, at, &message, found, Some("leave one of them out".to_owned()));
                    continue;
                }
                target.tagging.rules.push(rule.clone());
                seen.insert(key, file.place(at));
            }
        }
    }

    /// No secret of the gateway's own configuration goes to a target that somebody else names.
    fn secrets(&mut self, files: &[Applied]) {
        let own = own_secrets(self.own);
        for file in files {
            for at in &file.places.vault_uses {
                if self.own.vault.is_none() {
                    let message = "the gateway has no [vault] to take the secret from";
                    self.error(file, at, message, None, Some("add [vault] to its configuration".to_owned()));
                } else if let Some((_, key)) = own.iter().find(|(name, _)| *name == at.value) {
                    let message = format!("the secret \"{}\" belongs to {OWN}", crate::read::cut(&at.value));
                    let found = Some(format!("it is used at {}", self.source.place(key)));
                    let help = "keep one for this target: countersign credentials set NAME".to_owned();
                    self.error(file, at, &message, found, Some(help));
                }
            }
        }
    }
}

/// The vault's secrets that a configuration uses, and the keys that say so.
fn own_secrets(config: &Config) -> Vec<(&str, String)> {
    let mut all = Vec::new();
    for (n, t) in config.targets.iter().enumerate() {
        for (m, a) in t.accounts.iter().enumerate() {
            for (source, word) in [(&a.password, "password"), (&a.key, "key")] {
                if let Some(SecretSource::Vault(name)) = source {
                    all.push((name.as_str(), format!("target.{}.account.{}.{word}.vault", n + 1, m + 1)));
                }
            }
        }
    }
    for (n, c) in config.local_issuer.iter().flat_map(|l| &l.clients).enumerate() {
        if let Some(SecretSource::Vault(name)) = &c.secret {
            all.push((name.as_str(), format!("local_issuer.client.{}.secret.vault", n + 1)));
        }
    }
    all
}

#[cfg(test)]
mod tests;
