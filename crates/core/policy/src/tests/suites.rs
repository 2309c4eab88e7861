//! Policy tests, and what they print when they fail.

use countersign_model::{Access, RecordLevel, Target, TargetName};

use super::{load, on, shape};
use crate::{SuiteReport, SuiteRunner, TestSuite};

const RULES: &str = r#"
@id("read") @limit("rows=10") @alert("low")
permit (principal in Group::"analysts", action == Action::"read", resource in Label::"env:prod");
@id("night") forbid (principal, action, resource) when { context.hour_utc < 6 };
@id("bots") permit (principal in Group::"bots", action == Action::"read", resource) when { principal.credential == "bound" };
@id("see") permit (principal in Group::"analysts", action == Action::"unmask", resource in Tag::"pii.name");
@id("try") @limit("probes=5/1m") permit (principal in Group::"analysts", action == Action::"probe", resource in Tag::"pii");
@id("ci") permit (principal, action == Action::"write", resource) when { principal.claims.ref == "main" && context.token_age_s < 100 };
"#;

const HEAD: &str = r#"
[identity.ana]
groups = ["analysts"]
[identity.job]
kind = "machine"
claims = { ref = "main" }
[identity.copilot]
groups = ["analysts"]
credential = "bound"
actors = [{ name = "bot", groups = ["bots"] }, { name = "tool", subject = "t-1", kind = "machine", groups = ["bots"], claims = { ref = "main" } }]
[target.orders]
labels = { env = "prod" }
[target.sought]
labels = { env = "prod" }
detect = ["pii.card"]
"#;

fn run(cases: &str) -> SuiteReport {
    let set = load(RULES);
    let suite = TestSuite::parse("t.test.toml", &format!("{HEAD}{cases}")).unwrap();
    let runner = SuiteRunner {
        policies: &set,
        classify: &|_, _, text| match text.split_once(' ') {
            Some(("read", what)) => Ok(shape(vec![on(Access::Read, &[what])])),
            _ => Err(format!("cannot read \"{text}\"")),
        },
        targets: &|name| {
            (name == "configured").then(|| Target {
                name: TargetName::parse(name).unwrap(),
                protocol: "toy".into(),
                labels: [("env".to_owned(), "prod".to_owned())].into(),
                record: RecordLevel::default(),
                durable: false,
                tagging: Default::default(),
            })
        },
    };
    runner.run("t.test.toml", &suite)
}

#[test]
fn cases_that_hold_pass() {
    let report = run(r#"
[[case]]
name = "by text"
identity = "ana"
target = "orders"
text = "read x"
expect = "allow"
rules = ["read"]
limits = { rows = 10 }
alert = "low"
[[case]]
name = "by access, on a configured target"
identity = "ana"
target = "configured"
access = "read"
attributes = { relations = ["x"], depth = 3, bounded = true, verb = "v" }
expect = "allow"
[[case]]
name = "of tags"
identity = "ana"
target = "sought"
access = "read"
tags_shown = ["pii.email", "pii.name"]
tags_matched = ["pii.phone"]
expect = "allow"
masks = ["pii.card=redact", "pii.email=redact"]
unmasked = ["pii.name"]
probes = ["pii.phone=5/1m"]
rules = ["read", "see", "try"]
[[case]]
name = "of tags that a text does not tell of"
identity = "ana"
target = "orders"
text = "read x"
tags_chosen = ["pii.email"]
tags_copied = ["pii.name", "secret"]
expect = "deny"
withheld = ["pii.email=chosen", "secret=copied"]
[[case]]
name = "at night"
identity = "ana"
target = "orders"
text = "read x"
now = 2026-02-03T05:59:59Z
expect = "deny"
rules = ["night"]
[[case]]
name = "a job with a fresh token"
identity = "job"
target = "orders"
access = "write"
expect = "allow"
[[case]]
name = "through agents"
identity = "copilot"
target = "orders"
access = "read"
expect = "allow"
rules = ["bots", "read"]
limits = { rows = 10 }
[[case]]
name = "through agents, by a bearer credential"
identity = "copilot"
credential = "bearer"
target = "orders"
access = "read"
expect = "deny"
denied_for = ["bot", "tool (https://issuer.test#t-1)"]
[[case]]
name = "a tool's right is not lent"
identity = "copilot"
target = "orders"
access = "write"
expect = "deny"
denied_for = ["copilot", "bot"]
[[case]]
name = "a job with a stale token"
identity = "job"
target = "orders"
access = "write"
token_age_s = 100
expect = "deny"
rules = []
"#);
    assert_eq!(report.failed(), 0, "{report}");
    assert!(report.to_string().ends_with("t.test.toml: 10 passed, 0 failed\n"), "{report}");
}

#[test]
fn failures_say_what_came_out_and_why() {
    for (case, expected) in [
        ("identity = \"ana\"\ntarget = \"orders\"\ntext = \"read x\"\nexpect = \"deny\"", "expected deny, got allow"),
        (
            "identity = \"ana\"\ntarget = \"orders\"\ntext = \"read x\"\nexpect = \"deny\"",
            "| allow by read; limits rows=10; alert low",
        ),
        (
            "identity = \"ana\"\ntarget = \"orders\"\ntext = \"read x\"\nexpect = \"deny\"",
            "permit read (0.cedar:2) applies",
        ),
        (
            "identity = \"job\"\ntarget = \"orders\"\ntext = \"read x\"\nexpect = \"allow\"",
            "permit read (0.cedar:2) does not apply: it is for others",
        ),
        (
            "identity = \"ana\"\ntarget = \"orders\"\naccess = \"write\"\nexpect = \"allow\"",
            "permit ci (0.cedar:8) does not apply: its condition is false",
        ),
        (
            "identity = \"ana\"\ntarget = \"orders\"\ntext = \"read x\"\nexpect = \"allow\"\nrules = [\"x\"]",
            "expected the rules [\"x\"], got [\"read\"]",
        ),
        (
            "identity = \"ana\"\ntarget = \"orders\"\ntext = \"read x\"\nexpect = \"allow\"\nlimits = {}",
            "expected the limits none, got rows=10",
        ),
        (
            "identity = \"ana\"\ntarget = \"orders\"\ntext = \"read x\"\nexpect = \"allow\"\nalert = \"high\"",
            "expected an alert",
        ),
        (
            "identity = \"ana\"\ntarget = \"orders\"\naccess = \"read\"\ntags_shown = [\"pii.a\"]\nexpect = \"allow\"\nmasks = []",
            "expected the masks {}, got {\"pii.a=redact\"}",
        ),
        (
            "identity = \"anna\"\ntarget = \"orders\"\ntext = \"read x\"\nexpect = \"allow\"",
            "unknown identity \"anna\": did you mean \"ana\"?",
        ),
        (
            "identity = \"ana\"\ntarget = \"nowhere\"\ntext = \"read x\"\nexpect = \"allow\"",
            "unknown target \"nowhere\"",
        ),
        (
            "identity = \"ana\"\ntarget = \"orders\"\ntext = \"scribble\"\nexpect = \"allow\"",
            "cannot read \"scribble\"",
        ),
        ("identity = \"ana\"\ntarget = \"orders\"\nexpect = \"allow\"", "needs either text, or access"),
        (
            "identity = \"ana\"\ntarget = \"orders\"\naccess = \"read\"\nattributes = { verbb = \"x\" }\nexpect = \"allow\"",
            "did you mean \"verb\"?",
        ),
        (
            "identity = \"ana\"\ntarget = \"orders\"\naccess = \"read\"\nattributes = { verb = 1 }\nexpect = \"allow\"",
            "not of its type, String",
        ),
        (
            "identity = \"ana\"\ntarget = \"orders\"\naccess = \"read\"\nnow = 2026-02-03T05:59:59+01:00\nexpect = \"allow\"",
            "is not a UTC time",
        ),
        (
            "identity = \"copilot\"\ntarget = \"orders\"\naccess = \"write\"\nexpect = \"deny\"\ndenied_for = [\"bot\"]",
            "expected a deny for [\"bot\"], got [\"copilot (",
        ),
        (
            "identity = \"copilot\"\ntarget = \"orders\"\naccess = \"write\"\nexpect = \"allow\"",
            "and for bot (https://issuer.test#bot) (deny)",
        ),
    ] {
        let report = run(&format!("[[case]]\nname = \"c\"\n{case}\n"));
        assert_eq!(report.failed(), 1, "{report}");
        assert!(report.to_string().contains(expected), "expected {expected:?} in\n{report}");
    }
}

#[test]
fn files_that_are_wrong_say_where() {
    for (text, line, expected) in [
        ("", 0, "no [[case]]"),
        ("[[case]]\nname = \"a\"\nexpct = \"deny\"\n", 3, "unknown field"),
        ("[[case]\n", 1, ""),
    ] {
        let problem = TestSuite::parse("t", text).unwrap_err();
        assert_eq!(problem.line, line, "{problem}");
        assert!(problem.message.contains(expected), "{problem}");
    }
}
