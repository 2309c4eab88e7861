//! Facts for the protocol machine.

use std::sync::Arc;

use countersign_model::Access;
use countersign_sql::{CopyForm, Endpoint, Reference, SessionEffect, Statement, Transaction, join};

use super::support::{find, look, set, uses};

fn only(text: &str) -> Statement {
    let found = look(text);
    assert_eq!(found.statements().len(), 1, "{text}: {:?}", found.shape());
    found.statements()[0].clone()
}

#[test]
fn transactions() {
    assert_eq!(only("begin").transaction, Some(Transaction::Begin));
    assert_eq!(only("commit and chain").transaction, Some(Transaction::Commit { chain: true }));
    assert_eq!(only("abort").transaction, Some(Transaction::Rollback { chain: false }));
    assert_eq!(only("savepoint \"A b\"").transaction, Some(Transaction::Savepoint("A b".into())));
    assert_eq!(only("release s").transaction, Some(Transaction::Release("s".into())));
    assert_eq!(only("rollback to s").transaction, Some(Transaction::RollbackTo("s".into())));
    assert_eq!(only("prepare transaction 'x'").transaction, Some(Transaction::Prepare));
    assert_eq!(only("select 1").transaction, None);
}

#[test]
fn session_names() {
    let Some(SessionEffect::Prepare { name, inner, .. }) =
        only("prepare p as delete from orders where id = $1").session
    else {
        panic!()
    };
    assert_eq!((&*name, inner.kind(), inner.access()), ("p", "delete", Access::Write));
    let Some(SessionEffect::Declare { name, hold, inner, .. }) =
        only("declare c cursor with hold for select id from orders").session
    else {
        panic!()
    };
    assert_eq!((&*name, hold, inner.access()), ("c", true, Access::Read));
    assert!(matches!(only("declare c cursor for select 1").session, Some(SessionEffect::Declare { hold: false, .. })));
    assert!(matches!(only("deallocate all").session, Some(SessionEffect::Deallocate(None))));
    assert!(matches!(only("deallocate prepare p").session, Some(SessionEffect::Deallocate(Some(n))) if &*n == "p"));
    assert!(matches!(only("fetch 3 from c").session, Some(SessionEffect::Fetch { is_move: false, .. })));
    assert!(matches!(only("move c").session, Some(SessionEffect::Fetch { is_move: true, .. })));
    assert!(matches!(only("close all").session, Some(SessionEffect::Close(None))));
    assert!(matches!(only("close c").session, Some(SessionEffect::Close(Some(_)))));
    assert!(matches!(only("discard all").session, Some(SessionEffect::DiscardAll)));
    assert_eq!(only("execute p (1)").executes.as_deref(), Some("p"));
    assert_eq!(only("explain analyze execute p").executes.as_deref(), Some("p"));
    assert_eq!(only("create temp table t as execute p").executes.as_deref(), Some("p"));
    assert!(only("explain declare c cursor for select 1").session.is_none());
}

#[test]
fn copies_say_how_rows_are_written() {
    let text = |delimiter, null: &str, header| CopyForm::Text { delimiter, null: null.into(), header };
    let csv = |delimiter, null: &str, quote, escape, header| CopyForm::Csv {
        delimiter,
        null: null.into(),
        quote,
        escape,
        header,
    };
    for (options, form) in [
        ("", text(b'\t', "\\N", false)),
        ("(format text, delimiter '|', null '', header)", text(b'|', "", true)),
        ("delimiter ';' null as '-'", text(b';', "-", false)),
        ("(format csv)", csv(b',', "", b'"', b'"', false)),
        ("csv header quote '''' escape '!'", csv(b',', "", b'\'', b'!', true)),
        ("(format csv, quote '~', header off, force_quote *, encoding 'UTF8')", csv(b',', "", b'~', b'~', false)),
        ("(format csv, header 1)", csv(b',', "", b'"', b'"', true)),
        ("(format binary)", CopyForm::Binary),
        ("binary", CopyForm::Binary),
        ("(format parquet)", CopyForm::Other),
        ("(encoding 'latin1')", CopyForm::Other),
        ("(delimiter '||')", CopyForm::Other),
        ("(header match)", CopyForm::Other),
        ("(compression 'zstd')", CopyForm::Other),
    ] {
        assert_eq!(only(&format!("copy orders to stdout {options}")).copy.map(|c| c.form), Some(form), "{options}");
    }
}

#[test]
fn copy() {
    let way = |text| only(text).copy.map(|c| (c.from, c.endpoint)).unwrap();
    assert_eq!(way("copy orders to stdout"), (false, Endpoint::Client));
    assert_eq!(way("copy orders from stdin"), (true, Endpoint::Client));
    assert_eq!(way("copy orders to '/x'"), (false, Endpoint::File));
    assert_eq!(way("copy orders from program 'x'"), (true, Endpoint::Program));
    assert_eq!(only("select 1").copy, None);
}

#[test]
fn catalog_and_settings() {
    assert!(only("create table t (a int)").changes_catalog);
    assert!(!only("create table t (a int)").changes_temporary);
    assert!(only("create temp table t (a int)").changes_temporary);
    assert!(only("select 1 as a into temp t").changes_temporary);
    assert!(only("select 1 as a into t").changes_catalog);
    assert!(only("create table t as select 1 as a").changes_catalog);
    assert!(!only("explain create table t as select 1 as a").changes_catalog);
    assert!(only("grant select on orders to bob").changes_catalog);
    assert!(only("do 'begin end'").changes_catalog);
    assert!(!only("select 1").changes_catalog);
    assert!(!only("insert into audit default values").changes_catalog);
    let set = only("set local search_path to a, \"B\"");
    assert_eq!(&*set.settings[0].name, "search_path");
    assert_eq!(set.settings[0].values.iter().map(|v| v.to_string()).collect::<Vec<_>>(), ["a", "B"]);
    assert!(set.settings[0].local && !set.may_change_settings);
    assert!(only("reset search_path").may_change_settings);
    assert!(only("select wild(1)").may_change_settings);
    assert!(only("select set_config('a.b', 'c', false)").may_change_settings);
    assert!(only("call job()").may_change_settings);
    assert!(!only("select pg_read_file('x')").may_change_settings);
    assert!(!only("select id from orders").may_change_settings);
}

#[test]
fn outside_a_transaction() {
    for text in [
        "vacuum",
        "create database x",
        "drop database x",
        "create index concurrently i on orders (id)",
        "drop index concurrently orders_pkey",
        "alter system reset all",
        "create tablespace t location '/x'",
        "reindex database shop",
        "cluster",
        "discard all",
        "commit prepared 'x'",
        "create subscription s connection 'x' publication p",
        "alter table payments detach partition payments_2024 concurrently",
    ] {
        assert!(only(text).outside_transaction, "{text}");
    }
    for text in ["analyze", "create index i on orders (id)", "reindex table orders", "select 1", "drop table orders"] {
        assert!(!only(text).outside_transaction, "{text}");
    }
}

#[test]
fn references_are_joined() {
    let inner = Arc::clone(look("delete from orders where id = 1").shape());
    let run = look("execute p");
    assert_eq!(run.references().collect::<Vec<_>>(), [Reference::Prepared("p")]);
    let joined = run.with_references(|r| (r == Reference::Prepared("p")).then(|| Arc::clone(&inner)));
    assert_eq!(uses(&joined), "connect() write(public.orders)");
    assert_eq!(joined.kind(), "execute");
    assert_eq!(run.with_references(|_| None).access(), Access::Execute);
    // Arguments count, too.
    assert_eq!(look("execute p (wild(1))").with_references(|_| Some(Arc::clone(&inner))).access(), Access::Execute);
    // What the text makes itself is no reference.
    assert_eq!(look("prepare q as select 1; execute q").references().count(), 0);
    assert_eq!(look("execute q; prepare q as select 1").references().count(), 1);
    assert_eq!(look("fetch 1 from c; fetch 1 from d").references().count(), 2);
    // An unreadable one makes all unreadable.
    let bad = Arc::clone(look("select from from").shape());
    assert!(run.with_references(|_| Some(Arc::clone(&bad))).why_unreadable().is_some());
    // What runs is in the fingerprint.
    let other = Arc::clone(look("select 1").shape());
    assert_ne!(joined.fingerprint(), run.with_references(|_| Some(Arc::clone(&other))).fingerprint());
}

#[test]
fn joined_shapes_are_as_strict_as_their_parts() {
    let filtered = look("update orders set total = 1 where id = 2");
    let unfiltered = look("delete from audit");
    let catalog = look("select relname from pg_class");
    let both = join(&[filtered.shape(), unfiltered.shape(), catalog.shape()]);
    assert_eq!(uses(&both), "read(pg_catalog.pg_class) write(public.audit,public.orders)");
    let write = find(&both, Access::Write).unwrap();
    assert!(write.attributes.find("filtered").is_none());
    assert_eq!(set(write, "statements").into_iter().collect::<Vec<_>>(), ["delete", "update"]);
    assert!(find(&both, Access::Read).unwrap().attributes.find("catalog_only").is_some());
    let more = join(&[&both, look("select id from orders").shape()]);
    assert!(find(&more, Access::Read).unwrap().attributes.find("catalog_only").is_none());
    assert!(find(&join(&[filtered.shape()]), Access::Write).unwrap().attributes.find("filtered").is_some());
    assert!(join(&[]).why_unreadable().is_some());
    assert!(join(&[filtered.shape(), look("x").shape()]).why_unreadable().is_some());
}

#[test]
fn syntax_errors_say_where() {
    let error = |text: &str| look(text).syntax_error().map(|e| (e.position, e.message.clone()));
    assert_eq!(error("select 'é' from from"), Some((17, "syntax error at or near \"from\"".to_owned())));
    assert_eq!(error("select 'é' 'x"), Some((12, "unterminated quoted string at or near \"'x\"".to_owned())));
    assert_eq!(error("select 1"), None);
    let why = look("select 'secret' 'more' from").shape().why_unreadable().unwrap().to_owned();
    assert!(!why.contains("secret"), "{why}");
}
