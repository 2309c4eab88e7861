//! Errors and notices while masked data is at hand: the target's texts may quote values, so only texts of our own are told, with the
//! SQLSTATE, the place in the client's own text, and names of relations.
//!
//! Source: PostgreSQL documentation, "Error and Notice Message Fields" and appendix "PostgreSQL Error Codes".

use bytes::{BufMut, Bytes, BytesMut};
use countersign_mask::{ContentPlan, Counts, Masker, Scratch};

use crate::wire::{self, Fields};

/// Fields that hold no value: severity twice, SQLSTATE, position, schema, table, column, type, constraint, file, line, routine.
const KEPT: &[u8] = b"SVCPstcdnFLR";

/// What is said for a SQLSTATE.
const WORDS: &[(&str, &str)] = &[
    ("22001", "value too long for its type"),
    ("22003", "value out of range"),
    ("22007", "invalid date or time format"),
    ("22008", "date or time out of range"),
    ("2200C", "invalid use of an escape character"),
    ("2201B", "invalid regular expression"),
    ("22012", "division by zero"),
    ("22021", "invalid byte sequence for the encoding"),
    ("22023", "invalid parameter value"),
    ("2202E", "array dimensions do not match"),
    ("22025", "invalid escape sequence"),
    ("22032", "invalid JSON text"),
    ("22P02", "invalid input syntax"),
    ("22P03", "invalid binary format"),
    ("22P05", "untranslatable character"),
    ("21000", "more than one row returned by a subquery used as an expression"),
    ("23502", "null value violates a not-null constraint"),
    ("23503", "a foreign key constraint is violated"),
    ("23505", "a unique constraint is violated"),
    ("23514", "a check constraint is violated"),
    ("23P01", "an exclusion constraint is violated"),
    ("25P02", "current transaction is aborted, commands ignored until end of transaction block"),
    ("2D000", "invalid transaction termination"),
    ("40001", "could not serialize access"),
    ("40P01", "deadlock detected"),
    ("42501", "permission denied"),
    ("42601", "syntax error"),
    ("42703", "column does not exist"),
    ("42804", "types do not match"),
    ("42883", "function or operator does not exist"),
    ("42P01", "relation does not exist"),
    ("42P18", "a type could not be determined"),
    ("53100", "the target's disk is full"),
    ("53200", "the target is out of memory"),
    ("53300", "the target has too many connections"),
    ("54000", "a limit of the target was exceeded"),
    ("54001", "statement too complex"),
    ("55P03", "lock not available"),
    ("57014", "canceling statement due to timeout or user request"),
    ("57P01", "terminating connection due to administrator command"),
    ("57P02", "terminating connection because of crash of another server process"),
    ("57P05", "terminating connection due to idle-session timeout"),
    ("25P03", "terminating connection due to idle-in-transaction timeout"),
    ("P0001", "an exception was raised"),
    ("P0002", "query returned no rows"),
    ("P0003", "query returned more than one row"),
    ("P0004", "an assertion failed"),
];

/// The same for classes of SQLSTATEs.
const CLASSES: &[(&str, &str)] = &[
    ("00", "a notice of the target"),
    ("01", "a warning of the target"),
    ("02", "no data"),
    ("08", "connection exception"),
    ("21", "cardinality violation"),
    ("22", "a value cannot be processed"),
    ("23", "an integrity constraint is violated"),
    ("25", "invalid transaction state"),
    ("28", "invalid authorization"),
    ("34", "invalid cursor name"),
    ("40", "transaction rollback"),
    ("42", "the statement is not valid"),
    ("44", "a check option is violated"),
    ("53", "insufficient resources"),
    ("54", "a limit of the target was exceeded"),
    ("55", "the object is not in the state that is needed"),
    ("57", "operator intervention"),
    ("58", "system error of the target"),
    ("P0", "an error in a procedure"),
];

/// Said ahead of a reader who wonders where the text is.
const DETAIL: &str = "Countersign leaves out the target's own words here, because they may quote masked data.";

fn words(state: &str) -> &'static str {
    let find = |table: &[(&str, &'static str)], key: &str| table.iter().find(|(k, _)| *k == key).map(|(_, text)| *text);
    find(WORDS, state).or_else(|| find(CLASSES, state.get(..2)?)).unwrap_or("an error of the target")
}

/// An `ErrorResponse` or `NoticeResponse` without the target's words.
pub(crate) fn redacted(tag: u8, frame: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(frame.len() + DETAIL.len());
    wire::frame(&mut out, tag, |b| {
        let mut f = Fields::of(frame);
        while let Some(kind) = f.u8().filter(|k| *k != 0) {
            let Some(text) = f.cstr() else { break };
            if KEPT.contains(&kind) {
                b.put_u8(kind);
                b.put_slice(text);
                b.put_u8(0);
            }
        }
        for (kind, text) in [(b'M', words(wire::error_code(frame).unwrap_or_default())), (b'D', DETAIL)] {
            b.put_u8(kind);
            wire::put_cstr(b, text);
        }
        b.put_u8(0);
    });
    out.freeze()
}

/// The same frame with what is looked for masked in its words; `None` when nothing was found.
pub(crate) fn searched(masker: &Masker, plan: &ContentPlan, tag: u8, frame: &[u8]) -> Option<Bytes> {
    let (mut scratch, mut counts, mut changed) = (Scratch::default(), Counts::default(), false);
    let mut out = BytesMut::with_capacity(frame.len());
    wire::frame(&mut out, tag, |b| {
        let mut f = Fields::of(frame);
        while let Some(kind) = f.u8().filter(|k| *k != 0) {
            let Some(text) = f.cstr() else { break };
            let mut masked = Vec::new();
            let found =
                !KEPT.contains(&kind) && masker.mask_text(plan, text, b"", &mut scratch, &mut masked, &mut counts);
            changed |= found;
            b.put_u8(kind);
            b.put_slice(if found { &masked } else { text });
            b.put_u8(0);
        }
        b.put_u8(0);
    });
    changed.then(|| out.freeze())
}

/// The same frame without its detail, for an error that quotes a whole row there; `None` for any other.
pub(crate) fn without_row(tag: u8, frame: &[u8]) -> Option<Bytes> {
    if !matches!(wire::error_code(frame), Some("23502" | "23514")) {
        return None;
    }
    let mut out = BytesMut::with_capacity(frame.len());
    wire::frame(&mut out, tag, |b| {
        let mut f = Fields::of(frame);
        while let Some(kind) = f.u8().filter(|k| *k != 0) {
            let Some(text) = f.cstr() else { break };
            if kind != b'D' {
                b.put_u8(kind);
                b.put_slice(text);
                b.put_u8(0);
            }
        }
        b.put_u8(0);
    });
    Some(out.freeze())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn frame(fields: &[&str]) -> Vec<u8> {
        let mut out = BytesMut::new();
        wire::frame(&mut out, b'E', |b| {
            for field in fields {
                wire::put_cstr(b, field);
            }
            b.put_u8(0);
        });
        out.to_vec()
    }

    #[test]
    fn adv_036_only_our_own_words_are_told() {
        let told = redacted(
            b'E',
            &frame(&[
                "SERROR",
                "VERROR",
                "C22P02",
                "Minvalid input syntax for type integer: \"ana@example.com\"",
                "Dana@example.com",
                "Hana@example.com",
                "P8",
                "p3",
                "qselect 'ana@example.com'",
                "Wana@example.com",
                "tcustomers",
                "Rpg_strtoint32",
            ]),
        );
        let text = String::from_utf8_lossy(&told);
        assert!(!text.contains("ana@"), "{text}");
        for kept in ["SERROR\0", "C22P02\0", "P8\0", "tcustomers\0", "Minvalid input syntax\0"] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }

    #[test]
    fn every_state_has_words() {
        for (state, said) in [
            ("22012", "division by zero"),
            ("22ZZZ", "a value cannot be processed"),
            ("ZZ000", "an error of the target"),
            ("", "an error of the target"),
        ] {
            assert_eq!(words(state), said);
        }
    }

    #[test]
    fn a_failing_row_is_not_quoted() {
        let told =
            without_row(b'E', &frame(&["SERROR", "C23514", "Mnew row violates", "DFailing row contains (x)"])).unwrap();
        let text = String::from_utf8_lossy(&told);
        assert!(!text.contains("Failing") && text.contains("Mnew row violates"));
        assert!(without_row(b'E', &frame(&["SERROR", "C23505", "DKey (a)=(b) already exists."])).is_none());
    }
}
