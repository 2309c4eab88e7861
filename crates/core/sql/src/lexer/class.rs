//! What a byte may be part of.

pub(super) const SPACE: u8 = 1;
pub(super) const IDENT_START: u8 = 2;
pub(super) const IDENT: u8 = 4;
pub(super) const DIGIT: u8 = 8;
pub(super) const OPERATOR: u8 = 16;
/// An operator with one of these may end in `+` or `-`.
pub(super) const OPERATOR_STRONG: u8 = 32;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut i = 0usize;
    while i < 256 {
        let b = i as u8;
        let mut class = 0;
        if matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0c | 0x0b) {
            class |= SPACE;
        }
        if b.is_ascii_alphabetic() || b == b'_' || b >= 0x80 {
            class |= IDENT_START | IDENT;
        }
        if b.is_ascii_digit() {
            class |= DIGIT | IDENT;
        }
        if b == b'$' {
            class |= IDENT;
        }
        if matches!(b, b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'%') {
            class |= OPERATOR | OPERATOR_STRONG;
        }
        if matches!(b, b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=') {
            class |= OPERATOR;
        }
        #[allow(clippy::indexing_slicing)] // i < 256
        {
            table[i] = class;
        }
        i += 1;
    }
    table
}

pub(super) fn class(b: u8) -> u8 {
    CLASS.get(usize::from(b)).copied().unwrap_or(0)
}

pub(super) fn is(b: Option<u8>, wanted: u8) -> bool {
    b.is_some_and(|b| class(b) & wanted != 0)
}
