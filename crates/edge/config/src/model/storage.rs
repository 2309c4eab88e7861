//! What the gateway reads and keeps: policies, recordings, the store, the vault.

use std::path::PathBuf;
use std::time::Duration;

/// The most policy files that patterns may match together.
const POLICY_FILES_MAX: usize = 1_000;
/// The most files and folders that patterns may touch together.
const POLICY_PATHS_MAX: usize = 20_000;

/// Where state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSpec {
    /// One file, one gateway.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The longest that an operation may take.
        timeout: Duration,
    },
    /// A PostgreSQL database that several gateways share.
    Postgres {
        /// Where its URL is; the URL holds a password.
        url: UrlSource,
        /// The longest that an operation may take.
        timeout: Duration,
    },
}

/// Where the URL of a database is. It is not in the configuration itself, because it holds a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlSource {
    /// In an environment variable.
    Env(String),
    /// In a file.
    File(PathBuf),
}

/// Where the policies are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFiles {
    /// Patterns, already joined to the folder of the configuration.
    pub patterns: Vec<String>,
}

impl PolicyFiles {
    /// The files that the patterns match now, sorted, without repeats.
    ///
    /// # Errors
    /// A pattern that matches nothing or is malformed, a folder that cannot be read, too many files.
    pub fn files(&self) -> Result<Vec<PathBuf>, String> {
        let mut out = Vec::new();
        let mut touched = 0;
        for pattern in &self.patterns {
            let before = out.len();
            let paths = glob::glob(pattern).map_err(|e| format!("`{pattern}` is not a pattern: {}", e.msg))?;
            for path in paths {
                let path = path.map_err(|e| format!("cannot look into {}: {}", e.path().display(), e.error()))?;
                if path.is_file() {
                    out.push(path);
                }
                touched += 1;
                if out.len() > POLICY_FILES_MAX || touched > POLICY_PATHS_MAX {
                    return Err(format!(
                        "`{pattern}` matches too much (at most {POLICY_FILES_MAX} files, {POLICY_PATHS_MAX} paths)"
                    ));
                }
            }
            if out.len() == before {
                return Err(format!("`{pattern}` matches no file"));
            }
        }
        out.sort();
        out.dedup();
        Ok(out)
    }
}

/// Where and how sessions are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The folder.
    pub dir: PathBuf,
    /// A segment is closed at about this size.
    pub segment_bytes: u64,
    /// Written data reaches the disk at least this often.
    pub sync_interval: Duration,
    /// How old records of refused connections may become, in days.
    pub refused_days: u32,
    /// How large they may become, in bytes.
    pub refused_budget_bytes: u64,
}

/// The encrypted store of target passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vault {
    /// Where its key is: never in the store itself.
    pub key: KeySource,
}

/// Where the key of the vault is: 32 bytes, or their base64 or hexadecimal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
    /// On the standard output of a command, such as a KMS client: the program and its arguments; no shell is involved.
    Command(Vec<String>),
}
