//! `@review`: who must say yes before what a rule is about goes on.
//!
//! It must never take a text for less than it says: whatever is not understood is a fault.

use countersign_model::{Factor, Requirement, ReviewSpec};

use crate::annotation::{Fault, fault};
use crate::problem::did_you_mean;

/// The most groups that one rule asks for.
const GROUPS_MAX: usize = 8;
/// The most people that one rule asks of all its groups together.
const PEOPLE_MAX: u16 = 16;
/// How long a review may take, in seconds: when a rule does not say, at least, and at most.
const EXPIRES_S: (u64, u64, u64) = (15 * 60, 10, 24 * 3600);

const FORM: &str = "write it as @review(\"dba:2,security; expires=15m; in-transaction=allow; factor=webauthn\"): groups with how \
                    many of each (1 when it is left out), then options";
const OPTIONS: [&str; 3] = ["expires", "in-transaction", "factor"];

fn wrong<T>(message: String) -> Result<T, Fault> {
    fault(message, Some(FORM.to_owned()))
}

/// Reads a `@review`.
pub(crate) fn read(value: &str) -> Result<ReviewSpec, Fault> {
    let mut parts = value.split(';');
    let mut requirements: Vec<Requirement> = Vec::new();
    for item in parts.next().unwrap_or_default().split(',') {
        let one = requirement(item.trim())?;
        if requirements.iter().any(|r| r.group == one.group) {
            return fault(format!("@review: the group \"{}\" is given twice", one.group), None);
        }
        requirements.push(one);
    }
    requirements.sort();
    let people: u32 = requirements.iter().map(|r| u32::from(r.people)).sum();
    if requirements.len() > GROUPS_MAX || people > u32::from(PEOPLE_MAX) {
        return fault(
            format!("@review asks for {people} people of {} groups", requirements.len()),
            Some(format!("the most is {PEOPLE_MAX} people and {GROUPS_MAX} groups")),
        );
    }
    let mut spec = ReviewSpec { requirements, expires_s: EXPIRES_S.0, in_transaction: false, factor: None };
    let mut seen = Vec::new();
    for part in parts {
        let Some((name, value)) = part.split_once('=').map(|(n, v)| (n.trim(), v.trim())) else {
            return wrong(format!("@review: \"{}\" is not OPTION=VALUE", part.trim()));
        };
        if seen.contains(&name) {
            return fault(format!("@review: \"{name}\" is given twice"), None);
        }
        seen.push(name);
        match name {
            "expires" => spec.expires_s = seconds(value)?,
            "in-transaction" => {
                spec.in_transaction = match value {
                    "allow" => true,
                    "refuse" => false,
                    _ => return wrong(format!("@review: in-transaction=\"{value}\" is neither allow nor refuse")),
                }
            }
            "factor" => {
                let known = Factor::parse(value);
                let Some(factor) = known else {
                    return wrong(format!("@review: factor=\"{value}\" is neither webauthn nor totp"));
                };
                spec.factor = Some(factor);
            }
            _ => {
                let help = did_you_mean(name, OPTIONS).unwrap_or_else(|| FORM.to_owned());
                return fault(format!("@review: \"{name}\" is not one of {}", OPTIONS.join(", ")), Some(help));
            }
        }
    }
    Ok(spec)
}

/// `GROUP` or `GROUP:NUMBER`. A group whose name ends in a colon and a number is written with its number after it.
fn requirement(item: &str) -> Result<Requirement, Fault> {
    let (group, people) = match item.rsplit_once(':') {
        Some((group, digits)) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            (group, digits.parse::<u16>().unwrap_or(u16::MAX))
        }
        Some((_, "")) => return wrong(format!("@review: \"{item}\" has no number after its colon")),
        _ => (item, 1),
    };
    if group.is_empty() || group != group.trim() || group.chars().any(|c| c.is_control() || c == '=') {
        return wrong(format!("@review: \"{}\" does not begin with the name of a group", item.escape_debug()));
    }
    if people == 0 {
        return wrong(format!("@review: \"{item}\" asks for nobody"));
    }
    Ok(Requirement { group: group.to_owned(), people })
}

/// How many seconds `90s`, `15m` or `2h` are, by these units; `None` for anything else.
pub(crate) fn span_s(text: &str, units: &[(char, u64)]) -> Option<u64> {
    let (unit, each) = units.iter().find(|(unit, _)| text.ends_with(*unit))?;
    let digits = text.strip_suffix(*unit).filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse::<u64>().ok()?.checked_mul(*each)
}

fn seconds(text: &str) -> Result<u64, Fault> {
    match span_s(text, &[('s', 1), ('m', 60), ('h', 3600)]) {
        Some(s) if (EXPIRES_S.1..=EXPIRES_S.2).contains(&s) => Ok(s),
        Some(_) => fault(
            format!("@review: expires={text} is out of bounds"),
            Some(format!("give people {} s to {} h", EXPIRES_S.1, EXPIRES_S.2 / 3600)),
        ),
        None => wrong(format!("@review: expires=\"{text}\" is not a number with s, m or h")),
    }
}

#[cfg(test)]
mod tests {
    use super::{PEOPLE_MAX, read};

    #[test]
    fn reviews_are_read_or_refused() {
        let most = format!("a:{PEOPLE_MAX}");
        let more = format!("a:{},b", PEOPLE_MAX);
        for (value, expected) in [
            ("dba", Ok("1 of dba, 900 s")),
            ("dba:2,security", Ok("2 of dba and 1 of security, 900 s")),
            (" security , dba:2 ; expires = 2h ", Ok("2 of dba and 1 of security, 7200 s")),
            ("dba;in-transaction=allow;expires=10s", Ok("1 of dba, 10 s, in transactions")),
            ("dba; in-transaction=refuse", Ok("1 of dba, 900 s")),
            ("team:dba", Ok("1 of team:dba, 900 s")),
            ("team:dba:3", Ok("3 of team:dba, 900 s")),
            ("dba; expires=24h", Ok("1 of dba, 86400 s")),
            (most.as_str(), Ok("16 of a, 900 s")),
            (more.as_str(), Err("17 people of 2 groups")),
            ("a,b,c,d,e,f,g,h,i", Err("9 groups")),
            ("a:99999999", Err("people")),
            ("", Err("name of a group")),
            (" ; expires=1h", Err("name of a group")),
            (",dba", Err("name of a group")),
            ("dba:", Err("no number")),
            ("dba:0", Err("asks for nobody")),
            (":2", Err("name of a group")),
            ("dba :2", Err("name of a group")),
            ("expires=15m", Err("name of a group")),
            ("dba,dba:2", Err("twice")),
            ("dba;", Err("not OPTION=VALUE")),
            ("dba; 15m", Err("not OPTION=VALUE")),
            ("dba; expire=15m", Err("not one of")),
            ("dba; expires=15", Err("not a number")),
            ("dba; expires=m", Err("not a number")),
            ("dba; expires=-1m", Err("not a number")),
            ("dba; expires=9s", Err("out of bounds")),
            ("dba; expires=25h", Err("out of bounds")),
            ("dba; expires=99999999999999999999h", Err("not a number")),
            ("dba; expires=1m; expires=2m", Err("twice")),
            ("dba; in-transaction=yes", Err("neither allow nor refuse")),
            ("dba:2; factor=webauthn", Ok("2 of dba (with webauthn), 900 s")),
            ("dba; factor = totp ; expires=1h", Ok("1 of dba (with totp), 3600 s")),
            ("dba; factor=sms", Err("neither webauthn nor totp")),
            ("dba; factor=", Err("neither webauthn nor totp")),
            ("dba; factor=Totp", Err("neither webauthn nor totp")),
            ("dba; factor=totp; factor=webauthn", Err("twice")),
            ("dba; factors=totp", Err("not one of")),
        ] {
            match (read(value), expected) {
                (Ok(spec), Ok(expected)) => {
                    let when = if spec.in_transaction { ", in transactions" } else { "" };
                    assert_eq!(format!("{spec}, {} s{when}", spec.expires_s), expected, "{value}");
                }
                (Err(fault), Err(part)) => assert!(fault.message.contains(part), "{value}: {}", fault.message),
                (got, expected) => panic!("{value}: got {got:?}, expected {expected:?}"),
            }
        }
    }
}
