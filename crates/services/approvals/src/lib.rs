//! Reviews: an action waits for people, and their answer lets exactly this action go on, once.
//!
//! [`state`](Review) is a state machine without I/O or clock; [`Approvals`] keeps it in the store, wakes who waits, and asks again at the
//! last moment whether those who said yes may still say so. Must never take an answer of the asker or of anybody who acts for or through
//! the asker, count a person twice, or let an approval be used for anything but what it was given for.

mod content;
mod error;
mod matching;
mod people;
mod service;
mod state;
mod view;
mod waiting;

pub use content::{CONTENT_TEXT_BYTES_MAX, Content, Held};
pub use error::No;
pub use matching::assign;
pub use people::{Person, is_party_to, parties};
pub use service::{Approvals, ApprovalsParts, COMMENT_CHARS_MAX, Clock, OPEN_MAX, OPEN_OF_ASKER_MAX, People, Said};
pub use state::{Answer, Change, Redemption, Review, Status, Verb};
pub use view::{LISTED_MAX, Listed};
pub use waiting::{HELD_MAX, LEASE, POLL};
