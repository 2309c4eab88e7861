//! `@watched`: who has to be watching while what a rule permits runs.
//!
//! It must never take a text for less than it says: whatever is not understood is a fault.

use countersign_model::WatchSpec;

use crate::annotation::{Fault, fault};
use crate::review::span_s;

/// The most groups that one rule asks for.
const GROUPS_MAX: usize = 8;
/// How long an action waits for somebody to watch, in seconds: when a rule does not say, at least, and at most.
const WAIT_S: (u64, u64, u64) = (120, 1, 15 * 60);

const FORM: &str = "write it as @watched(\"sre; wait=2m\"): groups, of each of which somebody has to watch, then how long it waits for them";

fn wrong<T>(message: String) -> Result<T, Fault> {
    fault(message, Some(FORM.to_owned()))
}

/// Reads a `@watched`.
pub(crate) fn read(value: &str) -> Result<WatchSpec, Fault> {
    let mut parts = value.split(';');
    let mut groups: Vec<String> = Vec::new();
    for item in parts.next().unwrap_or_default().split(',') {
        let group = item.trim();
        if group.is_empty() || group.chars().any(|c| c.is_control() || c == '=') {
            return wrong(format!("@watched: \"{}\" is not the name of a group", group.escape_debug()));
        }
        if groups.iter().any(|g| g == group) {
            return fault(format!("@watched: the group \"{group}\" is given twice"), None);
        }
        groups.push(group.to_owned());
    }
    if groups.len() > GROUPS_MAX {
        return fault(format!("@watched asks for {} groups", groups.len()), Some(format!("the most is {GROUPS_MAX}")));
    }
    groups.sort();
    let mut wait = None;
    for part in parts {
        match part.split_once('=').map(|(n, v)| (n.trim(), v.trim())) {
            Some(("wait", _)) if wait.is_some() => {
                return fault("@watched: \"wait\" is given twice".to_owned(), None);
            }
            Some(("wait", value)) => wait = Some(seconds(value)?),
            _ => return wrong(format!("@watched: \"{}\" is not wait=TIME", part.trim().escape_debug())),
        }
    }
    Ok(WatchSpec { groups, wait_s: wait.unwrap_or(WAIT_S.0) })
}

fn seconds(text: &str) -> Result<u64, Fault> {
    match span_s(text, &[('s', 1), ('m', 60)]) {
        Some(s) if (WAIT_S.1..=WAIT_S.2).contains(&s) => Ok(s),
        Some(_) => fault(
            format!("@watched: wait={text} is out of bounds"),
            Some(format!("it waits {} s to {} min", WAIT_S.1, WAIT_S.2 / 60)),
        ),
        None => wrong(format!("@watched: wait=\"{}\" is no time such as 90s or 2m", text.escape_debug())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_or_refused() {
        let spec =
            |groups: &[&str], wait_s| WatchSpec { groups: groups.iter().map(|g| (*g).to_owned()).collect(), wait_s };
        for (text, want) in [
            ("sre", spec(&["sre"], 120)),
            (" sre , dba ; wait=90s", spec(&["dba", "sre"], 90)),
            ("on call; wait=1s", spec(&["on call"], 1)),
            ("sre; wait=15m", spec(&["sre"], 900)),
            ("a,b,c,d,e,f,g,h", spec(&["a", "b", "c", "d", "e", "f", "g", "h"], 120)),
        ] {
            assert_eq!(read(text), Ok(want), "{text}");
        }
        for (text, why) in [
            ("", "not the name"),
            ("sre,", "not the name"),
            ("wait=2m", "not the name"),
            ("sre,sre", "twice"),
            ("a,b,c,d,e,f,g,h,i", "9 groups"),
            ("sre; wait=0s", "out of bounds"),
            ("sre; wait=901s", "out of bounds"),
            ("sre; wait=2h", "no time"),
            ("sre; wait=", "no time"),
            ("sre; wait=1m; wait=1m", "twice"),
            ("sre; people=2", "not wait=TIME"),
            ("sre;", "not wait=TIME"),
        ] {
            let message = read(text).unwrap_err().message;
            assert!(message.contains(why), "{text}: {message}");
        }
    }

    #[test]
    fn both_of_two_rules_are_satisfied() {
        let both = read("sre; wait=1m").unwrap().strictest(&read("dba,sre; wait=2m").unwrap());
        assert_eq!(both, read("dba,sre; wait=1m").unwrap());
        assert_eq!(both.to_string(), "dba and sre");
    }
}
