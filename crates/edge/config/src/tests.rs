//! The whole crate as its users see it: good files, bad files, and what people read about the bad ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_model::{IdentityKind, RecordLevel, Tag, TagRule, Tagging};
use proptest::prelude::*;

use super::*;

mod receivers;

const PROTOCOLS: &[ProtocolFacts] =
    &[ProtocolFacts { name: "postgres", port: 5432 }, ProtocolFacts { name: "ssh", port: 22 }];

/// The least that is accepted.
const LEAST: &str = r#"
[[listener]]
protocol = "postgres"
address = "127.0.0.1:6432"

[local_issuer]

[[target]]
name = "orders"
protocol = "postgres"
host = "db.internal"

[[target.account]]
default = true
user = "app"
"#;

fn parse(text: &str) -> Result<Loaded, Problems> {
    parse_str(text, "dir/countersign.toml", PROTOCOLS)
}

fn good(text: &str) -> Loaded {
    parse(text).unwrap_or_else(|p| panic!("{p}"))
}

/// `LEAST` with one line replaced, or lines added at the end of a section.
fn with(from: &str, to: &str) -> String {
    assert!(LEAST.contains(from), "{from}");
    LEAST.replacen(from, to, 1)
}

/// What is not as it should be: exactly one problem, which says all of `words` somewhere.
fn objection(text: &str, words: &[&str]) -> Option<String> {
    let (shown, count) = match parse(text) {
        Ok(l) => (l.warnings.to_string(), l.warnings.len()),
        Err(p) => (p.to_string(), p.len()),
    };
    let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    let lacks: Vec<_> = words.iter().filter(|w| !flat.contains(*w)).collect();
    (count != 1 || !lacks.is_empty()).then(|| format!("{count} problems, without {lacks:?}, for:\n{text}\n{shown}"))
}

#[test]
fn the_least_configuration_has_these_defaults() {
    let loaded = good(LEAST);
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let c = loaded.config;
    assert_eq!(c.gateway.data_dir, PathBuf::from("/var/lib/countersign"));
    assert_eq!(c.gateway.drain_timeout, Duration::from_secs(30));
    assert_eq!((c.gateway.workers, c.gateway.connections_max), (None, 10_000));
    assert_eq!(c.listeners[0].plaintext, Plaintext::Loopback);
    assert_eq!((c.listeners[0].login, c.listeners[0].oauth_issuer.as_deref()), (ListenerLogin::Password, None));
    assert_eq!(c.listeners[0].oauth_scope, "openid");
    assert_eq!(c.listeners[0].tls, Certificate::Generated);
    assert_eq!(c.api.address, "127.0.0.1:7070".parse::<SocketAddr>().unwrap());
    let path = PathBuf::from("/var/lib/countersign/countersign.db");
    assert_eq!(c.store, StoreSpec::Sqlite { path, timeout: Duration::from_secs(5) });
    let t = &c.targets[0];
    assert_eq!(t.endpoint, Endpoint::Tcp { host: "db.internal".into(), port: 5432 });
    assert_eq!(t.tls.mode, TlsMode::VerifyFull);
    assert_eq!((t.record, t.durable, t.budget_bytes), (RecordLevel::Statements, false, None));
    assert_eq!(
        t.accounts,
        [Account { matches: Match::Default, user: "app".into(), password: None, key: None, certificate: false }]
    );
    assert_eq!(c.policy.patterns, ["dir/policies/*.cedar"]);
    assert_eq!(c.recording.dir, PathBuf::from("/var/lib/countersign/recordings"));
    assert_eq!(c.recording.segment_bytes, 64 << 20);
    let issuer = LocalIssuer {
        url: None,
        audience: "countersign".into(),
        token_lifetime: Duration::from_secs(3600),
        refresh_lifetime: Duration::from_secs(43_200),
        clients: Vec::new(),
    };
    assert_eq!(c.local_issuer, Some(issuer));
    assert_eq!(c.vault, None);
}

#[test]
fn everything_can_be_said() {
    let loaded = good(include_str!("../tests/good.toml"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let c = loaded.config;
    assert_eq!(c.gateway.data_dir, PathBuf::from("dir/state"));
    assert_eq!(c.gateway.workers, Some(4));
    assert_eq!(c.gateway.drain_timeout, Duration::from_secs(120));
    let files = Certificate::Files { certificate: "dir/tls/gw.pem".into(), key: "/etc/tls/gw.key".into() };
    assert_eq!(c.listeners[1].tls, files);
    assert_eq!(c.listeners[1].login, ListenerLogin::OAuthBearer);
    let sent_to = (c.listeners[1].oauth_issuer.as_deref(), c.listeners[1].oauth_scope.as_str());
    assert_eq!(sent_to, (Some("https://id.example.com"), "openid groups"));
    assert_eq!(
        c.store,
        StoreSpec::Postgres { url: UrlSource::Env("STORE_URL".into()), timeout: Duration::from_secs(3) }
    );
    let t = &c.targets[0];
    let rule = |column: &str, data_type: &str, tag: &str| TagRule {
        column: column.to_owned(),
        data_type: data_type.to_owned(),
        tag: Tag::parse(tag).unwrap(),
    };
    let rules = vec![rule("**.email", "citext", "pii.email"), rule("public.customers.*", "", "pii")];
    assert_eq!((&t.tagging.rules, t.tagging.comments), (&rules, false));
    let detect: Vec<&str> = t.tagging.detect.iter().map(Tag::as_str).collect();
    let secrets = ["secret.connection", "secret.generic", "secret.jwt", "secret.key", "secret.private_key"];
    assert_eq!(detect, [&["pii.card"][..], &secrets].concat());
    assert_eq!(c.targets[1].tagging, Tagging { comments: true, ..Tagging::default() });
    assert_eq!(t.labels.get("env").map(String::as_str), Some("prod"));
    assert_eq!((t.record, t.durable, t.retention_days), (RecordLevel::Results, true, Some(90)));
    assert_eq!(t.budget_bytes, Some(10_000_000_000));
    let any = Match::Any { groups: vec!["dba".into()], identities: vec!["dora".into()] };
    assert_eq!(t.accounts[0].matches, any);
    assert_eq!(t.accounts[0].password, Some(SecretSource::Vault("orders-dba".into())));
    assert_eq!(t.accounts[1].password, Some(SecretSource::File("/run/secrets/orders".into())));
    assert_eq!(t.accounts[2].password, Some(SecretSource::Env("ORDERS_PASSWORD".into())));
    assert_eq!(c.targets[1].endpoint, Endpoint::Unix("/run/postgresql/.s.PGSQL.5432".into()));
    assert_eq!(c.targets[1].tls.mode, TlsMode::Disable);
    let i = &c.issuers[0];
    assert_eq!((i.kind, i.leeway), (IdentityKind::Machine, Duration::from_secs(10)));
    let when = &i.mappings[0].when;
    let refs = vec!["refs/heads/main".to_owned(), "refs/heads/next".to_owned()];
    assert_eq!(when.get("ref"), Some(&ClaimValue::AnyOf(refs)));
    assert_eq!(when.get("repository_id"), Some(&ClaimValue::Text("12345".into())));
    assert_eq!(when.get("run_attempt"), Some(&ClaimValue::Integer(1)));
    assert_eq!((i.label.as_str(), i.groups_prefix.as_deref(), i.accept_unmapped), ("github", Some("gh:"), Some(false)));
    assert_eq!(c.vault.map(|v| v.key), Some(KeySource::Command(vec!["/usr/bin/kms".into(), "decrypt".into()])));
    assert_eq!(c.telemetry.log, LogFormat::Json);
}

#[test]
fn fifteen_mistakes_are_all_told_at_once() {
    let text = include_str!("../tests/mistakes.toml");
    let problems = parse_str(text, "countersign.toml", PROTOCOLS).expect_err("it is full of mistakes");
    let shown = problems.to_string();
    golden("mistakes.txt", &shown);
    golden("mistakes.json", &(problems.to_json() + "\n"));
    assert!(problems.len() >= 15, "{shown}");
    for line in shown.lines() {
        assert!(line.chars().count() <= 80, "wider than 80: {line}");
    }
    assert!(!shown.contains("hunter2") && !problems.to_json().contains("hunter2"), "{shown}");
}

/// This package's folder: cargo says it at run time, because a target folder may have been filled by another clone.
fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap().into()
}

/// Compares with the file under `tests/`; `COUNTERSIGN_BLESS=1` rewrites it.
#[track_caller]
fn golden(name: &str, have: &str) {
    let path = package().join("tests").join(name);
    if std::env::var_os("COUNTERSIGN_BLESS").is_some() {
        std::fs::write(&path, have).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(have, want, "{} differs; if that is right, run again with COUNTERSIGN_BLESS=1", path.display());
}

#[test]
fn mistakes_one_by_one() {
    let after_target = |lines: &str| with("host = \"db.internal\"", &format!("host = \"db.internal\"\n{lines}"));
    let top = |lines: &str| format!("{lines}\n{LEAST}");
    let end = |lines: &str| format!("{LEAST}\n{lines}");
    let cases: Vec<(String, &[&str])> = vec![
        (
            end("account = []").replace("[[target.account]]\ndefault = true\nuser = \"app\"\n", ""),
            &["there is no [[target.account]]"],
        ),
        (with("address =", "adress ="), &["unknown key `adress`", "did you mean `address`?"]),
        (with("\"127.0.0.1:6432\"", "\"localhost:6432\""), &["write \"127.0.0.1:6432\""]),
        (with("\"127.0.0.1:6432\"", "\":6432\""), &["0.0.0.0:6432"]),
        (with("\"127.0.0.1:6432\"", "\"::1\""), &["[::1]:PORT"]),
        (with("\"127.0.0.1:6432\"", "6432"), &["found: the number 6432"]),
        (with("\"postgres\"", "\"postgers\""), &["did you mean \"postgres\"?"]),
        (with("[[listener]]", "[listener]"), &["two brackets"]),
        (with("host = \"db.internal\"", ""), &["the target has no address"]),
        (with("\"db.internal\"", "\"db.internal:5432\""), &["holds a port"]),
        (with("\"db.internal\"", "\"/run/postgresql\""), &["a path is given by `socket`"]),
        (after_target("socket = \"/run/x\""), &["both `host` and `socket`"]),
        (after_target("port = 0"), &["from 1 to 65535"]),
        (after_target("port = 65536"), &["from 1 to 65535"]),
        (after_target("budget_bytes = \"10 gigs\""), &["budget_bytes", "10GB"]),
        (after_target("durable = \"true\""), &["write true without quotes"]),
        (after_target("tls = { mode = \"verify_full\" }"), &["did you mean \"verify-full\"?"]),
        (after_target("tls = { certificate = \"a.pem\" }"), &["`certificate` is given without `key`"]),
        (after_target("tls = { mode = \"require\" }"), &["warning", "pose as the target"]),
        (after_target("tls = { mode = \"disable\" }"), &["warning", "in the clear"]),
        (after_target("labels = [\"prod\"]"), &["a table of texts"]),
        (with("name = \"orders\"", "name = \"or ders\""), &["a name: 1 to 63"]),
        (with("default = true", ""), &["nobody would use this account"]),
        (with("default = true", "default = true\ngroups = [\"dba\"]"), &["for some or for everybody"]),
        (end("[[target.account]]\ndefault = true\nuser = \"x\""), &["never used"]),
        (end("password = { env = \"A\", file = \"b\" }"), &["2 sources", "exactly one of"]),
        (end("password = {}"), &["0 sources"]),
        (end("password = { env = \"$A=b\" }"), &["not the name of a variable"]),
        (end("password = { vault = \"x\" }"), &["there is no [vault]"]),
        (end("certificate = true"), &["there is no [vault]"]),
        (end("certificate = true\nkey = { env = \"A\" }"), &["neither password nor key"]),
        (end("password = { environment = \"x\" }"), &["did you mean `env`?"]),
        (top("[gateway]\ndrain_timeout_s = \"30 parsecs\""), &["\"30s\""]),
        (top("[gateway]\nworkers = 0"), &["from 1 to 1024"]),
        (top("[gatway]\nworkers = 1"), &["did you mean `gateway`?"]),
        (top("[api]\naddress = \"127.0.0.1:6432\""), &["two listeners share"]),
        (top("[api]\naddress = \"0.0.0.0:7070\""), &["warning", "the API has no TLS"]),
        (top("[api]\ntls = \"generate\""), &["did you mean \"generated\"?"]),
        (top("[store]\nurl = { env = \"X\" }"), &["`url` has no use here"]),
        (top("[store]\nbackend = \"postgres\""), &["`url` is missing"]),
        (top("[store]\nbackend = \"postgres\"\nurl = \"postgres://u:hunter2@h/d\""), &["found: a text", "{ env"]),
        (top("[telemetry]\nlevel = \"inof\""), &["did you mean \"info\"?"]),
        (top("[telemetry]\notlp_endpoint = \"localhost:4318\""), &["starts with http://"]),
        (top("[policy]\nfiles = \"a.cedar\""), &["write [\"a.cedar\"]"]),
        (top("[policy]\nfiles = []"), &["warning", "everything is denied"]),
        (top("[recording]\nsegment_bytes = 1"), &["from 262144 to"]),
        (top("[vault]\nkey = { command = [] }"), &["the command is empty"]),
        (with("[local_issuer]", ""), &["there is no issuer"]),
        (end(CLIENT).replace("\"console\"", "\"countersign-cli\""), &["the id of `countersign login`"]),
        (end(CLIENT).replace("\"console\"", "\"countersign\""), &["the audience of tokens"]),
        (end(CLIENT) + CLIENT, &["two clients with this id"]),
        (end(CLIENT).replace("\"https://console.example/back\"", ""), &["could not be sent back"]),
        (end(CLIENT).replace("https", "http"), &["an open wire", "http://console.example/back"]),
        (end(CLIENT).replace("/back", "/back#x"), &["no fragment"]),
        (end(CLIENT).replace("https://", "countersign:"), &["an open wire"]),
        (end(CLIENT) + "secret = { vault = \"x\" }", &["there is no [vault]"]),
        (end(CLIENT) + "secret = \"hunter2\"", &["found: a text", "{ env"]),
        (end(ISSUER).replace("leeway_s = 5", "leeway_s = 61"), &["at most 60 seconds", "61 seconds"]),
        (end(ISSUER).replace("https", "http"), &["plain HTTP"]),
        (end(ISSUER).replace("\"RS256\"", "\"HS256\""), &["\"RS256\""]),
        (end(ISSUER).replace("\"RS256\"", ""), &["no signature"]),
        (end(ISSUER).replace("[\"countersign\"]", "[]"), &["a token for anybody"]),
        (end(SPIFFE).replace("\"td.example\"", "\"spiffe://td.example\""), &["not the name of a trust domain"]),
        (end(SPIFFE).replace("\"gw\"", "\"\""), &["a JWT-SVID for anybody"]),
        (end(SPIFFE).replace("bundle_file = \"b\"", ""), &["where the trust bundle is"]),
        (end(SPIFFE) + "bundle_url = \"https://s.example/b\"", &["both `bundle_file` and `bundle_url`"]),
        (end(SPIFFE).replace("bundle_file = \"b\"", "bundle_url = \"http://s.example/b\""), &["over plain HTTP"]),
        (end(SPIFFE) + "max_bundle_age_s = 299", &["dropped before it is fetched"]),
        (end(SPIFFE) + "leeway_s = 61", &["from 0 to 60"]),
        (end(SPIFFE) + SPIFFE, &["two trust domains with this name"]),
        (end(SAML).replace(SAML_VAULT, ""), &["there is no [vault]"]),
        (end(SAML).replace("metadata_file = \"m\"", ""), &["where the metadata is"]),
        (end(SAML) + "metadata_url = \"https://s.example/m\"", &["both `metadata_file` and `metadata_url`"]),
        (end(SAML).replace("metadata_file = \"m\"", "metadata_url = \"http://s.example/m\""), &["over plain HTTP"]),
        (end(SAML) + "max_metadata_age_s = 3599", &["dropped before it is fetched"]),
        (
            end(SAML) + "[[scim]]\nissuer = \"crop\"\ntoken = { env = \"T\" }",
            &["no issuer with this label", "did you mean \"corp\""],
        ),
        (end(SAML) + "[[scim]]\nissuer = \"corp\"", &["token"]),
        (end(SAML) + "[[scim]]\nissuer = \"corp\"\ntoken = \"x\"", &["found: a text"]),
        (end(SAML) + "leeway_s = 61", &["from 0 to 60"]),
        (end(SAML) + "name_id_format = \"transient\"", &["\"persistent\""]),
        (end(SAML) + "groups_attribut = \"g\"", &["groups_attribute"]),
        (end(SAML) + &SAML.replace(SAML_VAULT, ""), &["two issuers with this URL"]),
        (end(ISSUER) + "[issuer.token_review]\nurl = \"http://k.example\"\ntoken_file = \"t\"", &["over plain HTTP"]),
        (end(ISSUER) + "[issuer.token_review]\nurl = \"https://k.example\"", &["token_file"]),
        (end(ISSUER) + "[[issuer.mapping]]\nwhen = {}\nkind = \"agent\"", &["match every token"]),
        (end(ISSUER) + "[[issuer.mapping]]\nwhen = { sub = \"a\" }", &["changes nothing"]),
        (end(ISSUER) + ISSUER, &["two issuers with this URL", "line 19"]),
        (end(ISSUER) + &ISSUER.replace("example.test", "example.test/2"), &["two issuers with this label"]),
        (end(ISSUER).replace("id.example.test", "[::1]"), &["`label` is missing"]),
        (end(ISSUER) + "keys_refresh_s = \"2d\"", &["dropped before"]),
        (end(ISSUER) + "types = []", &["no token"]),
        (end(ISSUER) + "resource = \"gw\"", &["does not name a resource", "RFC 8707"]),
        (end(ISSUER) + "resource = \"https://gw.example/#a\"", &["does not name a resource"]),
        (end(ISSUER) + "resource = \"1gw:x\"", &["does not name a resource"]),
        (end(ISSUER) + "resource = \"urn:\"", &["does not name a resource"]),
        (end(ISSUER) + "resource = \"urn:a b\"", &["does not name a resource"]),
        (end(ISSUER) + "[[issuer.mapping]]\nwhen = { sub = 1.5 }\nkind = \"agent\"", &["a list of texts"]),
    ];
    let objections: Vec<String> = cases.iter().filter_map(|(text, words)| objection(text, words)).collect();
    assert!(objections.is_empty(), "{}", objections.join("\n----\n"));
}

const CLIENT: &str = r#"
[[local_issuer.client]]
id = "console"
redirect_uris = ["https://console.example/back"]
"#;

#[test]
fn people_sign_in_to_the_clients_that_are_configured() {
    let more = "[[local_issuer.client]]\nid = \"tool\"\nredirect_uris = [\"http://[::1]/\", \"http://localhost/x\"]\nsecret = { env = \"TOOL\" }";
    let loaded = good(&format!("{LEAST}\n{CLIENT}{more}"));
    let clients = loaded.config.local_issuer.expect("it is there").clients;
    let console =
        LocalClient { id: "console".into(), redirect_uris: vec!["https://console.example/back".into()], secret: None };
    assert_eq!(clients[0], console);
    assert_eq!(
        (clients[1].redirect_uris.len(), clients[1].secret.clone()),
        (2, Some(SecretSource::Env("TOOL".into())))
    );
}

const SPIFFE: &str = "[[spiffe]]\ntrust_domain = \"td.example\"\naudiences = [\"gw\"]\nbundle_file = \"b\"\n";
const SAML_VAULT: &str = "[vault]\nkey = { file = \"k\" }\n";
const SAML: &str = "[vault]\nkey = { file = \"k\" }\n[[saml]]\nlabel = \"corp\"\nentity_id = \"https://idp.example\"\nmetadata_file = \"m\"\n";
const ISSUER: &str = r#"
[[issuer]]
url = "https://id.example.test"
audiences = ["countersign"]
algorithms = ["RS256"]
leeway_s = 5
"#;

#[test]
fn a_resource_is_any_absolute_uri() {
    for uri in ["urn:countersign", "https://gw.example/x?y=1", "api://0f5c/gw"] {
        let loaded = good(&format!("{}resource = \"{uri}\"", end_with_issuer()));
        assert_eq!(loaded.config.issuers[0].resource.as_deref(), Some(uri));
    }
    assert_eq!(good(&end_with_issuer()).config.issuers[0].resource, None);
}

#[test]
fn others_can_point_into_the_file() {
    let loaded = good(&end_with_issuer());
    let p = loaded.source.problem(Severity::Warning, "issuer.1.leeway_s", "too much");
    assert_eq!((p.line, p.column, p.key.as_str()), (22, 12, "issuer.1.leeway_s"));
    assert!(p.to_string().contains("leeway_s = 5"), "{p}");
    let p = loaded.source.problem(Severity::Error, "issuer.1.types.3", "not written: the section is shown");
    assert_eq!(p.line, 18);
    let p = loaded.source.problem(Severity::Error, "nothing", "no such key");
    assert_eq!((p.line, p.column), (1, 1));
}

fn end_with_issuer() -> String {
    format!("{LEAST}\n{ISSUER}")
}

#[test]
fn adv_008_a_password_in_the_file_is_never_shown() {
    for line in [
        "password = \"hunter2\"",
        "pasword = \"hunter2\"",
        "password = \"\"\"\nhunter2\n\"\"\"",
        "password = 'hunter2",
        "password = \"\"\"\nhunter2",
        "password = \"\"\"hunter2",
        "password = \'\'\'\nhunter2\n",
        "password = [\n  hunter2",
        "password = [\n  \"hunter2\" x ]",
        "password = { env = \"\"\"\nhunter2",
        "password = hunter2",
        "db_password_old = \"hunter2\"",
        "\"password\" = \"hunter2\"",
        "secret = \"hunter2\"",
        "password = [\"hunter2\"]",
        "password = { value = \"x\", token = \"hunter2\" }",
        "x = \"postgres://u:hunter2@h/d\"",
        "user2 = 1 # \npassword = \"hunter2\" x",
        "nested = { user = 1, password = \"hunter2\" }",
    ] {
        let text = format!("{LEAST}\n{line}\n");
        let problems = parse(&text).expect_err(line);
        for shown in [problems.to_string(), problems.to_json(), format!("{problems:?}")] {
            assert!(!shown.contains("hunter2"), "{line}:\n{shown}");
        }
    }
}

#[test]
fn syntax_errors_come_with_their_places_and_without_guesses() {
    let problems = parse("[gateway]\nworkers = 1x\nask = \"a\n[[listener]]\nadress = 2\n").expect_err("broken");
    assert!(problems.iter().any(|p| p.message.starts_with("not TOML") && p.line == 2), "{problems}");
    assert!(problems.iter().any(|p| p.message.starts_with("not TOML") && p.line == 3), "{problems}");
    assert!(problems.iter().any(|p| p.message.contains("adress")), "{problems}");
    assert!(!problems.iter().any(|p| p.message.contains("there is no [[target]]")), "{problems}");
    let problems = parse("[gateway\nworker = 1\n[[listener]]\nx = 2\n").expect_err("a broken header");
    assert!(problems.iter().all(|p| p.message.starts_with("not TOML")), "{problems}");
}

#[test]
fn limits_at_their_edges() {
    let room = usize::try_from(FILE_BYTES_MAX).unwrap() - LEAST.len() - 1;
    assert!(parse(&format!("{LEAST}#{}", "x".repeat(room))).is_ok());
    let too_large = parse(&format!("{LEAST}#{}", "x".repeat(room + 1))).expect_err("one byte too many");
    assert_eq!((too_large.len(), too_large.iter().next().unwrap().line), (1, 0));

    let listeners: String = (0..65)
        .map(|n| format!("[[listener]]\nprotocol = \"postgres\"\naddress = \"127.0.0.1:{}\"\n", 9000 + n))
        .collect();
    let rest = with("[[listener]]\nprotocol = \"postgres\"\naddress = \"127.0.0.1:6432\"\n", "");
    let cut = listeners.rfind("[[listener]]").unwrap();
    assert!(parse(&format!("{rest}\n{}", &listeners[..cut])).is_ok(), "64 are fine");
    assert_eq!(objection(&format!("{rest}\n{listeners}"), &["too many [[listener]]", "at most 64"]), None);

    let many: String = (0..=PROBLEMS_MAX).map(|n| format!("unknown{n} = 1\n")).collect();
    let problems = parse(&format!("{many}{LEAST}")).expect_err("many");
    assert_eq!((problems.len(), problems.more()), (PROBLEMS_MAX, 1));
    assert!(problems.to_string().contains("and 1 more"));

    let deep = format!("x = {}1{}", "[".repeat(5_000), "]".repeat(5_000));
    assert!(parse(&deep).is_err());
}

#[test]
fn hostile_shapes_of_the_largest_size_are_read_in_time() {
    let fill = |item: &dyn Fn(usize) -> String| {
        let mut out = String::new();
        for n in 0.. {
            let next = item(n);
            if out.len() + next.len() + 2 > usize::try_from(FILE_BYTES_MAX).unwrap() {
                break;
            }
            out.push_str(&next);
        }
        out
    };
    for (what, text) in [
        ("unknown keys", fill(&|n| format!("a{n}=1\n"))),
        (
            "secrets on one line",
            format!("x=[{}]", fill(&|_| "{password=\"hunter2\"},".to_owned()).trim_end_matches(',')),
        ),
        ("unknown keys on one line", format!("gateway={{{}}}", fill(&|n| format!("a{n}=1,")))),
        ("targets", fill(&|_| "[[target]]\n".to_owned())),
        ("broken lines", fill(&|_| "= \n".to_owned())),
        ("equals signs", fill(&|_| "=".to_owned())),
        ("one long line", fill(&|_| "é".to_owned())),
        ("a long key", format!("{}=1", "k".repeat(1_000_000))),
    ] {
        let started = std::time::Instant::now();
        let problems = parse(&text).expect_err(what);
        let shown = problems.to_string();
        let took = started.elapsed();
        assert!(took < Duration::from_secs(30), "{what}: {took:?}");
        assert!(shown.len() < 1 << 20 && !shown.contains("hunter2"), "{what}: {} bytes", shown.len());
    }
}

#[test]
fn the_demo_is_configured_well() {
    let path = package().join("../../../demo/countersign.toml");
    let loaded = good(&std::fs::read_to_string(path).unwrap());
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
}

#[test]
fn what_is_referred_to_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("countersign.toml");
    std::fs::create_dir(dir.path().join("policies")).unwrap();
    let write = |text: &str| {
        std::fs::write(&path, text).unwrap();
        load(&path, PROTOCOLS).map(|_| ()).map_err(|p| p.to_string())
    };
    let none = write(LEAST).expect_err("no policy");
    assert!(none.contains("matches no file"), "{none}");
    std::fs::write(dir.path().join("policies/a.cedar"), "").unwrap();
    write(LEAST).expect("all is there");

    let unset = write(&format!("{LEAST}\npassword = {{ env = \"COUNTERSIGN_TEST_NEVER_SET\" }}\n")).expect_err("unset");
    assert!(unset.contains("COUNTERSIGN_TEST_NEVER_SET is not set"), "{unset}");
    write(&format!("{LEAST}\npassword = {{ env = \"PATH\" }}\n")).expect("PATH is set");

    let gone = write(&format!("{LEAST}\npassword = {{ file = \"gone\" }}\n")).expect_err("no file");
    assert!(gone.contains("does not exist"), "{gone}");
    let folder = write(&format!("{LEAST}\npassword = {{ file = \"policies\" }}\n")).expect_err("a folder");
    assert!(folder.contains("is a folder"), "{folder}");

    std::fs::write(&path, [0x61, 0xff]).unwrap();
    assert!(load(&path, PROTOCOLS).expect_err("not UTF-8").to_string().contains("byte 1 is wrong"));
    let absent = load(&dir.path().join("absent.toml"), PROTOCOLS).expect_err("absent").to_string();
    assert!(absent.contains("the file does not exist") && absent.contains("absent.toml"), "{absent}");
    let sparse = std::fs::File::create(&path).unwrap();
    sparse.set_len(FILE_BYTES_MAX + 1).unwrap();
    assert!(load(&path, PROTOCOLS).expect_err("too large").to_string().contains("too large"));
    assert!(load(Path::new("/dev/zero"), PROTOCOLS).expect_err("a device").to_string().contains("not a regular file"));
}

#[test]
fn every_default_in_the_schema_fits_its_form_and_its_documentation() {
    for section in schema::SECTIONS {
        for key in section.keys {
            assert!(key.doc.ends_with('.') && key.doc.len() > 8, "{} {}", section.header, key.name);
            if let schema::Presence::Default(literal) = key.presence {
                assert!(read::default_fits(key, literal), "{} {} = {literal}", section.header, key.name);
            }
        }
    }
}

#[test]
fn the_reference_in_the_docs_is_the_one_in_the_code() {
    const START: &str = "<!-- reference: made from crates/edge/config/src/schema; COUNTERSIGN_BLESS=1 cargo test -p countersign-config -->\n";
    let path = package().join("../../../docs/configuration.md");
    let page = std::fs::read_to_string(&path).expect("docs/configuration.md");
    let (hand, generated) = page.split_once(START).expect("the page has the mark of the reference");
    let want = format!("\n{}\n", reference().trim_end());
    if std::env::var_os("COUNTERSIGN_BLESS").is_some() {
        std::fs::write(&path, format!("{hand}{START}{want}")).unwrap();
        return;
    }
    assert_eq!(generated, want, "docs/configuration.md is old: run with COUNTERSIGN_BLESS=1");
    let example = hand.split_once("```toml\n").and_then(|(_, r)| r.split_once("```")).expect("an example").0;
    let loaded = good(example);
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
}

proptest! {
    #[test]
    fn any_text_gives_an_answer(text in "(\\PC|\n|[\\[\\]={}\"'.,#]){0,200}") {
        let _ = parse(&text).map_err(|p| (p.to_string(), p.to_json()));
    }

    #[test]
    fn a_configuration_cut_anywhere_gives_an_answer(cut in 0..2_000usize, junk in "\\PC{0,8}") {
        let text = include_str!("../tests/good.toml");
        let cut = text.floor_char_boundary(cut);
        let _ = parse(&format!("{}{junk}{}", &text[..cut], &text[cut..])).map_err(|p| p.to_string());
        let _ = parse(&text[..cut]).map_err(|p| p.to_string());
    }
}

#[test]
fn tags_that_could_not_work_are_told_of() {
    let tagged = |lines: &str| format!("{LEAST}\n{lines}\n");
    for (lines, words) in [
        ("[[target.tag]]\ncolumn = \"email\"\ntag = \"pii\"", vec!["fits no column", "\"**.email\" for that name"]),
        (
            "[[target.tag]]\ncolumn = \"customers.email\"\ntag = \"pii\"",
            vec!["fits no column", "public.customers.email"],
        ),
        ("[[target.tag]]\ncolumn = \"**.email\"\ntag = \"PII\"", vec!["`tag` is not as expected", "a-z, 0-9"]),
        ("[[target.tag]]\ncolumn = \"**.email\"", vec!["`tag` is missing"]),
        ("[[target.tag]]\ncolumn = \"**.email\"\ntag = \"pii\"\ntpye = \"x\"", vec!["did you mean `type`?"]),
        ("[target.masking]\ndetect = \"all\"", vec!["`detect` is not as expected", "\"none\" or \"default\""]),
        ("[target.masking]\ndetect = [\"pii.crad\"]", vec!["did you mean \"pii.card\"?"]),
        ("[target.masking]\ndetect = [\"pii.name\"]", vec!["pii.card, pii.email"]),
    ] {
        assert_eq!(objection(&tagged(lines), &words), None);
    }
    let detect = &good(&tagged("[target.masking]\ndetect = \"default\"")).config.targets[0].tagging.detect;
    assert!(detect.iter().any(|t| t.as_str() == "pii.card") && detect.iter().all(|t| t.as_str() != "pii.ip"));
}

#[test]
fn files_of_tags_follow_the_rules_of_the_target() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let config = LEAST.replace("host = \"db.internal\"", "host = \"db.internal\"\ntags = [\"tags.toml\"]")
        + "\n[[target.tag]]\ncolumn = \"**.a\"\ntag = \"a\"\n[policy]\nfiles = [\"p.cedar\"]\n";
    std::fs::write(path("c.toml"), config).unwrap();
    std::fs::write(path("p.cedar"), "").unwrap();
    let read = || load(&path("c.toml"), PROTOCOLS);
    assert!(read().unwrap_err().to_string().contains("tags.toml"), "a file that is not there");
    std::fs::write(path("tags.toml"), "[[tag]]\ncolumn = \"**.b\"\ntag = \"b\"\n").unwrap();
    let alone = || {
        parse_with_tags(&std::fs::read_to_string(path("c.toml")).unwrap(), path("c.toml").to_str().unwrap(), PROTOCOLS)
    };
    assert_eq!(alone().unwrap().config.targets[0].tagging.rules.len(), 2);
    let rules = read().unwrap().config.targets[0].tagging.rules.clone();
    assert_eq!(rules.iter().map(|r| r.column.as_str()).collect::<Vec<_>>(), ["**.a", "**.b"]);
    std::fs::write(path("tags.toml"), "[[tag]]\ncolumn = \"b\"\ntag = \"b\"\n[[tag]]\ncolumn = \"**.c\"\n").unwrap();
    let problems = read().unwrap_err();
    assert_eq!(
        problems.iter().map(|p| (p.file.ends_with("tags.toml"), p.line)).collect::<Vec<_>>(),
        [(true, 2), (true, 4)]
    );
}
