//! What may be applied beside a gateway's own configuration, and what may not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;
use crate::{PROBLEMS_MAX, parse_str};

const PROTOCOLS: &[ProtocolFacts] =
    &[ProtocolFacts { name: "postgres", port: 5432 }, ProtocolFacts { name: "ssh", port: 22 }];

const OWN: &str = r#"
[[listener]]
protocol = "postgres"
address = "127.0.0.1:6432"

[local_issuer]
[[local_issuer.client]]
id = "dashboard"
redirect_uris = ["https://dashboard.example/callback"]
secret = { vault = "dashboard" }

[vault]
key = { file = "vault.key" }

[[target]]
name = "orders"
protocol = "postgres"
host = "db.internal"

[[target.tag]]
column = "**.email"
tag = "pii.email"

[[target.account]]
groups = ["x"]
user = "app"
password = { env = "X" }

[[target.account]]
default = true
user = "app"
password = { vault = "orders" }
"#;

const TARGET: &str = r#"
[[target]]
name = "billing"
protocol = "postgres"
host = "billing.internal"

[[target.account]]
default = true
user = "app"
password = { vault = "billing" }
"#;

fn parse(text: &str) -> Result<Applied, Problems> {
    Applied::parse(text, "dir/a.toml", PROTOCOLS).map(|(file, _)| file)
}

/// Problems on one line.
fn flat(problems: &Problems) -> String {
    problems.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The merged configuration of the gateway's own and some files, or all problems as text, each on one line.
fn merged(own: &str, files: &[&str]) -> Result<Config, String> {
    let own = parse_str(own, "etc/own.toml", PROTOCOLS).unwrap_or_else(|p| panic!("{p}"));
    let mut parts = Vec::new();
    for (n, text) in files.iter().enumerate() {
        parts.push(Applied::parse(text, &format!("dir/{n}.toml"), PROTOCOLS).map_err(|p| flat(&p))?.0);
    }
    merge(&own.config, &own.source, &parts).map(|(config, _)| config).map_err(|p| flat(&p))
}

#[test]
fn what_is_applied_stands_beside_what_is_configured() {
    let tag = "[[tag]]\ntarget = \"orders\"\ncolumn = \"**.iban\"\ntag = \"pii.iban\"\n\
               [[tag]]\ntarget = \"billing\"\ncolumn = \"**.iban\"\ntag = \"pii.iban\"\n";
    let config = merged(OWN, &[tag, TARGET, ""]).unwrap();
    let names: Vec<&str> = config.targets.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["orders", "billing"]);
    let tags: Vec<usize> = config.targets.iter().map(|t| t.tagging.rules.len()).collect();
    assert_eq!(tags, [2, 1]);
    let own = parse_str(OWN, "etc/own.toml", PROTOCOLS).unwrap().config;
    assert_eq!(merged(OWN, &[]).unwrap(), own, "nothing applied is nothing changed");
    let with_ca = TARGET.replace("[[target.account]]", "[target.tls]\nca_pem = \"PEM\"\n\n[[target.account]]");
    assert_eq!(merged(OWN, &[&with_ca]).unwrap().targets[1].tls.ca_pem.as_deref(), Some("PEM"));
}

#[test]
fn nothing_of_the_gateways_machine_can_be_named() {
    let with = |from: &str, to: &str| {
        assert!(TARGET.contains(from), "{from}");
        TARGET.replacen(from, to, 1)
    };
    let tls = |line: &str| with("[[target.account]]", &format!("[target.tls]\n{line}\n\n[[target.account]]"));
    for (text, key) in [
        (with("{ vault = \"billing\" }", "{ file = \"/etc/shadow\" }"), "`file`"),
        (with("{ vault = \"billing\" }", "{ env = \"AWS_SECRET_ACCESS_KEY\" }"), "`env`"),
        (with("password = { vault = \"billing\" }", "key = { file = \"/root/.ssh/id_ed25519\" }"), "`file`"),
        (with("password = { vault = \"billing\" }", "certificate = true"), "`certificate`"),
        (with("host = \"billing.internal\"", "socket = \"/run/docker.sock\""), "`socket`"),
        (with("host = \"billing.internal\"", "host = \"h\"\ntags = [\"/etc/passwd\"]"), "`tags`"),
        (with("host = \"billing.internal\"", "host = \"h\"\nretention_days = 1"), "`retention_days`"),
        (with("host = \"billing.internal\"", "host = \"h\"\nbudget_bytes = \"1MiB\""), "`budget_bytes`"),
        (tls("ca = \"/etc/passwd\""), "`ca`"),
        (tls("certificate = \"/etc/passwd\"\nkey = \"/etc/passwd\""), "`key`"),
    ] {
        let wrong = flat(&parse(&text).expect_err(&text));
        assert!(wrong.contains(key) && wrong.contains("cannot be applied"), "{wrong}");
        assert!(wrong.contains("dir/a.toml:"), "{wrong}");
    }
}

#[test]
fn nothing_but_targets_and_tags_can_be_applied() {
    for section in [
        "[gateway]\ndata_dir = \"/tmp\"",
        "[[listener]]\nprotocol = \"postgres\"\naddress = \"0.0.0.0:1\"",
        "[api]\naddress = \"0.0.0.0:1\"",
        "[store]\nbackend = \"sqlite\"",
        "[[issuer]]\nlabel = \"x\"",
        "[[spiffe]]\ntrust_domain = \"x\"",
        "[local_issuer]",
        "[identity]",
        "[policy]\nfiles = [\"/etc/*\"]",
        "[recording]\ndir = \"/tmp\"",
        "[telemetry]",
        "[vault]\nkey = { command = [\"sh\"] }",
    ] {
        let wrong = flat(&parse(section).expect_err(section));
        assert!(wrong.contains("unknown key") && wrong.contains("no settings of the gateway"), "{wrong}");
    }
    let own_name = TARGET.replace("\"billing\"\nprotocol", "\"countersign\"\nprotocol");
    assert!(flat(&parse(&own_name).unwrap_err()).contains("the gateway's own name"));
}

#[test]
fn what_is_in_both_is_told_with_both_places() {
    let orders = TARGET.replace("\"billing\"\nprotocol", "\"orders\"\nprotocol");
    let tag = |target: &str, column: &str, tag: &str| {
        format!("[[tag]]\ntarget = \"{target}\"\ncolumn = \"{column}\"\ntag = \"{tag}\"\n")
    };
    let twice = tag("billing", "**.x", "pii.name");
    for (files, words) in [
        (vec![orders.as_str()], &["two targets \"orders\"", "dir/0.toml:3", "own configuration, etc/own.toml:16"][..]),
        (vec![TARGET, TARGET], &["two targets \"billing\"", "dir/1.toml:3", "the first is dir/0.toml:3"]),
        (vec![&tag("orders", "**.email", "pii.email")], &["is there twice", "etc/own.toml:16"]),
        (vec![TARGET, &twice, &twice], &["is there twice", "dir/2.toml:2", "the first is dir/1.toml:2"]),
        (vec![&tag("order", "**.x", "pii.name")], &["no target \"order\"", "did you mean \"orders\"?"]),
    ] {
        let wrong = merged(OWN, &files).expect_err("a conflict");
        assert!(words.iter().all(|w| wrong.contains(w)), "without {words:?}: {wrong}");
    }
    // The same column with another tag is no repeat: all tags count.
    assert!(merged(OWN, &[&tag("orders", "**.email", "pii.name")]).is_ok());
}

#[test]
fn adv_applied_targets_do_not_get_the_secrets_of_configured_ones() {
    for (name, place) in [("orders", "etc/own.toml:32"), ("dashboard", "etc/own.toml:10")] {
        let thief = TARGET.replace("vault = \"billing\"", &format!("vault = \"{name}\""));
        let wrong = merged(OWN, &[&thief]).expect_err(name);
        assert!(wrong.contains(&format!("the secret \"{name}\" belongs to")) && wrong.contains(place), "{wrong}");
        let key = thief.replace("password =", "key =");
        assert!(merged(OWN, &[&key]).is_err());
    }
    let none = OWN.replace("[vault]\nkey = { file = \"vault.key\" }", "");
    let none =
        none.replace("{ vault = \"orders\" }", "{ env = \"Y\" }").replace("secret = { vault = \"dashboard\" }\n", "");
    assert!(merged(&none, &[TARGET]).unwrap_err().contains("no [vault]"));
}

#[test]
fn counts_have_limits_over_all_files() {
    let target = |n: usize| TARGET.replace("\"billing\"\nprotocol", &format!("\"t{n}\"\nprotocol"));
    let many: String = (0..schema::TARGETS_MAX - 1).map(target).collect();
    assert_eq!(merged(OWN, &[&many]).unwrap().targets.len(), schema::TARGETS_MAX);
    assert!(merged(OWN, &[&many, &target(schema::TARGETS_MAX)]).unwrap_err().contains("too many targets"));
    let tag = |n: usize| format!("[[tag]]\ntarget = \"orders\"\ncolumn = \"**.c{n}\"\ntag = \"pii.name\"\n");
    // One is the target's own.
    let many: String = (0..schema::TAG_RULES_MAX - 1).map(tag).collect();
    assert!(merged(OWN, &[&many]).is_ok());
    assert!(merged(OWN, &[&many, &tag(schema::TAG_RULES_MAX)]).unwrap_err().contains("rules about tags"));
}

#[test]
fn all_problems_are_told_up_to_a_limit() {
    let wrong: String = (0..PROBLEMS_MAX + 5).map(|n| format!("k{n} = 1\n")).collect();
    let problems = parse(&wrong).unwrap_err();
    assert_eq!((problems.len(), problems.more()), (PROBLEMS_MAX, 5));
    assert!(parse(&"#".repeat(1 << 20)).is_ok());
    assert!(parse(&"#".repeat((1 << 20) + 1)).unwrap_err().to_string().contains("too large"));
}

#[test]
fn secrets_are_asked_for_by_name() {
    let file = parse(TARGET).unwrap();
    let (name, warning) = file.secrets().next().unwrap();
    assert_eq!((name, warning.line, warning.severity), ("billing", 10, Severity::Warning));
    assert!(warning.suggestion.unwrap().contains("countersign credentials set billing"));
    let at = file.problem_of(&TargetName::parse("billing").unwrap(), "odd").unwrap();
    assert_eq!((at.line, at.message.as_str()), (3, "odd"));
}

proptest! {
    #[test]
    fn any_text_gives_a_file_or_problems(text in "(\\PC|\n|[\\[\\]={}\"'.,#]|target|tag|name|tls|account){0,60}") {
        let _ = parse(&text).map_err(|p| (p.to_string(), p.to_json()));
    }
}
