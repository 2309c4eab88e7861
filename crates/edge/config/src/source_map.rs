//! Where each key of a good configuration stands, so that checks of other crates can point there too.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::excerpt::Source;
use crate::problem::{Problem, Severity};

/// Deeper values have no place of their own.
const DEPTH_MAX: usize = 16;

/// The places of a configuration's keys, with the lines to show (secrets blotted out).
#[derive(Clone, Debug)]
pub struct SourceMap {
    file: String,
    places: BTreeMap<String, Spot>,
}

#[derive(Clone, Debug)]
struct Spot {
    line: usize,
    column: usize,
    length: usize,
    text: String,
}

impl SourceMap {
    pub(crate) fn new(file_name: &str, text: &str, tree: &DeTable<'_>) -> Self {
        let source = Source::new(file_name, text, tree);
        let mut map = Self { file: file_name.to_owned(), places: BTreeMap::new() };
        map.table(&source, "", tree, 0);
        map
    }

    fn table(&mut self, source: &Source<'_>, path: &str, table: &DeTable<'_>, depth: usize) {
        for (key, value) in table {
            let path = if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
            self.value(source, path, value.get_ref(), value.span(), depth + 1);
        }
    }

    fn value(&mut self, source: &Source<'_>, path: String, value: &DeValue<'_>, span: Range<usize>, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        match value {
            DeValue::Table(t) => self.table(source, &path, t, depth),
            DeValue::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    self.value(source, format!("{path}.{}", n + 1), item.get_ref(), item.span(), depth + 1);
                }
            }
            _ => {}
        }
        let place = source.place(&span);
        let spot = Spot { line: place.line, column: place.column, length: place.length, text: place.text };
        self.places.insert(path, spot);
    }

    /// A problem at `key`, which counts list entries from 1: `issuer.1.mapping.2.when`. A key that is not written is shown at
    /// what it would be in, and what is in nothing at the start of the file.
    pub fn problem(&self, severity: Severity, key: &str, message: &str) -> Problem {
        let mut at = Some(key);
        let spot = loop {
            let Some(k) = at else { break None };
            if let Some(spot) = self.places.get(k) {
                break Some(spot);
            }
            at = k.rsplit_once('.').map(|(outer, _)| outer);
        };
        Problem {
            severity,
            file: self.file.clone(),
            line: spot.map_or(1, |s| s.line),
            column: spot.map_or(1, |s| s.column),
            key: key.to_owned(),
            message: message.to_owned(),
            found: None,
            expected: None,
            suggestion: None,
            excerpt: spot.map(|s| s.text.clone()).unwrap_or_default(),
            length: spot.map_or(1, |s| s.length),
        }
    }
}
