//! The lines in which two texts differ, as `diff -u` has them.

/// Lines shown around what differs.
const CONTEXT: usize = 3;
/// Middles whose lengths multiply to more are told as removed and added whole: the time to find the shortest difference grows with both.
const CELLS_MAX: usize = 1 << 20;

/// A line, and what happens to it: `' '`, `'-'` or `'+'`.
type Line<'t> = (char, &'t str);

/// What differs; empty where nothing does. A text that is not there is empty.
pub(crate) fn unified(path: &str, old: &str, new: &str) -> String {
    let all = script(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>());
    let changed: Vec<usize> = all.iter().enumerate().filter(|(_, (sign, _))| *sign != ' ').map(|(n, _)| n).collect();
    let (Some(first), false) = (changed.first(), old == new) else {
        // Only the last line's end differs, or nothing.
        return if old == new {
            String::new()
        } else {
            format!("--- {path}\n+++ {path}\n(the ends of lines differ)\n")
        };
    };
    let mut out = format!("--- {path}\n+++ {path}\n");
    let (mut from, mut to) = (first.saturating_sub(CONTEXT), first + CONTEXT);
    for at in changed.iter().skip(1).copied() {
        if at > to + CONTEXT + 1 {
            hunk(&mut out, &all, from, to);
            from = at.saturating_sub(CONTEXT);
        }
        to = at + CONTEXT;
    }
    hunk(&mut out, &all, from, to);
    out
}

/// Lines `from` to `to` of the script, under a header that says where they are.
fn hunk(out: &mut String, all: &[Line<'_>], from: usize, to: usize) {
    let part = all.get(from..all.len().min(to + 1)).unwrap_or_default();
    let before = all.get(..from).unwrap_or_default();
    let count = |lines: &[Line<'_>], other: char| lines.iter().filter(|(sign, _)| *sign != other).count();
    let place = |other: char| {
        let (start, length) = (count(before, other), count(part, other));
        // As diff has it: of no line, the one before it.
        format!("{},{length}", if length == 0 { start } else { start + 1 })
    };
    out.push_str(&format!("@@ -{} +{} @@\n", place('+'), place('-')));
    for (sign, line) in part {
        out.push(*sign);
        out.push_str(line);
        out.push('\n');
    }
}

/// Every line of both, in order.
fn script<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (old.get(head..).unwrap_or_default(), new.get(head..).unwrap_or_default());
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let a = old_rest.get(..old_rest.len() - tail).unwrap_or_default();
    let b = new_rest.get(..new_rest.len() - tail).unwrap_or_default();
    let mut all: Vec<Line<'t>> = old.iter().take(head).map(|l| (' ', *l)).collect();
    middle(a, b, &mut all);
    all.extend(old.iter().skip(old.len() - tail).map(|l| (' ', *l)));
    all
}

/// By the longest lines that both have in common.
fn middle<'t>(a: &[&'t str], b: &[&'t str], all: &mut Vec<Line<'t>>) {
    let width = b.len() + 1;
    if a.len().saturating_mul(width) > CELLS_MAX {
        all.extend(a.iter().map(|l| ('-', *l)));
        all.extend(b.iter().map(|l| ('+', *l)));
        return;
    }
    // How many lines the rests from here on have in common.
    let mut common = vec![0_u32; (a.len() + 1) * width];
    let at = |common: &[u32], i: usize, j: usize| common.get(i * width + j).copied().unwrap_or(0);
    for (i, line) in a.iter().enumerate().rev() {
        for (j, other) in b.iter().enumerate().rev() {
            let best = if line == other {
                at(&common, i + 1, j + 1) + 1
            } else {
                at(&common, i + 1, j).max(at(&common, i, j + 1))
            };
            if let Some(cell) = common.get_mut(i * width + j) {
                *cell = best;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    loop {
        match (a.get(i), b.get(j)) {
            (Some(line), Some(other)) if line == other => {
                all.push((' ', line));
                (i, j) = (i + 1, j + 1);
            }
            (Some(line), other) if other.is_none() || at(&common, i + 1, j) >= at(&common, i, j + 1) => {
                all.push(('-', line));
                i += 1;
            }
            (_, Some(other)) => {
                all.push(('+', other));
                j += 1;
            }
            (_, None) => return,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// What a patch of the old text gives.
    fn patched(old: &[&str], new: &[&str]) -> (Vec<String>, Vec<String>) {
        let all = script(old, new);
        let side = |other: char| all.iter().filter(|(s, _)| *s != other).map(|(_, l)| (*l).to_owned()).collect();
        (side('+'), side('-'))
    }

    #[test]
    fn both_texts_are_in_every_script() {
        let words = ["a", "b", "c", ""];
        let mut state = 7_u32;
        let mut next = |most: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % most
        };
        for _ in 0..500 {
            let mut text = || (0..next(9)).map(|_| words[next(4) as usize]).collect::<Vec<_>>();
            let (old, new) = (text(), text());
            let (from, to) = patched(&old, &new);
            assert_eq!(
                (from, to),
                (old.iter().map(|l| (*l).to_owned()).collect(), new.iter().map(|l| (*l).to_owned()).collect())
            );
        }
    }

    #[test]
    fn differences_are_told_with_their_surroundings() {
        let old: String = (1..=20).map(|n| format!("line {n}\n")).collect();
        let new = old.replace("line 3\n", "").replace("line 18\n", "line 18\nmore\n");
        let want = "--- p\n+++ p\n@@ -1,6 +1,5 @@\n line 1\n line 2\n-line 3\n line 4\n line 5\n line 6\n\
                    @@ -16,5 +15,6 @@\n line 16\n line 17\n line 18\n+more\n line 19\n line 20\n";
        assert_eq!(unified("p", &old, &new), want);
        for (old, new, want) in [
            ("", "", ""),
            ("a\n", "a\n", ""),
            ("a", "a\n", "--- p\n+++ p\n(the ends of lines differ)\n"),
            ("", "a\n", "--- p\n+++ p\n@@ -0,0 +1,1 @@\n+a\n"),
            ("a\n", "", "--- p\n+++ p\n@@ -1,1 +0,0 @@\n-a\n"),
        ] {
            assert_eq!(unified("p", old, new), want, "{old:?} {new:?}");
        }
    }

    #[test]
    fn what_is_too_large_to_compare_is_told_whole() {
        let text = |word: &str, lines: usize| (0..lines).map(|n| format!("{word} {n}\n")).collect::<String>();
        let side = 1 << 10;
        let (old, new) =
            (text("old", side) + "same\n" + &text("older", side), text("new", side) + "same\n" + &text("newer", side));
        assert!(unified("p", &old, &new).contains("-same\n"), "beyond the limit");
        let (old, new) =
            (text("old", 200) + "same\n" + &text("older", 200), text("new", 200) + "same\n" + &text("newer", 200));
        assert!(unified("p", &old, &new).contains("\n same\n"), "within it");
    }
}
