//! Any bytes of a PostgreSQL target, while the gateway logs in or while a client's statements run, in pieces of any length.
//!
//! It must never find the gateway believing a target that did not follow the protocol, or a record that is not whole.

use countersign_model::{Limits, Transform};

use crate::bench::fake::Fake;
use crate::bench::through::{Far, Through, Wire, arrival, protocol};
use crate::bench::wire::{self, b, data as rows, done, e, p, pbe, q, s};
use crate::bench::world::{Entry, Rules};

/// A target that says one thing and ends.
struct Raw(Option<Vec<u8>>);

impl Far for Raw {
    fn write(&mut self, _b: &[u8]) {}

    fn read(&mut self) -> Option<Vec<u8>> {
        self.0.take().filter(|b| !b.is_empty())
    }

    fn cancel(&mut self, _order: &[u8]) {}
}

/// What the rows of a masked result may hold; nobody else says it.
const CANARY: &[u8] = b"canary";

fn client(choice: u8) -> Vec<u8> {
    match choice % 5 {
        0 => q("SELECT id FROM t"),
        1 => [pbe("SELECT id FROM t", &[]), pbe("SELECT name FROM t", &[]), s()].concat(),
        2 => [q("COPY t FROM STDIN"), rows("1\tx\n"), done(), q("COPY t TO STDOUT CSV")].concat(),
        3 => q("UPDATE t SET name = 'x'"),
        _ => [p("a", "SELECT id FROM t"), b("c", "a", &[]), e("c", 1), e("c", 1), s()].concat(),
    }
}

/// The first byte of the input chooses what the client does and what is masked, the second the length of the pieces.
///
/// # Panics
/// When the machine forwards part of a message, leaves its record unfinished, or lets anything of a masked row pass.
pub fn run(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let Some((piece, bytes)) = rest.split_first() else { return };
    let piece = usize::from(*piece).max(1);
    let limits = Limits { rows: Some(2), bytes: None, affected: Some(1) };
    // Of what returns no rows, none are masked.
    let masked = choice & 0x20 != 0 && matches!((choice & 0x1f) % 5, 0 | 1 | 4);
    let transforms = [
        Transform::Redact,
        Transform::Hash,
        Transform::Generalise,
        Transform::Format,
        Transform::Last(2),
        Transform::Null,
    ];
    let transform =
        transforms.get(usize::from(choice & 0x1f) % transforms.len()).copied().unwrap_or(Transform::DEFAULT);
    let rules =
        if masked { Rules::masking(&[("x", transform)], &[("public.t.*", "x")], &[]) } else { Rules::default() };
    let rules = Rules { limits: if choice & 0x80 == 0 { Limits::NONE } else { limits }, ..rules };
    if choice & 0x40 != 0 {
        let mut t = Through::new(&protocol(), Raw(Some(bytes.to_vec())), "shop", &rules, arrival(false, true));
        t.far_piece = piece;
        t.send(&wire::startup(wire::V3_0, &[("user", "ana"), ("database", "shop")]));
        t.send(&wire::frame(b'p', b"token\0"));
        while t.pull() {}
        t.goodbye();
        return;
    }
    let mut t = Through::logged_in(&protocol(), Fake::answering(&[bytes, bytes]), "shop", &rules);
    t.far_piece = piece;
    let before = t.log.entries().len();
    t.send(&client(*choice & 0x1f));
    while t.pull() {}
    t.goodbye();
    t.forwarded();
    if masked {
        no_canary(t.log.entries().get(before..).unwrap_or_default());
    }
}

/// Nothing of a row passes: every column of the table is masked, whatever the target says that it is.
fn no_canary(entries: &[Entry]) {
    let told = |e: &Entry| match e {
        Entry::Told(b) => b.clone(),
        _ => Vec::new(),
    };
    let all: Vec<u8> = entries.iter().flat_map(told).collect();
    for m in wire::messages(&all).0 {
        let leaks = matches!(m.tag, b'D' | b'd') && m.body.windows(CANARY.len()).any(|w| w == CANARY);
        assert!(!leaks, "told: {:?}", String::from_utf8_lossy(&m.body));
    }
}
