//! Who receives notices: which ones they want, and the way to them. Secrets are fetched for each message and kept nowhere.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use countersign_enforce::BoxFuture;
use countersign_model::{Secret, Severity};

use crate::{Kind, Notice};

/// Fetches a secret; an error is for operators.
pub type SecretOf = Arc<dyn Fn() -> BoxFuture<'static, Result<Secret, String>> + Send + Sync>;

/// How much of a statement is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextChoice {
    /// Nothing.
    #[default]
    None,
    /// Its text without constants, and the words in which somebody asks for access.
    Shape,
}

/// A generic webhook.
#[derive(Clone)]
pub struct Webhook {
    /// Where to.
    pub url: SecretOf,
    /// What messages are signed with.
    pub secret: SecretOf,
    /// What they are also signed with while the other one is taken over.
    pub previous_secret: Option<SecretOf>,
}

/// Slack.
#[derive(Clone)]
pub enum Slack {
    /// By its Web API, with the token of a bot: messages are updated in place.
    Bot {
        /// The token.
        token: SecretOf,
        /// The channel's id.
        channel: String,
        /// The API, such as `https://slack.com/api`.
        api_url: String,
    },
    /// By an incoming webhook: what was posted stays as it is.
    Incoming {
        /// Where to.
        url: SecretOf,
    },
}

/// How a mail server is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// TLS from the first byte (RFC 8314, 3.3).
    Implicit,
    /// STARTTLS, and nothing without it (RFC 3207).
    StartTls,
    /// None: on this machine alone.
    None,
}

/// E-mail.
#[derive(Clone)]
pub struct Email {
    /// The mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is talked to.
    pub encryption: Encryption,
    /// The login, where one is needed.
    pub login: Option<(String, SecretOf)>,
    /// Who it is from.
    pub from: String,
    /// Who it is for.
    pub to: Vec<String>,
}

/// The way to a receiver.
#[derive(Clone)]
pub enum Channel {
    /// A generic webhook, as Standard Webhooks has it.
    Webhook(Webhook),
    /// Slack.
    Slack(Slack),
    /// A workflow of Teams.
    Teams {
        /// Where to.
        url: SecretOf,
    },
    /// E-mail.
    Email(Email),
}

impl Channel {
    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::Teams { .. } => "teams",
            Self::Email(_) => "email",
        }
    }

    /// People read it: a question that was answered before they saw it is left out.
    pub(crate) const fn is_for_people(&self) -> bool {
        !matches!(self, Self::Webhook(_))
    }
}

/// A receiver.
#[derive(Clone)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// The way to it.
    pub channel: Channel,
    /// The kinds it wants; empty for all.
    pub kinds: Vec<Kind>,
    /// The least loud it wants of alerts.
    pub severity: Severity,
    /// Patterns of the targets that it wants to hear about; empty for everything, also what is about no target.
    pub targets: Vec<glob::Pattern>,
    /// Of what people are asked, only what one of these groups is asked; empty for all.
    pub groups: Vec<String>,
    /// How much of a statement it is told.
    pub text: TextChoice,
    /// The most messages in a minute.
    pub per_minute: u32,
    /// Authorities of its certificate; `None` for the system's.
    pub ca: Option<PathBuf>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({}, {})", self.name, self.channel.as_str())
    }
}

impl Receiver {
    /// Whether it wants to hear of this.
    pub fn wants(&self, notice: &Notice) -> bool {
        if matches!(notice.kind, Kind::Summary | Kind::Test) {
            return true;
        }
        let kind = self.kinds.is_empty() || self.kinds.contains(&notice.kind);
        let loud = notice.kind != Kind::Alert || notice.severity >= self.severity;
        let target = self.targets.is_empty() || self.targets.iter().any(|t| t.matches(&notice.target));
        let asks = notice.kind.asks() || notice.kind.is_end();
        let group = self.groups.is_empty() || !asks || notice.groups.iter().any(|g| self.groups.contains(g));
        kind && loud && target && group
    }

    /// What it is told of a notice: nothing that it did not choose goes into the store for it.
    pub(crate) fn cut(&self, mut notice: Notice) -> Notice {
        if self.text == TextChoice::None {
            notice.text.clear();
        }
        notice
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use countersign_model::Timestamp;

    use super::*;

    fn receiver() -> Receiver {
        let url: SecretOf = Arc::new(|| Box::pin(async { Err("none".to_owned()) }));
        Receiver {
            name: "ops".to_owned(),
            channel: Channel::Teams { url },
            kinds: Vec::new(),
            severity: Severity::Low,
            targets: Vec::new(),
            groups: Vec::new(),
            text: TextChoice::None,
            per_minute: 30,
            ca: None,
        }
    }

    #[test]
    fn a_receiver_gets_what_it_chose() {
        let alert = Notice {
            severity: Severity::Medium,
            target: "orders-eu".to_owned(),
            ..Notice::new(Kind::Alert, "a", Timestamp::from_unix_s(1))
        };
        let asked = Notice {
            groups: vec!["dba".to_owned(), "leads".to_owned()],
            ..Notice { kind: Kind::ReviewAsked, ..alert.clone() }
        };
        let lock = Notice { target: String::new(), ..Notice { kind: Kind::LockAdded, ..alert.clone() } };
        let test = Notice { kind: Kind::Test, ..lock.clone() };
        let only = |kinds: &[Kind]| Receiver { kinds: kinds.to_vec(), ..receiver() };
        let at_least = |severity| Receiver { severity, ..receiver() };
        let on = |target: &str| Receiver { targets: vec![glob::Pattern::new(target).unwrap()], ..receiver() };
        let of = |group: &str| Receiver { groups: vec![group.to_owned()], ..receiver() };
        // alert, asked, lock, test
        for (n, (r, want)) in [
            (receiver(), [true, true, true, true]),
            (only(&[Kind::Alert]), [true, false, false, true]),
            (only(&[Kind::LockAdded, Kind::ReviewAsked]), [false, true, true, true]),
            (at_least(Severity::Medium), [true, true, true, true]),
            (at_least(Severity::High), [false, true, true, true]),
            (on("orders-*"), [true, true, false, true]),
            (on("orders"), [false, false, false, true]),
            (of("leads"), [true, true, true, true]),
            (of("lead"), [true, false, true, true]),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!([&alert, &asked, &lock, &test].map(|notice| r.wants(notice)), want, "{n}");
        }
    }

    #[test]
    fn text_is_told_to_who_chose_it() {
        let notice =
            Notice { text: "select $1".to_owned(), ..Notice::new(Kind::ReviewAsked, "a", Timestamp::from_unix_s(1)) };
        assert_eq!(receiver().cut(notice.clone()).text, "");
        assert_eq!(Receiver { text: TextChoice::Shape, ..receiver() }.cut(notice).text, "select $1");
    }
}
