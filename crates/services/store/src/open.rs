//! Opening: files that only we can read, connections that are encrypted, tables that are up to date.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use countersign_model::Secret;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::error::told;
use crate::{Backend, Store, StoreError};

/// The longest that an operation may take, unless configured.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Opening may have to change tables, and to wait for another gateway that does.
const OPEN_TIMEOUT_MIN: Duration = Duration::from_secs(10);
/// SQLite has one writer at a time; more connections than this only wait.
const SQLITE_CONNECTIONS_MAX: u32 = 4;
const POSTGRES_CONNECTIONS_MAX: u32 = 8;
/// Only the owner.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// Everybody but the owner.
const OTHERS: u32 = 0o077;

static SQLITE_TABLES: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES_TABLES: Migrator = sqlx::migrate!("migrations/postgres");

/// Which store, and how long to wait for it.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// A file, made when it is not there.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The longest that an operation may take.
        timeout: Duration,
    },
    /// A PostgreSQL database.
    Postgres {
        /// Its URL. Without `sslmode`, a host that is not this machine must show a certificate with its name.
        url: Secret,
        /// The longest that an operation may take.
        timeout: Duration,
    },
}

impl Store {
    /// Opens a store and brings its tables up to date.
    ///
    /// # Errors
    /// When it cannot be reached within the time limit (at least 10 seconds), or was written by a newer version.
    pub async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let (timeout, label) = match config {
            StoreConfig::Sqlite { path, timeout } => (*timeout, format!("SQLite, {}", path.display())),
            StoreConfig::Postgres { timeout, .. } => (*timeout, "PostgreSQL".to_owned()),
        };
        let limit = timeout.max(OPEN_TIMEOUT_MIN);
        let opening = async {
            match config {
                StoreConfig::Sqlite { path, timeout } => sqlite(path, *timeout, label.clone()).await,
                StoreConfig::Postgres { url, timeout } => postgres(url, *timeout).await,
            }
        };
        tokio::time::timeout(limit, opening).await.unwrap_or_else(|_| {
            let why = format!("no answer within {} s: it is locked, overloaded or gone", limit.as_secs());
            Err(StoreError::Open { store: label, why })
        })
    }
}

async fn sqlite(path: &Path, timeout: Duration, label: String) -> Result<Store, StoreError> {
    let fault = |why: String| StoreError::Open { store: label.clone(), why };
    own_file(path).map_err(|e| fault(format!("{e}; the process must own the file and its folder")))?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // An account or secret that was acknowledged must outlive a power cut.
        .synchronous(SqliteSynchronous::Full)
        // Shorter than the limit of the whole operation, so that SQLite's own words are heard.
        .busy_timeout(timeout.mul_f32(0.8));
    let pool = SqlitePoolOptions::new()
        .max_connections(SQLITE_CONNECTIONS_MAX)
        .acquire_timeout(timeout)
        .connect_with(options)
        .await
        .map_err(|e| fault(told(&e)))?;
    SQLITE_TABLES.run(&pool).await.map_err(|e| fault(e.to_string()))?;
    Ok(Store { backend: Backend::Sqlite(pool), label, timeout })
}

/// The file, and what SQLite puts beside it with the same mode, is for us alone.
fn own_file(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("this is not a regular file"));
    }
    if metadata.permissions().mode() & OTHERS != 0 {
        tracing::warn!(path = %path.display(), "others could read the store: its mode is now 0600");
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    }
    Ok(())
}

async fn postgres(url: &Secret, timeout: Duration) -> Result<Store, StoreError> {
    let plain = |why: &str| StoreError::Open { store: "PostgreSQL".to_owned(), why: why.to_owned() };
    let text = url.expose_str().map(str::trim).ok_or_else(|| plain("its URL is not text"))?;
    // The parser's own words could repeat the URL, which holds a password.
    let options = PgConnectOptions::from_str(text)
        .map_err(|_| plain("its URL cannot be read; write postgres://USER:PASSWORD@HOST:PORT/DATABASE"))?;
    let options = encrypted(options, text);
    let host = options.get_socket().map_or_else(|| options.get_host().to_owned(), |s| s.display().to_string());
    let label = format!("PostgreSQL, {host}/{}", options.get_database().unwrap_or_else(|| options.get_username()));
    let fault = |why: String| StoreError::Open { store: label.clone(), why };
    let limit_ms = timeout.as_millis().to_string();
    let options = options
        .application_name("countersign")
        // The server lets go as well, so that what we gave up on does not run on there.
        .options([("statement_timeout", limit_ms.as_str()), ("lock_timeout", limit_ms.as_str())]);
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS_MAX)
        .acquire_timeout(timeout)
        .connect_with(options)
        .await
        .map_err(|e| fault(told(&e)))?;
    POSTGRES_TABLES.run(&pool).await.map_err(|e| fault(e.to_string()))?;
    Ok(Store { backend: Backend::Postgres(pool), label, timeout })
}

/// Unless the URL says otherwise, what crosses a network is encrypted and verified.
fn encrypted(options: PgConnectOptions, url: &str) -> PgConnectOptions {
    let said = url.contains("sslmode=") || url.contains("ssl-mode=");
    let host = options.get_host();
    let local = options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if said || local { options } else { options.ssl_mode(PgSslMode::VerifyFull) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_crossed_encrypted_unless_told_otherwise() {
        for (url, verified) in [
            ("postgres://u:p@db.internal/x", true),
            ("postgres://u:p@10.0.0.1:5432/x", true),
            ("postgres://u:p@db.internal/x?sslmode=require", false),
            ("postgres://u:p@localhost/x", false),
            ("postgres://u:p@127.0.0.1/x", false),
            ("postgres://u:p@[::1]/x", false),
            ("postgres:///x?host=/run/postgresql", false),
        ] {
            let options = encrypted(PgConnectOptions::from_str(url).unwrap(), url);
            assert_eq!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull), verified, "{url}");
        }
    }
}
