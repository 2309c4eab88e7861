//! `corpus.txt`: texts with their kind, their accesses with relations, and further facts.

use countersign_model::Access;

use super::support::{find, flag, items, look, uses};

const CORPUS: &str = include_str!("../corpus.txt");
const REAL_LIFE: &str = include_str!("../real_life.txt");

/// A line: `kind ;; uses ;; facts ;; text`. Facts: `name=a,b` for exact sets over all uses, `name` and `!name` for flags of any use.
fn check(line: &str) -> Result<(), String> {
    let parts: Vec<&str> = line.splitn(4, ";;").map(str::trim).collect();
    let [kind, expected, facts, text] = parts.as_slice() else { return Err(format!("not a line: {line}")) };
    let text = text.replace("\\n", "\n");
    let found = look(&text);
    let shape = found.shape();
    let seen = uses(shape);
    let matches = if *expected == "opaque" { seen.starts_with("opaque") } else { seen == *expected };
    if !matches || (*expected != "opaque" && shape.kind() != *kind) {
        return Err(format!("{text}\n  expected {kind}: {expected}\n  found    {}: {seen}", shape.kind()));
    }
    for fact in facts.split_whitespace() {
        let ok = match fact.split_once('=') {
            Some(("undefined", name)) => found.undefined().is_some_and(|u| *u.name == *name),
            Some((name, list)) => items(shape, name).into_iter().collect::<Vec<_>>().join(",") == *list,
            None => {
                let (name, wanted) = fact.strip_prefix('!').map_or((fact, true), |n| (n, false));
                shape.uses().iter().any(|u| flag(u, name)) == wanted
            }
        };
        if !ok {
            let sets: Vec<String> =
                ["columns", "functions", "relations_all", "settings", "roles", "channels", "schemas"]
                    .iter()
                    .map(|n| format!("{n}={:?}", items(shape, n)))
                    .collect();
            return Err(format!(
                "{text}\n  not so: {fact}\n  undefined {:?}\n  {}\n  {:?}",
                found.undefined(),
                sets.join("\n  "),
                shape.uses()
            ));
        }
    }
    if !facts.contains("undefined=")
        && let Some(undefined) = found.undefined()
    {
        return Err(format!("{text}\n  undefined {undefined:?}"));
    }
    Ok(())
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')).collect()
}

#[test]
fn corpus() {
    let lines = lines(CORPUS);
    assert!(lines.len() >= 300, "{} lines", lines.len());
    let failures: Vec<String> = lines.iter().filter_map(|l| check(l).err()).collect();
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), lines.len(), failures.join("\n"));
}

/// What psql, pg_dump, drivers and ORMs ask of a server must come out as reading its description and nothing more.
#[test]
fn real_life_introspection() {
    let mut failures = Vec::new();
    let texts: Vec<&str> = REAL_LIFE.split("\n;;\n").map(str::trim).filter(|t| !t.is_empty()).collect();
    assert!(texts.len() >= 30, "{} texts", texts.len());
    for text in texts {
        let found = look(text);
        let read = find(found.shape(), Access::Read);
        let ok = found.shape().access() == Access::Read
            && read.is_some_and(|u| flag(u, "catalog_only"))
            && found.undefined().is_none();
        if !ok {
            failures.push(format!(
                "{text}\n  {}\n  {:?} {:?}",
                uses(found.shape()),
                found.undefined(),
                found.shape().uses()
            ));
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}
