//! Which type has which form on the wire: built-in ones by their object ids, those of users and extensions as far as the catalog tells what they
//! are made of. Of others nothing is known.
//!
//! Source: `pg_type.dat` of PostgreSQL; object ids of built-in types never change.

use countersign_mask::Width;
use countersign_sql::{Catalog, TypeForm};

/// The object id of `record`: rows of no named type.
pub(crate) const RECORD: u32 = 2249;

/// How a value of a type is written, as far as transforms care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Characters as they are: `text`, `varchar`, `name`, `xml`.
    Text,
    /// `char(n)`: characters, filled up with blanks.
    Padded,
    /// `smallint`, `integer`, `bigint`.
    Integer(Width),
    /// `oid`: 32 bits without a sign.
    Oid,
    /// `real`, `double precision`.
    Float {
        /// 32 bits.
        single: bool,
    },
    /// `numeric`.
    Numeric,
    /// `bytea`.
    Bytes,
    /// `date`.
    Date,
    /// `time`.
    Time,
    /// `time with time zone`.
    ZonedTime,
    /// `timestamp`.
    Timestamp,
    /// `timestamp with time zone`.
    ZonedTimestamp,
    /// `uuid`.
    Uuid,
    /// `inet`.
    Inet,
    /// `cidr`.
    Cidr,
    /// `macaddr`, `macaddr8`.
    Mac,
    /// `json`.
    Json,
    /// `jsonb`: a version number before its binary form.
    Jsonb,
    /// An array of elements of this type.
    Array(u32),
    /// A range between two bounds of this type.
    Range(u32),
    /// `record`, whose fields have types of their own.
    Record,
    /// A row of a named type, by its object id: the catalog has the types of its fields.
    Row(u32),
    /// `hstore`: keys with values.
    Pairs,
    /// A built-in type that has no transform: a value becomes null.
    Opaque,
    /// Not built in, and not made of what is known.
    Unknown,
}

/// Built-in types that have a form of their own.
const SCALARS: &[(u32, Kind)] = &[
    (17, Kind::Bytes),
    (19, Kind::Text),
    (20, Kind::Integer(Width::W64)),
    (21, Kind::Integer(Width::W16)),
    (23, Kind::Integer(Width::W32)),
    (25, Kind::Text),
    (26, Kind::Oid),
    (114, Kind::Json),
    (142, Kind::Text),
    (650, Kind::Cidr),
    (700, Kind::Float { single: true }),
    (701, Kind::Float { single: false }),
    (705, Kind::Text),
    (774, Kind::Mac),
    (829, Kind::Mac),
    (869, Kind::Inet),
    (1042, Kind::Padded),
    (1043, Kind::Text),
    (1082, Kind::Date),
    (1083, Kind::Time),
    (1114, Kind::Timestamp),
    (1184, Kind::ZonedTimestamp),
    (1266, Kind::ZonedTime),
    (1700, Kind::Numeric),
    (1790, Kind::Text),
    (RECORD, Kind::Record),
    (2275, Kind::Text),
    (2950, Kind::Uuid),
    (3802, Kind::Jsonb),
];

/// Array types by the type of their elements, where that has a form of its own.
const ARRAYS: &[(u32, u32)] = &[
    (143, 142),
    (199, 114),
    (651, 650),
    (775, 774),
    (1001, 17),
    (1003, 19),
    (1005, 21),
    (1007, 23),
    (1009, 25),
    (1014, 1042),
    (1015, 1043),
    (1016, 20),
    (1021, 700),
    (1022, 701),
    (1028, 26),
    (1040, 829),
    (1041, 869),
    (1115, 1114),
    (1182, 1082),
    (1183, 1083),
    (1185, 1184),
    (1231, 1700),
    (1263, 2275),
    (1270, 1266),
    (2201, 1790),
    (2287, RECORD),
    (2951, 2950),
    (3807, 3802),
    (3905, 3904),
    (3907, 3906),
    (3909, 3908),
    (3911, 3910),
    (3913, 3912),
    (3927, 3926),
];

/// Range types by the type of their bounds.
const RANGES: &[(u32, u32)] = &[(3904, 23), (3906, 1700), (3908, 1114), (3910, 1184), (3912, 1082), (3926, 20)];

/// Domains over domains that are followed.
const DOMAINS_MAX: usize = 32;
/// Object ids from here on are given out by the database itself (`FirstNormalObjectId`).
const FIRST_NORMAL: u32 = 16_384;

impl Kind {
    /// The kind of a type.
    pub(crate) fn of(oid: u32) -> Self {
        if let Ok(i) = SCALARS.binary_search_by_key(&oid, |(o, _)| *o) {
            return SCALARS.get(i).map_or(Self::Opaque, |(_, kind)| *kind);
        }
        let inner = |table: &[(u32, u32)]| {
            table.binary_search_by_key(&oid, |(o, _)| *o).ok().and_then(|i| table.get(i)).map(|(_, inner)| *inner)
        };
        match (inner(ARRAYS), inner(RANGES)) {
            (Some(element), _) => Self::Array(element),
            (_, Some(bound)) => Self::Range(bound),
            _ if oid >= FIRST_NORMAL => Self::Unknown,
            _ => Self::Opaque,
        }
    }

    /// The kind of a type, also of those that the database has made.
    pub(crate) fn in_catalog(oid: u32, catalog: &Catalog) -> Self {
        let mut oid = oid;
        for _ in 0..DOMAINS_MAX {
            match Self::of(oid) {
                Self::Unknown => {}
                known => return known,
            }
            oid = match catalog.type_form(oid) {
                TypeForm::Domain(base) => base,
                TypeForm::Array(element) => return Self::Array(element),
                TypeForm::Row(_) => return Self::Row(oid),
                TypeForm::Text => return Self::Text,
                TypeForm::Pairs => return Self::Pairs,
                TypeForm::Other => return Self::Unknown,
            };
        }
        Self::Unknown
    }

    /// True for values that are made of others.
    pub(crate) fn is_nested(self) -> bool {
        matches!(self, Self::Array(_) | Self::Range(_) | Self::Record | Self::Row(_))
    }

    /// True when content may be looked for in its values. Types that nobody knows may hold anything.
    pub(crate) fn may_hold_text(self) -> bool {
        match self {
            Self::Text
            | Self::Padded
            | Self::Json
            | Self::Jsonb
            | Self::Record
            | Self::Row(_)
            | Self::Pairs
            | Self::Unknown => true,
            Self::Array(element) => Self::of(element).may_hold_text(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(SCALARS.is_sorted_by_key(|(oid, _)| *oid));
        assert!(ARRAYS.is_sorted_by_key(|(oid, _)| *oid));
        assert!(RANGES.is_sorted_by_key(|(oid, _)| *oid));
    }

    #[test]
    fn kinds_are_found() {
        for (oid, kind) in [
            (25, Kind::Text),
            (1009, Kind::Array(25)),
            (3912, Kind::Range(1082)),
            (3913, Kind::Array(3912)),
            (600, Kind::Opaque),
            (1186, Kind::Opaque),
            (16_384, Kind::Unknown),
        ] {
            assert_eq!(Kind::of(oid), kind, "{oid}");
        }
        assert!(Kind::of(1009).may_hold_text() && Kind::of(2287).may_hold_text() && !Kind::of(1007).may_hold_text());
    }
}
