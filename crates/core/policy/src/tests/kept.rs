//! A kept verdict is always the verdict: over generated rules, identities, targets, sessions, times and reloads, asking with the cache, without
//! it, and with every fact and rule laid out gives the same answer.

use std::sync::Arc;

use countersign_model::{
    Access, Actor, Attribute, CredentialBinding, Fingerprint, IdentityKind, Policy, Shape, Tagging, TargetName,
    Timestamp,
};
use proptest::prelude::*;
use serde_json::json;

use super::{NOON_S, World, language, load, on, shape, tag, tagged, told, used};
use crate::{PolicyFile, PolicyStore, Question};

const HEADS: [&str; 8] = [
    "principal, action, resource",
    "principal in Group::\"g0\", action, resource in Label::\"env:e0\"",
    "principal, action in [Action::\"read\", Action::\"write\"], resource",
    "principal in Group::\"g1\", action == Action::\"read\", resource == Target::\"t0\"",
    "principal is Identity in Group::\"g0\", action == Action::\"write\", resource is Target in Label::\"env:e1\"",
    "principal == Identity::\"i0#s0\", action, resource",
    "principal in Identity::\"i1#s1\", action == Action::\"read\", resource",
    "principal in Group::\"g2\", action, resource",
];

const CONDITIONS: [&str; 30] = [
    "true",
    "principal.name == \"n0\"",
    "principal.kind == \"machine\"",
    "principal.groups.contains(\"g1\")",
    "principal in [Group::\"g0\", Group::\"g1\"]",
    "principal == Identity::\"i0#s0\"",
    "principal.claims.ref == \"c0\"",
    "principal.claims has ref && principal.claims.team.contains(\"c1\")",
    "principal.claims == principal.claims && principal.claims.sha == \"c0\"",
    "[principal.name, principal.subject].contains(\"n1\")",
    "resource in Label::\"env:e0\"",
    "[resource].contains(Target::\"t1\")",
    "resource.protocol == \"p0\"",
    "context.part == \"a\" || context.application == \"b\"",
    "context.encrypted",
    "context.source_ip.isInRange(ip(\"10.0.0.0/8\"))",
    "context.hour_utc < 12",
    "[\"sat\", \"sun\"].contains(context.weekday)",
    "context.now < datetime(\"2026-01-05T12:00:00Z\")",
    "context.token_age_s < 100",
    "context.relations.containsAny([\"r0\", \"r1\"])",
    "context.relations.isEmpty() && !context.bounded",
    "context.depth * 4611686018427387904 > 0",
    "context.depth > 1 && context.verb like \"v*\"",
    "(if context.bounded then principal else principal).name == \"n0\"",
    "{a: context}.a.part == \"a\"",
    "principal.actors.contains(\"i0#s0\")",
    "principal.actors == [\"i0#s0\"] || principal.actors == [\"i1#s1\"]",
    "principal.actors.isEmpty()",
    "principal.credential == \"bearer\"",
];

pub(super) fn rules() -> impl Strategy<Value = String> {
    let rule = (any::<bool>(), 0..HEADS.len(), 0..CONDITIONS.len(), any::<bool>(), 0..4_u32);
    proptest::collection::vec(rule, 1..6).prop_map(|rules| {
        let write = |(i, (permit, head, condition, when, limit)): (usize, (bool, usize, usize, bool, u32))| {
            let effect = if permit || i == 0 { "permit" } else { "forbid" };
            let clause = if when || CONDITIONS[condition] == "true" { "when" } else { "unless" };
            let limit =
                if limit > 0 && effect == "permit" { format!("@limit(\"rows={limit}\")") } else { String::new() };
            format!(
                "@id(\"r{i}\") {limit} @alert(\"low\") {effect} ({}) {clause} {{ {} }};\n",
                HEADS[head], CONDITIONS[condition]
            )
        };
        rules.into_iter().enumerate().map(write).collect()
    })
}

/// Rules about tags; what may be asked of a tag is not all that may be asked of a target.
const TAG_HEADS: [&str; 5] = [
    "principal in Group::\"g0\", action == Action::\"unmask\", resource in Tag::\"pii\"",
    "principal, action == Action::\"unmask\", resource in Label::\"env:e0\"",
    "principal in Group::\"g1\", action in [Action::\"unmask\", Action::\"probe\"], resource in Target::\"t0\"",
    "principal, action == Action::\"probe\", resource == Tag::\"pii.email\"",
    "principal is Identity in Group::\"g1\", action == Action::\"unmask\", resource is Tag in Tag::\"secret\"",
];

const TAG_CONDITIONS: [&str; 9] = [
    "true",
    "principal.name == \"n0\"",
    "resource in [Label::\"env:e0\", Label::\"env:e1\"]",
    "resource.name like \"pii.*\"",
    "[resource].contains(Tag::\"secret\")",
    "context.part == \"a\" && !context.tags.contains(\"secret\")",
    "context.hour_utc < 12",
    "context.relations.contains(\"r0\")",
    "context.depth * 4611686018427387904 > 0",
];

pub(super) fn tag_rules() -> impl Strategy<Value = String> {
    let rule = (any::<bool>(), 0..TAG_HEADS.len(), 0..TAG_CONDITIONS.len(), any::<bool>(), 1..4_u32);
    proptest::collection::vec(rule, 0..4).prop_map(|rules| {
        let write = |(i, (permit, head, condition, when, n)): (usize, (bool, usize, usize, bool, u32))| {
            let effect = if permit || i == 0 { "permit" } else { "forbid" };
            let clause = if when || TAG_CONDITIONS[condition] == "true" { "when" } else { "unless" };
            let limit = match (effect, TAG_HEADS[head].contains("probe")) {
                ("permit", true) => format!("@limit(\"probes={n}/1h,rows={n}\")"),
                ("permit", false) => format!("@limit(\"rows={n}\")"),
                _ => String::new(),
            };
            let (head, condition) = (TAG_HEADS[head], TAG_CONDITIONS[condition]);
            format!("@id(\"t{i}\") {limit} {effect} ({head}) {clause} {{ {condition} }};\n")
        };
        rules.into_iter().enumerate().map(write).collect()
    })
}

fn actors() -> impl Strategy<Value = Actor> {
    let groups = proptest::collection::btree_set(0..3_u8, 0..3);
    (0..3_u8, 0..3_u8, 0..2_u8, any::<bool>(), groups, 0..3_u8).prop_map(
        |(name, subject, issuer, machine, groups, claim)| Actor {
            subject: format!("s{subject}"),
            issuer: format!("i{issuer}"),
            name: format!("n{name}"),
            kind: if machine { IdentityKind::Machine } else { IdentityKind::Agent },
            groups: groups.iter().map(|g| format!("g{g}")).collect(),
            claims: [("ref".to_owned(), json!(format!("c{claim}")))].into(),
            signer: None,
        },
    )
}

pub(super) fn worlds() -> impl Strategy<Value = World> {
    let who = (0..3_u8, 0..3_u8, 0..2_u8, any::<bool>(), proptest::collection::btree_set(0..3_u8, 0..3), 0..3_u8);
    let what = (0..2_u8, 0..2_u8, 0..2_u8, 0..3_u8);
    let how = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 0..4_i64, 0..3_i64, 0..2_i64);
    let chain = proptest::collection::vec(actors(), 0..4);
    (who, what, how, chain).prop_map(
        |((name, subject, issuer, machine, groups, claim), (t, label, protocol, detect), how, chain)| {
            let (near, encrypted, part, application, hours, days, seconds) = how;
            World::new()
                .who(|i| {
                    i.name = format!("n{name}");
                    i.subject = format!("s{subject}");
                    i.issuer = format!("i{issuer}");
                    i.kind = if machine { IdentityKind::Machine } else { IdentityKind::Human };
                    i.groups = groups.iter().map(|g| format!("g{g}")).collect();
                    i.claims.insert("ref".to_owned(), json!(format!("c{claim}")));
                    i.claims
                        .insert("team".to_owned(), json!(groups.iter().map(|g| format!("c{g}")).collect::<Vec<_>>()));
                    i.delegation = chain;
                    if machine {
                        i.credential = CredentialBinding::Bound;
                        i.claims.insert("sha".to_owned(), json!(format!("c{subject}")));
                    }
                })
                .with(|w| {
                    w.target.name = TargetName::parse(&format!("t{t}")).unwrap();
                    w.target.labels = [("env".to_owned(), format!("e{label}"))].into();
                    w.target.protocol = format!("p{protocol}").into();
                    let detect = ["pii.email", "secret"].iter().take(detect.into()).map(|t| tag(t)).collect();
                    w.target.tagging = Arc::new(Tagging { detect, ..Tagging::default() });
                    w.session.source = if near { "10.0.0.1:1" } else { "[2001:db8::1]:1" }.parse().unwrap();
                    w.session.encrypted = encrypted;
                    w.session.part = if part { "a" } else { "b" }.to_owned();
                    w.session.application = if application { "a" } else { "b" }.to_owned();
                    w.now = Timestamp::from_unix_s(NOON_S - 1 + seconds + hours * 6 * 3600 + days * 2 * 86_400);
                })
        },
    )
}

pub(super) fn shapes() -> Vec<Arc<Shape>> {
    let full = |access, depth| {
        used(
            access,
            &[
                ("relations", Attribute::set(["r0"])),
                ("depth", Attribute::Long(depth)),
                ("verb", Attribute::String("vx".into())),
                ("bounded", Attribute::Bool(depth > 2)),
            ],
        )
    };
    vec![
        shape(vec![on(Access::Read, &["r0"])]),
        shape(vec![on(Access::Write, &[])]),
        shape(vec![full(Access::Read, 1), full(Access::Write, 2)]),
        shape(vec![full(Access::Admin, 3)]),
        tagged(&["pii.email", "pii.phone"], &[], &[], &[]),
        tagged(&["secret"], &["pii.email"], &[], &[]),
        tagged(&[], &[], &["pii.email"], &["secret"]),
        Shape::disclosing(
            "toy",
            vec![full(Access::Read, 1), full(Access::Write, 2), on(Access::Read, &["r1"])],
            Fingerprint(0),
            tagged(&["pii"], &["pii.email", "secret"], &[], &[]).disclosure().clone(),
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn kept_verdicts_are_the_verdicts(
        sets in proptest::collection::vec((rules(), tag_rules()), 1..3),
        worlds in proptest::collection::vec(worlds(), 2..10),
        order in proptest::collection::vec((0..10_usize, 0..8_usize), 10..40),
    ) {
        let shapes = shapes();
        let store = PolicyStore::new(load(""));
        for (rules, of_tags) in sets {
            let rules = rules + &of_tags;
            let reloaded = store.reload(&[PolicyFile { path: "g".to_owned(), text: rules.clone() }], &language());
            prop_assert!(reloaded.is_ok(), "{}: {:?}", rules, reloaded);
            let set = store.current();
            for (world, shape) in &order {
                let world = &worlds[world % worlds.len()];
                let request = world.ask(&shapes[*shape]);
                let kept = store.evaluate(&request);
                let q = Question::from(&request);
                prop_assert_eq!(&*kept, &set.judge(&q), "{}", rules);
                let plain = set.judge_plainly(&q);
                prop_assert_eq!(told(&kept), told(&plain), "{}", rules);
                prop_assert_eq!(kept.epoch, set.epoch());
                if store.is_lasting(&request, &kept) {
                    for later_s in [1, 7 * 3600, 2 * 86_400, 400 * 86_400] {
                        let mut then = world.ask(&shapes[*shape]);
                        then.now = Timestamp::from_unix_s(then.now.unix_s() + later_s);
                        prop_assert_eq!(&*kept, &set.judge(&Question::from(&then)), "{} s later: {}", later_s, rules);
                    }
                }
            }
        }
    }
}

#[test]
fn generated_rules_load() {
    for (h, head) in HEADS.iter().enumerate() {
        for (c, condition) in CONDITIONS.iter().enumerate() {
            let text = format!("@id(\"r\") permit ({head}) when {{ {condition} }};");
            let _ = load(&text);
            assert!(h < HEADS.len() && c < CONDITIONS.len());
        }
    }
    for head in TAG_HEADS {
        for condition in TAG_CONDITIONS {
            let _ = load(&format!("@id(\"r\") forbid ({head}) when {{ {condition} }};"));
        }
    }
}

#[test]
fn what_is_kept_depends_on_what_is_read() {
    let read = shape(vec![on(Access::Read, &[])]);
    let write = shape(vec![on(Access::Write, &[])]);
    for (rules, kept) in [
        ("@id(\"r\") permit (principal, action, resource);", true),
        ("@id(\"r\") permit (principal, action, resource) when { context.hour_utc == 12 };", true),
        (
            "@id(\"r\") permit (principal, action == Action::\"read\", resource) when { context.now > datetime(\"2026-01-01\") };",
            false,
        ),
        ("@id(\"r\") permit (principal, action, resource) when { context.token_age_s < 5 };", false),
        (
            "@id(\"r\") permit (principal, action == Action::\"write\", resource) when { context.token_age_s < 5 };",
            true,
        ),
        ("@id(\"r\") permit (principal, action, resource) when { [context].contains(context) };", false),
    ] {
        let set = load(rules);
        let w = World::new();
        let request = w.ask(&read);
        set.evaluate(&request);
        assert_eq!(set.is_kept(&Question::from(&request)), kept, "{rules}");
        assert_eq!(set.is_cacheable(Access::Read), kept, "{rules}");
    }
    // Another shape, another fact that is read: another entry. A fact that is not read: the same.
    let set = load("@id(\"r\") permit (principal in Group::\"a\", action, resource) when { context.part == \"x\" };");
    let w = World::new();
    set.evaluate(&w.ask(&read));
    let kept = |w: &World, s: &Shape| set.is_kept(&Question::from(&w.ask(s)));
    assert!(kept(&w, &read));
    assert!(!kept(&w, &write));
    assert!(!kept(&World::new().with(|w| w.session.part = "x".to_owned()), &read));
    assert!(!kept(&World::new().who(|i| i.groups = ["a".to_owned()].into()), &read));
    assert!(kept(&World::new().who(|i| i.groups = ["b".to_owned()].into()), &read));
    assert!(kept(
        &World::new().who(|i| i.name = "x".to_owned()).with(|w| w.session.application = "y".to_owned()),
        &read
    ));
}

#[test]
fn a_verdict_that_reads_the_time_does_not_last() {
    let read = shape(vec![on(Access::Read, &[])]);
    for (rules, lasts) in [
        ("@id(\"r\") permit (principal, action, resource) when { context.part == \"x\" };", true),
        ("@id(\"r\") permit (principal, action == Action::\"write\", resource) when { context.hour_utc == 1 };", true),
        ("@id(\"r\") permit (principal, action, resource) when { context.hour_utc == 1 };", false),
        ("@id(\"r\") permit (principal, action, resource) when { context.weekday == \"sat\" };", false),
        ("@id(\"r\") permit (principal, action, resource) when { context.token_age_s < 5 };", false),
        ("@id(\"r\") permit (principal, action, resource) when { context.now > datetime(\"2026-01-01\") };", false),
        ("@id(\"r\") permit (principal, action, resource) when { [context].contains(context) };", false),
        ("@id(\"r\") @grant(\"dba\") permit (principal, action == Action::\"write\", resource);", true),
        ("@id(\"r\") @grant(\"dba\") permit (principal, action, resource);", false),
    ] {
        let set = load(rules);
        let w = World::new();
        let request = w.ask(&read);
        let verdict = set.evaluate(&request);
        assert_eq!(set.is_lasting(&request, &verdict), lasts, "{rules}");
        let other = countersign_model::Verdict { epoch: verdict.epoch + 1, ..(*verdict).clone() };
        assert!(!set.is_lasting(&request, &other), "a verdict of other policies: {rules}");
    }
}

#[test]
fn long_facts_are_judged_and_not_kept() {
    let set = load("@id(\"r\") permit (principal, action, resource) when { context.application == \"x\" };");
    let read = shape(vec![on(Access::Read, &[])]);
    // The shape's id and two lengths go into the key with the text.
    let longest = crate::key::KEY_BYTES_MAX - 3 * 8;
    for (length, kept) in [(longest, true), (longest + 1, false), (longest * 10, false)] {
        let w = World::new().with(|w| w.session.application = "y".repeat(length));
        assert_eq!(told(&set.evaluate(&w.ask(&read))), "deny");
        assert_eq!(set.is_kept(&Question::from(&w.ask(&read))), kept, "{length}");
    }
}

#[test]
fn rules_that_name_thousands_of_groups_leave_verdicts_kept() {
    let named: Vec<String> = (0..5_000).map(|i| format!("Group::\"team-{i}\"")).collect();
    let set = load(&format!(
        "@id(\"teams\") permit (principal, action == Action::\"read\", resource) when {{ principal in [{}] }};",
        named.join(", ")
    ));
    let s = shape(vec![on(Access::Read, &["a"])]);
    let in_groups = |groups: &[&str]| World::new().who(|p| p.groups = groups.iter().map(|g| (*g).to_owned()).collect());
    let many: Vec<String> = (0..6_000).map(|i| format!("other-{i}")).chain(["team-4999".to_owned()]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (groups, expected) in [
        (&["team-7"][..], "allow teams"),
        (&["team-8", "other-1"], "allow teams"),
        (&["other-1"], "deny"),
        (&many, "allow teams"),
    ] {
        let w = in_groups(groups);
        let q = Question::from(&w.ask(&s));
        for _ in 0..2 {
            assert!(told(&set.answer(&q)).starts_with(expected), "{}: {}", groups[0], told(&set.answer(&q)));
        }
        assert!(set.is_kept(&q), "{}", groups[0]);
    }
}
