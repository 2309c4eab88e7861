//! Help, completions and wrong usage.

use std::io::Read as _;
use std::process::Stdio;

use crate::support::{binary, demo, house, run_in};

const COMMANDS: [&str; 31] = [
    "login",
    "logout",
    "whoami",
    "connect",
    "exec",
    "ssh-config",
    "accounts add",
    "accounts list",
    "accounts password",
    "accounts disable",
    "accounts enable",
    "accounts remove",
    "config check",
    "config reference",
    "policy check",
    "policy test",
    "policy explain",
    "policy replay",
    "policy schema",
    "sessions list",
    "sessions show",
    "sessions tail",
    "sessions replay",
    "sessions export",
    "sessions verify",
    "credentials set",
    "credentials rotate",
    "credentials list",
    "credentials remove",
    "credentials init-key",
    "completions",
];

#[test]
fn every_command_explains_itself_with_an_example() {
    for command in COMMANDS {
        let mut args: Vec<&str> = command.split(' ').collect();
        args.push("--help");
        run_in(&demo(), &args).exits(0).says(&["Usage:", "Example", &format!("countersign {command}")]);
    }
}

#[test]
fn wrong_usage_exits_2() {
    for args in [
        &["sessions", "show"][..],
        &["sessions", "show", "not-an-id"],
        &["sessions", "list", "--limit", "0"],
        &["sessions", "list", "--since", "yesterday"],
        &["sessions", "replay", "latest", "--speed", "-1"],
        &["policy", "explain"],
        &["policy", "explain", "--session", "01JGV2ZZZZZZZZZZZZZZZZZZZZ"],
        &["policy", "explain", "--identity", "ana", "--target", "shop"],
        &["policy", "explain", "--session", "01JGV2ZZZZZZZZZZZZZZZZZZZZ", "--seq", "1", "--plaintext"],
        &["policy", "explain", "--session", "01JGV2ZZZZZZZZZZZZZZZZZZZZ", "--seq", "1", "--group", "a"],
        &["policy", "explain", "--identity", "ana", "--target", "shop", "--access", "opaque"],
        &["credentials", "set"],
        &["nonsense"],
    ] {
        run_in(&demo(), args).exits(2);
    }
}

#[test]
fn completions_and_references_are_printed_and_a_reader_may_leave() {
    let house = house();
    for shell in ["bash", "zsh", "fish"] {
        run_in(house.path(), &["completions", shell]).exits(0).says(&["countersign", "explain", "sessions"]);
    }
    run_in(house.path(), &["config", "reference"]).exits(0).says(&["## `[gateway]`", "| key |"]);
    run_in(house.path(), &["policy", "schema"]).exits(0).says(&["entity", "catalog_only"]);
    for args in [&["config", "reference"][..], &["policy", "schema"], &["completions", "bash"]] {
        let mut child = binary().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""), "{args:?}");
    }
}
