//! A statement in colours, for reading only: words, texts, numbers and comments, as most query languages write them. What is not
//! recognised is plain, and every character of it is there.

use crate::shown::Shown;

/// A piece of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Its class in the style sheet; empty for what is plain.
    pub(crate) class: &'static str,
    pub(crate) text: Shown,
}

/// Words that stand out, in lower case.
const WORDS: [&str; 78] = [
    "add",
    "all",
    "alter",
    "analyze",
    "and",
    "any",
    "as",
    "asc",
    "begin",
    "between",
    "by",
    "call",
    "cascade",
    "case",
    "column",
    "commit",
    "copy",
    "create",
    "cross",
    "database",
    "default",
    "delete",
    "desc",
    "distinct",
    "do",
    "drop",
    "else",
    "end",
    "except",
    "execute",
    "exists",
    "explain",
    "false",
    "from",
    "full",
    "function",
    "grant",
    "group",
    "having",
    "in",
    "index",
    "inner",
    "insert",
    "intersect",
    "into",
    "is",
    "join",
    "left",
    "like",
    "limit",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "returning",
    "revoke",
    "right",
    "role",
    "rollback",
    "schema",
    "select",
    "set",
    "table",
    "then",
    "to",
    "true",
    "truncate",
    "union",
    "update",
    "using",
    "values",
    "view",
    "when",
    "where",
    "with",
];
/// Words that change or destroy: they stand out more.
const GRAVE: [&str; 11] =
    ["alter", "call", "copy", "delete", "do", "drop", "grant", "insert", "revoke", "truncate", "update"];

/// The pieces of a text, in order.
pub(crate) fn pieces(text: &str) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (class, length) = token(rest, first);
        let length = length.max(first.len_utf8()).min(rest.len());
        let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if class.is_empty() {
            plain.push_str(piece);
        } else {
            if !plain.is_empty() {
                out.push(Piece { class: "", text: Shown::lines(&std::mem::take(&mut plain)) });
            }
            out.push(Piece { class, text: Shown::lines(piece) });
        }
        rest = after;
    }
    if !plain.is_empty() {
        out.push(Piece { class: "", text: Shown::lines(&plain) });
    }
    out
}

fn token(rest: &str, first: char) -> (&'static str, usize) {
    let until = |end: fn(char) -> bool| rest.find(end).unwrap_or(rest.len());
    match first {
        '\'' => ("s", quoted(rest, '\'')),
        '"' => ("q", quoted(rest, '"')),
        '-' if rest.starts_with("--") => ("c", until(|c| c == '\n')),
        '/' if rest.starts_with("/*") => ("c", rest.find("*/").map_or(rest.len(), |at| at + 2)),
        c if c.is_ascii_digit() => ("n", until(|c| !c.is_ascii_alphanumeric() && c != '.')),
        c if c.is_alphabetic() || c == '_' => {
            let end = until(|c| !c.is_alphanumeric() && c != '_' && c != '$');
            let word = rest.get(..end).unwrap_or_default().to_ascii_lowercase();
            let class = if GRAVE.contains(&word.as_str()) {
                "g"
            } else if WORDS.binary_search(&word.as_str()).is_ok() {
                "k"
            } else {
                ""
            };
            (class, end)
        }
        _ => ("", first.len_utf8()),
    }
}

/// How long a quoted text is; a doubled quote is one of its characters.
fn quoted(rest: &str, quote: char) -> usize {
    let mut inside = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = inside.next() {
        if c == quote {
            if inside.peek().is_some_and(|(_, next)| *next == quote) {
                inside.next();
            } else {
                return at + c.len_utf8();
            }
        }
    }
    rest.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let found = pieces(text);
        let found: Vec<(&str, &str)> = found.iter().map(|p| (p.class, p.text.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn statements_are_coloured_and_whole() {
        assert!(WORDS.is_sorted(), "they are searched");
        check("update a set b = 1", &[("g", "update"), ("", " a "), ("k", "set"), ("", " b = "), ("n", "1")]);
        check("'it''s' x", &[("s", "'it''s'"), ("", " x")]);
        check("-- drop\nx", &[("c", "-- drop"), ("", "\nx")]);
        check("/* a */b", &[("c", "/* a */"), ("", "b")]);
        check("\"drop\"", &[("q", "\"drop\"")]);
        check("selected", &[("", "selected")]);
        check("'open", &[("s", "'open")]);
        check("/* open", &[("c", "/* open")]);
        check("é日\u{202e}", &[("", "é日\\u{202e}")]);
        for text in ["", "'", "\"", "--", "/*", "'é", "1.5e3x", "a$b_c", "<script>alert(1)</script>"] {
            let whole: String = pieces(text).iter().map(|p| p.text.as_str()).collect();
            assert_eq!(whole, text);
        }
    }
}
