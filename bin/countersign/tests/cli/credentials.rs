//! `countersign credentials`: values go in and never come out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{CONFIG, Ran, house, run_in, run_with};

const VALUE: &str = "correct-horse-battery-staple";

/// The value is in nothing that was printed.
#[track_caller]
fn quiet(ran: Ran) -> Ran {
    assert!(!ran.out.contains(VALUE) && !ran.err.contains(VALUE), "{ran:?}");
    ran
}

#[test]
fn secrets_are_set_listed_rotated_and_removed() {
    let house = house();
    let run = |args: &[&str], input: &str| quiet(run_with(house.path(), args, input.as_bytes()));
    run(&["credentials", "list"], "").exits(0).says(&["no secrets yet"]);
    run(&["credentials", "set", "reader"], &format!("{VALUE}\n")).exits(0).says(&["\"reader\" set, version 1"]);
    run(&["credentials", "rotate", "reader"], &format!("{VALUE}2")).exits(0).says(&["version 2"]);
    run(&["credentials", "list"], "").exits(0).says(&["NAME", "reader", "2"]).fits_a_terminal();
    let json = run(&["credentials", "list", "--output", "json"], "").exits(0).json();
    assert_eq!((&json[0]["name"], &json[0]["version"]), (&"reader".into(), &2.into()));
    run(&["credentials", "rotate", "writer"], VALUE).exits(4).complains(&["no secret \"writer\""]);
    run(&["credentials", "set", "a b"], VALUE).exits(1).complains(&["name"]);
    run(&["credentials", "set", "empty"], "\n").exits(1).complains(&["empty"]);
    run(&["credentials", "set", "long"], &"x".repeat(20_000)).exits(1).complains(&["longer than"]);
    run(&["credentials", "remove", "reader"], "").exits(0);
    run(&["credentials", "remove", "reader"], "").exits(4);
    run(&["credentials", "list"], "").exits(0).says(&["no secrets yet"]);
    for entry in fs::read_dir(house.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(VALUE.len()).any(|w| w == VALUE.as_bytes()), "{}", path.display());
        }
    }
}

#[test]
fn keys_are_private_and_never_replaced() {
    let house = house();
    let key = house.path().join("vault.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&key).unwrap();
    run_in(house.path(), &["credentials", "init-key", "vault.key"]).exits(1).complains(&["vault.key"]);
    assert_eq!(fs::read(&key).unwrap(), before);
    let ran = run_in(house.path(), &["credentials", "new-key", "other.key"]).exits(0);
    let made = fs::read_to_string(house.path().join("other.key")).unwrap();
    assert_ne!(made.as_bytes(), before);
    assert!(!ran.out.contains(made.trim()) && !ran.err.contains(made.trim()));
}

#[test]
fn another_key_does_not_open_the_vault() {
    let house = house();
    run_with(house.path(), &["credentials", "set", "reader"], VALUE.as_bytes()).exits(0);
    fs::remove_file(house.path().join("vault.key")).unwrap();
    run_in(house.path(), &["credentials", "init-key", "vault.key"]).exits(0);
    run_in(house.path(), &["credentials", "list"]).exits(1).complains(&["the key does not fit the vault"]);
}

#[test]
fn without_a_vault_it_says_how_to_get_one() {
    let house = house();
    let config = CONFIG.replace("[vault]\nkey = { file = \"vault.key\" }\n", "");
    let config = config.replace("password = { vault = \"reader\" }\n", "");
    let config = config.replace(
        "[local_issuer]\naudience = \"countersign\"\n",
        "[[issuer]]\nurl = \"https://id.test\"\naudiences = [\"x\"]\n",
    );
    fs::write(house.path().join("countersign.toml"), config).unwrap();
    run_in(house.path(), &["credentials", "list"]).exits(3).complains(&["[vault]", "init-key"]);
}
