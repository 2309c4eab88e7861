//! A target's catalog, fetched for a text that is to be explained or tested: the same questions that the gateway asks.
//!
//! It must never send the text, or anything else that a person typed, to the target.

use std::sync::Arc;
use std::time::Duration;

use countersign_config::{Config, Endpoint, TargetSpec, TlsMode};
use countersign_credentials::{Account, AccountMatch};
use countersign_model::{Shape, Tag, TagRule, Tagging};
use countersign_sql::{Catalog, CatalogBuilder, CatalogError, QUERIES, Settings, StatementLineage, analyse, explain};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{Connection as _, Row as _, ValueRef as _};

use crate::convert;
use crate::failed::Failed;
use crate::house::Cellar;

/// The longest that connecting and asking may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

const PATH_QUERY: &str = "SELECT s.name FROM pg_catalog.unnest(pg_catalog.current_schemas(true)) WITH ORDINALITY AS s(name, n) \
     ORDER BY s.n";

/// View definitions come out with every name qualified only when nothing else is on the path.
const ENTER_QUERY: &str = "SET search_path = pg_catalog";

/// What a database's names mean to one account.
pub(in crate::commands) struct Snapshot {
    catalog: Arc<Catalog>,
    settings: Settings,
}

impl Snapshot {
    /// What a text would do, and the first name in it that the catalog does not have: then the gateway denies, whatever the
    /// policies say.
    pub(super) fn read(&self, text: &str) -> (Arc<Shape>, Option<String>) {
        let analysis = analyse(text.as_bytes(), &self.catalog, &self.settings);
        (analysis.shape().clone(), analysis.undefined().map(|u| u.name.to_string()))
    }

    /// What each statement of a text shows and tells of tagged columns, or why the text could not be read.
    pub(super) fn lineage(&self, text: &str) -> Result<Vec<StatementLineage>, String> {
        explain(text, &self.catalog, &self.settings)
    }

    /// The configured rules that fit no column.
    pub(in crate::commands) fn unmatched_rules(&self) -> &[TagRule] {
        self.catalog.unmatched_rules()
    }

    /// True when any column carries a tag.
    pub(super) fn has_tags(&self) -> bool {
        !self.catalog.tags().is_empty()
    }

    /// True when a column of a table in a schema carries the tag or one that stands for it.
    pub(in crate::commands) fn carries(&self, [schema, table, column]: [&str; 3], tag: &Tag) -> bool {
        let columns = self.catalog.relation(schema, table).into_iter().flat_map(|r| r.columns());
        columns.filter(|c| *c.name == *column).flat_map(|c| c.tags.iter()).any(|t| t.covers(tag))
    }
}

/// Fetches the catalog of a configured target, under the first of its accounts that fits. `database` is another than the
/// target's own.
pub(super) async fn fetch(
    config: &Config,
    target: &str,
    database: Option<&str>,
    fits: &dyn Fn(&AccountMatch) -> bool,
) -> Result<Snapshot, Failed> {
    let (options, spec) = login(config, target, database, &|account| fits(&account.matches)).await?;
    load(&options, spec).await
}

/// How to connect to a configured target, under the first of its accounts that fits.
pub(in crate::commands) async fn login<'c>(
    config: &'c Config,
    target: &str,
    database: Option<&str>,
    fits: &dyn Fn(&Account) -> bool,
) -> Result<(PgConnectOptions, &'c TargetSpec), Failed> {
    let Some(spec) = config.targets.iter().find(|t| t.name.as_str() == target) else {
        let names: Vec<&str> = config.targets.iter().map(|t| t.name.as_str()).collect();
        return Err(Failed::not_found(format!(
            "the configuration has no target \"{target}\"; it has {}",
            names.join(", ")
        )));
    };
    if spec.protocol != "postgres" {
        return Err(Failed::new(format!(
            "texts for the protocol \"{}\" cannot be read here: describe the action with --access and --attribute",
            spec.protocol
        )));
    }
    let all = convert::accounts(config);
    let accounts = all.iter().find(|(name, _)| *name == spec.name).map_or(&[][..], |(_, list)| list.as_slice());
    let Some(account) = accounts.iter().find(|a| fits(a)) else {
        return Err(Failed::not_found(format!(
            "no account at \"{target}\" is meant for this, so nobody could connect at all; to judge an action all the same, \
             describe it with --access and --attribute"
        )));
    };
    Ok((options(config, spec, account, database).await?, spec))
}

/// Asks for the catalog.
pub(in crate::commands) async fn load(options: &PgConnectOptions, spec: &TargetSpec) -> Result<Snapshot, Failed> {
    let (target, user) = (&spec.name, options.get_username());
    let asked = tokio::time::timeout(FETCH_TIMEOUT, ask(options, user, &spec.tagging)).await;
    let answered =
        asked.map_err(|_| Failed::new(format!("\"{target}\" did not answer within {} s", FETCH_TIMEOUT.as_secs())))?;
    answered.map_err(|e| Failed::new(format!("the catalog of \"{target}\" cannot be read as {user}: {e}")))
}

/// Why the target refused, without its own words where they could quote data: the code of a database error, else what failed.
pub(in crate::commands) fn cause(e: &sqlx::Error) -> String {
    match e.as_database_error() {
        Some(e) => match e.code().as_deref() {
            Some("42501") => "42501, the account may not read it".to_owned(),
            Some("57014") => "57014, it took too long".to_owned(),
            Some(code) => format!("error {code}"),
            None => "an error without a code".to_owned(),
        },
        None => e.to_string(),
    }
}

async fn options(
    config: &Config,
    spec: &TargetSpec,
    account: &Account,
    database: Option<&str>,
) -> Result<PgConnectOptions, Failed> {
    let mut options = PgConnectOptions::new_without_pgpass().username(&account.user).application_name("countersign");
    options = match &spec.endpoint {
        Endpoint::Tcp { host, port } => options.host(host).port(*port),
        Endpoint::Unix(path) => {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let port = name.strip_prefix(".s.PGSQL.").and_then(|p| p.parse().ok());
            let (Some(port), Some(folder)) = (port, path.parent()) else {
                return Err(Failed::invalid(format!("{} is not the socket of a server", path.display())));
            };
            options.socket(folder).port(port)
        }
    };
    options = options.ssl_mode(match spec.tls.mode {
        TlsMode::Disable => PgSslMode::Disable,
        TlsMode::Require => PgSslMode::Require,
        TlsMode::VerifyCa => PgSslMode::VerifyCa,
        TlsMode::VerifyFull => PgSslMode::VerifyFull,
    });
    if let Some(ca) = &spec.tls.ca {
        options = options.ssl_root_cert(ca);
    }
    if let (Some(certificate), Some(key)) = (&spec.tls.certificate, &spec.tls.key) {
        options = options.ssl_client_cert(certificate).ssl_client_key(key);
    }
    if let Some(database) = database.or(spec.database.as_deref()) {
        options = options.database(database);
    }
    if let Some(source) = &account.password {
        let vault = match source {
            countersign_credentials::SecretSource::Vault(_) => Cellar::open(config).await?.vault,
            _ => None,
        };
        let secret = source.fetch(vault.as_ref()).await.map_err(Failed::new)?;
        let password = secret.expose_str().ok_or_else(|| Failed::new("the account's password is not UTF-8"))?;
        options = options.password(password);
    }
    Ok(options)
}

/// Why a catalog could not be had.
#[derive(Debug)]
enum Fault {
    Database(sqlx::Error),
    Catalog(CatalogError),
    Text(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database(e) => e.fmt(f),
            Self::Catalog(e) => e.fmt(f),
            Self::Text(e) => e.fmt(f),
        }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(e: sqlx::Error) -> Self {
        Self::Database(e)
    }
}

async fn ask(options: &PgConnectOptions, role: &str, tagging: &Tagging) -> Result<Snapshot, Fault> {
    let mut connection = PgConnection::connect_with(options).await?;
    let mut path = Vec::new();
    for row in sqlx::raw_sql(PATH_QUERY).fetch_all(&mut connection).await? {
        path.extend(texts(&row)?.into_iter().flatten().map(str::to_owned));
    }
    sqlx::raw_sql(ENTER_QUERY).execute(&mut connection).await?;
    let mut builder = CatalogBuilder::new(1).tagged(tagging);
    for (section, query) in QUERIES {
        for row in sqlx::raw_sql(*query).fetch_all(&mut connection).await? {
            builder.row(*section, &texts(&row)?).map_err(Fault::Catalog)?;
        }
    }
    connection.close().await?;
    Ok(Snapshot { catalog: builder.build(), settings: Settings::new(&path, Some(role)) })
}

/// The columns of a row as the server wrote them: simple queries are answered in text.
fn texts(row: &PgRow) -> Result<Vec<Option<&str>>, Fault> {
    (0..row.len())
        .map(|i| {
            let value = row.try_get_raw(i)?;
            if value.is_null() {
                return Ok(None);
            }
            value.as_str().map(Some).map_err(|e| Fault::Text(e.to_string()))
        })
        .collect()
}
