//! Reading a parsed tree against the schema: forms, limits, unknown and missing keys. It collects problems and never stops early.

mod sink;
mod value;

pub(crate) use sink::{Fault, Sink};
#[cfg(test)]
pub(crate) use value::default_fits;
pub(crate) use value::url_host;

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::excerpt::is_secret_key;
use crate::schema::{Form, Key, Presence, Section};
use crate::suggest;

/// A value with the place it came from.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
    /// The full key, for people.
    pub(crate) key: String,
    /// False when it is a default.
    pub(crate) given: bool,
}

/// One table being read.
pub(crate) struct Table<'t> {
    section: &'static Section,
    /// The key of the table itself, such as `target.orders`.
    pub(crate) path: String,
    entries: Option<&'t DeTable<'t>>,
    /// The header or braces.
    pub(crate) span: Range<usize>,
    asked: Vec<&'static str>,
}

impl<'t> Table<'t> {
    /// A table that is there.
    pub(crate) fn new(section: &'static Section, path: String, entries: &'t DeTable<'t>, span: Range<usize>) -> Self {
        Self { section, path, entries: Some(entries), span, asked: Vec::new() }
    }

    /// A table that is not there: every key has its default.
    pub(crate) fn absent(section: &'static Section, path: &str, span: Range<usize>) -> Self {
        Self { section, path: path.to_owned(), entries: None, span, asked: Vec::new() }
    }

    /// Whether the key is written.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Whether nothing at all is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_none_or(DeTable::is_empty)
    }

    /// The place of a key's value, or of the table when it is not written.
    pub(crate) fn span_of(&self, name: &str) -> Range<usize> {
        self.entry(name).map_or_else(|| self.span.clone(), |v| v.span())
    }

    /// The key is read elsewhere.
    pub(crate) fn note(&mut self, name: &'static str) {
        self.asked.push(name);
    }

    /// The full key.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn entry(&self, name: &str) -> Option<&'t toml::Spanned<DeValue<'t>>> {
        self.entries.and_then(|e| e.get(name))
    }

    /// Reads the key with `parse`, which says what it expects when it returns `None`. A value of the wrong form, and a missing
    /// required key, become problems.
    fn value<T>(
        &mut self,
        sink: &mut Sink<'_>,
        name: &'static str,
        parse: impl Fn(&Key, &DeValue<'_>) -> Result<T, Misfit>,
    ) -> Option<At<T>> {
        let key = self.section.key(name)?;
        self.asked.push(name);
        let path = self.path_of(name);
        if let Some(v) = self.entry(name) {
            return match parse(key, v.get_ref()) {
                Ok(value) => Some(At { value, span: v.span(), key: path, given: true }),
                Err(misfit) => {
                    let found = if is_secret_key(name) { kind_of(v.get_ref()) } else { describe(v.get_ref()) };
                    let message = format!("`{name}` is not as expected");
                    let expected = Some(misfit.expected.unwrap_or_else(|| key.form.describe()));
                    sink.error(Fault {
                        found: Some(found),
                        expected,
                        suggestion: misfit.suggestion,
                        ..Fault::new(v.span(), path, message)
                    });
                    None
                }
            };
        }
        match key.presence {
            Presence::Default(literal) => {
                let tree = DeValue::parse(literal).ok()?;
                let value = parse(key, tree.get_ref()).ok()?;
                Some(At { value, span: self.span.clone(), key: path, given: false })
            }
            Presence::Required => {
                let message = format!("`{name}` is missing in {}", self.section.header);
                sink.missing(Fault {
                    expected: Some(key.form.describe()),
                    ..Fault::new(self.span.clone(), path, message)
                });
                None
            }
            Presence::Optional | Presence::Derived(_) => None,
        }
    }

    /// Complains of every key that the section does not have.
    pub(crate) fn finish(self, sink: &mut Sink<'_>) {
        debug_assert!(
            self.section.keys.iter().all(|k| self.asked.contains(&k.name)),
            "{}: a key is declared and never read: {:?}",
            self.section.header,
            self.asked
        );
        for (key, _) in self.entries.into_iter().flatten() {
            let name = key.get_ref();
            if self.section.key(name).is_some() {
                continue;
            }
            if sink.is_full() {
                sink.count_one();
                continue;
            }
            let names: Vec<&str> = self.section.keys.iter().map(|k| k.name).collect();
            let shown = cut(name);
            let message = format!("unknown key `{shown}` in {}", self.section.header);
            let expected = names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            let meant = suggest::nearest(name, names.iter().copied());
            if let Some(meant) = meant {
                sink.retract_missing(&self.path_of(meant));
            }
            let suggestion = meant.map(|n| format!("did you mean `{n}`?"));
            let path = self.path_of(&shown);
            sink.error(Fault {
                expected: Some(format!("one of {expected}")),
                suggestion,
                ..Fault::new(key.span(), path, message)
            });
        }
    }

    /// The table under a key; `None` when it is not written or is no table.
    pub(crate) fn table(
        &mut self,
        sink: &mut Sink<'_>,
        name: &'static str,
        section: &'static Section,
    ) -> Option<Table<'t>> {
        let key = self.section.key(name)?;
        self.asked.push(name);
        let path = self.path_of(name);
        let Some(v) = self.entry(name) else {
            if key.presence == Presence::Required {
                let message = format!("`{name}` is missing in {}", self.section.header);
                sink.missing(Fault {
                    expected: Some(key.form.describe()),
                    ..Fault::new(self.span.clone(), path, message)
                });
            }
            return None;
        };
        match v.get_ref() {
            DeValue::Table(t) => Some(Table::new(section, path, t, v.span())),
            other => {
                let expected = Some(key.form.describe());
                // What stands where a table of secret sources belongs may be the secret itself.
                let found = if matches!(key.form, Form::OneKey(_)) { kind_of(other) } else { describe(other) };
                let message = format!("`{name}` is not as expected");
                sink.error(Fault { found: Some(found), expected, ..Fault::new(v.span(), path, message) });
                None
            }
        }
    }

    /// The table under a key, or one full of defaults.
    pub(crate) fn table_or_default(
        &mut self,
        sink: &mut Sink<'_>,
        name: &'static str,
        section: &'static Section,
    ) -> Table<'t> {
        let span = self.span.clone();
        let path = self.path_of(name);
        self.table(sink, name, section).unwrap_or_else(|| Table::absent(section, &path, span))
    }

    /// The tables under a key, at most as many as its form allows.
    pub(crate) fn tables(
        &mut self,
        sink: &mut Sink<'_>,
        name: &'static str,
        section: &'static Section,
    ) -> Vec<Table<'t>> {
        let Some(key) = self.section.key(name) else { return Vec::new() };
        self.asked.push(name);
        let path = self.path_of(name);
        let Some(v) = self.entry(name) else {
            if key.presence == Presence::Required {
                let message = format!("there is no {}", section.header);
                let expected = Some(format!("at least one {}", section.header));
                sink.missing(Fault { expected, ..Fault::new(self.span.clone(), path, message) });
            }
            return Vec::new();
        };
        let most = if let Form::Tables(_, most) = key.form { most } else { 0 };
        let DeValue::Array(items) = v.get_ref() else {
            let suggestion = matches!(v.get_ref(), DeValue::Table(_))
                .then(|| format!("write {} with two brackets: there can be several", section.header));
            let found = Some(describe(v.get_ref()));
            let expected = Some(format!("{} sections", section.header));
            let message = format!("`{name}` is not as expected");
            sink.error(Fault { found, expected, suggestion, ..Fault::new(v.span(), path, message) });
            return Vec::new();
        };
        if items.is_empty() && key.presence == Presence::Required {
            let message = format!("there is no {}", section.header);
            let expected = Some(format!("at least one {}", section.header));
            sink.error(Fault { expected, ..Fault::new(v.span(), path, message) });
            return Vec::new();
        }
        let mut out = Vec::new();
        for (n, item) in items.iter().enumerate() {
            let path = format!("{path}.{}", n + 1);
            if n == most {
                let message = format!("there are too many {}: {}", section.header, items.len());
                sink.error(Fault {
                    expected: Some(format!("at most {most}")),
                    ..Fault::new(item.span(), path, message)
                });
                break;
            }
            match item.get_ref() {
                DeValue::Table(t) => out.push(Table::new(section, path, t, item.span())),
                other => {
                    let found = Some(describe(other));
                    let message = format!("`{name}` holds something that is not a table");
                    let expected = Some(format!("{} sections", section.header));
                    sink.error(Fault { found, expected, ..Fault::new(item.span(), path, message) });
                }
            }
        }
        out
    }
}

/// Why a value does not fit.
#[derive(Default)]
struct Misfit {
    /// What is expected, when the form's own words say too little.
    expected: Option<String>,
    suggestion: Option<String>,
}

/// A value as people wrote it, cut.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(s) if crate::excerpt::has_user_info(s) => "a URL with a password in it".to_owned(),
        DeValue::String(s) => format!("the text \"{}\"", cut(s)),
        DeValue::Integer(i) => format!("the number {}", cut(i.as_str())),
        DeValue::Float(x) => format!("the number {}", cut(x.as_str())),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => kind_of(value),
    }
}

/// What sort of value it is, without the value.
fn kind_of(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
    .to_owned()
}

/// At most 60 characters, none of them a control character.
pub(crate) fn cut(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut chars = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut out: String = chars.by_ref().take(CHARS_MAX).collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}
