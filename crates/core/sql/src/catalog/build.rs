//! Rows to catalog.

use std::hash::BuildHasher as _;
use std::sync::{Arc, LazyLock, OnceLock};

use countersign_model::Tagging;
use hashbrown::HashMap;

use super::tags::{self, Notes};
use super::{Cast, Catalog, Column, Function, Relation, RelationKind, Section, TypeKind, qualify};
use crate::tables::total;

/// Most rows that one catalog may have, all sections together.
const CATALOG_ROWS_MAX: usize = 5_000_000;

/// Why a row was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// The row has not the columns of its section.
    #[error("a {section:?} row of the catalog cannot be read: column {column} is missing or malformed")]
    Malformed {
        /// Which section.
        section: Section,
        /// Which column, from 0.
        column: usize,
    },
    /// Too many rows.
    #[error("the catalog has more than 5,000,000 rows")]
    TooLarge,
}

/// Objects below this were made with the cluster (PostgreSQL: `FirstNormalObjectId`); nobody can make another one there.
const FIRST_NORMAL_OID: u32 = 16_384;

/// Collects rows; see [`super::QUERIES`] for the sections and their columns.
#[derive(Debug)]
pub struct CatalogBuilder {
    catalog: Catalog,
    relation_by_oid: HashMap<u32, u32, foldhash::fast::RandomState>,
    rows: usize,
    notes: Notes,
    /// An earlier catalog of the same database.
    before: Option<Arc<Catalog>>,
    /// Views by object id and version whose texts cannot be read now.
    unread: Vec<(u32, u32)>,
}

type ByOid<'c, T> = HashMap<u32, &'c T, foldhash::fast::RandomState>;

/// True when everything that both know has the name that it had: a text of before then means what it meant.
fn names_hold(before: &Catalog, now: &Catalog) -> bool {
    let known: ByOid<'_, Relation> = before.relations.iter().map(|r| (r.oid, r)).collect();
    let relation_holds = |r: &Relation| {
        let columns = |then: &Relation| {
            then.columns
                .iter()
                .all(|c| r.columns.iter().find(|d| d.number == c.number).is_none_or(|d| d.name == c.name))
        };
        known.get(&r.oid).is_none_or(|then| then.qualified == r.qualified && columns(then))
    };
    let function_holds =
        |(oid, index): (&u32, &u32)| match (now.functions.get(*index as usize), before.function_of_oid(*oid)) {
            (Some(f), Some(then)) => f.qualified == then.qualified,
            _ => true,
        };
    let schema_holds = |(name, schema): (&Arc<str>, &super::Schema)| {
        before.schemas.get(name).is_none_or(|then| {
            schema.types.iter().all(|(name, oid)| then.types.get(name).is_none_or(|o| o == oid))
                && schema.operators.iter().all(|(name, all)| then.operators.get(name).is_none_or(|o| o == all))
        })
    };
    now.relations.iter().all(relation_holds)
        && now.function_by_oid.iter().all(function_holds)
        && now.schemas.iter().all(schema_holds)
}

static SEED: LazyLock<foldhash::quality::RandomState> = LazyLock::new(foldhash::quality::RandomState::default);

/// Sums of this tell catalogs apart whatever the order of their rows. Seeded for each process, so that nobody can look for names
/// that add up to the same.
fn row_hash(section: Section, columns: &[Option<&str>]) -> u64 {
    SEED.hash_one((section, columns))
}

struct Row<'a> {
    section: Section,
    columns: &'a [Option<&'a str>],
}

impl<'a> Row<'a> {
    fn text(&self, column: usize) -> Result<&'a str, CatalogError> {
        self.columns.get(column).copied().flatten().ok_or(CatalogError::Malformed { section: self.section, column })
    }

    /// A column that older collections of rows have not.
    fn optional(&self, column: usize) -> Option<&'a str> {
        self.columns.get(column).copied().flatten()
    }

    fn number<T: std::str::FromStr>(&self, column: usize) -> Result<T, CatalogError> {
        self.text(column)?.parse().map_err(|_| CatalogError::Malformed { section: self.section, column })
    }

    /// Numbers with spaces between them.
    fn numbers(&self, column: usize) -> Result<Box<[u32]>, CatalogError> {
        let parts = self.text(column)?.split_ascii_whitespace();
        parts.map(|n| n.parse().map_err(|_| CatalogError::Malformed { section: self.section, column })).collect()
    }

    fn flag(&self, column: usize) -> Result<bool, CatalogError> {
        match self.text(column)? {
            "t" | "true" => Ok(true),
            "f" | "false" => Ok(false),
            _ => Err(CatalogError::Malformed { section: self.section, column }),
        }
    }
}

impl CatalogBuilder {
    /// Starts an empty one. `generation` must differ from that of every other snapshot in this process.
    pub fn new(generation: u64) -> Self {
        Self {
            catalog: Catalog {
                generation,
                digest: 0,
                schemas: HashMap::default(),
                relations: Vec::new(),
                functions: Vec::new(),
                function_by_oid: HashMap::default(),
                casts: Vec::new(),
                inner_types: HashMap::default(),
                type_kinds: HashMap::default(),
                extensions: Vec::new(),
                tags: [].into(),
                unmatched: Vec::new(),
                tagged: hashbrown::HashSet::default(),
            },
            relation_by_oid: HashMap::default(),
            rows: 0,
            notes: Notes::default(),
            before: None,
            unread: Vec::new(),
        }
    }

    /// Gives it an earlier catalog of the same database, for the definitions of views that cannot be read without waiting and have
    /// not changed since. When anything has been renamed since, none of them counts: what they name may be something else now.
    #[must_use]
    pub fn after(mut self, before: Option<Arc<Catalog>>) -> Self {
        self.before = before;
        self
    }

    /// Says how its data is known to be sensitive: the columns get their tags when it is built. Part of what tells catalogs apart.
    #[must_use]
    pub fn tagged(mut self, tagging: &Tagging) -> Self {
        self.notes.tagging = tagging.clone();
        self
    }

    /// Takes one row of text columns. Rows about relations that were not given are passed over.
    pub fn row(&mut self, section: Section, columns: &[Option<&str>]) -> Result<(), CatalogError> {
        self.rows += 1;
        if self.rows > CATALOG_ROWS_MAX {
            return Err(CatalogError::TooLarge);
        }
        if let (Section::Views, [Some(oid), None, Some(version)]) = (section, columns)
            && let (Ok(oid), Ok(version)) = (oid.parse(), version.parse())
        {
            self.unread.push((oid, version));
            return Ok(());
        }
        self.catalog.digest = self.catalog.digest.wrapping_add(row_hash(section, columns));
        let row = Row { section, columns };
        match section {
            Section::Relations => self.relation(&row),
            Section::Columns => self.column(&row),
            Section::Views => {
                let oid: u32 = row.number(0)?;
                let version = row.optional(2).and_then(|v| v.parse().ok()).unwrap_or(0);
                self.view(oid, row.optional(1).map(Into::into), version);
                Ok(())
            }
            Section::Inheritance => self.inheritance(&row),
            Section::Functions => self.function(&row),
            Section::Operators => {
                let function = row.number(2)?;
                let name = row.text(1)?.into();
                self.schema(row.text(0)?).operators.entry(name).or_default().push(function);
                Ok(())
            }
            Section::Casts => {
                let implicit = row.text(3)? != "e";
                self.catalog.casts.push(Cast {
                    source: row.number(0)?,
                    target: row.number(1)?,
                    function: row.number(2)?,
                    implicit,
                });
                Ok(())
            }
            Section::Types => {
                let oid = row.number(0)?;
                let name = row.text(2)?;
                let inner = row.numbers(3)?;
                self.schema(row.text(1)?).types.insert(name.into(), oid);
                if let Some(kind) = type_kind(name, row.optional(4)).filter(|_| oid >= FIRST_NORMAL_OID) {
                    self.catalog.type_kinds.insert(oid, kind);
                }
                if !inner.is_empty() {
                    self.catalog.inner_types.insert(oid, inner);
                }
                Ok(())
            }
            Section::Comments => {
                self.notes.comments.push((row.number(0)?, row.number(1)?, row.text(2)?.into()));
                Ok(())
            }
            Section::Generated => {
                self.notes.generated.push((row.number(0)?, row.number(1)?, row.optional(2).map(Into::into)));
                Ok(())
            }
            Section::Extensions => {
                self.catalog.extensions.push(row.text(0)?.into());
                Ok(())
            }
        }
    }

    /// Ends it.
    pub fn build(mut self) -> Arc<Catalog> {
        self.recall();
        self.catalog.extensions.sort();
        let notes = std::mem::take(&mut self.notes);
        if notes.tagging != Tagging::default() {
            self.catalog.digest = self.catalog.digest.wrapping_add(SEED.hash_one(&notes.tagging));
            tags::apply(&mut self.catalog, &notes);
        }
        Arc::new(self.catalog)
    }

    /// Gives the views that could not be read the texts that they had, where those still mean the same.
    fn recall(&mut self) {
        let unread = std::mem::take(&mut self.unread);
        let before = self.before.take().filter(|then| !unread.is_empty() && names_hold(then, &self.catalog));
        let known: ByOid<'_, Relation> =
            before.iter().flat_map(|then| then.relations.iter().map(|r| (r.oid, r))).collect();
        for (oid, version) in unread {
            let then = known.get(&oid).filter(|then| then.version == version && version != 0);
            let definition = then.and_then(|then| then.definition.clone());
            // Written as the server would have told it.
            let (oid_text, version_text) = (oid.to_string(), version.to_string());
            let row = [Some(oid_text.as_str()), definition.as_deref(), Some(version_text.as_str())];
            self.catalog.digest = self.catalog.digest.wrapping_add(row_hash(Section::Views, &row));
            self.view(oid, definition, version);
        }
    }

    fn view(&mut self, oid: u32, definition: Option<Arc<str>>, version: u32) {
        if let Some(relation) = self.relation_mut(oid) {
            relation.unread = definition.is_none();
            relation.definition = definition;
            relation.version = version;
        }
    }

    fn schema(&mut self, name: &str) -> &mut super::Schema {
        self.catalog.schemas.entry_ref(name).or_default()
    }

    fn relation_mut(&mut self, oid: u32) -> Option<&mut Relation> {
        let index = *self.relation_by_oid.get(&oid)?;
        self.catalog.relations.get_mut(index as usize)
    }

    fn relation(&mut self, row: &Row<'_>) -> Result<(), CatalogError> {
        let (oid, schema, name): (u32, _, _) = (row.number(0)?, row.text(1)?, row.text(2)?);
        let kind = match row.text(3)? {
            "r" | "p" => RelationKind::Table,
            "v" => RelationKind::View,
            "m" => RelationKind::MaterializedView,
            "f" => RelationKind::ForeignTable,
            "S" => RelationKind::Sequence,
            _ => RelationKind::Other,
        };
        let index = u32::try_from(self.catalog.relations.len()).map_err(|_| CatalogError::TooLarge)?;
        let relation = Relation {
            oid,
            schema: schema.into(),
            name: name.into(),
            qualified: qualify(schema, name).into(),
            kind,
            columns: Vec::new(),
            definition: None,
            version: 0,
            unread: false,
            parents: Vec::new(),
            children: Vec::new(),
            facts: OnceLock::new(),
            lineage: OnceLock::new(),
        };
        self.schema(schema).relations.insert(name.into(), index);
        self.relation_by_oid.insert(oid, index);
        self.catalog.relations.push(relation);
        Ok(())
    }

    fn column(&mut self, row: &Row<'_>) -> Result<(), CatalogError> {
        let oid: u32 = row.number(0)?;
        let column = Column {
            number: row.number(1)?,
            name: row.text(2)?.into(),
            type_oid: row.number(3)?,
            generated: row.optional(4).is_some_and(|g| !g.is_empty()),
            tags: [].into(),
        };
        if let Some(relation) = self.relation_mut(oid) {
            relation.columns.push(column);
        }
        Ok(())
    }

    fn inheritance(&mut self, row: &Row<'_>) -> Result<(), CatalogError> {
        let (child, parent): (u32, u32) = (row.number(0)?, row.number(1)?);
        let (Some(&child), Some(&parent)) = (self.relation_by_oid.get(&child), self.relation_by_oid.get(&parent))
        else {
            return Ok(());
        };
        if let Some(relation) = self.catalog.relations.get_mut(child as usize) {
            relation.parents.push(parent);
        }
        if let Some(relation) = self.catalog.relations.get_mut(parent as usize) {
            relation.children.push(child);
        }
        Ok(())
    }

    fn function(&mut self, row: &Row<'_>) -> Result<(), CatalogError> {
        let (oid, schema, name): (u32, _, _) = (row.number(0)?, row.text(1)?, row.text(2)?);
        let (arguments, defaults): (u16, u16) = (row.number(3)?, row.number(4)?);
        let variadic = row.flag(5)?;
        let extension = row.optional(12);
        let is_machine_code = matches!(row.optional(10), Some("c" | "internal"));
        let index = u32::try_from(self.catalog.functions.len()).map_err(|_| CatalogError::TooLarge)?;
        let function = Function {
            name: name.into(),
            qualified: qualify(schema, name).into(),
            built_in: schema == "pg_catalog",
            // A variadic argument may also be left out when it has a default, or be given as nothing by `VARIADIC`.
            arguments_min: arguments.saturating_sub(defaults).saturating_sub(u16::from(variadic)),
            arguments_max: (!variadic).then_some(arguments),
            is_volatile: row.text(6)? == "v",
            comes_with_server: oid < FIRST_NORMAL_OID && schema == "information_schema",
            is_machine_code,
            is_vouched: is_machine_code && extension.is_some_and(total::is_harmless_extension),
            is_immutable: row.text(6)? == "i",
            gives_one: row.optional(11) == Some("f"),
            is_procedure: row.text(7)? == "p",
            security_definer: row.flag(8)?,
            types: row.numbers(9)?,
            likeness: extension.and_then(|extension| total::likeness(extension, name)),
        };
        self.schema(schema).functions.entry(name.into()).or_default().push(index);
        self.catalog.function_by_oid.insert(oid, index);
        self.catalog.functions.push(function);
        Ok(())
    }
}

/// What sort of type it is, by its name and what the server says of it. Nobody but a superuser makes base types, and those two names
/// are the extensions'.
fn type_kind(name: &str, told: Option<&str>) -> Option<TypeKind> {
    Some(match (told?, name) {
        ("A", _) => TypeKind::Array,
        ("d", _) => TypeKind::Domain,
        ("c", _) => TypeKind::Row,
        ("b", "citext") => TypeKind::Text,
        ("b", "hstore") => TypeKind::Pairs,
        _ => return None,
    })
}
