//! The compiled locks against a loop over all of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use countersign_enforce::Lockable;
use countersign_model::{
    Actor, CredentialBinding, Identity, IdentityKind, IdentityParts, SessionId, TargetName, Timestamp,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Snapshot;
use crate::{Lock, LockKind, Matcher};

/// Few words, so that much matches.
fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "ab", "a/b", "1", "true"]).prop_map(str::to_owned)
}

fn pattern() -> impl Strategy<Value = String> {
    (word(), any::<bool>()).prop_map(|(w, open)| if open { format!("{w}*") } else { w })
}

fn claim() -> impl Strategy<Value = Value> {
    prop_oneof![
        word().prop_map(Value::from),
        Just(json!(1)),
        Just(json!(true)),
        Just(Value::Null),
        vec(word(), 0..3).prop_map(Value::from),
        Just(json!([["a"], {"a": "b"}, 1])),
    ]
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let texts = (of(word()), of(word()), of(word()), of(word()), of(word()), of(word()), of(word()));
    let places = (
        of(prop::sample::select(vec!["10.0.0.0/8", "10.0.0.1", "2001:db8::/32"])),
        of(prop::sample::select(vec!["shop", "other"])),
        of(0..3_u128),
    );
    // Most of them name little: otherwise nothing would ever match.
    (texts, btree_map(word(), pattern(), 0..2), places, prop::bits::u16::ANY, prop::bits::u16::ANY).prop_map(
        |((name, subject, issuer, group, login, token_id, key), claims, (source, target, session), keep, more)| {
            let keep = keep & more;
            let on = |bit: u16| keep >> bit & 1 == 1;
            Matcher {
                name: name.filter(|_| on(0)),
                subject: subject.filter(|_| on(1)),
                issuer: issuer.filter(|_| on(2)),
                group: group.filter(|_| on(3)),
                login: login.filter(|_| on(4)),
                token_id: token_id.filter(|_| on(5)),
                key: key.filter(|_| on(6)),
                claims,
                source: source.filter(|_| on(7)).map(|s| s.parse().unwrap()),
                target: target.filter(|_| on(8)).map(|t| TargetName::parse(t).unwrap()),
                session: session.filter(|_| on(9)).map(SessionId::from_u128),
            }
        },
    )
}

fn lock() -> impl Strategy<Value = Lock> {
    (matcher(), any::<bool>(), 0..20_i64, of(0..20_i64))
        .prop_filter("it names something", |(m, ..)| m.check().is_ok())
        .prop_map(|(matcher, again, created, expires)| Lock {
            id: "L".to_owned(),
            matcher,
            kind: if again { LockKind::Reauthenticate } else { LockKind::Lock },
            reason: "r".to_owned(),
            created_by: "b".to_owned(),
            created_at: Timestamp::from_unix_s(created),
            expires_at: expires.map(Timestamp::from_unix_s),
            ended: None,
        })
}

fn actor() -> impl Strategy<Value = Actor> {
    (
        word(),
        word(),
        prop_oneof![word(), Just(String::new())],
        btree_set(word(), 0..2),
        btree_map(word(), claim(), 0..2),
    )
        .prop_map(|(subject, issuer, name, groups, claims)| Actor {
            subject,
            issuer,
            name,
            kind: IdentityKind::Agent,
            signer: None,
            groups,
            claims,
        })
}

fn identity() -> impl Strategy<Value = Identity> {
    let who = (word(), word(), word(), btree_set(word(), 0..3), btree_map(word(), claim(), 0..3), vec(actor(), 0..3));
    (who, of(word()), of(word()), of(word()), 0..20_i64).prop_map(
        |((subject, issuer, name, groups, claims, delegation), token_id, key, login, issued)| {
            let claims: BTreeMap<String, Value> = claims;
            #[expect(clippy::disallowed_methods, reason = "a test vouches for its own")]
            Identity::mint(IdentityParts {
                subject,
                issuer,
                name,
                kind: IdentityKind::Machine,
                groups,
                claims,
                delegation,
                credential: CredentialBinding::Bound,
                token_id,
                key,
                login,
                signer: None,
                issued_at: Timestamp::from_unix_s(issued),
                expires_at: Timestamp::from_unix_s(99),
            })
        },
    )
}

proptest! {
    #[test]
    fn the_index_finds_what_a_loop_finds(
        locks in vec(lock(), 0..12),
        who in identity(),
        source in prop::sample::select(vec!["10.0.0.1:1", "10.9.9.9:1", "[2001:db8::5]:1", "192.0.2.1:1", "[::ffff:10.0.0.1]:1"]),
        target in prop::sample::select(vec!["shop", "another"]),
        session in 0..3_u128,
        now in 0..20_i64,
    ) {
        let locks: Vec<Arc<Lock>> = locks.into_iter().enumerate().map(|(n, l)| Arc::new(Lock { id: n.to_string(), ..l })).collect();
        let target = TargetName::parse(target).unwrap();
        let source: SocketAddr = source.parse().unwrap();
        let what = Lockable { identity: &who, source, target: &target, session: SessionId::from_u128(session) };
        let now = Timestamp::from_unix_s(now);
        let naive = locks.iter().find(|l| l.keeps_out(&what, now)).map(|l| l.id.clone());
        let found = Snapshot::new(1, locks).find(&what, now).map(|l| l.id.clone());
        prop_assert_eq!(found, naive);
    }
}

#[test]
fn a_session_costs_a_few_look_ups_however_many_locks_there_are() {
    let of = |n: usize| {
        let matcher = Matcher { name: Some(format!("n{n}")), ..Matcher::default() };
        Arc::new(Lock {
            id: n.to_string(),
            matcher,
            kind: LockKind::Lock,
            reason: "r".to_owned(),
            created_by: "b".to_owned(),
            created_at: Timestamp::from_unix_s(1),
            expires_at: None,
            ended: None,
        })
    };
    let snapshot = Snapshot::new(1, (0..10_000).map(of).collect());
    assert!(snapshot.others.is_empty(), "no lock of a name is looked at by everybody");
    assert!(snapshot.names.values().all(|places| places.len() == 1));
}
