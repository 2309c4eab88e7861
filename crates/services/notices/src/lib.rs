//! Telling people and programs outside what happened: Slack, Teams, e-mail, webhooks.
//!
//! What is to be told waits in the store, once for each receiver, whichever gateway saw it; one gateway at a time sends to a receiver, and
//! what could not be sent is tried again. [`Teller`] takes notices without waiting, [`Notices`] brings them out.
//!
//! It must never hold up or slow what it tells of, decide anything, send a secret or a constant of a statement, follow where an answer
//! leads, or show anybody what a receiver answered.

mod courier;
mod notice;
mod pace;
mod receiver;
mod send;
mod service;
mod teller;
mod words;

pub use notice::{Ended, KINDS, Kind, Notice};
pub use pace::{BACKOFF_FIRST, BACKOFF_MAX, TRIES_MAX, backoff};
pub use receiver::{Channel, Email, Encryption, Receiver, SecretOf, Slack, TextChoice, Webhook};
pub use send::signature::sign;
pub use service::{
    ALERT_WINDOW, KEPT, LEASE, Notices, NoticesParts, POLL, ReceiverState, Tested, WAITING_MAX, WATCH_INTERVAL,
};
pub use teller::{Inbox, QUEUE_MAX, Teller, queue};
