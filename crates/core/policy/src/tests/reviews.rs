//! `@review`: what would be a deny is a hold, and only where nothing else stands against it.

use countersign_model::{Access, Actor, Decision, IdentityKind, Policy};

use super::{World, load, on, shape, told, try_load};
use crate::Question;

const RULES: &str = r#"
    @id("change") @limit("affected=10") permit (principal in Group::"analysts", action in [Action::"read", Action::"write"], resource);
    @id("two-dbas") @review("dba:2; expires=5m") @alert("high") forbid (principal, action == Action::"write", resource in Label::"env:prod");
    @id("security-too") @review("security") forbid (principal, action == Action::"write", resource) when { context.relations.contains("payroll") };
    @id("never") forbid (principal, action == Action::"write", resource) when { context.relations.contains("secrets") };
    @id("fails") forbid (principal, action == Action::"write", resource) when { context.depth + 9223372036854775807 > 0 && context.relations.contains("overflow") };
"#;

fn check(rules: &str, world: &World, access: Access, relations: &[&str], expected: &str) {
    let set = load(rules);
    let shape = shape(vec![on(access, relations)]);
    let request = world.ask(&shape);
    let verdict = set.evaluate(&request);
    assert_eq!(told(&verdict), expected, "{relations:?}, {:?}", verdict.reason);
    assert_eq!(*set.evaluate(&request), *verdict, "asked again");
    let question = Question::from(&request);
    assert_eq!(set.judge_plainly(&question), *verdict, "judged plainly");
    let explained = set.explain(&question);
    let decisions = explained.uses.iter().map(|u| u.decision).chain(explained.parties.iter().map(|p| p.decision));
    let gravest =
        decisions.max_by_key(|d| [Decision::Allow, Decision::Hold, Decision::Deny].iter().position(|g| g == d));
    assert_eq!(gravest, Some(verdict.decision), "{explained}");
}

#[test]
fn a_deny_by_reviews_alone_is_a_hold() {
    let w = World::new;
    check(RULES, &w(), Access::Read, &["orders"], "allow change [affected=10]");
    check(RULES, &w(), Access::Write, &["orders"], "hold change two-dbas [affected=10] !High ?2 of dba");
    let both = "hold change security-too two-dbas [affected=10] !High ?2 of dba and 1 of security";
    check(RULES, &w(), Access::Write, &["payroll"], both);
    check(RULES, &w(), Access::Write, &["secrets"], "deny never two-dbas !High");
    let elsewhere = w().with(|w| w.target.labels.clear());
    check(RULES, &elsewhere, Access::Write, &["orders"], "allow change [affected=10]");
}

#[test]
fn a_hold_gives_nobody_what_no_permit_gives() {
    let stranger = World::new().who(|i| i.groups.clear());
    check(RULES, &stranger, Access::Write, &["orders"], "deny two-dbas !High");
    check(RULES, &stranger, Access::Read, &["orders"], "deny");
    let only = r#"@id("ask") @review("dba") forbid (principal, action == Action::"write", resource);"#;
    check(only, &World::new(), Access::Write, &["orders"], "deny ask");
}

#[test]
fn what_cannot_be_evaluated_is_denied_also_where_it_would_be_held() {
    let set =
        load(&RULES.replace("context.depth + 9223372036854775807 > 0", "context.depth + 9223372036854775807 + 1 > 0"));
    let shape = shape(vec![on(Access::Write, &["orders"])]);
    let verdict = set.evaluate(&World::new().ask(&shape));
    assert!(told(&verdict).starts_with("deny") && verdict.reason.is_some(), "{verdict:?}");
}

#[test]
fn a_permit_with_a_review_holds_what_only_it_allows() {
    let rules = r#"
        @id("reviewed") @review("dba; expires=1m") permit (principal, action == Action::"write", resource);
        @id("ops") permit (principal in Group::"ops", action == Action::"write", resource);
        @id("asked-too") @review("lead") permit (principal, action == Action::"write", resource) when { context.relations.contains("both") };
    "#;
    check(rules, &World::new(), Access::Write, &["a"], "hold reviewed ?1 of dba");
    check(rules, &World::new(), Access::Write, &["both"], "hold asked-too reviewed ?1 of dba and 1 of lead");
    let ops = World::new().who(|i| i.groups = ["ops".to_owned()].into());
    check(rules, &ops, Access::Write, &["a"], "allow ops reviewed");
}

#[test]
fn the_review_of_several_uses_and_parties_is_all_of_it() {
    let set = load(RULES);
    let two = shape(vec![on(Access::Read, &["a"]), on(Access::Write, &["payroll"])]);
    let verdict = set.evaluate(&World::new().ask(&two));
    assert_eq!(told(&verdict), "hold change security-too two-dbas [affected=10] !High ?2 of dba and 1 of security");
    assert_eq!(verdict.effects.review.as_ref().unwrap().expires_s, 300, "the shorter time");

    let rules = r#"
        @id("all") permit (principal, action, resource);
        @id("agents-ask") @review("lead") forbid (principal, action == Action::"write", resource) when { principal.kind == "agent" };
    "#;
    let agent = Actor {
        subject: "bot".into(),
        issuer: "https://id.acme.test".into(),
        name: "bot".into(),
        kind: IdentityKind::Agent,
        groups: Default::default(),
        claims: Default::default(),
        signer: None,
    };
    let delegated = World::new().who(|i| i.delegation = vec![agent]);
    check(rules, &World::new(), Access::Write, &["a"], "allow all");
    check(rules, &delegated, Access::Write, &["a"], "hold agents-ask all ?1 of lead");
}

#[test]
fn a_review_that_nobody_could_wait_for_is_refused_when_it_is_loaded() {
    for (rule, part) in [
        (r#"@id("r") @review("dba") forbid (principal, action, resource);"#, "covers connect"),
        (
            r#"@id("r") @review("dba") permit (principal, action in [Action::"connect", Action::"read"], resource);"#,
            "covers connect",
        ),
        (r#"@id("r") @review("dba:x:0") forbid (principal, action == Action::"write", resource);"#, "asks for nobody"),
        (r#"@id("r") @review forbid (principal, action == Action::"write", resource);"#, "name of a group"),
    ] {
        let problems = try_load(&[rule]).unwrap_err();
        assert!(problems.iter().any(|p| p.message.contains(part)), "{rule}: {problems:?}");
    }
}
