//! From policy files to checked rules.
//!
//! It must never hand over a set in which anything was wrong, nor hide one problem behind another.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Policy, PolicyId, PolicySet as CedarSet, Schema, ValidationError, ValidationMode,
    ValidationWarning, Validator,
};
use countersign_model::{Access, Limits, RuleId};
use serde_json::Value;

use crate::absence;
use crate::annotation::{self, RuleEffect, RuleInfo};
use crate::grant;
use crate::head::Head;
use crate::language::Language;
use crate::literal;
use crate::problem::{PolicyProblem, position};
use crate::schema::{JUDGED, PROBE, UNMASK};

/// The most rules in a set.
pub const RULES_MAX: usize = 20_000;

/// The largest policy file, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// One policy file.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    /// How people find it; used in problems and explanations.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// One checked rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) info: RuleInfo,
    /// Under the rule's `@id`.
    pub(crate) policy: Policy,
    /// Its JSON form, for the walk.
    pub(crate) tree: Value,
    pub(crate) head: Head,
}

/// What was read of one rule before its checks are over.
struct Draft {
    file: usize,
    offset: usize,
    line: u32,
    id: PolicyId,
    policy: Policy,
}

/// Reads and checks all files: the rules in the order of the files, and warnings.
pub(crate) fn load(
    files: &[PolicyFile],
    language: &Language,
) -> Result<(Vec<Rule>, Vec<PolicyProblem>), Vec<PolicyProblem>> {
    let mut loader = Loader { files, problems: Vec::new(), warnings: Vec::new(), drafts: Vec::new() };
    for index in 0..files.len() {
        loader.parse(index);
    }
    let drafts = std::mem::take(&mut loader.drafts);
    if drafts.len() > RULES_MAX {
        let message = format!("{} rules in all files; the most is {RULES_MAX}", drafts.len());
        loader.problems.push((0, PolicyProblem::whole(files.first().map_or("", |f| &f.path), message, None)));
        return Err(loader.sorted());
    }
    loader.validate(&drafts, language);
    let rules = loader.rules(drafts, language);
    if loader.problems.is_empty() { Ok((rules, loader.warnings)) } else { Err(loader.sorted()) }
}

struct Loader<'a> {
    files: &'a [PolicyFile],
    problems: Vec<(usize, PolicyProblem)>,
    warnings: Vec<PolicyProblem>,
    drafts: Vec<Draft>,
}

impl Loader<'_> {
    fn file(&self, index: usize) -> (&str, &str) {
        self.files.get(index).map_or(("", ""), |f| (&f.path, &f.text))
    }

    fn problem(&mut self, file: usize, offset: usize, message: String, help: Option<String>) {
        let (path, text) = self.file(file);
        let problem = PolicyProblem::at(path, text, offset, message, help);
        self.problems.push((file, problem));
    }

    /// In the order of the files, then of the lines, each once.
    fn sorted(mut self) -> Vec<PolicyProblem> {
        self.problems
            .sort_by(|(f, p), (g, q)| (f, p.line, p.column, &p.message).cmp(&(g, q.line, q.column, &q.message)));
        self.problems.dedup();
        self.problems.into_iter().map(|(_, p)| p).collect()
    }

    fn parse(&mut self, file: usize) {
        let (path, text) = self.file(file);
        if text.len() > FILE_BYTES_MAX {
            let message = format!("the file has {} bytes; the most is {FILE_BYTES_MAX}", text.len());
            let problem = PolicyProblem::whole(path, message, Some("split it into several files".to_owned()));
            self.problems.push((file, problem));
            return;
        }
        let set: CedarSet = match text.parse() {
            Ok(set) => set,
            Err(errors) => {
                let found: Vec<PolicyProblem> = cedar_policy::ParseErrors::iter(&errors)
                    .map(|e| PolicyProblem::from_cedar(path, text, 0, e))
                    .collect();
                self.problems.extend(found.into_iter().map(|p| (file, p)));
                return;
            }
        };
        for template in set.templates() {
            let offset = template.as_ref().loc().map_or(0, |l| l.start());
            self.problem(
                file,
                offset,
                "template slots (?principal, ?resource) are not supported".to_owned(),
                Some("name the group, identity, target or label".to_owned()),
            );
        }
        let mut drafts: Vec<Draft> = set
            .policies()
            .map(|policy| {
                let offset = policy.as_ref().loc().map_or(0, |l| l.start());
                Draft { file, offset, line: 0, id: PolicyId::new(""), policy: policy.clone() }
            })
            .collect();
        drafts.sort_by_key(|d| d.offset);
        // Until the names are known to be unique, Cedar gets the place as the id; it shows in its messages.
        // One pass over the text counts the lines of all rules.
        let (mut line, mut counted) = (1_u32, 0);
        for draft in &mut drafts {
            let between = self.file(file).1.as_bytes().get(counted..draft.offset).unwrap_or_default();
            line = line.saturating_add(between.iter().map(|b| u32::from(*b == b'\n')).sum());
            (draft.line, counted) = (line, draft.offset.max(counted));
            let name = draft.policy.annotation("id").unwrap_or("");
            draft.id = PolicyId::new(format!("{name} ({}:{line}, byte {})", self.file(file).0, draft.offset));
            draft.policy = draft.policy.new_id(draft.id.clone());
        }
        self.drafts.extend(drafts);
    }

    fn validate(&mut self, drafts: &[Draft], language: &Language) {
        // What is asked of tags is never meant by "any action": a permit for everything must not lift every mask.
        let any = |d: &&Draft| d.policy.action_constraint() == ActionConstraint::Any;
        let (unnamed, named): (Vec<&Draft>, Vec<&Draft>) = drafts.iter().partition(any);
        self.validate_against(&language.schema_text_without_tags(), &unnamed);
        self.validate_against(&language.schema_text(), &named);
    }

    fn validate_against(&mut self, schema: &str, drafts: &[&Draft]) {
        if drafts.is_empty() {
            return;
        }
        let schema = match Schema::from_cedarschema_str(schema) {
            Ok((schema, _)) => schema,
            Err(e) => {
                self.problems
                    .push((0, PolicyProblem::whole("(schema)", format!("the generated schema is wrong: {e}"), None)));
                return;
            }
        };
        let set = match CedarSet::from_policies(drafts.iter().map(|d| d.policy.clone())) {
            Ok(set) => set,
            Err(e) => {
                self.problems.push((0, PolicyProblem::whole("(policies)", e.to_string(), None)));
                return;
            }
        };
        let places: HashMap<&PolicyId, (usize, usize)> = drafts.iter().map(|d| (&d.id, (d.file, d.offset))).collect();
        let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
        for error in result.validation_errors() {
            let (file, offset) = places.get(error.policy_id()).copied().unwrap_or_default();
            let (path, text) = self.file(file);
            let problem = shortened(PolicyProblem::from_cedar(path, text, offset, error), error.policy_id());
            self.problems.push((file, problem));
        }
        let wrong: HashSet<&PolicyId> = result.validation_errors().map(ValidationError::policy_id).collect();
        for warning in result.validation_warnings() {
            let (file, offset) = places.get(warning.policy_id()).copied().unwrap_or_default();
            let (path, text) = self.file(file);
            let problem = shortened(PolicyProblem::from_cedar(path, text, offset, warning), warning.policy_id());
            match warning {
                // Scripts are mixed in honest names too; the writer is told.
                ValidationWarning::MixedScriptString(_) => self.warnings.push(problem),
                // A rule that is wrong never applies either: that goes without saying.
                ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_)
                    if wrong.contains(warning.policy_id()) => {}
                // A rule that never applies, or that reads differently from what it is.
                _ => self.problems.push((file, problem)),
            }
        }
    }

    fn rules(&mut self, drafts: Vec<Draft>, language: &Language) -> Vec<Rule> {
        let mut rules = Vec::with_capacity(drafts.len());
        let mut names: HashMap<RuleId, (usize, usize)> = HashMap::new();
        for draft in drafts {
            let Draft { file, offset, line, policy, .. } = draft;
            let id = match annotation::rule_id(policy.annotation("id")) {
                Ok(id) => id,
                Err(fault) => {
                    self.problem(file, place(&policy, "id", offset), fault.message, fault.help);
                    RuleId::new("")
                }
            };
            if !id.as_str().is_empty() {
                if let Some((first_file, first)) = names.get(&id) {
                    let (path, text) = self.file(*first_file);
                    let message = format!("@id(\"{id}\") is taken by the rule at {path}:{}", position(text, *first).0);
                    self.problem(
                        file,
                        place(&policy, "id", offset),
                        message,
                        Some("every rule needs a name of its own".to_owned()),
                    );
                } else {
                    names.insert(id.clone(), (file, offset));
                }
            }
            let (path, _) = self.file(file);
            let mut info = RuleInfo {
                id: id.clone(),
                effect: match policy.effect() {
                    cedar_policy::Effect::Permit => RuleEffect::Permit,
                    cedar_policy::Effect::Forbid => RuleEffect::Forbid,
                },
                description: None,
                ask: None,
                limits: Limits::NONE,
                probes: None,
                masks: Vec::new(),
                alert: None,
                review: None,
                grant: None,
                watch: None,
                file: Arc::from(path),
                line,
            };
            for (name, value) in policy.annotations() {
                if let Err(fault) = annotation::apply(&mut info, name, value) {
                    self.problem(file, place(&policy, name, offset), fault.message, fault.help);
                }
            }
            for entity in policy.entity_literals() {
                if let Some((message, help)) = literal::check_entity(&entity) {
                    self.problem(file, offset, message, Some(help));
                }
            }
            let tree = match policy.to_json() {
                Ok(tree) => tree,
                Err(e) => {
                    self.problem(file, offset, format!("the rule cannot be analysed: {e}"), None);
                    continue;
                }
            };
            for (message, help) in literal::check_words(&tree) {
                self.problem(file, offset, message, help);
            }
            for (message, help) in
                absence::warnings(language, info.effect, &tree).into_iter().chain(literal::reserved(&tree))
            {
                let (path, text) = self.file(file);
                let warning = PolicyProblem::at(path, text, offset, message, Some(help));
                self.warnings.push(warning);
            }
            let policy = policy.new_id(PolicyId::new(id.as_str()));
            let head = Head::new(&policy);
            for (annotation, fault) in annotation::against_head(&info, &head) {
                self.problem(file, place(&policy, annotation, offset), fault.message, fault.help);
            }
            let (policy, tree) = match &info.grant {
                None => (policy, tree),
                Some(_) => match grant::conditional(&PolicyId::new(id.as_str()), tree) {
                    Ok(conditional) => conditional,
                    Err(e) => {
                        self.problem(file, offset, format!("the rule cannot be granted: {e}"), None);
                        continue;
                    }
                },
            };
            rules.push(Rule { info, head, policy, tree });
        }
        rules
    }
}

/// Where an annotation stands, or the rule when it has none of the name.
fn place(policy: &Policy, annotation: &str, otherwise: usize) -> usize {
    policy
        .as_ref()
        .annotations()
        .find(|(name, _)| AsRef::<str>::as_ref(*name) == annotation)
        .and_then(|(_, a)| a.loc.as_ref())
        .map_or(otherwise, |l| l.start())
}

/// Cedar names the policy and the action in its messages. The place says the first already; and the context is the same for all actions,
/// so without the second the same problem is told once.
fn shortened(mut problem: PolicyProblem, id: &PolicyId) -> PolicyProblem {
    if let Some(rest) = problem.message.strip_prefix(&format!("for policy `{id}`, ")) {
        problem.message = rest.to_owned();
    }
    for word in JUDGED.map(Access::as_str).into_iter().chain([UNMASK, PROBE]) {
        problem.message = problem.message.replace(&format!(" in context for Action::\"{word}\""), " in context");
    }
    problem
}
