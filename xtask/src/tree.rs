//! The files of the tree, as the checks see them. Build output, installed packages and hidden folders are not part of it.

use std::path::Path;

/// The most files that a check reads; far above what the tree holds, so that a stray link cannot keep it busy.
const FILES_MAX: usize = 50_000;
/// The largest file that is read as text.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Folders that hold what others made.
const SKIPPED: [&str; 5] = ["target", "node_modules", "__pycache__", "vendor", "corpus"];
/// Hidden folders that are ours.
const HIDDEN: [&str; 3] = [".cargo", ".ci", ".github"];

/// One file that is text.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
    /// True when the owner may execute it.
    pub(crate) executable: bool,
}

impl SourceFile {
    /// The part of the name after the last dot; empty when there is none.
    pub(crate) fn extension(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.rsplit_once('.').map_or("", |(_, e)| e)
    }

    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.split('\n').enumerate().map(|(i, l)| (i.saturating_add(1), l.strip_suffix('\r').unwrap_or(l)))
    }
}

/// Every text file under `root`, sorted by path.
pub(crate) fn files(root: &Path) -> Result<Vec<SourceFile>, String> {
    let mut out = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|e| format!("cannot list {}: {e}\n", folder.display()))?;
        for entry in entries {
            let entry = entry.map_err(|e| format!("cannot list {}: {e}\n", folder.display()))?;
            let kind = entry.file_type().map_err(|e| format!("cannot see {}: {e}\n", entry.path().display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if kind.is_dir() {
                let hidden = name.starts_with('.') && !HIDDEN.contains(&name.as_str());
                if !hidden && !SKIPPED.contains(&name.as_str()) {
                    folders.push(entry.path());
                }
            } else if kind.is_file()
                && let Some(file) = read(root, &entry.path())?
            {
                if out.len() >= FILES_MAX {
                    return Err(format!("more than {FILES_MAX} files under {}\n", root.display()));
                }
                out.push(file);
            }
        }
    }
    out.sort_by(|a: &SourceFile, b| a.path.cmp(&b.path));
    Ok(out)
}

/// Reads one file; `None` when it is not text or too large to be source.
fn read(root: &Path, path: &Path) -> Result<Option<SourceFile>, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let cannot = |e: std::io::Error| format!("cannot read {}: {e}\n", path.display());
    let meta = match std::fs::metadata(path) {
        Ok(m) => m,
        // An editor's or a build's passing file may be gone between the listing and now.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cannot(e)),
    };
    if meta.len() > FILE_BYTES_MAX {
        return Ok(None);
    }
    let bytes = match std::fs::read(path) {
        Ok(b) => b,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cannot(e)),
    };
    let Ok(text) = String::from_utf8(bytes) else { return Ok(None) };
    if text.contains('\0') {
        return Ok(None);
    }
    let relative = path.strip_prefix(root).unwrap_or(path);
    Ok(Some(SourceFile {
        path: relative.to_string_lossy().replace('\\', "/"),
        text,
        executable: meta.permissions().mode() & 0o100 != 0,
    }))
}

/// True when `word` stands in `line` with no letter, digit or underscore on either side.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|s| s.chars().next_back());
        let after = line.get(at.saturating_add(word.len())..).and_then(|s| s.chars().next());
        !before.is_some_and(joins) && !after.is_some_and(joins)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{files, has_word};

    #[test]
    fn words_have_edges() {
        for (line, word, found) in [
            ("a clock here", "clock", true),
            ("clockwork", "clock", false),
            ("o_clock", "clock", false),
            ("(clock)", "clock", true),
            ("clockwork clock", "clock", true),
            ("", "clock", false),
        ] {
            assert_eq!(has_word(line, word), found, "{line:?}");
        }
    }

    #[test]
    fn build_output_binaries_and_hidden_folders_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for (path, bytes) in [
            ("src/a.rs", &b"//! A.\n"[..]),
            ("target/b.rs", b"x"),
            (".git/c.rs", b"x"),
            (".ci/run", b"x"),
            ("d.bin", b"\0\x01"),
            ("e.bin", b"\xff\xfe"),
        ] {
            let at = dir.path().join(path);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::write(at, bytes).unwrap();
        }
        let names: Vec<String> = files(dir.path()).unwrap().into_iter().map(|f| f.path).collect();
        assert_eq!(names, [".ci/run", "src/a.rs"]);
    }
}
