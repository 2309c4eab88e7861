//! Reviews: an action waits for people, and their answer lets exactly this action go on, once. Grants: access that people give for a while.
//!
//! [`state`](Review) is a state machine without I/O or clock; [`Approvals`] keeps it in the store, wakes who waits, and asks again at the
//! last moment whether those who said yes may still say so. [`GrantDesk`] takes requests for access, [`GrantKeeper`] knows what is held, and ends
//! the sessions that live by what has ended. Must never take an answer of the asker or of anybody who acts for or through
//! the asker, count a person twice, or let an approval be used for anything but what it was given for.

mod content;
mod error;
mod give;
mod grants;
mod held;
mod matching;
mod people;
mod service;
mod state;
mod view;
mod waiting;

pub use content::{AskedGrant, CONTENT_TEXT_BYTES_MAX, Content, Held};
pub use error::No;
pub use give::START_WITHIN;
pub use grants::{Grant, GrantDesk, GrantState, GrantsListed, NewGrant, REASON_CHARS_MAX, Window};
pub use held::{GRANT_LEASE, GRANT_POLL, GrantKeeper, LIVING_MAX};
pub use matching::assign;
pub use people::{Person, is_party_to, parties};
pub use service::{Approvals, ApprovalsParts, COMMENT_CHARS_MAX, Clock, OPEN_MAX, OPEN_OF_ASKER_MAX, People, Said};
pub use state::{Answer, Change, Manner, Redemption, Review, Status, Verb};
pub use view::{LISTED_MAX, Listed};
pub use waiting::{HELD_MAX, LEASE, POLL};
