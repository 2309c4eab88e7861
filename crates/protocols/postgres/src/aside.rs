//! What the machine tells a client in its own process beside the protocol: which cells were masked, and that a statement waits for people.
//! It stands in frames with a tag that no target may send, in order with everything else.
//!
//! A client that came over a network is never told any of it, because it would not understand it.

use bytes::{BufMut, BytesMut};

use crate::wire::{self, Fields};

/// The tag of such frames. The protocol has no message with it.
pub const TAG: u8 = b'm';

const COLUMNS: u8 = b'c';
const CELLS: u8 = b'x';
const HELD: u8 = b'h';

/// A column of a result whose values may be masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedColumn {
    /// Which, from 0.
    pub column: u16,
    /// The tags for which it is; none where its content is looked at.
    pub tags: Vec<String>,
    /// The transform, or `content` where what is found in a value is masked.
    pub how: String,
}

/// Something that is told aside. Statements count from 0 within the text that was sent, rows within the result of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aside {
    /// Which columns of a statement's result may be masked; nothing is told of one without any.
    Columns {
        /// The statement.
        statement: u32,
        /// The columns.
        columns: Vec<MaskedColumn>,
    },
    /// Cells that are not as they are stored.
    Cells {
        /// The statement.
        statement: u32,
        /// Row and column of each.
        cells: Vec<(u32, u16)>,
    },
    /// The statement waits for people.
    Held {
        /// The review.
        review: String,
        /// Who must say yes.
        reviewers: String,
        /// Seconds until it is over.
        left_s: u64,
    },
}

impl Aside {
    /// Appends it as a frame.
    pub(crate) fn put(&self, out: &mut BytesMut) {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        wire::frame(out, TAG, |b| match self {
            Self::Columns { statement, columns } => {
                b.put_u8(COLUMNS);
                b.put_u32(*statement);
                b.put_u32(count(columns.len()));
                for column in columns {
                    b.put_u16(column.column);
                    b.put_u32(count(column.tags.len()));
                    column.tags.iter().for_each(|tag| wire::put_cstr(b, tag));
                    wire::put_cstr(b, &column.how);
                }
            }
            Self::Cells { statement, cells } => {
                b.put_u8(CELLS);
                b.put_u32(*statement);
                b.put_u32(count(cells.len()));
                for (row, column) in cells {
                    b.put_u32(*row);
                    b.put_u16(*column);
                }
            }
            Self::Held { review, reviewers, left_s } => {
                b.put_u8(HELD);
                b.put_u64(*left_s);
                wire::put_cstr(b, review);
                wire::put_cstr(b, reviewers);
            }
        });
    }

    /// Reads the body of a frame with [`TAG`]; `None` when it is not as it should be.
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut f = Fields(body);
        let aside = match f.u8()? {
            COLUMNS => {
                let statement = unsigned(&mut f)?;
                let count = unsigned(&mut f)?;
                let mut columns = Vec::new();
                for _ in 0..count {
                    let column = u16::from_be_bytes(f.i16()?.to_be_bytes());
                    let mut tags = Vec::new();
                    for _ in 0..unsigned(&mut f)? {
                        tags.push(text(&mut f)?);
                    }
                    columns.push(MaskedColumn { column, tags, how: text(&mut f)? });
                }
                Self::Columns { statement, columns }
            }
            CELLS => {
                let statement = unsigned(&mut f)?;
                let count = unsigned(&mut f)?;
                let mut cells = Vec::new();
                for _ in 0..count {
                    cells.push((unsigned(&mut f)?, u16::from_be_bytes(f.i16()?.to_be_bytes())));
                }
                Self::Cells { statement, cells }
            }
            HELD => {
                let left_s = u64::from_be_bytes(f.bytes(8)?.try_into().ok()?);
                Self::Held { left_s, review: text(&mut f)?, reviewers: text(&mut f)? }
            }
            _ => return None,
        };
        f.0.is_empty().then_some(aside)
    }
}

fn unsigned(f: &mut Fields<'_>) -> Option<u32> {
    f.i32().map(|n| u32::from_be_bytes(n.to_be_bytes()))
}

fn text(f: &mut Fields<'_>) -> Option<String> {
    f.cstr().and_then(|s| String::from_utf8(s.to_vec()).ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::wire::HEADER_BYTES;

    #[test]
    fn what_is_told_is_read_and_nothing_else() {
        let column = |column, tags: &[&str], how: &str| MaskedColumn {
            column,
            tags: tags.iter().map(|t| (*t).to_owned()).collect(),
            how: how.to_owned(),
        };
        let held = Aside::Held { review: "01J".to_owned(), reviewers: "2 of dbas".to_owned(), left_s: u64::MAX };
        for aside in [
            Aside::Columns { statement: 0, columns: Vec::new() },
            Aside::Columns {
                statement: 7,
                columns: vec![column(0, &["pii.email", "pii"], "hash"), column(65_535, &[], "content")],
            },
            Aside::Cells { statement: 1, cells: vec![(0, 0), (u32::MAX, u16::MAX)] },
            held,
        ] {
            let mut out = BytesMut::new();
            aside.put(&mut out);
            let head = wire::head(&out).unwrap().unwrap();
            assert_eq!((head.tag, head.frame_bytes), (TAG, out.len()));
            let body = &out[HEADER_BYTES..];
            assert_eq!(Aside::read(body), Some(aside.clone()));
            for n in 0..body.len() {
                assert_eq!(Aside::read(&body[..n]), None, "{aside:?} cut at {n}");
            }
            assert_eq!(Aside::read(&[body, b"x"].concat()), None, "{aside:?}");
        }
        // A count that lies makes nothing be reserved for what is not there.
        assert_eq!(Aside::read(b"x\0\0\0\0\xff\xff\xff\xff"), None);
        assert_eq!(Aside::read(b"?"), None);
    }
}
