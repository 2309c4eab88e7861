//! What is shown, matched, chosen by and copied, construct by construct.

use std::sync::{Arc, OnceLock};

use countersign_model::{Disclosure, Tag, TagRule, Tagging};
use countersign_sql::{Catalog, OutputColumn, Outputs, analyse};

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
