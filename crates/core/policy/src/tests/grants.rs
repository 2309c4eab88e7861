//! `@grant`: a permit that applies to those alone who hold a grant of it, for as long as they do.

use std::sync::Arc;

use countersign_model::{Access, Decision, HeldGrant, RuleId, Shape, Verdict};
use parking_lot::Mutex;

use super::*;
use crate::{PolicyStore, Question};

const RULES: &str = r#"
    @id("read") permit (principal in Group::"analysts", action == Action::"read", resource);
    @id("write") @grant("dba:2; for=4h; uses=9")
    permit (principal in Group::"analysts", action in [Action::"read", Action::"write"], resource in Label::"env:prod")
    when { context.verb != "drop" };
    @id("all") @grant("security; at-once=allow")
    permit (principal, action, resource);
    @id("never") forbid (principal, action, resource) when { context.verb == "never" };
"#;

fn held(id: &str, rule: &str, accesses: &[Access]) -> HeldGrant {
    HeldGrant { id: id.into(), rule: RuleId::new(rule), accesses: accesses.into() }
}

fn shape(verb: &str, accesses: &[Access]) -> Arc<Shape> {
    let uses = accesses.iter().map(|a| used(*a, &[("verb", Attribute::String(verb.into()))])).collect();
    Shape::new("toy", uses, Fingerprint(0))
}

fn grants_of(v: &Verdict) -> Vec<&str> {
    v.effects.grants.iter().map(|g| &**g).collect()
}

#[test]
fn a_permit_with_a_grant_is_for_its_holders_and_says_by_which() {
    use Access::{Admin, Read, Write};
    let set = load(RULES);
    let w = World::new();
    let write = held("g1", "write", &[Write]);
    let both = held("g2", "write", &[Read, Write]);
    let all = held("g3", "all", &[Admin]);
    for (accesses, verb, holds, expected) in [
        (&[Write][..], "set", vec![], Err("")),
        (&[Write], "set", vec![write.clone()], Ok(vec!["g1"])),
        (&[Write], "drop", vec![write.clone()], Err("")),
        (&[Write], "never", vec![write.clone()], Err("never")),
        (&[Admin], "set", vec![write.clone()], Err("")),
        (&[Admin], "set", vec![held("g", "write", &[Admin])], Err("")),
        (&[Read], "set", vec![both.clone()], Ok(vec![])),
        (&[Read, Write], "set", vec![both.clone()], Ok(vec!["g2"])),
        (&[Write], "set", vec![both.clone(), write.clone()], Ok(vec!["g2"])),
        (&[Write, Admin], "set", vec![write.clone(), all.clone()], Ok(vec!["g1", "g3"])),
        (&[Write, Admin], "set", vec![write.clone()], Err("")),
        // Only what was granted of what the rule permits.
        (&[Write], "set", vec![held("g", "write", &[Read])], Err("")),
        (&[Write], "set", vec![held("g", "read", &[Write])], Err("")),
        (&[Write], "set", vec![held("g", "no such rule", &[Write])], Err("")),
    ] {
        let shape = shape(verb, accesses);
        let q = Question { grants: &holds, ..Question::from(&w.ask(&shape)) };
        for verdict in
            [set.judge(&q), Verdict::clone(&set.answer(&q)), Verdict::clone(&set.answer(&q)), set.judge_plainly(&q)]
        {
            let rule = verdict.rules.first().map_or("", |r| r.as_str());
            match &expected {
                Ok(by) => assert_eq!(
                    (verdict.decision, &grants_of(&verdict)),
                    (Decision::Allow, by),
                    "{accesses:?} {verb} {holds:?}"
                ),
                Err(by) => assert_eq!(
                    (verdict.decision, rule, grants_of(&verdict)),
                    (Decision::Deny, *by, vec![]),
                    "{accesses:?} {holds:?}"
                ),
            }
        }
    }
}

/// Holds what it is told to.
#[derive(Default)]
struct Holds(Mutex<Vec<HeldGrant>>);

impl countersign_model::Grants for Holds {
    fn held(&self, _: &IdentityParts, _: &TargetName, _: Timestamp) -> Vec<HeldGrant> {
        self.0.lock().clone()
    }

    fn take(
        &self,
        _: SessionId,
        _: &[Arc<str>],
        _: bool,
        _: Timestamp,
    ) -> Result<Option<countersign_model::Taking>, countersign_model::Denial> {
        Ok(None)
    }

    fn leave(&self, _: SessionId) {}
}

#[test]
fn a_verdict_is_not_kept_beyond_its_grant() {
    let holds = Arc::new(Holds::default());
    let store = PolicyStore::new(load(RULES)).granting(holds.clone());
    let (w, shape) = (World::new(), shape("set", &[Access::Write]));
    let decided = || countersign_model::Policy::evaluate(&store, &w.ask(&shape)).decision;
    for _ in 0..3 {
        assert_eq!(decided(), Decision::Deny);
        holds.0.lock().push(held("g1", "write", &[Access::Write]));
        assert_eq!(decided(), Decision::Allow);
        assert_eq!(decided(), Decision::Allow);
        holds.0.lock().clear();
        assert_eq!(decided(), Decision::Deny);
    }
}

#[test]
fn what_may_be_asked_for_follows_from_the_rules() {
    let set = load(RULES);
    let names = |w: &World, access| -> Vec<String> {
        let found = set.grantable(&w.identity, &w.target, access);
        found.iter().map(|r| r.id.as_str().to_owned()).collect()
    };
    let w = World::new();
    assert_eq!(names(&w, Access::Write), ["write", "all"]);
    assert_eq!(names(&w, Access::Admin), ["all"]);
    let other = World::new().who(|i| i.groups.clear());
    assert_eq!(names(&other, Access::Write), ["all"]);
    let elsewhere = World::new().with(|w| w.target.labels.clear());
    assert_eq!(names(&elsewhere, Access::Write), ["all"]);
    let shape = shape("set", &[Access::Write]);
    let q = w.ask(&shape);
    let hint = set.ask(&Question::from(&q), &set.judge(&Question::from(&q)));
    assert_eq!(hint.as_deref(), Some("To ask for it: \"countersign request orders --actions write --reason WHY\"."));
    // A writer's own mention of it is no word of the language.
    assert!(
        try_load(&[
            r#"@id("x") permit (principal, action == Action::"read", resource) when { context.grants.contains("x") };"#
        ])
        .is_err()
    );
}
