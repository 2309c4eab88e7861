//! Literals that can never match: a label without a key, a kind of identity that does not exist.
//!
//! A rule that silently never applies is as bad as a wrong one. It must never refuse a literal that could match.

use cedar_policy::EntityUid;
use countersign_model::{CredentialBinding, IdentityKind, Tag, TargetName};
use serde_json::Value;

use crate::calendar::WEEKDAYS;
use crate::problem::did_you_mean;
use crate::reads::path;

const KINDS: [&str; 3] = [IdentityKind::Human.as_str(), IdentityKind::Machine.as_str(), IdentityKind::Agent.as_str()];
const CREDENTIALS: [&str; 3] =
    [CredentialBinding::Bearer.as_str(), CredentialBinding::Bound.as_str(), CredentialBinding::Hardware.as_str()];

/// What is wrong with an entity literal, and what to do.
pub(crate) fn check_entity(literal: &EntityUid) -> Option<(String, String)> {
    let kind = literal.type_name().to_string();
    let id: &str = literal.id().as_ref();
    let (ok, form) = match kind.as_str() {
        "Label" => (
            id.split_once(':').is_some_and(|(k, _)| !k.is_empty()),
            "a label is written KEY:VALUE, as in Label::\"env:prod\"",
        ),
        "Target" => (TargetName::parse(id).is_some(), "a target name is 1 to 63 of letters, digits, '_', '-' and '.'"),
        "Tag" => (
            Tag::parse(id).is_some(),
            "a tag is parts of a-z, 0-9, '_' or '-' joined by dots, as in Tag::\"pii.email\"",
        ),
        "Identity" => {
            (id.contains('#'), "an identity is written ISSUER#SUBJECT; to match a name, write principal.name == \"…\"")
        }
        _ => (true, ""),
    };
    (!ok).then(|| (format!("{kind}::\"{}\" can never match", id.escape_debug()), form.to_owned()))
}

/// Compared words that do not exist, in a rule's JSON form.
pub(crate) fn check_words(rule: &Value) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    each_comparison(rule, |attribute, literal| compare(attribute, literal, &mut found));
    found
}

/// Whether a rule asks for a credential that nothing gives: what to say of it, and what to do.
pub(crate) fn reserved(rule: &Value) -> Option<(String, String)> {
    let mut asked = false;
    each_comparison(rule, |attribute, literal| {
        let words = words(literal);
        asked |= path(attribute) == Some(("principal", vec!["credential"]))
            && !words.is_empty()
            && words.iter().all(|word| *word == CredentialBinding::Hardware.as_str());
    });
    asked.then(|| {
        (
            "no credential is \"hardware\": the word is reserved, because nothing proves yet that a key cannot leave its device".to_owned(),
            "ask for \"bound\", or for one of [\"bound\", \"hardware\"]".to_owned(),
        )
    })
}

/// Both sides of every comparison of a rule, and the other way round.
fn each_comparison<'r>(rule: &'r Value, mut see: impl FnMut(&'r Value, &'r Value)) {
    let mut stack: Vec<&Value> = rule.get("conditions").into_iter().collect();
    while let Some(value) = stack.pop() {
        match value {
            Value::Array(items) => stack.extend(items),
            Value::Object(map) => {
                for operator in ["==", "!=", "contains"] {
                    let argument = map.get(operator);
                    let (Some(left), Some(right)) =
                        (argument.and_then(|a| a.get("left")), argument.and_then(|a| a.get("right")))
                    else {
                        continue;
                    };
                    see(left, right);
                    see(right, left);
                }
                stack.extend(map.values());
            }
            _ => {}
        }
    }
}

/// The texts of a literal: one, or a set of them.
fn words(literal: &Value) -> Vec<&str> {
    let items = match literal.get("Set").and_then(Value::as_array) {
        Some(items) => items.iter().collect(),
        None => vec![literal],
    };
    items.into_iter().filter_map(|i| i.get("Value")).filter_map(Value::as_str).collect()
}

fn compare(attribute: &Value, literal: &Value, found: &mut Vec<(String, Option<String>)>) {
    let Some((variable, path)) = path(attribute) else { return };
    let known: &[&str] = match (variable, path.as_slice()) {
        ("principal", ["kind"]) => &KINDS,
        ("principal", ["credential"]) => &CREDENTIALS,
        ("context", ["weekday"]) => &WEEKDAYS,
        _ => return,
    };
    for word in words(literal) {
        if !known.contains(&word) {
            let help = did_you_mean(word, known.iter().copied());
            found.push((
                format!(
                    "{variable}.{} is never \"{}\": it is one of {}",
                    path.join("."),
                    word.escape_debug(),
                    known.join(", ")
                ),
                help,
            ));
        }
    }
}
