//! What rules say of tags: masked unless lifted, lifted for everybody who acts, refused where no mask helps, counted where a rule lets
//! masked values be compared.

use std::sync::Arc;

use countersign_model::{
    Access, Actor, Disclosure, Fingerprint, IdentityKind, Policy, Probe, ProbeRefusal, Shape, Tagging, Timestamp,
};

use super::{NOON_S, World, load, on, shape, tag, tagged, told, try_load};
use crate::tags::TAGS_MAX;
use crate::{PolicyStore, Question};

const RULES: &str = r#"
@id("read") @mask("pii=hash,pii.card=last4")
permit (principal in Group::"analysts", action == Action::"read", resource);
@id("export") @mask("pii.card=null")
permit (principal in Group::"exporters", action == Action::"read", resource);
@id("leads") @alert("low") @limit("rows=100")
permit (principal in Group::"leads", action == Action::"unmask", resource in Tag::"pii.email");
@id("shop") permit (principal in Group::"shop", action == Action::"unmask", resource in Tag::"pii") when { resource in Target::"shop" };
@id("test") permit (principal, action == Action::"unmask", resource in Label::"env:test");
@id("support") @limit("probes=2/1h") @ask("see #support")
permit (principal in Group::"support", action == Action::"probe", resource in Tag::"pii.email");
@id("never") @alert("high") forbid (principal, action == Action::"unmask", resource in Tag::"secret");
@id("wide") permit (principal in Group::"root", action, resource);
"#;

fn of(groups: &[&str]) -> World {
    let groups: std::collections::BTreeSet<String> = groups.iter().map(|g| (*g).to_owned()).collect();
    World::new().who(|i| i.groups = groups)
}

fn verdict(w: &World, shape: &Shape) -> String {
    told(&load(RULES).judge(&Question::from(&w.ask(shape))))
}

#[test]
fn tags_are_masked_unless_a_rule_lifts_them() {
    let email = tagged(&["pii.email"], &[], &[], &[]);
    let several = tagged(&["pii.card", "pii.email", "secret.key"], &[], &[], &[]);
    for (groups, shape, expected) in [
        (vec!["analysts"], &email, "allow read pii.email=hash"),
        (vec!["analysts"], &several, "allow read pii.card=last4 pii.email=hash secret.key=redact"),
        // The strictest of the permits that let it happen.
        (vec!["analysts", "exporters"], &several, "allow export read pii.card=null pii.email=hash secret.key=redact"),
        // Lifted: recorded, with the limits and the alert of the rule that did it.
        (vec!["analysts", "leads"], &email, "allow leads read [rows=100] !Low +pii.email"),
        (
            vec!["analysts", "leads"],
            &several,
            "allow leads read [rows=100] !Low pii.card=last4 secret.key=redact +pii.email",
        ),
        // A permit for any action is none for unmask.
        (vec!["root"], &email, "allow wide pii.email=redact"),
        (vec![], &email, "deny"),
    ] {
        assert_eq!(verdict(&of(&groups), shape), expected, "{groups:?}");
    }
}

#[test]
fn a_tag_is_in_its_target_and_in_its_labels() {
    let email = tagged(&["pii.email"], &[], &[], &[]);
    let on = |name: &str, env: &str| {
        of(&["analysts", "shop"]).with(|w| {
            w.target.name = countersign_model::TargetName::parse(name).unwrap();
            w.target.labels = [("env".to_owned(), env.to_owned())].into();
        })
    };
    assert_eq!(verdict(&on("orders", "prod"), &email), "allow read pii.email=hash");
    assert_eq!(verdict(&on("shop", "prod"), &email), "allow read shop +pii.email");
    assert_eq!(verdict(&on("orders", "test"), &email), "allow read test +pii.email");
    assert_eq!(verdict(&on("shop", "test"), &email), "allow read shop test +pii.email");
}

#[test]
fn a_tag_that_stands_for_others_is_not_lifted_by_a_rule_about_one_of_them() {
    assert_eq!(verdict(&of(&["analysts", "leads"]), &tagged(&["pii"], &[], &[], &[])), "allow read pii=hash");
    let beneath = tagged(&["pii.email.work"], &[], &[], &[]);
    assert_eq!(verdict(&of(&["analysts", "leads"]), &beneath), "allow leads read [rows=100] !Low +pii.email.work");
}

#[test]
fn what_no_mask_hides_is_refused() {
    for (shape, expected) in [
        (tagged(&["pii.card"], &[], &["pii.email"], &[]), "deny -pii.email:chosen"),
        (tagged(&[], &["pii.email"], &[], &[]), "deny -pii.email:matched"),
        (tagged(&[], &[], &[], &["pii.email"]), "deny -pii.email:copied"),
        (tagged(&[], &[], &["secret"], &["pii"]), "deny never !High -pii:copied -secret:chosen"),
    ] {
        assert_eq!(verdict(&of(&["analysts"]), &shape), expected);
    }
    // Lifted: nothing is hidden, so nothing is refused.
    let all = tagged(&["pii.email"], &["pii.email"], &["pii.email"], &["pii.email"]);
    assert_eq!(verdict(&of(&["analysts", "leads"]), &all), "allow leads read [rows=100] !Low +pii.email");
    // An action that is denied anyway says nothing of tags.
    assert_eq!(verdict(&of(&[]), &all), "deny");
}

#[test]
fn a_probe_needs_a_rule_and_does_not_show_or_choose() {
    let support = of(&["analysts", "support"]);
    for (shape, expected) in [
        (tagged(&["pii.email"], &["pii.email"], &[], &[]), "allow read support pii.email=hash ?pii.email:2/1h"),
        (tagged(&[], &["pii.card"], &[], &[]), "deny -pii.card:matched"),
        (tagged(&[], &["pii.email"], &["pii.email"], &[]), "deny -pii.email:chosen"),
    ] {
        assert_eq!(verdict(&support, &shape), expected);
    }
    // Who may see it makes no probe.
    let both = of(&["analysts", "support", "leads"]);
    assert_eq!(verdict(&both, &tagged(&[], &["pii.email"], &[], &[])), "allow leads read [rows=100] !Low");
}

#[test]
fn everybody_who_acts_must_be_allowed_to_see() {
    let agent = |groups: &[&str]| Actor {
        subject: "a-1".to_owned(),
        issuer: "https://id.acme.test".to_owned(),
        signer: None,
        name: "copilot".to_owned(),
        kind: IdentityKind::Agent,
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        claims: Default::default(),
    };
    let email = tagged(&["pii.email"], &[], &[], &[]);
    for (of_subject, of_actor, expected) in [
        (vec!["analysts", "leads"], vec!["analysts"], "allow read pii.email=hash"),
        (vec!["analysts"], vec!["analysts", "leads"], "allow read pii.email=hash"),
        (vec!["analysts", "leads"], vec!["analysts", "leads"], "allow leads read [rows=100] !Low +pii.email"),
        // The strictest transform of all parties' permits.
        (vec!["analysts"], vec!["exporters"], "allow export read pii.email=hash"),
    ] {
        let w = of(&of_subject).who(|i| i.delegation = vec![agent(&of_actor)]);
        assert_eq!(verdict(&w, &email), expected);
    }
    let w = of(&["analysts", "leads"]).who(|i| i.delegation = vec![agent(&["analysts"])]);
    let chosen = tagged(&[], &[], &["pii.email"], &[]);
    let v = load(RULES).judge(&Question::from(&w.ask(&chosen)));
    assert_eq!(v.denied_for, ["copilot (https://id.acme.test#a-1)"]);
}

#[test]
fn what_fails_lifts_nothing() {
    const FAILS: &str = r#"
@id("read") permit (principal, action == Action::"read", resource);
@id("lift") permit (principal, action == Action::"unmask", resource in Tag::"pii");
@id("fails") permit (principal, action == Action::"unmask", resource) when { context.depth * 4611686018427387904 > 0 };
"#;
    let deep = |shown: &str| {
        let used = super::used(Access::Read, &[("depth", countersign_model::Attribute::Long(9))]);
        let disclosure = tagged(&[shown], &[], &[], &[]).disclosure().clone();
        Shape::disclosing("toy", vec![on(Access::Read, &[]), used], Fingerprint(0), disclosure)
    };
    let set = load(FAILS);
    assert_eq!(told(&set.judge(&Question::from(&of(&[]).ask(&deep("pii"))))), "allow read pii=redact (error)");
    let fine = tagged(&["pii"], &[], &[], &[]);
    assert_eq!(told(&set.judge(&Question::from(&of(&[]).ask(&fine)))), "allow lift read +pii");
}

#[test]
fn rules_tell_the_uses_of_an_action_apart() {
    const RULES: &str = r#"
@id("read") permit (principal, action == Action::"read", resource);
@id("lift") permit (principal, action == Action::"unmask", resource) when { context.relations.contains("a") };
"#;
    let set = load(RULES);
    for (relations, expected) in [(["a", "a"], "allow lift read +pii"), (["a", "b"], "allow read pii=redact")] {
        let uses = relations.iter().map(|r| on(Access::Read, &[*r])).collect();
        let disclosure = tagged(&["pii"], &[], &[], &[]).disclosure().clone();
        let both = Shape::disclosing("toy", uses, Fingerprint(0), disclosure);
        assert_eq!(told(&set.judge(&Question::from(&of(&[]).ask(&both)))), expected, "{relations:?}");
    }
}

#[test]
fn what_is_looked_for_in_results_is_masked_where_something_is_read() {
    let detecting = |groups: &[&str]| {
        of(groups).with(|w| {
            let detect = vec![tag("pii.card"), tag("pii.email")];
            w.target.tagging = Arc::new(Tagging { detect, ..Tagging::default() });
        })
    };
    let read = shape(vec![on(Access::Read, &[])]);
    assert_eq!(verdict(&detecting(&["analysts"]), &read), "allow read pii.card=last4 pii.email=hash");
    // That it may be there is not that it was shown: neither recorded as seen nor alerted on.
    assert_eq!(verdict(&detecting(&["analysts", "leads"]), &read), "allow read pii.card=last4");
    let connect = shape(vec![on(Access::Connect, &[])]);
    assert_eq!(verdict(&detecting(&["root"]), &connect), "allow wide");
}

#[test]
fn rules_may_look_at_all_tags_of_an_action() {
    let set = load(
        r#"@id("read") permit (principal, action == Action::"read", resource);
@id("secrets") forbid (principal, action, resource) when { context.tags.contains("secret") };"#,
    );
    let ask = |shape: &Shape| told(&set.judge(&Question::from(&World::new().ask(shape))));
    assert_eq!(ask(&tagged(&["secret.key"], &[], &[], &[])), "deny secrets");
    assert_eq!(ask(&tagged(&[], &["secret"], &[], &[])), "deny secrets");
    assert_eq!(ask(&tagged(&["pii"], &[], &[], &[])), "allow read pii=redact");
    assert_eq!(ask(&shape(vec![on(Access::Read, &[])])), "allow read");
}

#[test]
fn more_tags_than_can_be_judged_are_a_deny() {
    let names = |n: usize| (0..n).map(|i| format!("t{i:04}")).collect::<Vec<_>>();
    for (n, expected) in [(TAGS_MAX, "allow"), (TAGS_MAX + 1, "deny (error)")] {
        let names = names(n);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let told = verdict(&of(&["analysts"]), &tagged(&names, &[], &[], &[]));
        assert!(told.starts_with(expected), "{n}: {told}");
    }
}

#[test]
fn rules_about_tags_that_could_not_work_are_refused() {
    for (rule, part) in [
        (r#"permit (principal, action == Action::"probe", resource);"#, "without a limit"),
        (r#"@limit("probes=1/1h") permit (principal, action == Action::"unmask", resource);"#, "does not name probe"),
        (
            r#"@mask("pii=hash") permit (principal, action == Action::"unmask", resource);"#,
            "about unmask or probe alone",
        ),
        (r#"@mask("pii=hash") forbid (principal, action, resource);"#, "on a forbid"),
        (r#"permit (principal, action == Action::"unmask", resource == Target::"shop");"#, "impossible"),
        (r#"permit (principal, action == Action::"unmask", resource in Tag::"PII");"#, "can never match"),
        (r#"forbid (principal, action, resource in Tag::"pii");"#, "impossible"),
        (r#"permit (principal, action, resource) when { action == Action::"unmask" };"#, "unmask"),
        (r#"permit (principal, action == Action::"unmask", resource) when { resource.protocol == "x" };"#, "protocol"),
    ] {
        let problems = try_load(&[&format!("@id(\"r\") {rule}")]).expect_err(rule);
        assert!(problems.iter().any(|p| p.to_string().contains(part)), "{rule}: {problems:?}");
    }
}

#[test]
fn a_kept_verdict_depends_on_what_rules_about_tags_read() {
    let rules = |condition: &str| {
        load(&format!(
            "@id(\"r\") permit (principal, action == Action::\"read\", resource);
             @id(\"t\") permit (principal in Group::\"leads\", action == Action::\"unmask\", resource) when {{ {condition} }};"
        ))
    };
    let plain = shape(vec![on(Access::Read, &[])]);
    let email = tagged(&["pii.email"], &[], &[], &[]);
    let set = rules("context.token_age_s < 5");
    for (shape, kept) in [(&plain, true), (&email, false)] {
        let w = World::new();
        set.evaluate(&w.ask(shape));
        assert_eq!(set.is_kept(&Question::from(&w.ask(shape))), kept);
    }
    let set = rules("context.part == \"main\"");
    let w = World::new();
    for shape in [&plain, &email] {
        set.evaluate(&w.ask(shape));
    }
    let leads = of(&["leads"]);
    assert!(set.is_kept(&Question::from(&leads.ask(&plain))), "who sees tags makes no difference where there are none");
    assert!(!set.is_kept(&Question::from(&leads.ask(&email))));
}

#[test]
fn adv_039_each_constant_is_a_probe() {
    let store = PolicyStore::new(load(RULES));
    let probe = [Probe { tag: tag("pii.email"), rate: "10/1h".parse().unwrap() }];
    let guessing = |guesses| {
        let disclosure = Disclosure { matched: vec![tag("pii.email")], guesses, ..Disclosure::default() };
        Shape::disclosing("toy", vec![on(Access::Read, &["r0"])], Fingerprint(0), disclosure)
    };
    let at = |s: i64| World::new().with(|w| w.now = Timestamp::from_unix_s(NOON_S + s));
    let spend = |s, guesses| store.spend(&at(s).ask(&guessing(guesses)), &probe);
    assert_eq!(spend(0, 11), Err(ProbeRefusal::TooMany(probe[0].clone(), 11)));
    assert_eq!(spend(0, 4), Ok(()), "what was refused did not count");
    assert_eq!(spend(100, 5), Ok(()));
    assert_eq!(spend(200, 2), Err(ProbeRefusal::Spent(probe[0].clone(), 3_400)));
    assert_eq!(spend(200, 1), Ok(()));
    // Six fit when the four and two of the five are gone, which all went at once.
    assert_eq!(spend(300, 6), Err(ProbeRefusal::Spent(probe[0].clone(), 3_400)));
    assert_eq!(spend(3_600, 4), Ok(()));
    assert_eq!(spend(3_700, 6), Err(ProbeRefusal::Spent(probe[0].clone(), 100)));
    assert_eq!(spend(3_800, 6), Ok(()));
}

#[test]
fn probes_are_counted_for_everybody_who_acts_and_never_exceed_the_rate() {
    let store = PolicyStore::new(load(RULES));
    let read = shape(vec![on(Access::Read, &[])]);
    let probe = |name: &str| [Probe { tag: tag(name), rate: "2/1h".parse().unwrap() }];
    let at = |w: World, s: i64| w.with(|w| w.now = Timestamp::from_unix_s(NOON_S + s));
    let spend = |w: &World, probes: &[Probe]| store.spend(&w.ask(&read), probes);
    let spent = |name: &str, s| Err(ProbeRefusal::Spent(probe(name)[0].clone(), s));
    assert_eq!(spend(&at(World::new(), 0), &probe("pii.email")), Ok(()));
    assert_eq!(spend(&at(World::new(), 600), &probe("pii.email")), Ok(()));
    assert_eq!(spend(&at(World::new(), 601), &probe("pii.email")), spent("pii.email", 2_999));
    assert_eq!(spend(&at(World::new(), 601), &probe("pii.phone")), Ok(()), "another tag");
    assert_eq!(spend(&at(World::new().who(|i| i.subject = "u-2".to_owned()), 601), &probe("pii.email")), Ok(()));
    // None is counted when one cannot be.
    let both = [probe("pii.phone")[0].clone(), probe("pii.email")[0].clone()];
    assert_eq!(spend(&at(World::new(), 602), &both), spent("pii.email", 2_998));
    assert_eq!(spend(&at(World::new(), 602), &probe("pii.phone")), Ok(()));
    assert_eq!(spend(&at(World::new(), 602), &probe("pii.phone")), spent("pii.phone", 3_599));
    // The window slides: when the first is an hour old, one more.
    assert_eq!(spend(&at(World::new(), 3_599), &probe("pii.email")), spent("pii.email", 1));
    assert_eq!(spend(&at(World::new(), 3_600), &probe("pii.email")), Ok(()));
    assert_eq!(spend(&at(World::new(), 3_601), &probe("pii.email")), spent("pii.email", 599));
    // Through an agent it is still hers, and the agent's own count, too.
    let agent = Actor {
        subject: "a-1".to_owned(),
        issuer: "https://id.acme.test".to_owned(),
        signer: None,
        name: "copilot".to_owned(),
        kind: IdentityKind::Agent,
        groups: Default::default(),
        claims: Default::default(),
    };
    let through = |subject: &str| {
        World::new().who(|i| {
            i.subject = subject.to_owned();
            i.delegation = vec![agent.clone()];
        })
    };
    assert_eq!(spend(&at(through("u-1"), 3_601), &probe("pii.email")), spent("pii.email", 599));
    assert_eq!(spend(&at(through("u-3"), 3_601), &probe("pii.email")), Ok(()));
    assert_eq!(spend(&at(through("u-4"), 3_601), &probe("pii.email")), Ok(()));
    assert_eq!(spend(&at(through("u-5"), 3_601), &probe("pii.email")), spent("pii.email", 3_600));
}

#[test]
fn explanations_tell_of_tags() {
    let set = load(RULES);
    let shape = tagged(&["pii.email", "secret"], &["pii.email"], &[], &[]);
    let told = set.explain(&Question::from(&of(&["analysts", "support"]).ask(&shape))).to_string();
    for part in [
        "; masks pii.email=hash, secret=redact",
        "  pii.email (shown, matched): masked by hash",
        "permit leads (0.cedar:6) does not apply: it is for others",
        "permit support (0.cedar:10) applies",
        "  secret (shown): masked by redact",
        "forbid never (0.cedar:12) applies",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    let ask = |shape: &Shape| {
        let w = of(&["analysts"]);
        let q = w.ask(shape);
        let q = Question::from(&q);
        set.ask(&q, &set.judge(&q))
    };
    assert_eq!(ask(&tagged(&[], &["pii.email"], &[], &[])).as_deref(), Some("see #support"));
    assert_eq!(ask(&tagged(&[], &["pii.card"], &[], &[])), None);
}
