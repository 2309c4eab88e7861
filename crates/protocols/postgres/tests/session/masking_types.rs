//! Every type, masked in text and in binary: the server itself still reads what comes out as a value of that type.

use countersign_model::Transform;

use crate::bench::through::{Through, Wire, protocol};
use crate::bench::wire::{self, d, e, frame, p, s};
use crate::bench::world::Rules;
use crate::cluster::{Direct, Server, database};

/// A type, and a value of it that stands nowhere else.
const TYPES: &[(&str, &str)] = &[
    ("bool", "true"),
    ("int2", "12345"),
    ("int4", "123456789"),
    ("int8", "1234567890123456789"),
    ("oid", "3456789012"),
    ("float4", "1234.5"),
    ("float8", "123456.789e10"),
    ("numeric", "-123456789.987654321"),
    ("numeric(20,4)", "123456789.9876"),
    ("money", "$1,234,567.89"),
    ("text", "secret é 漢字"),
    ("varchar(30)", "secretive"),
    ("varchar(6)", "secret"),
    ("char(20)", "secret"),
    ("name", "secret_name"),
    ("\"char\"", "s"),
    ("bytea", "\\x736563726574"),
    ("date", "1984-07-09"),
    ("date", "infinity"),
    ("date", "0044-03-15 BC"),
    ("time", "12:34:56.789"),
    ("timetz", "12:34:56+02"),
    ("timestamp", "1984-07-09 12:34:56.789"),
    ("timestamptz", "1984-07-09 12:34:56+02"),
    ("interval", "3 days 04:05:06"),
    ("uuid", "5ec2e700-0000-4000-8000-123456789abc"),
    ("inet", "203.0.113.77"),
    ("inet", "2001:db8::5ec/64"),
    ("cidr", "203.0.113.0/25"),
    ("macaddr", "08:00:2b:5e:c2:e7"),
    ("macaddr8", "08:00:2b:ff:fe:5e:c2:e7"),
    ("bit(8)", "10101010"),
    ("varbit", "101"),
    ("json", "{\"a\": \"secret\"}"),
    ("jsonb", "{\"a\": [\"secret\", 1]}"),
    ("xml", "<a>secret</a>"),
    ("point", "(123,456)"),
    ("box", "(3,4),(1,2)"),
    ("path", "((1,2),(3,4))"),
    ("circle", "<(1,2),3>"),
    ("tsvector", "'secret':1"),
    ("tsquery", "'secret' & 'x'"),
    ("pg_lsn", "16/B374D848"),
    ("int4range", "[1234,5678)"),
    ("int8range", "[1234,)"),
    ("numrange", "(1.5,99.5]"),
    ("daterange", "[1984-07-09,1985-01-01)"),
    ("tsrange", "[\"1984-07-09 12:34:56\",\"1985-01-01 00:00:00\")"),
    ("tstzrange", "[\"1984-07-09 12:34:56+00\",)"),
    ("daterange", "empty"),
    ("int4multirange", "{[1,3),[5,9)}"),
    ("text[]", "{secret,\"se,cret\",NULL,\"\",\"s\\\"\\\\\"}"),
    ("text[]", "[2:3]={secret,x}"),
    ("int4[]", "{{123456,2},{3,4}}"),
    ("numeric[]", "{1.50,NULL,-2}"),
    ("jsonb[]", "{\"{\\\"a\\\": 1}\"}"),
    ("date[]", "{1984-07-09,2000-01-01}"),
    ("uuid[]", "{5ec2e700-0000-4000-8000-123456789abc}"),
    ("inet[]", "{203.0.113.77}"),
    ("daterange[]", "{\"[1984-07-09,1985-01-01)\"}"),
    ("varchar(8)[]", "{secret}"),
    ("point[]", "{\"(1,2)\"}"),
    ("pair", "(123456,secret)"),
    ("pair[]", "{\"(1,secret)\"}"),
    ("feeling", "secretly"),
    ("feeling[]", "{secretly}"),
    ("letters", "secret"),
    ("letters[]", "{secret,NULL}"),
    ("citext", "Secret"),
    ("citext[]", "{Secret}"),
    ("hstore", "\"mail\"=>\"secret\", \"b\"=>NULL"),
    ("hstore[]", "{\"\\\"mail\\\"=>\\\"secret\\\"\"}"),
    ("papers", "(secret,\"{\"\"a\"\": \"\"secret\"\"}\",Secret,\"(1,secret)\",\"\"\"m\"\"=>\"\"secret\"\"\")"),
];

const TRANSFORMS: &[Transform] = &[
    Transform::Generalise,
    Transform::Last(2),
    Transform::Format,
    Transform::Hash,
    Transform::Redact,
    Transform::Null,
];

fn fixture() -> (String, Vec<String>) {
    let name = database();
    let mut admin = Direct::connect(&name);
    admin.run("CREATE TYPE pair AS (a int, b text)");
    admin.run("CREATE TYPE feeling AS ENUM ('fine', 'secretly')");
    admin.run("CREATE DOMAIN letters AS text CHECK (value <> '')");
    admin.run("CREATE EXTENSION citext");
    admin.run("CREATE EXTENSION hstore");
    admin.run("CREATE TYPE papers AS (a letters, b jsonb, c citext, d pair, e hstore)");
    let columns: Vec<String> = TYPES.iter().enumerate().map(|(n, (t, _))| format!("c{n} {t}")).collect();
    admin.run(&format!("CREATE TABLE every (id int, {})", columns.join(", ")));
    let values: Vec<String> = TYPES.iter().map(|(_, v)| format!("'{}'", v.replace('\'', "''"))).collect();
    admin.run(&format!("INSERT INTO every VALUES (1, {})", values.join(", ")));
    (name, (0..TYPES.len()).map(|n| format!("c{n}")).collect())
}

/// `Bind` with results in one format.
fn bind(statement: &str, binary: bool) -> Vec<u8> {
    let mut body = [b"\0", statement.as_bytes(), b"\0\0\0\0\0\0\x01\0"].concat();
    body.push(u8::from(binary));
    frame(b'B', &body)
}

/// `Bind` of one parameter, which is in this format, with a result in text.
fn bound(value: &[u8], binary: bool) -> Vec<u8> {
    let mut body = b"\0\0\0\x01\0".to_vec();
    body.push(u8::from(binary));
    body.extend(b"\0\x01");
    body.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
    body.extend(value);
    body.extend(b"\0\0");
    frame(b'B', &body)
}

/// The cells of the one row.
fn cells(messages: &[wire::Message]) -> Vec<Option<Vec<u8>>> {
    let said: Vec<String> = messages.iter().map(wire::words).collect();
    let row = messages.iter().find(|m| m.tag == b'D').unwrap_or_else(|| panic!("{said:?}"));
    let mut rest = &row.body[2..];
    let mut out = Vec::new();
    while let Some((len, more)) = rest.split_first_chunk::<4>() {
        match usize::try_from(i32::from_be_bytes(*len)) {
            Ok(len) => {
                out.push(Some(more[..len].to_vec()));
                rest = &more[len..];
            }
            Err(_) => {
                out.push(None);
                rest = more;
            }
        }
    }
    out
}

/// What the server writes a value as in text, after it read it as this type.
fn read_back(direct: &mut Direct, oid: &str, value: &[u8], binary: bool) -> Result<Option<String>, Vec<String>> {
    direct.send(&[p("", &format!("SELECT $1::{oid}::text")), bound(value, binary), e("", 0), s()].concat());
    direct.wait(b'Z', 1);
    let messages = direct.take();
    let said: Vec<String> = messages.iter().map(wire::words).collect();
    if said.iter().any(|w| w.starts_with("E:")) {
        return Err(said);
    }
    Ok(cells(&messages)[0].as_ref().map(|t| String::from_utf8_lossy(t).into_owned()))
}

#[test]
fn adv_038_whatever_is_masked_is_still_a_value_of_its_type() {
    let (name, columns) = fixture();
    let mut direct = Direct::connect(&name);
    for transform in TRANSFORMS {
        let rules = Rules::masking(&[("x", *transform)], &[("public.every.c*", "x")], &[]);
        let mut t = Through::logged_in(&protocol(), Server::dial(), &name, &rules);
        t.take();
        let mut results = Vec::new();
        for binary in [false, true] {
            let sql = format!("SELECT {} FROM every", columns.join(", "));
            t.send(&[p("", &sql), d(b'S', ""), bind("", binary), e("", 0), s()].concat());
            t.wait(b'Z', 1);
            results.push((binary, cells(&t.take())));
        }
        t.goodbye();
        for (n, (oid, value)) in TYPES.iter().enumerate() {
            let mut seen = Vec::new();
            for (binary, cells) in &results {
                let Some(cell) = &cells[n] else {
                    seen.push(None);
                    continue;
                };
                let what =
                    format!("{transform} of {oid} {value}, binary {binary}: {:?}", String::from_utf8_lossy(cell));
                match read_back(&mut direct, oid, cell, *binary) {
                    Ok(back) => {
                        assert_ne!(back.as_deref(), Some(*value), "{what}");
                        seen.push(back);
                    }
                    Err(said) => panic!("{what}: {said:?}"),
                }
                assert!(!String::from_utf8_lossy(cell).contains("secret"), "{what}");
            }
            assert_eq!(seen[0], seen[1], "{transform} of {oid} {value}");
        }
    }
}
