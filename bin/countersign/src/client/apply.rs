//! `countersign apply` and `countersign applied`: a folder of targets, policies and tags in the place of what was applied before.
//!
//! It must never send what is not in the folder, such as what a link in it points to; nor apply what nobody was shown or said yes to.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use countersign_api::{
    APPLIED_BYTES_MAX, APPLIED_FILES_MAX, AppliedFile, AppliedView, ApplyBody, ChangeKind, ChangeView, DiffView,
    FileProblemView, RevertBody, RevisionDetailView, RevisionPage, RevisionView,
};
use countersign_model::Timestamp;
use reqwest::Method;
use serde_json::json;

use super::desk::random_text;
use super::gateway::Gateway;
use super::reviews::open;
use super::session::At;
use super::sheet::Sheet;
use crate::cli::Format;
use crate::clock;
use crate::commands::paper::Paper;
use crate::commands::prompt;
use crate::commands::table::{Column, Table};
use crate::commands::text::{count, inert, parse_time, short_moment};
use crate::failed::{Exit, Failed};
use crate::output;

/// How deep folders may lie in each other.
const DEPTH_MAX: usize = 16;
/// The most files and folders that are looked at.
const ENTRIES_MAX: usize = 20_000;

/// `countersign apply`.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    at: At,
    /// The folder: all *.toml and *.cedar files in it, but for hidden ones and *.test.toml; or one such file.
    #[arg(short = 'f', long = "folder", value_name = "DIR", required_unless_present = "revision")]
    folder: Option<PathBuf>,
    /// Instead: the files of this revision.
    #[arg(long, value_name = "N", conflicts_with = "folder")]
    revision: Option<u64>,
    /// What to note with it, such as the commit.
    #[arg(long, short, value_name = "TEXT", default_value = "")]
    message: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Only say what would change; exits 6 when something would.
    #[arg(long)]
    dry_run: bool,
    /// Apply it even if you could not apply anything after it.
    #[arg(long)]
    allow_lock_out: bool,
    /// Apply it even if there is nothing in the folder: everything that was applied is removed.
    #[arg(long)]
    allow_empty: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// `countersign applied`.
#[derive(Debug, Subcommand)]
pub(crate) enum Applied {
    /// Lists what was applied, latest first, and what the gateway has in force.
    #[command(after_help = "Example: countersign applied list --output json")]
    List(List),
    /// Shows who applied a revision and when, and its files; or writes the files to a folder.
    #[command(
        after_help = "Example: countersign applied show 7\nExample: countersign applied show 7 --write policies/"
    )]
    Show(Show),
    /// Says what it would change to apply a revision again, or what is different from another one.
    #[command(
        after_help = "Example: countersign applied diff 7\nExample: countersign applied diff 8 --from 7\n\nExits 6 when something is different."
    )]
    Diff(Diff),
}

/// Which revisions.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    at: At,
    /// Those older than this one: where the list before ended.
    #[arg(long, value_name = "N")]
    before: Option<u64>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// One revision.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    at: At,
    /// Which.
    #[arg(value_name = "N")]
    revision: u64,
    /// Write its files to this folder, where none of them is yet.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Two revisions.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    at: At,
    /// Which.
    #[arg(value_name = "N")]
    revision: u64,
    /// Compare with this one, instead of the latest.
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs `countersign apply`.
pub(super) async fn apply(args: &Apply) -> Result<(), Failed> {
    let files = match &args.folder {
        Some(folder) => Some(collect(folder, args.allow_empty)?),
        None => None,
    };
    let gateway = open(&args.at).await?;
    let diff: DiffView = match (&files, args.revision) {
        (Some(files), _) => {
            let body = json!({ "files": files });
            gateway.long_operation(Method::POST, "/v1/configuration/diff", &[], Some(&body), None).await?
        }
        (None, revision) => compare(&gateway, revision.unwrap_or_default(), None).await?,
    };
    let folder = args.folder.as_deref().unwrap_or(Path::new(""));
    let mut paper = Paper::new();
    let changes = !diff.changes.is_empty() || !diff.files.is_empty();
    if args.output == Format::Text {
        print(&diff, folder, &mut paper)?;
        paper.done()?;
    }
    if !diff.problems.is_empty() {
        if args.output == Format::Json {
            paper.json(&json!({ "diff": diff, "applied": null }))?;
            paper.done()?;
        }
        return Err(Failed::invalid(format!("{}: nothing was applied", count(diff.problems.len() as u64, "error"))));
    }
    if diff.locks_you_out && !args.allow_lock_out && !args.dry_run {
        return Err(Failed::new(
            "after this you could apply nothing any more, nor take it back: nothing was applied. If that is meant, give --allow-lock-out",
        ));
    }
    let asked = changes && !args.dry_run;
    if asked && !args.yes {
        match prompt::confirm("Apply this?")? {
            Some(true) => {}
            Some(false) => return Err(Failed::new("nothing was applied")),
            None => return Err(Failed::new("nothing was applied: give --yes where nobody can be asked")),
        }
    }
    let applied = if asked { Some(order(&gateway, args, files, &diff).await?) } else { None };
    match args.output {
        Format::Json => paper.json(&json!({ "diff": diff, "applied": applied }))?,
        Format::Text => match &applied {
            Some(done) => paper.line(&format!("revision {} is applied", done.revision))?,
            None if changes => paper.line("nothing was applied: this was a dry run")?,
            None => paper.line(&format!("nothing changes: it is as in revision {}", diff.base))?,
        },
    }
    paper.done()?;
    if args.dry_run && changes {
        return Err(Failed::of_command(Exit::Changes as u8));
    }
    Ok(())
}

async fn order(
    gateway: &Gateway,
    args: &Apply,
    files: Option<Vec<AppliedFile>>,
    diff: &DiffView,
) -> Result<AppliedView, Failed> {
    let (base, message, allow_lock_out) = (diff.base, args.message.clone(), args.allow_lock_out);
    let (path, body) = match (files, args.revision) {
        (Some(files), _) => {
            ("/v1/configuration".to_owned(), serde_json::to_value(ApplyBody { files, base, message, allow_lock_out }))
        }
        (None, revision) => (
            format!("/v1/configuration/revisions/{}/apply", revision.unwrap_or_default()),
            serde_json::to_value(RevertBody { base, message, allow_lock_out }),
        ),
    };
    let body = body.map_err(Failed::new)?;
    Ok(gateway.long_operation(Method::POST, &path, &[], Some(&body), Some(&random_text()?)).await?)
}

async fn compare(gateway: &Gateway, revision: u64, from: Option<u64>) -> Result<DiffView, Failed> {
    let query: Vec<_> = from.map(|from| ("from", from.to_string())).into_iter().collect();
    let path = format!("/v1/configuration/revisions/{revision}/diff");
    Ok(gateway.long_operation(Method::GET, &path, &query, None, None).await?)
}

/// Runs `countersign applied`.
pub(super) async fn applied(command: &Applied) -> Result<(), Failed> {
    let mut paper = Paper::new();
    match command {
        Applied::List(args) => list(args, &mut paper).await?,
        Applied::Show(args) => show(args, &mut paper).await?,
        Applied::Diff(args) => {
            let diff = compare(&open(&args.at).await?, args.revision, args.from).await?;
            match args.output {
                Format::Json => paper.json(&diff)?,
                Format::Text if diff.files.is_empty() => paper.line("nothing is different")?,
                Format::Text => print(&diff, Path::new(""), &mut paper)?,
            }
            paper.done()?;
            if !diff.files.is_empty() {
                return Err(Failed::of_command(Exit::Changes as u8));
            }
        }
    }
    paper.done()
}

async fn list(args: &List, paper: &mut Paper) -> Result<(), Failed> {
    let query: Vec<_> = args.before.map(|before| ("before", before.to_string())).into_iter().collect();
    let gateway = open(&args.at).await?;
    let page: RevisionPage =
        gateway.long_operation(Method::GET, "/v1/configuration/revisions", &query, None, None).await?;
    let next = page.next.map(|n| n.to_string());
    let table = |revisions: &[RevisionView]| table(revisions, page.in_force, clock::now());
    paper.page(args.output, &page, (&page.revisions, "nothing was applied yet"), table, next.as_deref())?;
    if let Some(problem) = page.problem.as_ref().filter(|_| args.output == Format::Text) {
        paper.done()?;
        output::note(&format!("\nwarning: {}", lines(problem)));
    }
    Ok(())
}

fn table(revisions: &[RevisionView], in_force: u64, now: Timestamp) -> Table {
    let mut table = Table::new(vec![
        Column::whole("REVISION"),
        Column::text("STATE"),
        Column::text("APPLIED"),
        Column::text("BY"),
        Column::text("MESSAGE"),
    ]);
    for r in revisions {
        let at = parse_time(&r.at).map(|at| short_moment(at, now)).unwrap_or_default();
        let state = if r.revision == in_force { "in force" } else { "" };
        table.row([&r.revision.to_string(), state, &at, &r.by, &r.message]);
    }
    table
}

async fn show(args: &Show, paper: &mut Paper) -> Result<(), Failed> {
    let path = format!("/v1/configuration/revisions/{}", args.revision);
    let found: RevisionDetailView = open(&args.at).await?.long_operation(Method::GET, &path, &[], None, None).await?;
    if let Some(folder) = &args.write {
        for file in &found.files {
            write(folder, file)?;
        }
        return paper.line(&format!("{} written", count(found.files.len() as u64, "file")));
    }
    if args.output == Format::Json {
        return paper.json(&found);
    }
    let mut sheet = Sheet::default();
    let revision = &found.revision;
    sheet.add("revision", &revision.revision.to_string());
    sheet.add("applied", &revision.at);
    sheet.add("by", &revision.by);
    sheet.add("message", &revision.message);
    sheet.add("digest", &revision.digest);
    if !revision.has_files {
        sheet.add("files", "not kept any more");
    }
    sheet.print(paper)?;
    for file in &found.files {
        paper.line(&format!("\n==> {}", inert(&file.path)))?;
        for line in file.text.lines() {
            paper.line(&inert(line))?;
        }
    }
    Ok(())
}

/// Writes a file where none is. What the gateway answered must not lead out of the folder.
fn write(folder: &Path, file: &AppliedFile) -> Result<(), Failed> {
    let fine = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']);
    if !file.path.split('/').all(fine) {
        return Err(Failed::new(format!("the gateway names a file {}, which is not written", inert(&file.path))));
    }
    let path = folder.join(&file.path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let new = fs::OpenOptions::new().write(true).create_new(true).open(&path);
    let mut new = new.map_err(|e| Failed::new(format!("{} is not written: {e}", path.display())))?;
    std::io::Write::write_all(&mut new, file.text.as_bytes())?;
    Ok(())
}

/// The files of a folder, by their paths in it.
fn collect(folder: &Path, allow_empty: bool) -> Result<Vec<AppliedFile>, Failed> {
    let no = |path: &Path, why: &dyn std::fmt::Display| Failed::new(format!("{}: {why}", path.display()));
    let top = fs::metadata(folder).map_err(|e| no(folder, &e))?;
    let mut found = Vec::new();
    if top.is_dir() {
        let mut looked_at = 0;
        search(folder, "", 0, &mut looked_at, &mut found)?;
    } else {
        let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if !is_applied(name) {
            return Err(no(folder, &"this is no *.toml and no *.cedar file"));
        }
        found.push((folder.to_owned(), name.to_owned()));
    }
    if found.is_empty() && !allow_empty {
        return Err(no(
            folder,
            &"there is no *.toml and no *.cedar file in it. To remove everything that was applied, give --allow-empty",
        ));
    }
    if found.len() > APPLIED_FILES_MAX {
        return Err(no(folder, &format!("{} files, at most {APPLIED_FILES_MAX} are applied", found.len())));
    }
    let (mut files, mut bytes) = (Vec::new(), 0);
    for (path, name) in found {
        bytes += fs::metadata(&path).map_err(|e| no(&path, &e))?.len();
        if bytes > APPLIED_BYTES_MAX as u64 {
            return Err(no(folder, &format!("more than {APPLIED_BYTES_MAX} bytes in all files")));
        }
        let text = fs::read(&path).map_err(|e| no(&path, &e))?;
        let text = String::from_utf8(text).map_err(|_| no(&path, &"this is not UTF-8 text"))?;
        files.push(AppliedFile { path: name, text });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Whether a file of this name is applied. Tests of policies are not.
fn is_applied(name: &str) -> bool {
    (name.ends_with(".toml") && !name.ends_with(".test.toml")) || name.ends_with(".cedar")
}

fn search(
    folder: &Path,
    within: &str,
    depth: usize,
    looked_at: &mut usize,
    found: &mut Vec<(PathBuf, String)>,
) -> Result<(), Failed> {
    let no = |path: &Path, why: &dyn std::fmt::Display| Failed::new(format!("{}: {why}", path.display()));
    if depth > DEPTH_MAX {
        return Err(no(folder, &format!("folders lie more than {DEPTH_MAX} deep")));
    }
    for entry in fs::read_dir(folder).map_err(|e| no(folder, &e))? {
        let entry = entry.map_err(|e| no(folder, &e))?;
        *looked_at += 1;
        if *looked_at > ENTRIES_MAX {
            return Err(no(folder, &format!("more than {ENTRIES_MAX} files and folders: is this the right folder?")));
        }
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().map_err(|e| no(&path, &e))?;
        let Some(name) = name.to_str() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let inner = format!("{within}{name}");
        if kind.is_dir() {
            search(&path, &format!("{inner}/"), depth + 1, looked_at, found)?;
        } else if is_applied(name) {
            // Whoever may put a link into a repository must not have files of this machine sent.
            if !kind.is_file() {
                return Err(no(&path, &"this is not a regular file; links are not followed"));
            }
            found.push((path, inner));
        }
    }
    Ok(())
}

/// Several lines, each inert.
fn lines(text: &str) -> String {
    text.lines().map(inert).collect::<Vec<_>>().join("\n")
}

fn print(diff: &DiffView, folder: &Path, paper: &mut Paper) -> Result<(), Failed> {
    for problem in &diff.problems {
        output::note(&format!("{}\n", told("error", problem, folder)));
    }
    for warning in &diff.warnings {
        output::note(&format!("{}\n", told("warning", warning, folder)));
    }
    if !diff.problems.is_empty() {
        return Ok(());
    }
    for file in &diff.files {
        for line in file.diff.lines() {
            paper.line(&inert(line))?;
        }
    }
    if !diff.changes.is_empty() {
        paper.line("")?;
        let mut table = Table::new(vec![
            Column::whole("CHANGE"),
            Column::whole("KIND"),
            Column::text("NAME"),
            Column::text("FILE"),
        ]);
        for c in &diff.changes {
            table.row([c.change.as_str(), &c.kind, &c.name, &c.file]);
        }
        paper.table(&table)?;
        paper.line(&format!("\n{}", tally(&diff.changes)))?;
    } else if !diff.files.is_empty() {
        paper.line("\nno target, rule or tag changes its meaning")?;
    }
    if diff.locks_you_out {
        output::note("warning: after this you could apply nothing any more, nor take it back");
    }
    Ok(())
}

fn tally(changes: &[ChangeView]) -> String {
    let of = |kind: ChangeKind| changes.iter().filter(|c| c.change == kind).count();
    let kinds = [ChangeKind::Added, ChangeKind::Changed, ChangeKind::Removed];
    kinds.map(|k| format!("{} {}", of(k), k.as_str())).join(", ")
}

fn told(severity: &str, p: &FileProblemView, folder: &Path) -> String {
    let place = if folder.is_file() { folder.to_owned() } else { folder.join(&p.file) };
    // What is the gateway's own has an absolute path already.
    let mut out = format!("{severity}: {}\n  --> {}", lines(&p.message), inert(&place.display().to_string()));
    if p.line > 0 {
        out.push_str(&format!(":{}:{}", p.line, p.column));
    }
    for (word, text) in [("found", &p.found), ("expected", &p.expected), ("help", &p.suggestion)] {
        if let Some(text) = text {
            out.push_str(&format!("\n   = {word}: {}", lines(text)));
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn paths(folder: &Path) -> Result<Vec<String>, String> {
        collect(folder, false).map(|f| f.into_iter().map(|f| f.path).collect()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_folder_is_read_without_what_is_not_for_gateways() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &[u8]| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert!(paths(dir.path()).unwrap_err().contains("--allow-empty"));
        assert!(collect(dir.path(), true).unwrap().is_empty());
        for name in ["b/c.cedar", "a.toml", "README.md", ".git/x.toml", ".hidden.toml", "a.test.toml", "b/d/e.toml"] {
            put(name, b"# text\n");
        }
        assert_eq!(paths(dir.path()).unwrap(), ["a.toml", "b/c.cedar", "b/d/e.toml"]);
        assert_eq!(paths(&dir.path().join("a.toml")).unwrap(), ["a.toml"]);
        assert!(paths(&dir.path().join("README.md")).unwrap_err().contains("no *.toml"));
        put("bad.toml", b"\xff");
        assert!(paths(dir.path()).unwrap_err().contains("UTF-8"));
        put("bad.toml", &vec![b'#'; APPLIED_BYTES_MAX - 20]);
        assert!(paths(dir.path()).unwrap_err().contains("bytes in all files"));
        put("bad.toml", &vec![b'#'; APPLIED_BYTES_MAX - 21]);
        assert_eq!(paths(dir.path()).unwrap().len(), 4);
    }

    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret"), "password").unwrap();
        fs::create_dir(dir.path().join("repository")).unwrap();
        for name in ["x.toml", "x.cedar"] {
            let link = dir.path().join("repository").join(name);
            std::os::unix::fs::symlink(dir.path().join("secret"), &link).unwrap();
            assert!(paths(&dir.path().join("repository")).unwrap_err().contains("links are not followed"), "{name}");
            fs::remove_file(link).unwrap();
        }
        // A link to a folder is no folder: what it points to is not looked at.
        std::os::unix::fs::symlink(dir.path(), dir.path().join("repository/all")).unwrap();
        assert!(paths(&dir.path().join("repository")).unwrap_err().contains("--allow-empty"));
    }

    #[test]
    fn what_a_gateway_answers_stays_in_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let file = |path: &str| AppliedFile { path: path.to_owned(), text: "x".to_owned() };
        for path in ["../x.toml", "a/../../x.toml", "/x.toml", ".ssh/x.toml", "a//x.toml", ""] {
            assert!(write(dir.path(), &file(path)).is_err(), "{path}");
        }
        write(dir.path(), &file("a/x.toml")).unwrap();
        assert!(write(dir.path(), &file("a/x.toml")).is_err(), "there is one");
    }
}
