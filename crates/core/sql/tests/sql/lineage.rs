//! What is shown, matched, chosen by and copied, construct by construct.

use std::sync::{Arc, OnceLock};

use countersign_model::{Disclosure, Tag, TagRule, Tagging};
use countersign_sql::{
    Analyser, Analysis, Catalog, CatalogBuilder, Effect, MATCHES_MAX, OutputColumn, Outputs, Section, SessionEffect,
    Settings, analyse, explain,
};

use super::support::{builder, settings};

const CASES: &str = include_str!("../lineage.txt");

pub(crate) fn tagging() -> Tagging {
    let rule = |column: &str, tag: &str| TagRule {
        column: column.to_owned(),
        data_type: String::new(),
        tag: Tag::parse(tag).unwrap(),
    };
    let rules = vec![
        rule("public.customers.email", "email"),
        rule("public.customers.phone", "phone"),
        rule("**.card", "card"),
        rule("public.*.ssn", "ssn"),
        rule("secret.staff.salary", "pay"),
    ];
    Tagging { rules, comments: true, detect: Vec::new() }
}

pub(crate) fn tagged() -> &'static Arc<Catalog> {
    static CATALOG: OnceLock<Arc<Catalog>> = OnceLock::new();
    CATALOG.get_or_init(|| builder(77).tagged(&tagging()).build())
}

fn words(tags: &[Tag], all: usize) -> String {
    if tags.len() == all {
        return "*".to_owned();
    }
    tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(",")
}

fn column(column: &OutputColumn, all: usize) -> String {
    let name = column.name.as_deref().unwrap_or("?");
    match (column.tags.is_empty(), column.direct) {
        (true, _) => name.to_owned(),
        (false, true) => format!("{name}={}", words(&column.tags, all)),
        (false, false) => format!("{name}~{}", words(&column.tags, all)),
    }
}

/// Outputs and effects in the words of the cases; `shown` only where the outputs do not say it.
pub(crate) fn render(outputs: &Outputs, disclosure: &Disclosure, all: usize) -> String {
    let mut out = match outputs {
        Outputs::None => "none".to_owned(),
        Outputs::Unknown { tags } => format!("any({})", words(tags, all)),
        Outputs::Columns(columns) => columns.iter().map(|c| column(c, all)).collect::<Vec<_>>().join(" "),
    };
    let shown = if matches!(outputs, Outputs::Columns(_)) { &[][..] } else { &disclosure.shown };
    let lists = [
        ("shown", shown),
        ("matched", &disclosure.matched),
        ("chosen", &disclosure.chosen),
        ("copied", &disclosure.copied),
    ];
    for (name, tags) in lists {
        if !tags.is_empty() {
            out.push_str(&format!(" | {name} {}", words(tags, all)));
        }
    }
    out
}

fn check(rows: &[&str]) {
    let (mut wrong, mut found, mut on) = (Vec::new(), 0, false);
    for line in CASES.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            on = rows.iter().any(|r| title.starts_with(r));
            continue;
        }
        if !on || line.is_empty() || line.starts_with('#') {
            continue;
        }
        found += 1;
        let (text, expected) = line.split_once(" => ").unwrap();
        let analysis = analyse(text.as_bytes(), tagged(), &settings());
        assert!(analysis.shape().why_unreadable().is_none(), "{text}: {:?}", analysis.shape());
        let [statement] = analysis.statements() else { panic!("{text}") };
        let disclosure = analysis.shape().disclosure();
        let all = tagged().tags().len();
        let got = render(&statement.outputs, disclosure, all);
        if matches!(statement.outputs, Outputs::Columns(_)) {
            assert_eq!(disclosure.shown, statement.outputs.tags(), "{text}");
        }
        let everything = words(tagged().tags(), all + 1);
        let (got, expected) = (got.replace('*', &everything), expected.replace('*', &everything));
        if got != expected {
            wrong.push(format!("{text}\n   expected {expected}\n        got {got}"));
        }
    }
    assert!(found > 3, "no cases");
    assert!(wrong.is_empty(), "{} of {found} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn adv_032_what_is_shown_under_another_name() {
    check(&["32"]);
}

#[test]
fn adv_033_casts_and_text_functions() {
    check(&["33"]);
}

#[test]
fn adv_034_aggregates_windows_distinct() {
    check(&["34"]);
}

#[test]
fn adv_035_oracles() {
    check(&["35"]);
}

#[test]
fn adv_037_copies() {
    check(&["37"]);
}

#[test]
fn adv_042_prepared_statements_and_cursors() {
    check(&["38"]);
}

#[test]
fn adv_040_statistics_plans_and_code() {
    check(&["40"]);
}

fn look(text: &str) -> Analysis {
    analyse(text.as_bytes(), tagged(), &settings())
}

#[test]
fn adv_042_references_give_what_is_behind_them() {
    let all = tagged().tags().len();
    let line = |outputs: &Outputs| render(outputs, &Disclosure::default(), all);
    // Made by the same text.
    let both = look(
        "prepare p as select id, email from customers; execute p; declare c cursor for select ssn from customers; fetch all from c; move c",
    );
    let outputs = both.outputs_with(|_| panic!("nothing is open"));
    assert_eq!(outputs.iter().map(line).collect::<Vec<_>>(), ["none", "id email=email", "none", "ssn=ssn", "none"]);
    // Made earlier.
    let made = look("prepare p as select email from customers where phone = $1");
    let Some(SessionEffect::Prepare { inner, outputs, .. }) = made.statements()[0].session.clone() else { panic!() };
    assert_eq!(line(&outputs), "email=email");
    assert_eq!(render(&Outputs::None, inner.disclosure(), all), "none | shown email | matched phone");
    let run = look("execute p ('x')");
    assert_eq!(line(&run.outputs_with(|_| Some(outputs.clone()))[0]), "email=email");
    assert_eq!(line(&run.outputs_with(|_| None)[0]), "any(*)");
    let joined = run.with_references(|_| Some(Arc::clone(&inner)));
    assert_eq!(render(&Outputs::None, joined.disclosure(), all), "none | shown email | matched phone");
    let unknown = run.with_references(|_| None);
    assert_eq!(render(&Outputs::None, unknown.disclosure(), all), "none | shown * | chosen * | copied *");
    // Its plan tells of all, and a table made from it is a copy.
    let plan = look("explain execute p ('x')").with_references(|_| Some(Arc::clone(&inner)));
    assert_eq!(
        render(&Outputs::None, plan.disclosure(), all),
        "none | shown email | matched phone | chosen email,phone"
    );
    let stored = look("create table x as execute p ('x')").with_references(|_| Some(Arc::clone(&inner)));
    assert_eq!(render(&Outputs::None, stored.disclosure(), all), "none | shown email | matched phone | copied email");
    let joined = countersign_sql::join(&[
        look("select email from customers").shape(),
        look("select ssn from customers").shape(),
    ]);
    assert_eq!(render(&Outputs::None, joined.disclosure(), all), "none | shown email,ssn");
}

#[test]
fn a_relation_that_the_text_made_may_hold_anything() {
    for text in [
        "create temp view v as select email from customers; select * from v",
        "create temp table v as select email from customers; select * from v",
        "alter table customers rename to v; select email from v",
    ] {
        let found = look(text);
        let Some(last) = found.statements().last() else { panic!("{text}: {:?}", found.shape()) };
        assert_eq!(last.outputs.tags().len(), tagged().tags().len(), "{text}");
    }
}

#[test]
fn temporary_objects_are_traced() {
    let mut temporary = CatalogBuilder::new(901).tagged(&tagging());
    let mut row = |section, columns: &[&str]| {
        temporary.row(section, &columns.iter().copied().map(Some).collect::<Vec<_>>()).unwrap();
    };
    row(Section::Relations, &["50001", "pg_temp", "v", "v"]);
    row(Section::Columns, &["50001", "1", "e", "25"]);
    row(Section::Views, &["50001", "SELECT customers.email AS e FROM public.customers"]);
    row(Section::Relations, &["50002", "pg_temp", "t", "r"]);
    row(Section::Columns, &["50002", "1", "card", "25"]);
    row(Section::Columns, &["50002", "2", "x", "25"]);
    let settings = Settings::new(&["pg_catalog", "public"], Some("ana")).with_temporary(Some(temporary.build()));
    let all = tagged().tags().len();
    for (text, expected) in [
        ("select e from v", "e=email"),
        ("select card, x from t", "card=card x"),
        ("select id from v, customers where e like 'a'", "id | chosen email"),
    ] {
        let found = analyse(text.as_bytes(), tagged(), &settings);
        assert_eq!(render(&found.statements()[0].outputs, found.shape().disclosure(), all), expected, "{text}");
    }
}

#[test]
fn without_tags_nothing_is_traced_or_disclosed() {
    let found = super::support::look("select email from customers where email like 'a%'");
    assert_eq!(found.statements()[0].outputs, Outputs::Unknown { tags: [].into() });
    assert!(found.shape().disclosure().is_empty());
}

#[test]
fn the_tagging_tells_catalogs_apart() {
    let plain = builder(1001).build();
    assert!(!plain.same_content(tagged()) && builder(1002).tagged(&tagging()).build().same_content(tagged()));
    let mut other = tagging();
    other.rules[0].tag = Tag::parse("mail").unwrap();
    assert!(!builder(1003).tagged(&other).build().same_content(tagged()));
}

#[test]
fn rules_that_fit_nothing_are_told() {
    let mut tagging = tagging();
    let rule = |column: &str, data_type: &str| TagRule {
        column: column.to_owned(),
        data_type: data_type.to_owned(),
        tag: tagging.rules[0].tag.clone(),
    };
    // What another rule said before is no reason to call this one useless.
    let again = TagRule { ..tagging.rules[0].clone() };
    let (wrong, wrong_type) = (rule("public.custmers.email", ""), rule("**", "citext"));
    tagging.rules.extend([again, wrong.clone(), wrong_type.clone()]);
    assert_eq!(builder(1004).tagged(&tagging).build().unmatched_rules(), [wrong, wrong_type]);
}

#[test]
fn guesses_are_counted_to_the_edge() {
    let list = |n: usize| (0..n).map(|i| format!("'{i}'")).collect::<Vec<_>>().join(", ");
    let effects = |text: &str| {
        let found = look(text);
        let disclosure = found.shape().disclosure().clone();
        (disclosure.matched.len(), disclosure.chosen.len(), disclosure.guesses)
    };
    assert_eq!(
        effects("select 1 from customers where email in ('a', 'b') and lower(phone) = '7' and id in (1, 2, 3)"),
        (2, 0, 3)
    );
    assert_eq!(
        effects("select 1 from customers where email = $1; select 2 from customers where email = $1"),
        (1, 0, 2)
    );
    assert_eq!(effects("select email from customers where id in (1, 2)"), (0, 0, 0));
    assert_eq!(effects(&format!("select 1 from customers where email in ({})", list(MATCHES_MAX))), (1, 0, 16));
    assert_eq!(effects(&format!("select 1 from customers where email in ({})", list(MATCHES_MAX + 1))), (0, 1, 0));
    let many = |n: usize| {
        (0..n).map(|i| format!("select 1 from customers where email = '{i}'")).collect::<Vec<_>>().join(" union all ")
    };
    assert_eq!(effects(&many(MATCHES_MAX)), (1, 0, 16));
    assert_eq!(effects(&many(MATCHES_MAX + 1)), (1, 1, 17));
}

#[test]
fn what_a_constant_decides_is_not_shared() {
    let analyser = Analyser::new();
    let chosen =
        |text: &str| analyser.analyse(text.as_bytes(), tagged(), &settings()).shape().disclosure().chosen.len();
    assert_eq!(chosen("select id, email from customers order by 1"), 0);
    assert_eq!(chosen("select id, email from customers order by 2"), 1);
    assert_eq!(chosen("select substring(email from 2) from customers"), 0);
    assert_eq!(chosen("select substring(email from '2') from customers"), 1);
}

/// Deep and wide texts end, on the stack that they are given, and never with less than there is.
#[test]
fn deep_and_wide_texts_end() {
    let nested = |n: usize| format!("select {}email{} from customers", "lower(".repeat(n), ")".repeat(n));
    let levels = |n: usize| format!("{}select email from customers{}", "select * from (".repeat(n), ") x".repeat(n));
    let doubled = (0..30).fold("with q0 as (select * from customers)".to_owned(), |text, i| {
        format!("{text}, q{} as (select a.*, b.* from q{i} a, q{i} b)", i + 1)
    });
    let loops = (0..12).fold("select email from customers".to_owned(), |text, i| {
        format!("with recursive r{i} as ({text} union all select email from r{i}) select email from r{i}")
    });
    let chain = |n: usize| format!("select {}email from customers", "name || ".repeat(n));
    for text in
        [nested(11), nested(800), levels(11), levels(300), format!("{doubled} select * from q30"), loops, chain(1_500)]
    {
        let started = text.get(..60).unwrap_or(&text).to_owned();
        let found = look(&text);
        if found.shape().why_unreadable().is_some() {
            continue;
        }
        let email = Tag::parse("email").unwrap();
        assert!(found.shape().disclosure().shown.contains(&email), "{started}");
    }
}

#[test]
fn people_are_told_why() {
    let text = "select id, lower(email) as e from customers where phone = 'x' order by ssn; insert into audit (what) select card from payments";
    let found = explain(text, tagged(), &settings()).unwrap();
    assert_eq!(found.iter().map(|s| s.kind).collect::<Vec<_>>(), ["select", "insert"]);
    let Outputs::Columns(columns) = &found[0].outputs else { panic!() };
    assert_eq!(columns[0].sources.iter().map(|s| &**s).collect::<Vec<_>>(), ["public.customers.id"]);
    assert_eq!(columns[1].sources.iter().map(|s| &**s).collect::<Vec<_>>(), ["public.customers.email"]);
    let said: Vec<(Effect, &str, &str, Option<&str>)> = found
        .iter()
        .flat_map(|s| &s.reasons)
        .map(|r| (r.effect, r.what, &*r.columns[0], r.place.map(|p| &text[p..p + 3])))
        .collect();
    assert_eq!(
        said,
        [
            (Effect::Matched, "WHERE", "public.customers.phone", Some("= '")),
            (Effect::Chosen, "ORDER BY", "public.customers.ssn", Some("ssn")),
            (Effect::Copied, "a column that does not carry the tag", "public.payments.card", Some("wha")),
        ]
    );
    assert!(explain("select from from", tagged(), &settings()).unwrap_err().contains("syntax error"));
}

#[test]
fn views_are_traced_to_a_depth() {
    let build = |views: usize, generation: u64| {
        let mut builder = CatalogBuilder::new(generation).tagged(&tagging());
        let mut row = |section, columns: &[&str]| {
            builder.row(section, &columns.iter().copied().map(Some).collect::<Vec<_>>()).unwrap();
        };
        // The outermost first: each is read before what it reads.
        for i in (0..views).rev() {
            let (oid, name) = ((60_000 + i).to_string(), format!("v{i}"));
            let below = if i == 0 { "customers".to_owned() } else { format!("v{}", i - 1) };
            row(Section::Relations, &[&oid, "public", &name, "v"]);
            row(Section::Columns, &[&oid, "1", "id", "20"]);
            row(Section::Columns, &[&oid, "2", "email", "25"]);
            row(Section::Views, &[&oid, &format!("SELECT x.id, x.email FROM public.{below} x")]);
        }
        row(Section::Relations, &["50000", "public", "customers", "r"]);
        row(Section::Columns, &["50000", "1", "id", "20"]);
        row(Section::Columns, &["50000", "2", "email", "25"]);
        row(Section::Columns, &["50000", "3", "ssn", "25"]);
        builder.build()
    };
    let tags = |catalog: &Catalog, view: usize| -> Vec<String> {
        let columns = catalog.relation("public", &format!("v{view}")).unwrap().columns();
        columns.iter().map(|c| c.tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(",")).collect()
    };
    let catalog = build(32, 2001);
    assert_eq!(tags(&catalog, 31), ["", "email"]);
    let deeper = build(33, 2002);
    assert_eq!(tags(&deeper, 32), ["email,ssn", "email,ssn"]);
    let found = analyse(b"select id, email from v31", &catalog, &settings());
    assert_eq!(render(&found.statements()[0].outputs, found.shape().disclosure(), 2), "id email=email");
}
