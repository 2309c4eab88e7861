//! What is wrong with policy files is said all at once, and in its place.

use super::{language, load, try_load};
use crate::load::{FILE_BYTES_MAX, RULES_MAX};
use crate::{PolicyFile, PolicySet};

/// Each expected problem as `LINE:COLUMN part of the message | part of the help`.
fn check(text: &str, expected: &[&str]) {
    let problems = match try_load(&[text]) {
        Ok(_) => Vec::new(),
        Err(problems) => problems,
    };
    let shown = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert_eq!(problems.len(), expected.len(), "{text}\ngave\n{shown}");
    for (problem, expected) in problems.iter().zip(expected) {
        let (place, rest) = expected.split_once(' ').unwrap();
        let (message, help) = rest.split_once(" | ").unwrap_or((rest, ""));
        assert_eq!(format!("{}:{}", problem.line, problem.column), place, "{shown}");
        assert!(problem.message.contains(message), "expected {message:?} in\n{shown}");
        assert!(problem.help.as_deref().unwrap_or("").contains(help), "expected {help:?} in\n{shown}");
    }
}

#[test]
fn each_problem_has_its_place_and_a_way_out() {
    check("", &[]);
    check("permit (principal, action, resource);", &["1:1 no @id | give every rule a name"]);
    check(
        "@id(\"a\") permit (principal, action, resource);\n\n@id(\"a\") forbid (principal, action, resource);",
        &["3:1 taken by the rule at 0.cedar:1"],
    );
    check("@id(\"a b\")\npermit (principal, action, resource);", &["1:1 not a rule name"]);
    check(
        "@id(\"a\") @limt(\"rows=1\") permit (principal, action, resource);",
        &["1:10 unknown annotation @limt | did you mean \"limit\"?"],
    );
    check(
        "@id(\"a\")\n  @limit(\"row=1\") permit (principal, action, resource);",
        &["2:3 not one of rows | did you mean \"rows\"?"],
    );
    check("@id(\"a\") @limit(\"rows=1\") forbid (principal, action, resource);", &["1:10 on a forbid"]);
    check("@id(\"a\") @mask(\"x=y\") permit (principal, action, resource);", &["1:10 not one of redact"]);
    check(
        "@id(\"a\") @mask(\"x=hsh\") permit (principal, action, resource);",
        &["1:10 x=\"hsh\" | did you mean \"hash\"?"],
    );
    check(
        "@id(\"a\") @limit(\"rows=1\") permit (principal, action == Action::\"probe\", resource);",
        &["1:10 without a limit | add @limit(\"probes=20/1h\")"],
    );
    check("@id(\"a\") @review(\"dba:2\") forbid (principal, action, resource);", &["1:10 covers connect"]);
    check("@id(\"a\") permit (principal == ?principal, action, resource);", &["1:1 template slots"]);
    check(
        "@id(\"a\") permit (principal, action, resource) when { context.relatons.isEmpty() };",
        &["1:54 `relatons` in context | did you mean `relations`?"],
    );
    check(
        "@id(\"a\") permit (principal, action, resource) when { principal.claims.repo == \"x\" };",
        &["1:54 `claims.repo`"],
    );
    check("@id(\"a\") permit (principal in Grup::\"x\", action, resource);", &["1:31 `Grup` | did you mean `Group`?"]);
    check(
        "@id(\"a\") permit (principal, action == Action::\"reed\", resource);",
        &["1:39 `Action::\"reed\"` | did you mean `Action::\"read\"`?"],
    );
    check("@id(\"a\") permit (principal, action, resource) when { context.depth == \"x\" };", &["1:54 not compatible"]);
    check("@id(\"a\") permit (principal, action, resource in Label::\"prod\");", &["1:1 can never match | KEY:VALUE"]);
    check(
        "@id(\"a\") permit (principal == Identity::\"ana\", action, resource);",
        &["1:1 can never match | principal.name"],
    );
    check(
        "@id(\"a\") permit (principal, action, resource) when { principal.kind == \"humen\" };",
        &["1:1 never \"humen\" | did you mean \"human\"?"],
    );
    check(
        "@id(\"a\") permit (principal, action, resource) when { [\"mo\"].contains(context.weekday) };",
        &["1:1 never \"mo\" | mon"],
    );
    check("@id(\"a\") permit (principal, action, resource) when { false };", &["1:1 impossible"]);
}

#[test]
fn all_files_are_read_and_every_problem_is_told() {
    let problems = try_load(&[
        "@id(\"good\") permit (principal, action, resource);",
        "@id(\"a\") permit (principal action, resource);\n@id(\"b\") permit (principal, action, resource) when { context.depth = 1 };",
        "permit (principal, action, resource) when { context.nope };\n@id(\"good\") @alert(\"loud\") forbid (principal, action, resource);",
    ])
    .unwrap_err();
    let places: Vec<String> = problems.iter().map(|p| format!("{}:{}", p.file, p.line)).collect();
    let shown = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for place in ["1.cedar:1", "2.cedar:1", "2.cedar:2"] {
        assert!(places.iter().any(|p| p == place), "{place} in\n{shown}");
    }
    for part in ["no @id", "nope", "taken by the rule at 0.cedar:1", "low, medium, high, critical"] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
    assert!(places.windows(2).all(|w| w[0] <= w[1]), "in the order of files and lines:\n{shown}");
}

#[test]
fn files_and_sets_have_a_limit() {
    let rule = "@id(\"a\") permit (principal, action, resource);";
    let padded = |n: usize| format!("{rule}{}", " ".repeat(n - rule.len()));
    assert!(try_load(&[&padded(FILE_BYTES_MAX)]).is_ok());
    assert!(try_load(&[&padded(FILE_BYTES_MAX + 1)]).unwrap_err()[0].message.contains("the most is"));
    let rules = |from: usize, to: usize| {
        (from..to).map(|i| format!("@id(\"{i}\")permit(principal,action,resource);")).collect::<String>()
    };
    let half = RULES_MAX / 2;
    let too_many = try_load(&[&rules(0, half), &rules(half, RULES_MAX + 1)]).unwrap_err();
    assert!(too_many[0].message.contains("the most is 20000"), "{}", too_many[0]);
}

#[test]
fn the_schema_is_as_published() {
    let text = language().schema_text();
    let path = format!("{}/src/tests/schema.golden.cedarschema", std::env::var("CARGO_MANIFEST_DIR").unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    assert_eq!(text, golden, "run with UPDATE_GOLDEN=1 if the change is meant");
    for declared in ["relations: Set<String>,", "\"https://acme.test/tier\": String,", "// How deep it goes."] {
        assert!(text.contains(declared), "{declared}");
    }
    let (_, mut warnings) = cedar_policy::Schema::from_cedarschema_str(&text).unwrap();
    assert!(warnings.next().is_none());
}

#[test]
fn rules_tell_of_themselves() {
    let set = load(
        "\n@id(\"a\") @description(\"d\") @ask(\"q\") @limit(\"rows=1\") @alert(\"low\") permit (principal, action, resource);",
    );
    let info = set.rule(&countersign_model::RuleId::new("a")).unwrap();
    assert_eq!(
        serde_json::to_value(info).unwrap(),
        serde_json::json!({"id": "a", "effect": "permit", "description": "d", "ask": "q", "limits": {"rows": 1}, "alert": "low", "file": "0.cedar", "line": 2})
    );
    assert!(set.rule(&countersign_model::RuleId::new("b")).is_none());
    assert_eq!(set.rules().count(), 1);
}

#[test]
fn no_file_is_a_set_that_denies() {
    let set = PolicySet::load(&[] as &[PolicyFile], &language(), 3).unwrap();
    assert_eq!(set.rules().count(), 0);
}

#[test]
fn a_credential_that_nothing_gives_is_warned_of() {
    for (condition, warned) in [
        (r#"principal.credential == "hardware""#, true),
        (r#"principal.credential != "hardware""#, true),
        (r#""hardware" == principal.credential && context.encrypted"#, true),
        (r#"["hardware"].contains(principal.credential)"#, true),
        (r#"["bound", "hardware"].contains(principal.credential)"#, false),
        (r#"principal.credential == "bound""#, false),
        (r#"principal.name == "hardware""#, false),
    ] {
        for effect in ["permit", "forbid"] {
            let set = load(&format!("@id(\"r\")\n{effect} (principal, action, resource) when {{ {condition} }};"));
            let told: Vec<String> = set.warnings().iter().map(ToString::to_string).collect();
            assert_eq!(told.len(), usize::from(warned), "{effect} {condition}: {told:?}");
            assert!(told.iter().all(|t| t.contains("0.cedar:1:1: no credential is \"hardware\"")), "{told:?}");
        }
    }
}
