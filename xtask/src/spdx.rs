//! Evaluates a licence expression (SPDX: `OR`, `AND`, `WITH`, parentheses, and crates.io's old `/` for `OR`) against an allow-list.
//!
//! An expression that cannot be read is never allowed.

/// The deepest nesting of parentheses that is read.
const DEPTH_MAX: usize = 16;

/// True when the licences that must all be accepted can all be accepted from `allowed`; an `Err` when it is no expression.
pub(crate) fn is_allowed(expression: &str, allowed: &[String]) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { tokens: &tokens, at: 0, allowed };
    let value = parser.any(0)?;
    match parser.peek() {
        None => Ok(value),
        Some(t) => Err(format!("'{t}' is out of place in '{expression}'")),
    }
}

struct Parser<'a> {
    tokens: &'a [&'a str],
    at: usize,
    allowed: &'a [String],
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).copied()
    }

    fn take(&mut self) -> Option<&'a str> {
        let t = self.peek();
        self.at = self.at.saturating_add(1);
        t
    }

    fn any(&mut self, depth: usize) -> Result<bool, String> {
        let mut value = self.all(depth)?;
        while self.peek() == Some("OR") {
            self.at = self.at.saturating_add(1);
            value |= self.all(depth)?;
        }
        Ok(value)
    }

    fn all(&mut self, depth: usize) -> Result<bool, String> {
        let mut value = self.one(depth)?;
        while self.peek() == Some("AND") {
            self.at = self.at.saturating_add(1);
            value &= self.one(depth)?;
        }
        Ok(value)
    }

    fn one(&mut self, depth: usize) -> Result<bool, String> {
        match self.take() {
            Some("(") if depth < DEPTH_MAX => {
                let value = self.any(depth.saturating_add(1))?;
                match self.take() {
                    Some(")") => Ok(value),
                    _ => Err("a parenthesis is not closed".to_owned()),
                }
            }
            None | Some("(" | ")" | "OR" | "AND" | "WITH") => Err("a licence is missing".to_owned()),
            Some(id) => {
                let mut name = id.to_owned();
                if self.peek() == Some("WITH") {
                    self.at = self.at.saturating_add(1);
                    let exception = self.take().ok_or("WITH what?")?;
                    name = format!("{id} WITH {exception}");
                }
                Ok(self.allowed.contains(&name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn expressions() {
        let allowed: Vec<String> =
            ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].iter().map(|s| (*s).to_owned()).collect();
        let deep = format!("{}MIT{}", "(".repeat(17), ")".repeat(17));
        let not_too_deep = format!("{}MIT{}", "(".repeat(16), ")".repeat(16));
        for (expression, expected) in [
            ("MIT", Some(true)),
            ("GPL-3.0", Some(false)),
            ("MIT OR GPL-3.0", Some(true)),
            ("MIT/GPL-3.0", Some(true)),
            ("MIT AND GPL-3.0", Some(false)),
            ("GPL-3.0 OR MIT AND Apache-2.0", Some(true)),
            ("(GPL-3.0 OR MIT) AND AGPL-3.0", Some(false)),
            ("Apache-2.0 WITH LLVM-exception", Some(true)),
            ("MIT WITH LLVM-exception", Some(false)),
            ("", None),
            ("MIT OR", None),
            ("(MIT", None),
            ("MIT)", None),
            ("MIT GPL-3.0", None),
            (not_too_deep.as_str(), Some(true)),
            (deep.as_str(), None),
        ] {
            assert_eq!(is_allowed(expression, &allowed).ok(), expected, "{expression:?}");
        }
    }
}
