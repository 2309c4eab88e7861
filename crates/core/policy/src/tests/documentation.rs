//! The examples in docs/policy.md are true: they load, and their tests pass.

use std::sync::Arc;

use crate::{Language, PolicyFile, PolicySet, SuiteRunner, TestSuite};

const PAGE: &str = include_str!("../../../../../docs/policy.md");

/// The blocks of one language, joined.
fn blocks(kind: &str) -> String {
    let opening = format!("```{kind}\n");
    let mut out = String::new();
    for part in PAGE.split(opening.as_str()).skip(1) {
        out.push_str(part.split("\n```").next().unwrap());
        out.push('\n');
    }
    out
}

#[test]
fn the_examples_are_true() {
    let language = Arc::new(Language::new(&[super::TOY], &[]).unwrap());
    let files = [PolicyFile { path: "docs/policy.md".to_owned(), text: blocks("cedar") }];
    let set = PolicySet::load(&files, &language, 1).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    assert!(set.rules().count() >= 5);
    assert_eq!(set.warnings(), [], "an example should be a good one");
    let suite = TestSuite::parse("docs/policy.md", &blocks("toml")).unwrap();
    let runner =
        SuiteRunner { policies: &set, classify: &|_, _, _| Err("no protocol here".to_owned()), targets: &|_| None };
    let report = runner.run("docs/policy.md", &suite);
    assert_eq!(report.failed(), 0, "{report}");
}
