//! Tests of the mapping: what each claim does, and that fewer, reordered, doubled or look-alike claims never give more.

use countersign_model::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn times() -> Times {
    Times { issued_at: Timestamp::from_unix_s(1), expires_at: Timestamp::from_unix_s(2) }
}

fn config() -> IssuerConfig {
    let mut c = IssuerConfig::new("corp", "https://id.example", &["gw"]);
    c.groups_claim = Some("groups".to_owned());
    c
}

fn run(c: &IssuerConfig, claims: Value) -> Result<Identity, Rejection> {
    let Value::Object(claims) = claims else { panic!("not an object") };
    identify(c, claims, times())
}

fn groups(c: &IssuerConfig, claims: Value) -> Vec<String> {
    run(c, claims)
        .map(|i| i.groups.iter().cloned().collect())
        .unwrap_or_else(|r| vec![format!("refused: {}", r.as_str())])
}

fn rule(when: &[(&str, &str)], name: Option<&str>, groups: &[&str]) -> MappingRule {
    MappingRule {
        when: when.iter().map(|(k, v)| ((*k).to_owned(), ClaimMatch::Text((*v).to_owned()))).collect(),
        name: name.map(str::to_owned),
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        kind: Some(IdentityKind::Machine),
    }
}

#[test]
fn adv_086_hostile_groups_are_no_groups() {
    let c = config();
    let crowd = |n: usize| json!((0..n).map(|i| format!("g{i}")).collect::<Vec<_>>());
    for (value, want) in [
        (json!(["a", "b", "a"]), vec!["corp:a", "corp:b"]),
        (json!([]), vec![]),
        (json!("admins"), vec![]),
        (json!({"admins": true}), vec![]),
        (json!(["a", 7]), vec![]),
        (json!(["a", null]), vec![]),
        (json!(["a", ["b"]]), vec![]),
        (json!(["a", "A"]), vec![]),
        (json!(["a", "ａ"]), vec![]),
        (json!(["a", "\u{430}dmins"]), vec![]),
        (json!(["a", "b\u{200b}"]), vec![]),
        (json!(["a", " b"]), vec![]),
        (json!(["a", ""]), vec![]),
        (crowd(GROUPS_MAX + 1), vec![]),
    ] {
        assert_eq!(groups(&c, json!({"sub": "s", "groups": value.clone()})), want, "{value}");
    }
    assert_eq!(groups(&c, json!({"sub": "s", "groups": crowd(GROUPS_MAX)})).len(), GROUPS_MAX);
    let overage =
        json!({"sub": "s", "_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}});
    assert_eq!(groups(&c, overage), Vec::<String>::new());
    assert_eq!(groups(&c, json!({"sub": "s", "Groups": ["a"]})), Vec::<String>::new());
}

#[test]
fn prefixes_and_nested_claims() {
    let mut c = config();
    c.groups_prefix = Some(String::new());
    c.groups_claim = Some("/realm_access/roles".to_owned());
    c.name_claim = "preferred_username".to_owned();
    c.name_prefix = "corp/".to_owned();
    let i = run(&c, json!({"sub": "s", "preferred_username": "ana", "realm_access": {"roles": ["dba"]}})).unwrap();
    assert_eq!((i.name.as_str(), i.groups.iter().next().unwrap().as_str()), ("corp/ana", "dba"));
    assert_eq!((i.subject.as_str(), i.issuer.as_str()), ("s", "https://id.example"));
}

#[test]
fn adv_086_names_must_be_names() {
    let mut c = config();
    c.name_claim = "email".to_owned();
    for (claims, want) in [
        (json!({"sub": "s", "email": "ana@example.com"}), "ana@example.com"),
        (json!({"sub": "s", "email": "Ana@example.com"}), "Ana@example.com"),
        (json!({"sub": "s"}), "claim"),
        (json!({"sub": "s", "email": ["a"]}), "claim"),
        (json!({"sub": "s", "email": ""}), "claim"),
        (json!({"sub": "s", "email": "аna@example.com"}), "claim"),
        (json!({"sub": "s", "email": "ana@example.com\u{0}"}), "claim"),
        (json!({"email": "ana@example.com"}), "claim"),
        (json!({"sub": "", "email": "ana@example.com"}), "claim"),
        (json!({"sub": 7, "email": "ana@example.com"}), "claim"),
        (json!({"sub": "s\u{200d}", "email": "ana@example.com"}), "claim"),
        (json!({"sub": "s", "jti": 9, "email": "ana@example.com"}), "claim"),
    ] {
        let got = run(&c, claims.clone()).map_or_else(|r| r.as_str().to_owned(), |i| i.name.clone());
        assert_eq!(got, want, "{claims}");
    }
}

#[test]
fn rules_join_their_groups_and_the_first_names() {
    let mut c = config();
    c.mapping = vec![
        rule(&[("repository_id", "74"), ("environment", "prod")], Some("ci-prod"), &["deployers"]),
        rule(&[("repository_id", "74")], Some("ci"), &["ci"]),
    ];
    let both = run(&c, json!({"sub": "s", "repository_id": "74", "environment": "prod"})).unwrap();
    assert_eq!((both.name.as_str(), both.groups.len(), both.kind), ("ci-prod", 2, IdentityKind::Machine));
    let one = run(&c, json!({"sub": "s", "repository_id": "74"})).unwrap();
    assert_eq!((one.name.as_str(), one.groups.len()), ("ci", 1));
    for claims in [
        json!({"sub": "s"}),
        json!({"sub": "s", "repository_id": "75"}),
        json!({"sub": "s", "repository_id": 74}),
        json!({"sub": "s", "repository_id": ["74"]}),
        json!({"sub": "s", "Repository_id": "74"}),
        json!({"sub": "s", "repository_id": "74 "}),
    ] {
        assert_eq!(run(&c, claims.clone()).unwrap_err().as_str(), "unmapped", "{claims}");
    }
    c.unmapped = Some(Unmapped::Accept);
    assert_eq!(run(&c, json!({"sub": "s"})).unwrap().name, "s");
}

#[test]
fn matches_are_of_the_same_type() {
    for (want, value, equal) in [
        (ClaimMatch::Integer(3), json!(3), true),
        (ClaimMatch::Integer(3), json!("3"), false),
        (ClaimMatch::Integer(3), json!(3.5), false),
        (ClaimMatch::Bool(true), json!(true), true),
        (ClaimMatch::Bool(true), json!("true"), false),
        (ClaimMatch::AnyOf(vec!["a".into(), "b".into()]), json!("b"), true),
        (ClaimMatch::AnyOf(vec!["a".into()]), json!(["a"]), false),
        (ClaimMatch::Text("a".into()), json!("A"), false),
    ] {
        assert_eq!(equals(&want, &value), equal, "{want:?} {value}");
    }
}

#[test]
fn a_kind_claim_must_say_a_kind() {
    let mut c = config();
    c.kind_claim = Some("kind".to_owned());
    assert_eq!(run(&c, json!({"sub": "s", "kind": "agent"})).unwrap().kind, IdentityKind::Agent);
    assert_eq!(run(&c, json!({"sub": "s"})).unwrap().kind, IdentityKind::Human);
    for bad in [json!("Human"), json!("root"), json!(1), json!(["human"])] {
        assert_eq!(run(&c, json!({"sub": "s", "kind": bad})).unwrap_err().as_str(), "claim");
    }
}

#[test]
fn delegation_is_a_bounded_chain() {
    let c = config();
    let chain = |n: usize| {
        let mut act = Value::Null;
        for i in (0..n).rev() {
            let inner = act.take();
            act = json!({"sub": format!("a{i}")});
            if !inner.is_null() {
                act["act"] = inner;
            }
        }
        json!({"sub": "s", "act": act})
    };
    let i = run(&c, chain(DELEGATION_MAX)).unwrap();
    let subjects: Vec<_> = i.delegation.iter().map(|a| a.subject.as_str()).collect();
    assert_eq!(subjects, ["a0", "a1", "a2", "a3"]);
    assert_eq!(i.delegation[0].issuer, "https://id.example");
    for bad in [
        chain(DELEGATION_MAX + 1)["act"].clone(),
        json!("a"),
        json!({}),
        json!({"sub": 1}),
        json!({"sub": "a", "act": []}),
    ] {
        assert_eq!(run(&c, json!({"sub": "s", "act": bad})).unwrap_err().as_str(), "claim");
    }
}

/// Claims that a hostile issuer's user might get in: some of the good ones, and some that only look like them.
fn some_claims() -> impl Strategy<Value = Vec<(String, Value)>> {
    let names = ["repository_id", "environment", "ref", "groups", "Groups", "group\u{455}", "repository_id ", "role"];
    let values = prop_oneof![
        Just(json!("74")),
        Just(json!("prod")),
        Just(json!("main")),
        Just(json!(74)),
        Just(json!(["74"])),
        Just(json!(["a", "b"])),
        Just(json!(["a", "A"])),
        Just(json!(["а"])),
        Just(json!(["b", "b", "c"])),
        Just(Value::Null),
    ];
    proptest::collection::vec((proptest::sample::select(names.to_vec()).prop_map(str::to_owned), values), 0..8)
}

fn mapped(c: &IssuerConfig, claims: &[(String, Value)]) -> Option<BTreeSet<String>> {
    let mut map = Map::new();
    map.insert("sub".to_owned(), json!("s"));
    for (k, v) in claims {
        map.entry(k.clone()).or_insert_with(|| v.clone());
    }
    identify(c, map, times()).ok().map(|i| i.groups.clone())
}

proptest! {
    #[test]
    fn adv_086_fewer_or_reordered_claims_never_give_more_groups(
        claims in some_claims(),
        drop in any::<u8>(),
        turn in any::<u8>(),
        unmapped in prop_oneof![Just(None), Just(Some(Unmapped::Accept)), Just(Some(Unmapped::Refuse))],
    ) {
        let mut c = config();
        c.unmapped = unmapped;
        c.mapping = vec![
            rule(&[("repository_id", "74"), ("environment", "prod")], Some("p"), &["deployers"]),
            rule(&[("repository_id", "74")], Some("r"), &["ci"]),
            rule(&[("ref", "main")], None, &["main"]),
        ];
        let mut whole: Vec<(String, Value)> = Vec::new();
        for claim in claims {
            if !whole.iter().any(|(k, _)| *k == claim.0) {
                whole.push(claim);
            }
        }
        let all = mapped(&c, &whole);
        let mut turned = whole.clone();
        if !turned.is_empty() {
            let by = usize::from(turn) % turned.len();
            turned.rotate_left(by);
        }
        prop_assert_eq!(&all, &mapped(&c, &turned));
        let fewer: Vec<_> = whole.iter().enumerate().filter(|(i, _)| drop & (1 << (i % 8)) == 0).map(|(_, c)| c.clone()).collect();
        if let Some(less) = mapped(&c, &fewer) {
            let all = all.clone().unwrap_or_default();
            prop_assert!(less.is_subset(&all), "{less:?} is not within {all:?}");
        }
        // Whatever the claims, a group is one that the issuer may claim or that a rule gives.
        for group in all.unwrap_or_default() {
            prop_assert!(group.starts_with("corp:") || ["deployers", "ci", "main"].contains(&group.as_str()), "{}", group);
        }
    }
}
