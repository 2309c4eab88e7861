//! A throwaway PostgreSQL for the tests that ask a real one. It ends with this process, however that ends.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use countersign_model::Tagging;
use countersign_sql::{Catalog, CatalogBuilder, QUERIES};

/// Between columns and between rows, and for null: bytes that no test writes.
const COLUMN: char = '\x1f';
const ROW: char = '\x1e';
const NULL: &str = "\x1d";

pub(crate) struct Server {
    folder: PathBuf,
}

/// What a statement gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Names of the columns, then the rows; empty when it gave none.
    pub(crate) rows: Vec<Vec<Option<String>>>,
    pub(crate) sqlstate: String,
}

fn bin() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path().join("bin"))
        .filter(|p| p.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("these tests need a real server under /usr/lib/postgresql (apt-get install postgresql)")
}

/// A command of the account `postgres` when we are root, which PostgreSQL refuses to run as.
fn command(program: &Path) -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"));
    let mut c = if root { Command::new("runuser") } else { Command::new(program) };
    if root {
        c.args(["-u", "postgres", "--"]).arg(program);
    }
    c
}

fn run(c: &mut Command) {
    let output = c.output().unwrap();
    assert!(output.status.success(), "{c:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Server {
    pub(crate) fn shared() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        static KEPT: Mutex<Vec<(Child, ChildStdin)>> = Mutex::new(Vec::new());
        SERVER.get_or_init(|| {
            let folder = std::env::temp_dir().join(format!("countersign-sql-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&folder);
            run(command(Path::new("mkdir")).arg(&folder));
            let data = folder.join("data");
            run(command(&bin().join("initdb"))
                .args(["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D"])
                .arg(&data));
            // No port of loopback: the socket lies in the folder. Nothing gathers statistics, which would differ with the values.
            let options = format!(
                "-c listen_addresses= -c unix_socket_directories={} -c fsync=off -c autovacuum=off -c jit=off -c log_min_messages=panic",
                folder.display()
            );
            // It waits for the end of its input, which is the end of this process, and then clears up.
            let watch = "read _; \"$0\" stop -m immediate -D \"$1/data\"; rm -rf \"$1\"";
            let mut watcher = command(Path::new("sh"))
                .args(["-c", watch])
                .arg(bin().join("pg_ctl"))
                .arg(&folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let input = watcher.stdin.take().unwrap();
            KEPT.lock().unwrap().push((watcher, input));
            run(command(&bin().join("pg_ctl"))
                .args(["start", "-w", "-s", "-l"])
                .arg(folder.join("log"))
                .args(["-o", &options, "-D"])
                .arg(&data)
                .stdin(Stdio::null()));
            Self { folder }
        })
    }

    /// Runs a script of psql's; gives what it printed.
    pub(crate) fn script(&self, database: &str, variables: &[(&str, &str)], script: &str) -> String {
        let mut psql = command(&bin().join("psql"));
        psql.args(["-X", "-q", "-A", "-U", "postgres", "-d", database, "-h"]).arg(&self.folder);
        psql.args(["-F", &COLUMN.to_string(), "-R", &ROW.to_string()]);
        psql.args(["-P", "footer=off", "-P", &format!("null={NULL}")]);
        for (name, value) in variables {
            psql.arg("-v").arg(format!("{name}={value}"));
        }
        let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let script = script.to_owned();
        let writing = std::thread::spawn(move || input.write_all(script.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(!variables.is_empty() || !complaint.contains("FATAL"), "{complaint}");
        if !variables.is_empty() {
            assert!(!complaint.contains("ERROR"), "{complaint}");
        }
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes a database and fills it.
    pub(crate) fn database(&self, name: &str, salt: &str, script: &str) {
        self.script("postgres", &[], &format!("CREATE DATABASE {name};\n"));
        self.script(name, &[("salt", salt)], script);
    }

    /// Runs statements one by one, each on its own.
    pub(crate) fn ask(&self, database: &str, statements: &[String]) -> Vec<Answer> {
        let mut script = String::from("SET statement_timeout = '5s'; SET client_min_messages = panic;\n");
        for statement in statements {
            script.push_str(statement);
            script.push_str(";\n\\echo @end :SQLSTATE\n");
        }
        let printed = self.script(database, &[], &script);
        let mut answers = Vec::with_capacity(statements.len());
        let mut rest = &printed[..];
        while let Some((before, after)) = rest.split_once("@end ") {
            let (state, after) = after.split_once('\n').unwrap();
            rest = after;
            let before = before.strip_suffix('\n').unwrap_or(before);
            let row = |r: &str| r.split(COLUMN).map(|v| (v != NULL).then(|| v.to_owned())).collect();
            let rows =
                if before.is_empty() && state != "00000" { Vec::new() } else { before.split(ROW).map(row).collect() };
            answers.push(Answer { rows, sqlstate: state.trim().to_owned() });
        }
        assert_eq!(answers.len(), statements.len());
        answers
    }

    /// The catalog of a database, as a gateway would load it.
    pub(crate) fn catalog(&self, database: &str, generation: u64, tagging: &Tagging) -> Arc<Catalog> {
        let mut builder = CatalogBuilder::new(generation).tagged(tagging);
        let queries: Vec<String> = std::iter::once("SET search_path = pg_catalog".to_owned())
            .chain(QUERIES.iter().map(|(_, q)| (*q).to_owned()))
            .collect();
        let answers = self.ask(database, &queries);
        for ((section, query), answer) in QUERIES.iter().zip(&answers[1..]) {
            assert_eq!(answer.sqlstate, "00000", "{query}");
            for row in answer.rows.iter().skip(1) {
                let columns: Vec<Option<&str>> = row.iter().map(|c| c.as_deref()).collect();
                builder.row(*section, &columns).unwrap_or_else(|e| panic!("{e}: {row:?}"));
            }
        }
        builder.build()
    }
}
