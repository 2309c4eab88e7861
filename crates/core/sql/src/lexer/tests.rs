//! Tests: held against the real scanner.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use pg_query::protobuf::{KeywordKind, Token as Real};
use proptest::prelude::*;

use super::{Lexer, Token};

/// What this lexer says: kind and place, up to the place where it gives up.
fn ours(text: &str) -> (Vec<(Token, usize, usize)>, bool) {
    let mut lexer = Lexer::new(text.as_bytes());
    let mut tokens = Vec::new();
    while let Some(l) = lexer.next_lexeme() {
        if l.token == Token::Broken {
            return (tokens, true);
        }
        tokens.push((l.token, l.start, l.end));
    }
    (tokens, false)
}

/// What the real scanner says, in the same words; `None` when it refuses.
fn real(text: &str) -> Option<Vec<(Token, usize, usize)>> {
    let scanned = pg_query::scan(text).ok()?;
    let mut tokens: Vec<(Token, usize, usize)> = Vec::new();
    for t in scanned.tokens {
        let (start, end) = (t.start as usize, t.end as usize);
        let raw = &text[start..end];
        let token = match Real::try_from(t.token).unwrap() {
            Real::SqlComment | Real::CComment => continue,
            Real::Sconst | Real::Usconst | Real::Bconst | Real::Xconst => Token::String,
            Real::Iconst => Token::Integer,
            // Integers that do not fit are given as floats.
            Real::Fconst
                if raw.contains(['.'])
                    || (raw.contains(['e', 'E']) && !raw.starts_with("0x") && !raw.starts_with("0X")) =>
            {
                Token::Float
            }
            Real::Fconst => Token::Integer,
            Real::Param => Token::Param,
            Real::Uident => Token::Quoted,
            Real::Ident if raw.starts_with('"') => Token::Quoted,
            Real::Ident => Token::Word,
            Real::Typecast
            | Real::DotDot
            | Real::ColonEquals
            | Real::EqualsGreater
            | Real::LessEquals
            | Real::GreaterEquals
            | Real::NotEquals
            | Real::Op => Token::Operator,
            _ if KeywordKind::try_from(t.keyword_kind) != Ok(KeywordKind::NoKeyword) => Token::Word,
            _ => Token::Sign,
        };
        // N'…' comes as the keyword NCHAR and a string.
        if token == Token::String
            && let Some(last) = tokens.last().copied()
            && last.2 == start
            && text[last.1..last.2].eq_ignore_ascii_case("n")
        {
            let slot = tokens.last_mut().unwrap();
            *slot = (Token::String, last.1, end);
            continue;
        }
        tokens.push((token, start, end));
    }
    Some(tokens)
}

/// One question: do both agree? Where this one gives up, the real parser must refuse the text.
fn check(text: &str) -> Result<(), String> {
    let (tokens, broken) = ours(text);
    if broken {
        return match super::super::parse::tests_support::parses(text) {
            true => Err(format!("gave up on a good text: {text:?}")),
            false => Ok(()),
        };
    }
    match real(text) {
        None => Ok(()),
        Some(expected) if expected == tokens => Ok(()),
        Some(expected) => Err(format!("{text:?}\n ours {tokens:?}\n real {expected:?}")),
    }
}

#[test]
fn agrees_with_the_scanner_on_hard_texts() {
    for text in [
        "select 'a' 'b'",
        "select 'a'\n'b'",
        "select 'a' -- c\n 'b'",
        "select 'a' /* c */ \n 'b'",
        "select 'a'\n -- x\n -- y\n\t'b', 1",
        "select e'a\\'b' , 'a\\'",
        "select E'a\\\\'\n'b\\'c'",
        "select U&'d\\0061t' UESCAPE '!'",
        "select U&\"a\" , u&\"b\"\"c\", \"x\"\"y\"",
        "select $$a$$, $t$ $$ $t$, $1, $12",
        "select $t$ $T$ $t$",
        "select a$b$c",
        "select 1.5e10, 1e, .5, 1., 1..2, 1.e5, 0x1F, 0o17, 0b101, 1_000, 1_000.5_0",
        "select 1a",
        "select 0x",
        "select 0xg",
        "select $1a",
        "select a<-1, a-- c\n+1, a*-1, a@-1, a|+b, a<=b, a>=b, a<>b, a!=b, a=>b, a:=b, a::b",
        "select a+/* c */b, a/b, a/*/* n */*/b, a*/*c*/b",
        "select n'x', N'y', b'01', B'1', x'ff', X'0'",
        "b'N'''",
        "x'0'''",
        "b'0'\n'1'",
        "select a -- no end",
        "select /* no end",
        "select 'no end",
        "select \"\"",
        "select \"no end",
        "select é, \"ü\", 'ß'",
        "select a[1:2], a.b.c, (a).b",
        "select @-+ 1, ~~* 2, !~~* 3, |/ 4, +- 5, -+ 6, *+- 7, <+-> 8",
        "a{b",
        "a\\b",
        "$",
        "$a",
        "''''",
        "'a'\r'b'",
        "'a'\x0b\n'b'",
        "1 \x0b 2",
        "99999999999999999999",
        "a?b, a?|b, a?&b, a #>> b, a @> b",
    ] {
        if let Err(e) = check(text) {
            panic!("{e}");
        }
    }
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "select", "a", "_b", "1", "1.5", "0x1f", "1e5", "1_0", ".", "..", "'", "''", "'a'", "E'", "\\'", "U&'",
            "U&\"", "\"", "\"q\"", "$$", "$t$", "$1", "$", "--", "/*", "*/", "\n", "\r", " ", "\t", "\x0b", "+", "-",
            "*", "/", "<", ">", "=", "~", "!", "@", "#", "%", "^", "&", "|", "`", "?", "(", ")", "[", "]", ",", ";",
            ":", "::", ":=", "N'", "b'", "x'", "é", "e", "n", "u&", "_", "\\", "{",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z0-9_$'\"\\\\ \n+*/<>=~!@#%^&|`?:.-]{0,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_scanner_on_any_text(pieces in prop::collection::vec(piece(), 0..14)) {
        let text: String = pieces.concat();
        if let Err(e) = check(&text) {
            return Err(TestCaseError::fail(e));
        }
    }

    #[test]
    fn ends_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut lexer = Lexer::new(&bytes);
        let mut last = 0;
        while let Some(l) = lexer.next_lexeme() {
            prop_assert!(l.start >= last && l.end >= l.start && l.end <= bytes.len());
            last = l.end;
        }
    }
}
