//! `countersign accounts`: local accounts and their passwords, which go in and never come out.

use crate::support::{Ran, house, run_with};

const PASSWORD: &str = "correct-horse-battery";

#[test]
fn accounts_are_added_switched_off_and_on_and_get_another_password() {
    let house = house();
    let run = |args: &[&str], input: &str| -> Ran {
        let ran = run_with(house.path(), &[&["accounts"], args].concat(), input.as_bytes());
        assert!(!ran.out.contains(PASSWORD) && !ran.err.contains(PASSWORD), "{ran:?}");
        ran
    };
    let state = || {
        let json = run(&["list", "--output", "json"], "").exits(0).json();
        (json[0]["disabled"].as_bool(), json[0]["has_secret"].as_bool())
    };
    let may_have_a_token = |code: i32| run_with(house.path(), &["token", "ana"], b"").exits(code);

    run(&["list"], "").exits(0).says(&["no accounts yet"]);
    run(&["add", "ana", "--group", "analysts"], "").exits(0).says(&["\"ana\" added"]);
    run(&["add", "Ana"], "").exits(1).complains(&["an account named \"Ana\" already"]);
    assert_eq!(state(), (Some(false), Some(false)));

    run(&["password", "ana"], "too short").exits(1).complains(&["at least 10 characters"]);
    run(&["password", "ana"], "").exits(1).complains(&["empty"]);
    assert_eq!(state(), (Some(false), Some(false)));
    run(&["password", "ana"], &format!("{PASSWORD}\n")).exits(0).says(&["was changed"]);
    assert_eq!(state(), (Some(false), Some(true)));

    run(&["disable", "ana"], "").exits(0).says(&["disabled"]);
    assert_eq!(state(), (Some(true), Some(true)));
    may_have_a_token(4);
    run(&["enable", "ana"], "").exits(0).says(&["enabled"]);
    may_have_a_token(0);
    for verb in ["password", "disable", "enable", "remove"] {
        run(&[verb, "nobody"], PASSWORD).exits(4).complains(&["no account \"nobody\""]);
    }
    run(&["remove", "ana"], "").exits(0);
    may_have_a_token(4);
}
