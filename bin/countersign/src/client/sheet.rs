//! Names and values, one to a line, wrapped to the width of the paper.

use crate::commands::paper::Paper;
use crate::commands::text::{inert, width, wrap};
use crate::failed::Failed;

/// Between a name and its value.
const GAP: usize = 2;

/// Names and values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sheet(Vec<(String, String)>);

impl Sheet {
    /// Adds a line; both are made inert. An empty value is left out.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.push((inert(name), inert(value)));
        }
    }

    /// The lines, none wider than `room` where words allow it.
    pub(crate) fn lines(&self, room: usize) -> Vec<String> {
        let left = self.0.iter().map(|(name, _)| width(name)).max().unwrap_or(0) + GAP;
        let mut lines = Vec::new();
        for (name, value) in &self.0 {
            for (n, part) in wrap(value, room.saturating_sub(left)).into_iter().enumerate() {
                let name = if n == 0 { name.as_str() } else { "" };
                lines.push(format!("{name}{}{part}", " ".repeat(left - width(name))));
            }
        }
        lines
    }

    /// Writes them.
    pub(crate) fn print(&self, paper: &mut Paper) -> Result<(), Failed> {
        self.lines(paper.width()).iter().try_for_each(|l| paper.line(l))
    }
}

#[cfg(test)]
mod tests {
    use super::{Sheet, width};

    #[test]
    fn values_stand_below_each_other() {
        let mut sheet = Sheet::default();
        sheet.add("name", "ana\u{1b}");
        sheet.add("groups", "one, two, three, four");
        sheet.add("nothing", "");
        let lines = sheet.lines(22);
        assert_eq!(lines, ["name    ana\\u{1b}", "groups  one, two,", "        three, four"]);
        assert!(lines.iter().all(|l| width(l) <= 22));
        assert!(Sheet::default().lines(80).is_empty());
    }
}
