//! The queries whose rows make a catalog. They run on a real server (12 or later) under `search_path = pg_catalog`, so that view
//! definitions come out with every name qualified.

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// oid, schema, name, kind.
    Relations,
    /// relation oid, number, name, type oid, how it is generated (empty when it is not).
    Columns,
    /// relation oid, definition, version. Without a definition where reading it would wait for somebody who alters one of its relations; one
    /// of the same version is the same text.
    Views,
    /// relation oid, column number, text.
    Comments,
    /// relation oid, column number, the expression that a generated column is computed by, or none as for views.
    Generated,
    /// child oid, parent oid.
    Inheritance,
    /// oid, schema, name, arguments, of them with default, variadic, volatility, kind, security definer, oids of the types that may come out with spaces
    /// between, language, gives a set, the extension that it came with where nobody but a superuser can have put it there.
    Functions,
    /// schema, name, function oid.
    Operators,
    /// source type oid, target type oid, function oid, context.
    Casts,
    /// oid, schema, name, oids of the types that it is made of (element of an array, base of a domain, fields of a row in
    /// order) with spaces between, its `typtype` or `A` for an array.
    Types,
    /// name.
    Extensions,
}

/// The schema name under which a session's temporary objects are known.
pub const TEMPORARY_SCHEMA: &str = "pg_temp";

/// The relations that somebody else holds locked to alter them: who reads their definitions would wait.
macro_rules! altered {
    () => {
        "WITH altered AS MATERIALIZED (SELECT l.relation FROM pg_catalog.pg_locks l WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' \
         AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid() AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d \
         WHERE d.datname = pg_catalog.current_database())) "
    };
}

/// The columns of [`Section::Views`], of a relation `c` with the rule `r`.
macro_rules! definition {
    () => {
        "SELECT c.oid, CASE WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN altered a ON a.relation = d.refobjid \
         WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid \
         AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass) THEN pg_catalog.pg_get_viewdef(c.oid) END, r.xmin "
    };
}

/// Every section of a database's catalog, in the order in which the rows must be given to the builder. Columns are text.
pub const QUERIES: &[(Section, &str)] = &[
    (
        Section::Relations,
        "SELECT c.oid, n.nspname, c.relname, c.relkind FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname !~ '^pg_(toast_)?temp_'",
    ),
    (
        Section::Columns,
        "SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.attgenerated FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE a.attnum > 0 AND NOT a.attisdropped \
         AND c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S') AND n.nspname !~ '^pg_(toast_)?temp_' ORDER BY a.attrelid, a.attnum",
    ),
    (
        Section::Views,
        concat!(
            altered!(),
            definition!(),
            "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid AND r.rulename = '_RETURN' \
         WHERE c.relkind IN ('v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast_)?temp_'"
        ),
    ),
    (
        Section::Comments,
        "SELECT d.objoid, d.objsubid, d.description FROM pg_catalog.pg_description d JOIN pg_catalog.pg_class c ON c.oid = d.objoid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass \
         AND d.objsubid > 0 AND n.nspname !~ '^pg_(toast_)?temp_'",
    ),
    (
        Section::Generated,
        concat!(
            altered!(),
            "SELECT d.adrelid, d.adnum, CASE WHEN d.adrelid NOT IN (SELECT a.relation FROM altered a) THEN \
         pg_catalog.pg_get_expr(d.adbin, d.adrelid) END FROM pg_catalog.pg_attrdef d \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum JOIN pg_catalog.pg_class c ON c.oid = d.adrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE a.attgenerated <> '' AND n.nspname !~ '^pg_(toast_)?temp_'"
        ),
    ),
    (
        Section::Inheritance,
        "SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid \
         WHERE c.relkind IN ('r', 'p', 'f')",
    ),
    (
        Section::Functions,
        // An aggregate is marked immutable whatever it calls: the gravest of its parts counts. A default argument may call anything.
        "SELECT p.oid, n.nspname, p.proname, p.pronargs, p.pronargdefaults, p.provariadic <> 0, \
         CASE WHEN p.prokind = 'a' AND EXISTS (SELECT FROM pg_catalog.pg_aggregate g JOIN pg_catalog.pg_proc q ON q.oid IN \
         (g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn) \
         WHERE g.aggfnoid = p.oid AND (q.provolatile = 'v' OR q.prosecdef)) \
         OR n.nspname <> 'pg_catalog' AND p.pronargdefaults > 0 AND p.proargdefaults::pg_catalog.text ~ ':funcid ' THEN 'v' ELSE p.provolatile END, \
         p.prokind, p.prosecdef, \
         pg_catalog.array_to_string(pg_catalog.array_append(coalesce(p.proallargtypes, '{}'), p.prorettype), ' '), \
         CASE WHEN p.prokind = 'a' AND EXISTS (SELECT FROM pg_catalog.pg_aggregate g JOIN pg_catalog.pg_proc q ON q.oid IN \
         (g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn) \
         JOIN pg_catalog.pg_language m ON m.oid = q.prolang WHERE g.aggfnoid = p.oid AND m.lanname NOT IN ('internal', 'c')) \
         THEN 'mixed' ELSE l.lanname END, p.proretset, CASE WHEN o.rolsuper THEN e.extname END \
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
         LEFT JOIN pg_catalog.pg_roles o ON o.oid = p.proowner LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass \
         AND d.objid = p.oid AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass \
         LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid",
    ),
    (
        Section::Operators,
        "SELECT n.nspname, o.oprname, o.oprcode::pg_catalog.oid FROM pg_catalog.pg_operator o \
         JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode \
         JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace WHERE n.nspname <> 'pg_catalog' OR pn.nspname <> 'pg_catalog'",
    ),
    (
        Section::Casts,
        // The check of a domain runs like a cast to it.
        "SELECT c.castsource, c.casttarget, c.castfunc, c.castcontext FROM pg_catalog.pg_cast c \
         JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
         WHERE n.nspname <> 'pg_catalog' \
         UNION ALL SELECT t.typbasetype, t.oid, coalesce(o.oprcode::pg_catalog.oid, d.refobjid), 'e' FROM pg_catalog.pg_constraint k \
         JOIN pg_catalog.pg_type t ON t.oid = k.contypid JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass \
         AND d.objid = k.oid AND d.refclassid IN ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass) \
         LEFT JOIN pg_catalog.pg_operator o ON o.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass",
    ),
    (
        Section::Types,
        "SELECT t.oid, n.nspname, t.typname, pg_catalog.array_to_string(ARRAY(SELECT a.atttypid FROM pg_catalog.pg_attribute a \
         WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) || CASE WHEN t.typelem <> 0 THEN ARRAY[t.typelem] \
         WHEN t.typbasetype <> 0 THEN ARRAY[t.typbasetype] ELSE '{}'::pg_catalog.oid[] END, ' '), \
         CASE WHEN t.typtype = 'b' AND t.typcategory = 'A' AND t.typelem <> 0 THEN 'A' ELSE t.typtype END FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
         WHERE n.nspname !~ '^pg_(toast_)?temp_'",
    ),
    (Section::Extensions, "SELECT extname FROM pg_catalog.pg_extension"),
];

/// The session's own temporary objects, to be asked in that session; the rows make a catalog of their own.
pub const TEMPORARY_QUERIES: &[(Section, &str)] = &[
    (
        Section::Relations,
        "SELECT c.oid, 'pg_temp', c.relname, c.relkind FROM pg_catalog.pg_class c WHERE c.relnamespace = pg_catalog.pg_my_temp_schema()",
    ),
    (
        Section::Columns,
        "SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.attgenerated FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relnamespace = pg_catalog.pg_my_temp_schema() ORDER BY a.attrelid, a.attnum",
    ),
    (
        Section::Views,
        concat!(
            altered!(),
            definition!(),
            "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid AND r.rulename = '_RETURN' \
         WHERE c.relkind = 'v' AND c.relnamespace = pg_catalog.pg_my_temp_schema()"
        ),
    ),
    (
        Section::Types,
        "SELECT t.oid, 'pg_temp', t.typname, pg_catalog.array_to_string(ARRAY(SELECT a.atttypid FROM pg_catalog.pg_attribute a \
         WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) || CASE WHEN t.typelem <> 0 THEN ARRAY[t.typelem] \
         WHEN t.typbasetype <> 0 THEN ARRAY[t.typbasetype] ELSE '{}'::pg_catalog.oid[] END, ' '), \
         CASE WHEN t.typtype = 'b' AND t.typcategory = 'A' AND t.typelem <> 0 THEN 'A' ELSE t.typtype END FROM pg_catalog.pg_type t WHERE t.typnamespace = pg_catalog.pg_my_temp_schema()",
    ),
];
