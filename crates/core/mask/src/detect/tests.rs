//! Detectors over whole texts.
#![allow(clippy::unwrap_used)]

use super::*;

/// What is found in a text, as `name:bytes`, without what is only possible.
fn found(text: &str) -> Vec<String> {
    let mut hits = Vec::new();
    scan(text.as_bytes(), b"", Wanted::ALL, &mut hits);
    let likely = hits.iter().filter(|h| h.confidence > Confidence::Possible);
    likely.map(|h| format!("{}:{}", h.detector.name(), &text[h.range.clone()])).collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(found(text), expected, "{text}");
}

#[test]
fn emails() {
    check("mail ana.b+c@mail.example.co.uk, or <bo@x.org>.", &["email:ana.b+c@mail.example.co.uk", "email:bo@x.org"]);
    check("jörg@müller.de", &["email:jörg@müller.de"]);
    check("'ana@example.com'", &["email:ana@example.com"]);
    for not in [
        "@ana",
        "ana@localhost",
        "icon@2x.png",
        "git@github.com:a/b.git",
        "a@b",
        "@ana@example.org",
        "x@y.1",
        "npm i @a/b@1.2.3",
    ] {
        check(not, &[]);
    }
}

#[test]
fn phones() {
    for (text, number) in [
        ("+44 20 7946 0958", "+44 20 7946 0958"),
        ("+44 (0)20 7946 0958", "+44 (0)20 7946 0958"),
        ("+12125550142", "+12125550142"),
        ("call (212) 555-0142 now", "(212) 555-0142"),
        ("212-555-0142", "212-555-0142"),
        ("1-212-555-0142", "1-212-555-0142"),
        ("212.555.0142", "212.555.0142"),
        ("phone: 2125550142", "2125550142"),
        ("01 23 45 67 89", "01 23 45 67 89"),
        ("020 7946 0958", "020 7946 0958"),
        ("07700 900123", "07700 900123"),
        ("030 123456", "030 123456"),
        ("089/1234567", "089/1234567"),
        ("(11) 91234-5678", "(11) 91234-5678"),
        ("98765 43210", "98765 43210"),
        ("0412 345 678", "0412 345 678"),
        ("03-1234-5678", "03-1234-5678"),
        ("tel 555-1234", "555-1234"),
        ("0049 30 1234567", "0049 30 1234567"),
    ] {
        check(text, &[&format!("phone:{number}")]);
    }
    for not in [
        "2026-11-22",
        "order 2125550142",
        "1234567890",
        "3.14159265",
        "12:30:45",
        "10 000 000",
        "v1.2.3.4",
        "$212-555-0142",
    ] {
        check(not, &[]);
    }
}

#[test]
fn cards() {
    check("4111 1111 1111 1111 12/27", &["card:4111 1111 1111 1111"]);
    check("4111-1111-1111-1111", &["card:4111-1111-1111-1111"]);
    check("378282246310005", &["card:378282246310005"]);
    check("3782 822463 10005", &["card:3782 822463 10005"]);
    for not in [
        "4111111111111112",
        "41111111111111111111",
        "x4111111111111111",
        "4111-1111-1111-1111-1",
        "order 4111111111111111",
    ] {
        check(not, &[]);
    }
}

#[test]
fn national_numbers() {
    for (text, expected) in [
        ("123-45-6780", "us_ssn:123-45-6780"),
        ("SSN 123456780", "us_ssn:123456780"),
        ("12345678Z", "es_nif:12345678Z"),
        ("12345678-Z", "es_nif:12345678-Z"),
        ("X1234567L", "es_nie:X1234567L"),
        ("X-1234567-L", "es_nie:X-1234567-L"),
        ("2 55 08 14 168 025 38", "fr_nir:2 55 08 14 168 025 38"),
        ("255081416802538", "fr_nir:255081416802538"),
        ("86095742719", "de_steuer_id:86095742719"),
        ("86 095 742 719", "de_steuer_id:86 095 742 719"),
        ("RSSMRA85T10A562S", "it_codice_fiscale:RSSMRA85T10A562S"),
        ("BSN 111222333", "nl_bsn:111222333"),
        ("NHS 943 476 5919", "uk_nhs:943 476 5919"),
        ("AB123456C", "uk_nino:AB123456C"),
        ("AB 12 34 56 C", "uk_nino:AB 12 34 56 C"),
        ("44051401359", "pl_pesel:44051401359"),
        ("85.07.30-033.28", "be_national:85.07.30-033.28"),
        ("811228-9874", "se_personnummer:811228-9874"),
        ("131052-308T", "fi_hetu:131052-308T"),
        ("529.982.247-25", "br_cpf:529.982.247-25"),
        ("11.222.333/0001-81", "br_cnpj:11.222.333/0001-81"),
        ("2341 2341 2346", "in_aadhaar:2341 2341 2346"),
        ("SIN 130 692 544", "ca_sin:130 692 544"),
        ("TFN 123 456 782", "au_tfn:123 456 782"),
        ("756.9217.0769.85", "ch_ahv:756.9217.0769.85"),
        ("GB82 WEST 1234 5698 7654 32", "iban:GB82 WEST 1234 5698 7654 32"),
        ("DE89370400440532013000", "iban:DE89370400440532013000"),
    ] {
        check(text, &[expected]);
        check(&format!("<td>{text}</td>"), &[expected]);
    }
    for not in [
        "000-12-3456",
        "123-00-4567",
        "12345678A",
        "123456789",
        "GB82 WEST 1234 5698 7654 33",
        "550e8400-e29b-41d4-a716-446655440000",
    ] {
        check(not, &[]);
    }
}

/// Whatever stands around a find in other texts may be missing in this one.
#[test]
fn a_text_may_begin_and_end_anywhere() {
    let texts = [
        "AB 12 34 56 C AB-12-34-56-C 12 34 56 7",
        "X-1234567-L 12345678-Z 131052-308T 19811218-9876",
        "00:1b:44:11:3a:b7 00-1b-44-11-3a-b7 001b.4411.3ab7 2001:db8::8a2e:370:7334 203.0.113.9",
        "(0) 20 7946 0018 +44 (0)20 7946 0018 (11) 91234-5678",
        "born 9 July 1984, 1984-07-09",
        "a@b.example https://u:p@h/ password=hunter2hunter key_AKIAIOSFODNN7EXAMPLE",
    ];
    let mut hits = Vec::new();
    for text in texts.map(str::to_owned).into_iter().chain([mixture(3)]) {
        let text = text.as_bytes();
        for i in 0..=text.len() {
            for part in [&text[i..], &text[..i]] {
                scan(part, b"", Wanted::ALL, &mut hits);
                assert!(hits.iter().all(|h| h.range.end <= part.len()));
            }
        }
    }
}

/// More digits than a number holds, in any group of any form.
#[test]
fn long_groups_are_no_numbers() {
    for first in 1..20 {
        for second in [17, 18, 19, 20, 21, 39, 40, 41] {
            for separator in ["", " ", "-", ".", "/"] {
                check(&format!("x {}{separator}{} y", "5".repeat(first), "5".repeat(second)), &[]);
            }
        }
    }
}

#[test]
fn addresses() {
    for (text, expected) in [
        ("from 203.0.113.9:443", "ip:203.0.113.9"),
        ("2001:db8::8a2e:370:7334", "ip:2001:db8::8a2e:370:7334"),
        ("fe80::1%eth0", "ip:fe80::1"),
        ("[2001:db8:0:1:2:3:4:5]:80", "ip:2001:db8:0:1:2:3:4:5"),
        ("00:1a:2b:3c:4d:5e", "mac:00:1a:2b:3c:4d:5e"),
        ("aa-bb-cc-dd-ee-01", "mac:aa-bb-cc-dd-ee-01"),
        ("00-1A-2B-3C-4D-5E", "mac:00-1A-2B-3C-4D-5E"),
        ("001a.2b3c.4d5e", "mac:001a.2b3c.4d5e"),
    ] {
        check(text, &[expected]);
    }
    for not in [
        "127.0.0.1",
        "255.255.255.0",
        "version 1.2.3.4",
        "1.2.3",
        "300.1.1.1",
        "std::vec",
        "a::b",
        "12:30:45",
        "::1",
        "ff:ff:ff:ff:ff:ff",
        "1.2.3.4.5",
    ] {
        check(not, &[]);
    }
}

#[test]
fn births() {
    for (text, expected) in [
        ("born 1984-07-09", "1984-07-09"),
        ("DOB: 7/9/84", "7/9/84"),
        ("geb. 09.07.1984", "09.07.1984"),
        ("born on July 9, 1984", "July 9, 1984"),
        ("born 9th of July 1984", "9th of July 1984"),
        ("geboren am 9. Juli 1984", "9. Juli 1984"),
        ("née le 9 juillet 1984", "9 juillet 1984"),
        ("nacido el 9 de julio de 1984", "9 de julio de 1984"),
    ] {
        check(text, &[&format!("birth_date:{expected}")]);
    }
    for not in ["due 1984-07-09", "born in 1984", "born 1984-17-39", "July 9, 1984"] {
        check(not, &[]);
    }
}

#[test]
fn secrets() {
    let jwt =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
    check(jwt, &[&format!("jwt:{jwt}")]);
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----";
    check(&format!("a {pem} b"), &[&format!("private_key:{pem}")]);
    for (text, expected) in [
        ("id AKIAIOSFODNN7EXAMPLE", "aws_key:AKIAIOSFODNN7EXAMPLE"),
        ("AKIAIOSFODNNAEXAMPLE", "aws_key:AKIAIOSFODNNAEXAMPLE"),
        ("key=ghp_16C7e42F292c6912E7710c838347Ae178B4a", "github_token:ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
        ("glpat-abcdefGHIJKLmnopqrst", "gitlab_token:glpat-abcdefGHIJKLmnopqrst"),
        ("xoxb-123456789012-123456789012-abcdefABCDEF", "slack_token:xoxb-123456789012-123456789012-abcdefABCDEF"),
        ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", "stripe_key:sk_live_4eC39HqLyjWDarjtT1zdp7dc"),
        ("mysql://u:p4ss@db.x:5432/y", "connection:p4ss"),
        ("https://u:p4ss@example.com/", "connection:p4ss"),
        ("Server=db;User Id=sa;Password=S3cret!;", "connection:S3cret!"),
        ("password=hunter2", "generic:hunter2"),
        ("\"password\": \"correct horse 9\"", "generic:correct horse 9"),
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "named_key:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        ),
        ("Authorization: Bearer 4eC39HqLyjWDarjtT1zdp7dc", "generic:4eC39HqLyjWDarjtT1zdp7dc"),
    ] {
        check(text, &[expected]);
    }
    for not in [
        "password: required",
        "password=$DB_PASSWORD",
        "token = get_token()",
        "mysql://u@db/x",
        "mysql://u:${PW}@db/x",
        "a_snake_case_name",
        "if password == \"\":",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "sk-learn-model-selection-with-a-very-long-name-indeed",
    ] {
        check(not, &[]);
    }
}

/// The hits of a stream in chunks that end at these places.
fn streamed(text: &[u8], cuts: &[usize]) -> (Vec<Hit>, Vec<u8>, usize) {
    let (mut hits, mut bytes, mut carried) = (Vec::new(), Vec::new(), 0);
    let mut piece = |p: Piece<'_>| match p {
        Piece::Clear(b) => bytes.extend_from_slice(b),
        Piece::Found { bytes: b, detector, confidence } => {
            hits.push(Hit { range: bytes.len()..bytes.len() + b.len(), detector, confidence });
            bytes.extend_from_slice(b);
        }
    };
    let mut scanner = StreamScanner::new(Wanted::ALL);
    let mut at = 0;
    for cut in cuts.iter().copied().chain([text.len()]) {
        scanner.push(&text[at..cut], &mut piece);
        carried = carried.max(scanner.carried());
        at = cut;
    }
    scanner.finish(&mut piece);
    (hits, bytes, carried)
}

/// Texts in which everything stands close together.
fn mixture(n: usize) -> String {
    const PARTS: [&str; 16] = [
        "ana.b+c@mail.example.co.uk",
        "+44 (0)20 7946 0958",
        "card 4111 1111 1111 1111 12/27",
        "born on July 9, 1984",
        "GB82 WEST 1234 5698 7654 32",
        "password=\"correct horse 9\"",
        "mysql://u:p4ss@db.x:3306/y",
        "fe80::1 00:1a:2b:3c:4d:5e",
        "123-45-6780",
        "phone 2125550142, 2125550143",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "AB 12 34 56 C",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "nothing of note here,",
        "550e8400-e29b-41d4-a716-446655440000",
    ];
    (0..n).map(|i| PARTS[(i * 7 + i * i) % PARTS.len()]).collect::<Vec<_>>().join(if n.is_multiple_of(2) {
        " "
    } else {
        ", "
    })
}

#[test]
fn adv_041_a_stream_has_the_same_hits_wherever_it_is_cut_once() {
    for n in [16, 31] {
        let text = mixture(n);
        let mut hits = Vec::new();
        scan(text.as_bytes(), b"", Wanted::ALL, &mut hits);
        assert!(hits.len() > n / 2);
        for cut in 0..=text.len() {
            let (streamed, bytes, _) = streamed(text.as_bytes(), &[cut]);
            assert_eq!(streamed, hits, "cut at {cut}");
            assert_eq!(bytes, text.as_bytes());
        }
        let everywhere: Vec<usize> = (0..text.len()).collect();
        assert_eq!(streamed(text.as_bytes(), &everywhere).0, hits);
    }
}

#[test]
fn a_stream_keeps_little_and_a_long_secret_ends_somewhere() {
    let endless = format!("-----BEGIN PRIVATE KEY-----\n{}", "MIIE\n".repeat(10_000));
    let cuts: Vec<usize> = (0..endless.len()).step_by(100).collect();
    let (hits, bytes, carried) = streamed(endless.as_bytes(), &cuts);
    let mut whole = Vec::new();
    scan(endless.as_bytes(), b"", Wanted::ALL, &mut whole);
    assert_eq!((hits, bytes.len()), (whole, endless.len()));
    assert!(carried <= CARRY_BYTES_MAX, "{carried}");
    let (_, _, carried) =
        streamed(" text without anything".repeat(1000).as_bytes(), &(0..20_000).step_by(50).collect::<Vec<_>>());
    assert!(carried < 1000, "{carried}");
}

proptest::proptest! {
    #[test]
    fn any_bytes_stream_alike(parts in proptest::collection::vec("[0-9]{1,5}|[0-9]{6,50}|[-+.@:=_/ ()\"]|[a-zA-Z]{1,4}|password=|eyJ|AKIA|\n|é", 0..120), size in 1..50_usize) {
        let text = parts.concat();
        let mut hits = Vec::new();
        scan(text.as_bytes(), b"", Wanted::ALL, &mut hits);
        let cuts: Vec<usize> = (0..text.len()).step_by(size).collect();
        let (streamed, bytes, _) = streamed(text.as_bytes(), &cuts);
        proptest::prop_assert_eq!(bytes, text.as_bytes());
        proptest::prop_assert_eq!(streamed, hits.clone());
        let mut at = 0;
        for h in hits {
            proptest::prop_assert!(h.range.start >= at && h.range.start < h.range.end && text.get(h.range.clone()).is_some());
            at = h.range.end;
        }
    }
}

#[test]
fn masked_text_scans_clean() {
    for n in 1..60 {
        let text = mixture(n);
        let mut hits = Vec::new();
        scan(text.as_bytes(), b"", Wanted::ALL, &mut hits);
        let (mut masked, mut at) = (String::new(), 0);
        for h in &hits {
            masked.push_str(&text[at..h.range.start]);
            masked.push_str(crate::REDACTED);
            at = h.range.end;
        }
        masked.push_str(&text[at..]);
        assert_eq!(found(&masked), Vec::<String>::new(), "{masked}");
    }
}
