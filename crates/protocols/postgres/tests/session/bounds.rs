//! What a session may make the gateway keep, at its edge.

use crate::bench::wire::{b, c, p, q, s};
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
