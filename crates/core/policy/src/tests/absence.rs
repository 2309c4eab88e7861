//! Fewer, reordered, doubled or look-alike claims and groups never give an allow, but where a rule says so; and where one says so, its
//! writer is warned.

use std::collections::BTreeSet;

use countersign_model::{Access, Decision, IdentityParts};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{World, language, load, on, shape, try_load};
use crate::absence::{Source, leaning};
use crate::annotation::RuleEffect;
use crate::{PolicySet, Question};

/// `gained ; lost`, as a permit with such a condition hangs on what may be missing.
fn told(head: &str, condition: &str) -> String {
    let set = load(&format!("@id(\"r\") permit ({head}, action, resource) {condition};"));
    let found = leaning(&language(), &set.loaded()[0].tree);
    let list = |s: &BTreeSet<Source>| {
        s.iter().map(|s| s.to_string().replace("principal.claims.", "")).collect::<Vec<_>>().join(",")
    };
    format!("{};{}", list(&found.gained), list(&found.lost))
}

#[test]
fn what_a_condition_hangs_on_is_found() {
    for (condition, expected) in [
        (r#"true"#, ";"),
        (r#"principal.name == "ana" && context.part != "x" && resource in Label::"env:prod""#, ";"),
        (r#"principal.claims.ref == "main""#, ";ref"),
        (r#""main" == principal.claims.ref"#, ";ref"),
        (r#"principal.claims.ref != "main""#, "ref;"),
        (r#"!(principal.claims.ref == "main")"#, "ref;"),
        (r#"principal.claims.ref == """#, "ref;"),
        (r#"principal.claims.ref != """#, ";ref"),
        (r#"principal.claims.ref != "" && principal.claims.ref != "dev""#, "ref;ref"),
        (r#"principal.claims.ref == "" || principal.claims.ref == "main""#, "ref;ref"),
        (r#"principal.claims.ref like "refs/*" && !(principal.claims.ref like "*/dev")"#, "ref;ref"),
        (r#"principal.claims.ref like "*""#, ";"),
        (r#"principal.claims.ref like """#, "ref;"),
        (r#"principal.claims.ref == principal.claims.sha"#, "ref,sha;ref,sha"),
        (r#"principal.claims.ref == context.part"#, "ref;ref"),
        (r#"principal.claims.ref == resource.name"#, ";ref"),
        (r#"["a", "b"].contains(principal.claims.ref)"#, ";ref"),
        (r#"["a", ""].contains(principal.claims.ref)"#, "ref;ref"),
        (r#"!["a", "b"].contains(principal.claims.ref)"#, "ref;"),
        (r#"context.relations.contains(principal.claims.ref)"#, ";ref"),
        (r#"principal.claims.team.contains("a")"#, ";team"),
        (r#"principal.claims.team.containsAll(["a", "b"])"#, ";team"),
        (r#"["a", "b"].containsAll(principal.claims.team)"#, "team;team"),
        (r#"principal.claims.team.containsAny(["a", "b"]) || ["c"].containsAny(principal.claims.team)"#, ";team"),
        (r#"principal.claims.team == ["a"]"#, "team;team"),
        (r#"principal.claims.team.isEmpty()"#, "team;"),
        (r#"!principal.claims.team.isEmpty()"#, ";team"),
        (r#"principal in Group::"a""#, r#";Group::"a""#),
        (r#"principal in [Group::"a", Group::"b"]"#, r#";Group::"a",Group::"b""#),
        (r#"!(principal in Group::"a")"#, r#"Group::"a";"#),
        (r#"principal is Identity in Group::"a""#, r#";Group::"a""#),
        (r#"principal in Group::"b" && !(principal in Group::"a")"#, r#"Group::"a";Group::"b""#),
        (r#"principal.groups.contains("a")"#, ";principal.groups"),
        (r#"principal.groups.isEmpty()"#, "principal.groups;"),
        (r#"principal.claims has ref && principal == Identity::"i#s""#, ";"),
        (r#"if principal.claims.ref == "main" then true else false"#, ";ref"),
        (r#"if principal.claims.ref == "main" then false else true"#, "ref;"),
        (r#"if principal.claims.ref == "main" then principal in Group::"a" else false"#, r#";ref,Group::"a""#),
        (r#"if principal.claims.ref == "x" then context.encrypted else context.bounded"#, "ref;ref"),
        (
            r#"(if context.encrypted then principal else principal).claims.ref == "main""#,
            "principal.claims;principal.claims",
        ),
        (r#"(if context.encrypted then principal else principal) in Group::"a""#, r#"Group::"a";Group::"a""#),
        (r#"[principal.claims.ref].contains("main")"#, "ref;ref"),
        (r#"principal.claims == principal.claims"#, "principal.claims;principal.claims"),
    ] {
        assert_eq!(told("principal", &format!("when {{ {condition} }}")), expected, "{condition}");
    }
    for (head, condition, expected) in [
        (r#"principal in Group::"a""#, "", r#";Group::"a""#),
        (r#"principal is Identity in Group::"a""#, "", r#";Group::"a""#),
        (r#"principal == Identity::"i#s""#, "", ";"),
        ("principal", r#"unless { principal.claims.ref == "dev" }"#, "ref;"),
        ("principal", r#"when { principal.claims.ref != "" } unless { principal.claims.ref == "dev" }"#, "ref;ref"),
    ] {
        assert_eq!(told(head, condition), expected, "{head} {condition}");
    }
}

#[test]
fn a_permit_by_what_is_missing_is_warned_of() {
    let permit = "\n@id(\"r\") @alert(\"low\")\npermit (principal, action, resource)\nunless { principal.claims.environment == \"dev\" };";
    let set = load(permit);
    let [warning] = set.warnings() else { panic!("{:?}", set.warnings()) };
    let warning = warning.to_string();
    assert!(warning.starts_with("0.cedar:2:1: this permit may apply because something is missing"), "{warning}");
    assert!(warning.contains("principal.claims.environment") && warning.contains("write a forbid"), "{warning}");
    // As a forbid it has a name of its own, and is no matter for a warning.
    assert_eq!(load(&permit.replace("permit", "forbid")).warnings(), []);
}

#[test]
fn adv_086_a_workload_by_its_names_alone_is_warned_of() {
    for (condition, claims) in [
        (r#"principal.claims.repository == "acme/orders""#, &["repository"][..]),
        (r#"principal.claims.repository == "acme/orders" && principal.claims.repository_id == "74""#, &[]),
        (r#"principal.claims.repository == "acme/orders" || principal.claims.repository_id == "74""#, &["repository"]),
        (
            r#"principal.claims.job_workflow_ref == "acme/orders/.github/workflows/d.yml@refs/heads/main""#,
            &["job_workflow_ref"],
        ),
        (r#"principal.claims.job_workflow_ref like "acme/*" && principal.claims.repository_owner_id == "9""#, &[]),
        (
            r#"["a", "b"].contains(principal.claims.workflow) && principal.claims.actor == "ana""#,
            &["actor", "workflow"],
        ),
        (r#"["1", "2"].contains(principal.claims.repository_id) && principal.claims.actor == "ana""#, &[]),
        (r#"principal.claims.sub == "repo:acme/orders:ref:refs/heads/main""#, &["sub"]),
        (r#"principal.claims.sub like "repo:acme/*""#, &["sub"]),
        (r#"principal.subject == "project_path:acme/orders:ref_type:branch:ref:main""#, &["sub"]),
        (r#"principal == Identity::"https://ci#repo:acme/orders:environment:prod""#, &["sub"]),
        (r#"principal.subject == "repo:acme/orders:environment:prod" && principal.claims.repository_id == "74""#, &[]),
        (r#"principal == Identity::"https://id#u-1" && principal.claims.email == "ana@acme.test""#, &[]),
        (r#"principal.claims.sub == "248289761001" && principal.claims.email == "ana@acme.test""#, &[]),
        (r#"principal.claims.email == "ana@acme.test""#, &["email"]),
        // The mapping gave the group, and is checked by itself.
        (r#"principal in Group::"ci" && principal.claims.repository == "acme/orders""#, &[]),
        (r#"principal.claims.repository != "" && principal.claims.ref == "main""#, &[]),
    ] {
        let found = load(&format!("@id(\"r\") permit (principal, action, resource) when {{ {condition} }};"));
        let told: Vec<String> = found.warnings().iter().map(ToString::to_string).collect();
        let expected: Vec<String> = claims.iter().map(|c| format!("\"{c}\" can be renamed")).collect();
        assert_eq!(told.len(), expected.len(), "{condition}: {told:?}");
        assert!(told.iter().zip(&expected).all(|(t, e)| t.contains(e) && t.contains("also match")), "{told:?}");
    }
    let forbid =
        r#"@id("r") forbid (principal, action, resource) when { principal.claims.repository == "acme/orders" };"#;
    assert_eq!(load(forbid).warnings(), []);
}

/// A condition of the operators that rules may use on claims and groups.
fn conditions() -> impl Strategy<Value = String> {
    let text = proptest::sample::select(vec!["ref", "sha", "environment"]);
    let word = proptest::sample::select(vec!["c0", "c1", ""]);
    let group = proptest::sample::select(vec!["g0", "g1", "g2"]);
    let pattern = proptest::sample::select(vec!["c*", "*0", "*", "", "c0"]);
    let atoms = prop_oneof![
        (text.clone(), word.clone(), any::<bool>())
            .prop_map(|(c, w, is)| { format!("principal.claims.{c} {} \"{w}\"", if is { "==" } else { "!=" }) }),
        (text.clone(), pattern).prop_map(|(c, p)| format!("principal.claims.{c} like \"{p}\"")),
        (text.clone(), word.clone()).prop_map(|(c, w)| format!("[\"c1\", \"{w}\"].contains(principal.claims.{c})")),
        (text.clone(), text).prop_map(|(a, b)| format!("principal.claims.{a} == principal.claims.{b}")),
        word.clone().prop_map(|w| format!("principal.claims.team.contains(\"{w}\")")),
        word.clone().prop_map(|w| format!("[\"c0\", \"{w}\"].containsAll(principal.claims.team)")),
        word.clone().prop_map(|w| format!("principal.claims.team.containsAll([\"c0\", \"{w}\"])")),
        word.clone().prop_map(|w| format!("principal.claims.team.containsAny([\"{w}\"])")),
        word.prop_map(|w| format!("principal.claims.team == [\"{w}\"]")),
        group.clone().prop_map(|g| format!("principal in Group::\"{g}\"")),
        group.clone().prop_map(|g| format!("principal in [Group::\"g0\", Group::\"{g}\"]")),
        group.prop_map(|g| format!("principal.groups.contains(\"{g}\")")),
        Just("principal.groups.isEmpty()".to_owned()),
        Just("principal.claims.team.isEmpty()".to_owned()),
        Just("principal.claims.ref == context.part".to_owned()),
        Just("principal.kind == \"human\"".to_owned()),
        Just("context.encrypted".to_owned()),
    ];
    atoms.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(c, a, b)| format!("(if {c} then {a} else {b})")),
        ]
    })
}

fn rules() -> impl Strategy<Value = String> {
    let heads = vec!["principal", "principal in Group::\"g0\"", "principal is Identity in Group::\"g1\""];
    let rule = (any::<bool>(), proptest::sample::select(heads), any::<bool>(), conditions());
    proptest::collection::vec(rule, 1..5).prop_map(|rules| {
        let write = |(i, (permit, head, when, condition)): (usize, (bool, &str, bool, String))| {
            let (effect, clause) =
                (if permit || i == 0 { "permit" } else { "forbid" }, if when { "when" } else { "unless" });
            format!("@id(\"r{i}\") {effect} ({head}, action, resource) {clause} {{ {condition} }};\n")
        };
        rules.into_iter().enumerate().map(write).collect()
    })
}

/// Claims and groups of a token, as the policies of these tests know them.
fn tokens() -> impl Strategy<Value = IdentityParts> {
    let word = || proptest::option::of(proptest::sample::select(vec!["c0", "c1", "c2"]));
    let team = proptest::collection::vec(proptest::sample::select(vec!["c0", "c1", "c2"]), 0..3);
    let groups = proptest::collection::btree_set(proptest::sample::select(vec!["g0", "g1", "g2"]), 0..4);
    (word(), word(), word(), team, groups).prop_map(|(r, sha, environment, team, groups)| {
        let mut parts = super::parts();
        parts.groups = groups.into_iter().map(str::to_owned).collect();
        for (name, value) in [("ref", r), ("sha", sha), ("environment", environment)] {
            parts.claims.extend(value.map(|v| (name.to_owned(), json!(v))));
        }
        parts.claims.insert("team".to_owned(), json!(team));
        parts
    })
}

/// What looks like the text and is another one: by case, by a letter of another script, by compatibility, by something unseen.
fn look_alike(text: &str, way: u8) -> String {
    match way % 4 {
        0 => text.to_uppercase(),
        1 => text.replace('c', "\u{441}").replace('g', "\u{261}"),
        2 => text.replace('0', "\u{ff10}").replace('1', "\u{ff11}").replace('2', "\u{ff12}"),
        _ => format!("{text}\u{200b}"),
    }
}

/// Takes some claims, members and groups away, or puts look-alikes in their places; tells which were touched.
fn spoiled(whole: &IdentityParts, touch: u16, way: Option<u8>) -> (IdentityParts, BTreeSet<Source>) {
    let mut less = whole.clone();
    let mut touched = BTreeSet::new();
    let mut bit = 0;
    let mut hit = || {
        bit += 1;
        touch & (1 << (bit - 1)) != 0
    };
    for name in ["ref", "sha", "environment"] {
        if hit()
            && let Some(Value::String(was)) = less.claims.remove(name)
        {
            less.claims.extend(way.map(|way| (name.to_owned(), json!(look_alike(&was, way)))));
            touched.extend([Source::Claim(name.to_owned()), Source::Claims]);
        }
    }
    let team: Vec<Value> = whole.claims["team"].as_array().unwrap().clone();
    let mut left = Vec::new();
    for member in &team {
        if hit() {
            left.extend(way.map(|way| json!(look_alike(member.as_str().unwrap(), way))));
            touched.extend([Source::Claim("team".to_owned()), Source::Claims]);
        } else {
            left.push(member.clone());
        }
    }
    less.claims.insert("team".to_owned(), left.into());
    for group in &whole.groups {
        if hit() {
            less.groups.remove(group);
            less.groups.extend(way.map(|way| look_alike(group, way)));
            touched.extend([Source::Group(group.clone()), Source::Groups]);
        }
    }
    (less, touched)
}

fn allowed(set: &PolicySet, world: &World, who: &IdentityParts) -> bool {
    let read = shape(vec![on(Access::Read, &[])]);
    let request = world.ask(&read);
    set.judge(&Question { identity: who, ..Question::from(&request) }).decision == Decision::Allow
}

/// What may be missing and turn a deny into an allow: what a permit gains by, and what a forbid needs.
fn openings(set: &PolicySet) -> BTreeSet<Source> {
    let of = |rule: &crate::load::Rule| {
        let found = leaning(&language(), &rule.tree);
        if rule.info.effect == RuleEffect::Permit { found.gained } else { found.lost }
    };
    set.loaded().iter().flat_map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn adv_086_fewer_or_look_alike_claims_give_nothing_that_no_rule_names(
        rules in rules(),
        whole in tokens(),
        touch in any::<u16>(),
        way in proptest::option::of(any::<u8>()),
        part in proptest::sample::select(vec!["c0", ""]),
    ) {
        let set = try_load(&[&rules]).unwrap();
        let world = World::new().with(|w| w.session.part = part.to_owned());
        let (less, touched) = spoiled(&whole, touch, way);
        if touched.is_disjoint(&openings(&set)) && allowed(&set, &world, &less) {
            prop_assert!(allowed(&set, &world, &whole), "{rules}\n{less:?}\n{whole:?}");
        }
        // Whatever permit gains is warned of, and no other.
        let gains = |r: &&crate::load::Rule| !leaning(&language(), &r.tree).gained.is_empty();
        let permits = set.loaded().iter().filter(|r| r.info.effect == RuleEffect::Permit).filter(gains).count();
        let warned = set.warnings().iter().filter(|w| w.message.contains("missing from a token")).count();
        prop_assert_eq!(permits, warned);
    }

    #[test]
    fn adv_086_reordered_or_doubled_members_change_nothing(rules in rules(), whole in tokens(), turn in 0..3_usize) {
        let set = try_load(&[&rules]).unwrap();
        let world = World::new();
        let mut other = whole.clone();
        let mut team = whole.claims["team"].as_array().unwrap().clone();
        let by = turn.min(team.len());
        team.rotate_left(by);
        team.extend(team.clone());
        other.claims.insert("team".to_owned(), team.into());
        prop_assert_eq!(allowed(&set, &world, &whole), allowed(&set, &world, &other), "{}", rules);
        // A text that comes doubled is no text: as if it were missing.
        if let Some(was) = whole.claims.get("ref").cloned() {
            let (mut doubled, mut missing) = (whole.clone(), whole.clone());
            doubled.claims.insert("ref".to_owned(), json!([was, was]));
            missing.claims.remove("ref");
            prop_assert_eq!(allowed(&set, &world, &doubled), allowed(&set, &world, &missing), "{}", rules);
        }
    }
}
