//! National numbers that are digits alone.
//!
//! A number whose form many others have (nine digits with one check digit) counts only with words before it, or as merely possible.

use super::Confidence::{Certain, Likely, Possible};
use super::Detector as D;
use super::checksum::{ean_13, finnish_character, is_monotone, luhn, mod_11_10, number as value, verhoeff, weighted};
use super::context::Topics;
use super::number::{Place, Separator};
use super::view::{Found, is_word};
use super::{Confidence, Detector};
use crate::transform::calendar::exists;

type Form = Option<(usize, Found)>;

/// A national number at a place.
pub(super) fn number(place: &Place<'_, '_>) -> Form {
    match place.groups.length(place.group) {
        1 => fr_nir(place, 7),
        2 => nino(place).or_else(|| belgian(place, 5)).or_else(|| cnpj(place, 5)).or_else(|| steuer_id(place, 4)),
        3 => match place.groups.length(place.group + 1) {
            2 => ssn(place, 3),
            3 => cpf(place, 4).or_else(|| nhs(place, 3)).or_else(|| nine(place, 3)),
            4 => ahv(place, 4),
            _ => None,
        },
        4 => aadhaar(place, 3),
        6 => hetu(place).or_else(|| swedish(place, 2)).or_else(|| belgian(place, 3)),
        8 => swedish(place, 2),
        9 => nine(place, 1).or_else(|| ssn(place, 1)).or_else(|| cpf(place, 2)),
        10 => swedish(place, 1).or_else(|| nhs(place, 1)),
        11 => steuer_id(place, 1).or_else(|| belgian(place, 1)).or_else(|| pesel(place)).or_else(|| cpf(place, 1)),
        12 => swedish(place, 1).or_else(|| aadhaar(place, 1)),
        13 => fr_nir(place, 2).or_else(|| ahv(place, 1)),
        14 => cnpj(place, 1),
        15 => fr_nir(place, 1),
        _ => None,
    }
}

/// True when the place has these groups, joined by one of these separators (the same between all), and ends there.
fn grouped(place: &Place<'_, '_>, lengths: &[usize], by: &[Separator]) -> bool {
    place.shaped(lengths)
        && place.groups.ends_at(place.group + lengths.len() - 1)
        && (lengths.len() == 1 || place.joined_by(lengths.len()).is_some_and(|s| by.contains(&s)))
}

/// The same with a separator of its own before each group but the first.
fn separated(place: &Place<'_, '_>, lengths: &[usize], by: &[Separator]) -> bool {
    let fits = |(i, s): (usize, &Separator)| place.groups.separator(place.group + i + 1) == Some(*s);
    place.shaped(lengths) && by.iter().enumerate().all(fits) && place.groups.ends_at(place.group + lengths.len() - 1)
}

/// As sure as its form is rare; a form that many things have is sure where words name it. Words are looked for only then.
fn given(place: &Place<'_, '_>, topic: Topics, otherwise: Confidence) -> Confidence {
    if otherwise == Possible && place.topics().has(topic) { Certain } else { otherwise }
}

const SPACE_DASH: &[Separator] = &[Separator::Space, Separator::Dash];

/// Social Security Administration: no area 000, 666 or 9xx, no group 00, no serial 0000; two that were printed in advertisements.
fn ssn(place: &Place<'_, '_>, n: usize) -> Form {
    let digits = place.digits(n);
    let fits = match n {
        3 => grouped(place, &[3, 2, 4], &[Separator::Dash, Separator::Space, Separator::Dot]),
        _ => grouped(place, &[9], &[]),
    };
    let [a @ .., g1, g2, s1, s2, s3, s4] = digits else { return None };
    if !fits {
        return None;
    }
    let (area, serial) = (value(a), value(&[*s1, *s2, *s3, *s4]));
    let advertised = matches!(value(digits), 78_051_120 | 219_099_999 | 123_456_789);
    if matches!(area, 0 | 666 | 900..) || (*g1, *g2) == (0, 0) || serial == 0 || advertised || is_monotone(digits) {
        return None;
    }
    let otherwise = match place.joined_by(n) {
        _ if n == 1 => Possible,
        Some(Separator::Dash) => Certain,
        _ => Likely,
    };
    Some(place.found(n, D::UsSsn, given(place, Topics::SSN, otherwise)))
}

/// Nine digits: Canadian SIN, Dutch BSN, Australian TFN.
fn nine(place: &Place<'_, '_>, n: usize) -> Form {
    let by = place.joined_by(n);
    let fits = match n {
        1 => grouped(place, &[9], &[]),
        _ => grouped(place, &[3, 3, 3], &[Separator::Space, Separator::Dash, Separator::Dot]),
    };
    let digits = place.digits(n);
    let [first, ..] = digits else { return None };
    if !fits || is_monotone(digits) {
        return None;
    }
    let sin = luhn(digits) && !matches!(first, 0 | 8) && by != Some(Separator::Dot);
    let bsn = {
        let [front @ .., last] = digits else { return None };
        let sum = weighted(front, &[9, 8, 7, 6, 5, 4, 3, 2]);
        sum % 11 == u32::from(*last)
    };
    let tfn = weighted(digits, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11) && by != Some(Separator::Dot);
    if !(sin || bsn || tfn) {
        return None;
    }
    let topics = place.topics();
    let named = [(bsn, Topics::BSN, D::NlBsn), (sin, Topics::SIN, D::CaSin), (tfn, Topics::TFN, D::AuTfn)];
    if let Some((_, _, d)) = named.iter().find(|(is, topic, _)| *is && topics.has(*topic)) {
        return Some(place.found(n, *d, Certain));
    }
    if topics.has(Topics::SSN) && n == 1 {
        return None;
    }
    // Dashes are how a SIN is written, and hardly anything else.
    let otherwise = if sin && by == Some(Separator::Dash) { Likely } else { Possible };
    let detector = if sin {
        D::CaSin
    } else if bsn {
        D::NlBsn
    } else {
        D::AuTfn
    };
    Some(place.found(n, detector, otherwise))
}

/// INSEE: sex, year, month, place, order, and 97 less the rest.
fn fr_nir(place: &Place<'_, '_>, n: usize) -> Form {
    let fits = match n {
        7 => grouped(place, &[1, 2, 2, 2, 3, 3, 2], &[Separator::Space, Separator::Dot, Separator::Dash]),
        2 => grouped(place, &[13, 2], SPACE_DASH),
        _ => grouped(place, &[15], &[]),
    };
    let digits = place.digits(n);
    let [sex @ (1 | 2 | 3 | 4 | 7 | 8), _, _, m1, m2, ..] = digits else { return None };
    let month = m1 * 10 + m2;
    let (body, key) = (digits.get(..13)?, digits.get(13..15)?);
    let checks = fits && *sex > 0 && matches!(month, 1..=12 | 20..=42 | 50..=99) && 97 - value(body) % 97 == value(key);
    checks.then(|| place.found(n, D::FrNir, given(place, Topics::NIR, Likely)))
}

/// Bundeszentralamt: no leading zero; of the first ten digits one comes two or three times, the others once at most.
fn steuer_id(place: &Place<'_, '_>, n: usize) -> Form {
    let fits = match n {
        4 => grouped(place, &[2, 3, 3, 3], &[Separator::Space, Separator::Slash, Separator::Dash]),
        _ => grouped(place, &[11], &[]),
    };
    let digits = place.digits(n);
    let mut seen = [0_u8; 10];
    for d in digits.get(..10)? {
        *seen.get_mut(usize::from(*d))? += 1;
    }
    let repeated = seen.iter().filter(|s| **s > 1).count();
    let fits =
        fits && digits.len() == 11 && digits.first() != Some(&0) && repeated == 1 && seen.iter().all(|s| *s <= 3);
    (fits && mod_11_10(digits)).then(|| place.found(n, D::DeSteuerId, given(place, Topics::STEUER, Likely)))
}

/// NHS: mod 11. Telephone numbers have its form, so one that dials needs words.
fn nhs(place: &Place<'_, '_>, n: usize) -> Form {
    let fits = if n == 3 { grouped(place, &[3, 3, 4], SPACE_DASH) } else { grouped(place, &[10], &[]) };
    let digits = place.digits(n);
    if !fits || digits.len() != 10 {
        return None;
    }
    let (front, last) = (digits.get(..9)?, digits.get(9)?);
    let check = (11 - weighted(front, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 11;
    if check != u32::from(*last) || is_monotone(digits) {
        return None;
    }
    let otherwise = match place.joined_by(n) {
        Some(Separator::Space) if n > 1 && !place.topics().has(Topics::PHONE) => Likely,
        _ => Possible,
    };
    let confidence = given(place, Topics::NHS, otherwise);
    (confidence > Possible || n == 1).then(|| place.found(n, D::UkNhs, confidence))
}

/// PESEL: the day of birth with the century in the month, and a check digit.
fn pesel(place: &Place<'_, '_>) -> Form {
    let digits = place.digits(1);
    let [y1, y2, m1, m2, d1, d2, ..] = digits else { return None };
    let (month, day) = (u32::from(m1 * 10 + m2), u32::from(d1 * 10 + d2));
    let century = [1900, 2000, 2100, 2200, 1800].get(usize::try_from(month / 20).ok()?)?;
    let year = century + u32::from(y1 * 10 + y2);
    let sum = weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
    let fits = grouped(place, &[11], &[]) && exists(year, month % 20, day) && sum.is_multiple_of(10);
    fits.then(|| place.found(1, D::PlPesel, given(place, Topics::PESEL, Likely)))
}

/// Rijksregister: the day of birth, an order number, and 97 less the rest; from 2000 on a two stands before it.
fn belgian(place: &Place<'_, '_>, n: usize) -> Form {
    use Separator::{Dash, Dot, Space};
    let fits = match n {
        5 => {
            separated(place, &[2, 2, 2, 3, 2], &[Dot, Dot, Dash, Dot])
                || grouped(place, &[2, 2, 2, 3, 2], &[Space, Dot, Dash])
        }
        3 => grouped(place, &[6, 3, 2], &[Space, Dash]) || separated(place, &[6, 3, 2], &[Dash, Dot]),
        _ => grouped(place, &[11], &[]),
    };
    let digits = place.digits(n);
    let [_, _, m1, m2, d1, d2, ..] = digits else { return None };
    let (month, day) = (u32::from(m1 * 10 + m2) % 20, u32::from(d1 * 10 + d2));
    let (body, key) = (value(digits.get(..9)?), value(digits.get(9..11)?));
    let checks = 97 - body % 97 == key || 97 - (2_000_000_000 + body) % 97 == key;
    // Only those who are registered as foreigners without a known day of birth have zeros there.
    let dated = exists(2000, month, day);
    (fits && dated && checks).then(|| place.found(n, D::BeNational, given(place, Topics::BELGIAN, Likely)))
}

/// Skatteverket: the day of birth (plus 60 for coordination numbers), an order number, Luhn over the last ten.
fn swedish(place: &Place<'_, '_>, n: usize) -> Form {
    let first = place.groups.length(place.group);
    let fits = match n {
        2 => grouped(place, &[first, 4], &[Separator::Dash]),
        _ => grouped(place, &[first], &[]),
    };
    if !fits {
        return None;
    }
    let digits = place.digits(n);
    let ten = digits.get(digits.len().checked_sub(10)?..)?;
    let century = value(digits.get(..digits.len() - 10)?);
    let [y1, y2, m1, m2, d1, d2, ..] = ten else { return None };
    let (month, day) = (u32::from(m1 * 10 + m2), u32::from(d1 * 10 + d2));
    let dated = exists(2000 + u32::from(y1 * 10 + y2), month, if day > 60 { day - 60 } else { day });
    if !dated || !matches!(century, 0 | 18..=20) || !luhn(ten) {
        return None;
    }
    let otherwise = if n == 2 || digits.len() == 12 { Likely } else { Possible };
    Some(place.found(n, D::SePersonnummer, given(place, Topics::SWEDISH, otherwise)))
}

/// HETU with a dash or a plus: `131052-308T`. With a letter instead it is a token of its own: see [`super::letters`].
fn hetu(place: &Place<'_, '_>) -> Form {
    // The last group is glued to the check character, or ends with it.
    let digits = place.digits(2);
    let end = place.groups.end(place.group + 1);
    let fits = place.shaped(&[6, 3]) || place.shaped(&[6, 4]);
    if !fits || place.joined_by(2) != Some(Separator::Dash) || !is_hetu_day(digits.get(..6)?, 1900) {
        return None;
    }
    let number = value(digits.get(..9)?);
    let (check, end) = match digits.get(9) {
        Some(d) => (b'0' + d, end),
        None => (place.view.at(end)?.to_ascii_uppercase(), end + 1),
    };
    let alone = !place.view.at(end).is_some_and(is_word);
    let start = place.groups.start(place.group);
    (alone && check == finnish_character(number)).then(|| (2, Found::new(start, end, D::FiHetu, Certain)))
}

/// True when six digits are a day, written day first.
pub(super) fn is_hetu_day(digits: &[u8], century: u32) -> bool {
    let [d1, d2, m1, m2, y1, y2] = digits else { return false };
    exists(century + u32::from(y1 * 10 + y2), u32::from(m1 * 10 + m2), u32::from(d1 * 10 + d2))
}

/// Receita Federal: two check digits mod 11.
fn cpf(place: &Place<'_, '_>, n: usize) -> Form {
    use Separator::{Dash, Dot};
    let fits = match n {
        4 => separated(place, &[3, 3, 3, 2], &[Dot, Dot, Dash]),
        2 => grouped(place, &[9, 2], &[Dash]),
        _ => grouped(place, &[11], &[]),
    };
    let digits = place.digits(n);
    let check = |upto: usize| {
        let weights = [11, 10, 9, 8, 7, 6, 5, 4, 3, 2];
        let sum = digits.get(..upto).map(|d| weighted(d, weights.get(10 - upto..).unwrap_or_default()));
        let check = sum.map(|s| match s % 11 {
            0 | 1 => 0,
            r => 11 - r,
        });
        check == digits.get(upto).map(|d| u32::from(*d))
    };
    let checks = fits && digits.len() == 11 && !is_monotone(digits) && check(9) && check(10);
    checks.then(|| place.found(n, D::BrCpf, given(place, Topics::CPF, if n == 1 { Possible } else { Certain })))
}

/// The same for companies and sole traders.
fn cnpj(place: &Place<'_, '_>, n: usize) -> Form {
    use Separator::{Dash, Dot, Slash};
    let fits = match n {
        5 => separated(place, &[2, 3, 3, 4, 2], &[Dot, Dot, Slash, Dash]),
        _ => grouped(place, &[14], &[]),
    };
    let digits = place.digits(n);
    let check = |upto: usize| {
        let weights = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2];
        let sum = digits.get(..upto).map(|d| weighted(d, weights.get(13 - upto..).unwrap_or_default()));
        let check = sum.map(|s| match s % 11 {
            0 | 1 => 0,
            r => 11 - r,
        });
        check == digits.get(upto).map(|d| u32::from(*d))
    };
    let checks = fits && digits.len() == 14 && !is_monotone(digits) && check(12) && check(13);
    checks.then(|| place.found(n, D::BrCnpj, given(place, Topics::CNPJ, if n == 1 { Possible } else { Certain })))
}

/// UIDAI: no leading 0 or 1, Verhoeff.
fn aadhaar(place: &Place<'_, '_>, n: usize) -> Form {
    let fits = if n == 3 { grouped(place, &[4, 4, 4], SPACE_DASH) } else { grouped(place, &[12], &[]) };
    // A fourth group of four makes it a card.
    let longer = n == 3 && place.groups.length(place.group + 3) == 4;
    let digits = place.digits(n);
    let fits = fits && !longer && digits.len() == 12 && !matches!(digits.first(), Some(0 | 1)) && !is_monotone(digits);
    let otherwise = if n == 3 { Likely } else { Possible };
    (fits && verhoeff(digits)).then(|| place.found(n, D::InAadhaar, given(place, Topics::AADHAAR, otherwise)))
}

/// Swiss AHV: 756, EAN-13.
fn ahv(place: &Place<'_, '_>, n: usize) -> Form {
    let fits = if n == 4 {
        grouped(place, &[3, 4, 4, 2], &[Separator::Dot, Separator::Space])
    } else {
        grouped(place, &[13], &[])
    };
    let digits = place.digits(n);
    (fits && digits.starts_with(&[7, 5, 6]) && ean_13(digits)).then(|| place.found(n, D::ChAhv, Certain))
}

/// `AB 12 34 56 C`: the letters are around the groups.
fn nino(place: &Place<'_, '_>) -> Form {
    if !place.shaped(&[2, 2, 2]) || !matches!(place.joined_by(3)?, Separator::Space | Separator::Dash) {
        return None;
    }
    let (start, end) = (place.groups.start(place.group), place.groups.end(place.group + 2));
    let view = place.view;
    let (Some(b' ' | b'-'), Some(b' ' | b'-')) = (view.before(start), view.at(end)) else { return None };
    let (a, b) = (view.before(start.checked_sub(2)?)?, view.before(start - 1)?);
    let suffix = view.at(end + 1)?;
    let alone = !view.before(start - 3).is_some_and(is_word) && !view.at(end + 2).is_some_and(is_word);
    (alone && is_nino_prefix(a, b) && matches!(suffix.to_ascii_uppercase(), b'A'..=b'D'))
        .then(|| (3, Found::new(start - 3, end + 2, Detector::UkNino, Certain)))
}

/// HMRC: no D, F, I, Q, U, V in the prefix, no O as its second letter, and some that are not given out.
pub(super) fn is_nino_prefix(a: u8, b: u8) -> bool {
    let (a, b) = (a.to_ascii_uppercase(), b.to_ascii_uppercase());
    let letter = |x: u8| x.is_ascii_uppercase() && !matches!(x, b'D' | b'F' | b'I' | b'Q' | b'U' | b'V');
    letter(a) && letter(b) && b != b'O' && !matches!(&[a, b], b"BG" | b"GB" | b"KN" | b"NK" | b"NT" | b"TN" | b"ZZ")
}
