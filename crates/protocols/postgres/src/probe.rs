//! Asks the target about itself within a client's own session: which schemas are searched, which temporary objects there are, and
//! the catalog. Asked there, because only there the answer holds: same account, same database, same transaction.
//!
//! It must never carry a byte that came from a client: the frames are literals.

use std::sync::{Arc, LazyLock};

use bytes::{BufMut, BytesMut};
use countersign_model::{ClientText, Culprit, Denial, DenialCode};
use countersign_sql::{Catalog, CatalogBuilder, QUERIES, Section, TEMPORARY_QUERIES};

use crate::wire::{self, Fields, target_fault};

/// Names that begin so belong to the gateway; clients may not use them.
pub(crate) const RESERVED_PREFIX: &str = "_countersign";

const STATEMENT: &str = "_countersign_probe";

/// The search path in force and the role, before the probe changes anything.
const SESSION_QUERY: &str = "SELECT 's', s.name FROM pg_catalog.unnest(pg_catalog.current_schemas(true)) WITH ORDINALITY AS s(name, n) \
     UNION ALL SELECT 'u', CURRENT_USER";

/// The catalog queries rely on unqualified operators and on view texts that qualify every name, so they run with nothing but
/// `pg_catalog` on the path; local to the transaction, and put back at the end because the transaction may be the client's.
const ENTER_QUERY: &str = "SELECT pg_catalog.set_config('countersign.search_path', \
     pg_catalog.current_setting('search_path'), true), pg_catalog.set_config('search_path', 'pg_catalog', true)";

const LEAVE_QUERY: &str =
    "SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('countersign.search_path'), true)";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Session,
    Bracket,
    Temporary(Section),
    Shared(Section),
}

struct Script {
    parts: Vec<Part>,
    synced: Vec<u8>,
    flushed: Vec<u8>,
}

impl Script {
    fn new(with_catalog: bool) -> Self {
        let mut queries = vec![(Part::Session, SESSION_QUERY), (Part::Bracket, ENTER_QUERY)];
        queries.extend(TEMPORARY_QUERIES.iter().map(|(s, q)| (Part::Temporary(*s), *q)));
        if with_catalog {
            queries.extend(QUERIES.iter().map(|(s, q)| (Part::Shared(*s), *q)));
        }
        queries.push((Part::Bracket, LEAVE_QUERY));
        let mut out = BytesMut::new();
        let close = |out: &mut BytesMut, kind: u8| {
            wire::frame(out, b'C', |b| {
                b.put_u8(kind);
                wire::put_cstr(b, STATEMENT);
            });
        };
        // An earlier probe that failed half way has left its statement.
        close(&mut out, b'S');
        for (_, query) in &queries {
            wire::frame(&mut out, b'P', |b| {
                wire::put_cstr(b, STATEMENT);
                wire::put_cstr(b, query);
                b.put_i16(0);
            });
            wire::frame(&mut out, b'B', |b| {
                wire::put_cstr(b, STATEMENT);
                wire::put_cstr(b, STATEMENT);
                b.put_i16(0);
                b.put_i16(0);
                b.put_i16(0);
            });
            wire::frame(&mut out, b'E', |b| {
                wire::put_cstr(b, STATEMENT);
                b.put_i32(0);
            });
            close(&mut out, b'P');
            close(&mut out, b'S');
        }
        let mut synced = out.clone();
        wire::frame(&mut synced, b'S', |_| {});
        wire::frame(&mut out, b'H', |_| {});
        Self { parts: queries.into_iter().map(|(p, _)| p).collect(), synced: synced.to_vec(), flushed: out.to_vec() }
    }
}

static SESSION_ONLY: LazyLock<Script> = LazyLock::new(|| Script::new(false));
static WITH_CATALOG: LazyLock<Script> = LazyLock::new(|| Script::new(true));

/// What a probe found.
#[derive(Debug)]
pub(crate) struct Findings {
    /// `current_schemas(true)`, first searched first.
    pub(crate) schemas: Vec<Arc<str>>,
    /// The role that acts.
    pub(crate) role: String,
    /// The session's temporary objects.
    pub(crate) temporary: Arc<Catalog>,
    /// The shared catalog, when it was asked for.
    pub(crate) catalog: Option<Arc<Catalog>>,
}

/// A probe under way.
pub(crate) struct Probe {
    script: &'static Script,
    /// Answers to Close: one ahead, then of portal and statement two a part.
    closed: usize,
    synced: bool,
    failed: Option<String>,
    schemas: Vec<Arc<str>>,
    role: String,
    temporary: CatalogBuilder,
    catalog: Option<CatalogBuilder>,
    /// The database's generation when the probe began.
    pub(crate) generation: u64,
}

impl Probe {
    /// Begins; the frames to send are returned. `synced` says that no implicit transaction of the client is open, so that the
    /// probe ends with its own Sync. `catalog` is given when the shared catalog is wanted.
    pub(crate) fn start(
        synced: bool,
        generation: u64,
        temporary: CatalogBuilder,
        catalog: Option<CatalogBuilder>,
    ) -> (Self, &'static [u8]) {
        let script: &'static Script = if catalog.is_some() { &WITH_CATALOG } else { &SESSION_ONLY };
        let probe = Self {
            script,
            closed: 0,
            synced,
            failed: None,
            schemas: Vec::new(),
            role: String::new(),
            temporary,
            catalog,
            generation,
        };
        (probe, if synced { &script.synced } else { &script.flushed })
    }

    /// Takes a frame of the answer; true when it was the last.
    pub(crate) fn on_frame(&mut self, tag: u8, frame: &[u8]) -> Result<bool, Denial> {
        match tag {
            b'Z' if self.failed.is_some() => Ok(true),
            _ if self.failed.is_some() => Err(target_fault("an unexpected message after an error")),
            b'1' | b'2' | b'C' | b'n' | b'T' => Ok(false),
            b'D' => self.row(frame).map(|()| false),
            b'3' => {
                self.closed += 1;
                Ok(!self.synced && self.is_through())
            }
            b'Z' if self.synced && self.is_through() => Ok(true),
            b'E' => {
                self.failed = Some(wire::error_code(frame).unwrap_or("?").to_owned());
                Ok(!self.synced)
            }
            _ => Err(target_fault("an unexpected message while the catalog is read")),
        }
    }

    fn is_through(&self) -> bool {
        self.closed == self.script.parts.len() * 2 + 1
    }

    fn row(&mut self, frame: &[u8]) -> Result<(), Denial> {
        const COLUMNS_MAX: usize = 16;
        let mut f = Fields::of(frame);
        let count = f.i16().and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= COLUMNS_MAX);
        let mut columns: [Option<&str>; COLUMNS_MAX] = [None; COLUMNS_MAX];
        let cut = || target_fault("a catalog row is malformed");
        let columns = columns.get_mut(..count.ok_or_else(cut)?).ok_or_else(cut)?;
        for column in columns.iter_mut() {
            let len = f.i32().ok_or_else(cut)?;
            if let Ok(len) = usize::try_from(len) {
                let text = f.bytes(len).ok_or_else(cut)?;
                *column = Some(std::str::from_utf8(text).map_err(|_| cut())?);
            }
        }
        let unusable = |e: countersign_sql::CatalogError| {
            Denial::new(
                Culprit::Target,
                DenialCode::TargetUnavailable,
                ClientText::new("the target's catalog cannot be used"),
            )
            .detail(e)
        };
        match self.script.parts.get(self.closed.saturating_sub(1) / 2) {
            Some(Part::Session) => match *columns {
                [Some("s"), Some(name)] => self.schemas.push(name.into()),
                [Some("u"), Some(name)] => name.clone_into(&mut self.role),
                _ => return Err(cut()),
            },
            Some(Part::Bracket) => {}
            Some(Part::Temporary(section)) => self.temporary.row(*section, columns).map_err(unusable)?,
            Some(Part::Shared(section)) => {
                if let Some(catalog) = &mut self.catalog {
                    catalog.row(*section, columns).map_err(unusable)?;
                }
            }
            None => return Err(cut()),
        }
        Ok(())
    }

    /// Why it found nothing: the target was cancelled, too slow or unwilling. With it, whether the target now skips to the client's
    /// own Sync.
    pub(crate) fn failure(&self) -> Option<(Denial, bool)> {
        let code = self.failed.as_ref()?;
        let denial = Denial::new(
            Culprit::Target,
            DenialCode::TargetUnavailable,
            ClientText::new("the target could not be asked what names mean (SQLSTATE ").name(code).and(")"),
        )
        .detail(format!("SQLSTATE {code} while reading the catalog"));
        Some((denial, !self.synced))
    }

    /// What it found, once [`Probe::on_frame`] said that it is over.
    pub(crate) fn finish(self) -> Findings {
        Findings {
            schemas: self.schemas,
            role: self.role,
            temporary: self.temporary.build(),
            catalog: self.catalog.map(CatalogBuilder::build),
        }
    }
}
