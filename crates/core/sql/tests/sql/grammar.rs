//! Queries at random: a small grammar over the tables of `oracle.sql`, typed so that most of them run.
//!
//! The same seed gives the same query.

/// A small generator of numbers (xorshift64*).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides.max(1)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.roll(n) == 0
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.roll(list.len())]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Int,
    Date,
    Json,
}

/// A column in sight: how to write it, its type, and whether the table says that it is sensitive.
#[derive(Clone, Debug)]
struct Column {
    name: String,
    kind: Type,
    hot: bool,
}

struct Table {
    name: &'static str,
    columns: &'static [(&'static str, Type, bool)],
}

const PEOPLE: &[(&str, Type, bool)] = &[
    ("id", Type::Int, false),
    ("name", Type::Text, false),
    ("email", Type::Text, true),
    ("salary", Type::Int, true),
    ("born", Type::Date, true),
    ("profile", Type::Json, true),
    ("domain", Type::Text, true),
];

const TABLES: &[Table] = &[
    Table { name: "people", columns: PEOPLE },
    Table { name: "people", columns: PEOPLE },
    Table {
        name: "orders",
        columns: &[
            ("id", Type::Int, false),
            ("person_id", Type::Int, false),
            ("total", Type::Int, false),
            ("status", Type::Text, false),
            ("card", Type::Text, true),
        ],
    },
    Table {
        name: "contacts",
        columns: &[("id", Type::Int, false), ("label", Type::Text, false), ("mail", Type::Text, true)],
    },
    Table {
        name: "contacts_twice",
        columns: &[("id", Type::Int, false), ("m", Type::Text, true), ("n", Type::Int, true)],
    },
    Table { name: "stored", columns: &[("id", Type::Int, false), ("card", Type::Text, true)] },
    Table {
        name: "events",
        columns: &[("id", Type::Int, false), ("at", Type::Date, false), ("phone", Type::Text, true)],
    },
    Table {
        name: "events_2024",
        columns: &[("id", Type::Int, false), ("at", Type::Date, false), ("phone", Type::Text, true)],
    },
    Table {
        name: "staff",
        columns: &[("id", Type::Int, false), ("badge", Type::Text, true), ("grade", Type::Int, false)],
    },
];

/// The writer of one query.
pub(crate) struct Writer {
    pub(crate) dice: Dice,
    aliases: usize,
    depth: usize,
    /// Sensitive columns may decide about rows: the query is likely to be an oracle.
    reckless: bool,
}

/// A query and the types of its columns.
pub(crate) struct Query {
    pub(crate) text: String,
    pub(crate) columns: Vec<(String, Type)>,
}

impl Writer {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let reckless = dice.one_in(4);
        Self { dice, aliases: 0, depth: 0, reckless }
    }

    fn alias(&mut self, letter: char) -> String {
        self.aliases += 1;
        format!("{letter}{}", self.aliases)
    }

    /// A whole query.
    pub(crate) fn query(&mut self) -> Query {
        self.depth += 1;
        let form = if self.depth > 3 { 5 } else { self.dice.roll(12) };
        let query = match form {
            0 => self.with(),
            1 => self.set_operation(),
            2 => self.recursive(),
            3 => self.grouped(),
            _ => self.select(),
        };
        self.depth -= 1;
        query
    }

    fn from(&mut self, sight: &mut Vec<Column>) -> String {
        let mut text = self.item(sight);
        for _ in 0..self.dice.roll(3) / 2 + usize::from(self.dice.one_in(4)) {
            match self.dice.roll(5) {
                0 => {
                    let other = self.item(sight);
                    text = format!("{text}, {other}");
                }
                1 => {
                    let before = sight.clone();
                    let other = self.item(sight);
                    let left = self.cool(&before, Type::Int);
                    let right = self.cool(&sight[before.len()..], Type::Int);
                    let kind = *self.dice.pick(&["join", "left join", "full join"]);
                    text = format!("{text} {kind} {other} on {left} = {right}");
                }
                2 => {
                    let alias = self.alias('l');
                    let inner = self.expression(sight, Type::Text, 2);
                    let hot = true;
                    text = format!("{text} cross join lateral (select {inner} as v, 1 as w) {alias}");
                    sight.push(Column { name: format!("{alias}.v"), kind: Type::Text, hot });
                    sight.push(Column { name: format!("{alias}.w"), kind: Type::Int, hot: false });
                }
                3 => {
                    let alias = self.alias('g');
                    text = format!("{text} cross join generate_series(1, 2) {alias}");
                    sight.push(Column { name: alias, kind: Type::Int, hot: false });
                }
                _ => {
                    let other = self.item(sight);
                    text = format!("{text} cross join {other}");
                }
            }
        }
        text
    }

    fn item(&mut self, sight: &mut Vec<Column>) -> String {
        let alias = self.alias('t');
        if self.depth < 3 && self.dice.one_in(4) {
            let query = self.query();
            for (name, kind) in &query.columns {
                sight.push(Column { name: format!("{alias}.{name}"), kind: *kind, hot: true });
            }
            return format!("({}) {alias}", query.text);
        }
        let table = self.dice.pick(TABLES);
        let renamed = self.dice.one_in(6);
        let mut names = Vec::new();
        for (i, (name, kind, hot)) in table.columns.iter().enumerate() {
            let name = if renamed { format!("c{i}") } else { (*name).to_owned() };
            sight.push(Column { name: format!("{alias}.{name}"), kind: *kind, hot: *hot });
            names.push(name);
        }
        let list = if renamed { format!(" ({})", names.join(", ")) } else { String::new() };
        format!("{} {alias}{list}", table.name)
    }

    /// A column that is not sensitive, or a constant.
    fn cool(&mut self, sight: &[Column], kind: Type) -> String {
        let found: Vec<&Column> = sight.iter().filter(|c| c.kind == kind && !c.hot).collect();
        if found.is_empty() || self.reckless && self.dice.one_in(3) {
            return self.constant(kind);
        }
        self.dice.pick(&found).name.clone()
    }

    fn any(&mut self, sight: &[Column], kind: Type) -> String {
        let found: Vec<&Column> = sight.iter().filter(|c| c.kind == kind).collect();
        if found.is_empty() || self.dice.one_in(8) {
            return self.constant(kind);
        }
        self.dice.pick(&found).name.clone()
    }

    fn constant(&mut self, kind: Type) -> String {
        match kind {
            Type::Text => format!("'{}'::text", self.dice.pick(&["", "a", "ana@x.org", "7", "@"])),
            Type::Int => self.dice.roll(6).to_string(),
            Type::Date => "date '2024-02-29'".to_owned(),
            Type::Json => "'{\"a\": 1}'::jsonb".to_owned(),
        }
    }

    /// A condition; of what is not sensitive, unless the query is reckless.
    fn condition(&mut self, sight: &[Column], depth: usize) -> String {
        let reckless = self.reckless && self.dice.one_in(2);
        let cool: Vec<Column> = sight.iter().filter(|c| reckless || !c.hot).cloned().collect();
        let int = self.expression(&cool, Type::Int, depth);
        match self.dice.roll(7) {
            0 => format!("{int} > {}", self.dice.roll(5)),
            1 => format!("{} like '%a%'", self.expression(&cool, Type::Text, depth)),
            2 => format!("{} is not null", self.expression(&cool, Type::Date, depth)),
            3 if depth > 0 => {
                format!("({} or not {})", self.condition(sight, depth - 1), self.condition(sight, depth - 1))
            }
            4 if depth > 0 => {
                let mut inner = Vec::new();
                let from = self.item(&mut inner);
                let condition = self.condition(&inner, 0);
                format!("exists (select 1 from {from} where {condition})")
            }
            5 => format!("{int} in (1, 2, {})", self.dice.roll(9)),
            _ => format!("{int} <> {}", self.dice.roll(5)),
        }
    }

    /// An expression of a type.
    fn expression(&mut self, sight: &[Column], kind: Type, depth: usize) -> String {
        if depth == 0 || self.dice.one_in(3) {
            return self.any(sight, kind);
        }
        let d = depth - 1;
        let text = |w: &mut Self| w.expression(sight, Type::Text, d);
        let int = |w: &mut Self| w.expression(sight, Type::Int, d);
        match kind {
            Type::Text => match self.dice.roll(21) {
                0 => format!("upper({})", text(self)),
                1 => format!("({} || {})", text(self), text(self)),
                2 => format!("substr({}, 1, 3)", text(self)),
                3 => format!("coalesce({}, 'none')", text(self)),
                4 => format!("md5({})", text(self)),
                5 => format!("({})::text", self.expression(sight, Type::Date, d)),
                6 => format!("({})::text", int(self)),
                7 => format!("concat({}, '/', {})", text(self), int(self)),
                8 => format!("split_part({}, '@', 2)", text(self)),
                9 => format!("case when {} then {} else {} end", self.condition(sight, 0), text(self), text(self)),
                10 => format!("({} ->> 'a')", self.expression(sight, Type::Json, d)),
                11 => format!("reverse({})", text(self)),
                12 => format!("left({}, 4)", text(self)),
                13 => format!("to_char({}, 'YYYY')", self.expression(sight, Type::Date, d)),
                14 => format!("nullif({}, 'a')", text(self)),
                15 => format!("lpad({}, 5, '.')", text(self)),
                16 => format!("greatest({}, {})", text(self), text(self)),
                17 => format!("({})::varchar(3)", text(self)),
                18 if d > 0 => {
                    let mut inner = Vec::new();
                    let from = self.item(&mut inner);
                    let value = self.expression(&inner, Type::Text, d - 1);
                    format!("(select min({value}) from {from})")
                }
                19 => format!("(array[{}, {}])[1]", text(self), text(self)),
                20 => format!("repeat('x', {})", int(self)),
                _ => format!("regexp_replace({}, 'a', 'b')", text(self)),
            },
            Type::Int => match self.dice.roll(11) {
                0 => format!("length({})", text(self)),
                1 => format!("({} + {})", int(self), int(self)),
                2 => format!("coalesce({}, 0)", int(self)),
                3 => format!("extract(year from {})::int", self.expression(sight, Type::Date, d)),
                4 => format!("case when {} then 1 else 2 end", self.condition(sight, 0)),
                5 => format!("strpos({}, 'a')", text(self)),
                6 => format!("({} / {})", int(self), int(self)),
                7 => format!("least({}, {})", int(self), int(self)),
                8 => format!("({})::int", text(self)),
                9 if d > 0 => {
                    let mut inner = Vec::new();
                    let from = self.item(&mut inner);
                    let condition = self.condition(&inner, 0);
                    format!("(select count(*)::int from {from} where {condition})")
                }
                _ => format!("ascii({})", text(self)),
            },
            Type::Date => match self.dice.roll(4) {
                0 => format!("date_trunc('year', {})::date", self.expression(sight, Type::Date, d)),
                1 => format!("coalesce({}, date '2000-01-01')", self.expression(sight, Type::Date, d)),
                2 => format!("({} + {})", self.expression(sight, Type::Date, d), int(self)),
                _ => self.any(sight, Type::Date),
            },
            Type::Json => match self.dice.roll(6) {
                0 => format!("to_jsonb({})", text(self)),
                1 => format!("jsonb_build_array({}, {})", text(self), int(self)),
                2 => format!("jsonb_build_object('a', {})", text(self)),
                3 => format!("({} -> 'a')", self.any(sight, Type::Json)),
                4 => {
                    let tables: Vec<&str> = sight.iter().filter_map(|c| c.name.split('.').next()).collect();
                    match tables.first() {
                        Some(_) => format!("to_jsonb({})", self.dice.pick(&tables)),
                        None => self.constant(Type::Json),
                    }
                }
                _ => self.any(sight, Type::Json),
            },
        }
    }

    fn kind(&mut self) -> Type {
        *self.dice.pick(&[Type::Text, Type::Text, Type::Text, Type::Int, Type::Int, Type::Date, Type::Json])
    }

    fn select(&mut self) -> Query {
        let mut sight = Vec::new();
        let from = self.from(&mut sight);
        let mut columns = Vec::new();
        let mut targets = Vec::new();
        if self.depth == 1 && self.dice.one_in(6) {
            // Nobody refers to what it gives.
            targets.push("*".to_owned());
        }
        for _ in 0..1 + self.dice.roll(4) {
            let kind = self.kind();
            let name = self.alias('o');
            targets.push(format!("{} as {name}", self.expression(&sight, kind, 3)));
            columns.push((name, kind));
        }
        if self.depth == 1 && self.dice.one_in(6) {
            let tables: Vec<&str> = sight.iter().filter_map(|c| c.name.split_once('.')).map(|(t, _)| t).collect();
            if let Some(table) = tables.first() {
                targets.push(format!("{table}.*"));
            }
        }
        if self.depth == 1 && self.dice.one_in(5) {
            let cool: Vec<Column> = sight.iter().filter(|c| self.reckless || !c.hot).cloned().collect();
            let by = self.any(&cool, Type::Int);
            let value = self.any(&sight, Type::Text);
            targets
                .push(format!("max({value}) over (partition by {by}) as w1, row_number() over (order by {by}) as w2"));
        }
        let distinct = if self.reckless && self.dice.one_in(3) { "distinct " } else { "" };
        let mut text = format!("select {distinct}{} from {from}", targets.join(", "));
        let hot: Vec<&Column> = sight.iter().filter(|c| c.hot).collect();
        if self.reckless && !hot.is_empty() && self.dice.one_in(2) {
            // Nothing else in the query need be an oracle.
            let column = *self.dice.pick(&hot);
            let form = *self.dice.pick(&["> 'm'", "like '%1%'", "is distinct from 'a'", "< '5'", "not in ('a', 'b')"]);
            text.push_str(&format!(" where ({})::text {form}", column.name));
        } else if self.dice.one_in(2) {
            text.push_str(&format!(" where {}", self.condition(&sight, 2)));
        }
        if self.dice.one_in(3) && distinct.is_empty() {
            let by = if self.reckless { self.any(&sight, Type::Text) } else { self.cool(&sight, Type::Int) };
            text.push_str(&format!(" order by {by}"));
            if by.chars().all(|c| c.is_ascii_digit()) {
                text.push_str("::text");
            }
            if self.dice.one_in(2) {
                text.push_str(" limit 3");
            }
        }
        Query { text, columns }
    }

    fn grouped(&mut self) -> Query {
        let mut sight = Vec::new();
        let from = self.from(&mut sight);
        let key = if self.reckless { self.any(&sight, Type::Text) } else { self.cool(&sight, Type::Int) };
        let kind = if self.reckless { Type::Text } else { Type::Int };
        let (a, b, c) = (self.alias('o'), self.alias('o'), self.alias('o'));
        let text = self.expression(&sight, Type::Text, 2);
        let int = self.expression(&sight, Type::Int, 1);
        let text_of = *self.dice.pick(&["max", "min", "string_agg1", "any"]);
        let first = match text_of {
            "string_agg1" => format!("string_agg({text}, ',')"),
            "any" => format!("(array_agg({text}))[1]"),
            other => format!("{other}({text})"),
        };
        let second = match self.dice.roll(4) {
            0 => format!("count({int})::int"),
            1 => format!("count(distinct {int})::int"),
            2 => format!("sum({int})::int"),
            _ => "count(*)::int".to_owned(),
        };
        let condition =
            if self.dice.one_in(2) { format!(" where {}", self.condition(&sight, 1)) } else { String::new() };
        let having = if self.dice.one_in(3) { " having count(*) > 0" } else { "" };
        let key_text = if key.chars().all(|c| c.is_ascii_digit()) { format!("{key} + 0") } else { key };
        Query {
            text: format!(
                "select {key_text} as {a}, {first} as {b}, {second} as {c} from {from}{condition} group by {key_text}{having}"
            ),
            columns: vec![(a, kind), (b, Type::Text), (c, Type::Int)],
        }
    }

    fn with(&mut self) -> Query {
        let inner = self.query();
        let name = self.alias('w');
        let mut text = format!("with {name} as ({}) select ", inner.text);
        let sight: Vec<Column> = inner
            .columns
            .iter()
            .map(|(n, kind)| Column { name: format!("{name}.{n}"), kind: *kind, hot: true })
            .collect();
        let mut columns = Vec::new();
        for i in 0..1 + self.dice.roll(3) {
            let kind = self.kind();
            let alias = self.alias('o');
            text.push_str(&format!("{}{} as {alias}", if i > 0 { ", " } else { "" }, self.expression(&sight, kind, 2)));
            columns.push((alias, kind));
        }
        text.push_str(&format!(" from {name}"));
        Query { text, columns }
    }

    fn set_operation(&mut self) -> Query {
        let kinds: Vec<Type> = (0..1 + self.dice.roll(3)).map(|_| self.kind()).collect();
        let names: Vec<String> = kinds.iter().map(|_| self.alias('o')).collect();
        let half = |w: &mut Self| {
            let mut sight = Vec::new();
            let from = w.from(&mut sight);
            let targets: Vec<String> = kinds
                .iter()
                .zip(&names)
                .map(|(kind, name)| format!("{} as {name}", w.expression(&sight, *kind, 2)))
                .collect();
            format!("select {} from {from}", targets.join(", "))
        };
        let (left, right) = (half(self), half(self));
        let word = if self.reckless { *self.dice.pick(&["union", "intersect", "except"]) } else { "union all" };
        Query { text: format!("{left} {word} {right}"), columns: names.into_iter().zip(kinds).collect() }
    }

    fn recursive(&mut self) -> Query {
        let name = self.alias('r');
        let mut sight = Vec::new();
        let from = self.item(&mut sight);
        let first = self.expression(&sight, Type::Text, 1);
        let recursive = Column { name: format!("{name}.v"), kind: Type::Text, hot: true };
        let mut inner = vec![recursive];
        let more = self.item(&mut inner);
        let id = self.cool(&inner, Type::Int);
        let step = self.expression(&inner, Type::Text, 1);
        let swap = if self.dice.one_in(2) { format!("{name}.v, {step}") } else { format!("{step}, {name}.u") };
        Query {
            text: format!(
                "with recursive {name} (n, v, u) as (select 1, {first}, 'x'::text from {from} union all select {name}.n + 1, {swap} \
                 from {name}, {more} where {name}.n < 3 and {id} < 3) select v, u, n from {name}"
            ),
            columns: vec![("v".to_owned(), Type::Text), ("u".to_owned(), Type::Text), ("n".to_owned(), Type::Int)],
        }
    }
}
