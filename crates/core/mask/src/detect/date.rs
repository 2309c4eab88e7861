//! Dates of birth: a date, and words of birth before it. Other dates are nobody's.

use super::context::Topics;
use super::number::{Place, Separator};
use super::view::Found;
use super::{Confidence, Detector};
use crate::transform::calendar::exists;

/// Years that somebody alive, or somebody in old records, may be born in.
const YEARS: std::ops::RangeInclusive<u32> = 1875..=2099;
/// How far before a year its month and day may begin, in bytes.
const NAMED_BYTES_MAX: usize = 28;
/// The most words of such a date.
const NAMED_WORDS_MAX: usize = 6;

/// A date in digits: `1984-07-09`, `09.07.1984`, `7/9/84`. Its groups are passed over when nobody was born.
pub(super) fn numeric(place: &Place<'_, '_>) -> Option<(usize, Option<Found>)> {
    let lengths = [0, 1, 2].map(|i| place.groups.length(place.group + i));
    let two = |l: usize| l == 1 || l == 2;
    let long_year = match lengths {
        [4, m, d] if two(m) && two(d) => true,
        [a, b, 4] if two(a) && two(b) => true,
        [a, b, 2] if two(a) && two(b) => false,
        _ => return None,
    };
    let separator = place.joined_by(3)?;
    if !matches!(separator, Separator::Dash | Separator::Dot | Separator::Slash) {
        return None;
    }
    // A fourth group makes it something else: an address, a version, a number of a person.
    if matches!(place.groups.separator(place.group + 3), Some(s) if s == separator || s == Separator::Dash || s == Separator::Dot)
    {
        return None;
    }
    let part = |i: usize| place.groups.digits(place.group + i, 1).iter().fold(0_u32, |n, d| n * 10 + u32::from(*d));
    let (a, b, c) = (part(0), part(1), part(2));
    let is_date = match lengths {
        [4, ..] => YEARS.contains(&a) && exists(a, b, c),
        _ if long_year => YEARS.contains(&c) && (exists(c, b, a) || exists(c, a, b)),
        _ => exists(2000, b, a) || exists(2000, a, b),
    };
    if !is_date {
        return None;
    }
    let born = place.topics_near().has(Topics::BIRTH);
    let found = born.then(|| place.found(3, Detector::BirthDate, Confidence::Likely).1);
    (born || long_year).then_some((3, found))
}

/// A date with the name of its month: `9 July 1984`, `July 9, 1984`, `9. Juli 1984`, `9 de julio de 1984`. The place is its year.
pub(super) fn named(place: &Place<'_, '_>) -> Option<(usize, Found)> {
    let year = place.digits(1);
    if year.len() != 4 || !YEARS.contains(&u32::try_from(super::checksum::number(year)).ok()?) {
        return None;
    }
    let at = place.groups.start(place.group);
    if !matches!(place.before(), Some(b' ' | b'-')) {
        return None;
    }
    let start = month_and_day(place.view, at)?;
    let topics = super::context::topics_near(place.view, start, place.hits);
    let (_, found) = place.found(1, Detector::BirthDate, Confidence::Likely);
    topics.has(Topics::BIRTH).then_some((1, Found { start, ..found }))
}

/// Where the month and the day before a year begin.
fn month_and_day(view: &super::view::View<'_>, year: usize) -> Option<usize> {
    let behind = view.behind(year);
    let behind = behind.get(behind.len().saturating_sub(NAMED_BYTES_MAX)..)?;
    let (mut end, mut month, mut day) = (behind.len(), false, false);
    for _ in 0..NAMED_WORDS_MAX {
        let gap = |b: &u8| matches!(b, b' ' | b',' | b'.' | b'-');
        end -= behind.get(..end)?.iter().rev().take_while(|b| gap(b)).count();
        let length = behind.get(..end)?.iter().rev().take_while(|b| !gap(b)).count();
        let word = behind.get(end - length..end)?;
        end -= length;
        let digits = word.iter().take_while(|b| b.is_ascii_digit()).count();
        match digits {
            0 if is_month(word) && !month => month = true,
            0 if matches!(word, b"de" | b"of" | b"del") => {}
            1 | 2 if !day && matches!(word.get(digits..)?, b"" | b"st" | b"nd" | b"rd" | b"th" | b"er") => day = true,
            _ => return None,
        }
        if month && day {
            return Some(year - (behind.len() - end));
        }
    }
    None
}

/// The beginnings of the months' names in several languages, in small letters.
const MONTHS: [&[u8]; 40] = [
    b"jan",
    b"feb",
    b"mar",
    b"apr",
    b"may",
    b"jun",
    b"jul",
    b"aug",
    b"sep",
    b"oct",
    b"nov",
    b"dec",
    b"januar",
    b"mai",
    b"okt",
    b"dez",
    b"janv",
    b"fev",
    "fév".as_bytes(),
    b"avr",
    b"juin",
    b"juil",
    "août".as_bytes(),
    "déc".as_bytes(),
    b"ene",
    b"abr",
    b"ago",
    b"dic",
    b"gen",
    b"mag",
    b"giu",
    b"lug",
    b"set",
    b"ott",
    "mär".as_bytes(),
    b"maa",
    b"mei",
    b"maj",
    b"out",
    b"maggio",
];
/// What may follow the beginning in a month's name.
const MONTH_BYTES_MAX: usize = 11;

fn is_month(word: &[u8]) -> bool {
    let begins = |m: &&[u8]| word.get(..m.len()).is_some_and(|w| w.eq_ignore_ascii_case(m));
    word.len() <= MONTH_BYTES_MAX
        && word.iter().all(|b| b.is_ascii_alphabetic() || *b >= 0x80)
        && MONTHS.iter().any(begins)
}
