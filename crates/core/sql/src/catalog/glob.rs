//! Patterns of names: `*` for any run of characters but a dot, `**` for any run at all.
//!
//! It must never take longer than the pattern's length times the name's.

/// One pattern, ready to be used many times.
#[derive(Clone, Debug)]
pub(crate) struct Glob(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    /// `*`
    Part,
    /// `**`
    Any,
}

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut rest = pattern;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("**") {
                pieces.push(Piece::Any);
                rest = after;
            } else if let Some(after) = rest.strip_prefix('*') {
                pieces.push(Piece::Part);
                rest = after;
            } else {
                let (text, after) = rest.split_at(rest.find('*').unwrap_or(rest.len()));
                pieces.push(Piece::Text(text.into()));
                rest = after;
            }
        }
        Self(pieces)
    }

    /// True when it begins with the words `name` and a dot, so that it means that schema and no other.
    pub(crate) fn begins_with(&self, name: &str) -> bool {
        matches!(self.0.first(), Some(Piece::Text(t)) if t.strip_prefix(name).is_some_and(|r| r.starts_with('.')))
    }

    /// True when the whole of `name` fits.
    pub(crate) fn fits(&self, name: &str) -> bool {
        if let Some(Piece::Text(last)) = self.0.last()
            && !name.ends_with(&**last)
        {
            return false;
        }
        // Which places of the name the pieces so far may end at.
        let mut ends = vec![false; name.len() + 1];
        if let Some(first) = ends.first_mut() {
            *first = true;
        }
        for piece in &self.0 {
            let mut next = vec![false; name.len() + 1];
            match piece {
                Piece::Text(text) => {
                    for (at, _) in ends.iter().enumerate().filter(|(_, e)| **e) {
                        if name.get(at..).is_some_and(|r| r.starts_with(&**text))
                            && let Some(slot) = next.get_mut(at + text.len())
                        {
                            *slot = true;
                        }
                    }
                }
                Piece::Part | Piece::Any => {
                    let mut reached = false;
                    for (at, slot) in next.iter_mut().enumerate() {
                        let crosses = at > 0 && name.as_bytes().get(at - 1) == Some(&b'.') && *piece == Piece::Part;
                        reached = reached && !crosses || ends.get(at) == Some(&true);
                        *slot = reached;
                    }
                }
            }
            ends = next;
        }
        ends.last() == Some(&true)
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn stars_stop_at_dots_and_double_stars_do_not() {
        for (pattern, name, fits) in [
            ("public.customers.email", "public.customers.email", true),
            ("public.customers.email", "public.customers.emails", false),
            ("public.*.email", "public.customers.email", true),
            ("*.email", "public.customers.email", false),
            ("**.email", "public.customers.email", true),
            ("**email", "public.customers.work_email", true),
            ("public.cust*.*", "public.customers.email", true),
            ("public.*", "public.customers.email", false),
            ("public.**", "public.customers.email", true),
            ("**", "", true),
            ("*", "", true),
            ("*", "é", true),
            ("", "", true),
            ("", "a", false),
            ("a*a", "a", false),
            ("**.é*", "s.t.été", true),
            ("*a*a*a*a*a*b", &"a".repeat(2_000), false),
            ("public.*.mail", "public.a.b.mail", false),
        ] {
            assert_eq!(Glob::new(pattern).fits(name), fits, "{pattern} {name}");
        }
        assert!(Glob::new("pg_catalog.**").begins_with("pg_catalog"));
        assert!(
            !Glob::new("pg_*.**").begins_with("pg_catalog") && !Glob::new("pg_catalogue.x").begins_with("pg_catalog")
        );
    }
}
