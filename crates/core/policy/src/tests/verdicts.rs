//! Rules and a request give a verdict.

use std::sync::Arc;

use countersign_model::{Access, Attribute, Fingerprint, IdentityKind, Policy, Shape};
use serde_json::json;

use super::{World, load, on, shape, told, used};
use crate::{PolicyStore, Question, USES_MAX};

const READ: &str =
    r#"@id("read") permit (principal in Group::"analysts", action == Action::"read", resource in Label::"env:prod");"#;

fn check(rules: &str, world: &World, shape: &Shape, expected: &str) {
    let set = load(rules);
    let request = world.ask(shape);
    let first = set.evaluate(&request);
    assert_eq!(told(&first), expected, "{rules}\nreason: {:?}", first.reason);
    assert_eq!(*set.evaluate(&request), *first, "asked again");
    assert_eq!(set.judge_plainly(&Question::from(&request)), *first, "judged plainly");
    let explained = set.explain(&Question::from(&request));
    assert_eq!(explained.verdict, *first, "explained");
    let all = explained.uses.iter().all(|u| u.decision == countersign_model::Decision::Allow);
    assert_eq!(all, told(&first).starts_with("allow"), "{explained}");
}

#[test]
fn permits_forbids_and_the_default() {
    let w = World::new;
    let read = shape(vec![on(Access::Read, &["a"])]);
    let write = shape(vec![on(Access::Write, &["a"])]);
    let both = shape(vec![on(Access::Read, &["a"]), on(Access::Write, &["b"])]);
    check("", &w(), &read, "deny");
    check(READ, &w(), &read, "allow read");
    check(READ, &w(), &write, "deny");
    check(READ, &w(), &both, "deny");
    check(READ, &w().who(|i| i.groups = ["ops".to_owned()].into()), &read, "deny");
    check(READ, &w().with(|w| w.target.labels.clear()), &read, "deny");
    let forbid = format!(
        r#"{READ} @id("no-b") @alert("high") forbid (principal, action, resource) when {{ context.relations.contains("b") }};"#
    );
    check(&forbid, &w(), &read, "allow read");
    check(&forbid, &w(), &shape(vec![on(Access::Read, &["b"])]), "deny no-b !High");
    check(&forbid, &w(), &both, "deny no-b !High");
    let every = r#"@id("all") permit (principal, action, resource);"#;
    for access in [Access::Connect, Access::Read, Access::Write, Access::Execute, Access::Admin] {
        check(every, &w(), &shape(vec![on(access, &[])]), "allow all");
    }
}

#[test]
fn effects_combine_to_the_strictest() {
    let rules = r#"
        @id("wide") @limit("rows=100,bytes=1K") @alert("low") permit (principal, action, resource);
        @id("narrow") @limit("rows=10,affected=5") @alert("critical") permit (principal, action, resource) when { context.verb == "x" };
        @id("free") permit (principal, action == Action::"read", resource);
    "#;
    let x = ("verb", Attribute::String("x".into()));
    let w = World::new();
    check(rules, &w, &shape(vec![on(Access::Write, &[])]), "allow wide [rows=100, bytes=1024] !Low");
    check(rules, &w, &shape(vec![on(Access::Read, &[])]), "allow free wide [rows=100, bytes=1024] !Low");
    check(
        rules,
        &w,
        &shape(vec![used(Access::Write, std::slice::from_ref(&x))]),
        "allow narrow wide [rows=10, bytes=1024, affected=5] !Critical",
    );
    let two = shape(vec![on(Access::Read, &[]), used(Access::Write, &[x])]);
    check(rules, &w, &two, "allow free narrow wide [rows=10, bytes=1024, affected=5] !Critical");
}

#[test]
fn identities_are_seen_whole() {
    let read = shape(vec![on(Access::Read, &[])]);
    for (condition, matches) in [
        (r#"principal.name == "ana""#, true),
        (r#"principal == Identity::"https://id.acme.test#u-1""#, true),
        (r#"principal == Identity::"https://id.acme.test#u-2""#, false),
        (r#"principal in [Group::"x", Group::"analysts"]"#, true),
        (r#"principal is Identity in Group::"analysts""#, true),
        (r#"principal.groups.contains("analysts")"#, true),
        (r#"principal.kind == "machine""#, false),
        (r#"["human", "agent"].contains(principal.kind)"#, true),
        (r#"principal.credential != "hardware""#, true),
        (r#"principal.actors.isEmpty()"#, true),
        (r#"principal.claims.repository == "acme/orders""#, true),
        (r#"principal.claims.run_id == "42""#, true),
        (r#"principal.claims.email_verified == "true""#, true),
        (r#"principal.claims.sha == """#, true),
        (r#"principal.claims.environment == """#, true),
        (r#"principal.claims.workflow == "deploy""#, true),
        (r#"principal.claims.aud.contains("countersign")"#, true),
        (r#"principal.claims.team == ["a", "b"]"#, true),
        (r#"principal.claims["https://acme.test/tier"] == "gold""#, true),
        (r#"principal has claims && principal.claims has sub"#, true),
        (r#"principal has claims.sub"#, true),
        (r#"resource == Target::"orders" && resource in Label::"env:prod""#, true),
        (r#"resource.name like "ord*" && resource.protocol == "toy""#, true),
        (r#"context == context && principal == principal"#, true),
        (r#"if context.encrypted then principal.name == "ana" else false"#, true),
        (r#"(if context.encrypted then principal else principal).name == "ana""#, true),
        (r#"{a: principal}.a.name == "ana""#, true),
        (r#"context.source_ip.isInRange(ip("10.0.0.0/8"))"#, true),
        (r#"context.application == "toyctl" && context.part == "main""#, true),
        (r#"context.hour_utc == 12 && context.weekday == "mon""#, true),
        (r#"context.now < datetime("2026-01-05T12:00:01Z") && context.now >= datetime("2026-01-05")"#, true),
        (r#"context.token_age_s == 60"#, true),
        (r#"context.depth == 0 && !context.bounded && context.verb == "" && context.relations.isEmpty()"#, true),
    ] {
        let w = World::new().who(|i| {
            i.claims.extend([
                ("repository".to_owned(), json!("acme/orders")),
                ("run_id".to_owned(), json!(42)),
                ("email_verified".to_owned(), json!(true)),
                ("sha".to_owned(), json!(["one", "two"])),
                ("environment".to_owned(), json!({"name": "x"})),
                ("workflow".to_owned(), json!(["deploy"])),
                ("aud".to_owned(), json!("countersign")),
                ("team".to_owned(), json!(["b", "a"])),
                ("https://acme.test/tier".to_owned(), json!("gold")),
            ]);
        });
        let rules = format!("@id(\"r\") permit (principal, action, resource) when {{ {condition} }};");
        check(&rules, &w, &read, if matches { "allow r" } else { "deny" });
    }
}

#[test]
fn the_designs_example_loads_and_judges() {
    let rules = r#"
        @id("ci-deploys")
        permit (principal, action == Action::"write", resource == Target::"orders")
        when { principal.kind == "machine" && principal.claims.job_workflow_ref == "acme/orders/.github/workflows/deploy.yml@refs/heads/main"
               && context.relations.containsAny(["public.schema_migrations"]) };
    "#;
    let job = |reference: &'static str| {
        World::new().who(move |i| {
            i.kind = IdentityKind::Machine;
            i.claims.insert("job_workflow_ref".to_owned(), json!(reference));
        })
    };
    let write = shape(vec![on(Access::Write, &["public.schema_migrations"])]);
    check(rules, &job("acme/orders/.github/workflows/deploy.yml@refs/heads/main"), &write, "allow ci-deploys");
    check(rules, &job("acme/orders/.github/workflows/deploy.yml@refs/heads/fork"), &write, "deny");
    check(rules, &World::new(), &write, "deny");
}

#[test]
fn what_cannot_be_read_is_denied() {
    let set = load(r#"@id("all") permit (principal, action, resource);"#);
    let w = World::new();
    for s in [
        Shape::unreadable("no such grammar", Fingerprint(0)),
        shape(vec![]),
        shape(vec![on(Access::Read, &[]), on(Access::Opaque, &[])]),
    ] {
        assert_eq!(told(&set.evaluate(&w.ask(&s))), "deny (error)");
    }
    let most = shape(vec![on(Access::Read, &[]); USES_MAX]);
    assert_eq!(told(&set.evaluate(&w.ask(&most))), "allow all");
    let more = shape(vec![on(Access::Read, &[]); USES_MAX + 1]);
    assert_eq!(told(&set.evaluate(&w.ask(&more))), "deny (error)");
}

#[test]
fn denied_people_learn_whom_to_ask() {
    let store = PolicyStore::new(load(
        r#"
        @id("read") @ask("join analysts at https://go/analysts") permit (principal in Group::"analysts", action == Action::"read", resource in Label::"env:prod");
        @id("freeze") @ask("wait for the freeze to end") forbid (principal, action == Action::"admin", resource);
        "#,
    ));
    let ask = |w: &World, access, expected: Option<&str>| {
        let s = shape(vec![on(access, &[])]);
        let r = w.ask(&s);
        let verdict = store.evaluate(&r);
        assert_eq!(store.ask(&r, &verdict).as_ref().map(|t| t.as_str()), expected);
    };
    let ana = World::new();
    let bob = World::new().who(|i| i.groups.clear());
    ask(&ana, Access::Read, None);
    ask(&bob, Access::Read, Some("join analysts at https://go/analysts"));
    ask(&ana, Access::Write, None);
    ask(&ana, Access::Admin, Some("wait for the freeze to end"));
    let elsewhere = World::new().who(|i| i.groups.clear()).with(|w| w.target.labels.clear());
    ask(&elsewhere, Access::Read, None);
}

#[test]
fn a_reload_takes_force_whole_or_not_at_all() {
    let store = PolicyStore::new(load(READ));
    let w = World::new();
    let read = shape(vec![on(Access::Read, &[])]);
    let file = |text: &str| [crate::PolicyFile { path: "p".to_owned(), text: text.to_owned() }];
    assert_eq!((told(&store.evaluate(&w.ask(&read))).as_str(), store.epoch()), ("allow read", 1));
    assert!(store.reload(&file("permit (principal, action, resource);"), &super::language()).is_err());
    assert_eq!((told(&store.evaluate(&w.ask(&read))).as_str(), store.epoch()), ("allow read", 1));
    let set: Arc<crate::PolicySet> = store.reload(&file(""), &super::language()).unwrap();
    let verdict = store.evaluate(&w.ask(&read));
    assert_eq!((told(&verdict).as_str(), verdict.epoch, set.epoch(), store.epoch()), ("deny", 2, 2, 2));
}
