//! `countersign config check`: everything that is wrong at once, with its line.

use std::fs;

use crate::support::{CONFIG, house, run_in};

#[test]
fn a_good_configuration_can_be_used() {
    let house = house();
    run_in(house.path(), &["config", "check"]).exits(0).says(&["countersign.toml can be used: no errors"]);
    let json = run_in(house.path(), &["config", "check", "--output", "json"]).exits(0).json();
    assert_eq!(json["errors"], 0);
}

#[test]
fn every_mistake_of_a_configuration_is_named_with_its_line() {
    let house = house();
    let bad = CONFIG
        .replace("protocol = \"postgres\"\nhost", "protocl = \"postgres\"\nhost")
        .replace("mode = \"disable\"", "mode = \"dissable\"")
        .replace("{ file = \"vault.key\" }", "{ file = \"missing.key\" }");
    fs::write(house.path().join("bad.toml"), &bad).unwrap();
    let line = |part: &str| bad.lines().position(|l| l.contains(part)).unwrap() + 1;
    let places = [format!("bad.toml:{}:", line("protocl")), format!("bad.toml:{}:", line("dissable"))];
    let ran = run_in(house.path(), &["config", "check", "--config", "bad.toml"]).exits(3).inert();
    let ran = ran.complains(&["error: ", "protocl", "dissable", &places[0], &places[1], "bad.toml: "]);
    assert!(ran.err.lines().all(|l| l.chars().count() <= 80), "{}", ran.err);
    assert_eq!(ran.out, "");

    let json = run_in(house.path(), &["config", "check", "--config", "bad.toml", "--output", "json"]).exits(3).json();
    let lines: Vec<u64> = json["problems"].as_array().unwrap().iter().map(|p| p["line"].as_u64().unwrap()).collect();
    assert_eq!(json["errors"], lines.len());
    for part in ["protocl", "dissable"] {
        assert!(lines.contains(&(line(part) as u64)), "{part}: {json}");
    }
}

#[test]
fn policies_issuers_and_keys_are_checked_too() {
    let house = house();
    let path = |name: &str| house.path().join(name);
    fs::write(path("policy.cedar"), "@id(\"a\")\n@limt(\"rows=1\")\npermit (principal, action, resource);\n").unwrap();
    let issuer = "\n[[issuer]]\nurl = \"https://token.actions.githubusercontent.com\"\naudiences = [\"countersign\"]\n\
                  name_claim = \"sub\"\n\n[[issuer.mapping]]\nwhen = { repository = \"acme/shop\" }\ngroups = [\"ci\"]\n";
    fs::write(path("countersign.toml"), format!("{CONFIG}{issuer}")).unwrap();
    fs::write(path("vault.key"), "this is no key\n").unwrap();
    let ran = run_in(house.path(), &["config", "check"]).exits(3);
    let ran = ran.complains(&["policy.cedar:2:", "limt", "warning: ", "repository_id", "this is no key"]);
    assert!(ran.err.contains("countersign.toml: 2 errors, 1 warning"), "{}", ran.err);
}

#[test]
fn a_factor_that_nobody_could_show_is_refused() {
    let house = house();
    let path = |name: &str| house.path().join(name);
    let rule = |factor: &str| {
        format!(
            "@id(\"changes\")\n@review(\"dba; factor={factor}\")\nforbid (principal, action == Action::\"write\", resource);\n\n\
             @id(\"more\")\n@grant(\"dba; factor={factor}\")\npermit (principal, action == Action::\"write\", resource);\n"
        )
    };
    let check = |config: &str, factor: &str| {
        fs::write(path("policy.cedar"), rule(factor)).unwrap();
        fs::write(path("countersign.toml"), config).unwrap();
        run_in(house.path(), &["config", "check"])
    };
    // With a vault there are codes; keys need a name that browsers reach the console under.
    let named = format!("{CONFIG}\n[identity]\nurl = \"https://gw.example:8443\"\n");
    for (config, factor) in [(CONFIG, "totp"), (named.as_str(), "totp"), (named.as_str(), "webauthn")] {
        check(config, factor).exits(0);
    }
    let lacking = "factor=webauthn, which nobody could show";
    check(CONFIG, "webauthn").exits(3).complains(&["policy.cedar:", "changes: ", "more: ", lacking, "[identity]"]);
    let without_vault = CONFIG
        .replace("[vault]\nkey = { file = \"vault.key\" }", "")
        .replace("{ vault = \"reader\" }", "{ file = \"reader.secret\" }");
    assert!(!without_vault.contains("vault"), "{without_vault}");
    fs::write(path("reader.secret"), "a password").unwrap();
    check(&without_vault, "totp").exits(3).complains(&["changes: ", "factor=totp, which nobody could show", "[vault]"]);
}

#[test]
fn a_configuration_that_is_not_there_is_an_error() {
    let house = house();
    run_in(house.path(), &["config", "check", "--config", "none.toml"]).exits(3).complains(&["none.toml"]);
    run_in(house.path(), &["sessions", "list", "--config", "none.toml"]).exits(3).complains(&["none.toml", "--config"]);
}
