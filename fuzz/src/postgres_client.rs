//! Any bytes of a PostgreSQL client, from its first packet or after its login, in pieces of any length.
//!
//! It must never find a message forwarded in part, or one that policy did not let through.

use countersign_model::Access;
use countersign_postgres::{LoginMethod, Postgres};

use crate::bench::fake::Fake;
use crate::bench::through::{Through, Wire, arrival, protocol};
use crate::bench::world::{Entry, Rules};

/// Bytes that a machine may leave waiting for more: a whole small message, or a head.
const LEFT_BYTES_MAX: usize = 64 << 10;
/// Words for the client, for each byte that it sent: a refusal of the shortest message is the longest answer.
const TOLD_PER_BYTE_MAX: usize = 1000;

/// The first byte of the input chooses policy and phase, the second the length of the pieces.
///
/// # Panics
/// When the machine forwards what it must not, or keeps or says more than it should.
pub fn run(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let Some((piece, bytes)) = rest.split_first() else { return };
    let strict = choice & 1 == 1;
    let rules = Rules { access_max: if strict { Access::Connect } else { Access::Admin }, ..Rules::default() };
    let mut t = if choice & 2 == 2 {
        let method = if choice & 8 == 8 { LoginMethod::OAuthBearer } else { LoginMethod::Password };
        let protocol = Postgres::new().login_by(method, "https://id.example.com", "openid");
        Through::new(&protocol, Fake::default(), "shop", &rules, arrival(choice & 4 == 4, true))
    } else {
        Through::logged_in(&protocol(), Fake::default(), "shop", &rules)
    };
    for piece in bytes.chunks(usize::from(*piece).max(1)) {
        t.send(piece);
        if t.machine_is_held() {
            t.pull();
        }
    }
    t.goodbye();
    t.forwarded();
    assert!(t.left_max <= LEFT_BYTES_MAX.max(bytes.len()), "{} bytes were left", t.left_max);
    let said: usize = t.log.entries().iter().map(|e| if let Entry::Told(b) = e { b.len() } else { 0 }).sum();
    assert!(said <= 4096 + bytes.len() * TOLD_PER_BYTE_MAX, "{said} bytes were said to {}", bytes.len());
    for entry in t.log.entries() {
        if let Entry::Intent { access, allowed: true, .. } = entry {
            assert!(!strict || access == Access::Connect, "something was let through against the rules");
        }
    }
}
