//! Telephone numbers: international (ITU-T E.164) and the national forms that people write.
//!
//! Digits alone are no telephone number: without a form of their own they need words before them.

use super::Confidence::{Certain, Likely};
use super::context::Topics;
use super::number::{Place, Separator};
use super::view::Found;
use super::{Confidence, Detector};

/// The most digits of a number (E.164, section 6).
const DIGITS_MAX: usize = 15;
/// The fewest that words alone make a telephone number.
const DIGITS_MIN: usize = 7;
/// The most groups that people write.
const GROUPS_MAX: usize = 7;

/// After a plus: a country's code and as many digits as the country has.
pub(super) fn international(place: &Place<'_, '_>) -> Option<(usize, Found)> {
    let (n, _) = taken(place, 0)?;
    let (_, found) = place.found(n, Detector::Phone, Certain);
    Some((n, Found { start: found.start - 1, ..found }))
}

/// How many groups make an international number whose country code stands after `skip` digits, and how many digits.
fn taken(place: &Place<'_, '_>, skip: usize) -> Option<(usize, usize)> {
    let all = place.digits(GROUPS_MAX.min(place.groups.count() - place.group));
    let (code, least, most) = country(all.get(skip..)?)?;
    let mut best = None;
    let mut trunk = 0;
    for n in 1..=GROUPS_MAX.min(place.groups.count() - place.group) {
        // `(0)` is dialled only within the country.
        if n > 1
            && place.groups.digits(place.group + n - 1, 1) == [0]
            && place.groups.separator(place.group + n - 1) == Some(Separator::Open)
        {
            trunk = 1;
        }
        let digits = place.digits(n).len() - skip;
        if digits > code + most + trunk || digits > DIGITS_MAX + trunk {
            break;
        }
        let glued = place.groups.lettered && place.group + n == place.groups.count();
        if digits >= code + least + trunk && !glued {
            best = Some((n, digits));
        }
    }
    best
}

/// The length of the country code at the beginning, and the fewest and most digits that follow it.
fn country(digits: &[u8]) -> Option<(usize, usize, usize)> {
    let [a, b, c, ..] = digits else { return None };
    Some(match (a, b, c) {
        (1, 2..=9, _) => (1, 10, 10),
        (7, 3..=9, _) => (1, 10, 10),
        // Egypt, South Africa; Greece, the Netherlands, Belgium, France, Spain, Hungary, Italy.
        (2, 0, _) => (2, 8, 10),
        (2, 7, _) | (3, 0 | 1 | 3 | 4, _) => (2, 9, 10),
        (3, 2 | 6, _) => (2, 8, 9),
        (3, 9, _) => (2, 6, 11),
        // Romania, Switzerland, Austria, the United Kingdom, Denmark, Sweden, Norway, Poland, Germany.
        (4, 0 | 1 | 8, _) => (2, 9, 9),
        (4, 3, _) => (2, 7, 13),
        (4, 4, _) => (2, 9, 10),
        (4, 5 | 7, _) => (2, 8, 8),
        (4, 6, _) => (2, 7, 9),
        (4, 9, _) => (2, 7, 12),
        (5, 1..=8, _) => (2, 8, 11),
        (6, 0..=6, _) => (2, 8, 11),
        (8, 1 | 2 | 4, _) => (2, 8, 10),
        (8, 6, _) => (2, 10, 11),
        (9, 0..=5 | 8, _) => (2, 9, 10),
        // Three digits.
        (2, 1 | 2 | 3 | 4 | 5 | 6 | 9, _)
        | (3, 5 | 7 | 8, _)
        | (4, 2, _)
        | (5, 0 | 9, _)
        | (6, 7..=9, _)
        | (8, 0 | 5 | 7 | 8, _)
        | (9, 6 | 7 | 9, _) => (3, 6, 10),
        _ => return None,
    })
}

/// A national form, or digits with words before them.
pub(super) fn national(place: &Place<'_, '_>) -> Option<(usize, Found)> {
    let (n, sure) = written(place)?;
    if !place.groups.ends_at(place.group + n - 1) {
        return None;
    }
    // Words are looked for only where they decide.
    let confidence = match sure {
        true if n > 1 => Likely,
        _ if place.topics().has(Topics::PHONE) => Certain,
        true if !place.topics().has(Topics::NUMBERED) => Likely,
        _ => Confidence::Possible,
    };
    // Something possible is not worth what may stand in its groups.
    if confidence == Confidence::Possible && n > 1 {
        return None;
    }
    let (n, mut found) = place.found(n, Detector::Phone, confidence);
    if place.before() == Some(b'(') {
        found.start -= 1;
    }
    Some((n, found))
}

/// How many groups are a telephone number, and whether their form alone says so.
fn written(place: &Place<'_, '_>) -> Option<(usize, bool)> {
    let l = [0, 1, 2, 3, 4].map(|i| place.groups.length(place.group + i));
    let by = |i: usize| place.groups.separator(place.group + i);
    let bracket = place.before() == Some(b'(') && by(1) == Some(Separator::Close);
    let digits = |n: usize| place.digits(n);
    let spaced = |n: usize| matches!(place.joined_by(n), Some(Separator::Space));
    // North America.
    if let [3, 3, 4, ..] = l
        && is_nanp(digits(3))
        && (bracket || matches!(place.joined_by(3), Some(Separator::Dash | Separator::Dot | Separator::Space)))
    {
        return Some((3, true));
    }
    if let [1, 3, 3, 4, _] = l
        && digits(1) == [1]
        && is_nanp(digits(4).get(1..)?)
        && matches!(by(1), Some(Separator::Dash | Separator::Dot | Separator::Space | Separator::Open))
    {
        return Some((4, true));
    }
    match (digits(1), l) {
        // Out of the country with a prefix instead of the plus.
        ([0, 0, 1..=9, ..], _) if let Some((n, total)) = taken(place, 2) => return Some((n, total > 9 || n > 1)),
        ([0, 1, 1], _) if let Some((n, _)) = taken(place, 3) => return Some((n, true)),
        // France, in pairs.
        ([0, 1..=9], [2, 2, 2, 2, 2])
            if matches!(place.joined_by(5), Some(Separator::Space | Separator::Dot | Separator::Dash)) =>
        {
            return Some((5, true));
        }
        // Brazil: an area in brackets.
        ([1..=9, _], [2, 4 | 5, 4, ..]) if bracket => return Some((3, true)),
        // The United Kingdom, Australia, Japan, Israel: a zero before the area.
        ([0, 1..=9, ..], [2..=5, ..]) => {
            if let Some(n) = with_trunk(l, bracket, by(1), place.joined_by(3)) {
                return Some((n, true));
            }
        }
        // India and mobile numbers of Italy.
        ([6..=9, ..], [5, 5, ..]) if matches!(by(1), Some(Separator::Space | Separator::Dash)) => {
            return Some((2, true));
        }
        ([3, ..], [3, 7 | 6, ..]) if matches!(by(1), Some(Separator::Space)) => return Some((2, true)),
        // Spain, in pairs after the first three or two.
        ([6 | 7, ..], [3, 2, 2, 2, _]) if spaced(4) => return Some((4, true)),
        ([9, _], [2, 3, 2, 2, _]) if spaced(4) => return Some((4, true)),
        _ => {}
    }
    // Any digits that words call so, if there are enough.
    let reachable = GROUPS_MAX.min(place.groups.count() - place.group);
    if digits(reachable).len() < DIGITS_MIN {
        return None;
    }
    if !place.topics().has(Topics::PHONE) {
        return bare(place);
    }
    let mut best = None;
    for n in 1..=GROUPS_MAX.min(place.groups.count() - place.group) {
        let count = digits(n).len();
        if count > DIGITS_MAX - 3 {
            break;
        }
        if count >= DIGITS_MIN {
            best = Some((n, true));
        }
        if by(n) == Some(Separator::Slash) && count > 5 {
            break;
        }
    }
    best
}

/// Ten digits that dial in North America: possible, no more.
fn bare(place: &Place<'_, '_>) -> Option<(usize, bool)> {
    (place.groups.length(place.group) == 10 && is_nanp(place.digits(1))).then_some((1, false))
}

/// Forms that begin with a trunk zero.
fn with_trunk(l: [usize; 5], bracket: bool, first: Option<Separator>, all: Option<Separator>) -> Option<usize> {
    use Separator::{Dash, Slash, Space};
    let gap = bracket || matches!(first, Some(Space | Slash));
    match l {
        [3, 4, 4, ..] | [4, 3, 4, ..] | [4, 3, 3, ..] | [5, 3, 3, ..] if bracket || all == Some(Space) => Some(3),
        [2, 4, 4, ..] | [3, 3, 4, ..] if bracket || matches!(all, Some(Space | Dash)) => Some(3),
        [3, 4, 4, ..] if all == Some(Dash) => Some(3),
        // Germany, Austria: an area and a number, or the number in pairs.
        [3 | 4, 2, 2, 2, 2] if gap => Some(5),
        [3..=5, 2, 2, 2, _] if gap => Some(4),
        [4 | 5, 3, 2..=4, ..] if gap && !bracket && all == Some(Space) => Some(3),
        [3..=5, 5..=8, ..] if gap => Some(2),
        [2 | 3, 7, ..] if first == Some(Dash) => Some(2),
        _ => None,
    }
}

/// North American Numbering Plan: area and exchange begin with 2 to 9, neither is N11, the area's second digit is no 9.
fn is_nanp(digits: &[u8]) -> bool {
    let [a, b, c, d, e, f, ..] = digits else { return false };
    digits.len() == 10
        && *a >= 2
        && *d >= 2
        && *b != 9
        && (*b, *c) != (1, 1)
        && (*e, *f) != (1, 1)
        && !super::checksum::is_monotone(digits)
}
