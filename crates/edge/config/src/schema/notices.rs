//! The section about who is told what happens.

use super::Presence::{Default, Derived, Optional, Required};
use super::keys::{SECRET, TEXT_CHARS_MAX, key};
use super::{Form, Section};

/// The most receivers of a gateway.
pub(crate) const RECEIVERS_MAX: usize = 32;

/// What can be told.
const KINDS: [&str; 11] = [
    "review.asked",
    "review.answered",
    "review.expired",
    "review.withdrawn",
    "grant.asked",
    "grant.break-glass",
    "alert",
    "lock.added",
    "lock.ended",
    "gateway.trouble",
    "gateway.well",
];

pub(crate) static RECEIVER: Section = Section {
    header: "[[receiver]]",
    doc: "Who is told what happens: see [notices](notices.md). Repeat the section for each.",
    keys: &[
        key("name", Form::Name, Required, "A short word of your own for it."),
        key("kind", Form::Word(&["webhook", "slack", "teams", "email"]), Required, "The way to it."),
        key(
            "url",
            Form::OneKey(&SECRET),
            Optional,
            "Where its address is, for `webhook` and `teams`, and for `slack` by an incoming webhook. Whoever knows it can write there: it is a secret. \
             Only https, but on this machine; redirects are not followed.",
        ),
        key(
            "secret",
            Form::OneKey(&SECRET),
            Optional,
            "For `webhook`: where the key is that messages are signed with, `whsec_` and the base64 of 24 to 64 bytes.",
        ),
        key(
            "previous_secret",
            Form::OneKey(&SECRET),
            Optional,
            "For `webhook`: another key that messages are signed with as well, while the receiver takes over the new one.",
        ),
        key(
            "token",
            Form::OneKey(&SECRET),
            Optional,
            "For `slack`: where the token of the bot is (`xoxb-…`, scope `chat:write`). With it messages are updated in place.",
        ),
        key(
            "channel",
            Form::Text(TEXT_CHARS_MAX),
            Optional,
            "For `slack` with a token: the id of the channel, such as `C0123456789`.",
        ),
        key(
            "api_url",
            Form::Url(&["https", "http"]),
            Default("\"https://slack.com/api\""),
            "For `slack` with a token: its Web API. Plain HTTP only on this machine.",
        ),
        key("host", Form::Text(253), Optional, "For `email`: the mail server."),
        key(
            "port",
            Form::Count(1, 65_535),
            Derived("587, with `encryption = \"implicit\"` 465"),
            "For `email`: its port.",
        ),
        key(
            "encryption",
            Form::Word(&["starttls", "implicit", "none"]),
            Default("\"starttls\""),
            "For `email`: how it is talked to. `\"none\"` only on this machine.",
        ),
        key("username", Form::Text(TEXT_CHARS_MAX), Optional, "For `email`: the login there, where one is needed."),
        key("password", Form::OneKey(&SECRET), Optional, "For `email`: where its password is."),
        key(
            "from",
            Form::Text(TEXT_CHARS_MAX),
            Optional,
            "For `email`: who it is from, such as `Countersign <gw@example.org>`.",
        ),
        key("to", Form::Texts(TEXT_CHARS_MAX), Optional, "For `email`: who gets it."),
        key("ca", Form::Path, Derived("the system's authorities"), "PEM file of the authorities of its certificate."),
        key("kinds", Form::Words(&KINDS), Derived("all of them"), "What it is told."),
        key(
            "severity",
            Form::Word(&["low", "medium", "high", "critical"]),
            Default("\"low\""),
            "The least loud alert that it is told.",
        ),
        key(
            "targets",
            Form::Texts(TEXT_CHARS_MAX),
            Derived("all, and what is about none"),
            "Patterns of names of targets, such as `prod-*`: it is told only what is about one of these.",
        ),
        key(
            "groups",
            Form::Texts(TEXT_CHARS_MAX),
            Derived("all"),
            "Of what people are asked to decide, it is told only what one of these groups is asked.",
        ),
        key(
            "text",
            Form::Word(&["none", "shape"]),
            Default("\"none\""),
            "What it is told of statements: `\"shape\"` is their text without constants, and the words in which somebody asks for access.",
        ),
        key(
            "max_per_minute",
            Form::Count(1, 600),
            Default("30"),
            "Messages in a minute. The last of them tells how many more there were, in one.",
        ),
    ],
};
