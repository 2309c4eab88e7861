//! Delegation is a meet: an actor may do what it may do itself and what the subject may do, and nothing else.

use countersign_model::{
    Access, Actor, CredentialBinding, Decision, IdentityKind, IdentityParts, Policy, Shape, Verdict,
};
use proptest::prelude::*;
use serde_json::json;

use super::kept::{rules, shapes, worlds};
use super::{World, load, on, shape, told, try_load};
use crate::{ACTORS_MAX, PolicySet, Question};

const RULES: &str = r#"
    @id("read") @limit("rows=100,bytes=1K") permit (principal in Group::"analysts", action == Action::"read", resource);
    @id("bots-read") @limit("rows=10,affected=3") @alert("low") permit (principal in Group::"bots", action == Action::"read", resource);
    @id("bots-write") permit (principal in Group::"bots", action == Action::"write", resource);
    @id("bound") forbid (principal, action == Action::"read", resource)
    when { principal.kind == "agent" && principal.credential == "bearer" && principal.claims.ref == "c0" };
"#;

fn actor(name: &str, groups: &[&str]) -> Actor {
    Actor {
        subject: format!("sub-{name}"),
        issuer: "https://id.acme.test".to_owned(),
        name: name.to_owned(),
        kind: IdentityKind::Agent,
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        claims: [("ref".to_owned(), json!("c0"))].into(),
        signer: None,
    }
}

fn ask(set: &PolicySet, who: &World, shape: &Shape) -> Verdict {
    let request = who.ask(shape);
    let verdict = set.evaluate(&request);
    assert_eq!(*set.evaluate(&request), *verdict, "asked again");
    assert_eq!(set.judge_plainly(&Question::from(&request)), *verdict, "judged plainly");
    let explained = set.explain(&Question::from(&request));
    assert_eq!(explained.verdict, *verdict, "explained");
    let all = explained.uses.iter().all(|u| u.decision == Decision::Allow)
        && explained.parties.iter().all(|p| p.decision == Decision::Allow);
    assert_eq!(all, verdict.decision == Decision::Allow, "{explained}");
    Verdict::clone(&verdict)
}

#[test]
fn an_actor_needs_the_right_itself_and_so_does_the_subject() {
    let set = load(RULES);
    let (read, write) = (shape(vec![on(Access::Read, &["a"])]), shape(vec![on(Access::Write, &["a"])]));
    for (chain, credential, s, expected, denied_for) in [
        (vec![], CredentialBinding::Bound, &read, "allow read [rows=100, bytes=1024]", &[][..]),
        (
            vec![actor("bot", &["bots"])],
            CredentialBinding::Bound,
            &read,
            "allow bots-read read [rows=10, bytes=1024, affected=3] !Low",
            &[],
        ),
        (
            vec![actor("bot", &["bots"])],
            CredentialBinding::Bearer,
            &read,
            "deny bound",
            &["bot (https://id.acme.test#sub-bot)"],
        ),
        (vec![actor("bot", &[])], CredentialBinding::Bound, &read, "deny", &["bot (https://id.acme.test#sub-bot)"]),
        // The actor may write, and the subject may not: no right is lent.
        (vec![actor("bot", &["bots"])], CredentialBinding::Bound, &write, "deny", &["ana (https://id.acme.test#u-1)"]),
        // Whoever stands in the middle counts as much as the nearest.
        (
            vec![actor("bot", &["bots"]), actor("tool", &["tools"]), actor("a", &["analysts", "bots"])],
            CredentialBinding::Bound,
            &read,
            "deny",
            &["tool (https://id.acme.test#sub-tool)"],
        ),
        (
            vec![actor("bot", &[]), actor("tool", &["tools"])],
            CredentialBinding::Bound,
            &write,
            "deny",
            &[
                "ana (https://id.acme.test#u-1)",
                "bot (https://id.acme.test#sub-bot)",
                "tool (https://id.acme.test#sub-tool)",
            ],
        ),
    ] {
        let w = World::new().who(|i| {
            i.delegation = chain.clone();
            i.credential = credential;
        });
        let verdict = ask(&set, &w, s);
        assert_eq!(told(&verdict), expected, "{chain:?}");
        assert_eq!(verdict.denied_for, denied_for, "{chain:?}");
    }
}

#[test]
fn an_actor_is_judged_as_what_it_is() {
    let read = shape(vec![on(Access::Read, &[])]);
    for (condition, allowed) in [
        (r#"principal.name == "bot" || principal.name == "ana""#, true),
        (r#"principal.name == "ana""#, false),
        (r#"principal.kind == "agent""#, false),
        (r#"["agent", "human"].contains(principal.kind)"#, true),
        (r#"principal == Identity::"https://id.acme.test#sub-bot" || principal.subject == "u-1""#, true),
        (r#"principal.claims.ref == "c0" || principal.kind == "human""#, true),
        (r#"principal.credential == "bound""#, true),
        // A permit that asks for an actor gives nobody anything: the subject alone does not have it.
        (r#"principal.actors.contains("https://id.acme.test#sub-bot") || principal.kind == "agent""#, false),
        (r#"principal.actors.isEmpty() || principal.kind == "human""#, true),
    ] {
        let rules = format!("@id(\"r\") permit (principal, action, resource) when {{ {condition} }};");
        let w = World::new().who(|i| {
            i.delegation = vec![actor("bot", &[])];
            i.credential = CredentialBinding::Bound;
        });
        let verdict = ask(&load(&rules), &w, &read);
        assert_eq!(verdict.decision == Decision::Allow, allowed, "{condition}");
    }
    let asks = load(
        r#"@id("r") permit (principal, action, resource) when { !principal.actors.isEmpty() || principal.kind == "agent" };"#,
    );
    let w = World::new().who(|i| i.delegation = vec![actor("bot", &[])]);
    assert_eq!(ask(&asks, &w, &read).denied_for, ["ana (https://id.acme.test#u-1) without its actors"]);
}

#[test]
fn a_chain_that_is_too_long_is_denied() {
    let set = load(r#"@id("all") permit (principal, action, resource);"#);
    let read = shape(vec![on(Access::Read, &[])]);
    for (n, expected) in [(ACTORS_MAX, "allow all"), (ACTORS_MAX + 1, "deny (error)")] {
        let w = World::new().who(|i| i.delegation = vec![actor("bot", &[]); n]);
        assert_eq!(told(&set.evaluate(&w.ask(&read))), expected, "{n}");
    }
}

/// Two chains that differ in nothing that a rule reads have verdicts of their own, because a verdict names people.
#[test]
fn a_kept_verdict_names_the_right_actor() {
    let set = load(r#"@id("none") permit (principal in Group::"analysts", action, resource);"#);
    let read = shape(vec![on(Access::Read, &[])]);
    for name in ["one", "two"] {
        let w = World::new().who(|i| i.delegation = vec![actor(name, &[])]);
        let verdict = set.evaluate(&w.ask(&read));
        assert_eq!(verdict.denied_for, [format!("{name} (https://id.acme.test#sub-{name})")]);
        assert!(set.is_kept(&Question::from(&w.ask(&read))));
    }
}

/// True when the first verdict allows nothing that the second does not, and limits as much.
fn is_within(narrow: &Verdict, wide: &Verdict) -> bool {
    let limits = narrow.effects.limits;
    narrow.decision == Decision::Deny
        || (wide.decision == Decision::Allow
            && limits.strictest(wide.effects.limits) == limits
            && narrow.effects.alert >= wide.effects.alert)
}

fn by_itself(a: &Actor, of: &IdentityParts) -> IdentityParts {
    IdentityParts {
        subject: a.subject.clone(),
        issuer: a.issuer.clone(),
        name: a.name.clone(),
        kind: a.kind,
        groups: a.groups.clone(),
        claims: a.claims.clone(),
        delegation: Vec::new(),
        ..of.clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn an_actor_never_allows_more(rules in rules(), world in worlds(), pick in 0..4_usize) {
        let set = try_load(&[&rules]).unwrap();
        let shape = &shapes()[pick];
        let judge = |who: &IdentityParts| {
            let request = world.ask(shape);
            set.judge(&Question { identity: who, ..Question::from(&request) })
        };
        let whole = judge(&world.identity);
        let mut chain = world.identity.delegation.clone();
        for a in &chain {
            let alone = judge(&by_itself(a, &world.identity));
            prop_assert!(is_within(&whole, &alone), "{rules}\n{whole:?}\n{alone:?}");
        }
        // Whoever delegates further adds an actor in front.
        let mut more = whole.clone();
        while !chain.is_empty() {
            chain.remove(0);
            let fewer = judge(&IdentityParts { delegation: chain.clone(), ..IdentityParts::clone(&world.identity) });
            prop_assert!(is_within(&more, &fewer), "{rules}\n{more:?}\n{fewer:?}");
            more = fewer;
        }
        let denied = whole.decision == Decision::Deny && !world.identity.delegation.is_empty();
        prop_assert_eq!(!whole.denied_for.is_empty(), denied);
    }
}
