//! Sending one message to one receiver, by whatever way it has. What a receiver answers is read to a limit, and never shown.

mod email;
mod http;
pub(crate) mod signature;
mod slack;
mod teams;
mod webhook;

use std::time::Duration;

use countersign_model::{Secret, Timestamp};

use crate::receiver::{Channel, Receiver, SecretOf};
use crate::words::{Words, words};
use crate::{Kind, Notice};

pub(crate) use http::Http;

/// How long one message may take, from fetching its secrets to the last byte of the answer.
pub(crate) const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Message<'a> {
    /// What a receiver knows it by when it comes twice.
    pub(crate) id: &'a str,
    /// What happened.
    pub(crate) notice: &'a Notice,
    /// How often the same came again.
    pub(crate) more: i64,
    /// What a summary tells of: kinds and how many.
    pub(crate) merged: Vec<(String, u64)>,
    /// Where the receiver put what this is the end of.
    pub(crate) earlier: Option<String>,
    /// The console's address.
    pub(crate) base: &'a str,
    /// When it is sent.
    pub(crate) now: Timestamp,
}

impl Message<'_> {
    fn words(&self) -> Words {
        let mut words = words(self.notice, self.base, self.more);
        if self.notice.kind == Kind::Summary {
            let counts: Vec<String> = self.merged.iter().map(|(kind, n)| format!("{n} × {kind}")).collect();
            words.facts.insert(0, crate::words::Fact { name: "of", value: counts.join(", ") });
        }
        words
    }
}

/// Why a message was not sent, in words of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) why: String,
    /// The receiver asked to be left alone for so long.
    pub(crate) after: Option<Duration>,
    /// It will never take messages again (410 Gone).
    pub(crate) gone: bool,
}

impl Failure {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), after: None, gone: false }
    }
}

async fn secret(what: &str, source: &SecretOf) -> Result<Secret, Failure> {
    source().await.map_err(|e| Failure::new(format!("{what} cannot be had: {e}")))
}

/// A secret that is text on one line.
async fn line(what: &str, source: &SecretOf) -> Result<Secret, Failure> {
    let secret = secret(what, source).await?;
    match secret.expose_str().map(str::trim) {
        Some(text) if !text.is_empty() && !text.chars().any(char::is_control) => Ok(Secret::from(text.to_owned())),
        _ => Err(Failure::new(format!("{what} is no text on one line"))),
    }
}

/// Sends a message; says where the receiver put it, where it says so.
pub(crate) async fn send(http: &mut Http, receiver: &Receiver, message: &Message<'_>) -> Result<String, Failure> {
    let sending = async {
        match &receiver.channel {
            Channel::Webhook(to) => webhook::send(http, to, message).await,
            Channel::Slack(to) => slack::send(http, to, message).await,
            Channel::Teams { url } => teams::send(http, url, message).await,
            Channel::Email(to) => email::send(to, receiver.ca.as_deref(), message).await,
        }
    };
    let late = || Err(Failure::new(format!("no answer within {} s", SEND_TIMEOUT.as_secs())));
    tokio::time::timeout(SEND_TIMEOUT, sending).await.unwrap_or_else(|_| late())
}
