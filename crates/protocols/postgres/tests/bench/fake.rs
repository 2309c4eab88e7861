//! A target that says what it is told to: it lets everybody in, has one table `public.t (id, name)`, and answers the gateway's own
//! questions. What it answers to the client's messages is scripted, or dull.

use std::collections::VecDeque;

use countersign_sql::{QUERIES, Section, TEMPORARY_QUERIES};

use super::through::Far;
use super::wire::{self, Message, frame};

/// The fake target.
#[derive(Default)]
pub(crate) struct Fake {
    input: Vec<u8>,
    started: bool,
    answers: VecDeque<Vec<u8>>,
    asked: String,
    failed: bool,
    /// Answers to the client's queries, in turn; then dull ones.
    pub(crate) script: VecDeque<Vec<u8>>,
    /// After the script, the connection ends.
    pub(crate) dies: bool,
    /// The client's messages.
    pub(crate) got: Vec<Message>,
    /// Cancel orders that came.
    pub(crate) cancels: usize,
}

fn row(columns: &[&str]) -> Vec<u8> {
    let mut body = i16::try_from(columns.len()).unwrap_or(0).to_be_bytes().to_vec();
    for column in columns {
        body.extend(i32::try_from(column.len()).unwrap_or(0).to_be_bytes());
        body.extend(column.bytes());
    }
    frame(b'D', &body)
}

/// An error of this severity and code.
pub(crate) fn error(severity: &str, code: &str) -> Vec<u8> {
    frame(b'E', format!("S{severity}\0V{severity}\0C{code}\0Mfake\0\0").as_bytes())
}

/// `CommandComplete`.
pub(crate) fn complete(tag: &str) -> Vec<u8> {
    frame(b'C', format!("{tag}\0").as_bytes())
}

/// `ReadyForQuery`.
pub(crate) fn ready(status: u8) -> Vec<u8> {
    frame(b'Z', &[status])
}

/// A result of one column with these rows, without the end.
pub(crate) fn rows(cells: &[&str]) -> Vec<u8> {
    let mut out = frame(b'T', b"\0\x01id\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    for cell in cells {
        out.extend(row(&[cell]));
    }
    out
}

impl Fake {
    /// A target that answers the client's queries with these.
    pub(crate) fn answering(script: &[&[u8]]) -> Self {
        Self { script: script.iter().map(|b| b.to_vec()).collect(), ..Self::default() }
    }

    fn catalog(query: &str) -> Vec<u8> {
        let asked = |queries: &[(Section, &str)]| queries.iter().find(|(_, q)| *q == query).map(|(s, _)| *s);
        match asked(QUERIES) {
            Some(Section::Relations) => row(&["20001", "public", "t", "r"]),
            Some(Section::Columns) => [row(&["20001", "1", "id", "23"]), row(&["20001", "2", "name", "25"])].concat(),
            _ if asked(TEMPORARY_QUERIES).is_some() => Vec::new(),
            _ if query.contains("current_schemas") => {
                [row(&["s", "pg_catalog"]), row(&["s", "public"]), row(&["u", "gw"])].concat()
            }
            _ => Vec::new(),
        }
    }

    fn answer(&mut self, m: &Message) -> Vec<u8> {
        let said = wire::spoken(m);
        let probe = said.contains("_countersign_probe");
        if self.failed && m.tag != b'S' {
            return Vec::new();
        }
        match m.tag {
            b'P' if probe => {
                self.asked =
                    said.split_once(' ').and_then(|(_, r)| r.split_once(' ')).map_or("", |(_, q)| q).to_owned();
                frame(b'1', b"")
            }
            b'E' if probe => [Self::catalog(&self.asked), complete("SELECT 1")].concat(),
            b'P' if said.contains("refused by Countersign") => {
                self.failed = true;
                error("ERROR", "42601")
            }
            b'Q' if said.contains("refused by Countersign") => [error("ERROR", "42601"), ready(b'E')].concat(),
            b'Q' if matches!(&*said, "Q BEGIN") => [complete("BEGIN"), ready(b'T')].concat(),
            b'Q' if matches!(&*said, "Q COMMIT" | "Q ROLLBACK") => [complete(&said[2..]), ready(b'I')].concat(),
            b'Q' => self.scripted().unwrap_or_else(|| [complete("SELECT 0"), ready(b'I')].concat()),
            b'P' => frame(b'1', b""),
            b'B' => frame(b'2', b""),
            b'C' => frame(b'3', b""),
            b'D' => frame(b'n', b""),
            b'E' => self.scripted().unwrap_or_else(|| complete("SELECT 0")),
            b'S' => {
                self.failed = false;
                ready(b'I')
            }
            _ => Vec::new(),
        }
    }

    fn scripted(&mut self) -> Option<Vec<u8>> {
        self.script.pop_front()
    }
}

impl Far for Fake {
    fn write(&mut self, b: &[u8]) {
        self.input.extend(b);
        if !self.started {
            let Some(len) = self.input.first_chunk::<4>().map(|n| u32::from_be_bytes(*n) as usize) else { return };
            if self.input.len() < len {
                return;
            }
            self.input.drain(..len);
            self.started = true;
            let hello = [
                frame(b'R', &[0; 4]),
                frame(b'S', b"client_encoding\0UTF8\0"),
                frame(b'S', b"standard_conforming_strings\0on\0"),
                frame(b'K', &[0, 0, 0, 9, 1, 2, 3, 4]),
                ready(b'I'),
            ];
            self.answers.push_back(hello.concat());
        }
        let (messages, rest) = wire::messages(&self.input);
        let rest = rest.to_vec();
        self.input = rest;
        for m in messages {
            let answer = self.answer(&m);
            self.got.push(m);
            if !answer.is_empty() {
                self.answers.push_back(answer);
            }
        }
    }

    fn read(&mut self) -> Option<Vec<u8>> {
        self.answers.pop_front().filter(|a| !a.is_empty())
    }

    fn cancel(&mut self, _order: &[u8]) {
        self.cancels += 1;
    }
}
