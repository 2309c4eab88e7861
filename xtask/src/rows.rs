//! Which rows of the adversarial list (docs: numbers 1 to 100) have a test that names them, as in `adv_009_multi_statement`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::tree;

/// How many rows the list has.
const ROWS: u32 = 100;

/// Lists the rows with the number of places that test each, and those without any.
pub(crate) fn list(root: &Path) -> Result<String, String> {
    let mut found: BTreeMap<u32, usize> = BTreeMap::new();
    for file in tree::files(root)? {
        if file.path.starts_with("xtask/") || matches!(file.extension(), "md" | "lock") {
            continue;
        }
        for (_, line) in file.lines() {
            for row in rows_in(line) {
                let n = found.entry(row).or_default();
                *n = n.saturating_add(1);
            }
        }
    }
    let mut out = String::new();
    for (row, n) in &found {
        let _ = writeln!(out, "{row:3}  {n} test{}", if *n == 1 { "" } else { "s" });
    }
    let missing: Vec<String> = (1..=ROWS).filter(|r| !found.contains_key(r)).map(|r| r.to_string()).collect();
    let _ = writeln!(out, "{} of {ROWS} rows have a test; without one: {}", found.len(), missing.join(" "));
    Ok(out)
}

/// The rows that a line of code names.
fn rows_in(line: &str) -> impl Iterator<Item = u32> + '_ {
    line.match_indices("adv_").filter_map(|(at, tag)| {
        let digits = line.get(at.checked_add(tag.len())?..)?.get(..3)?;
        digits.parse().ok().filter(|r| (1..=ROWS).contains(r))
    })
}

#[cfg(test)]
mod tests {
    use super::rows_in;

    #[test]
    fn rows_are_read_from_test_names() {
        for (line, rows) in [
            ("fn adv_009_multi_statement() {", &[9][..]),
            ("async def test_adv_010_comments_and_adv_011_do():", &[10, 11]),
            ("adv_1", &[]),
            ("adv_000_nothing adv_101_beyond adv_100_last", &[100]),
            ("advance", &[]),
        ] {
            assert_eq!(rows_in(line).collect::<Vec<_>>(), rows, "{line}");
        }
    }
}
