//! `countersign sessions`: over a recording that was written through the recorder.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;

use crate::recorded::{id, write};
use crate::support::{Ran, binary, house, run_in};

fn recorded() -> tempfile::TempDir {
    let house = house();
    write(&house.path().join("recordings"));
    house
}

fn run(dir: &Path, args: &[&str]) -> Ran {
    let mut all = vec!["sessions"];
    all.extend(args);
    run_in(dir, &all)
}

#[test]
fn sessions_are_listed_newest_first_within_80_columns() {
    let house = recorded();
    let (ana, dora) = (id(1).to_string(), id(2).to_string());
    let ran =
        run(house.path(), &["list"]).exits(0).says(&["SESSION", "ana", "dora-", "…", "cut off"]).fits_a_terminal();
    assert!(ran.out.find(&dora).unwrap() < ran.out.find(&ana).unwrap(), "{}", ran.out);

    let check = |args: &[&str], expected: &[&String]| {
        let mut all = vec!["list", "--output", "json"];
        all.extend(args);
        let json = run(house.path(), &all).exits(0).inert().json();
        let got: Vec<&str> = json["sessions"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap()).collect();
        assert_eq!(got, expected.iter().map(|e| e.as_str()).collect::<Vec<_>>(), "{args:?}");
        json
    };
    check(&[], &[&dora, &ana]);
    check(&["--identity", "ana"], &[&ana]);
    check(&["--identity", "sub-ana"], &[&ana]);
    check(&["--denied"], &[&ana]);
    check(&["--target", "shop"], &[&dora, &ana]);
    check(&["--target", "other"], &[]);
    check(&["--since", "2026-01-05T13:30:00Z"], &[&dora]);
    check(&["--until", "2026-01-05T13:30:00Z"], &[&ana]);
    let page = check(&["--limit", "1"], &[&dora]);
    assert_eq!(page["next"], dora.as_str());
    check(&["--before", &dora], &[&ana]);
    run(house.path(), &["list", "--limit", "1"]).exits(0).says(&[&format!("more: --before {dora}")]);
}

#[test]
fn a_session_is_shown_with_verdicts_rules_parameters_and_endings() {
    let house = recorded();
    let ana = id(1).to_string();
    run(house.path(), &["show", &ana]).exits(0).fits_a_terminal().says(&[
        "ana (human), vouched for by https://issuer.test",
        "a credential that is bearer",
        "lasted 400 ms",
        "4 statements, 1 denied, 1 failed, 2 rows",
        "opened by ana, in analysts, encrypted",
        "connected to the target as reader (session 4242 there)",
        "+0.100",
        "#2 allow select (analysts-read)",
        "select name from staff where id = $1",
        "$1 = '42'",
        "→ done, 2 rows, 2.5 ms",
        "#3 DENY select (personal-numbers-stay)",
        "→ failed with 22012",
        "closed: the client left",
    ]);
    let json = run(house.path(), &["show", &ana, "--output", "json"]).exits(0).inert().json();
    assert_eq!(json["session"]["denied"], 1);
    assert_eq!(
        (&json["session"]["credential"], &json["session"]["login"]),
        (&"bearer".into(), &serde_json::Value::Null)
    );
    assert_eq!(json["timeline"][3]["text"], "select name\n  from staff\n where id = $1");
    let page = run(house.path(), &["show", &ana, "--limit", "2"]).exits(0).says(&["more: --after 2"]);
    assert!(!page.out.contains("DENY"), "{}", page.out);
    run(house.path(), &["show", &ana, "--after", "4"]).exits(0).says(&["DENY"]);
    run(house.path(), &["show", &id(9).to_string()]).exits(4).complains(&["sessions list"]);
}

#[test]
fn hostile_text_is_inert_and_long_text_is_cut() {
    let house = recorded();
    let ran = run(house.path(), &["show", "latest"]).exits(0).fits_a_terminal();
    let ran =
        ran.says(&["dora-with", "\\u{1b}[2J", "\\u{202e}", "…", "how it ended is not known", "alert high for #1"]);
    let full = run(house.path(), &["show", "latest", "--full"]).exits(0).fits_a_terminal();
    assert!(full.out.len() > ran.out.len() + 500);
    assert_eq!(full.out.matches("1234567").count(), 100);
    run(house.path(), &["tail", "-n", "100"]).exits(0).fits_a_terminal().says(&["REFUSED \"mallory\\u{1b}"]);
    run(house.path(), &["replay", "latest", "--speed", "0"]).exits(0).fits_a_terminal();
    for format in ["jsonl", "csv"] {
        let ran = run(house.path(), &["export", "--format", format]).exits(0);
        let acts = |c: char| matches!(c, '\u{1b}' | '\u{9b}' | '\u{202e}' | '\u{200b}');
        assert!(!ran.out.contains(acts), "{format}: {:?}", ran.out);
    }
}

#[test]
fn the_latest_records_are_tailed() {
    let house = recorded();
    let ran = run(house.path(), &["tail", "-n", "3"]).exits(0).says(&["REFUSED"]);
    assert_eq!(ran.out.lines().count(), 3, "{}", ran.out);
    let ran =
        run(house.path(), &["tail", "--denied"]).exits(0).says(&["#3 DENY select (personal-numbers-stay)", "REFUSED"]);
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.out);
    let ran = run(house.path(), &["tail", "--identity", "ana", "--output", "json"]).exits(0);
    let records: Vec<Value> = ran.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(
        records.len() > 5 && records.iter().all(|r| r["identity"] == "ana" && r["type"] != "output"),
        "{}",
        ran.out
    );
}

#[test]
fn following_shows_what_is_recorded_from_then_on() {
    let house = house();
    let dir = house.path().join("recordings");
    fs::create_dir(&dir).unwrap();
    let mut child = binary()
        .args(["sessions", "tail", "--follow", "-n", "0", "--dir"])
        .arg(&dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let writer = std::thread::spawn(move || {
        // It must be following by then, or see all of it as new: both show everything.
        std::thread::sleep(std::time::Duration::from_millis(300));
        write(&dir);
    });
    let found = lines.map(Result::unwrap).find(|l| l.contains("#3 DENY select (personal-numbers-stay)"));
    child.kill().unwrap();
    child.wait().unwrap();
    writer.join().unwrap();
    assert!(found.is_some_and(|l| l.contains("ana@shop")));
}

#[test]
fn a_session_is_replayed_with_its_rows_at_its_pace() {
    let house = recorded();
    let ana = id(1).to_string();
    let began = Instant::now();
    let ran = run(house.path(), &["replay", &ana]).exits(0).fits_a_terminal();
    assert!(began.elapsed().as_millis() >= 400, "the session took 400 ms");
    ran.says(&[
        "ana on shop/shop",
        "    select name\n",
        "COLUMN 1",
        "Grace",
        "Ada\\u{1b}[2J",
        "$1 = '42'",
        "DENY",
        "→ #2 done, 2 rows",
    ]);
    run(house.path(), &["replay", &ana, "--speed", "0", "--rows", "1"]).exits(0).says(&["Grace", "… and 1 more row"]);
}

#[test]
fn records_are_exported_and_filtered() {
    let house = recorded();
    let export = |args: &[&str]| {
        let mut all = vec!["export"];
        all.extend(args);
        run(house.path(), &all).exits(0).out
    };
    let types = |text: &str| -> Vec<String> {
        text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["type"].as_str().unwrap().to_owned()).collect()
    };
    let all = types(&export(&[]));
    for kind in ["opened", "intent", "output", "outcome", "event", "closed", "refused"] {
        assert!(all.iter().any(|t| t == kind), "{kind}: {all:?}");
    }
    assert!(!types(&export(&["--no-rows"])).contains(&"output".to_owned()));
    assert_eq!(types(&export(&["--denied"])), ["refused", "intent"]);
    let one = id(1).to_string();
    assert!(export(&["--session", &one]).lines().all(|l| l.contains(&one)));
    let csv = export(&["--format", "csv", "--identity", "ana"]);
    assert_eq!(csv.matches("\r\n").count(), 5, "a header and four statements: {csv}");
    assert!(csv.starts_with("at,session,identity") && csv.contains("22012"), "{csv}");
    run(house.path(), &["export", "--session", &id(9).to_string()]).exits(4);
}

#[test]
fn a_recorded_statement_is_explained_without_its_database() {
    let house = recorded();
    let one = id(1).to_string();
    let args = ["policy", "explain", "--session", &one, "--seq", "3"];
    let ran = run_in(house.path(), &args).exits(0).fits_a_terminal();
    ran.says(&[
        "ana (human, in analysts)",
        "select salary from staff",
        "deny by personal-numbers-stay",
        "context.columns",
        "forbid personal-numbers-stay",
    ]);
    let args = ["policy", "explain", "--session", &one, "--seq", "99"];
    run_in(house.path(), &args).exits(4).complains(&["no statement 99"]);
    // Under other policies the answer differs, and that is said.
    fs::write(house.path().join("open.cedar"), "@id(\"all\") permit (principal, action, resource);").unwrap();
    let args = ["policy", "explain", "--session", &one, "--seq", "3", "--policy", "open.cedar"];
    let ran = run_in(house.path(), &args).exits(0);
    ran.says(&["allow by all", "deny by personal-numbers-stay", "these policies answer otherwise"]);
}

#[test]
fn damage_is_found_and_never_passed_over() {
    let house = recorded();
    run(house.path(), &["verify"]).exits(0).says(&["nothing is damaged"]);
    let journal = house.path().join("recordings/shop");
    let mut segments: Vec<_> = fs::read_dir(&journal).unwrap().map(|e| e.unwrap().path()).collect();
    segments.retain(|p| p.extension().is_some_and(|e| e == "seg"));
    for segment in segments {
        let mut bytes = fs::read(&segment).unwrap();
        let middle = bytes.windows(6).position(|w| w == b"salary");
        if let Some(at) = middle {
            bytes[at] ^= 1;
            fs::write(&segment, bytes).unwrap();
        }
    }
    run(house.path(), &["verify"]).exits(1).says(&["damaged"]).complains(&["problem"]);
    let json = run(house.path(), &["verify", "--output", "json"]).exits(1).json();
    assert!(!json["problems"].as_array().unwrap().is_empty());
    run(house.path(), &["export"]).exits(1).complains(&["damaged", "not all"]);
}

#[test]
fn no_recordings_are_not_no_sessions() {
    let house = house();
    run(house.path(), &["list"]).exits(4).complains(&["there are no recordings in"]);
    fs::create_dir(house.path().join("empty")).unwrap();
    run(house.path(), &["list", "--dir", "empty"]).exits(0).says(&["no session fits"]);
    run(house.path(), &["show", "latest", "--dir", "empty"]).exits(4).complains(&["no session is recorded yet"]);
}
