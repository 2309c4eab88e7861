//! What changes between two sets of files, for people: targets, rules and tags by name, then the lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_api::{AppliedFile, ChangeKind, ChangeView, FileChangeView};
use countersign_config::{Applied, TargetSpec};
use countersign_policy::Language;
use serde_json::Value;

use super::build::{is_policy, policy_set, sent_path};
use super::lines::unified;
use crate::house::PROTOCOLS;

/// What a name stands for; two that are equal enforce the same.
#[derive(PartialEq)]
enum Meaning {
    Target(Box<TargetSpec>),
    Rule(Value),
    Tag,
}

/// By kind and name: what it means, and the file.
type Objects = BTreeMap<(&'static str, String), (Meaning, String)>;

/// Targets, rules and tags that change. What cannot be read has none.
pub(super) fn changes(old: &[AppliedFile], new: &[AppliedFile], language: &Arc<Language>) -> Vec<ChangeView> {
    let (old, new) = (objects(old, language), objects(new, language));
    let view = |(kind, name): &(&'static str, String), change: ChangeKind, file: &str| ChangeView {
        kind: (*kind).to_owned(),
        name: name.clone(),
        change,
        file: file.to_owned(),
    };
    let mut all: Vec<ChangeView> = Vec::new();
    for (key, (meaning, file)) in &new {
        match old.get(key) {
            None => all.push(view(key, ChangeKind::Added, file)),
            Some((before, _)) if before != meaning => all.push(view(key, ChangeKind::Changed, file)),
            Some(_) => {}
        }
    }
    let gone = old.iter().filter(|(key, _)| !new.contains_key(*key));
    all.extend(gone.map(|(key, (_, file))| view(key, ChangeKind::Removed, file)));
    all.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
    all
}

fn objects(files: &[AppliedFile], language: &Arc<Language>) -> Objects {
    let mut all = Objects::new();
    for file in files.iter().filter(|f| !is_policy(f)) {
        let Ok((part, _)) = Applied::parse(&file.text, &file.path, &PROTOCOLS) else { continue };
        for (target, rule) in &part.tags {
            let of_type =
                if rule.data_type.is_empty() { String::new() } else { format!(" of type {}", rule.data_type) };
            let name = format!("{target}: {}{of_type} is {}", rule.column, rule.tag);
            all.insert(("tag", name), (Meaning::Tag, file.path.clone()));
        }
        for target in part.targets {
            all.insert(
                ("target", target.name.as_str().to_owned()),
                (Meaning::Target(Box::new(target)), file.path.clone()),
            );
        }
    }
    if let Some(set) = policy_set(files, language) {
        for rule in set.rules() {
            let Some(tree) = set.tree(&rule.id) else { continue };
            let meaning = Meaning::Rule(tree.clone());
            all.insert(("rule", rule.id.as_str().to_owned()), (meaning, sent_path(&rule.file).to_owned()));
        }
    }
    all
}

/// Files that change, with their lines.
pub(super) fn files(old: &[AppliedFile], new: &[AppliedFile]) -> Vec<FileChangeView> {
    let by_path = |files: &[AppliedFile]| -> BTreeMap<String, String> {
        files.iter().map(|f| (f.path.clone(), f.text.clone())).collect()
    };
    let (old, mut new) = (by_path(old), by_path(new));
    let mut all = Vec::new();
    for (path, before) in old {
        let (change, after) = match new.remove(&path) {
            Some(after) if after == before => continue,
            Some(after) => (ChangeKind::Changed, after),
            None => (ChangeKind::Removed, String::new()),
        };
        all.push(FileChangeView { diff: unified(&path, &before, &after), path, change });
    }
    let added = new.into_iter();
    all.extend(added.map(|(path, after)| FileChangeView {
        diff: unified(&path, "", &after),
        path,
        change: ChangeKind::Added,
    }));
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}
