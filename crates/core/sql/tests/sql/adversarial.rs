//! Rows of the adversarial list, as far as classification goes; the real server's tests are elsewhere.

use countersign_model::Access;
use countersign_sql::{Settings, TEXT_BYTES_MAX, analyse};

use super::support::{access, catalog, find, items, look, look_with, uses};

const EVASION: &str = include_str!("../evasion.txt");

#[test]
fn evasion() {
    let mut failures = Vec::new();
    let mut count = 0;
    for line in EVASION.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
        let (mildest, text) = line.split_once(";;").unwrap();
        let text =
            text.trim().replace("\\\\", "\u{0}").replace("\\n", "\n").replace("\\r", "\r").replace('\u{0}', "\\");
        let found = look(&text);
        if found.shape().access() < access(mildest.trim()) {
            failures.push(format!("{text}\n  {}", uses(found.shape())));
        }
        count += 1;
    }
    assert!(count >= 150);
    assert!(failures.is_empty(), "{} too mild:\n{}", failures.len(), failures.join("\n"));
}

fn at_least(wanted: Access, texts: &[&str]) {
    for text in texts {
        let found = look(text);
        assert!(found.shape().access() >= wanted, "{text}: {}", uses(found.shape()));
    }
}

#[test]
fn adv_009_multi_statement() {
    let found = look("select 1; drop table orders");
    assert_eq!(found.shape().access(), Access::Admin);
    assert_eq!(found.shape().kind(), "select+drop_table");
    assert_eq!(found.statements().len(), 2);
    at_least(
        Access::Admin,
        &[
            "commit; drop table orders",
            "select 1;;/* */drop table orders;",
            "begin; select 1; commit; alter system reset all",
        ],
    );
}

#[test]
fn adv_010_comments_change_nothing() {
    let corpus = include_str!("../corpus.txt");
    let mut checked = 0;
    for line in corpus.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
        let text = line.splitn(4, ";;").nth(3).unwrap().trim();
        let plain = look(text);
        if plain.shape().why_unreadable().is_some() || text.contains("\\n") {
            continue;
        }
        for wrapped in [
            format!("/* a /* b */ ; */ {text}"),
            format!("-- drop table orders;\n{text} -- ;"),
            format!("\n\t{text}\n/**/"),
        ] {
            let other = look(&wrapped);
            assert_eq!(plain.shape().uses(), other.shape().uses(), "{wrapped}");
            assert_eq!(plain.shape().fingerprint(), other.shape().fingerprint(), "{wrapped}");
        }
        checked += 1;
    }
    assert!(checked > 250);
}

#[test]
fn adv_011_code() {
    at_least(
        Access::Execute,
        &[
            "do 'begin end'",
            "call job()",
            "create function f() returns int language sql as 'select 1'",
            "create procedure p() language sql as ''",
            "create trigger t after insert on orders execute function f()",
            "create rule r as on insert to orders do nothing",
        ],
    );
}

#[test]
fn adv_012_prepared_text_is_judged() {
    assert_eq!(look("prepare p as delete from orders").shape().access(), Access::Write);
    assert_eq!(look("execute p").shape().access(), Access::Execute);
    assert_eq!(look("explain analyze execute p").shape().access(), Access::Execute);
    assert_eq!(look("create temp table t as execute p").shape().access(), Access::Execute);
    at_least(Access::Execute, &["do $$ begin execute 'dr' || 'op table orders'; end $$"]);
}

#[test]
fn adv_013_functions() {
    at_least(
        Access::Execute,
        &[
            "select wild(1)",
            "select dblink('x', 'y')",
            "select lo_export(1, 'x')",
            "select pg_read_file('x')",
            "select query_to_xml('x', true, true, '')",
            "select set_config('role', 'x', true)",
            "select unknown_thing()",
        ],
    );
}

#[test]
fn adv_014_hidden_writes() {
    at_least(
        Access::Write,
        &[
            "with d as (delete from orders returning 1) select * from d",
            "explain analyze delete from orders",
            "select * into x from orders",
            "select * into temp x from orders",
        ],
    );
}

#[test]
fn adv_015_copy() {
    at_least(
        Access::Admin,
        &["copy orders to program 'x'", "copy orders from program 'x'", "copy orders to '/x'", "copy orders from '/x'"],
    );
    assert_eq!(look("copy orders to stdout").shape().access(), Access::Read);
    assert_eq!(look("copy orders from stdin").shape().access(), Access::Write);
}

#[test]
fn adv_016_shadowing() {
    // A schema before the built-in one.
    let path = ["evil", "pg_catalog", "public"];
    assert_eq!(look_with("select now()", &path).shape().access(), Access::Execute);
    assert_eq!(look_with("select pg_catalog.now()", &path).shape().access(), Access::Read);
    assert_eq!(look_with("select lower('x')", &path).shape().access(), Access::Execute);
    assert_eq!(look_with("select 1 = 2", &path).shape().access(), Access::Execute);
    assert_eq!(look_with("select 1 from orders where id in (1)", &path).shape().access(), Access::Execute);
    assert_eq!(look_with("select case 1 when 2 then 3 end", &path).shape().access(), Access::Execute);
    assert_eq!(
        look_with("select 1 from customers join public.orders using (id)", &path).shape().access(),
        Access::Execute
    );
    assert_eq!(look_with("select 1 operator(pg_catalog.=) 2", &path).shape().access(), Access::Read);
    // The same behind it may still be meant for other types.
    assert_eq!(look_with("select lower('x')", &["pg_catalog", "public", "evil"]).shape().access(), Access::Execute);
    // Relations by path.
    assert_eq!(uses(look_with("select 1 from orders", &path).shape()), "read(evil.orders)");
    assert_eq!(
        uses(look_with("select 1 from orders", &["pg_catalog", "public", "evil"]).shape()),
        "read(public.orders)"
    );
    assert_eq!(
        uses(look_with("select 1 from pg_class", &["pg_catalog", "public"]).shape()),
        "read(pg_catalog.pg_class)"
    );
    at_least(Access::Execute, &["select 1 === 2", "select 'x'::wrap", "select m from app.moods"]);
}

#[test]
fn adv_016_temporary_objects_shadow() {
    use countersign_sql::{CatalogBuilder, Section};
    let mut temporary = CatalogBuilder::new(900);
    temporary.row(Section::Relations, &[Some("50001"), Some("pg_temp"), Some("orders"), Some("v")]).unwrap();
    temporary.row(Section::Views, &[Some("50001"), Some("SELECT staff.salary FROM secret.staff")]).unwrap();
    temporary.row(Section::Relations, &[Some("50002"), Some("pg_temp"), Some("pg_class"), Some("r")]).unwrap();
    let temporary = temporary.build();
    let settings = Settings::new(&["pg_temp_3", "pg_catalog", "public"], None).with_temporary(Some(temporary.clone()));
    let look = |text: &str| analyse(text.as_bytes(), catalog(), &settings);
    let found = look("select * from orders");
    assert_eq!(uses(found.shape()), "read(pg_temp.orders)");
    assert!(items(found.shape(), "relations_all").contains("secret.staff"), "{:?}", found.shape().uses());
    assert_eq!(uses(look("select * from pg_class").shape()), "read(pg_temp.pg_class)");
    assert!(
        find(look("select * from pg_class").shape(), Access::Read).unwrap().attributes.find("catalog_only").is_none()
    );
    assert_eq!(uses(look("select * from public.orders").shape()), "read(public.orders)");
    assert_eq!(uses(look("insert into orders values (1)").shape()), "write(pg_temp.orders)");
    // Behind the built-in schema by the path's own order.
    let settings = Settings::new(&["pg_catalog", "pg_temp", "public"], None).with_temporary(Some(temporary));
    let found = analyse(b"select * from pg_class", catalog(), &settings);
    assert_eq!(uses(found.shape()), "read(pg_catalog.pg_class)");
}

#[test]
fn adv_016_a_transaction_takes_its_path_back() {
    let settings = Settings::new(&["pg_catalog", "evil"], None).with_revertible_path(true);
    for text in
        ["commit; select * from orders", "rollback; select * from orders", "rollback to a; select * from orders"]
    {
        let look = |s: &Settings| analyse(text.as_bytes(), catalog(), s).shape().why_unreadable().is_some();
        assert!(look(&settings), "{text}");
        assert!(!look(&settings.clone().with_revertible_path(false)), "{text}");
    }
}

#[test]
fn adv_017_roles() {
    at_least(
        Access::Admin,
        &[
            "set role x",
            "set session authorization x",
            "reset role",
            "reset all",
            "discard all",
            "set row_security to off",
        ],
    );
}

#[test]
fn adv_019_meaning_follows_the_catalog() {
    let before = look("select late()");
    assert_eq!(before.undefined().map(|u| u.what.sqlstate()), Some("42883"));
    let mut builder = super::support::builder(77);
    let row = ["900001", "public", "late", "0", "0", "f", "s", "f", "f", "23"].map(Some);
    builder.row(countersign_sql::Section::Functions, &row).unwrap();
    let after = analyse(b"select late()", &builder.build(), &super::support::settings());
    assert_eq!(after.undefined(), None);
    assert_eq!(after.shape().access(), Access::Read);
}

#[test]
fn adv_021_cursors_carry_their_query() {
    assert_eq!(look("declare c cursor for select ssn from customers").shape().access(), Access::Read);
    assert_eq!(look("fetch all from c").shape().access(), Access::Execute);
    assert_eq!(look("declare c cursor with hold for select wild(1)").shape().access(), Access::Execute);
}

#[test]
fn adv_022_large_objects() {
    at_least(
        Access::Execute,
        &["select lo_import('x')", "select lo_get(1)", "select loread(1, 1)", "select lo_from_bytea(0, 'x')"],
    );
    let found = look("select data from pg_largeobject");
    assert!(found.shape().uses()[0].attributes.find("sensitive_catalog").is_some());
}

#[test]
fn adv_023_notify() {
    at_least(Access::Execute, &["listen x", "notify x", "notify x, 'y'", "select pg_notify('x', 'y')"]);
}

#[test]
fn adv_026_encodings_and_strings() {
    for text in ["set client_encoding = 'SJIS'", "set standard_conforming_strings = off", "set names latin1"] {
        assert!(look(text).shape().why_unreadable().is_some(), "{text}");
    }
    for bytes in [b"select '\xff'".as_slice(), b"select 1\0; drop table orders", b"\xc0\xaf", b"select '\xed\xa0\x80'"]
    {
        assert!(analyse(bytes, catalog(), &super::support::settings()).shape().why_unreadable().is_some());
    }
    assert_eq!(look(r"select U&'d\0061t', E'\'; drop table orders; --'").shape().access(), Access::Read);
    assert_eq!(look(r"select '\'; drop table orders; --'").shape().access(), Access::Admin);
    assert_eq!(uses(look(r#"select * from U&"\006frders""#).shape()), "read(public.orders)");
    assert_eq!(uses(look(r#"select * from U&"!006frders" UESCAPE '!'"#).shape()), "read(public.orders)");
}

#[test]
fn adv_029_read_write_escape() {
    at_least(
        Access::Write,
        &[
            "begin read write",
            "set transaction read write",
            "set session characteristics as transaction read write",
            "set default_transaction_read_only = off",
            "set transaction_read_only to off",
            "set default_transaction_read_only to default",
            "reset default_transaction_read_only",
            "start transaction isolation level serializable, read write",
        ],
    );
    assert_eq!(look("begin read only").shape().access(), Access::Connect);
}

#[test]
fn adv_030_administration() {
    at_least(
        Access::Admin,
        &[
            "alter system set work_mem = 1",
            "create extension x",
            "create server s foreign data wrapper w",
            "create event trigger e on sql_drop execute function f()",
            "create user mapping for public server s",
            "load 'x'",
        ],
    );
}

#[test]
fn adv_031_large_texts_are_judged_whole_or_refused() {
    let hidden = format!("select 1 /*{}*/; drop table orders", "x".repeat(9 << 20));
    assert_eq!(look(&hidden).shape().access(), Access::Admin);
    let literal = format!("select '{}'; delete from orders", "x".repeat(9 << 20));
    assert_eq!(look(&literal).shape().access(), Access::Write);
    let spaces = format!("select 1;{}drop table orders", " ".repeat(TEXT_BYTES_MAX - 26));
    assert_eq!(look(&spaces).shape().access(), Access::Admin);
    let over = format!("select 1;{}drop table orders", " ".repeat(TEXT_BYTES_MAX));
    assert!(look(&over).shape().why_unreadable().unwrap().contains("16 MiB"));
    let tokens = format!("select 1 in ({}1)", "1,".repeat(4 << 20));
    assert!(look(&tokens).shape().why_unreadable().unwrap().contains("tokens"));
    for head in ["select $1a, ", "select {, ", "select 1a, "] {
        let behind = format!("{head}{}1{}", "(select ".repeat(3_000), ")".repeat(3_000));
        assert!(look(&behind).shape().why_unreadable().is_some(), "{head}");
    }
    let deep = format!("select {}1{}", "(".repeat(1 << 20), ")".repeat(1 << 20));
    assert!(look(&deep).shape().why_unreadable().is_some());
}
