//! What a session may make the gateway keep, at its edge.

use crate::bench::wire::{b, c, e, p, q, s};
use crate::cases::{Pair, play, send};

/// What a Bind of one parameter has besides its value: counts, formats, a length.
const AROUND_BYTES: usize = 10;

#[test]
fn all_portals_of_a_session_keep_at_most_64_mib_of_parameters() {
    let pair = Pair::new();
    let mut t = pair.open();
    let quarter = "x".repeat((16 << 20) - AROUND_BYTES);
    let mut go = |name: &str, parts: &[Vec<u8>], ready: usize, want: &[&str]| {
        assert_eq!(play(&mut t, &[send(parts, ready)]), want, "{name}");
    };
    let bound = &["2", "Z:T"];
    go("begin", &[q("BEGIN"), p("s", "SELECT octet_length($1::text)"), s()], 2, &["C:BEGIN", "Z:T", "1", "Z:T"]);
    for portal in ["a", "b", "c"] {
        go(portal, &[b(portal, "s", &[&quarter]), s()], 1, bound);
    }
    go("the last byte", &[b("", "s", &[&quarter]), s()], 1, bound);
    go("the unnamed one again", &[b("", "s", &[&quarter]), s()], 1, bound);
    let closed = [c(b'P', "a"), b("d", "s", &[&quarter]), s()];
    go("in the place of one that is closed just before", &closed, 1, &["3", "2", "Z:T"]);
    go("one too many", &[b("e", "s", &[""]), s()], 1, &["E:ERROR:54000", "Z:E"]);
    go("the transaction's end makes room", &[q("ROLLBACK"), q("BEGIN")], 2, &["C:ROLLBACK", "Z:I", "C:BEGIN", "Z:T"]);
    for portal in ["a", "b", "c", "d"] {
        go(portal, &[b(portal, "s", &[&quarter]), s()], 1, bound);
    }
    let failed = ["E:ERROR:54000", "Z:E", "C:ROLLBACK", "Z:I", "T:?column?", "D:1", "C:SELECT 1", "Z:I"];
    let pipeline = [b("e", "s", &[""]), b("f", "s", &[""]), s(), q("ROLLBACK"), q("SELECT 1")];
    go("refused once, and the session goes on in sync", &pipeline, 3, &failed);
    assert_eq!(t.log.entries().iter().filter(|e| format!("{e:?}").contains("too much is bound")).count(), 2);
    t.goodbye();
}

#[test]
fn all_prepared_statements_of_a_session_keep_at_most_64_mib_of_text() {
    let pair = Pair::new();
    let mut t = pair.open();
    let text = format!("SELECT 1 /* {} */", "x".repeat(15 << 20));
    let mut go = |name: &str, parts: &[Vec<u8>], ready: usize, want: &[&str]| {
        assert_eq!(play(&mut t, &[send(parts, ready)]), want, "{name}");
    };
    for name in ["a", "b", "c", "d"] {
        go(name, &[p(name, &text), s()], 1, &["1", "Z:I"]);
    }
    go("one too many", &[p("e", &text), s()], 1, &["E:ERROR:42501", "Z:I"]);
    go("small ones still fit", &[p("e2", "SELECT 2"), s()], 1, &["1", "Z:I"]);
    go("the place of one that is closed", &[c(b'S', "a"), s(), p("f", &text), s()], 2, &["3", "Z:I", "1", "Z:I"]);
    go("the session is in sync", &[q("SELECT 1")], 1, &["T:?column?", "D:1", "C:SELECT 1", "Z:I"]);
    t.goodbye();
}

/// PostgreSQL tells statements and portals apart by 63 bytes of their names: a longer name would be another one here and the same there.
#[test]
fn adv_018_names_that_are_one_name_at_the_target() {
    let pair = Pair::new();
    let (stem, long) = ("n".repeat(63), format!("{}x", "n".repeat(63)));
    // The control: at the server itself the two are one.
    let mut direct = pair.open_direct();
    let steps = [p(&long, "SELECT 1"), s(), b("", &format!("{stem}y"), &[]), e("", 0), s()];
    let want = ["1", "Z:I", "2", "D:1", "C:SELECT 1", "Z:I"];
    assert_eq!(play(&mut direct, &[send(&steps, 2)]), want, "names are longer here: the limit must follow");
    let mut t = pair.open();
    let mut go = |name: &str, parts: &[Vec<u8>], ready: usize, want: &[&str]| {
        assert_eq!(play(&mut t, &[send(parts, ready)]), want, "{name}");
    };
    go("63 bytes are a name", &[p(&stem, "SELECT 1"), s()], 1, &["1", "Z:I"]);
    go("64 are not", &[p(&long, "SELECT 2"), s()], 1, &["E:ERROR:42501", "Z:I"]);
    go("not for use either", &[b("", &long, &[]), s()], 1, &["E:ERROR:26000", "Z:I"]);
    go("a portal's", &[b(&long, &stem, &[]), s()], 1, &["E:ERROR:53300", "Z:I"]);
    go("63 bytes of a portal's", &[b(&stem, &stem, &[]), e(&stem, 0), s()], 1, &["2", "D:1", "C:SELECT 1", "Z:I"]);
    t.goodbye();
}
