//! Where each key of a good configuration stands, so that checks of other crates can point there too.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::excerpt::Source;
use crate::problem::{Problem, Severity};

/// Deeper values have no place of their own.
const DEPTH_MAX: usize = 16;

/// The places of a configuration's keys. Lines are shown with secrets blotted out.
#[derive(Clone)]
pub struct SourceMap {
    source: Source,
    places: BTreeMap<String, Range<usize>>,
}

/// Without the text.
impl std::fmt::Debug for SourceMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SourceMap({}, {} keys)", self.source.file_name(), self.places.len())
    }
}

impl SourceMap {
    pub(crate) fn new(source: Source, tree: &DeTable<'_>) -> Self {
        let mut map = Self { source, places: BTreeMap::new() };
        map.table("", tree, 0);
        map
    }

    fn table(&mut self, path: &str, table: &DeTable<'_>, depth: usize) {
        for (key, value) in table {
            let path = if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
            self.value(path, value.get_ref(), value.span(), depth + 1);
        }
    }

    fn value(&mut self, path: String, value: &DeValue<'_>, span: Range<usize>, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        match value {
            DeValue::Table(t) => self.table(&path, t, depth),
            DeValue::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    self.value(format!("{path}.{}", n + 1), item.get_ref(), item.span(), depth + 1);
                }
            }
            _ => {}
        }
        self.places.insert(path, span);
    }

    /// A problem at `key`, which counts list entries from 1: `issuer.1.mapping.2.when`. A key that is not written is shown at
    /// what it would be in, and what is in nothing at the start of the file.
    pub fn problem(&self, severity: Severity, key: &str, message: &str) -> Problem {
        let place = self.source.place(&self.span(key));
        Problem {
            severity,
            file: self.source.file_name().to_owned(),
            line: place.line,
            column: place.column,
            key: key.to_owned(),
            message: message.to_owned(),
            found: None,
            expected: None,
            suggestion: None,
            excerpt: place.text,
            offset: place.offset,
            length: place.length,
        }
    }

    /// Where a key stands, for people: the file and the line.
    pub fn place(&self, key: &str) -> String {
        format!("{}:{}", self.source.file_name(), self.source.place(&self.span(key)).line)
    }

    fn span(&self, key: &str) -> Range<usize> {
        let mut at = Some(key);
        while let Some(k) = at {
            if let Some(span) = self.places.get(k) {
                return span.clone();
            }
            at = k.rsplit_once('.').map(|(outer, _)| outer);
        }
        0..0
    }
}
