//! Values, rows and copies, one by one and cut at every byte; whole sessions are in `tests/session`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::cell::{Became, Form, cell};
use super::edits::Whole;
use super::kind::Kind;
use super::*;
use countersign_model::{Secret, Transform};
use countersign_sql::OutputColumn;
use proptest::prelude::*;

const INT4: u32 = 23;
const TEXT: u32 = 25;

fn masker() -> Arc<Masker> {
    Arc::new(Masker::new(&Secret::new(vec![7; 32])).unwrap())
}

fn tag(s: &str) -> Tag {
    Tag::parse(s).unwrap()
}

fn masks(all: &[(&str, Transform)]) -> Arc<[Mask]> {
    all.iter().map(|(t, transform)| Mask { tag: tag(t), transform: *transform }).collect()
}

/// Types of users and of extensions: a domain over text (100000), an array of it, citext, hstore, an enumeration, a row of text, int4,
/// the domain and the enumeration, an array of hstore.
fn catalog() -> Arc<Catalog> {
    let mut b = countersign_sql::CatalogBuilder::new(1);
    for row in [
        ["100000", "public", "mailbox", "25", "d"],
        ["100001", "public", "_mailbox", "100000", "A"],
        ["100002", "public", "citext", "", "b"],
        ["100003", "public", "hstore", "", "b"],
        ["100004", "public", "mood", "", "e"],
        ["100005", "public", "contact", "25 23 100000 100004", "c"],
        ["100006", "public", "_hstore", "100003", "A"],
        ["100007", "public", "loop", "100007", "d"],
        ["100008", "public", "papers", "3802", "c"],
    ] {
        b.row(countersign_sql::Section::Types, &row.map(Some)).unwrap();
    }
    b.build()
}

/// A value after a transform; `None` is null.
fn edited(transform: Transform, oid: u32, typmod: i32, binary: bool, value: &[u8]) -> Option<Vec<u8>> {
    let mut out = b"before".to_vec();
    let form = Form::new(oid, typmod, binary);
    let became = cell(&mut Whole { masker: &masker(), transform, catalog: &catalog() }, form, value, &mut out);
    let new = out.split_off(6);
    assert_eq!(out, b"before");
    match became {
        Became::New => Some(new),
        Became::Same => Some(value.to_vec()),
        Became::Null => None,
    }
}

#[track_caller]
fn check(transform: Transform, oid: u32, value: &str, expected: Option<&str>) {
    let got = edited(transform, oid, -1, false, value.as_bytes()).map(|b| String::from_utf8(b).unwrap());
    assert_eq!(got.as_deref(), expected, "{transform} {oid} {value}");
}

#[test]
fn values_in_text() {
    use Transform::{Generalise, Last, Null, Redact};
    for (transform, oid, value, expected) in [
        (Redact, TEXT, "ana@example.com", Some("[redacted]")),
        (Last(4), TEXT, "4111-1111-1111-1234", Some("****-****-****-1234")),
        (Null, TEXT, "x", None),
        (Redact, INT4, "12", None),
        (Generalise, INT4, "4321", Some("4000")),
        (Generalise, 1700, "-4321.50", Some("-4000")),
        (Generalise, 1082, "1984-07-09", Some("1984-01-01")),
        (Generalise, 1082, "infinity", None),
        (Generalise, 1082, "07/09/1984", None),
        (Generalise, 1114, "1984-07-09 10:11:12.5", Some("1984-01-01 00:00:00")),
        (Generalise, 1184, "1984-07-09 10:11:12+02", Some("1984-01-01 00:00:00+00")),
        (Generalise, 869, "192.0.2.77", Some("192.0.2.0/24")),
        (Generalise, 650, "2001:db8:1:2::/64", Some("2001:db8:1::/48")),
        (Redact, 3802, "{\"a\": 1}", Some("\"[redacted]\"")),
        (Redact, 16, "t", None),
        (Redact, 600, "(1,2)", None),
        (Redact, 1186, "1 day", None),
        (Redact, 16_999, "label", None),
        (Redact, 1009, "{a,\"b,c\",NULL,\"\"}", Some("{\"[redacted]\",\"[redacted]\",NULL,\"[redacted]\"}")),
        (Redact, 1009, "[0:1]={{a},{b}}", Some("[0:1]={{\"[redacted]\"},{\"[redacted]\"}}")),
        (Redact, 1009, "{}", Some("{}")),
        (Redact, 1009, "{a", None),
        (Redact, 1009, "a}", None),
        (Redact, 1009, "{a}b", None),
        (Redact, 1007, "{1,2}", Some("{NULL,NULL}")),
        (Redact, 2249, "(1,\"a,\"\"b\",,x)", Some("(,,,)")),
        (Redact, 2249, "()", Some("()")),
        (Redact, 2249, "(1", None),
        (Generalise, 3912, "[1984-07-09,1985-02-03)", Some("[\"1984-01-01\",\"1985-01-01\")")),
        (Generalise, 3912, "(,1985-02-03]", Some("(,\"1985-01-01\"]")),
        (Generalise, 3910, "[\"1984-07-09 00:00:00+00\",)", Some("[\"1984-01-01 00:00:00+00\",)")),
        (Generalise, 3912, "empty", None),
        (Redact, 3912, "[1984-07-09,1985-02-03)", None),
        (Redact, 1186, "", None),
    ] {
        check(transform, oid, value, expected);
    }
}

#[test]
fn adv_038_both_formats_have_the_same_pseudonym() {
    for (oid, value, binary) in [
        (INT4, "42", &b"\0\0\0\x2a"[..]),
        (20, "42", b"\0\0\0\0\0\0\0\x2a"),
        (TEXT, "ana", b"ana"),
        (1082, "2000-01-02", b"\0\0\0\x01"),
        (1114, "2000-01-01 00:00:01", b"\0\0\0\0\0\x0f\x42\x40"),
        (
            2950,
            "00112233-4455-6677-8899-aabbccddeeff",
            b"\0\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff",
        ),
        (869, "192.0.2.77", b"\x02\x20\0\x04\xc0\0\x02\x4d"),
        (829, "08:00:2b:01:02:03", b"\x08\0\x2b\x01\x02\x03"),
        (17, "\\x0102", b"\x01\x02"),
        (1700, "12.5", b"\0\x02\0\0\0\0\0\x01\0\x0c\x13\x88"),
        (3802, "{\"a\": 1}", b"\x01{\"a\": 1}"),
        (1083, "01:02:03", b"\0\0\0\0\xdd\xe8\x78\xc0"),
        (701, "1.5", b"\x3f\xf8\0\0\0\0\0\0"),
    ] {
        let text = edited(Transform::Hash, oid, -1, false, value.as_bytes());
        let binary = edited(Transform::Hash, oid, -1, true, binary);
        let kind = Kind::of(oid);
        assert!(text.is_some() && text.as_deref() != Some(value.as_bytes()), "{oid}");
        assert_eq!(
            super::text::read(kind, -1, &text.unwrap()),
            super::binary::read(kind, -1, &binary.unwrap()),
            "{oid} {value}"
        );
    }
}

#[test]
fn declared_lengths_hold() {
    let s =
        |n: i32, oid| edited(Transform::Redact, oid, n + 4, false, b"secret").map(|b| String::from_utf8(b).unwrap());
    assert_eq!(s(4, 1043).as_deref(), Some("[red"));
    assert_eq!(s(12, 1042).as_deref(), Some("[redacted]  "));
    assert_eq!(s(40, 1043).as_deref(), Some("[redacted]"));
}

fn sized(value: Option<&[u8]>) -> Vec<u8> {
    match value {
        Some(v) => [&i32::try_from(v.len()).unwrap().to_be_bytes(), v].concat(),
        None => (-1_i32).to_be_bytes().to_vec(),
    }
}

#[test]
fn nested_values_in_binary() {
    let head = |flags: i32, oid: u32| {
        [1_i32.to_be_bytes(), flags.to_be_bytes(), oid.to_be_bytes(), 2_i32.to_be_bytes(), 1_i32.to_be_bytes()].concat()
    };
    let ints = [head(0, INT4), sized(Some(&[0, 0, 0, 1])), sized(Some(&[0, 0, 0, 2]))].concat();
    assert_eq!(
        edited(Transform::Redact, 1007, -1, true, &ints),
        Some([head(1, INT4), sized(None), sized(None)].concat())
    );
    let texts = [head(1, TEXT), sized(Some(b"a")), sized(None)].concat();
    let hidden = [head(1, TEXT), sized(Some(b"[redacted]")), sized(None)].concat();
    assert_eq!(edited(Transform::Redact, 1009, -1, true, &texts), Some(hidden));
    let record = |second: Vec<u8>| {
        let mut out = 2_i32.to_be_bytes().to_vec();
        out.extend(INT4.to_be_bytes());
        out.extend(sized(None));
        out.extend(TEXT.to_be_bytes());
        out.extend(second);
        out
    };
    assert_eq!(
        edited(Transform::Redact, 2249, -1, true, &record(sized(Some(b"a")))),
        Some(record(sized(Some(b"[redacted]"))))
    );
    let range = |a: i32, b: i32| [&[2_u8][..], &sized(Some(&a.to_be_bytes())), &sized(Some(&b.to_be_bytes()))].concat();
    assert_eq!(edited(Transform::Generalise, 3904, -1, true, &range(1234, 5678)), Some(range(1000, 5000)));
    assert_eq!(edited(Transform::Hash, 3904, -1, true, &range(1, 5)), None);
    for cut in 0..ints.len() {
        assert_eq!(edited(Transform::Redact, 1007, -1, true, &ints[..cut]), None, "{cut}");
    }
}

#[test]
fn adv_038_types_of_the_databases_own_are_taken_apart() {
    use Transform::{Hash, Last, Redact};
    for (transform, oid, value, expected) in [
        (Redact, 100_000, "ana@example.com", Some("[redacted]")),
        (Redact, 100_001, "{ana@example.com,NULL,\"b,c\"}", Some("{\"[redacted]\",NULL,\"[redacted]\"}")),
        (Last(4), 100_002, "4111-1111-1111-1234", Some("****-****-****-1234")),
        (Redact, 100_004, "fine", None),
        // A number and a label have no text that is one of theirs.
        (Redact, 100_005, "(mail,7,ana@example.com,fine)", Some("(\"[redacted]\",,\"[redacted]\",)")),
        (Redact, 100_005, "(,,\"a \"\"b\"\", c\",)", Some("(,,\"[redacted]\",)")),
        (Last(3), 100_005, "(\"a\"\"b,cdefgh\",,,)", Some("(\"*******fgh\",,,)")),
        // Not of the form: fewer fields, more, something behind them.
        (Redact, 100_005, "(mail,7,ana@example.com)", None),
        (Redact, 100_005, "(mail,7,ana@example.com,fine,x)", None),
        (Redact, 100_005, "(mail,7,ana@example.com,fine)x", None),
        (Redact, 100_006, "{\"\\\"a\\\"=>\\\"b\\\"\"}", Some("{NULL}")),
        (Hash, 100_003, "\"a\"=>\"b\"", None),
        (Redact, 100_007, "x", None),
        // Quotes in it are told as PostgreSQL tells them in rows: twice.
        (Redact, 100_008, "(\"{\"\"a\"\": 1}\")", Some("(\"\"\"[redacted]\"\"\")")),
    ] {
        check(transform, oid, value, expected);
    }
    let row = |fields: &[(u32, Option<&[u8]>)]| {
        let mut all = i32::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
        fields.iter().for_each(|(oid, v)| {
            all.extend(oid.to_be_bytes());
            all.extend(sized(*v));
        });
        all
    };
    let before = row(&[
        (TEXT, Some(b"mail")),
        (INT4, Some(&7_i32.to_be_bytes())),
        (100_000, Some(b"a@b.c")),
        (100_004, Some(b"fine")),
    ]);
    let after = row(&[(TEXT, Some(b"[redacted]")), (INT4, None), (100_000, Some(b"[redacted]")), (100_004, None)]);
    assert_eq!(edited(Redact, 100_005, -1, true, &before), Some(after));
}

#[test]
fn keys_with_values_become_one_that_tells_nothing() {
    let pairs = [&1_i32.to_be_bytes()[..], &sized(Some(b"[redacted]")), &sized(None)].concat();
    for (binary, want) in [(false, &b"\"[redacted]\"=>NULL"[..]), (true, &pairs)] {
        for direct in [true, false] {
            let mut v = veil(vec![column(&["pii"], direct)], &[("pii", Transform::Redact)], None);
            v.described(&[Field { binary, ..field("a", 100_003) }]).unwrap();
            let mut out = Vec::new();
            v.row(&data_row(&[Some(b"\"mail\"=>\"ana@example.com\"")]), &mut out).unwrap();
            assert_eq!(out, data_row(&[Some(want)]), "{binary} {direct}");
        }
    }
    // Where nothing is tagged, what is found in the values is masked, in binary, too.
    let pairs = |value: &[u8]| [&1_i32.to_be_bytes()[..], &sized(Some(b"k\0")), &sized(Some(value))].concat();
    let mut v = veil(vec![column(&[], true)], &[("pii", Transform::Redact)], None);
    v.described(&[Field { binary: true, ..field("a", 100_003) }]).unwrap();
    let mut out = Vec::new();
    v.row(&data_row(&[Some(&pairs(b"of ana@example.com"))]), &mut out).unwrap();
    assert_eq!(out, data_row(&[Some(&pairs(b"of [redacted]"))]));
}

fn column(tags: &[&str], direct: bool) -> OutputColumn {
    OutputColumn {
        name: None,
        sources: Arc::default(),
        tags: tags.iter().map(|t| tag(t)).collect(),
        direct,
        type_oid: 0,
    }
}

fn field(name: &str, oid: u32) -> Field {
    Field { name: name.as_bytes().into(), oid, typmod: -1, binary: false }
}

fn veil(columns: Vec<OutputColumn>, all: &[(&str, Transform)], copy: Option<CopyForm>) -> Veil {
    let types = columns.iter().map(|_| Some(TEXT)).collect();
    let given = Given { outputs: Outputs::Columns(columns.into()), copy: copy.map(|form| (form, types)) };
    let detect = Tagging { detect: vec![tag("pii")], ..Tagging::default() };
    Veil::new(Tools::new(Some(masker()), Arc::new(detect)), catalog(), masks(all), vec![given], None)
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    crate::wire::frame(&mut out, kind, |b| b.put_slice(body));
    out.to_vec()
}

fn data_row(cells: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = i16::try_from(cells.len()).unwrap().to_be_bytes().to_vec();
    cells.iter().for_each(|c| body.extend(sized(*c)));
    frame(b'D', &body)
}

#[test]
fn rows_are_masked_column_by_column() {
    let all = [("pii.email", Transform::Last(4)), ("pii.name", Transform::Hash), ("secret", Transform::Redact)];
    let columns = vec![
        column(&[], true),
        column(&["secret.key"], true),
        column(&["pii.email"], false),
        column(&["pii.phone"], true),
        column(&["pii.email", "secret"], true),
    ];
    let mut v = veil(columns, &all, None);
    v.described(&[("a", INT4), ("b", TEXT), ("c", TEXT), ("d", TEXT), ("e", TEXT)].map(|(n, t)| field(n, t))).unwrap();
    let mut out = Vec::new();
    v.row(&data_row(&[Some(b"1"), Some(b"k"), None, Some(b"555"), Some(b"12345678")]), &mut out).unwrap();
    let want = data_row(&[Some(b"1"), Some(b"[redacted]"), Some(b"[redacted]"), Some(b"555"), Some(b"[redacted]")]);
    assert_eq!(out, want);
    let counts: Vec<(String, u64)> = v.counts().iter().map(|(t, n)| (t.to_string(), *n)).collect();
    assert_eq!(counts, [("pii.email".to_owned(), 2), ("secret".to_owned(), 2)]);
    for bad in [data_row(&[Some(b"1")]), frame(b'D', b"\0\x05"), frame(b'd', b"x"), Vec::new()] {
        assert!(v.row(&bad, &mut Vec::new()).is_err());
    }
}

/// `substr(email, 1, 1), substr(email, 2, 1), …` under one pseudonym for each letter would be a cipher that falls to counting.
#[test]
fn adv_033_pieces_of_a_value_have_no_pseudonyms() {
    let by = [("pii.email", Transform::Hash)];
    let mut v = veil(vec![column(&["pii.email"], false), column(&["pii.email"], true)], &by, None);
    v.described(&[field("a", TEXT), field("b", TEXT)]).unwrap();
    let mut told = |cell: &[u8]| {
        let mut out = Vec::new();
        v.row(&data_row(&[Some(cell), Some(cell)]), &mut out).unwrap();
        out
    };
    let (a, b) = (told(b"a"), told(b"b"));
    let computed = |row: &[u8]| row.get(7..7 + 4 + 10).unwrap().to_vec();
    assert_eq!(computed(&a), sized(Some(b"[redacted]")));
    assert_eq!(computed(&a), computed(&b));
    assert_ne!(a, b, "the column itself has pseudonyms");
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    let mut v = veil(vec![column(&["pii"], true)], &[("pii", Transform::Redact)], None);
    assert_eq!(v.row(&data_row(&[Some(b"x")]), &mut Vec::new()), Err(Unmaskable::Undescribed));
    assert_eq!(v.described(&[field("a", TEXT), field("b", TEXT)]), Err(Unmaskable::Columns));
    v.next_statement();
    assert_eq!(v.described(&[field("a", TEXT)]), Err(Unmaskable::Columns));
}

/// A copy of these bytes, cut into messages of `piece` bytes; all bytes that come out.
fn copied(form: &CopyForm, columns: &[OutputColumn], bytes: &[u8], piece: usize) -> Result<Vec<u8>, Unmaskable> {
    let mut v = veil(columns.to_vec(), &[("pii", Transform::Redact)], Some(form.clone()));
    let binary = *form == CopyForm::Binary;
    let mut body = vec![u8::from(binary)];
    body.extend(i16::try_from(columns.len()).unwrap().to_be_bytes());
    columns.iter().for_each(|_| body.extend(i16::from(binary).to_be_bytes()));
    v.copies(&frame(b'H', &body))?;
    let mut out = Vec::new();
    for part in bytes.chunks(piece) {
        v.row(&frame(b'd', part), &mut out)?;
    }
    v.copy_done()?;
    let mut rest = out.as_slice();
    let mut all = Vec::new();
    while let Some(head) = crate::wire::head(rest).unwrap() {
        assert_eq!(head.tag, b'd');
        all.extend_from_slice(&rest[5..head.frame_bytes]);
        rest = &rest[head.frame_bytes..];
    }
    assert!(rest.is_empty());
    Ok(all)
}

fn text_form() -> CopyForm {
    CopyForm::Text { delimiter: b'\t', null: "\\N".into(), header: false }
}

fn csv_form(escape: u8, header: bool) -> CopyForm {
    CopyForm::Csv { delimiter: b',', null: "".into(), quote: b'"', escape, header }
}

#[test]
fn adv_041_copies_are_masked_wherever_they_are_cut() {
    let columns = [column(&[], true), column(&["pii.email"], true), column(&[], true)];
    let binary = |middle: &[u8]| {
        [
            b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec(),
            [&3_i16.to_be_bytes()[..], &sized(Some(b"1")), &sized(Some(middle)), &sized(None)].concat(),
            [&3_i16.to_be_bytes()[..], &sized(Some(b"2")), &sized(None), &sized(Some(b"x"))].concat(),
            (-1_i16).to_be_bytes().to_vec(),
        ]
        .concat()
    };
    for (form, bytes, want) in [
        (
            text_form(),
            b"1\ta\\tb\\nc\\\\\tx\\ty\n\\N\t\\N\t\n".to_vec(),
            b"1\t[redacted]\tx\\ty\n\\N\t\\N\t\n".to_vec(),
        ),
        (
            csv_form(b'"', true),
            b"id,mail,\"a\nb\"\n1,\"a,\"\"b\nc\",x\n2,,\"\"\n3,plain,\n".to_vec(),
            b"id,mail,\"a\nb\"\n1,\"[redacted]\",x\n2,,\"\"\n3,[redacted],\n".to_vec(),
        ),
        (
            csv_form(b'\\', false),
            b"1,\"a\\\"\n,\\\\\",x\n2,\"\",y\n".to_vec(),
            b"1,\"[redacted]\",x\n2,\"[redacted]\",y\n".to_vec(),
        ),
        (CopyForm::Binary, binary(b"ana@example.com"), binary(b"[redacted]")),
    ] {
        for piece in 1..=bytes.len() {
            let got = copied(&form, &columns, &bytes, piece);
            assert_eq!(
                got.as_deref().map(String::from_utf8_lossy),
                Ok(String::from_utf8_lossy(&want)),
                "{form:?} in pieces of {piece}"
            );
        }
        for cut in 1..bytes.len() - 1 {
            // A copy that ends early gives no part of a row.
            if let Ok(got) = copied(&form, &columns, &bytes[..cut], cut) {
                assert!(want.starts_with(&got) && (form == CopyForm::Binary || got.ends_with(b"\n")), "{cut}");
            }
        }
    }
}

#[test]
fn copies_in_another_form_than_announced_are_refused() {
    let columns = [column(&["pii"], true)];
    assert!(copied(&CopyForm::Other, &columns, b"a\n", 9).is_err());
    assert_eq!(copied(&text_form(), &columns, b"a\tb\n", 9), Err(Unmaskable::Columns));
    assert_eq!(copied(&text_form(), &columns, b"\\101\n", 9), Err(Unmaskable::Form));
    assert_eq!(copied(&CopyForm::Binary, &columns, &[b'x'; 30], 9), Err(Unmaskable::Form));
    assert_eq!(copied(&text_form(), &columns, b"no end", 9), Err(Unmaskable::Form));
    let long = vec![b'x'; ROW_BYTES_MAX + 1];
    assert_eq!(copied(&text_form(), &columns, &long, 1 << 20), Err(Unmaskable::TooLong));
    let fits = [&long[..ROW_BYTES_MAX - 1], b"\n"].concat();
    assert_eq!(copied(&text_form(), &columns, &fits, 1 << 20).as_deref(), Ok(&b"[redacted]\n"[..]));
}

proptest! {
    #[test]
    fn no_bytes_break_values(oid in prop::sample::select(vec![16_u32, 17, 20, 21, 23, 25, 26, 114, 142, 600, 650, 700, 701, 829, 869, 1005, 1007, 1009, 1042,
        1043, 1082, 1083, 1114, 1184, 1186, 1266, 1700, 2249, 2287, 2950, 3802, 3807, 3904, 3910, 3912, 3913, 99_999,
        100_001, 100_003, 100_005, 100_006]), binary: bool,
        bytes in prop::collection::vec(any::<u8>(), 0..60), text in "[\\[\\]{}(),\"\\\\a-c0-9:/ .+-]{0,40}") {
        for transform in [Transform::Redact, Transform::Hash, Transform::Generalise, Transform::Format, Transform::Last(2)] {
            let _ = edited(transform, oid, -1, binary, &bytes);
            let _ = edited(transform, oid, -1, binary, text.as_bytes());
        }
    }

    #[test]
    fn nothing_of_a_text_stays_in_an_array(items in prop::collection::vec("[a-z\"\\\\,{} ]{1,8}", 1..6)) {
        let quoted: Vec<String> =
            items.iter().map(|i| format!("\"{}\"", i.replace('\\', "\\\\").replace('"', "\\\""))).collect();
        let got = edited(Transform::Redact, 1009, -1, false, format!("{{{}}}", quoted.join(",")).as_bytes()).unwrap();
        let want = vec!["\"[redacted]\""; items.len()].join(",");
        prop_assert_eq!(String::from_utf8(got).unwrap(), format!("{{{want}}}"));
    }

    #[test]
    fn whatever_is_copied_the_other_columns_stay(rows in prop::collection::vec(("[a-z\t\\\\\n,\"]{0,8}", "[a-z\t\\\\\n,\"]{1,8}"), 1..5), piece in 1_usize..20) {
        let columns = [column(&[], true), column(&["pii"], true)];
        let escape = |s: &str| s.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n");
        let line = |a: &str, b: &str| format!("{}\t{}\n", escape(a), b);
        let bytes: String = rows.iter().map(|(a, b)| line(a, &escape(b))).collect();
        let want: String = rows.iter().map(|(a, _)| line(a, "[redacted]")).collect();
        let got = copied(&text_form(), &columns, bytes.as_bytes(), piece).unwrap();
        prop_assert_eq!(String::from_utf8(got).unwrap(), want);
    }
}
