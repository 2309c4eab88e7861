//! Every section and key of the configuration, declared once: the reader, the suggestions and the reference all look here.

mod applied;
mod identities;
mod keys;
mod masking;
mod notices;
mod saml;
mod scim;

pub(crate) use applied::{APPLIED, APPLIED_TAG};
pub(crate) use identities::{IDENTITY, ISSUER, LOCAL_CLIENT, LOCAL_ISSUER, MAPPING, SPIFFE, TOKEN_REVIEW};
pub(crate) use keys::{
    ACCOUNT, API, CERTIFICATE, GATEWAY, KEY_SOURCE, LISTENER, POLICY, RECORDING, ROOT, SECRET, SECTIONS, STORE,
    STORE_URL, TARGET, TARGETS_MAX, TELEMETRY, UPSTREAM_TLS, VAULT,
};
pub(crate) use masking::{MASKING, TAG, TAG_FILE, TAG_RULES_MAX};
pub(crate) use notices::RECEIVER;
pub(crate) use saml::SAML;
pub(crate) use scim::SCIM;

use crate::units;

/// A table of the configuration.
#[derive(Debug)]
pub(crate) struct Section {
    /// How it is written, such as `[[target]]`.
    pub(crate) header: &'static str,
    /// What it is for, one or two sentences.
    pub(crate) doc: &'static str,
    /// Its keys, in the order of the reference.
    pub(crate) keys: &'static [Key],
}

impl Section {
    /// The key of that name.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|k| k.name == name)
    }
}

/// A key of a section.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) presence: Presence,
    /// One or two sentences, ending with a full stop.
    pub(crate) doc: &'static str,
}

/// What happens without the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It must be there.
    Required,
    /// It may be left out.
    Optional,
    /// It is read as this TOML value.
    Default(&'static str),
    /// It depends; the text says on what.
    Derived(&'static str),
}

/// What a value looks like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// Text of at most so many characters.
    Text(usize),
    /// A name: 1 to 63 of `a-z A-Z 0-9 _ - .`, starting with a letter or digit.
    Name,
    /// One of these.
    Word(&'static [&'static str]),
    /// The name of a protocol that this binary speaks.
    Protocol,
    /// True or false.
    Flag,
    /// A whole number in this range.
    Count(i64, i64),
    /// A duration in this range of seconds.
    Seconds(u64, u64),
    /// A size in this range of bytes.
    Size(u64, u64),
    /// An IP address and a port.
    Address,
    /// A URL with one of these schemes.
    Url(&'static [&'static str]),
    /// A path.
    Path,
    /// Several texts, each of at most so many characters.
    Texts(usize),
    /// Several of these.
    Words(&'static [&'static str]),
    /// What data is, such as `pii.email`.
    Tag,
    /// Several of these that content is searched for, or one of the words.
    Sought(&'static [&'static str]),
    /// Text by key.
    Labels,
    /// Values by claim.
    Claims,
    /// A table, or one of these words.
    WordOr(&'static [&'static str], &'static Section),
    /// A table in which exactly one key is set.
    OneKey(&'static Section),
    /// A table.
    Table(&'static Section),
    /// Several tables, at most so many.
    Tables(&'static Section, usize),
}

impl Form {
    /// What is expected, to be read after "expected".
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Text(n) => format!("text of at most {n} characters"),
            Self::Name => {
                "a name: 1 to 63 letters, digits, `_`, `-` or `.`, starting with a letter or digit".to_owned()
            }
            Self::Word(words) => one_of(words),
            Self::Protocol => "the name of a protocol".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Count(min, i64::MAX) => format!("a whole number from {min}"),
            Self::Count(min, max) => format!("a whole number from {min} to {max}"),
            Self::Seconds(min, max) => format!("{}; from {min} to {max} seconds", units::SECONDS_FORM),
            Self::Size(min, u64::MAX) => format!("{}; at least {min} bytes", units::SIZE_FORM),
            Self::Size(min, max) => format!("{}; from {min} to {max} bytes", units::SIZE_FORM),
            Self::Address => "an IP address and a port, such as \"127.0.0.1:5432\" or \"[::1]:5432\"".to_owned(),
            Self::Url(schemes) => {
                let schemes: Vec<String> = schemes.iter().map(|s| format!("{s}://")).collect();
                format!("a URL that starts with {}", schemes.join(" or "))
            }
            Self::Path => "a path".to_owned(),
            Self::Texts(n) => format!("a list of texts, each of at most {n} characters"),
            Self::Words(words) => format!("a list of {}", one_of(words)),
            Self::Tag => "a tag: parts of a-z, 0-9, `_` or `-` joined by dots, such as \"pii.email\"".to_owned(),
            Self::Sought(words) => format!("{}, or a list of tags that can be found in content", one_of(words)),
            Self::Labels => "a table of texts, such as { env = \"prod\" }".to_owned(),
            Self::Claims => {
                "a table of claims, each with a value or a list of texts, such as { ref = \"refs/heads/main\" }"
                    .to_owned()
            }
            Self::WordOr(words, section) => format!("{}, or a table {}", one_of(words), shape(section)),
            Self::OneKey(section) => {
                let forms: Vec<String> = section.keys.iter().map(|k| format!("{{ {} = … }}", k.name)).collect();
                format!("one of {}", forms.join(", "))
            }
            Self::Table(section) => format!("a table {}", shape(section)),
            Self::Tables(section, n) => format!("at most {n} tables {}", shape(section)),
        }
    }
}

fn shape(section: &Section) -> String {
    let keys: Vec<&str> = section.keys.iter().map(|k| k.name).collect();
    format!("{{ {} }}", keys.join(", "))
}

/// `"a"`, `"b"` or `"c"`.
fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("\"{w}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
