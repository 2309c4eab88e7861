//! A notice in words for people. Whatever came from anywhere is made plain first: one line, no characters that act or hide, nothing that
//! a reader makes a link of.

use std::fmt::Write as _;

use countersign_model::{Timestamp, acts_on_readers};

use crate::teller::severity;
use crate::{Kind, Notice};

/// The longest name or sentence of others, in characters.
pub(crate) const WORDS_CHARS_MAX: usize = 200;
/// The longest text of a statement, in characters.
pub(crate) const TEXT_CHARS_MAX: usize = 500;

/// One line of plain text, at most so many characters: white space becomes one space, what acts is left out, and the `://` of an address is
/// broken up, so that no program makes a link of words that somebody chose.
pub(crate) fn plain(text: &str, chars: usize) -> String {
    let mut out = String::new();
    let mut space = false;
    let mut count = 0_usize;
    for c in text.chars() {
        if c.is_whitespace() || c == '\0' {
            space = !out.is_empty();
            continue;
        }
        if acts_on_readers(c) {
            continue;
        }
        if count + usize::from(space) >= chars {
            out.push('…');
            break;
        }
        if space {
            out.push(' ');
            count += 1;
            space = false;
        }
        out.push(c);
        count += 1;
    }
    out.replace("://", "[:]//")
}

/// A fact with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

/// A notice in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// What happened, in words of ours alone.
    pub(crate) title: &'static str,
    /// The title with who and where, for a subject line.
    pub(crate) subject: String,
    /// The facts, in the order in which they are read.
    pub(crate) facts: Vec<Fact>,
    /// A statement's shape, or somebody's words; empty for none.
    pub(crate) text: String,
    /// Where to go on; empty for nowhere.
    pub(crate) link: String,
    /// What the link says.
    pub(crate) action: &'static str,
}

/// To the second, as people read it.
pub(crate) fn seconds(at: Timestamp) -> String {
    let text = at.rfc3339();
    text.split_once('.').map_or_else(|| text.clone(), |(whole, _)| format!("{whole}Z"))
}

fn title(notice: &Notice) -> &'static str {
    let ended = notice.ended.as_ref().map(|e| e.status.as_str());
    match (notice.kind, ended) {
        (Kind::ReviewAsked, _) => "A statement waits for you",
        (Kind::GrantAsked, _) => "Somebody asks for access",
        (Kind::BreakGlass, _) => "Access was taken at once",
        (Kind::ReviewAnswered, Some("denied")) => "Denied",
        (Kind::ReviewAnswered, _) => "Approved",
        (Kind::ReviewExpired, _) => "Not answered in time",
        (Kind::ReviewWithdrawn, _) => "Withdrawn: nobody need answer",
        (Kind::Alert, _) => "Alert",
        (Kind::LockAdded, _) => "A lock was added",
        (Kind::LockEnded, _) => "A lock is over",
        (Kind::Trouble, _) => "A gateway is not well",
        (Kind::Well, _) => "A gateway is well again",
        (Kind::Summary, _) => "Many notices in one",
        (Kind::Test, _) => "A test: notices arrive here",
    }
}

/// In words, with `base` before the console's paths; `more` says how often the same came again.
pub(crate) fn words(notice: &Notice, base: &str, more: i64) -> Words {
    let mut facts = Vec::new();
    let mut add = |name, value: &str| {
        let value = plain(value, WORDS_CHARS_MAX);
        if !value.is_empty() {
            facts.push(Fact { name, value });
        }
    };
    if notice.kind == Kind::Alert {
        add("severity", severity(notice.severity));
    }
    add("who", &notice.identity);
    add("vouched for by", &notice.issuer);
    add("target", &notice.target);
    add("what", &notice.what);
    add("rules", &notice.rules.join(", "));
    add("asked", &notice.reviewers);
    if let Some(ended) = &notice.ended {
        add("by", &ended.by.join(", "));
    }
    if let Some(until) = notice.expires_at {
        add("until", &seconds(until));
    }
    if more > 0 {
        add("and", &format!("{more} more of the same"));
    }
    add("at", &seconds(notice.at));
    let title = title(notice);
    let mut subject = title.to_owned();
    for (before, part) in [(": ", &notice.identity), (" on ", &notice.target)] {
        let part = plain(part, 60);
        if !part.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(subject, "{before}{part}");
        }
    }
    let link = if notice.path.is_empty() || base.is_empty() { String::new() } else { format!("{base}{}", notice.path) };
    let action = if notice.kind.asks() { "Look and answer" } else { "Look" };
    Words { title, subject, facts, text: plain(&notice.text, TEXT_CHARS_MAX), link, action }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn line(words: &Words) -> String {
        let facts: Vec<String> = words.facts.iter().map(|f| format!("{}: {}", f.name, f.value)).collect();
        format!("{} ({})", words.title, facts.join("; "))
    }

    #[test]
    fn words_of_others_are_one_plain_line() {
        for (text, shown) in [
            ("ana", "ana"),
            ("a\r\nBcc: x@evil", "a Bcc: x@evil"),
            ("\n a \t b \u{2028}c ", "a b c"),
            ("safe\u{202e}txt\u{200b}\u{7}\u{1b}[2J", "safetxt[2J"),
            ("see https://evil.example/x", "see https[:]//evil.example/x"),
            ("[click](http://evil)", "[click](http[:]//evil)"),
            ("", ""),
            (" \n", ""),
            ("1234567890", "1234567890"),
            ("12345678901", "1234567890…"),
            ("123456789 x", "123456789…"),
            ("12345678 x", "12345678 x"),
        ] {
            let chars = if text.starts_with('1') { 10 } else { 200 };
            assert_eq!(plain(text, chars), shown, "{text:?}");
        }
    }

    #[test]
    fn a_notice_in_words_says_who_where_and_where_to_go() {
        let notice = Notice {
            identity: "ci\r\nX: y".to_owned(),
            target: "orders".to_owned(),
            what: "update".to_owned(),
            reviewers: "2 of dba".to_owned(),
            path: "/console/inbox/01J".to_owned(),
            ..Notice::new(Kind::ReviewAsked, "review.asked/01J", Timestamp::from_unix_s(0))
        };
        let w = words(&notice, "https://gw.example", 0);
        assert_eq!(w.subject, "A statement waits for you: ci X: y on orders");
        assert_eq!(w.link, "https://gw.example/console/inbox/01J");
        assert_eq!(
            line(&w),
            "A statement waits for you (who: ci X: y; target: orders; what: update; asked: 2 of dba; at: 1970-01-01T00:00:00Z)"
        );
        assert_eq!(words(&notice, "", 0).link, "", "no address, no link");
        assert!(line(&words(&notice, "", 41)).contains("and: 41 more of the same"));
    }
}
