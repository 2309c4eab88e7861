//! `countersign policy`: check, test, explain.

use std::fs;

use crate::support::{demo, house, run_in};

#[test]
fn the_demos_policies_are_right_and_answer_as_their_tests_say() {
    let dir = demo();
    run_in(&dir, &["policy", "check", "policy.cedar"])
        .exits(0)
        .says(&["analysts-read", "no errors, 0 warnings"])
        .fits_a_terminal();
    let ran = run_in(&dir, &["policy", "test", "policy.test.toml", "--policy", "policy.cedar"]).exits(0);
    ran.says(&["policy.test.toml: 47 passed, 0 failed"]);
    let json = run_in(&dir, &["policy", "test", "policy.test.toml", "--policy", "policy.cedar", "--output", "json"])
        .exits(0)
        .json();
    assert_eq!((&json["failed"], json["suites"][0]["cases"].as_array().unwrap().len()), (&0.into(), 47));
    // Found beside the policies.
    run_in(&dir, &["policy", "test", "--policy", "policy.cedar"]).exits(0).says(&["47 passed"]);
}

#[test]
fn a_test_that_does_not_hold_fails() {
    let house = house();
    let text = fs::read_to_string(demo().join("policy.test.toml")).unwrap();
    let turned = text.replacen("expect = \"allow\"", "expect = \"deny\"", 1);
    fs::write(house.path().join("turned.test.toml"), turned).unwrap();
    let ran = run_in(house.path(), &["policy", "test", "turned.test.toml"]).exits(1);
    ran.says(&["FAIL  turned.test.toml: an analyst connects", "expected deny, got allow", "46 passed, 1 failed"])
        .complains(&["1 policy test failed"]);
}

#[test]
fn a_text_needs_a_catalog() {
    let house = house();
    let suite = "[identity.ana]\ngroups = [\"analysts\"]\n[[case]]\nname = \"by text\"\nidentity = \"ana\"\ntarget = \"shop\"\n\
                 text = \"select 1\"\nexpect = \"allow\"\n";
    fs::write(house.path().join("text.test.toml"), suite).unwrap();
    run_in(house.path(), &["policy", "test", "text.test.toml"]).exits(1).says(&["--live", "catalog of \"shop\""]);
    run_in(house.path(), &["policy", "test", "none.test.toml"]).exits(4).complains(&["none.test.toml"]);
    fs::write(house.path().join("odd.test.toml"), "[[case]]\nnam = \"x\"\n").unwrap();
    run_in(house.path(), &["policy", "test", "odd.test.toml"]).exits(3).complains(&["odd.test.toml:2:1"]);
}

#[test]
fn every_mistake_of_policies_is_named() {
    let house = house();
    let bad = "@id(\"a\")\npermit (principal, action, resource)\nwhen { context.filterd };\n\n@id(\"a\")\n@alrt(\"high\")\nforbid (principal, action, resource);\n";
    fs::write(house.path().join("bad.cedar"), bad).unwrap();
    let ran = run_in(house.path(), &["policy", "check", "bad.cedar"]).exits(3);
    ran.complains(&["bad.cedar:3:", "filterd", "bad.cedar:6:", "alrt", "in the policies"]);
    let json = run_in(house.path(), &["policy", "check", "bad.cedar", "--output", "json"]).exits(3).json();
    assert!(json["problems"].as_array().unwrap().len() >= 2, "{json}");
    run_in(house.path(), &["policy", "check", "none.cedar"]).exits(3).complains(&["none.cedar"]);
    let json = run_in(house.path(), &["policy", "check", "--output", "json"]).exits(0).json();
    assert_eq!(json["rules"][0]["id"], "people-connect");
}

#[test]
fn an_access_is_explained_with_every_rule_that_mattered() {
    let house = house();
    let explain = |more: &[&str]| {
        let mut args = vec!["policy", "explain", "--target", "shop"];
        args.extend(more);
        run_in(house.path(), &args).exits(0).inert()
    };
    let salaries = [
        "--identity",
        "ana",
        "--group",
        "analysts",
        "--access",
        "read",
        "--attribute",
        "columns=public.staff.salary,public.staff.name",
    ];
    let ran = explain(&salaries).fits_a_terminal();
    ran.says(&[
        "deny by personal-numbers-stay",
        "permit analysts-read",
        "applies",
        "dbas-read",
        "it is for others",
        "ana (human, in analysts)",
    ]);
    let json = {
        let mut args = salaries.to_vec();
        args.extend(["--output", "json"]);
        explain(&args).json()
    };
    assert_eq!(json["explanation"]["verdict"]["decision"], "deny");
    assert_eq!(json["explanation"]["uses"][0]["attributes"]["columns"][1], "public.staff.salary");

    let machine = [
        "--identity",
        "ci-deploy",
        "--kind",
        "machine",
        "--issuer",
        "https://ci.countersign.test",
        "--claim",
        "repository_id=482911734",
        "--claim",
        "job_workflow_ref=acme/shop/.github/workflows/deploy.yml@refs/heads/main",
        "--access",
        "write",
        "--attribute",
        "relations_all=public.orders",
        "--attribute",
        "filtered=true",
    ];
    explain(&machine).says(&["deny by machines-change-with-a-bound-credential", "alert high"]);
    let mut bound = machine.to_vec();
    bound.extend(["--credential", "bound"]);
    explain(&bound).says(&["allow by ci-deploys", "affected=100"]);
    // Who acts for it must be allowed too.
    let through = |actor: &str, group: &str| {
        let actor = format!("name={actor},group={group}");
        let args =
            ["--identity", "ana", "--group", "dbas", "--credential", "bound", "--actor", &actor, "--access", "read"];
        explain(&args)
    };
    through("copilot", "dbas").says(&[
        "allow by dbas-read",
        "ana (human, in dbas), by a bound credential",
        "copilot (agent, in dbas)",
    ]);
    through("copilot", "interns")
        .fits_a_terminal()
        .says(&["deny: no rule allows it; for copilot (", "and for copilot ("]);
    // A target that is not configured is described by its labels.
    let ran = run_in(
        house.path(),
        &[
            "policy",
            "explain",
            "--identity",
            "x",
            "--group",
            "dbas",
            "--target",
            "new",
            "--label",
            "env=prod",
            "--access",
            "admin",
            "--credential",
            "bound",
        ],
    );
    ran.exits(0).says(&["allow by dbas-change", "alert high"]);
    let ran = run_in(
        house.path(),
        &["policy", "explain", "--identity", "x", "--target", "shop", "--access", "read", "--attribute", "colums=a"],
    );
    ran.exits(1).complains(&["no attribute \"colums\"", "columns"]);
}

#[test]
fn a_local_account_brings_its_groups() {
    let house = house();
    run_in(house.path(), &["accounts", "add", "ana", "--group", "analysts"]).exits(0);
    let args = ["policy", "explain", "--identity", "ana", "--target", "shop", "--access", "connect"];
    run_in(house.path(), &args).exits(0).says(&["in analysts", "allow by people-connect"]);
    let args = ["policy", "explain", "--identity", "nobody", "--target", "shop", "--access", "connect"];
    run_in(house.path(), &args).exits(0).says(&["deny: no rule allows it"]).complains(&["no local account \"nobody\""]);
}

#[test]
fn a_text_for_whom_no_account_is_meant_is_refused() {
    let house = house();
    let args = ["policy", "explain", "--identity", "x", "--group", "marketing", "--target", "shop", "select 1"];
    run_in(house.path(), &args).exits(4).complains(&["no account at \"shop\"", "--access"]);
    let args = ["policy", "explain", "--identity", "x", "--group", "analysts", "--target", "other", "select 1"];
    run_in(house.path(), &args).exits(4).complains(&["no target \"other\"", "shop"]);
}
