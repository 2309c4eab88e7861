//! What applying something would change, and what is wrong with it: a part of the pages about what is applied.

use serde_json::Value;

use crate::facts::Facts;
use crate::shown::Shown;

/// The most lines of all files that are shown; the command line shows the rest.
const LINES_MAX: usize = 2_000;

/// A line of a text that differs.
pub(crate) struct Line {
    /// `add`, `gone`, `place` or empty.
    pub(crate) class: &'static str,
    pub(crate) text: Shown,
}

/// A file that differs.
pub(crate) struct File {
    pub(crate) path: Shown,
    pub(crate) change: Shown,
    pub(crate) lines: Vec<Line>,
}

/// A target, rule or tag.
pub(crate) struct Change {
    pub(crate) change: Shown,
    pub(crate) kind: Shown,
    pub(crate) name: Shown,
    pub(crate) file: Shown,
}

/// Something that is wrong, or odd.
pub(crate) struct Remark {
    pub(crate) place: Shown,
    pub(crate) message: Shown,
    pub(crate) more: Vec<Shown>,
}

/// All of it.
#[derive(Default)]
pub(crate) struct Difference {
    pub(crate) base: u64,
    pub(crate) problems: Vec<Remark>,
    pub(crate) warnings: Vec<Remark>,
    pub(crate) changes: Vec<Change>,
    pub(crate) files: Vec<File>,
    /// Not everything is shown.
    pub(crate) is_cut: bool,
    pub(crate) locks_out: bool,
}

fn remark(p: Facts<'_>) -> Remark {
    let (file, line) = (p.at("file").text(), p.at("line").number());
    let place = if line == 0 { file.to_string() } else { format!("{file}:{line}:{}", p.at("column").number()) };
    let more = [("found", "Found"), ("expected", "Expected"), ("suggestion", "Help")].into_iter();
    let more = more.filter(|(name, _)| p.at(name).is_there());
    Remark {
        place: Shown::new(&place),
        message: p.at("message").text(),
        more: more.map(|(name, word)| Shown::new(&format!("{word}: {}", p.at(name).text()))).collect(),
    }
}

fn line(text: &str) -> Line {
    let class = match text.chars().next() {
        _ if text.starts_with("--- ") || text.starts_with("+++ ") || text.starts_with("@@ ") => "place",
        Some('+') => "add",
        Some('-') => "gone",
        _ => "",
    };
    Line { class, text: Shown::lines(text) }
}

impl Difference {
    /// As the API told it.
    pub(crate) fn of(told: &Value) -> Self {
        let told = Facts::of(told);
        let mut room = LINES_MAX;
        let mut is_cut = false;
        let mut file = |f: Facts<'_>| {
            let all: Vec<&str> = f.at("diff").raw().lines().collect();
            is_cut |= all.len() > room;
            let lines: Vec<Line> = all.iter().take(room).map(|text| line(text)).collect();
            room -= lines.len();
            File { path: f.at("path").text(), change: f.at("change").text(), lines }
        };
        let files = told.at("files").list().map(&mut file).collect();
        let change = |c: Facts<'_>| Change {
            change: c.at("change").text(),
            kind: c.at("kind").text(),
            name: c.at("name").text(),
            file: c.at("file").text(),
        };
        Self {
            base: told.at("base").number(),
            problems: told.at("problems").list().map(remark).collect(),
            warnings: told.at("warnings").list().map(remark).collect(),
            changes: told.at("changes").list().map(change).collect(),
            files,
            is_cut,
            locks_out: told.at("locks_you_out").flag(),
        }
    }

    /// Nothing is different.
    pub(crate) fn is_nothing(&self) -> bool {
        self.files.is_empty() && self.problems.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_long_difference_is_cut_over_all_files() {
        let of = |lines: usize| json!({ "path": "a.cedar", "change": "added", "diff": "+x\n".repeat(lines) });
        let shown = |files: &[Value]| {
            let d = Difference::of(&json!({ "files": files }));
            (d.files.iter().map(|f| f.lines.len()).sum::<usize>(), d.is_cut)
        };
        assert_eq!(shown(&[of(LINES_MAX - 1), of(1)]), (LINES_MAX, false));
        assert_eq!(shown(&[of(LINES_MAX), of(1)]), (LINES_MAX, true));
    }

    #[test]
    fn lines_are_told_apart_by_their_signs() {
        for (text, class) in
            [("+a", "add"), ("-a", "gone"), (" a", ""), ("@@ -1,1 +1,1 @@", "place"), ("--- a", "place"), ("", "")]
        {
            assert_eq!(line(text).class, class, "{text:?}");
        }
        assert_eq!(line("+\u{202e}x").text.as_str(), "+\\u{202e}x");
    }
}
