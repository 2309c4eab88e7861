//! A client in the gateway's own process: nothing is asked of it, and it is told which cells are masked. Nobody else is.

use countersign_enforce::Arrival;
use countersign_model::Transform;
use countersign_postgres::aside::{Aside, MaskedColumn, TAG};

use crate::bench::fake::{Fake, complete, ready, rows};
use crate::bench::through::{Far, Through, Wire as _, arrival, protocol};
use crate::bench::wire::{self, frame, q};
use crate::bench::world::{Entry, Rules};
use crate::cluster::{Server, database};

fn open<F: Far>(far: F, database: &str, rules: &Rules) -> Through<F> {
    let arrival = Arrival { inside: true, ..arrival(false, true) };
    let mut t = Through::new(&protocol(), far, database, rules, arrival);
    // No password follows: who it is was known before.
    t.send(&wire::startup(wire::V3_0, &[("user", "ana"), ("database", "shop")]));
    t.wait(b'Z', 1);
    t.take();
    t
}

fn asides(t: &mut Through<impl Far>, sql: &str) -> Vec<Aside> {
    t.send(&q(sql));
    t.wait(b'Z', 1);
    let told = t.take();
    let mut all: Vec<Aside> = Vec::new();
    for m in told.iter().filter(|m| m.tag == TAG) {
        let aside = Aside::read(&m.body).expect("it is as it should be");
        // Cells are told as their rows come.
        match (all.last_mut(), aside) {
            (Some(Aside::Cells { statement: s, cells }), Aside::Cells { statement, cells: more })
                if *s == statement =>
            {
                cells.extend(more);
            }
            (_, aside) => all.push(aside),
        }
    }
    all
}

fn rules() -> Rules {
    Rules::masking(&[("pii.name", Transform::Hash)], &[("public.t.name", "pii.name")], &[])
}

#[test]
fn it_is_told_which_cells_are_masked_and_the_record_is_not() {
    let mut t = open(Server::dial(), &database(), &rules());
    let columns = |statement, column, how: &str| Aside::Columns {
        statement,
        columns: vec![MaskedColumn { column, tags: vec!["pii.name".to_owned()], how: how.to_owned() }],
    };
    let cells = |statement, cells: &[(u32, u16)]| Aside::Cells { statement, cells: cells.to_vec() };
    for (sql, want) in [
        ("SELECT id FROM t ORDER BY id LIMIT 2", vec![]),
        ("SELECT id, name FROM t ORDER BY id LIMIT 2", vec![columns(0, 1, "hash"), cells(0, &[(0, 1), (1, 1)])]),
        ("SELECT name FROM t WHERE false", vec![columns(0, 0, "hash")]),
        // Null stays null, and is what is stored; what is computed tells nothing, be it null or not.
        (
            "SELECT name FROM t WHERE id = 1; SELECT 1; SELECT upper(name), 1 FROM t WHERE id = 2",
            vec![columns(0, 0, "hash"), cells(0, &[(0, 0)]), columns(2, 0, "redact"), cells(2, &[(0, 0)])],
        ),
    ] {
        assert_eq!(asides(&mut t, sql), want, "{sql}");
    }
    for entry in t.log.entries() {
        if let Entry::Rows(_, bytes) = entry {
            assert!(wire::messages(&bytes).0.iter().all(|m| m.tag != TAG), "the record has no such message");
        }
    }
    t.goodbye();
}

#[test]
fn nobody_else_is_told() {
    let mut t = Through::logged_in(&protocol(), Server::dial(), &database(), &rules());
    t.take();
    assert_eq!(asides(&mut t, "SELECT id, name FROM t"), []);
    t.goodbye();
}

#[test]
fn adv_a_target_cannot_say_what_is_masked() {
    let lie = frame(TAG, b"x\0\0\0\0\0\0\0\0");
    let mut t = open(
        Fake::answering(&[&[rows(&["1"]), lie, complete("SELECT 1"), ready(b'I')].concat()]),
        "shop",
        &Rules::default(),
    );
    t.send(&q("SELECT id FROM t"));
    while t.pull() {}
    assert!(t.take().iter().all(|m| m.tag != TAG));
    assert!(t.closed.is_some(), "such a target is not to be trusted");
}
