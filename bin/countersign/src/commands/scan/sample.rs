//! Samples of every table, looked at value by value.
//!
//! One read-only transaction for each table, with a time limit: a table that is slow or not to be read is told of and left. It must never
//! keep a value beyond looking at it, nor pass on the target's own words for an error, which may quote one.

use std::collections::BTreeMap;

use countersign_mask::detect::{Confidence, Detector, Hit, Wanted, scan};
use countersign_model::Tag;
use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Row as _, ValueRef as _};

use crate::failed::Failed;

use super::super::policy::catalog::cause;
use super::{Finding, Report, is_sure, propose};

/// The longest that looking at one table may take, in milliseconds.
const TABLE_TIMEOUT_MS: u32 = 60_000;
/// The most characters of a value that are looked at.
const VALUE_CHARS_MAX: u32 = 8_192;
/// Tables with more rows than this many times the sample are sampled by pages, others read from the start.
const PAGES_FROM: f64 = 4.0;

/// Tables with the columns that can hold text, those of partitions as their parent's. Domains are what they are made of.
const COLUMNS_QUERY: &str = "SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, NULL), \
     c.reltuples::pg_catalog.float8, pg_catalog.quote_ident(n.nspname), pg_catalog.quote_ident(c.relname), \
     pg_catalog.quote_ident(a.attname), c.relkind OPERATOR(pg_catalog.<>) 'm' AS sampled \
     FROM pg_catalog.pg_attribute a \
     JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.attrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
     JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid \
     LEFT JOIN pg_catalog.pg_type b ON b.oid OPERATOR(pg_catalog.=) t.typbasetype \
     LEFT JOIN pg_catalog.pg_type e ON e.oid OPERATOR(pg_catalog.=) t.typelem AND t.typcategory OPERATOR(pg_catalog.=) 'A' \
     WHERE a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped AND NOT c.relispartition \
     AND c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
     AND n.nspname NOT LIKE 'pg\\_temp\\_%' \
     AND (t.typcategory OPERATOR(pg_catalog.=) 'S' OR b.typcategory OPERATOR(pg_catalog.=) 'S' \
          OR e.typcategory OPERATOR(pg_catalog.=) 'S' \
          OR t.typname IN ('json', 'jsonb', 'xml', 'inet', 'cidr', 'macaddr', 'macaddr8', '_json', '_jsonb', '_inet', 'hstore')) \
     ORDER BY n.nspname, c.relname, a.attnum";

/// One table to look at.
struct Subject {
    /// As messages name it.
    name: String,
    schema: String,
    /// Quoted for a statement.
    quoted: String,
    rows: f64,
    /// It can be sampled by pages.
    sampled: bool,
    columns: Vec<Looked>,
}

/// One column, and what was found so far.
struct Looked {
    place: [String; 3],
    name: String,
    full_name: String,
    data_type: String,
    quoted: String,
    values: u64,
    found: BTreeMap<&'static str, Counted>,
}

#[derive(Default)]
struct Counted {
    certain: u64,
    likely: u64,
    possible: u64,
    detectors: std::collections::BTreeSet<&'static str>,
}

/// Looks at every table of these schemas, or of all.
pub(super) async fn look(
    options: &PgConnectOptions,
    schemas: &[String],
    rows_max: u32,
    progress: &dyn Fn(usize, usize, &str),
) -> Result<Report, Failed> {
    let failed = |e: &sqlx::Error| Failed::new(format!("the target could not be asked: {}", cause(e)));
    let mut connection = PgConnection::connect_with(options).await.map_err(|e| failed(&e))?;
    for setting in [
        "SET default_transaction_read_only = on".to_owned(),
        format!("SET statement_timeout = {TABLE_TIMEOUT_MS}"),
        "SET search_path = pg_catalog".to_owned(),
        "SET row_security = on".to_owned(),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(setting)).execute(&mut connection).await.map_err(|e| failed(&e))?;
    }
    let mut subjects = subjects(&mut connection).await.map_err(|e| failed(&e))?;
    subjects.retain(|s| schemas.is_empty() || schemas.contains(&s.schema));
    if let Some(unknown) = schemas.iter().find(|name| subjects.iter().all(|s| s.schema != **name)) {
        return Err(Failed::not_found(format!("there is no table with text in a schema \"{unknown}\"")));
    }
    let mut report = Report::default();
    let of = subjects.len();
    for (n, mut subject) in subjects.into_iter().enumerate() {
        progress(n, of, &subject.name);
        match read(&mut connection, &mut subject, rows_max).await {
            Ok(()) => {
                report.tables += 1;
                report.columns += subject.columns.len() as u64;
                report.findings.extend(subject.columns.into_iter().flat_map(findings));
            }
            Err(e) => {
                if e.as_database_error().is_none() {
                    return Err(failed(&e));
                }
                report.unread.push((subject.name, cause(&e)));
            }
        }
    }
    // What was read is kept, whatever the target says of goodbye.
    let _ = connection.close().await;
    propose::sort(&mut report.findings);
    Ok(report)
}

async fn subjects(connection: &mut PgConnection) -> Result<Vec<Subject>, sqlx::Error> {
    let mut subjects: Vec<Subject> = Vec::new();
    for row in sqlx::query(COLUMNS_QUERY).fetch_all(connection).await? {
        let text = |i: usize| row.try_get::<String, _>(i);
        let (schema, table, column) = (text(0)?, text(1)?, text(2)?);
        let name = format!("{}.{}", part(&schema), part(&table));
        let quoted = format!("{}.{}", text(5)?, text(6)?);
        if subjects.last().is_none_or(|s| s.quoted != quoted) {
            let (rows, sampled) = (row.try_get::<f64, _>(4)?, row.try_get::<bool, _>(8)?);
            subjects.push(Subject {
                name: name.clone(),
                schema: schema.clone(),
                quoted,
                rows,
                sampled,
                columns: Vec::new(),
            });
        }
        if let Some(subject) = subjects.last_mut() {
            subject.columns.push(Looked {
                place: [schema.clone(), table.clone(), column.clone()],
                full_name: format!("{name}.{}", part(&column)),
                name: column,
                data_type: text(3)?,
                quoted: text(7)?,
                values: 0,
                found: BTreeMap::new(),
            });
        }
    }
    Ok(subjects)
}

/// A part of a full name, as rules have it: quoted where it holds a dot or a quote.
fn part(name: &str) -> String {
    if name.contains(['.', '"']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_owned() }
}

fn statement(subject: &Subject, rows_max: u32) -> String {
    let columns =
        subject.columns.iter().map(|c| format!("pg_catalog.left({}::pg_catalog.text, {VALUE_CHARS_MAX})", c.quoted));
    let sample = if subject.sampled && subject.rows > f64::from(rows_max) * PAGES_FROM {
        // Pages are chosen, and what is on them is alike: twice as many rows as are looked at.
        let percent = (f64::from(rows_max) * 200.0 / subject.rows).clamp(0.0001, 100.0);
        format!(" TABLESAMPLE SYSTEM ({percent:.4})")
    } else {
        String::new()
    };
    let columns = columns.collect::<Vec<_>>().join(", ");
    format!("SELECT {columns} FROM {}{sample} LIMIT {rows_max}", subject.quoted)
}

async fn read(connection: &mut PgConnection, subject: &mut Subject, rows_max: u32) -> Result<(), sqlx::Error> {
    let statement = statement(subject, rows_max);
    let mut rows = sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).fetch(connection);
    let mut hits: Vec<Hit> = Vec::new();
    while let Some(row) = rows.try_next().await? {
        for (i, column) in subject.columns.iter_mut().enumerate() {
            let value = row.try_get_raw(i)?;
            if value.is_null() {
                continue;
            }
            // Whatever is not UTF-8 is no text that could be looked at.
            let Ok(text) = value.as_str() else { continue };
            if !text.is_empty() {
                column.look(text, &mut hits);
            }
        }
    }
    Ok(())
}

impl Looked {
    fn look(&mut self, text: &str, hits: &mut Vec<Hit>) {
        self.values += 1;
        scan(text.as_bytes(), self.name.as_bytes(), Wanted::ALL, hits);
        let mut best: BTreeMap<&'static str, (Confidence, Detector)> = BTreeMap::new();
        for hit in hits.iter() {
            let kept = best.entry(hit.detector.tag()).or_insert((hit.confidence, hit.detector));
            if hit.confidence > kept.0 {
                *kept = (hit.confidence, hit.detector);
            }
        }
        for (tag, (confidence, detector)) in best {
            let counted = self.found.entry(tag).or_default();
            match confidence {
                Confidence::Certain => counted.certain += 1,
                Confidence::Likely => counted.likely += 1,
                Confidence::Possible => counted.possible += 1,
            }
            if is_sure(confidence) || counted.detectors.is_empty() {
                counted.detectors.insert(detector.name());
            }
        }
    }
}

fn findings(column: Looked) -> impl Iterator<Item = Finding> {
    let Looked { place, full_name, data_type, values, found, .. } = column;
    found.into_iter().filter_map(move |(tag, counted)| {
        Some(Finding {
            column: full_name.clone(),
            place: place.clone(),
            data_type: data_type.clone(),
            tag: Tag::parse(tag)?,
            detectors: counted.detectors.into_iter().collect(),
            values,
            certain: counted.certain,
            likely: counted.likely,
            possible: counted.possible,
            tagged: false,
            proposed: false,
        })
    })
}
