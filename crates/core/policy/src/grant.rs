//! `@grant`: a permit that applies only to those to whom people gave it for a while.
//!
//! It must never let such a permit apply without its condition: the rule that is judged has it, whatever its writer wrote.

use cedar_policy::{Policy, PolicyId};
use countersign_model::GrantSpec;
use serde_json::{Value, json};

use crate::annotation::{Fault, fault};
use crate::language::GRANTS;
use crate::problem::did_you_mean;
use crate::review;

/// How long a grant may last, in seconds: when a rule does not say, at least, and at most.
const LONGEST_S: (u64, u64, u64) = (3600, 60, 7 * 86_400);
/// The most uses that a rule may name.
const USES_MAX: u32 = 1_000_000;

const FORM: &str = "write it as @grant(\"dba:2; for=4h; uses=100; at-once=allow; expires=30m; factor=totp\"): groups as in @review, then options";
const OPTIONS: [&str; 5] = ["for", "uses", "at-once", "expires", "factor"];

/// Reads a `@grant`. The groups, `expires` and `factor` are those of a `@review`.
pub(crate) fn read(value: &str) -> Result<GrantSpec, Fault> {
    let mut parts = value.split(';');
    let mut asked = parts.next().unwrap_or_default().to_owned();
    let (mut longest_s, mut uses_max, mut at_once) = (None, None, None);
    for part in parts {
        let Some((name, value)) = part.split_once('=').map(|(n, v)| (n.trim(), v.trim())) else {
            return fault(format!("@grant: \"{}\" is not OPTION=VALUE", part.trim()), Some(FORM.to_owned()));
        };
        let twice = match name {
            "for" => longest_s.replace(seconds(value)?).is_some(),
            "uses" => uses_max.replace(uses(value)?).is_some(),
            "at-once" => at_once.replace(said(value)?).is_some(),
            "expires" | "factor" => {
                asked.push(';');
                asked.push_str(part);
                false
            }
            _ => {
                let help = did_you_mean(name, OPTIONS).unwrap_or_else(|| FORM.to_owned());
                return fault(format!("@grant: \"{name}\" is not one of {}", OPTIONS.join(", ")), Some(help));
            }
        };
        if twice {
            return fault(format!("@grant: \"{name}\" is given twice"), None);
        }
    }
    let review = review::read(&asked).map_err(|f| Fault {
        message: f.message.replace("@review", "@grant"),
        help: f.help.map(|_| FORM.to_owned()),
    })?;
    Ok(GrantSpec { review, longest_s: longest_s.unwrap_or(LONGEST_S.0), uses_max, at_once: at_once.unwrap_or(false) })
}

fn seconds(text: &str) -> Result<u64, Fault> {
    match review::span_s(text, &[('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)]) {
        Some(s) if (LONGEST_S.1..=LONGEST_S.2).contains(&s) => Ok(s),
        Some(_) => fault(
            format!("@grant: for={text} is out of bounds"),
            Some(format!("a grant lasts {} s to {} days", LONGEST_S.1, LONGEST_S.2 / 86_400)),
        ),
        None => fault(format!("@grant: for=\"{text}\" is not a number with s, m, h or d"), Some(FORM.to_owned())),
    }
}

fn uses(text: &str) -> Result<u32, Fault> {
    match text.parse::<u32>() {
        Ok(n) if (1..=USES_MAX).contains(&n) && text.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
        _ => fault(format!("@grant: uses=\"{text}\" is not a number from 1 to {USES_MAX}"), None),
    }
}

fn said(text: &str) -> Result<bool, Fault> {
    match text {
        "allow" => Ok(true),
        "refuse" => Ok(false),
        _ => fault(format!("@grant: at-once=\"{text}\" is neither allow nor refuse"), Some(FORM.to_owned())),
    }
}

/// The rule with its condition: the grant must be there.
pub(crate) fn conditional(id: &PolicyId, mut tree: Value) -> Result<(Policy, Value), String> {
    let name: &str = id.as_ref();
    let held =
        json!({"contains": {"left": {".": {"left": {"Var": "context"}, "attr": GRANTS}}, "right": {"Value": name}}});
    let conditions = tree.get_mut("conditions").and_then(Value::as_array_mut).ok_or("the rule has no conditions")?;
    conditions.insert(0, json!({"kind": "when", "body": held}));
    let policy = Policy::from_json(Some(id.clone()), tree.clone()).map_err(|e| e.to_string())?;
    Ok((policy, tree))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn grants_are_read_or_refused() {
        for (value, expected) in [
            ("dba", Ok("1 of dba, 900 s, for 3600 s")),
            (
                "dba:2,security; for=4h; uses=100; expires=30m",
                Ok("2 of dba and 1 of security, 1800 s, for 14400 s, 100 uses"),
            ),
            ("dba; at-once=allow; for=7d", Ok("1 of dba, 900 s, for 604800 s, at once")),
            ("dba; at-once=refuse; for=60s", Ok("1 of dba, 900 s, for 60 s")),
            ("", Err("@grant: \"\" does not begin with the name of a group")),
            ("dba; in-transaction=allow", Err("not one of")),
            ("dba; for=8d", Err("out of bounds")),
            ("dba; for=59s", Err("out of bounds")),
            ("dba; for=h", Err("not a number")),
            ("dba; for=+1h", Err("not a number")),
            ("dba; for=1w", Err("not a number")),
            ("dba; for=é", Err("not a number")),
            ("dba; for=99999999999999999999d", Err("not a number")),
            ("dba; for=1h; for=2h", Err("twice")),
            ("dba; uses=0", Err("not a number from 1")),
            ("dba; uses=1000001", Err("not a number from 1")),
            ("dba; uses=+1", Err("not a number from 1")),
            ("dba; at-once=yes", Err("neither allow nor refuse")),
            ("dba; at-once", Err("not OPTION=VALUE")),
            ("dba; expires=5s", Err("@grant: expires=5s is out of bounds")),
            ("dba; expires=1m; expires=2m", Err("twice")),
            ("dba; factor=webauthn; for=1h", Ok("1 of dba (with webauthn), 900 s, for 3600 s")),
            ("dba; factor=none", Err("@grant: factor=\"none\" is neither")),
            ("dba; factor=totp; factor=totp", Err("twice")),
        ] {
            match (read(value), expected) {
                (Ok(spec), Ok(expected)) => {
                    let uses = spec.uses_max.map(|n| format!(", {n} uses")).unwrap_or_default();
                    let once = if spec.at_once { ", at once" } else { "" };
                    let said =
                        format!("{}, {} s, for {} s{uses}{once}", spec.review, spec.review.expires_s, spec.longest_s);
                    assert_eq!(said, expected, "{value}");
                }
                (Err(fault), Err(part)) => assert!(fault.message.contains(part), "{value}: {}", fault.message),
                (got, expected) => panic!("{value}: got {got:?}, expected {expected:?}"),
            }
        }
    }
}
