//! What comes in from outside: its licence, its name and where it comes from, judged by the rules in `deny.toml`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::problem::{Problem, Report};
use crate::spdx;

/// Where the rules are, and what every problem points to.
const RULES: &str = "deny.toml";

struct Rules {
    licences: Vec<String>,
    banned: Vec<(String, String)>,
    registries: Vec<String>,
}

/// Checks every package that `cargo tree` says is built, one `name vVERSION …` a line. `cargo metadata` knows the licences, but also lists
/// packages that stay off because no feature asks for them.
pub(crate) fn check(root: &Path, metadata: &Value, built: &str) -> Result<Report, String> {
    let text = std::fs::read_to_string(root.join(RULES)).map_err(|e| format!("cannot read {RULES}: {e}\n"))?;
    let rules = rules(&text)?;
    let built: BTreeSet<(&str, &str)> = built
        .lines()
        .filter_map(|l| {
            let mut words = l.split_whitespace();
            Some((words.next()?, words.next()?.strip_prefix('v')?))
        })
        .collect();
    let mut problems = Vec::new();
    let mut count = 0_usize;
    for p in metadata.get("packages").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| p.get(name).and_then(Value::as_str);
        // A package without a source is ours.
        if let (Some(name), Some(version), Some(source)) = (field("name"), field("version"), field("source"))
            && built.contains(&(name, version))
        {
            count = count.saturating_add(1);
            let found = judge(&rules, name, source, field("license"));
            problems.extend(found.into_iter().map(|what| Problem::new(RULES, 0, format!("{name} {version} {what}"))));
        }
    }
    if count == 0 {
        return Err("cargo tree and cargo metadata have no package in common\n".to_owned());
    }
    Ok(Report { check: "licences", scope: format!("{count} packages from outside"), notes: Vec::new(), problems })
}

fn rules(text: &str) -> Result<Rules, String> {
    let value: toml::Table = text.parse().map_err(|e| format!("{RULES}: {e}\n"))?;
    let list = |section: &str, key: &str| -> Result<Vec<toml::Value>, String> {
        value
            .get(section)
            .and_then(|s| s.get(key))
            .and_then(toml::Value::as_array)
            .cloned()
            .ok_or_else(|| format!("{RULES}: [{section}] has no list '{key}'\n"))
    };
    let texts = |v: Vec<toml::Value>| v.iter().filter_map(|s| s.as_str().map(str::to_owned)).collect();
    let banned = list("bans", "deny")?
        .iter()
        .map(|b| {
            let field = |k: &str| b.get(k).and_then(toml::Value::as_str).map(str::to_owned);
            match (field("crate"), field("reason")) {
                (Some(name), Some(reason)) => Ok((name, reason)),
                _ => Err(format!("{RULES}: every entry of [bans] deny has a crate and a reason\n")),
            }
        })
        .collect::<Result<_, _>>()?;
    Ok(Rules {
        licences: texts(list("licenses", "allow")?),
        banned,
        registries: texts(list("sources", "allow-registry")?),
    })
}

/// All that is wrong with one package.
fn judge(rules: &Rules, name: &str, source: &str, licence: Option<&str>) -> Vec<String> {
    let mut out = Vec::new();
    if let Some((_, reason)) = rules.banned.iter().find(|(b, _)| b == name) {
        out.push(format!("is banned: {reason} (`cargo tree -i {name}` says who brings it in)"));
    }
    if !source.strip_prefix("registry+").is_some_and(|r| rules.registries.iter().any(|a| a == r)) {
        out.push(format!("comes from {source}, which is not an allowed registry"));
    }
    match licence.map(|l| (l, spdx::is_allowed(l, &rules.licences))) {
        Some((_, Ok(true))) => {}
        Some((l, Ok(false))) => out.push(format!("is under '{l}', which [licenses] does not allow")),
        Some((l, Err(why))) => out.push(format!("has a licence that cannot be read ('{l}'): {why}")),
        None => out.push("names no licence".to_owned()),
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{check, judge, rules};

    const RULES: &str = r#"
[licenses]
allow = ["MIT"]
[bans]
deny = [{ crate = "native-tls", reason = "rustls" }]
[sources]
allow-registry = ["https://example.test/index"]
"#;

    #[test]
    fn packages_are_judged() {
        let rules = rules(RULES).unwrap();
        let ours = "registry+https://example.test/index";
        for (name, source, licence, wrong) in [
            ("fine", ours, Some("MIT"), 0),
            ("fine", ours, Some("GPL-3.0 OR MIT"), 0),
            ("viral", ours, Some("AGPL-3.0"), 1),
            ("unsaid", ours, None, 1),
            ("garbled", ours, Some("MIT OR OR"), 1),
            ("native-tls", ours, Some("MIT"), 1),
            ("forked", "git+https://example.test/index", Some("MIT"), 1),
            ("native-tls", "registry+https://elsewhere.test/index", Some("AGPL-3.0"), 3),
        ] {
            assert_eq!(judge(&rules, name, source, licence).len(), wrong, "{name} {licence:?}");
        }
    }

    #[test]
    fn only_what_is_built_is_judged() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("deny.toml"), RULES).unwrap();
        let package = |name: &str, licence: &str| {
            let source = "registry+https://example.test/index";
            serde_json::json!({ "name": name, "version": "1.0.0", "license": licence, "source": source })
        };
        let metadata = serde_json::json!({ "packages": [package("fine", "MIT"), package("native-tls", "MIT"), package("viral", "AGPL-3.0")] });
        for (built, problems) in [
            ("fine v1.0.0\nxtask v0.1.0 (/w/xtask)\n", Some(0)),
            ("fine v1.0.0\nviral v1.0.0 (*)\n", Some(1)),
            ("viral v1.0.0\nnative-tls v1.0.0\n", Some(2)),
            ("viral v2.0.0\n", None),
        ] {
            let report = check(dir.path(), &metadata, built);
            assert_eq!(report.ok().map(|r| r.problems.len()), problems, "{built}");
        }
    }

    #[test]
    fn incomplete_rules_are_refused() {
        assert!(rules("").is_err());
        assert!(rules(&RULES.replace(", reason = \"rustls\"", "")).is_err());
    }
}
