//! Who is told what happens.

use std::path::PathBuf;

use countersign_model::Severity;

use super::SecretSource;

/// `[[receiver]]`: who is told what happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverSpec {
    /// Its name.
    pub name: String,
    /// The way to it.
    pub way: ReceiverWay,
    /// The kinds that it is told; empty for all.
    pub kinds: Vec<String>,
    /// The least loud alert that it is told.
    pub severity: Severity,
    /// Patterns of targets; empty for everything.
    pub targets: Vec<String>,
    /// Of what people are asked, what one of these is asked; empty for all.
    pub groups: Vec<String>,
    /// It is told the text of statements without constants.
    pub shape: bool,
    /// The most messages in a minute.
    pub per_minute: u32,
    /// Authorities of its certificate; `None` for the system's.
    pub ca: Option<PathBuf>,
}

/// The way to a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiverWay {
    /// A generic webhook.
    Webhook {
        /// Where its address is.
        url: SecretSource,
        /// Where the key is that messages are signed with.
        secret: SecretSource,
        /// Another one, while the first is taken over.
        previous_secret: Option<SecretSource>,
    },
    /// Slack, by the token of a bot.
    SlackBot {
        /// Where the token is.
        token: SecretSource,
        /// The channel.
        channel: String,
        /// The Web API.
        api_url: String,
    },
    /// Slack, by an incoming webhook.
    SlackIncoming {
        /// Where its address is.
        url: SecretSource,
    },
    /// Teams, by a workflow.
    Teams {
        /// Where its address is.
        url: SecretSource,
    },
    /// E-mail.
    Email {
        /// The mail server.
        host: String,
        /// Its port.
        port: u16,
        /// How it is talked to.
        encryption: MailEncryption,
        /// The login.
        username: Option<String>,
        /// Where its password is.
        password: Option<SecretSource>,
        /// Who it is from.
        from: String,
        /// Who gets it.
        to: Vec<String>,
    },
}

/// How a mail server is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailEncryption {
    /// By STARTTLS, and not without.
    StartTls,
    /// By TLS from the first byte.
    Implicit,
    /// Not at all: on this machine.
    None,
}
