//! Tidiness as a check: module docs, lengths, leftovers, whitespace, scripts, and documentation that points at what is there.

use std::collections::BTreeSet;
use std::path::Path;

use crate::problem::{Problem, Report};
use crate::tree::{self, SourceFile, has_word};

/// Longer than this is listed.
const LINES_NOTED: usize = 400;
/// Longer than this fails.
const LINES_MAX: usize = 600;

/// Files that may be longer than [`LINES_MAX`], and why. One that no longer needs it fails, so that the list only holds what is true.
const LONG_FILES: [(&str, &str); 0] = [];

/// What is left behind while writing. Taken apart here, so that this file does not find itself.
const LEFTOVERS: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("HA", "CK")];

/// Left behind while looking for a fault.
const DEBUG_MACRO: &str = concat!("dbg", "!(");

/// Docs that say nothing.
const EMPTY_DOCS: &str = concat!("Place", "holder");

/// Where the house is described.
const MAP: &str = "ARCHITECTURE.md";

/// Every shell script ends at the first failure.
const STRICT: &str = "set -euo pipefail";

/// File types that people write here; others (lock files, test data) keep the shape their tools give them.
const WRITTEN: [&str; 12] = ["rs", "toml", "md", "sql", "cedar", "cedarschema", "sh", "py", "js", "mjs", "java", "yml"];

/// Checks every file under `root`.
pub(crate) fn check(root: &Path) -> Result<Report, String> {
    let files = tree::files(root)?;
    let mut report =
        Report { check: "tidy", scope: format!("{} files", files.len()), notes: Vec::new(), problems: Vec::new() };
    for f in &files {
        let script = is_script(f);
        if f.extension() == "rs" {
            module_docs(f, &mut report);
            length(f, &mut report);
        }
        if script {
            strict_script(f, &mut report);
        }
        if script || WRITTEN.contains(&f.extension()) {
            leftovers(f, &mut report);
            whitespace(f, &mut report);
        }
        if f.extension() == "md" {
            links(f, &files, root, &mut report);
        }
    }
    for (path, reason) in LONG_FILES {
        let needed = files.iter().any(|f| f.path == path && f.text.lines().count() > LINES_MAX);
        if !needed {
            let what =
                format!("is on the list of long files ({reason}), but is not long: take it off xtask/src/tidy.rs");
            report.problems.push(Problem::new(path, 0, what));
        }
    }
    mapped(&files, &mut report);
    Ok(report)
}

fn is_script(f: &SourceFile) -> bool {
    let first = f.text.lines().next().unwrap_or_default();
    first.starts_with("#!") && (first.ends_with("bash") || first.ends_with("sh"))
}

fn module_docs(f: &SourceFile, report: &mut Report) {
    match f.text.lines().next().and_then(|l| l.strip_prefix("//!")) {
        Some(text) if text.contains(EMPTY_DOCS) => {
            report.problems.push(Problem::new(&f.path, 1, "the module docs say nothing: write what it is for"));
        }
        Some(text) if !text.trim().is_empty() => {}
        _ => {
            let what = "undocumented module: start with `//!` that says what it is for and what it must never do";
            report.problems.push(Problem::new(&f.path, 1, what));
        }
    }
}

fn length(f: &SourceFile, report: &mut Report) {
    let lines = f.text.lines().count();
    if lines > LINES_MAX && !LONG_FILES.iter().any(|(p, _)| *p == f.path) {
        let what = format!("{lines} lines: split it (at most {LINES_MAX}, better {LINES_NOTED})");
        report.problems.push(Problem::new(&f.path, 0, what));
    } else if lines > LINES_NOTED {
        report.notes.push(Problem::new(&f.path, 0, format!("{lines} lines")));
    }
}

fn strict_script(f: &SourceFile, report: &mut Report) {
    if !f.executable {
        report.problems.push(Problem::new(&f.path, 0, "a script that cannot be executed: chmod +x"));
    }
    if !f.text.lines().any(|l| l.trim() == STRICT) {
        report.problems.push(Problem::new(&f.path, 1, format!("a script without `{STRICT}`")));
    }
}

fn leftovers(f: &SourceFile, report: &mut Report) {
    for (n, line) in f.lines() {
        for word in LEFTOVERS {
            if has_word(line, word) {
                report.problems.push(Problem::new(&f.path, n, format!("`{word}`: do it, or open an issue")));
            }
        }
        if f.extension() == "rs" && line.contains(DEBUG_MACRO) {
            report.problems.push(Problem::new(&f.path, n, "a debugging macro was left behind"));
        }
    }
}

fn whitespace(f: &SourceFile, report: &mut Report) {
    for (n, line) in f.lines() {
        if line.ends_with([' ', '\t']) {
            report.problems.push(Problem::new(&f.path, n, "whitespace at the end of the line"));
        }
        if line.contains('\t') {
            report.problems.push(Problem::new(&f.path, n, "a tab: use spaces, or \\t inside a literal"));
        }
    }
    if !f.text.is_empty() && (!f.text.ends_with('\n') || f.text.ends_with("\n\n")) {
        report.problems.push(Problem::new(&f.path, 0, "must end with exactly one line feed"));
    }
}

/// Every crate is on the map.
fn mapped(files: &[SourceFile], report: &mut Report) {
    let crates: Vec<&str> = files
        .iter()
        .filter_map(|f| f.path.strip_suffix("/Cargo.toml"))
        .filter(|p| p.starts_with("crates/") || p.starts_with("bin/"))
        .collect();
    if crates.is_empty() {
        return;
    }
    let Some(map) = files.iter().find(|f| f.path == MAP) else {
        report.problems.push(Problem::new(MAP, 0, "is missing: it says where everything is and why"));
        return;
    };
    for folder in crates {
        if !map.text.contains(folder) {
            report.problems.push(Problem::new(MAP, 0, format!("does not mention {folder}")));
        }
    }
}

/// Relative links lead to files and headings that exist.
fn links(f: &SourceFile, files: &[SourceFile], root: &Path, report: &mut Report) {
    let folder = f.path.rsplit_once('/').map_or("", |(d, _)| d);
    let mut fenced = false;
    for (n, line) in f.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for target in targets(line) {
            let (path, anchor) = target.split_once('#').map_or((target, None), |(p, a)| (p, Some(a)));
            let Some(resolved) = (if path.is_empty() { Some(f.path.clone()) } else { resolve(folder, path) }) else {
                report.problems.push(Problem::new(&f.path, n, format!("the link {target} leads out of the tree")));
                continue;
            };
            if !root.join(&resolved).exists() {
                report.problems.push(Problem::new(&f.path, n, format!("the link {target} leads nowhere")));
            } else if let Some(anchor) = anchor
                && let Some(to) = files.iter().find(|t| t.path == resolved && t.extension() == "md")
                && !headings(to).contains(anchor)
            {
                report.problems.push(Problem::new(&f.path, n, format!("{resolved} has no heading #{anchor}")));
            }
        }
    }
}

/// Where the inline links of a line lead, without those that leave the tree by a scheme.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(|(at, mark)| {
        let rest = line.get(at.checked_add(mark.len())?..)?;
        let target = rest.get(..rest.find(')')?)?.split_whitespace().next()?;
        let outside = target.contains("://") || target.starts_with("mailto:");
        (!outside).then_some(target)
    })
}

/// Joins and normalises; `None` when it would leave the tree.
fn resolve(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
    if path.starts_with('/') {
        return None;
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            p => parts.push(p),
        }
    }
    Some(parts.join("/"))
}

/// The anchors that the headings of a page get from the usual renderers.
fn headings(f: &SourceFile) -> BTreeSet<String> {
    let mut fenced = false;
    let mut out = BTreeSet::new();
    for (_, line) in f.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let text = line.trim_start_matches('#');
        if !fenced && text.len() < line.len() && text.starts_with(' ') {
            let anchor: String = text
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect();
            out.insert(anchor);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{DEBUG_MACRO, EMPTY_DOCS, LEFTOVERS, LINES_MAX, LINES_NOTED, check};

    /// Lays out the files and says what is found: (notes, problems).
    fn found(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let (path, mode) = path.strip_prefix('+').map_or((*path, 0o644), |p| (p, 0o755));
            let at = dir.path().join(path);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::write(&at, text).unwrap();
            std::fs::set_permissions(&at, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let report = check(dir.path()).unwrap();
        let texts = |v: Vec<crate::problem::Problem>| v.into_iter().map(|p| p.to_string()).collect();
        (texts(report.notes), texts(report.problems))
    }

    /// One file, and how many problems it makes.
    #[track_caller]
    fn problems(path: &str, text: &str, count: usize) {
        let (_, problems) = found(&[(path, text)]);
        assert_eq!(problems.len(), count, "{path} {text:?}: {problems:#?}");
    }

    #[test]
    fn modules_are_documented() {
        problems("src/a.rs", "//! What it is for.\n", 0);
        problems("src/a.rs", "fn f() {}\n", 1);
        problems("src/a.rs", "//!\n", 1);
        problems("src/a.rs", &format!("//! {EMPTY_DOCS} for now.\n"), 1);
        problems("src/a.rs", "// A comment is no documentation.\n", 1);
    }

    #[test]
    fn lengths_at_their_edges() {
        let lines = |n: usize| format!("//! Doc.\n{}", "fn f() {}\n".repeat(n - 1));
        for (n, notes, problems) in
            [(LINES_NOTED, 0, 0), (LINES_NOTED + 1, 1, 0), (LINES_MAX, 1, 0), (LINES_MAX + 1, 0, 1)]
        {
            let (a, b) = found(&[("src/a.rs", &lines(n))]);
            assert_eq!((a.len(), b.len()), (notes, problems), "{n} lines");
        }
    }

    #[test]
    fn leftovers_are_found() {
        for word in LEFTOVERS {
            problems("src/a.rs", &format!("//! Doc.\n// {word}: later\n"), 1);
            problems("a.md", &format!("{word}\n"), 1);
            problems("src/a.rs", &format!("//! Doc.\n// {word}LIST is another word\n"), 0);
        }
        problems("src/a.rs", &format!("//! Doc.\nfn f() {{ {DEBUG_MACRO}1); }}\n"), 1);
    }

    #[test]
    fn whitespace_is_plain() {
        problems("a.sql", "select 1;\n", 0);
        problems("a.sql", "select 1; \n", 1);
        problems("a.sql", "select\t1;\n", 1);
        problems("a.sql", "select 1;", 1);
        problems("a.sql", "select 1;\n\n", 1);
        problems("a.csv", "tab\tis fine where data is\n", 0);
    }

    #[test]
    fn scripts_are_strict() {
        problems("+run", "#!/usr/bin/env bash\nset -euo pipefail\n", 0);
        problems("run", "#!/usr/bin/env bash\nset -euo pipefail\n", 1);
        problems("+run", "#!/bin/sh\necho\n", 1);
        problems("lib.sh", "# Sourced by others.\necho\n", 0);
    }

    #[test]
    fn every_crate_is_on_the_map() {
        let manifest = ("crates/core/model/Cargo.toml", "[package]\n");
        assert_eq!(found(&[manifest]).1.len(), 1, "no map");
        assert_eq!(found(&[manifest, ("ARCHITECTURE.md", "Nothing.\n")]).1.len(), 1, "not on the map");
        assert_eq!(found(&[manifest, ("ARCHITECTURE.md", "`crates/core/model`\n")]).1.len(), 0, "on the map");
    }

    #[test]
    fn links_lead_somewhere() {
        let to = ("docs/b.md", "# The way in, for clients\n");
        for (link, count) in [
            ("[b](b.md)", 0),
            ("[b](./b.md#the-way-in-for-clients)", 0),
            ("[b](b.md#elsewhere)", 1),
            ("[b](c.md)", 1),
            ("[up](../docs/b.md)", 0),
            ("[out](../../b.md)", 1),
            ("[out](/etc/hostname)", 1),
            ("[web](https://example.test/x)", 0),
            ("[here](#a)", 0),
            ("[here](#z)", 1),
            ("[two](b.md) and [two](c.md)", 1),
        ] {
            let page = format!("# A\n{link}\n");
            assert_eq!(found(&[("docs/a.md", &page), to]).1.len(), count, "{link}");
        }
        problems("a.md", "```\n[x](nowhere.md)\n```\n", 0);
    }
}
