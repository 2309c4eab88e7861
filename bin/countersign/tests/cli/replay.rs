//! `countersign policy replay`: over a recording that was written through the recorder.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::recorded::{NASTY, id, write};
use crate::support::{Ran, house, run_in};

/// What allowed and denied when it was recorded, and nothing else.
const AS_THEN: &str = r#"
@id("people-connect") permit (principal, action == Action::"connect", resource);
@id("analysts-read") permit (principal in Group::"analysts", action == Action::"read", resource);
@id("personal-numbers-stay") forbid (principal, action, resource) when { context.columns.contains("public.staff.salary") };
@id("dbas-change") permit (principal in Group::"dbas", action == Action::"write", resource);
"#;

fn recorded() -> tempfile::TempDir {
    let house = house();
    write(&house.path().join("recordings"));
    house
}

fn replay(dir: &Path, rules: &str, more: &[&str]) -> Ran {
    fs::write(dir.join("new.cedar"), rules).unwrap();
    let mut args = vec!["policy", "replay", "--policy", "new.cedar"];
    args.extend(more);
    run_in(dir, &args).inert()
}

fn totals(json: &Value) -> [u64; 5] {
    ["statements", "same", "allow_to_deny", "deny_to_allow", "other_effects"].map(|k| json[k].as_u64().unwrap())
}

#[test]
fn the_same_policies_change_nothing() {
    let house = recorded();
    let ran = replay(house.path(), AS_THEN, &[]).exits(0).fits_a_terminal();
    ran.says(&["5 statements judged: 5 the same, 0 would change"]);
    let renamed = AS_THEN.replace("analysts-read", "readers");
    let ran = replay(house.path(), &renamed, &[]).exits(0).says(&["other rules would decide 2 of the same"]);
    assert!(!ran.out.contains("then"), "{}", ran.out);
}

#[test]
fn every_change_is_counted_and_shown_with_an_example() {
    let house = recorded();
    let rules = AS_THEN
        .replace("@id(\"analysts-read\") permit", "@id(\"analysts-read\") @limit(\"rows=5\") permit")
        .replace("@id(\"personal-numbers-stay\") forbid", "@id(\"personal-numbers-stay\") permit")
        .replace("in Group::\"dbas\"", "in Group::\"nobody\"");
    let ran = replay(house.path(), &rules, &[]).exits(1).fits_a_terminal();
    let ran = ran.says(&[
        "5 statements judged: 1 the same, 4 would change",
        "allow → deny: 1",
        "on shop, update: 1 time",
        "then  allow by dbas-change",
        "now   deny: no rule allowed it",
        "deny → allow: 1",
        "ana on shop, select: 1 time",
        "then  deny by personal-numbers-stay",
        "now   allow by analysts-read, personal-numbers-stay; rows<=5",
        &format!("as in {} --seq 3", id(1)),
        "select salary from staff",
        "other limits or alerts: 2",
        "ana on shop, select: 2 times",
    ]);
    ran.complains(&["4 statements would be answered otherwise"]);

    let ran = replay(house.path(), &rules, &["--output", "json"]).exits(1);
    let json = ran.json();
    assert_eq!(totals(&json), [5, 1, 1, 1, 2]);
    let samples = json["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 3);
    assert_eq!((&samples[0]["change"], &samples[0]["count"]), (&"allow_to_deny".into(), &1.into()));
    assert!(!ran.out.contains(NASTY));
    assert_eq!(samples[1]["now"]["rules"][1], "personal-numbers-stay");
    assert_eq!((&samples[2]["count"], &samples[2]["seq"]), (&2.into(), &2.into()));
    // What is not shown is counted all the same.
    let ran = replay(house.path(), &rules, &["--samples", "1"]).exits(1).says(&["2 more kinds not shown: --samples 3"]);
    ran.says(&["deny → allow: 1"]);
}

#[test]
fn sessions_people_and_times_can_be_chosen() {
    let house = recorded();
    let (ana, dora) = (id(1).to_string(), id(2).to_string());
    for (args, expected) in [
        (&[][..], [5, 0, 4, 0, 0]),
        (&["--session", &ana], [4, 0, 3, 0, 0]),
        (&["--session", &dora], [1, 0, 1, 0, 0]),
        (&["--identity", "ana"], [4, 0, 3, 0, 0]),
        (&["--since", "2026-01-05T13:30:00Z"], [1, 0, 1, 0, 0]),
        (&["--until", "2026-01-05T13:30:00Z"], [4, 0, 3, 0, 0]),
        (&["--denied"], [1, 1, 0, 0, 0]),
        (&["--target", "other"], [0, 0, 0, 0, 0]),
    ] {
        let mut all = args.to_vec();
        all.extend(["--output", "json"]);
        let changes = expected[2] > 0;
        let json = replay(house.path(), "", &all).exits(i32::from(changes)).json();
        let same = expected[0] - expected[2];
        assert_eq!(totals(&json), [expected[0], same, expected[2], expected[3], expected[4]], "{args:?}");
    }
    let missing = id(9).to_string();
    replay(house.path(), "", &["--session", &missing]).exits(4);
    replay(house.path(), "nonsense", &[]).exits(3).complains(&["new.cedar:1:9"]);
    replay(house.path(), "", &["--dir", "nowhere"]).exits(4).complains(&["no recordings"]);
}

#[test]
fn statements_are_judged_at_their_time() {
    let house = recorded();
    // Recorded at 13:00 and 14:00 UTC, by credentials that were issued at noon.
    let rules = |condition: &str| {
        format!("@id(\"all\") permit (principal, action, resource) when {{ {condition} }};\n{AS_THEN}")
    };
    let json = |condition: &str, code| {
        replay(house.path(), &rules(condition), &["--output", "json"]).exits(code).json()["other_rules"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(json("context.hour_utc == 13", 0), 3, "the three that ana was allowed");
    assert_eq!(json("context.token_age_s >= 7200", 0), 1, "what dora was allowed an hour later");
    assert_eq!(json("context.source_ip == ip(\"192.0.2.7\") && context.part == \"shop\"", 0), 4);
}

#[test]
fn a_damaged_recording_is_not_taken_for_no_change() {
    let house = recorded();
    let journal = house.path().join("recordings/shop");
    let segment = fs::read_dir(&journal)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "seg"))
        .unwrap_or_else(|| panic!("no segment in {}", journal.display()));
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0xff;
    fs::write(&segment, bytes).unwrap();
    replay(house.path(), AS_THEN, &[]).exits(1).complains(&["could not be read"]);
}
