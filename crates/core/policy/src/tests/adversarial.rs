//! What somebody tries against the rules.

use countersign_model::{Access, Attribute, Policy};
use serde_json::json;

use super::{World, load, on, shape, told, try_load, used};
use crate::facts::identity_id;

fn verdict(rules: &str, world: &World) -> String {
    let s = shape(vec![on(Access::Read, &["a"])]);
    told(&load(rules).evaluate(&world.ask(&s)))
}

/// Cedar skips a rule that fails. Each of these would be an allow if it were left at that.
#[test]
fn adv_003_a_rule_that_cannot_be_evaluated_denies() {
    const OVERFLOW: &str = "context.hour_utc + 9223372036854775800 > 0";
    for effect in ["forbid", "permit"] {
        let rules = format!(
            "@id(\"all\") permit (principal, action, resource);\n@id(\"bad\") {effect} (principal, action, resource) when {{ {OVERFLOW} }};"
        );
        assert_eq!(verdict(&rules, &World::new()), "deny (error)", "{effect}");
    }
    let scoped = format!(
        "@id(\"all\") permit (principal, action, resource);\n@id(\"bad\") forbid (principal, action == Action::\"admin\", resource) when {{ {OVERFLOW} }};"
    );
    assert_eq!(verdict(&scoped, &World::new()), "allow all", "a rule for other actions is not evaluated");
}

#[test]
fn adv_001_an_attribute_of_the_wrong_type_denies() {
    let set = load(
        "@id(\"all\") permit (principal, action, resource);\n@id(\"no\") forbid (principal, action, resource) when { context.verb == \"drop\" };",
    );
    let w = World::new();
    let with = |value| shape(vec![used(Access::Read, &[("verb", value)])]);
    assert_eq!(told(&set.evaluate(&w.ask(&with(Attribute::String("drop".into()))))), "deny no");
    assert_eq!(told(&set.evaluate(&w.ask(&with(Attribute::Long(1))))), "deny (error)");
    assert_eq!(told(&set.evaluate(&w.ask(&with(Attribute::set(["drop"]))))), "deny (error)");
}

#[test]
fn adv_009_the_worst_use_decides_for_all() {
    let set = load(
        "@id(\"read\") permit (principal, action == Action::\"read\", resource);\n@id(\"no\") forbid (principal, action, resource) when { context.relations.contains(\"secret\") };",
    );
    let w = World::new();
    for position in 0..3 {
        let mut uses = vec![on(Access::Read, &["a"]); 2];
        uses.insert(position, on(Access::Read, &["secret"]));
        assert_eq!(told(&set.evaluate(&w.ask(&shape(uses)))), "deny no", "at {position}");
        let mut uses = vec![on(Access::Read, &["a"]); 2];
        uses.insert(position, on(Access::Admin, &["a"]));
        assert_eq!(told(&set.evaluate(&w.ask(&shape(uses)))), "deny", "at {position}");
    }
}

#[test]
fn adv_086_look_alike_groups_do_not_match() {
    const RULES: &str = r#"@id("r") permit (principal in Group::"admins", action, resource);"#;
    for (group, expected) in [
        ("admins", "allow r"),
        ("Admins", "deny"),
        ("admins ", "deny"),
        ("admins\0", "deny"),
        ("\u{430}dmins", "deny"),
        ("adm\u{131}ns", "deny"),
        ("admi\u{200b}ns", "deny"),
        ("\u{ff41}dmins", "deny"),
        ("Group::\"admins\"", "deny"),
    ] {
        let w = World::new().who(|i| i.groups = [group.to_owned()].into());
        assert_eq!(verdict(RULES, &w), expected, "{group:?}");
    }
}

#[test]
fn labels_are_matched_whole() {
    const RULES: &str = r#"@id("r") permit (principal, action, resource in Label::"env:prod");"#;
    for (key, value, expected) in [
        ("env", "prod", "allow r"),
        ("env", "prod2", "deny"),
        ("en", "v:prod", "deny"),
        ("Env", "prod", "deny"),
        ("env:prod", "", "deny"),
        ("", "env:prod", "deny"),
    ] {
        let w = World::new().with(|w| w.target.labels = [(key.to_owned(), value.to_owned())].into());
        assert_eq!(verdict(RULES, &w), expected, "{key:?}={value:?}");
    }
}

#[test]
fn identities_of_two_issuers_never_share_an_id() {
    let all = [("a", "b#c"), ("a#b", "c"), ("a%23b", "c"), ("a%2523b", "c"), ("a", "b%23c"), ("", "a#b#c")];
    for (i, (issuer, subject)) in all.iter().enumerate() {
        for (other_issuer, other_subject) in &all[i + 1..] {
            assert_ne!(identity_id(issuer, subject), identity_id(other_issuer, other_subject));
        }
    }
}

#[test]
fn an_address_cannot_hide_inside_ipv6() {
    const RULES: &str = r#"
        @id("all") permit (principal, action, resource);
        @id("no") forbid (principal, action, resource) when { context.source_ip.isInRange(ip("10.0.0.0/8")) };"#;
    for (source, expected) in [
        ("10.1.2.3:1", "deny no"),
        ("[::ffff:10.1.2.3]:1", "deny no"),
        ("11.1.2.3:1", "allow all"),
        ("[2001:db8::1]:1", "allow all"),
    ] {
        let w = World::new().with(|w| w.session.source = source.parse().unwrap());
        assert_eq!(verdict(RULES, &w), expected, "{source}");
    }
}

#[test]
fn claims_of_another_form_do_not_pass_for_text() {
    const RULES: &str =
        r#"@id("r") permit (principal, action, resource) when { principal.claims.ref == "refs/heads/main" };"#;
    for (claim, expected) in [
        (json!("refs/heads/main"), "allow r"),
        (json!(["refs/heads/main"]), "allow r"),
        (json!(["refs/heads/main", "refs/heads/x"]), "deny"),
        (json!([["refs/heads/main"]]), "deny"),
        (json!({"ref": "refs/heads/main"}), "deny"),
        (json!("refs/heads/main\n"), "deny"),
        (json!(null), "deny"),
    ] {
        let w = World::new().who(|i| drop(i.claims.insert("ref".to_owned(), claim.clone())));
        assert_eq!(verdict(RULES, &w), expected, "{claim}");
    }
}

#[test]
fn rules_that_read_differently_from_what_they_are_get_refused() {
    let hidden = "@id(\"r\") permit (principal, action, resource) when { context.verb == \"a\u{202e}b\" };";
    assert!(try_load(&[hidden]).is_err(), "a text that turns the reading order");
    let mixed = "@id(\"r\") permit (principal in Group::\"\u{430}dmins\", action, resource) when { context.verb == \"say \u{441}\u{44b}\" };";
    let told = match try_load(&[mixed]) {
        Ok(set) => set.warnings().to_vec(),
        Err(problems) => problems,
    };
    assert!(!told.is_empty(), "mixed scripts are told of");
}
