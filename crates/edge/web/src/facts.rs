//! What the API answered, read for a page: what is missing is empty, and every text is inert.

use countersign_model::Timestamp;
use serde_json::Value;

use crate::shown::Shown;
use crate::when::When;

/// A part of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a>(Option<&'a Value>);

impl<'a> Facts<'a> {
    pub(crate) fn of(value: &'a Value) -> Self {
        Self(Some(value))
    }

    /// The member with this name.
    pub(crate) fn at(self, name: &str) -> Self {
        Self(self.0.and_then(|v| v.get(name)))
    }

    pub(crate) fn is_there(self) -> bool {
        self.0.is_some_and(|v| !v.is_null())
    }

    /// As it came: only to be compared, or sent back.
    pub(crate) fn raw(self) -> &'a str {
        self.0.and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn text(self) -> Shown {
        match self.0 {
            None | Some(Value::Null) => Shown::default(),
            Some(Value::String(text)) => Shown::new(text),
            Some(other) => Shown::new(&other.to_string()),
        }
    }

    pub(crate) fn number(self) -> u64 {
        self.0.and_then(Value::as_u64).unwrap_or(0)
    }

    pub(crate) fn flag(self) -> bool {
        self.0.and_then(Value::as_bool).unwrap_or(false)
    }

    pub(crate) fn list(self) -> impl Iterator<Item = Facts<'a>> {
        self.0.and_then(Value::as_array).into_iter().flatten().map(|v| Facts(Some(v)))
    }

    pub(crate) fn members(self) -> impl Iterator<Item = (&'a str, Facts<'a>)> {
        self.0.and_then(Value::as_object).into_iter().flatten().map(|(name, v)| (name.as_str(), Facts(Some(v))))
    }

    /// A list of texts as one.
    pub(crate) fn texts(self) -> Shown {
        let all: Vec<String> = self.list().map(|f| f.text().to_string()).collect();
        Shown::new(&all.join(", "))
    }

    /// Microseconds since the Unix epoch.
    pub(crate) fn us(self) -> Option<Timestamp> {
        self.0.and_then(Value::as_i64).map(Timestamp::from_unix_us)
    }

    /// When, of seconds since the Unix epoch.
    pub(crate) fn when_s(self, now: Timestamp) -> Option<When> {
        self.0.and_then(Value::as_i64).map(|s| When::new(Timestamp::from_unix_s(s), now))
    }

    /// When, of microseconds since the Unix epoch.
    pub(crate) fn when_us(self, now: Timestamp) -> Option<When> {
        self.us().map(|at| When::new(at, now))
    }
}

/// A text as a part of a path or query.
pub(crate) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
