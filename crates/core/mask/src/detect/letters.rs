//! Tokens of letters and digits: national numbers with letters, IBANs, and the beginnings of keys.

use super::checksum::{finnish_character, spanish_letter};
use super::national::{is_hetu_day, is_nino_prefix};
use super::scan::Sink;
use super::view::{AHEAD_BYTES_MAX, Found, View, is_word};
use super::{Confidence, Detector as D, address, key};

/// The longest token that is a number of a person or an account.
const TOKEN_BYTES_MAX: usize = 40;

/// Looks at the token around the digit at `at`.
pub(super) fn visit(view: &View<'_>, at: usize, sink: &mut Sink<'_>) -> Option<usize> {
    let end = view.run_end(at, AHEAD_BYTES_MAX, |b| b.is_ascii_alphanumeric());
    let start = view.run_start(at, TOKEN_BYTES_MAX, |b| b.is_ascii_alphanumeric());
    let found = start.and_then(|start| {
        // Other keys have anchors of their own.
        if (matches!(view.before(start), Some(b'-' | b'_')) || view.at(start) == Some(b'A'))
            && let Some(found) = key::known(view, at)
        {
            return Some(found);
        }
        // An underscore, or a dash or a dot with something before it, makes it a part of a longer name.
        let hangs = match view.before(start) {
            Some(b'_') => true,
            Some(b'-' | b'.') => view.before(start - 1).is_some_and(is_word),
            _ => false,
        };
        if let Some(f) = address::mac(view, start) {
            return Some(f);
        }
        if hangs || view.at(end) == Some(b'_') {
            return None;
        }
        token(view, start, end)
    });
    if let Some(found) = found {
        sink.push(view, &found);
        return Some(found.end);
    }
    Some(uuid(view, at, end).unwrap_or(end).max(at + 1))
}

/// A token that is a number with letters.
fn token(view: &View<'_>, start: usize, end: usize) -> Option<Found> {
    let t = view.slice(start..end);
    let certain = |d| Some(Found::new(start, end, d, Confidence::Certain));
    // A name that goes on after a dash is none, but for a check letter.
    let goes_on = view.at(end) == Some(b'-') && view.at(end + 1).is_some_and(|b| b.is_ascii_alphanumeric());
    if let Some(found) = iban(view, start, t) {
        return Some(found);
    }
    if goes_on {
        return nie_with_dashes(view, start, end);
    }
    match t.len() {
        9 if is_nif(t) => certain(D::EsNif),
        8 if is_nif(t) => Some(Found::new(start, end, D::EsNif, Confidence::Likely)),
        9 if is_nie(t) => certain(D::EsNie),
        9 if is_nino(t) => certain(D::UkNino),
        11 if is_hetu(t) => certain(D::FiHetu),
        16 if is_codice_fiscale(t) => certain(D::ItCodiceFiscale),
        _ => None,
    }
}

/// The digits of a text as a number; `None` when something else is in it.
fn digits(t: &[u8]) -> Option<u64> {
    t.iter().try_fold(0_u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')))
}

/// DNI: seven or eight digits and a letter.
fn is_nif(t: &[u8]) -> bool {
    t.split_last().is_some_and(|(letter, number)| {
        digits(number).is_some_and(|n| spanish_letter(n) == letter.to_ascii_uppercase())
    })
}

/// NIE: X, Y or Z stands for 0, 1 or 2.
fn is_nie(t: &[u8]) -> bool {
    let [prefix, number @ .., letter] = t else { return false };
    let Some(prefix) = b"XYZ".iter().position(|p| *p == prefix.to_ascii_uppercase()) else { return false };
    let prefix = u64::try_from(prefix).unwrap_or(0) * 10_000_000;
    digits(number).is_some_and(|n| number.len() == 7 && spanish_letter(prefix + n) == letter.to_ascii_uppercase())
}

/// `12345678-Z`, `X-1234567-L`.
fn nie_with_dashes(view: &View<'_>, start: usize, end: usize) -> Option<Found> {
    let letter = view.at(end + 1)?;
    if view.at(end + 2).is_some_and(is_word) {
        return None;
    }
    let mut t = view.slice(start..end).to_ascii_uppercase();
    t.push(letter);
    (t.len() == 9 && is_nie(&t)).then(|| Found::new(start, end + 2, D::EsNie, Confidence::Certain))
}

/// The same where the token is digits alone, which [`super::number`] reads.
pub(super) fn spanish_with_dash(view: &View<'_>, start: usize, end: usize) -> Option<Found> {
    let letter = match view.at(end)? {
        b'-' => view.at(end + 1)?,
        _ => return None,
    };
    if !letter.is_ascii_alphabetic() || view.at(end + 2).is_some_and(is_word) {
        return None;
    }
    let number = digits(view.slice(start..end))?;
    let right = |n| spanish_letter(n) == letter.to_ascii_uppercase();
    match end - start {
        8 if right(number) => Some(Found::new(start, end + 2, D::EsNif, Confidence::Certain)),
        7 if view.before(start) == Some(b'-') => {
            let prefix = view.before(start - 1)?;
            let value = b"XYZ".iter().position(|p| *p == prefix.to_ascii_uppercase())?;
            let alone = !view.before(start - 2).is_some_and(is_word);
            (alone && right(u64::try_from(value).ok()? * 10_000_000 + number))
                .then(|| Found::new(start - 2, end + 2, D::EsNie, Confidence::Certain))
        }
        _ => None,
    }
}

/// NINO: two letters, six digits, A to D.
fn is_nino(t: &[u8]) -> bool {
    let [a, b, number @ .., suffix] = t else { return false };
    is_nino_prefix(*a, *b) && digits(number).is_some() && matches!(suffix.to_ascii_uppercase(), b'A'..=b'D')
}

/// HETU with a letter for the century (Väestörekisterikeskus, 2023: more letters than the A of before).
fn is_hetu(t: &[u8]) -> bool {
    let [day @ .., century, n1, n2, n3, check] = t else { return false };
    let year = match century.to_ascii_uppercase() {
        b'A'..=b'F' => 2000,
        b'U'..=b'Y' => 1900,
        _ => return false,
    };
    let (Some(number), Some(order)) = (digits(day), digits(&[*n1, *n2, *n3])) else { return false };
    let day: Vec<u8> = day.iter().map(|b| b - b'0').collect();
    is_hetu_day(&day, year) && finnish_character(number * 1000 + order) == check.to_ascii_uppercase()
}

/// Codice fiscale: surname, name, year, month, day, municipality, check character. Letters may stand for digits where two people have the
/// same.
fn is_codice_fiscale(t: &[u8]) -> bool {
    const FORM: &[u8; 16] = b"AAAAAANNMNNANNNA";
    const ODD: &[u8; 26] =
        b"\x01\x00\x05\x07\x09\x0d\x0f\x11\x13\x15\x02\x04\x12\x14\x0b\x03\x06\x08\x0c\x0e\x10\x0a\x16\x19\x18\x17";
    let upper = t.to_ascii_uppercase();
    let fits = |(b, form): (&u8, &u8)| match form {
        b'A' => b.is_ascii_uppercase(),
        b'N' => b.is_ascii_digit() || matches!(b, b'L'..=b'N' | b'P'..=b'V'),
        _ => matches!(b, b'A'..=b'E' | b'H' | b'L' | b'M' | b'P' | b'R'..=b'T'),
    };
    let Some((check, body)) = upper.split_last() else { return false };
    let value = |(i, b): (usize, &u8)| {
        let v = if b.is_ascii_digit() { b - b'0' } else { b.saturating_sub(b'A') };
        if i % 2 == 0 { ODD.get(usize::from(v)).copied().map_or(0, u32::from) } else { u32::from(v) }
    };
    upper.len() == 16
        && upper.iter().zip(FORM).all(fits)
        && body.iter().enumerate().map(value).sum::<u32>() % 26 == u32::from(check - b'A')
}

/// An IBAN from the token on, compact or in groups of four.
fn iban(view: &View<'_>, start: usize, token: &[u8]) -> Option<Found> {
    let [a, b, c, d, ..] = token else { return None };
    let code = [a.to_ascii_uppercase(), b.to_ascii_uppercase()];
    if !(a.is_ascii_alphabetic() && b.is_ascii_alphabetic() && c.is_ascii_digit() && d.is_ascii_digit()) {
        return None;
    }
    let length = iban_length(code)?;
    let (mut end, mut count, mut rest) = (start, 0, 0_u32);
    let mut head = [0_u8; 4];
    while count < length {
        let byte = view.at(end)?;
        if count > 0 && count % 4 == 0 && matches!(byte, b' ' | b'-') && token.len() == 4 {
            end += 1;
            continue;
        }
        if !byte.is_ascii_alphanumeric() {
            return None;
        }
        match head.get_mut(count) {
            Some(slot) => *slot = byte,
            None => rest = mod_97(rest, byte),
        }
        (count, end) = (count + 1, end + 1);
    }
    let checked = head.iter().fold(rest, |r, b| mod_97(r, *b)) == 1;
    (checked && !view.at(end).is_some_and(is_word)).then(|| Found::new(start, end, D::Iban, Confidence::Certain))
}

/// ISO/IEC 7064 mod 97,10, one character on; letters are 10 to 35.
fn mod_97(rest: u32, byte: u8) -> u32 {
    match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte.to_ascii_uppercase().saturating_sub(b'A')) + 10) % 97,
    }
}

/// How many characters the IBANs of a country have (the SWIFT registry, release 99).
fn iban_length(code: [u8; 2]) -> Option<usize> {
    Some(match &code {
        b"NO" => 15,
        b"BE" => 16,
        b"DK" | b"FI" | b"FO" | b"GL" | b"NL" | b"SD" | b"FK" => 18,
        b"MK" | b"SI" => 19,
        b"AT" | b"BA" | b"EE" | b"KZ" | b"LT" | b"LU" | b"XK" | b"MN" => 20,
        b"CH" | b"CR" | b"HR" | b"LI" | b"LV" => 21,
        b"BG" | b"BH" | b"DE" | b"GB" | b"GE" | b"IE" | b"ME" | b"RS" | b"VA" => 22,
        b"AE" | b"GI" | b"IL" | b"IQ" | b"TL" | b"OM" | b"SO" => 23,
        b"AD" | b"CZ" | b"ES" | b"MD" | b"PK" | b"RO" | b"SA" | b"SE" | b"SK" | b"TN" | b"VG" => 24,
        b"LY" | b"PT" | b"ST" => 25,
        b"IS" | b"TR" => 26,
        b"DJ" | b"FR" | b"GR" | b"IT" | b"MC" | b"MR" | b"SM" | b"BI" => 27,
        b"AL" | b"AZ" | b"BY" | b"CY" | b"DO" | b"GT" | b"HN" | b"HU" | b"LB" | b"NI" | b"PL" | b"SV" => 28,
        b"BR" | b"EG" | b"PS" | b"QA" | b"UA" => 29,
        b"JO" | b"KW" | b"MU" | b"YE" => 30,
        b"MT" | b"SC" => 31,
        b"LC" => 32,
        b"RU" => 33,
        _ => return None,
    })
}

/// Where a UUID around a token ends, so that none of its parts is taken for something else.
fn uuid(view: &View<'_>, at: usize, end: usize) -> Option<usize> {
    let start = view.run_start(at, 8, |b| b.is_ascii_hexdigit())?;
    let text = view.slice(start..start + 36);
    let fits = |(i, b): (usize, &u8)| if matches!(i, 8 | 13 | 18 | 23) { *b == b'-' } else { b.is_ascii_hexdigit() };
    (end - start == 8 && text.len() == 36 && text.iter().enumerate().all(fits)).then_some(start + 36)
}
