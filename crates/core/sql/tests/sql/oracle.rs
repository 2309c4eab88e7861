//! Two real databases that differ only in what is tagged: whoever may not see it must not be able to tell them apart.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use countersign_model::{Tag, TagRule, Tagging};
use countersign_sql::{Analysis, Catalog, OutputColumn, Outputs, Settings, analyse};

use super::grammar::Writer;
use super::server::{Answer, Server};

const TABLES: &str = include_str!("../fixtures/oracle.sql");

/// Queries of each run; more by `COUNTERSIGN_ORACLE_QUERIES`.
const QUERIES: u64 = 1_500;

fn tagging() -> Tagging {
    let rule = |column: &str, data_type: &str, tag: &str| TagRule {
        column: column.to_owned(),
        data_type: data_type.to_owned(),
        tag: Tag::parse(tag).unwrap(),
    };
    let rules = vec![
        rule("public.people.salary", "", "pay"),
        rule("public.people.*", "date", "pii.born"),
        rule("**.orders.card", "", "pii.card"),
        rule("public.events.phone", "", "pii.phone"),
        rule("public.worker.badge", "", "pii.badge"),
    ];
    Tagging { rules, comments: true, detect: Vec::new() }
}

struct World {
    server: &'static Server,
    catalog: Arc<Catalog>,
    settings: Settings,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let server = Server::shared();
        server.database("one", "a", TABLES);
        server.database("two", "b", TABLES);
        let catalog = server.catalog("one", 501, &tagging());
        World { server, catalog, settings: Settings::new(&["pg_catalog", "public"], Some("postgres")) }
    })
}

fn look(text: &str) -> Analysis {
    let world = world();
    analyse(text.as_bytes(), &world.catalog, &world.settings)
}

fn tags_of(table: &str, column: &str) -> Vec<String> {
    let relation = world().catalog.relation("public", table).unwrap();
    let column = relation.columns().iter().find(|c| &*c.name == column).unwrap();
    column.tags.iter().map(ToString::to_string).collect()
}

#[test]
fn columns_have_their_tags_from_wherever_they_are_said() {
    for (table, column, tags) in [
        ("people", "id", &[][..]),
        ("people", "name", &[]),
        ("people", "email", &["pii.email"]),
        ("people", "salary", &["pay"]),
        ("people", "born", &["pii.born"]),
        ("people", "profile", &["pii.profile", "secret"]),
        // Generated from what is tagged.
        ("people", "domain", &["pii.email"]),
        ("orders", "card", &["pii.card"]),
        ("contacts", "label", &[]),
        ("contacts", "mail", &["pii.email"]),
        ("contacts_twice", "m", &["pii.card", "pii.email"]),
        ("contacts_twice", "n", &["pii.email"]),
        ("stored", "card", &["pii.card"]),
        // A partition, and what inherits.
        ("events_2024", "phone", &["pii.phone"]),
        ("events_2024", "at", &[]),
        ("staff", "badge", &["pii.badge"]),
        ("staff", "grade", &[]),
    ] {
        assert_eq!(tags_of(table, column), tags, "{table}.{column}");
    }
}

/// `citext` puts functions in SQL beside the built-in ones; what a stranger makes under such a name, or puts into the extension, is a stranger's.
#[test]
fn an_extensions_form_of_a_built_in_function_is_taken_for_it() {
    let server = Server::shared();
    let script = "CREATE ROLE shopkeeper; GRANT CREATE ON DATABASE three TO shopkeeper; GRANT CREATE ON SCHEMA public TO shopkeeper;
        SET ROLE shopkeeper; CREATE EXTENSION citext; CREATE EXTENSION pg_trgm; CREATE EXTENSION pgcrypto; CREATE TABLE notes (id int, body text, name text);
        CREATE SCHEMA mine;
        CREATE FUNCTION mine.replace(text, text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'select body from public.notes limit 1';
        CREATE FUNCTION public.strpos(text, text, text) RETURNS int LANGUAGE sql IMMUTABLE AS 'select 1';
        ALTER EXTENSION citext ADD FUNCTION public.strpos(text, text, text);
        CREATE FUNCTION mine.same(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'select true';
        CREATE OPERATOR mine.= (LEFTARG = text, RIGHTARG = text, FUNCTION = mine.same);";
    server.database("three", "a", script);
    let rules = vec![TagRule {
        column: "public.notes.body".to_owned(),
        data_type: String::new(),
        tag: Tag::parse("pii.note").unwrap(),
    }];
    let catalog = server.catalog("three", 503, &Tagging { rules, comments: false, detect: Vec::new() });
    let chosen = |path: &[&str], text: &str| {
        let found = analyse(text.as_bytes(), &catalog, &Settings::new(path, Some("shopkeeper")));
        assert!(found.shape().why_unreadable().is_none(), "{text}");
        !found.shape().disclosure().chosen.is_empty()
    };
    let usual = &["pg_catalog", "public"][..];
    for (text, expected) in [
        ("select replace(name, 'a', 'b'), translate(name, 'a', 'b'), strpos(name, 'a') from notes", false),
        (
            "select regexp_replace(name, 'a', 'b', 'g'), split_part(name, ' ', 1), regexp_match(name, 'a') from notes",
            false,
        ),
        ("select * from regexp_split_to_table('a b', ' ')", false),
        // Operators and functions in C that the catalog does not call immutable.
        (
            "select id % 2, name % 'ana', show_trgm(name), word_similarity(name, 'ana') from notes order by id % 2",
            false,
        ),
        ("select gen_salt('bf'), gen_random_bytes(4), crypt('a', 'b') from notes", false),
        ("select body % 'ana' from notes", true),
        ("select replace(body, 'a', 'b'), regexp_replace(body, 'a', 'b', 'g') from notes", false),
        // Null where there is no such part; and another argument may be one that it fails on.
        ("select split_part(body, ' ', 1) from notes", true),
        ("select replace(name, body, 'b') from notes", true),
        // In the extension, and not its own.
        ("select strpos('a', 'b', 'c')", true),
        ("select mine.replace('a', 'b', 'c')", true),
    ] {
        assert_eq!(chosen(usual, text), expected, "{text}");
    }
    // Their texts name `=` by no schema.
    assert!(chosen(&["mine", "pg_catalog", "public"], "select public.regexp_replace('a'::citext, 'b', 'c', 'g')"));
    assert!(!chosen(usual, "select public.regexp_replace('a'::citext, 'b', 'c', 'g')"));
}

/// What a client that may see no tagged data could tell apart; `None` when it would not get an answer at all.
fn visible(outputs: &Outputs, answer: &Answer) -> Vec<Vec<Option<String>>> {
    let plain = |i: usize| match outputs {
        Outputs::Columns(columns) => columns.get(i).is_some_and(|c: &OutputColumn| c.tags.is_empty()),
        Outputs::Unknown { tags } => tags.is_empty(),
        Outputs::None => true,
    };
    let cell = |(i, v): (usize, &Option<String>)| match v {
        Some(v) if plain(i) => Some(v.clone()),
        // That there is a value is not hidden.
        Some(_) => Some("masked".to_owned()),
        None => None,
    };
    let mut rows: Vec<Vec<Option<String>>> = answer.rows.iter().take(1).cloned().collect();
    rows.extend(answer.rows.iter().skip(1).map(|row| row.iter().enumerate().map(cell).collect()));
    rows
}

#[derive(Default)]
struct Tally {
    compared: usize,
    withheld: usize,
    failed: usize,
    masked_cells: usize,
    plain_cells: usize,
    wrong: Vec<String>,
}

fn compare(texts: &[String]) -> Tally {
    let world = world();
    let (one, two) = (world.server.ask("one", texts), world.server.ask("two", texts));
    let mut tally = Tally::default();
    for ((text, one), two) in texts.iter().zip(&one).zip(&two) {
        let analysis = look(text);
        if one.sqlstate != "00000" || two.sqlstate != "00000" {
            tally.failed += 1;
        }
        if let Some(why) = analysis.shape().why_unreadable() {
            tally.wrong.push(format!("{text}\n  unreadable: {why}"));
            continue;
        }
        let disclosure = analysis.shape().disclosure();
        let [statement] = analysis.statements() else { panic!("{text}") };
        if let Outputs::Columns(columns) = &statement.outputs
            && one.sqlstate == "00000"
        {
            let names: Vec<String> =
                columns.iter().map(|c| c.name.as_deref().unwrap_or("?column?").to_owned()).collect();
            let said: Vec<String> = one.rows[0].iter().map(|n| n.clone().unwrap_or_default()).collect();
            if names != said && !(columns.is_empty() && said == [""]) {
                tally.wrong.push(format!("{text}\n  columns {names:?}\n  in fact {said:?}"));
            }
        }
        if !disclosure.chosen.is_empty() || !disclosure.matched.is_empty() || !disclosure.copied.is_empty() {
            tally.withheld += 1;
            continue;
        }
        tally.compared += 1;
        let (a, b) = (visible(&statement.outputs, one), visible(&statement.outputs, two));
        for cell in a.iter().skip(1).flatten().flatten() {
            if cell == "masked" { tally.masked_cells += 1 } else { tally.plain_cells += 1 }
        }
        if one.sqlstate != two.sqlstate {
            tally.wrong.push(format!("{text}\n  one says {}, the other {}", one.sqlstate, two.sqlstate));
        } else if a != b {
            let differing = a.iter().zip(&b).find(|(a, b)| a != b);
            tally.wrong.push(format!("{text}\n  {} and {} rows; {differing:?}", a.len(), b.len()));
        }
    }
    tally
}

#[test]
fn adv_035_what_is_left_tells_two_databases_not_apart() {
    let count = std::env::var("COUNTERSIGN_ORACLE_QUERIES").ok().and_then(|n| n.parse().ok()).unwrap_or(QUERIES);
    let texts: Vec<String> = (0..count).map(|seed| Writer::new(seed).query().text).collect();
    let tally = compare(&texts);
    let shown: Vec<&String> = tally.wrong.iter().take(8).collect();
    assert!(
        tally.wrong.is_empty(),
        "{} of {count} wrong:\n{}",
        tally.wrong.len(),
        shown.iter().map(|s| s.as_str()).collect::<Vec<_>>().join("\n")
    );
    // The comparison must be worth something.
    let least = texts.len() / 5;
    assert!(
        tally.compared > least
            && tally.masked_cells > least
            && tally.plain_cells > least
            && tally.failed < texts.len() / 3,
        "{} compared, {} withheld, {} failed, {} cells masked, {} plain",
        tally.compared,
        tally.withheld,
        tally.failed,
        tally.masked_cells,
        tally.plain_cells
    );
}

/// Every query in other clothes: what a column is made from stays what it is made from.
#[test]
fn wrappers_take_no_tag_away() {
    let mut wrapped = 0;
    for seed in 10_000..10_400 {
        let query = Writer::new(seed).query();
        let plain = look(&query.text);
        let [statement] = plain.statements() else { panic!("{}", query.text) };
        let Outputs::Columns(columns) = &statement.outputs else { continue };
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for column in columns.iter() {
            *names.entry(column.name.as_deref().unwrap_or("?column?")).or_default() += 1;
        }
        let list = |prefix: &str| (0..columns.len()).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>().join(", ");
        let text = &query.text;
        for (form, outer) in [
            ("alias", format!("select * from ({text}) q ({})", list("c"))),
            ("cte", format!("with q ({}) as ({text}) select {} from q", list("c"), list("q.c"))),
            ("deep", format!("with q as (select * from ({text}) s ({})) select * from (select * from q) z", list("c"))),
            ("union", format!("select * from ({text}) a union all select * from ({text}) b")),
            ("lateral", format!("select q.* from (select 1) o, lateral ({text}) q")),
            ("json", format!("select to_jsonb(q) from ({text}) q")),
            ("row", format!("select q from ({text}) q")),
            ("array", format!("select array(select q from ({text}) q)")),
            ("join", format!("select q.* from ({text}) q cross join (select 1 as one) o")),
        ] {
            let found = look(&outer);
            assert!(found.shape().why_unreadable().is_none(), "{outer}");
            let [outer_statement] = found.statements() else { panic!("{outer}") };
            let tags_at = |i: usize| match &outer_statement.outputs {
                Outputs::Columns(found)
                    if found.len() == columns.len() && !matches!(form, "json" | "row" | "array") =>
                {
                    found[i].tags.to_vec()
                }
                other => other.tags(),
            };
            for (i, column) in columns.iter().enumerate() {
                let now = tags_at(i);
                assert!(
                    column.tags.iter().all(|t| now.contains(t)),
                    "{form}: column {i} of {text}\n had {:?}, and in {outer} {now:?}",
                    column.tags
                );
            }
            let (before, after) = (plain.shape().disclosure(), found.shape().disclosure());
            assert!(before.chosen.iter().all(|t| after.chosen.contains(t)), "{form}: {text}");
            assert!(
                before.matched.iter().all(|t| after.matched.contains(t) || after.chosen.contains(t)),
                "{form}: {text}"
            );
            wrapped += 1;
        }
    }
    assert!(wrapped > 2_000, "{wrapped}");
}
